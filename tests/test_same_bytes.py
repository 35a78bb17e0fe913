"""Data stages give the same bytes on every processor: two of them are emulated side by side.

An environment can make the libraries behave as on a processor without AVX and FMA, by another
maker and with other cores. The stages are run by `bin/stage`, as the pipeline runs them.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import yaml
from numpy._core import _multiarray_umath as numpy_core
from pipeline import Copy

from spinalroots.compute import arithmetic
from spinalroots.stages import STAGES

STAGE_RUNS = (
    ("phantom",),
    ("refine",),
    ("split",),
    ("augment",),
    ("centreline",),
    ("prepare_nnunet", "all-levels"),
)
"""Every library that the data stages calculate with, in little time."""

OWN: dict[str, str] = {}
"""This processor, as it is."""

OTHER = {
    "NPY_DISABLE_CPU_FEATURES": " ".join(
        name for name in numpy_core.__cpu_dispatch__ if numpy_core.__cpu_features__[name]
    ),
    "GLIBC_TUNABLES": "glibc.cpu.hwcaps=-AVX2,-FMA,-AVX2_Usable,-FMA_Usable",
    "ATEN_CPU_CAPABILITY": "default",
    "OPENBLAS_CORETYPE": "Prescott",
    "MKL_CBWR": "SSE2",
    "OMP_NUM_THREADS": "3",
}
"""A processor without AVX and FMA, on which loops are split over three threads."""

PROBE = """
import json, math
import numpy, scipy.linalg, threadpoolctl, torch
from numpy._core._multiarray_umath import __cpu_dispatch__, __cpu_features__
pools = threadpoolctl.threadpool_info()
print(json.dumps({
    "numpy": [name for name in __cpu_dispatch__ if __cpu_features__[name]],
    "blas": sorted({pool["architecture"] for pool in pools if pool["user_api"] == "blas"}),
    "threads": sorted({pool["num_threads"] for pool in pools} | {torch.get_num_threads()}),
    "torch": torch.backends.cpu.get_cpu_capability(),
    "libm": [math.exp(step / 1024).hex() for step in range(4096)],
}))
"""


def other_than_this_processor() -> dict[str, str]:
    """`OTHER`, or a skip where this processor has nothing that could be taken from it."""
    if not OTHER["NPY_DISABLE_CPU_FEATURES"]:
        pytest.skip("this processor has neither AVX2 nor FMA: there is no older one to emulate")
    return OTHER


def environment(**given: str) -> dict[str, str]:
    """This process's environment without what the emulation and the stages set, and `given`."""
    ours = {*arithmetic.VARIABLES, *OTHER}
    return {**{name: value for name, value in os.environ.items() if name not in ours}, **given}


def change(path: Path, edit: Callable[[dict], None]) -> None:
    """A YAML file with `edit` done to its values."""
    values = yaml.safe_load(path.read_text(encoding="utf-8"))
    edit(values)
    path.write_text(yaml.safe_dump(values), encoding="utf-8")


def small(own: dict, workers: int) -> None:
    """Three coarse phantoms and one variant."""
    own.update(scale="smoke", workers=workers)
    own["phantom"].update(cases=3, in_plane_mm=[1.4, 1.5], slice_mm=[3.0, 3.2])
    own["augment"].update(variants=1, variants_per_case=1)


def everything_happens(expert: dict) -> None:
    """Every augmentation transform, every time."""
    for transform in expert["augment"]["transforms"].values():
        transform["probability"] = 1.0


@pytest.fixture(scope="module")
def outputs(tmp_path_factory) -> list[dict[str, bytes]]:
    """What the data stages wrote on each of the two processors: path → bytes."""
    emulated = [(OWN, 1), (other_than_this_processor(), 2)]
    folders = [tmp_path_factory.mktemp("processor") for _ in emulated]

    def run(folder: Path, processor: dict[str, str], workers: int) -> dict[str, bytes]:
        copy = Copy(folder)
        change(folder / "params.yaml", lambda own: small(own, workers))
        change(folder / "conf/expert.yaml", everything_happens)
        inputs = {path for path in folder.rglob("*") if path.is_file()}
        kept = environment(PATH=copy.environment["PATH"], **processor)
        for names in STAGE_RUNS:
            result = subprocess.run(
                ["bin/stage", *names], cwd=folder, env=kept, capture_output=True, encoding="utf-8"
            )
            assert result.returncode == 0, result.stderr[-3000:]
        return {
            str(path.relative_to(folder)): path.read_bytes()
            for path in sorted(folder.rglob("*"))
            if path.is_file() and path not in inputs and ".cache" not in path.parts
            if "__pycache__" not in path.parts
        }

    with ThreadPoolExecutor() as pool:
        return list(pool.map(lambda folder, given: run(folder, *given), folders, emulated))


def test_two_processors_write_the_same_bytes(outputs):
    own, other = outputs
    assert len(own) > 50
    assert own.keys() == other.keys()
    assert [path for path in own if own[path] != other[path]] == []


def probe(variables: dict[str, str]) -> dict:
    """What the libraries of a new process chose."""
    result = subprocess.run(
        [sys.executable, "-c", PROBE], env=environment(**variables), capture_output=True, check=True
    )
    return json.loads(result.stdout)


def test_every_library_heeds_its_variable():
    other_than_this_processor()
    chosen, own = probe(arithmetic.variables("augment")), probe(OWN)
    assert chosen["numpy"] == []
    assert chosen["blas"] == ["Nehalem"]
    assert chosen["threads"] == [1]
    assert chosen["torch"] == "DEFAULT"
    if numpy_core.__cpu_features__["FMA3"]:
        assert chosen["libm"] != own["libm"]


@pytest.mark.parametrize("stage", STAGES)
def test_stages_that_run_networks_and_only_they_have_the_processors_full_speed(stage):
    network = stage.startswith(("train", "predict", "tune", "quantize"))
    assert bool(arithmetic.variables(stage)) is not network


def test_a_stage_started_in_another_way_says_so(capsys, monkeypatch):
    for name, value in arithmetic.VARIABLES.items():
        monkeypatch.setenv(name, value)
    arithmetic.warn_unless_in_force("phantom")
    assert capsys.readouterr().err == ""
    monkeypatch.setenv("MKL_CBWR", "AVX2")
    arithmetic.warn_unless_in_force("phantom")
    assert "MKL_CBWR" in capsys.readouterr().err
    arithmetic.warn_unless_in_force("train_hardnet")
    assert capsys.readouterr().err == ""
