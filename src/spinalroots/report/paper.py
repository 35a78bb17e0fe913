"""The paper's own numbers, to stand beside those measured here."""

from dataclasses import dataclass

from spinalroots.registry.models import Model


@dataclass(frozen=True)
class PaperRow:
    """A row of Table I: mean and SD over the paper's patients; no expert score is None."""

    dice: tuple[float, float]
    expert: tuple[float, float] | None


TABLE_ONE: dict[str, PaperRow] = {
    "nnunet-all-individuals-raw": PaperRow((0.278, 0.187), None),
    "nnunet-all-individuals": PaperRow((0.293, 0.173), None),
    "nnunet-all-levels": PaperRow((0.311, 0.165), (0.78, 0.04)),
    "nnunet-sacral-levels": PaperRow((0.259, 0.135), (0.85, 0.00)),
    "nnunet-lumbar-levels": PaperRow((0.241, 0.164), (0.73, 0.11)),
    "nnunet-thoracic-levels": PaperRow((0.220, 0.182), None),
}
"""Table I by the name of the model here; HarDNet was not evaluated in the paper."""

TABLE_TWO = (
    ("nnU-Net", "32-bit", 1459.67, 147, "0.311 ± 0.164"),
    ("nnU-Net", "16-bit", 729.83, 96, "0.293 ± 0.176"),
)
"""Table II: model, precision, size in MB, inference time in s, binary Dice."""

FAMILIES = {
    "nnunet": "nnU-Net",
    "hardnet": "HarDNet",
    "anatomy": "HarDNet, two-stage",
    "named": "nnU-Net, two-stage",
}
TARGETS = {"individuals": "individuals", "levels": "spinal levels", "entity": "one entity"}


def title(model: Model) -> str:
    """A model's name as Table I writes it, such as `nnU-Net · All – spinal levels`."""
    region = str(model.region).capitalize()
    apart = "" if model.augmented else " (not augmented)"
    if model.alone:
        apart = " (without other roots)"
    return f"{FAMILIES[model.family]} · {region} – {TARGETS[model.scheme]}{apart}"
