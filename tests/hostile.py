"""Inputs that are odd, damaged or made to harm: a registry of makers, a file or folder each.

A maker is given an empty folder and returns what a person would name on the command line. `door`
says which command it is tried at (see test_hostile_inputs.py).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any


@dataclass(frozen=True)
class Hostile:
    """One input: `name` is unique; `make` writes it into a folder and returns what is given."""

    door: str
    name: str
    make: Callable[[Path], Any]


ALL: dict[str, Hostile] = {}


def add(door: str, name: str, make: Callable[[Path], Any]) -> None:
    """Register one input."""
    key = f"{door}: {name}"
    assert key not in ALL, key
    ALL[key] = Hostile(door, name, make)


def file(door: str, name: str, content: Callable[[], bytes] | bytes, called: str) -> None:
    """Register a file of this content."""

    def make(folder: Path) -> Path:
        path = folder / called
        path.write_bytes(content if isinstance(content, bytes) else content())
        return path

    add(door, name, make)
