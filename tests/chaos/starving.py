"""Ways to take something away from a command: words to put before it. Some need root."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

ODD = 'Ärztin\'s "T2" scans & Größen, 2. Serie (näher) ' + "sehr lang " * 14 + "x"
"""A folder name with blanks, quotes, umlauts; 200 characters."""
MEMORY_BYTES = 1_500_000_000
GROUP = Path("/sys/fs/cgroup/memory/spinalroots-chaos")
"""Version 1 of control groups; on a machine with version 2, `systemd-run -p MemoryMax=` does it."""


def without_shared_memory() -> list[str]:
    """No byte fits into /dev/shm."""
    mount = 'mount -t tmpfs -o ro,size=4k none /dev/shm && exec "$@"'
    return ["unshare", "-m", "sh", "-c", mount, "sh"]


def with_little_memory(limit: int = MEMORY_BYTES) -> list[str]:
    """The kernel kills what takes more, page cache aside."""
    GROUP.mkdir(exist_ok=True)
    (GROUP / "memory.limit_in_bytes").write_text(str(limit))
    return ["sh", "-c", f'echo $$ > {GROUP}/cgroup.procs && exec "$@"', "sh"]


def read_only(folder: Path) -> list[str]:
    """Nothing can be written below `folder`."""
    mount = 'mount --bind "$1" "$1" && mount -o remount,ro,bind "$1" && shift && exec "$@"'
    return ["unshare", "-m", "sh", "-c", mount, "sh", str(folder)]


PLAIN = {
    "one core": ["taskset", "-c", "0"],
    "no HOME": ["env", "-u", "HOME"],
    "LC_ALL=C": ["env", "-u", "PYTHONUTF8", "LC_ALL=C", "LANG=C"],
    "a clock that is years behind": ["faketime", "2020-01-01 00:00:00"],
    "a clock that runs a hundred times as fast": ["faketime", "-f", "+0 x100"],
}
"""Condition → words before a command."""


def at_hand() -> dict[str, list[str]]:
    """Those of all conditions that this machine can make."""
    found = {name: words for name, words in PLAIN.items() if shutil.which(words[0])}
    if os.geteuid() == 0 and shutil.which("unshare"):
        found["no /dev/shm"] = without_shared_memory()
        if GROUP.parent.is_dir():
            found["1.5 GB of memory"] = with_little_memory()
    return found
