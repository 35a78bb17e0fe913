"""What looks wrong: about a scan, a mask, or the raw data."""
