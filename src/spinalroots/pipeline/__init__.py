"""Parameters, provenance, tracking, and one short module per stage."""
