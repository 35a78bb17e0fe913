"""Model cards and the data card: what a model was made from, measured on, and is not fit for.

Markdown, from the run's own figures; what a run did not measure is said to be missing.
"""

from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Any

from spinalroots.registry import paths
from spinalroots.registry.models import ANATOMY, DEFAULT_MODEL, MODELS, Model
from spinalroots.report import paper
from spinalroots.report.inputs import Inputs

FIGURES = {
    "binary_dice": "Dice, all target roots as one",
    "level_dice_mean": "Dice, mean over levels",
    "level_accuracy": "share of named voxels with the right level",
    "side_accuracy": "share of named voxels with the right side",
    "instance_f1": "roots found, F1",
    "surface_dice": "surface within the tolerance",
}
"""Of `reports/metrics.json`: name → words."""
MISSING = "not measured in this run"


def model_card(inputs: Inputs, name: str) -> str:
    """The card of one model below models/trained.

    :param name: of :data:`spinalroots.registry.models.MODELS`.
    """
    model = MODELS[name]
    described = inputs.json(paths.TRAINED / name / "model.json") or {}
    training = inputs.json(paths.TRAINED / name / "training.json") or {}
    return _joined(
        f"# Model card: {name}",
        f"{paper.title(model)}. Finds nerve roots in T2 MRI of the lower spine: "
        f"{_roots(described)}. A pre-annotation for an expert to correct. Made by a run of the "
        "pipeline; every figure below is that run's own.",
        "## Trained on",
        *_trained_on(inputs, described, training),
        "## Measured on",
        *_measured_on(inputs, model),
        "## Not fit for",
        *_not_fit_for(inputs, described),
    )


def model_page(inputs: Inputs, names: Sequence[str]) -> str:
    """The default model's card (or the first one's), and a line for every other model."""
    first = DEFAULT_MODEL if DEFAULT_MODEL in names else names[0]
    metrics = inputs.json(paths.METRICS) or {}
    rows = [
        (name, paper.title(MODELS[name]), *(_figure(metrics.get(name, {}), key) for key in FIGURES))
        for name in names
    ]
    return _joined(
        model_card(inputs, first),
        "## The other models of the run",
        "Each has a card of its own in its folder and its file (`card.md`).",
        _table(("model", "what", *FIGURES), rows),
    )


def data_card(inputs: Inputs) -> str:
    """What the data of the run is, what was done to it, and what it cannot show."""
    check = inputs.json(paths.CHECK) or {}
    cases: dict[str, dict] = check.get("by_case", {})
    sources = Counter(case["source"] for case in cases.values())
    split = inputs.json(paths.SPLIT) or {}
    return _joined(
        "# Data card",
        "The scans and masks of one run of the pipeline; every figure below is that run's own. "
        "`dvc.lock` names the exact bytes.",
        "## What there is",
        _table(
            ("", ""),
            [
                ("Cases", f"{len(cases)} ({_counts(sources) or MISSING})"),
                *((f"… for {role}", str(len(names))) for role, names in split.items()),
                ("Voxel size, mm", _voxels(cases.values())),
                (
                    "Stored as",
                    _counts(Counter(case["orientation"] for case in cases.values())) or MISSING,
                ),
                ("Findings of the stage `check`", _counts(check.get("findings_by_kind", {}))),
            ],
        ),
        _kind(sources),
        "## What was done to it",
        *_refinement(inputs),
        *_classes(inputs),
        "## What it cannot show",
        "\n".join(
            (
                "- Synthetic scans measure how well a method recovers known roots, not how it does "
                "on patients."
                if sources.get(paths.PHANTOM.name)
                else "- Scanners and protocols other than those of its scans are not in it.",
                "- Levels that few scans show are learnt and measured on few: see the table.",
                "- Scans and masks of patients never leave the machine; none are part of the "
                "project.",
            )
        ),
    )


def _roots(described: dict) -> str:
    target = described.get("target", {})
    levels = target.get("levels") or ["?"]
    types = {"D": "dorsal", "V": "ventral"}
    kinds = " and ".join(types.get(kind, kind) for kind in target.get("types", [])) or "all"
    return f"{kinds} roots of {levels[0]} to {levels[-1]}, as {target.get('scheme', 'roots')}"


def _trained_on(inputs: Inputs, described: dict, training: dict) -> list[str]:
    on = described.get("trained_on", {})
    lines = []
    if "phantoms" in on:
        share = on.get("randomised_share")
        randomised = f", a share of {share} with randomised looks" if share is not None else ""
        lines.append(f"- {on['phantoms']} synthetic scans made for it alone{randomised}")
    sources = _sources(inputs)
    for role in ("training", "validation"):
        names = on.get(role)
        if names is not None:
            from_where = Counter(sources.get(_parent(name, sources), "made") for name in names)
            lines.append(f"- {role}: {len(names)} cases, variants included ({_counts(from_where)})")
    seconds, energy = training.get("seconds"), training.get("energy_kwh")
    if seconds is not None:
        used = f", {1000 * energy:.2f} Wh by codecarbon's estimate" if energy is not None else ""
        lines.append(f"- {seconds / 60:.1f} minutes on {training.get('device', '?')}{used}")
    known = described.get("provenance", {})
    if known:
        lines.append(
            f"- seed {known.get('seed', '?')}, code {str(known.get('code', '?'))[:12]}, "
            f"key {known.get('key', '?')}"
        )
    return ["\n".join(lines) or f"It is {MISSING}."]


def _measured_on(inputs: Inputs, model: Model) -> list[str]:
    found = (inputs.json(paths.METRICS) or {}).get(model.name)
    if not found:
        return [f"Test cases: {MISSING}."]
    test = (inputs.json(paths.SPLIT) or {}).get("test", [])
    sources = _sources(inputs)
    where = _counts(Counter(sources.get(name, "?") for name in test))
    rows = [(words, _figure(found, key)) for key, words in FIGURES.items()]
    summary = inputs.table(paths.METRICS_SUMMARY)
    if summary is not None:
        own = summary[(summary["model"] == model.name) & (summary["metric"] == "binary_dice")]
        rows += [
            (f"… Dice, {row.label}", f"{row.mean:.3f} ({row.ci_low:.3f}–{row.ci_high:.3f})")
            for row in own.itertuples()
            if row.label != "all"
        ]
    lines = [
        f"{len(test)} test cases ({where}), which took no part in training or choosing. In "
        "brackets the 95 % bootstrap interval over cases.",
        _table(("figure", "mean"), rows),
    ]
    export = (inputs.json(paths.RECOMMENDED) or {}).get(model.name)
    if export:
        lines.append(
            f"On a CPU `{export['export']}` runs, {export['size_mb']} MB; against the network its "
            f"Dice on validation cases changed by {export['dice_change_on_validation']:+.4f}."
        )
    return lines


def _not_fit_for(inputs: Inputs, described: dict) -> list[str]:
    target = described.get("target", {})
    lines = [
        "- diagnosis, or any decision about a patient without an expert's correction",
        f"- roots it does not name: all but {_roots(described)}",
        "- telling levels apart where the scan shows no landmark: names may be off by one or two",
    ]
    if target.get("types") == ["D"]:
        lines.append("- telling dorsal from ventral reliably: they often touch in a voxel")
    sources = set(_sources(inputs).values())
    if sources <= {paths.PHANTOM.name}:
        lines.append("- claims about patients: the figures above are of synthetic scans only")
    looks = _looks(inputs, described.get("name", ""))
    if looks:
        lines.append(f"- scans unlike those it learnt from: {looks}; `predict` warns of others")
    return ["\n".join(lines)]


def _looks(inputs: Inputs, name: str) -> str:
    own = name == ANATOMY.name  # learns from phantoms of its own
    path = paths.ANATOMY / paths.APPEARANCE.name if own else paths.APPEARANCE
    cases = (inputs.json(path) or {}).get("cases", {}).values()
    words = {"in_plane_mm": "in plane", "slice_mm": "slices of", "length_mm": "shown length"}
    found = []
    for key, word in words.items():
        values = [case[key] for case in cases if case.get(key) is not None]
        if values:
            found.append(f"{word} {min(values):.3g}–{max(values):.3g} mm")
    return ", ".join(found)


def _sources(inputs: Inputs) -> dict[str, str]:
    cases = (inputs.json(paths.CHECK) or {}).get("by_case", {})
    return {name: case["source"] for name, case in cases.items()}


def _parent(name: str, sources: dict[str, str]) -> str:
    """The case that an augmented variant was made of: its name goes on after the parent's."""
    return max((one for one in sources if name.startswith(one)), key=len, default=name)


def _voxels(cases: Iterable[dict]) -> str:
    edges = [edge for case in cases for edge in case["voxel_mm"]]
    return f"{min(edges):.2f} to {max(edges):.2f}" if edges else MISSING


def _kind(sources: Counter) -> str:
    synthetic = sources.get(paths.PHANTOM.name, 0)
    if not synthetic:
        return "The scans were brought in with `spinalroots ingest`, identifiers replaced."
    return (
        f"{synthetic} of the scans are synthetic: generated from published anatomy, with an "
        "annotator's mistakes in the masks and a hidden truth to measure against. The 41 scans "
        "of the student project that this grew out of are private and not in it."
    )


def _refinement(inputs: Inputs) -> list[str]:
    found = inputs.json(paths.REFINEMENT)
    if not found:
        return [f"Refinement: {MISSING}."]
    words = [f"Refinement (120 classes to the chosen ones, flood fill) went over {found['cases']}"]
    if found.get("dice_before") is not None and found.get("dice_after") is not None:
        words.append(
            f" cases; against the truth of {found['cases_measured_against_a_truth']} of them the "
            f"masks' Dice rose from {found['dice_before']:.3f} to {found['dice_after']:.3f}."
        )
    else:
        words.append(" cases; there was no truth to measure it against.")
    return ["".join(words)]


def _classes(inputs: Inputs) -> list[str]:
    table = inputs.table(paths.CLASSES)
    if table is None:
        return []
    levels = table[table["scheme"] == "levels"]
    numbers = [name for name in table.columns if name not in ("scheme", "label")]
    rows = [
        (row["label"], *(str(int(row[name])) for name in numbers)) for _, row in levels.iterrows()
    ]
    return [_table(("level", *(name.replace("_", " ") for name in numbers)), rows)] if rows else []


def _figure(found: dict[str, Any], key: str) -> str:
    value = found.get(key)
    if value is None:
        return "–"
    low, high = found.get(f"{key}_low"), found.get(f"{key}_high")
    around = f" ({low:.3f}–{high:.3f})" if low is not None and high is not None else ""
    return f"{value:.3f}{around}"


def _counts(found: dict[str, int] | Counter) -> str:
    return ", ".join(f"{number} {name}" for name, number in sorted(found.items()))


def _table(headers: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = [headers, ["---"] * len(headers), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _joined(*parts: str) -> str:
    return "\n\n".join(part.rstrip() for part in parts if part) + "\n"
