"""What a result depends on: code, libraries, parameters, data. Whoever needs to know asks here.

Code is what is really imported: the closure of a module over the imports of this package, those
inside functions included, those for type checkers left out. Cache keys (:func:`key`) hash the
code's syntax tree, so that a comment throws no training away; `dvc.yaml` lists the files
themselves (:func:`stage_deps`).
"""

from __future__ import annotations

import ast
import hashlib
import json
import sys
from collections.abc import Iterable, Mapping
from functools import cache, lru_cache
from importlib import metadata
from importlib.util import resolve_name
from pathlib import Path

from spinalroots.compute import arithmetic
from spinalroots.files import sha256

PACKAGE = "spinalroots"
SOURCES = Path(__file__).parents[1]
RUNNER = f"{PACKAGE}.stages.__main__"
"""What every stage is started by."""


@lru_cache(maxsize=1)
def modules() -> dict[str, Path]:
    """Every module of the package: dotted name → file."""
    found = {}
    for path in sorted(SOURCES.rglob("*.py")):
        parts = [PACKAGE, *path.relative_to(SOURCES).with_suffix("").parts]
        found[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path
    return found


@cache
def imports(module: str) -> tuple[frozenset[str], frozenset[str]]:
    """What a module imports itself: modules of the package, and names of other top-level packages.

    A string that spells a module of the package counts too: that is how a process of its own is
    started on it.
    """
    own, others = set(), set()
    for node in _running(_tree(module)):
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            names = [f"{_base(module, node)}.{alias.name}" for alias in node.names]
        elif isinstance(node, ast.Constant) and node.value in modules():
            names = [node.value]
        else:
            continue
        for name in names:
            if name.partition(".")[0] == PACKAGE:
                own.add(_module_of(name))
            else:
                others.add(name.partition(".")[0])
    return frozenset(own - {module}), frozenset(others - sys.stdlib_module_names)


def closure(roots: Iterable[str]) -> tuple[str, ...]:
    """All modules of the package that run when `roots` do, sorted; packages above them included.

    :raises KeyError: one of `roots` is no module of the package.
    """
    seen: set[str] = set()
    waiting = list(roots)
    while waiting:
        module = waiting.pop()
        if module in seen:
            continue
        seen.add(module)
        above = module.rpartition(".")[0]
        waiting += [*imports(module)[0], *([above] if above else [])]
    return tuple(sorted(seen))


def stage_closure(stage: str) -> tuple[str, ...]:
    """The modules behind a stage of dvc.yaml, the reading of its parameters included."""
    return closure([RUNNER, f"{PACKAGE}.stages.{stage}"])


def stage_deps(stage: str) -> list[str]:
    """The code that dvc.yaml must name for a stage: rooms as folders, lone modules as files.

    Rooms rather than files, so that a list stays readable; the price is a stage that runs once too
    often, never one that does not run.
    """
    lone = {f"{PACKAGE}.stages"}
    found = {"bin/stage", "requirements.lock"}  # how Python is started, and on which libraries
    for module in stage_closure(stage):
        path = modules()[module].relative_to(SOURCES)
        room = path.parts[0]
        inside = len(path.parts) > 1 and f"{PACKAGE}.{room}" not in lone
        found.add(f"src/{PACKAGE}/{room if inside else path.as_posix()}")
    return sorted(found)


def libraries(roots: Iterable[str]) -> dict[str, str]:
    """Version of Python and of every distribution that the closure of `roots` imports itself."""
    names = set().union(*(imports(module)[1] for module in closure(roots)))
    owners = _owners()
    found = {owner: metadata.version(owner) for name in names for owner in owners.get(name, [])}
    return {"python": ".".join(map(str, sys.version_info[:2])), **dict(sorted(found.items()))}


@cache
def _owners() -> Mapping[str, list[str]]:
    """Top-level package → the distributions that bring it; finding out takes most of a second."""
    return metadata.packages_distributions()


def code(roots: Iterable[str]) -> str:
    """SHA-256 of what the closure of `roots` does: syntax trees without comments and docstrings."""
    digest = hashlib.sha256()
    for module in closure(roots):
        digest.update(f"{module}\n{_meaning(module)}\n".encode())
    return digest.hexdigest()


def facts(stage: str) -> dict[str, str]:
    """What must be the same wherever cases of `stage` are worked on, for the bytes to be: code,
    libraries, and the arithmetic as far as it is fixed here."""
    roots = [f"{PACKAGE}.stages.{stage}"]
    loose = arithmetic.not_in_force(stage)
    fixed = {name: told for name, told in arithmetic.variables(stage).items() if name not in loose}
    return {"code": code(roots)[:16], **libraries(roots), **fixed}


def key(roots: Iterable[str], settings: object, files: Iterable[Path] = ()) -> str:
    """Name (16 hex digits) of a result: it changes with whatever the result depends on.

    :param roots: modules that make it; their closure counts.
    :param settings: plain values that decide it, for JSON; what decides only how it is made stays
        out.
    :param files: the data, by content and by order; a file that is not there counts as empty.
    """
    roots = tuple(roots)
    digest = hashlib.sha256(code(roots).encode())
    told = {"libraries": libraries(roots), "settings": settings}
    digest.update(json.dumps(told, sort_keys=True, default=str).encode())
    for path in map(Path, files):
        content = sha256(path) if path.is_file() else hashlib.sha256().hexdigest()
        digest.update(f"\n{path.name}\n{content}".encode())
    return digest.hexdigest()[:16]


def _running(tree: ast.AST) -> Iterable[ast.AST]:
    """The nodes of a tree that run, without the branches for type checkers and without docs."""
    waiting: list[ast.AST] = [tree]
    while waiting:
        node = waiting.pop()
        yield node
        if isinstance(node, ast.If) and _name(node.test) == "TYPE_CHECKING":
            waiting += node.orelse
        else:
            waiting += ast.iter_child_nodes(node)


def _name(node: ast.expr) -> str:
    return node.attr if isinstance(node, ast.Attribute) else getattr(node, "id", "")


def _base(module: str, node: ast.ImportFrom) -> str:
    """The absolute module of a `from … import`."""
    is_package = modules()[module].name == "__init__.py"
    package = module if is_package else module.rpartition(".")[0]
    return resolve_name("." * node.level + (node.module or ""), package)


def _module_of(name: str) -> str:
    """The module that a dotted name lies in: `a.b.function` → `a.b`."""
    while name not in modules():
        name = name.rpartition(".")[0]
    return name


def _tree(module: str) -> ast.Module:
    return ast.parse(modules()[module].read_text(encoding="utf-8"))


@cache
def _meaning(module: str) -> str:
    tree = _tree(module)
    for node in ast.walk(tree):
        body = getattr(node, "body", None)
        if isinstance(body, list) and body:
            body[:] = [line for line in body if not _is_text(line)]
    return ast.dump(tree)


def _is_text(node: ast.AST) -> bool:
    """Whether a statement is a docstring, of a module, a function or a constant."""
    return isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)
