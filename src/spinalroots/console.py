"""How every command of the project ends, whatever happens in it.

Exit codes: 0 done, 1 a fault of the program, 2 something given to it cannot be used, 130 Ctrl-C.
"""

import gc
import io
import sys
from collections.abc import Callable

from spinalroots.errors import InputError, of_machine


def run(command: Callable[[], int | None]) -> int:
    """Run `command`; an :class:`InputError` becomes a line on stderr and exit code 2."""
    # Libraries make millions of objects and no garbage while they load; the collector's default of
    # looking every 700 objects is a fifth of a stage's start.
    gc.set_threshold(100_000, 50, 50)
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):  # a locale without "×" must not end a run
            stream.reconfigure(errors="replace")
    try:
        return command() or 0
    except InputError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    except (OSError, MemoryError) as error:
        if (told := of_machine(error)) is None:
            raise
        print(f"error: {told}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("interrupted; run the same command again to go on", file=sys.stderr)
        return 130
    finally:
        gc.freeze()  # else Python looks through all of them once more before it ends
