"""Functions run in processes of their own, and killed at a step of their writing."""

import multiprocessing
import os
import signal


def at_once(*functions):
    """Run each function in a process of its own; their exit codes."""
    processes = [multiprocessing.get_context("fork").Process(target=each) for each in functions]
    for process in processes:
        process.start()
    for process in processes:
        process.join()
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
