"""nnU-Net: its own planner, trainer and sliding window, with our budgets and losses."""
