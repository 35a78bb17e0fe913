"""Functions run in processes of their own, and killed at a step of their writing.

The processes come from a fork server, which has one thread: a child forked from a process whose
libraries hold threads (OpenMP, BLAS) waits for ever for threads that only its parent has.
"""

import multiprocessing
import os
import signal
import time

import cloudpickle

CONTEXT = multiprocessing.get_context("forkserver")
CONTEXT.set_forkserver_preload(["cloudpickle", "numpy", "pytest", "spinalroots.files"])


def at_once(*functions, limit_s: float = 120):
    """Run each function in a process of its own; their exit codes. None may take longer."""
    here = dict(os.environ), os.getcwd()
    processes = [
        CONTEXT.Process(target=_call, args=(cloudpickle.dumps(each), *here)) for each in functions
    ]
    for process in processes:
        process.start()
    end = time.monotonic() + limit_s
    for process in processes:
        process.join(max(0.0, end - time.monotonic()))
    late = [process for process in processes if process.is_alive()]
    for process in late:
        process.kill()
    assert not late, f"{len(late)} of {len(processes)} processes had not ended after {limit_s} s"
    return [process.exitcode for process in processes]


def killed_after(renames, function):
    """The exit code of a process that is killed instead of doing one more rename."""

    def run():
        real, left = os.replace, [renames]

        def replace(source, target):
            if not left[0]:
                os.kill(os.getpid(), signal.SIGKILL)
            left[0] -= 1
            real(source, target)

        os.replace = replace
        function()

    return at_once(run)[0]


def _call(function: bytes, environment: dict[str, str], folder: str) -> None:
    os.environ.clear()
    os.environ.update(environment)
    os.chdir(folder)
    cloudpickle.loads(function)()
