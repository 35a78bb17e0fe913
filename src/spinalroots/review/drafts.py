"""What a reviewer has entered and not yet confirmed, on disk at every moment.

A file per reviewer and prediction, so that two reviewers never share one. It holds the form as the
page shows it, and the steps of the corrections.
"""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from spinalroots.errors import InputError
from spinalroots.files import alone, write_json
from spinalroots.files.text import read_object

OTHER = -1
REVIEWER = re.compile(r"^[0-9A-Za-z]{1,20}\Z")


@dataclass
class Draft:
    """`form`: field → value, as the page sent it. `steps`: of :mod:`spinalroots.review.edits`.
    `saved`: how many steps the corrected masks on disk have in them; None before the first saving,
    :data:`OTHER` once they have one that was undone since.
    """

    form: dict = field(default_factory=dict)
    steps: list[dict] = field(default_factory=list)
    saved: int | None = None

    @property
    def unsaved(self) -> bool:
        """Whether the corrected masks on disk are not what the steps give."""
        return self.saved != len(self.steps) and (bool(self.steps) or self.saved is not None)

    @property
    def begun(self) -> bool:
        """Whether anything was entered; that a case was open is nothing."""
        entered = [value for name, value in self.form.items() if name not in ("seconds", "scores")]
        scores = self.form.get("scores", {}).values()
        return bool(self.steps) or any(entered) or any(one is not None for one in scores)

    def undo(self) -> None:
        """Take the last step back."""
        self.steps.pop()
        if self.saved is not None and self.saved > len(self.steps):
            self.saved = OTHER


def require_reviewer(name: object) -> str:
    """`name`, if it can stand in a file's name.

    :raises InputError: it cannot.
    """
    if isinstance(name, str) and REVIEWER.match(name):
        return name
    raise InputError(
        "reviewer",
        expected="initials or a number, up to 20 letters and digits",
        found=repr(name),
        fix="Give others.",
    )


def path_of(folder: Path, reviewer: str, model: str, case: str, version: str) -> Path:
    """Where the draft about a version of a prediction lies."""
    return folder / require_reviewer(reviewer) / f"{_name(case, model)}-{version}.json"


def any_of(folder: Path, reviewer: str, model: str, case: str) -> bool:
    """Whether there is a draft about any version of a prediction."""
    place = folder / require_reviewer(reviewer)
    return any(place.glob(f"{_name(case, model)}-*.json"))


def _name(case: str, model: str) -> str:
    return re.sub(r"[^0-9A-Za-z-]", "-", f"{case}-{model}")


def read(path: Path) -> Draft:
    """The draft at `path`; a new one if there is none."""
    if not path.is_file():
        return Draft()
    what = {"expected": "a draft of a review", "fix": "Move it away; a new one is begun."}
    record = read_object(path, **what)
    form, steps, saved = (record.get(name) for name in ("form", "steps", "saved"))
    if (
        isinstance(form, dict)
        and isinstance(saved, int | None)
        and isinstance(steps, list)
        and all(isinstance(one, dict) for one in steps)
    ):
        return Draft(form, steps, saved)
    raise InputError(path, found="another record", **what)


@contextmanager
def changing(path: Path) -> Iterator[Draft]:
    """The draft at `path`, written back whole after the block; one process at a time.

    When the body raises, the file stays as it was.
    """
    with alone(path):
        draft = read(path)
        yield draft
        write_json(path, {"form": draft.form, "steps": draft.steps, "saved": draft.saved})
