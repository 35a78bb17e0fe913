"""`python -m spinalroots.storage pull|push|check|mend`: what `make pull|push|repro` call."""

import argparse
from contextlib import suppress

from spinalroots import console
from spinalroots.errors import InputError
from spinalroots.pipeline import interrupted


def main(arguments: list[str] | None = None) -> int:
    """Run one command; returns the exit code."""
    parser = argparse.ArgumentParser(
        prog="python -m spinalroots.storage",
        description="Data and models to and from the DVC remote, checked on the way.",
    )
    parser.add_argument("command", choices=("pull", "push", "check", "mend"))
    parser.add_argument("targets", nargs="*", help="such as models/hardnet-anatomy; default: all")
    parser.add_argument("-r", "--remote", default="", help="default: the configured one")
    parser.add_argument(
        "--hash",
        action="store_true",
        help="push, check: read every object there, instead of comparing sizes",
    )
    options = parser.parse_args(arguments)
    return console.run(lambda: _run(options))


def _run(options: argparse.Namespace) -> None:
    if options.command == "mend":
        print("".join(f"{line}\n" for line in interrupted.mended()), end="")
        return
    from spinalroots.storage import commands

    with suppress(InputError):  # beside another DVC: its own locks decide
        print("".join(f"{line}\n" for line in interrupted.mended()), end="")
    if options.command == "check":
        lines = commands.check(options.remote, hashes=options.hash)
    elif options.command == "push":
        lines = commands.push(options.targets, options.remote, hashes=options.hash)
    else:
        lines = commands.pull(options.targets, options.remote)
    print("\n".join(lines))


if __name__ == "__main__":
    raise SystemExit(main())
