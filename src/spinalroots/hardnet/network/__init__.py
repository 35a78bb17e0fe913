"""The network: HarDNet blocks, down and up again."""
