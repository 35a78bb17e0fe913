"""A model's folder, loaded; a scan in, masks out."""
