"""From label maps to a person's 3D model."""

from spinalroots.reconstruct.person import map_file
from spinalroots.reconstruct.whole import case

__all__ = ["case", "map_file"]
