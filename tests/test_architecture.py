"""The house: who may import whom, how large a module gets, and where paths are spelled.

Imports inside functions count, those for type checkers do not.
"""

import ast
import re
from collections.abc import Iterable
from graphlib import CycleError, TopologicalSorter

from spinalroots.pipeline.provenance import PACKAGE, imports, modules

LAYERS = (
    ("errors", "files", "pictures"),
    ("registry",),
    ("settings",),
    ("compute",),
    ("imaging",),
    ("dataset",),
    (
        "augment",
        "inference",
        "ingest",
        "losses",
        "metrics",
        "phantom",
        "postprocess",
        "quality",
        "reconstruct",
        "refine",
        "viewer",
    ),
    ("exports",),
    ("hardnet", "nnunet"),
    ("predict",),
    ("quantize",),
    ("expert", "report"),
    ("realscans", "review"),
    ("pipeline",),
    ("api", "console", "stages"),
    ("storage",),
    ("cli", "__main__"),
)
"""From the ground up: a room imports from its own layer and from those below."""
HEIGHT = {room: height for height, layer in enumerate(LAYERS) for room in layer}
MOST_LINES = 400
PATH = re.compile(r"(data|reports|models)/\S*")
SPELLED_ELSEWHERE = {"pipeline.tracking: data/", "pipeline.tracking: models/"}
"""MLflow tags name the DVC-tracked inputs of a stage by the folder that they lie in."""

NAMED_ELSEWHERE = (
    "spinalroots.nnunet.planner",
    "spinalroots.nnunet.resumable",
    "spinalroots.nnunet.schedule",
    "spinalroots.nnunet.trainer",
    "spinalroots.phantom",
)
"""Methods that override nnU-Net's, and arithmetic on numbers and arrays alike: types would tell no
more than the names."""


def room_of(module: str) -> str:
    """The room or the lone module right below the package; the package itself is none."""
    return module.removeprefix(PACKAGE).lstrip(".").partition(".")[0]


def edges() -> list[tuple[str, str]]:
    """Every import of one module of the package by another."""
    return [(module, other) for module in modules() for other in imports(module)[0]]


def circle(pairs: Iterable[tuple[str, str]]) -> list[str]:
    """A circle among (user, used) pairs, if there is one."""
    graph: dict[str, set[str]] = {}
    for user, used in pairs:
        graph.setdefault(user, set()).add(used)
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        return error.args[1]
    return []


def test_no_module_imports_itself_through_others():
    assert circle(edges()) == []


def test_no_room_imports_itself_through_others():
    rooms = {(room_of(user), room_of(used)) for user, used in edges()}
    assert circle((user, used) for user, used in rooms if user != used and used) == []


def test_every_room_has_its_layer():
    assert {room_of(module) for module in modules()} - {""} == set(HEIGHT)


def test_imports_point_downwards_only():
    climbs = [
        f"{user} imports {used}"
        for user, used in edges()
        if room_of(used) and HEIGHT.get(room_of(user), 0) < HEIGHT[room_of(used)]
    ]
    assert climbs == []


def test_no_module_is_long():
    lines = {
        name: len(path.read_text(encoding="utf-8").splitlines()) for name, path in modules().items()
    }
    assert {name: count for name, count in lines.items() if count > MOST_LINES} == {}


def test_paths_of_the_pipeline_are_spelled_in_one_place():
    found = {
        f"{name.removeprefix(PACKAGE + '.')}: {node.value}"
        for name, path in modules().items()
        if name != f"{PACKAGE}.registry.paths"
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.Constant)
        and isinstance(node.value, str)
        and PATH.fullmatch(node.value)
    }
    assert found == SPELLED_ELSEWHERE


def public_functions():
    """(`module.function`, its node) of every public function and method that is named here."""
    for name, path in modules().items():
        if name.startswith(NAMED_ELSEWHERE):
            continue
        waiting = list(ast.parse(path.read_text(encoding="utf-8")).body)
        while waiting:
            node = waiting.pop()
            if isinstance(node, ast.ClassDef) and not node.name.startswith("_"):
                waiting += node.body
            elif isinstance(node, ast.FunctionDef) and not node.name.startswith("_"):
                yield f"{name}.{node.name}", node


def test_public_functions_say_the_types_they_take_and_give():
    bare = []
    for name, node in public_functions():
        given = [*node.args.posonlyargs, *node.args.args, *node.args.kwonlyargs]
        untyped = [one.arg for one in given if one.annotation is None]
        if [one for one in untyped if one not in ("self", "cls")] or node.returns is None:
            bare.append(name)
    assert bare == []
