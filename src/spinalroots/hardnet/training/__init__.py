"""One step, and the trainer around it."""
