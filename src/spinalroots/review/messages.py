"""What the page sends, typed: anything else is refused before it reaches the desk."""

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

Whole = Annotated[int, Field(ge=-(2**31), lt=2**31)]
Number = Annotated[float, Field(allow_inf_nan=False)]


class _Message(BaseModel):
    model_config = ConfigDict(extra="forbid")


class Form(_Message):
    """What a reviewer says of a case; the table of scores checks ranges and names."""

    verdict: Literal["", "pass", "fail", "artefact"] = ""
    scores: dict[str, Number | None] = {}
    minutes_with: Number | None = None
    minutes_without: Number | None = None
    comment: Annotated[str, Field(max_length=10_000)] = ""
    to_mend: list[str] = []
    seconds: Number = 0
    """How long the case has been open."""


class Paint(_Message):
    """Voxels that get a label; 0 erases."""

    kind: Literal["paint"]
    voxels: list[Whole]
    value: Whole


class Rename(_Message):
    """The thread at a voxel, or the whole root, that gets another name."""

    kind: Literal["rename"]
    voxel: Whole
    value: Whole
    whole: bool = False


class Shift(_Message):
    """All names moved by some levels."""

    kind: Literal["shift"]
    by: Whole


class Undo(_Message):
    """The last correction taken back."""

    kind: Literal["undo"]


class Act(_Message):
    """Who does it, about which version of the prediction."""

    reviewer: str
    version: str


class Judge(Act):
    """The form, to be kept or to be confirmed."""

    form: Form


class Edit(Act):
    """A correction; `revision`: how many the page knows of."""

    revision: Whole
    change: Annotated[Paint | Rename | Shift | Undo, Field(discriminator="kind")]


ACTS: dict[str, type[Act]] = {"enter": Judge, "confirm": Judge, "edit": Edit, "save": Act}
"""Name of an act of the desk → its message."""


def read(act: str, body: bytes) -> dict[str, Any]:
    """A message's fields as plain values.

    :raises pydantic.ValidationError: it is none of this act.
    """
    message = ACTS[act].model_validate_json(body)
    return message.model_dump()
