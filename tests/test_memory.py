"""Free memory as control groups tell it, and how many processes run at once for it."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import psutil
import pytest

from spinalroots.compute import memory, parallel
from spinalroots.compute.parallel import each

MB = 10**6


def group(folder: Path, limit: object, used: int, cache: int, version: int) -> None:
    """A control group's files, as the kernel shows them."""
    limit_name, used_name, cache_name = (
        ("memory.max", "memory.current", "inactive_file")
        if version == 2
        else ("memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file")
    )
    folder.mkdir(parents=True, exist_ok=True)
    (folder / limit_name).write_text(f"{limit}\n")
    (folder / used_name).write_text(f"{used}\n")
    (folder / "memory.stat").write_text(f"anon {used - cache}\n{cache_name} {cache}\n")


@pytest.mark.parametrize("version", [1, 2])
def test_the_fullest_of_the_groups_around_a_process_counts(tmp_path, version):
    own, top = tmp_path / "cgroup", tmp_path / "fs"
    own.write_text("3:cpu:/\n2:hugetlb,memory:/lab/job\n" if version == 1 else "0::/lab/job\n")
    folder = top / "memory" if version == 1 else top
    group(folder / "lab/job", 1500 * MB, 900 * MB, 200 * MB, version)
    group(folder / "lab", 1200 * MB, 1000 * MB, 100 * MB, version)
    group(folder, "max" if version == 2 else 2**63 - 4096, 0, 0, version)
    assert min(memory._free_in_groups(own, top)) == 300 * MB


@pytest.mark.parametrize("version", [1, 2])
def test_a_container_sees_its_own_group_as_the_top(tmp_path, version):
    own, top = tmp_path / "cgroup", tmp_path / "fs"
    name = "/docker/0123abcd"
    own.write_text(f"4:memory:{name}\n" if version == 1 else f"0::{name}\n")
    group(top / "memory" if version == 1 else top, 2000 * MB, 500 * MB, 0, version)
    assert memory._free_in_groups(own, top) == [1500 * MB]


def test_without_groups_the_machine_alone_counts(tmp_path, monkeypatch):
    monkeypatch.setattr(memory, "_OWN", tmp_path / "none")
    assert memory.free_gb() == pytest.approx(psutil.virtual_memory().available / 1e9, rel=0.2)


@pytest.mark.parametrize(("free", "processes"), [(-0.1, 1), (0.95, 1), (1.3, 2), (9.0, 3)])
def test_less_memory_means_fewer_processes_and_says_so(monkeypatch, capsys, free, processes):
    monkeypatch.setattr(parallel, "free_gb", lambda: free)
    assert parallel._as_fit(3, 0.6, "roots", quiet=False) == processes
    said = capsys.readouterr().err
    if processes < 3:
        assert f"roots: {processes} at once in place of 3: {max(free, 0):.1f} GB of memory" in said
    else:
        assert not said


def test_where_memory_is_short_this_process_works_alone_and_quietly(monkeypatch, capsys):
    monkeypatch.setattr(parallel, "free_gb", lambda: 0.6)
    found = each(lambda number: (number, os.getpid()), [(0,), (1,), (2,)], 3, "roots", quiet=True)
    assert found == [(number, os.getpid()) for number in range(3)]
    assert capsys.readouterr() == ("", "")


GROUP = Path("/sys/fs/cgroup/memory/spinalroots-test")


@pytest.mark.skipif(
    os.geteuid() != 0 or not os.access(GROUP.parent / "memory.limit_in_bytes", os.W_OK),
    reason="no control groups (version 1) that this user may make",
)
def test_a_real_group_is_seen():
    GROUP.mkdir(exist_ok=True)
    try:
        (GROUP / "memory.limit_in_bytes").write_text(str(800 * MB))
        code = "from spinalroots.compute.memory import free_gb; print(free_gb())"
        enter = f'echo $$ > {GROUP}/cgroup.procs && exec "$@"'
        done = subprocess.run(
            ["sh", "-c", enter, "sh", sys.executable, "-c", code],
            capture_output=True,
            text=True,
            check=True,
        )
        assert 0.5 < float(done.stdout) < 0.8
    finally:
        GROUP.rmdir()
