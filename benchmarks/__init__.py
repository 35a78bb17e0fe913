"""Speed and memory as ratios, each measured in one run on one machine. Never part of the tests."""
