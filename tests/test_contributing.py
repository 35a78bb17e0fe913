"""The guides for whoever adds something are true: what they name is there."""

import re
from pathlib import Path

import pytest

from spinalroots.registry.models import MODELS
from spinalroots.stages import STAGES

ROOT = Path(__file__).parents[1]
GUIDE = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
QUOTED = re.findall(r"`([^`]+)`", GUIDE)
HOUSE = (ROOT / "docs/architecture.md").read_text(encoding="utf-8")
EVERY = [*QUOTED, *re.findall(r"`([^`]+)`", HOUSE)]
FILES = sorted({word for word in EVERY if re.fullmatch(r"[\w./-]+\.(py|md|yaml|toml|lock)", word)})


@pytest.mark.parametrize("name", FILES)
def test_a_file_that_the_guides_name_is_there(name):
    known = [ROOT / name, *(ROOT / "src/spinalroots").rglob(name)]
    assert any(path.is_file() for path in known)


def test_every_name_of_the_guide_is_in_the_code():
    words = {word for word in QUOTED if re.fullmatch(r"_?[A-Za-z]\w+", word)} - {"Params"}
    sources = [*(ROOT / "src").rglob("*.py"), ROOT / "Makefile", ROOT / "dvc.yaml"]
    text = "\n".join(path.read_text(encoding="utf-8") for path in sources)
    assert {word for word in words if not re.search(rf"\b{word}\b", text)} == set()


def test_its_examples_are_a_stage_and_a_model_of_this_repository():
    assert "check" in STAGES
    assert "nnunet-sacral-levels-alone" in MODELS
    assert len(GUIDE.splitlines()) < 80
