"""`python -m spinalroots` is the same as `spinalroots`."""

from spinalroots.cli import main

if __name__ == "__main__":
    raise SystemExit(main())
