"""The scripts and styles of the viewer, to stand inside a page or to be served beside it."""

import json
from functools import cache
from importlib.resources import files

from markupsafe import Markup


def style() -> Markup:
    """The `<style>` element of a page with a viewer."""
    return Markup(f"<style>\n{stylesheet()}</style>")


def stylesheet() -> str:
    """The styles alone, for a page that is served."""
    return _asset("viewer.css")


def scripts() -> Markup:
    """The `<script>` elements that define `spinalViewer` (see `assets/viewer.js`).

    Three megabytes with NiiVue; nothing is loaded from anywhere.
    """
    return Markup("".join(f"<script>{_inside(text)}</script>\n" for text in (niivue(), script())))


def niivue() -> str:
    """NiiVue as it was vendored; it defines `niivue`."""
    return files(__package__).joinpath("vendor", "niivue.js").read_text(encoding="utf-8")


@cache
def script() -> str:
    """Our own script, the shader of the slices in it; it defines `spinalViewer`."""
    return f"{_asset('viewer.js')}\nspinalViewer.outlineShader = {_json(_asset('outline.frag'))};\n"


def data(name: str, content: object) -> Markup:
    """A `<script type="application/json">` element with the id `name` that holds `content`."""
    return Markup(f'<script type="application/json" id="{name}">{_json(content)}</script>')


def _json(content: object) -> str:
    """JSON that can stand in a script element."""
    return json.dumps(content, ensure_ascii=False, separators=(",", ":")).replace("<", "\\u003c")


def _inside(text: str) -> str:
    """The text of a script, which must not end its element or begin a comment in it."""
    if "</script" in text.lower() or "<!--" in text:
        raise ValueError("a script that cannot stand inside a page")
    return text


@cache
def _asset(name: str) -> str:
    return files(__package__).joinpath("assets", name).read_text(encoding="utf-8")
