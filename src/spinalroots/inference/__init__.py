"""What a predictor is, and how probabilities become labels."""
