"""How much memory may still be taken here, by the machine and by the control groups around."""

from pathlib import Path

import psutil

GROUPS = Path("/sys/fs/cgroup")
_OWN = Path("/proc/self/cgroup")
_FILES = {
    1: ("memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file"),
    2: ("memory.max", "memory.current", "inactive_file"),
}
"""Version → limit, use, and what of the use is page cache that is given back when asked for."""


def free_gb() -> float:
    """GB (1e9 bytes) until the machine, or a control group that this process is in, is full."""
    machine = psutil.virtual_memory().available
    return min([machine, *_free_in_groups(_OWN, GROUPS)]) / 1e9


def _free_in_groups(own: Path, groups: Path) -> list[int]:
    """Bytes left in each limited group, from this process's own up to the outermost.

    Source: the kernel's Documentation/admin-guide/cgroup-v1/memory.rst and cgroup-v2.rst.
    """
    lines = own.read_text().splitlines() if own.is_file() else []
    found = []
    for _, controllers, path in (line.split(":", 2) for line in lines):
        version = 1 if controllers else 2
        if version == 1 and "memory" not in controllers.split(","):
            continue
        top = groups / "memory" if version == 1 else groups
        # A container may see its own group as the top, under whatever path the host knows it.
        inner = top / path.lstrip("/")
        for folder in {top, inner, *(one for one in inner.parents if one.is_relative_to(top))}:
            found += _free_in(folder, *_FILES[version])
    return found


def _free_in(folder: Path, limit: str, used: str, cache: str) -> list[int]:
    """Of one group; nothing where it has no limit or does not say."""
    try:
        most = (folder / limit).read_text().strip()
        if most == "max":
            return []
        stat = dict(line.split() for line in (folder / "memory.stat").read_text().splitlines())
        return [int(most) - int((folder / used).read_text()) + int(stat.get(cache, 0))]
    except (OSError, ValueError):
        return []
