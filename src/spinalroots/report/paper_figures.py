"""The paper's figures drawn from this run: 1 and 4 in a slice, 6 in 3D, 7 lengthwise."""

import io

import numpy as np

from spinalroots import pictures
from spinalroots.imaging.centreline import Centreline
from spinalroots.imaging.volume import Volume
from spinalroots.reconstruct.picture import scene_picture
from spinalroots.reconstruct.scene import ROOT, Part
from spinalroots.reconstruct.surfaces import surface_of
from spinalroots.registry.anatomy import (
    Scheme,
    individuals_to_levels,
    label_colour,
    label_names,
)
from spinalroots.report import overlays

GROUPINGS = {
    "one entity": Scheme.ENTITY,
    "per spinal level": Scheme.LEVELS,
    "individual roots": Scheme.INDIVIDUALS,
}
_INCHES_A_LETTER, _HEAD_PX = 0.1, 34
_TRUTH, _FOUND = "#43d15c", "#ff3b30"
"""Green and red, as in the paper's Figure 4."""


def busiest_height(labels: np.ndarray) -> int:
    """The axial slice (last axis) of a map (X, Y, Z) that shows most labels, then most voxels."""
    counts = [len(np.unique(labels[..., z])) for z in range(labels.shape[2])]
    filled = np.count_nonzero(labels, axis=(0, 1))
    return int(np.lexsort((filled, counts))[-1])


def one_slice(scan: Volume, individuals: Volume, centreline: Centreline) -> bytes:
    """Figure 1: PNG of an axial slice with its roots as one, by level, and one by one.

    :param individuals: individual map on the scan's RAS+ grid.
    """
    height = busiest_height(individuals.data)
    figure = pictures.new_figure(10.5, 4.1, dpi=110, facecolor="black", layout=None)
    for place, (title, scheme) in enumerate(GROUPINGS.items()):
        labels = individuals.with_data(grouped(individuals.data, scheme))
        view = overlays.axial_view(scan, labels, centreline, height)
        axes = _panel(figure, place, len(GROUPINGS), f"({place + 1}) {title}")
        overlays.draw_grey(axes, view, overlays.window_of(view))
        overlays.draw_filled(axes, view, scheme)
    _names(figure, individuals.data[..., height], Scheme.INDIVIDUALS)
    return pictures.png(figure)


def truth_and_prediction(
    scan: Volume, truth: Volume, found: Volume, centreline: Centreline
) -> bytes:
    """Figure 4: PNG of an axial slice, its true roots green, and what a model found red."""
    height = busiest_height(truth.data)
    figure = pictures.new_figure(7.2, 3.9, dpi=110, facecolor="black", layout=None)
    shown = {"(1) ground truth": (truth, _TRUTH), "(2) the model's prediction": (found, _FOUND)}
    for place, (title, (labels, colour)) in enumerate(shown.items()):
        view = overlays.axial_view(scan, labels, centreline, height)
        axes = _panel(figure, place, len(shown), title, foot=0.03)
        overlays.draw_grey(axes, view, overlays.window_of(view))
        overlays.draw_contour(axes, view, colour, width=1.6)
    return pictures.png(figure)


def lengthwise(scan: Volume, levels: Volume, centreline: Centreline) -> bytes:
    """Figure 7: PNG of roots from the side and from the front, coloured by level."""
    whole = slice(0, scan.data.shape[2])
    heights = overlays.heights_of(levels.data, scan.spacing_mm[2]) or whole
    figure = pictures.new_figure(3.6, 7.4, dpi=110, facecolor="black", layout=None)
    for place, (title, across) in enumerate((("sagittal", 1), ("coronal", 0))):
        view = overlays.lengthwise_view(scan, levels, centreline, across, heights)
        axes = _panel(figure, place, 2, title)
        overlays.draw_grey(axes, view, overlays.window_of(view))
        overlays.draw_filled(axes, view, Scheme.LEVELS)
    _names(figure, levels.data, Scheme.LEVELS)
    return pictures.png(figure)


def three_groupings(individuals: Volume, smoothing_mm: float) -> bytes:
    """Figure 6: PNG of the roots' surfaces from behind, as one, by level, and one by one."""
    surfaces = {
        value: surface_of(individuals.data == value, individuals.affine, smoothing_mm)
        for value in _present(individuals.data, Scheme.INDIVIDUALS)
    }
    drawn = []
    for title, scheme in GROUPINGS.items():
        table = grouped(np.arange(256, dtype=np.uint8), scheme)
        parts = [
            Part(title, ROOT, label_colour(scheme, int(table[value])), 1.0, surface)
            for value, surface in surfaces.items()
        ]
        drawn.append(scene_picture(parts, views=("from behind",), size_px=(280, 900)))
    return _beside(dict(zip(GROUPINGS, drawn, strict=True)))


def grouped(individuals: np.ndarray, scheme: Scheme) -> np.ndarray:
    """An individual map (any shape) as a map of a scheme (uint8)."""
    if scheme is Scheme.ENTITY:
        return (individuals > 0).astype(np.uint8)
    return individuals_to_levels(individuals) if scheme is Scheme.LEVELS else individuals


def _beside(pngs: dict[str, bytes]) -> bytes:
    """Pictures of one size side by side, their names above."""
    from PIL import Image, ImageDraw, ImageFont

    images = [Image.open(io.BytesIO(one)).convert("RGB") for one in pngs.values()]
    wide, tall = images[0].size
    whole = Image.new("RGB", (wide * len(images), tall), "white")
    pen, font = ImageDraw.Draw(whole), ImageFont.load_default(size=16)
    for place, (title, image) in enumerate(zip(pngs, images, strict=True)):
        whole.paste(image, (place * wide, 0))
        pen.rectangle((place * wide, 0, (place + 1) * wide, _HEAD_PX), fill="white")
        middle = ((place + 0.5) * wide, _HEAD_PX / 2)
        pen.text(middle, f"({place + 1}) {title}", fill="black", font=font, anchor="mm")
    stored = io.BytesIO()
    whole.save(stored, "PNG", optimize=True)
    return stored.getvalue()


def _present(labels: np.ndarray, scheme: Scheme) -> dict[int, str]:
    names = label_names(scheme)
    return {value: names[value] for value in np.unique(labels[labels > 0]).tolist()}


def _panel(figure, place: int, count: int, title: str, foot: float = 0.13):
    """The axes of one of `count` panels side by side, above the names."""
    axes = figure.add_axes((place / count + 0.005, foot, 1 / count - 0.01, 0.92 - foot))
    axes.set_title(title, color="white", fontsize=10, pad=4)
    return axes


def _names(figure, labels: np.ndarray, scheme: Scheme) -> None:
    """Names of the labels in sight along the foot, in as many rows as they need."""
    present = list(_present(labels, scheme))
    wide_in, tall_in = figure.get_size_inches()
    longest = max((len(name) for name in _present(labels, scheme).values()), default=1)
    a_row = max(1, int(wide_in / (_INCHES_A_LETTER * longest)))
    rows = [present[start : start + a_row] for start in range(0, len(present), a_row)]
    for row, values in enumerate(rows):
        y = 0.02 + 0.17 / tall_in * (len(rows) - 1 - row)
        overlays.legend(figure, values, scheme, y)
