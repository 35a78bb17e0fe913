"""The human expert's scores, and which prediction each is about."""
