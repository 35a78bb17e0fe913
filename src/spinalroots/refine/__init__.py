"""From 120 classes to those that matter: consensus, flood fill, crop."""
