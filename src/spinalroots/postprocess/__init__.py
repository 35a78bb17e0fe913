"""What happens to a network's labels before a person sees them."""
