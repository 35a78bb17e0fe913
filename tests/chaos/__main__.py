"""`python tests/chaos`: kill everything at random moments, and count what recovers.

The first call builds a workspace at smoke scale (minutes); later ones take it as it is, as long as
its code is this checkout's.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import random
import shutil
import signal
import sys
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE), str(HERE.parent)]

from commands import Command, others, stages  # noqa: E402
from killing import Moment  # noqa: E402
from starving import ODD  # noqa: E402
from trying import Try, Undisturbed, tried, undisturbed  # noqa: E402
from workspace import LESS, READY, Workspace  # noqa: E402


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the tries; 0 if all recovered."""
    parser = argparse.ArgumentParser(prog="make chaos", description=__doc__)
    parser.add_argument("--kills", type=int, default=100, help="in all (default: %(default)s)")
    parser.add_argument("--seed", type=int, default=0, help="of the moments; 0: the time")
    parser.add_argument("--only", nargs="*", default=[], help="names of stages and commands")
    parser.add_argument("--part", default="1/1", help="2/3: the second third of the commands")
    parser.add_argument("--workspace", type=Path, default=HERE.parents[1] / ".cache/chaos" / ODD)
    parser.add_argument("--anew", action="store_true", help="build the workspace again")
    parser.add_argument("--stop", action="store_true", help="at the first that did not recover")
    options = parser.parse_args(arguments)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # what is being killed ends too
    seed = options.seed or int(time.time())
    work = Workspace(options.workspace.resolve())
    ready = work.beside / READY
    known = json.loads(ready.read_text(encoding="utf-8")) if ready.is_file() else {}
    if options.anew or known.get("code") != code():
        shutil.rmtree(work.beside, ignore_errors=True)
        print(f"building an undisturbed workspace in {work.beside}", flush=True)
        took = work.build()
        known = {"code": code(), "seconds": took}
        ready.write_text(json.dumps(known), encoding="utf-8")
    commands = [*stages(work, known["seconds"]), *others(work)]
    if options.only:
        commands = [one for one in commands if one.stage in options.only]
    random.Random(seed).shuffle(commands)
    count = Counter(commands[number % len(commands)].name for number in range(options.kills))
    part, parts = map(int, options.part.split("/"))
    commands = [one for one in commands if count[one.name]][part - 1 :: parts]
    count = {one.name: count[one.name] for one in commands}
    wanted = sum(count.values())
    print(f"seed {seed}: {wanted} kills over {len(commands)} commands", flush=True)
    return told(tries(work, commands, count, seed, stop=options.stop), wanted, seed)


def code() -> str:
    """A digest of all that the workspace's results depend on; another one: they are built anew."""
    digest = hashlib.sha256(json.dumps(LESS).encode())
    tops = ("src", "conf", "bin", "params.yaml", "dvc.yaml", "requirements.lock")
    for path in sorted(one for top in tops for one in below(HERE.parents[1] / top)):
        digest.update(path.read_bytes())
    return digest.hexdigest()


def below(top: Path) -> list[Path]:
    """The files of a folder, byte code left out; or the file itself."""
    found = [top] if top.is_file() else top.rglob("*")
    return [
        one
        for one in found
        if one.is_file() and "egg-info" not in str(one.parent) and one.suffix != ".pyc"
    ]


def tries(
    work: Workspace, commands: list[Command], count: dict[str, int], seed: int, *, stop: bool
) -> list[Try]:
    """So many tries of each command, the quick ones first, each once before any twice.

    They are printed as they end, and noted: what an earlier call with this seed did is not done
    again.
    """
    notes = work.beside / f"tries-{seed}.jsonl"
    done = noted(notes, count)
    over = Counter(one.command for one in done)
    first: dict[str, Undisturbed] = {}
    for turn in range(max(count.values(), default=0)):
        left = [one for one in commands if over[one.name] <= turn < count[one.name]]
        for command in sorted(left, key=lambda one: one.seconds):
            is_stage = command.stage in work.stages()
            try:
                if command.name not in first:
                    first[command.name] = undisturbed(work, command, run=not is_stage)
                was = first[command.name]
                rng = random.Random(f"{seed} {command.name} {turn}")  # whatever else is killed
                one = tried(work, command, was, rng)
            except RuntimeError as error:
                print(f"     {command.name} was not killed: {error}", flush=True)
                continue
            done.append(one)
            with notes.open("a", encoding="utf-8") as stream:
                stream.write(json.dumps(asdict(one)) + "\n")
            end = "recovered" if not one.faults else "NOT RECOVERED"
            print(f"{len(done):4} {one.command}: {one.moment}: {end} ({one.seconds:.0f} s)")
            for fault in one.faults:
                print(f"       {fault}")
            sys.stdout.flush()
            if one.faults and stop:
                return done
            if one.faults or (is_stage and not was.is_there(command)):
                work.restore()  # what comes next is held against the first run's results
    return done


def noted(notes: Path, count: dict[str, int]) -> list[Try]:
    """The tries of `count`'s commands that an earlier call did."""
    lines = notes.read_text(encoding="utf-8").splitlines() if notes.is_file() else []
    read = [json.loads(line) for line in lines]
    return [
        Try(one["command"], Moment(**one["moment"]), tuple(one["faults"]), one["seconds"])
        for one in read
        if one["command"] in count
    ]


def told(done: list[Try], wanted: int, seed: int) -> int:
    """Print the sum; 0 if there were as many kills as wanted, and all recovered."""
    good = sum(not one.faults for one in done)
    signals = Counter(one.moment.how for one in done)
    how = ", ".join(f"{number} {name}" for name, number in sorted(signals.items()))
    print(f"{len(done)} kills ({how}), {good} recoveries, seed {seed}")
    for one in done:
        if one.faults:
            print(f"not recovered: {one.command}, {one.moment}: {one.faults[0][:200]}")
    return int(good < wanted)


if __name__ == "__main__":
    raise SystemExit(main())
