"""What happens to a network's labels before a person sees them."""

from spinalroots.postprocess.maps import run

__all__ = ["run"]
