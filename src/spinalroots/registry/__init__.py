"""What things are called: levels, roots, label schemes, models, exports, and where files lie."""
