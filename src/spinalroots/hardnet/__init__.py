"""HarDNet on squares around the centreline."""
