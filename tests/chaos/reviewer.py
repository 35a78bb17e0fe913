"""A reviewer: opens the page's server, enters what is not confirmed yet, corrects, and leaves."""

from __future__ import annotations

import json
import re
import signal
import subprocess
import sys
import urllib.request

FORM = {"verdict": "pass", "scores": {"all": 0.8}, "comment": "looks well"}


def main() -> int:
    """`python reviewer.py PREDICTIONS`; everything happens in this process group."""
    served = subprocess.Popen(
        [sys.executable, "-m", "spinalroots", "review", *sys.argv[1:], "--no-browser"],
        stdout=subprocess.PIPE,
        encoding="utf-8",
    )
    found = re.search(r"http://127\.0\.0\.1:\d+/\S+/", served.stdout.readline())
    if not found:
        return 1
    try:
        enter_all(found[0])
    finally:
        served.send_signal(signal.SIGINT)
        served.wait()
    return 0


def enter_all(url: str) -> None:
    """Three reviewers correct, save and confirm every case."""
    for who in ("AB", "CD", "EF"):
        for case in ask(f"{url}api/cases?reviewer={who}"):
            number = case["number"]
            details = ask(f"{url}api/cases/{number}?reviewer={who}")
            body = {"reviewer": who, "version": details["version"]}
            for revision in range(details["revision"], 3):
                voxels = [1000 + revision]
                change = {"kind": "paint", "voxels": voxels, "value": details["offered"][0]}
                step = {"revision": revision, "change": change}
                ask(f"{url}api/cases/{number}/edit", body | step)
            ask(f"{url}api/cases/{number}/save", body)
            if case["state"] != "confirmed":
                ask(f"{url}api/cases/{number}/confirm", body | {"form": FORM})


def ask(url: str, body: dict | None = None):
    """The answer to a GET, or to a POST of `body`."""
    data = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(url, data, {"Content-Type": "application/json"})
    with urllib.request.urlopen(request, timeout=60) as answer:
        return json.load(answer)


if __name__ == "__main__":
    raise SystemExit(main())
