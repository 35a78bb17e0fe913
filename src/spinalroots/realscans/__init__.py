"""Models against real scans that a person drew on: figures, tables, pictures."""
