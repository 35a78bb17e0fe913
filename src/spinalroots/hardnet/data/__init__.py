"""From a scan to what the network sees: straightened stacks, patches, heights."""
