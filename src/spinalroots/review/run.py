"""`spinalroots review`: from paths to a page in the browser."""

import sys
import webbrowser
from collections.abc import Sequence
from pathlib import Path

from spinalroots.review import cases, server
from spinalroots.review.desk import Desk


def run(
    sources: Sequence[Path],
    data: Path,
    scans: Sequence[Path] = (),
    *,
    port: int = 0,
    browser: bool = True,
) -> None:
    """Open a page on which the predictions in `sources` are reviewed; ends with Ctrl-C.

    :raises InputError: nothing to review, a scan that is not to be found, a port that is taken.
    """
    found = cases.find(sources, data, scans)
    token = server.new_token()
    with server.listener(port) as place:
        url = f"http://{server.HOST}:{place.getsockname()[1]}/{token}/"
        print(f"{len(found)} case(s) to review, on this machine only: {url}", flush=True)
        print("End with Ctrl-C; what was entered is kept.", file=sys.stderr, flush=True)
        if browser:
            webbrowser.open(url)
        server.serve(Desk(found, data), token, place)
