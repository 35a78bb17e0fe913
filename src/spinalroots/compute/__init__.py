"""Where and how networks run: device, number format, threads, memory, energy."""
