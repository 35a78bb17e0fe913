"""Layout on disk (BIDS), cases, ingest, checks and splits."""
