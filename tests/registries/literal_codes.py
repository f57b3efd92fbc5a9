"""The codes that stand in the house's own source, read without running it."""

from __future__ import annotations

import ast
from collections import defaultdict
from collections.abc import Iterable, Iterator
from pathlib import Path

from tests.support import PROJECT_ROOT

HOUSE = PROJECT_ROOT / "orgs"
PROGRAM = PROJECT_ROOT / "worker" / "docker-credential-valohai"
# The codes of others: what AWS calls its errors.
OF_OTHERS = {"Fault"}


def literal_codes() -> dict[str, set[str]]:
    """Every code written out under orgs/, and in which files: what is given as `code`, put
    into a name `code`, or compared with one."""
    return _literals(
        file
        for file in sorted(HOUSE.rglob("*.py"))
        if "migrations" not in file.parts and file.parent.name != "codes"
    )


def codes_of_the_program() -> dict[str, set[str]]:
    """The same of what runs on a worker."""
    return _literals([PROGRAM])


def failures_of_the_program() -> Iterator[tuple[str, bool]]:
    """Each `Failure` that it raises by itself, and whether it calls that transient."""
    for node in ast.walk(ast.parse(PROGRAM.read_text())):
        match node:
            case ast.Call(func=ast.Name(id="Failure"), args=[ast.Constant(value=str(code)), *_]):
                yield code, any(keyword.arg == "transient" for keyword in node.keywords)


def _literals(files: Iterable[Path]) -> dict[str, set[str]]:
    trees = {file: ast.parse(file.read_text()) for file in files}
    classes = _classes(trees.values())
    written: dict[str, set[str]] = defaultdict(set)
    for file, tree in trees.items():
        places = classes | _functions(tree, trees)
        for node in ast.walk(tree):
            for code in _of(node, places):
                written[code].add(str(file.relative_to(PROJECT_ROOT)))
    return dict(written)


def _classes(trees: Iterable[ast.Module]) -> dict[str, int]:
    """Where a code stands in what makes a value: of those with a field or a parameter
    `code`, and of those that inherit it."""
    found: dict[str, int] = {}
    heirs: dict[str, list[str]] = {}
    for node in (node for tree in trees for node in ast.walk(tree)):
        if not isinstance(node, ast.ClassDef) or node.name in OF_OTHERS:
            continue
        fields = [part.target for part in node.body if isinstance(part, ast.AnnAssign)]
        names = [target.id for target in fields if isinstance(target, ast.Name)]
        functions = [part for part in node.body if isinstance(part, ast.FunctionDef)]
        made = [function for function in functions if function.name == "__init__"]
        if made:
            names = _parameters(made[0])
        if "code" in names:
            found[node.name] = names.index("code")
        elif not made:
            heirs[node.name] = [base.id for base in node.bases if isinstance(base, ast.Name)]
    for _ in heirs:
        found |= {n: found[b] for n, bases in heirs.items() for b in bases if b in found}
    return found


def _functions(tree: ast.Module, trees: dict[Path, ast.Module]) -> dict[str, int]:
    """The same of functions: a file's own, and those that it imports by their names."""
    imported = {alias.name for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)
                for alias in node.names}  # fmt: skip
    others = [node for other in trees.values() for node in other.body
              if isinstance(node, ast.FunctionDef) and node.name in imported]  # fmt: skip
    own = [node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef)]
    return {
        node.name: _parameters(node).index("code")
        for node in (*others, *own)
        if "code" in _parameters(node)
    }


def _parameters(function: ast.FunctionDef) -> list[str]:
    return [a.arg for a in function.args.args if a.arg not in {"self", "cls"}]


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
