"""Variants of the training cases that balance the classes."""
