"""What a prediction is worth: overlap, surfaces, topology, instances, effort, statistics."""
