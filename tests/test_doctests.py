"""The examples in docstrings are collected, all of them: a wrong example is worse than none."""

import ast
import doctest
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
SOURCES = sorted((ROOT / "src").rglob("*.py"))


def docstrings_with_examples() -> set[str]:
    """`file:line` of every docstring below src that holds an example."""
    parse = doctest.DocTestParser().get_examples
    documented = (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)
    return {
        f"{path.relative_to(ROOT)}:{node.body[0].lineno}"
        for path in SOURCES
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, documented) and parse(ast.get_docstring(node) or "")
    }


def test_the_test_command_collects_examples(pytestconfig):
    assert pytestconfig.getoption("doctestmodules")
    assert "src" in pytestconfig.getini("testpaths")
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    (command,) = re.findall(r"python -m pytest (-n [^#]*?\$\(ARGS\))", makefile)
    assert not re.search(r"tests|src|\.py", command)  # no path: the whole of both


def test_every_docstring_with_an_example_is_a_test(request, pytestconfig):
    whole = pytestconfig.args_source is pytest.Config.ArgsSource.TESTPATHS
    if not whole or pytestconfig.getoption("keyword"):
        pytest.skip("only the whole test command collects them all")
    items = [item for item in request.session.items if isinstance(item, pytest.DoctestItem)]
    collected = sum(item.path.is_relative_to(ROOT / "src") for item in items)
    assert collected == len(docstrings_with_examples()) > 10


def test_no_example_is_skipped():
    skipped = [str(path) for path in SOURCES if "doctest: +SKIP" in path.read_text("utf-8")]
    assert not skipped
