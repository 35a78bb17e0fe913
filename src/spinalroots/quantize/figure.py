"""Size, time and Dice of every export in one picture."""

from pathlib import Path

import numpy as np

from spinalroots import pictures
from spinalroots.quantize.rows import Row

_COLOURS = {"pytorch": "#c0392b", "openvino": "#1f6fb2", "onnxruntime": "#7d5ba6"}
_NAMES = {"pytorch": "PyTorch", "openvino": "OpenVINO", "onnxruntime": "ONNX Runtime"}


def save(path: Path, rows: list[Row]) -> None:
    """Write the picture: a row of three bar charts per model, the recommended export in bold."""
    from matplotlib.patches import Patch

    models = list(dict.fromkeys(row.model for row in rows))
    most = max(sum(row.model == model for row in rows) for model in models)
    figure = pictures.new_figure(11, len(models) * (1.0 + 0.3 * most), dpi=100)
    axes = figure.subplots(len(models), 3, squeeze=False)
    for line, model in zip(axes, models, strict=True):
        _model(line, model, [row for row in rows if row.model == model])
    used = [name for name in _NAMES if any(row.runtime == name for row in rows)]
    figure.legend(
        handles=[Patch(color=_COLOURS[name], label=_NAMES[name]) for name in used],
        loc="outside lower center",
        ncols=3,
        frameon=False,
    )
    pictures.save(path, figure)


def _model(axes, model: str, rows: list[Row]) -> None:
    """One line of the picture: size, seconds per volume, Dice with its spread over cases."""
    places = np.arange(len(rows))[::-1]
    colours = [_COLOURS[row.runtime] for row in rows]
    charts = (
        ("size on disk (MB)", [row.size_mb for row in rows], None, "{:.3g}"),
        ("one test volume (s)", [row.inference_s for row in rows], None, "{:.2f}"),
        (
            f"binary Dice, mean ± SD of {rows[0].n_cases} test cases",
            [row.binary_dice_mean for row in rows],
            [row.binary_dice_sd for row in rows],
            "{:.3f}",
        ),
    )
    for axis, (title, values, spread, form) in zip(axes, charts, strict=True):
        shown = np.nan_to_num(values)
        bars = axis.barh(places, shown, xerr=spread, color=colours, ecolor="#555555")
        axis.bar_label(bars, [form.format(value) for value in shown], padding=4, fontsize=8)
        reach = shown + np.nan_to_num(spread) if spread is not None else shown
        axis.set_xlim(0, 1.25 * (reach.max() or 1.0))
        axis.set_title(title, fontsize=9)
        axis.spines[["top", "right"]].set_visible(False)
        axis.set_yticks(places, [""] * len(rows))
    axes[0].set_yticks(places, [row.precision for row in rows], fontsize=8)
    for label, row in zip(axes[0].get_yticklabels(), rows, strict=True):
        label.set_fontweight("bold" if row.recommended else "normal")
    axes[0].set_ylabel(model, fontsize=9)
