"""Pictures: the same bytes each time, without pyplot, at the size that was asked for."""

import base64
import io
import subprocess
import sys

import numpy as np
from PIL import Image

from spinalroots import pictures


def drawn():
    figure = pictures.new_figure(2.0, 1.5, dpi=50)
    figure.subplots().plot([0, 1], [1, 0])
    return figure


def test_the_same_picture_gives_the_same_bytes_and_no_stamp(tmp_path):
    first, second = pictures.png(drawn()), pictures.png(drawn())
    assert first == second
    opened = Image.open(io.BytesIO(first))
    assert opened.size == (100, 75)
    assert "Software" not in opened.info
    pictures.save(tmp_path / "new" / "picture.png", drawn())
    assert (tmp_path / "new" / "picture.png").read_bytes() == first


def test_pixels_are_written_as_they_are():
    pixels = np.random.default_rng(0).integers(0, 256, (5, 7, 3)) / 255
    payload = pictures.pixels_png(pixels)
    opened = Image.open(io.BytesIO(payload))
    assert "Software" not in opened.info
    assert np.array_equal(np.asarray(opened)[..., :3], np.rint(pixels * 255))
    head, _, tail = pictures.data_uri(payload).partition(",")
    assert head == "data:image/png;base64"
    assert base64.b64decode(tail) == payload


def test_matplotlib_waits_until_something_is_drawn_and_pyplot_stays_out():
    code = (
        "import sys; from spinalroots import pictures; assert 'matplotlib' not in sys.modules;"
        "pictures.png(pictures.new_figure(1, 1)); assert 'matplotlib.pyplot' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
