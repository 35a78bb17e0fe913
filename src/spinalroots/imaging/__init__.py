"""Volumes in and out, orientation, resampling, the centreline and slices around it."""
