"""Networks that were exported for another runtime: what their folders say, and how they run."""
