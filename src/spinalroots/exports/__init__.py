"""Running a network that was exported for another runtime."""
