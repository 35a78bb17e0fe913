"""Pictures as PNG: the same picture gives the same bytes, on disk whole or not at all.

matplotlib is loaded only where a picture is drawn, and never through pyplot, which keeps every
figure and may look for a screen.
"""

from __future__ import annotations

import base64
import io
from pathlib import Path
from typing import TYPE_CHECKING

from spinalroots.files import write_bytes

if TYPE_CHECKING:
    import numpy as np
    from matplotlib.figure import Figure

_NO_STAMP = {"Software": None}
"""matplotlib's version would change the bytes."""
_PACKING = {"compress_level": 5}
"""Half the time of Pillow's default of 6, for a twelfth more bytes of a scan's preview."""


def new_figure(width_in: float, height_in: float, *, dpi: float = 110, **more) -> Figure:
    """An empty figure, its axes laid out without overlap; `more` goes to matplotlib's `Figure`."""
    from matplotlib.figure import Figure

    return Figure((width_in, height_in), dpi=dpi, **{"layout": "constrained", **more})


def png(figure: Figure) -> bytes:
    """PNG bytes of a figure."""
    stream = io.BytesIO()
    figure.savefig(stream, format="png", metadata=_NO_STAMP, pil_kwargs=_PACKING)
    return stream.getvalue()


def save(path: Path, figure: Figure) -> None:
    """Write a figure as a .png file."""
    write_bytes(path, png(figure))


def pixels_png(pixels: np.ndarray) -> bytes:
    """PNG bytes of an image (height, width, 3) of colours from 0 to 1."""
    import numpy as np
    from matplotlib.image import imsave

    stream = io.BytesIO()
    imsave(stream, np.ascontiguousarray(pixels), format="png", metadata=_NO_STAMP)
    return stream.getvalue()


def data_uri(png_bytes: bytes) -> str:
    """A PNG inside a page."""
    return "data:image/png;base64," + base64.b64encode(png_bytes).decode("ascii")
