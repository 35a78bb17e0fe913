"""The container's recipe, read: what it builds on, its steps, who runs it, what it asks for.

There is no engine here. The steps that it shares with every other machine are the Makefile's, and
`make install` is what each of these machines runs.
"""

from __future__ import annotations

import re
import subprocess

import pytest
from conftest import ROOT

SYSTEM = re.compile(r"apt-get (update|install -y )|rm -rf /var/lib/apt/lists|useradd |install -d ")
"""What prepares the system, before the project is there."""


@pytest.fixture(scope="module")
def steps() -> list[tuple[str, str]]:
    """(instruction, its argument in one line), in order; comments left out."""
    lines = (ROOT / "Containerfile").read_text(encoding="utf-8").splitlines()
    text = "\n".join(line for line in lines if not line.lstrip().startswith("#"))
    joined = re.sub(r"\\\n\s*", "", text)
    return [tuple(line.split(None, 1)) for line in joined.splitlines() if line.strip()]


def environment(steps) -> dict[str, str]:
    pairs = (pair for kind, value in steps if kind == "ENV" for pair in value.split())
    return dict(pair.split("=", 1) for pair in pairs)


def test_the_base_image_is_named_to_the_patch_release(steps):
    (base,) = [value for kind, value in steps if kind == "FROM"]
    assert re.fullmatch(r"docker\.io/library/python:3\.1[123]\.\d+-slim-[a-z]+", base)


def test_the_projects_steps_are_the_makefiles(steps):
    known = set(re.findall(r"^([a-z]+):.*##", (ROOT / "Makefile").read_text(), re.M))
    users = [kind for kind, _ in steps].index("USER")
    before = [value for kind, value in steps[:users] if kind == "RUN"]
    after = [value for kind, value in steps[users:] if kind == "RUN"]
    for part in " && ".join(before).split("&&"):
        assert SYSTEM.match(part.strip()), part
    targets = [re.fullmatch(r"make ([a-z]+)", step) for step in after]
    assert targets
    assert all(targets), after
    assert {match[1] for match in targets} <= known


def test_it_does_not_run_as_root(steps):
    users = [value for kind, value in steps if kind == "USER"]
    assert users
    assert users[-1] not in ("root", "0")
    assert f"useradd --create-home --uid 1000 {users[-1]}" in dict(steps[:3])["RUN"]


def test_nothing_is_told_or_asked_for_outside_at_run_time(steps):
    kept = environment(steps)
    off = dict(
        re.findall(r"^export (DO_NOT_TRACK|DVC_NO_ANALYTICS|MLFLOW_DISABLE_TELEMETRY) := (\w+)",
                   (ROOT / "Makefile").read_text(), re.M)
    )  # fmt: skip
    assert len(off) == 3
    assert off.items() <= kept.items()
    assert kept["PIP_NO_INDEX"] == "1"
    assert kept["PIP_EXTRA_INDEX_URL"] == ""
    assert kept["HF_HUB_OFFLINE"] == "1"
    assert not [kind for kind, _ in steps if kind in ("EXPOSE", "ADD", "HEALTHCHECK")]


def test_what_the_install_step_needs_is_copied_before_it(steps):
    install = steps.index(("RUN", "make install"))
    there = {
        name.rstrip("/")
        for kind, value in steps[:install]
        if kind == "COPY"
        for name in value.split()[1:-1]
    }
    asked = subprocess.run(
        ["make", "-n", "-W", "pyproject.toml", "install"],
        cwd=ROOT,
        capture_output=True,
        encoding="utf-8",
        check=True,
    ).stdout
    for name in ("requirements.lock", "requirements-dev.lock"):
        assert name in asked
    assert {
        "Makefile",
        "pyproject.toml",
        "requirements.lock",
        "requirements-dev.lock",
        "src",
    } <= there
    assert all((ROOT / name).exists() for name in there)


def test_patients_and_environments_stay_out_of_the_image():
    ignored = (ROOT / ".containerignore").read_text(encoding="utf-8").split()
    assert {".git", ".venv", "data", "models", "mlruns", ".dvc/config.local"} <= set(ignored)
    same = (ROOT / ".dockerignore").read_text(encoding="utf-8").split()
    assert same == ignored
