"""A trained model from its folder; a scan in, masks out."""
