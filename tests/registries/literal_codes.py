"""The codes that stand in the house's own source, read without running it."""

from __future__ import annotations

import ast
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

from tests.support import PROJECT_ROOT

HOUSE = PROJECT_ROOT / "orgs"
# Where a code stands in these; other functions tell by a parameter `code`.
TAKE_IT = {
    **{"Problem": 0, "Failed": 0, "TokenEnded": 0, "SignInRefused": 0, "Shape": 1},
    **{"CellError": 3, "broken": 0, "answer": 1},
}


def literal_codes() -> dict[str, set[str]]:
    """Every code written out under orgs/, and in which files: what is given as `code`, put
    into a name `code`, or compared with one."""
    written: dict[str, set[str]] = defaultdict(set)
    for file in sorted(HOUSE.rglob("*.py")):
        if "migrations" in file.parts or file.name == "codes.py":
            continue
        tree = ast.parse(file.read_text())
        places = TAKE_IT | _own(tree)
        for node in ast.walk(tree):
            for code in _of(node, places):
                written[code].add(str(Path(file).relative_to(HOUSE)))
    return dict(written)


def _own(tree: ast.AST) -> dict[str, int]:
    """Functions of a file with a parameter `code`, and the place of it."""
    found = {}
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef):
            names = [a.arg for a in node.args.args if a.arg not in {"self", "cls"}]
            if "code" in names:
                found[node.name] = names.index("code")
    return found


def _of(node: ast.AST, places: dict[str, int]) -> Iterator[str]:
    match node:
        case ast.Call(func=ast.Name(id=name) | ast.Attribute(attr=name)):
            if name in places and len(node.args) > places[name]:
                yield from _texts(node.args[places[name]])
            for keyword in node.keywords:
                if keyword.arg == "code":
                    yield from _texts(keyword.value)
        case ast.Assign(targets=[ast.Name(id="code")], value=value):
            yield from _texts(value)
        case ast.Assign(targets=[ast.Tuple(elts=names)], value=ast.Tuple(elts=values)):
            for name, value in zip(names, values, strict=False):
                if isinstance(name, ast.Name) and name.id == "code":
                    yield from _texts(value)
        case ast.Compare(left=ast.Attribute(attr="code"), comparators=[right]):
            yield from _texts(right)


def _texts(node: ast.AST) -> Iterator[str]:
    match node:
        case ast.Constant(value=str(text)) if text:
            yield text
        case ast.IfExp():
            yield from _texts(node.body)
            yield from _texts(node.orelse)
        case ast.BoolOp(values=values) | ast.Set(elts=values) | ast.Tuple(elts=values):
            for value in values:
                yield from _texts(value)
