"""The page as HTML: one file, everything inside it, nothing loaded from anywhere."""

from __future__ import annotations

import re
from functools import lru_cache
from typing import Any

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
    return _template().render(
        title=title,
        lead=lead,
        facts=facts,
        cautions=cautions,
        sections=sections,
        version=__version__,
    )


@lru_cache(maxsize=1)
def _template() -> Any:
    from jinja2 import Environment, PackageLoader

    environment = Environment(loader=PackageLoader("spinalroots.report"), autoescape=True)
    environment.filters["marked"] = _marked
    return environment.get_template("page.html.j2")


def _marked(text: str) -> Markup:
    return Markup(_CODE.sub(r"<code>\1</code>", str(escape(text))))
