"""Reading lists of entries: JSON and YAML, whole."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any, BinaryIO

from .columns import COLUMNS, IGNORED, CellError
from .rows import MAX_BYTES, MAX_ROWS, BrokenFile, Row, broken, too_large, unknown_column

# Of a YAML file: keys, values, beginnings and ends; an entry has some thirty.
MAX_PARTS = 50 * MAX_ROWS


def read_json(file: BinaryIO) -> Iterator[Row]:
    def pairs(found: list[tuple[str, Any]]) -> dict[str, Any]:
        if len(dict(found)) < len(found):
            raise _DuplicateKey
        return dict(found)

    try:
        document = json.loads(
            _whole(file).decode("utf-8-sig"),
            object_pairs_hook=pairs,
            # As written: a password of digits must not lose any.
            parse_int=str,
            parse_float=str,
            parse_constant=str,
        )
    except json.JSONDecodeError as error:
        raise _not("JSON", error.lineno) from None
    except (UnicodeError, RecursionError):
        raise _not("JSON") from None
    except _DuplicateKey:
        raise _duplicate_key() from None
    return _listed(document)


def read_yaml(file: BinaryIO) -> Iterator[Row]:
    import yaml

    try:
        content = _whole(file)
        _refuse_depth(yaml.parse(content, Loader=_yaml_loader()))
        document = yaml.load(content, Loader=_yaml_loader())  # noqa: S506 (a SafeLoader)
    except yaml.MarkedYAMLError as error:
        # The error's own text quotes the file.
        raise _not("YAML", error.problem_mark.line + 1 if error.problem_mark else None) from None
    except (yaml.YAMLError, UnicodeError, RecursionError, ValueError):
        raise _not("YAML") from None
    except _DuplicateKey:
        raise _duplicate_key() from None
    return _listed(document)


def _refuse_depth(events: Iterator[Any]) -> None:
    """Entries have four levels; libyaml's loader, written in C, dies of 100,000 of them.

    Nor have they five million parts, which 10 MB of «a,» are: a minute and 1.7 GB.
    """
    import yaml

    depth = 0
    for count, event in enumerate(events):
        if count > MAX_PARTS:
            raise too_large()
        depth += isinstance(event, yaml.CollectionStartEvent)
        depth -= isinstance(event, yaml.CollectionEndEvent)
        if depth > 20:
            raise RecursionError


class _DuplicateKey(Exception):
    pass


def _duplicate_key() -> BrokenFile:
    what = "An entry has the same key twice."
    return broken("duplicate_column", what, "Keep one of them.")


def _yaml_loader() -> Any:
    """A safe loader that leaves scalars as written, but for true, false and null.

    YAML would else read the password 0123 as 83 and a country's no as false; so true
    and false are only the words themselves.
    """
    import yaml

    class Loader(getattr(yaml, "CSafeLoader", yaml.SafeLoader)):  # type: ignore[misc]
        yaml_implicit_resolvers: dict[str, Any] = {}

        def construct_mapping(self, node: Any, deep: bool = False) -> dict[Any, Any]:
            found = super().construct_mapping(node, deep)
            if len(found) < len(node.value):
                raise _DuplicateKey
            return found

    Loader.add_implicit_resolver(
        "tag:yaml.org,2002:null", re.compile(r"(~|null|Null|NULL|)\Z"), ["~", "n", "N", ""]
    )
    Loader.add_implicit_resolver(
        "tag:yaml.org,2002:bool", re.compile(r"(true|false)\Z"), ["t", "f"]
    )
    return Loader


def _whole(file: BinaryIO) -> bytes:
    content = file.read(MAX_BYTES + 1)
    if len(content) > MAX_BYTES:
        raise too_large()
    return content


def _not(format: str, line: int | None = None) -> BrokenFile:
    where = f" (line {line})" if line else ""
    return broken(
        "unreadable_file",
        f"This isn't well-formed {format}{where}.",
        f"Mend it there, or save it from a program that writes {format}.",
    )


def _listed(document: Any) -> Iterator[Row]:
    """Entries of a list, or of a page of the API's own answers."""
    if isinstance(document, Mapping) and isinstance(document.get("results"), list):
        document = document["results"]
    if not isinstance(document, list):
        raise broken(
            "not_a_list", "The file doesn't hold a list of entries.", "Write one, even for one."
        )
    if len(document) > MAX_ROWS:
        raise too_large()
    for number, entry in enumerate(document, 1):
        yield _flat(number, entry)


def _flat(number: int, entry: Any) -> Row:
    """An entry as a row, whether its fields stand beside the type or in `configuration`."""
    if not isinstance(entry, Mapping) or not all(isinstance(key, str) for key in entry):
        what = "This isn't an entry with keys and values."
        fix = "Write it like {type: aws-ecr, image_pattern: …}."
        return Row(number, {}, [CellError(number, "", "", "not_an_entry", what, fix)])
    cells = {name: value for name, value in entry.items() if name not in IGNORED}
    errors: list[CellError] = []

    def wrong(column: str, code: str, what: str, fix: str) -> None:
        errors.append(CellError(number, column, "", code, what, fix))

    nested = cells.pop("configuration", None) or {}
    if not isinstance(nested, Mapping):
        wrong("configuration", "not_an_entry", "This has no keys and values.", "Write them in {}.")
        nested = {}
    nested = dict(nested)
    if str(nested.pop("version", "1")) != "1":
        wrong("configuration", "unknown_version", "The only version is 1.", "Write 1.")
    for name, value in nested.items():
        if cells.setdefault(name, value) != value:
            what = "A value stands beside the configuration and in it, and differs."
            wrong("configuration", "duplicate_column", what, "Keep one.")
    _join_patterns(cells, wrong)
    for name in [name for name in cells if name not in COLUMNS]:
        del cells[name]
        errors.append(unknown_column(number, name))
    return Row(number, cells, errors)


def _join_patterns(cells: dict[str, Any], wrong: Callable[[str, str, str, str], None]) -> None:
    """`image_patterns` and, which may stand beside it, the first of them alone."""
    several = cells.pop("image_patterns", None)
    if several is None:
        return
    first = cells.get("image_pattern")
    if first is not None and first not in (
        several,
        *(several if isinstance(several, list) else ()),
    ):
        what = "image_pattern isn't one of image_patterns."
        wrong("image_pattern", "patterns_disagree", what, "Leave one of the two out.")
    cells["image_pattern"] = several
