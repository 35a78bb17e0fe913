"""Draws docs/img/phantom_vs_real.png and phantom_roots.png.

    python docs/img/phantom_figures.py ../shared/real/lumbar/t2_lumbar.nii.gz

The real scan is `t2_lumbar` of spinalcordtoolbox/sct_tutorial_data (MIT licence).
"""

import sys
from pathlib import Path

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt
import numpy as np
from matplotlib.lines import Line2D

from spinalroots.imaging.volume import read_image
from spinalroots.phantom.case import generate
from spinalroots.pipeline import params
from spinalroots.registry.anatomy import REFINED_LEVELS, Scheme, label_colour, level_value

HERE = Path(__file__).parent
CASES = (0, 2, 5)


def middle(points, height):
    return [np.interp(height, points[:, 2], points[:, k]) for k in (0, 1)]


def show(axes, plane, aspect, top, title):
    axes.imshow(plane.T, origin="lower", cmap="gray", vmin=0, vmax=top, aspect=aspect)
    axes.set_title(title, fontsize=9)
    axes.axis("off")


def column(data, affine, points, heights, name):
    """(plane, aspect, title) of a mid-sagittal, a coronal and some axial slices."""
    spacing = np.diag(affine)[:3]
    mid = [(middle(points, height) - affine[:2, 3]) / spacing[:2] for height in heights]
    x = round(np.median([place[0] for place in mid]))
    y = round(mid[2][1])
    planes = [
        (
            data[x, : round(mid[2][1] + 60 / spacing[1])],
            spacing[2] / spacing[1],
            f"{name}: mid-sagittal",
        ),
        (data[:, y], spacing[2] / spacing[0], "coronal"),
    ]
    for place, height, label in zip(mid, heights, ("T11", "T12/L1", "L2/L3", "L4"), strict=False):
        k = round((height - affine[2, 3]) / spacing[2])
        if 0 <= k < data.shape[2]:
            low = np.maximum(np.round(place - 32 / spacing[:2]).astype(int), 0)
            high = np.round(place + 32 / spacing[:2]).astype(int)
            part = data[low[0] : high[0], low[1] : high[1], k]
            planes.append((part, spacing[1] / spacing[0], f"axial, about {label}"))
    return planes


def versus_real(real_path, cases):
    real = read_image(real_path)
    # The canal in the real scan: conus near voxel (27, 79, 80), disc T9/T10 near (27, 76, 187).
    points = real.affine[:3, 3] + real.spacing_mm * np.array(
        [(27, 93, 5), (27, 87, 40), (27, 79, 80), (27, 76, 187)]
    )
    heights = [points[3, 2] - 40, points[3, 2] - 92, points[3, 2] - 160]
    rows = [column(real.data, real.affine, points, heights, "Real (sct_tutorial_data)")]
    tops = [np.percentile(real.data, 99.3)]
    for number, case in cases:
        curve = case.curve
        world = curve.to_world(
            np.column_stack(
                [np.zeros(4), np.zeros(4), case.subject.size * np.array([42.0, 92, 159, 205])]
            )
        )
        path = case.centreline.points_mm
        rows.append(column(case.image, case.affine, path, world[:, 2], f"Phantom {number + 1}"))
        tops.append(np.percentile(case.image, 99.3))
    figure, grid = plt.subplots(
        len(rows), 6, figsize=(15, 4.6 * len(rows)), width_ratios=(1.5, 1, 1, 1, 1, 1)
    )
    for axes, planes, top in zip(grid, rows, tops, strict=True):
        for one in axes:
            one.axis("off")
        for one, (plane, aspect, title) in zip(axes, planes, strict=False):
            show(one, plane, aspect, top, title)
    figure.tight_layout()
    figure.savefig(HERE / "phantom_vs_real.png", dpi=75)


def colour(level):
    return np.array(label_colour(Scheme.LEVELS, level_value(level))) / 255


def roots(cases):
    figure, grid = plt.subplots(1, 4, figsize=(12, 11), width_ratios=(1, 1.3, 1, 1.3))
    for number, (index, case) in enumerate(cases[:2]):
        s = np.arange(case.subject.discs_mm["T8"], case.subject.conus_tip_mm, 2)
        cord = case.curve.to_world(np.column_stack([0 * s, 0 * s, s]))
        for axes, axis, label in zip(
            grid[2 * number :], (0, 1), ("from behind", "from the right"), strict=False
        ):
            axes.plot(cord[:, axis], cord[:, 2], color="0.85", lw=14, solid_capstyle="round")
            for course in case.courses:
                if course.root.level not in REFINED_LEVELS:
                    continue
                style = "-" if course.root.type == "D" else (0, (1, 1))
                for path, width in ((course.trunk, 1.3), *((r, 0.4) for r in course.rootlets)):
                    world = case.curve.to_world(path)
                    axes.plot(
                        world[:, axis],
                        world[:, 2],
                        linestyle=style,
                        color=colour(course.root.level),
                        lw=2 * width * course.radius_mm[0],
                    )
            axes.set_aspect("equal")
            axes.axis("off")
            axes.set_title(f"Phantom {index + 1}, {label}", fontsize=10)
    handles = [Line2D([], [], color=colour(level), lw=3, label=level) for level in REFINED_LEVELS]
    figure.legend(handles=handles, loc="lower center", ncols=11, frameon=False)
    figure.subplots_adjust(0.01, 0.05, 0.99, 0.96, 0, 0)
    figure.savefig(HERE / "phantom_roots.png", dpi=80)


def main():
    chosen = params.load("params.yaml", scale="laptop")
    cases = [(number, generate(chosen.phantom, chosen.seed, number)) for number in CASES]
    versus_real(Path(sys.argv[1]), cases)
    roots(cases)


if __name__ == "__main__":
    main()
