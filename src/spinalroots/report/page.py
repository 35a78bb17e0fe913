"""The page as HTML: one file, everything inside it, nothing loaded from anywhere."""

import re
from functools import cache
from math import isfinite

from jinja2 import Environment, PackageLoader, Template
from markupsafe import Markup, escape

from spinalroots import __version__
from spinalroots.report.blocks import Section, Text

_CODE = re.compile(r"`([^`]+)`")


def render(
    title: str,
    lead: str,
    facts: list[tuple[str, str]],
    cautions: list[Text],
    sections: list[Section],
) -> str:
    """HTML of a page.

    Text is escaped; words between backquotes become code. Only drawings' SVG goes in as it is.
    """
    parts = {"title": title, "lead": lead, "facts": facts, "cautions": cautions}
    return template("page.html.j2").render(parts, sections=sections, version=__version__)


@cache
def template(name: str) -> Template:
    """A template of this folder, what it is given escaped."""
    environment = Environment(loader=PackageLoader("spinalroots.report"), autoescape=True)
    environment.filters["marked"] = _marked
    environment.tests["finite"] = isfinite
    environment.globals["inside"] = lambda value: min(max(value, 0), 1)
    return environment.get_template(name)


def _marked(text: str) -> Markup:
    return Markup(_CODE.sub(r"<code>\1</code>", str(escape(text))))
