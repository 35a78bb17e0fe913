"""Synthetic scans: a person's anatomy, the scanner, an annotator's mistakes."""
