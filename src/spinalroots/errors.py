"""The one error that a person is meant to read."""

from functools import partial
from pathlib import Path

MOST = 2000
"""Characters of a part of an error."""


class InputError(Exception):
    """Something given to the program cannot be used: exit code 2, nothing half-written.

    The message always has the same four parts, so that a person can act on it:
    where (a file, a parameter), what was expected, what was found, what to do.
    """

    def __init__(self, where: str | Path, *, expected: str, found: str, fix: str):
        self.where = _told(str(where))
        self.expected = _told(expected)
        self.found = _told(found)
        self.fix = _told(fix)
        super().__init__(f"{self.where}: expected {self.expected}, found {self.found}. {self.fix}")

    def __reduce__(self):
        """Keeps the error whole on its way from a worker process."""
        parts = {"expected": self.expected, "found": self.found, "fix": self.fix}
        return partial(InputError, **parts), (self.where,)


def of_machine(error: BaseException | None) -> InputError | None:
    """What the machine refused, a file or memory, in four parts; None of any other error."""
    if isinstance(error, MemoryError):
        return InputError(
            "memory",
            expected="enough for what was given",
            found=f"not enough ({error})" if str(error) else "not enough",
            fix="Give less at once (a smaller scan, fewer jobs), or use a larger machine.",
        )
    if isinstance(error, OSError) and error.filename is not None:
        return InputError(
            error.filename,
            expected="a file or folder that can be used",
            found=error.strerror or str(error),
            fix="Check its name, who may read or write it, and the space on its disk.",
        )
    return None


def _told(text: str) -> str:
    """What a terminal and a person can take: a file's content may come to stand in an error."""
    if len(text) > MOST:
        text = f"{text[: MOST - 200]} … {text[-150:]}"
    return "".join(one if one.isprintable() or one in "\n\t" else ascii(one)[1:-1] for one in text)


def require_file(path: Path, *, expected: str, fix: str) -> Path:
    """`path`, if a file is there.

    :raises InputError: there is none.
    """
    if not path.is_file():
        raise InputError(path, expected=expected, found="no such file", fix=fix)
    return path
