"""Data and models between this machine and the configured DVC remote, checked on the way."""
