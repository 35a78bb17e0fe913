"""The one error that a person is meant to read."""

from functools import partial
from pathlib import Path


class InputError(Exception):
    """Something given to the program cannot be used: exit code 2, nothing half-written.

    The message always has the same four parts, so that a person can act on it:
    where (a file, a parameter), what was expected, what was found, what to do.
    """

    def __init__(self, where: str | Path, *, expected: str, found: str, fix: str):
        self.where = str(where)
        self.expected = expected
        self.found = found
        self.fix = fix
        super().__init__(f"{where}: expected {expected}, found {found}. {fix}")

    def __reduce__(self):
        """Keeps the error whole on its way from a worker process."""
        parts = {"expected": self.expected, "found": self.found, "fix": self.fix}
        return partial(InputError, **parts), (self.where,)


def require_file(path: Path, *, expected: str, fix: str) -> Path:
    """`path`, if a file is there.

    :raises InputError: there is none.
    """
    if not path.is_file():
        raise InputError(path, expected=expected, found="no such file", fix=fix)
    return path
