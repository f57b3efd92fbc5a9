"""Reading lists of entries: JSON and YAML, whole.

What is in a file is counted before anything is built of it, and what was built is asked
for its type before it's compared or written as text: two equal lists that share their
parts take longer to compare than there is time, a small one is gigabytes as text.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from typing import Any, BinaryIO

from orgs.registries.catalogue import first

from . import coding, docker_config
from .columns import IGNORED, TYPE, CellError, columns, named, type_named
from .rows import (
    MAX_BYTES,
    MAX_COLUMNS,
    MAX_ROWS,
    MOST_UNKNOWN,
    BrokenFile,
    NearMisses,
    Row,
    broken,
    near_columns,
    too_deep,
    too_large,
    unknown_column,
)

# Values of a JSON file, keys and values of a YAML file; an entry has some thirty.
MAX_PARTS = 40 * MAX_ROWS
# Entries have four levels.
MAX_DEPTH = 20
_MAX_DIRECTIVES = 20

# Up to its end, or to the file's where it has none: so each letter is read once.
_JSON_PART = re.compile(r'"(?:[^"\\]++|\\.?)*+"?|[,\[{]', re.DOTALL)
_NULL = re.compile(r"~|null|Null|NULL|")


def read_json(file: BinaryIO) -> Iterator[Row]:
    return _listed(document_of(file, "json"))


def document_of(file: BinaryIO, format: str) -> Any:
    """What a file of “json” or “yaml” holds, scalars as written; raises `BrokenFile`."""
    return _json(_whole(file, "JSON")) if format == "json" else _yaml(_whole(file, "YAML"))


def entries_in(document: Any) -> list[Any] | None:
    """The list of entries in it: itself, or a page of the API's own answers; None where
    there is none."""
    if type(document) is dict:
        document = document.get("results")
    return document if type(document) is list else None


def _json(text: str) -> Any:
    """What a text of JSON holds; raises `BrokenFile`."""
    _count_json(text)
    try:
        return json.loads(
            text,
            object_pairs_hook=_without_duplicates,
            # As written: a password of digits must not lose any.
            parse_int=str,
            parse_float=str,
            parse_constant=str,
        )
    except json.JSONDecodeError as error:
        raise _not("JSON", error.lineno) from None
    except RecursionError:
        raise too_deep() from None


def _count_json(text: str) -> None:
    """Raise `BrokenFile` where there is more in it than in so many entries.

    Without looking at each sign where even all commas would be few enough.
    """
    if sum(map(text.count, ",[{")) <= MAX_PARTS:
        return
    count = 0
    for part in _JSON_PART.finditer(text):
        count += not part[0].startswith('"')
        if count > MAX_PARTS:
            raise too_large()


def _without_duplicates(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    built = dict(pairs)
    if len(built) < len(pairs):
        raise _duplicate_key()
    return built


def _duplicate_key(line: int | None = None) -> BrokenFile:
    what = "An entry has the same key twice."
    return broken("duplicate_column", what, f"Keep one of them{_at(line)}.")


# --- YAML -------------------------------------------------------------------------


def read_yaml(file: BinaryIO) -> Iterator[Row]:
    return _listed(document_of(file, "yaml"))


def _yaml(text: str) -> Any:
    """What a text of YAML holds; raises `BrokenFile`."""
    import yaml

    if text.count("%TAG") > _MAX_DIRECTIVES:
        raise _not("YAML")  # libyaml compares each with all before
    try:
        return _Built().of(yaml.parse(text, Loader=_loader()))
    except yaml.MarkedYAMLError as error:
        # The error's own text quotes the file.
        raise _not("YAML", error.problem_mark.line + 1 if error.problem_mark else None) from None
    except (yaml.YAMLError, UnicodeError):
        raise _not("YAML") from None


def _loader() -> Any:
    """Written in C, if the package has it; of either, only the events are used."""
    import yaml

    return getattr(yaml, "CSafeLoader", yaml.SafeLoader)


class _Built:
    """Lists, mappings and texts from a parser's events, counted while they come.

    Scalars stay as written, but for plain true, false and null: YAML would else read
    the password 0123 as 83 and a country's no as false. Aliases and tags are refused:
    without them, what is built is no larger than what is written.
    """

    def __init__(self) -> None:
        self.document: Any = None
        self._open: list[list[Any] | dict[str, Any]] = []
        # Of each open mapping the key whose value comes next.
        self._keys: list[str | None] = []

    def of(self, events: Iterator[Any]) -> Any:
        import yaml

        documents = 0
        for count, event in enumerate(events):
            if count > MAX_PARTS:
                raise too_large()
            if isinstance(event, yaml.NodeEvent):
                self._node(event)
            elif isinstance(event, yaml.CollectionEndEvent):
                self._open.pop()
                self._keys.pop()
            elif isinstance(event, yaml.DocumentStartEvent):
                documents += 1
                if documents > 1:
                    raise _not("YAML", _line(event))
        return self.document

    def _node(self, event: Any) -> None:
        import yaml

        if event.anchor is not None:
            raise _anchor(_line(event))
        is_scalar = isinstance(event, yaml.ScalarEvent)
        if event.tag not in (None, "!") and event.tag != _plain_tag(event):
            raise _tag(_line(event))
        if is_scalar:
            self._put(event, event.value if self._awaits_key else _scalar(event))
            return
        opened: Any = {} if isinstance(event, yaml.MappingStartEvent) else []
        self._put(event, opened)
        self._open.append(opened)
        self._keys.append(None)
        if len(self._open) > MAX_DEPTH:
            raise too_deep()

    @property
    def _awaits_key(self) -> bool:
        return bool(self._open) and isinstance(self._open[-1], dict) and self._keys[-1] is None

    def _put(self, event: Any, value: Any) -> None:
        """Where it belongs: as a key, a key's value, an item, or as the document."""
        if not self._open:
            self.document = value
            return
        parent = self._open[-1]
        if isinstance(parent, list):
            parent.append(value)
            if len(self._open) == 1 and len(parent) > MAX_ROWS:
                raise too_large()
        elif (key := self._keys[-1]) is not None:
            parent[key] = value
            self._keys[-1] = None
        elif not isinstance(value, str):
            raise _not("YAML", _line(event))
        elif value in parent:
            raise _duplicate_key(_line(event))
        else:
            self._keys[-1] = value


def _plain_tag(event: Any) -> str:
    """The one tag that says what is so anyway."""
    import yaml

    kind = "str" if isinstance(event, yaml.ScalarEvent) else "map"
    return f"tag:yaml.org,2002:{'seq' if isinstance(event, yaml.SequenceStartEvent) else kind}"


def _scalar(event: Any) -> Any:
    """The text as written, or what a plain word stands for."""
    if event.tag is not None or not event.implicit[0]:
        return event.value
    if event.value in ("true", "false"):
        return event.value == "true"
    return None if _NULL.fullmatch(event.value) else event.value


def _line(event: Any) -> int | None:
    return event.start_mark.line + 1 if event.start_mark else None


def _anchor(line: int | None) -> BrokenFile:
    return broken(
        "yaml_alias",
        f"The file has a YAML anchor or alias{_at(line)}, which aren't read here.",
        "Write the value out; text that begins with & or * goes into quotation marks.",
    )


def _tag(line: int | None) -> BrokenFile:
    return broken(
        "yaml_tag",
        f"The file has a YAML tag{_at(line)}, such as !!float, which aren't read here.",
        "Leave it out: everything is text as written; text that begins with ! goes into "
        "quotation marks.",
    )


# --- both ----------------------------------------------------------------------------


def _whole(file: BinaryIO, format: str) -> str:
    content = file.read(MAX_BYTES + 1)
    if len(content) > MAX_BYTES:
        raise too_large()
    if other := coding.other_program(content[:4]):
        raise broken(
            "unreadable_file",
            f"This is {other}, and no {format}.",
            "Give its name the ending that it's of, or save it anew.",
        )
    name = coding.by_mark(content[:4]) or "utf-8"
    try:
        return content.decode(name)
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1 if name.startswith("utf-8") else None
        raise broken(
            "wrong_encoding",
            f"There is a letter{_at(line)} that isn't {name.upper().removesuffix('-SIG')}.",
            f"Save the file as UTF-8, as {format} is.",
        ) from None


def _at(line: int | None) -> str:
    return f" (line {line})" if line else ""


def _not(format: str, line: int | None = None) -> BrokenFile:
    return broken(
        "unreadable_file",
        f"This isn't well-formed {format}{_at(line)}.",
        f"Mend it there, or save it from a program that writes {format}.",
    )


def _listed(document: Any) -> Iterator[Row]:
    """Entries of a list, of a page of the API's own answers, or of Docker's files."""
    if (logins := docker_config.rows_of(document, _json)) is not None:
        yield from logins
        return
    entries = entries_in(document)
    if entries is None:
        raise broken(
            "not_a_list", "The file doesn't hold a list of entries.", "Write one, even for one."
        )
    if len(entries) > MAX_ROWS:
        raise too_large()
    near = near_columns()
    for number, entry in enumerate(entries, 1):
        yield _flat(number, entry, near)


def _flat(number: int, entry: Any, near: NearMisses) -> Row:
    """An entry as a row, whether its fields stand beside the type or in `configuration`."""
    errors: list[CellError] = []

    def wrong(column: str, code: str, what: str, fix: str) -> None:
        errors.append(CellError(number, column, "", code, what, fix))

    if type(entry) is not dict or len(entry) > MAX_COLUMNS:
        what = "This isn't an entry with keys and values."
        fix = f"Write it like {{type: {first().slug}, image_pattern: …}}."
        wrong("", "not_an_entry", what, fix)
        return Row(number, {}, errors)
    cells = {name: value for name, value in entry.items() if name not in IGNORED}
    nested = cells.pop("configuration", None) or {}
    if type(nested) is not dict or len(nested) > MAX_COLUMNS:
        wrong("configuration", "not_an_entry", "This has no keys and values.", "Write them in {}.")
        nested = {}
    nested = dict(nested)
    if not _same(nested.pop("version", "1"), "1"):
        wrong("configuration", "unknown_version", "The only version is 1.", "Write 1.")
    for name, value in nested.items():
        if not _same(cells.setdefault(name, value), value):
            what = "A value stands beside the configuration and in it, and differs."
            wrong("configuration", "duplicate_column", what, "Keep one.")
    _join_patterns(cells, wrong)
    known = columns()
    for name in [name for name in cells if name not in known]:
        if (meant := named(name)) in known and meant not in cells:
            cells[meant] = cells.pop(name)
    if type(kind := cells.get(TYPE)) is str:
        cells[TYPE] = type_named(kind)
    unknown = [name for name in cells if name not in known]
    for name in unknown:
        del cells[name]
    errors += [unknown_column(number, name, near) for name in unknown[:MOST_UNKNOWN]]
    return Row(number, cells, errors)


def _same(one: Any, other: Any) -> bool:
    """Whether two values are the same text or list of texts; of others, the very same."""
    return one is other or (_is_text(one) and _is_text(other) and one == other)


def _is_text(value: Any) -> bool:
    return type(value) is str or (type(value) is list and all(type(v) is str for v in value))


def _join_patterns(cells: dict[str, Any], wrong: Callable[[str, str, str, str], None]) -> None:
    """`image_patterns` and, which may stand beside it, the first of them alone."""
    several = cells.pop("image_patterns", None)
    if several is None:
        return
    first = cells.get("image_pattern")
    among = [several, *(several if type(several) is list else ())]
    if first is not None and not any(_same(first, pattern) for pattern in among):
        what = "image_pattern isn't one of image_patterns."
        wrong("image_pattern", "patterns_disagree", what, "Leave one of the two out.")
    cells["image_pattern"] = several
