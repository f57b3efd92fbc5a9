"""A file with some of its cells corrected, the others as they were.

A table stays one of the same encoding and separator, a workbook becomes a table, a list of
entries stays one of its format. Rows keep their numbers, so that what is told of them
before and after is told of the same.
"""

from __future__ import annotations

import csv
import io
import json
from codecs import BOM_UTF8
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from orgs.registries.catalogue import TYPES

from . import documents, tables, workbook
from .columns import PATTERN, named, secret_columns
from .rows import MAX_BYTES, OddCell, broken, too_large

# Of each row the texts that some of its cells get.
Changes = Mapping[int, Mapping[str, str]]
# What a sheet has at most; the blank lines between rows that are far apart are written.
_MAX_NUMBER = 1_048_576


@dataclass(frozen=True)
class Corrected:
    """`secrets`: whether a cell holds one, or has the form of one."""

    format: str
    content: bytes = field(repr=False)
    secrets: bool


def corrected(content: bytes, format: str, changes: Changes) -> Corrected:
    """The file by its corrections; raises `BrokenFile` where it can't be read as what it
    was read as before, or becomes larger than files are."""
    made = _WRITERS[format](content, changes)
    if len(made.content) > MAX_BYTES:
        raise too_large()
    return made


# --- tables ---------------------------------------------------------------------------


def _csv(content: bytes, changes: Changes) -> Corrected:
    with tables.opened(io.BytesIO(content)) as table:
        records = list(enumerate(table.records(), 1))
        known = table.known
    text, secrets = _written(records, table.delimiter, changes)
    name = known.name
    if name == "utf-8-sig" and not content.startswith(BOM_UTF8):
        name = "utf-8"
    above = "".join(table.above)
    return Corrected("csv", (above + text).encode(name, known.errors), secrets)


def _xlsx(content: bytes, changes: Changes) -> Corrected:
    records = [
        (number, [_cell(cell) for cell in cells])
        for number, cells in workbook.records_of(io.BytesIO(content))
    ]
    if records and records[-1][0] > _MAX_NUMBER:
        raise too_large()
    text, secrets = _written(records, ",", changes)
    # A row that looks as if it named the separator would be taken for that.
    above = "sep=,\r\n" if tables.names_separator(text.lstrip().partition("\r\n")[0]) else ""
    return Corrected("csv", (above + text).encode(), secrets)


def _cell(value: Any) -> str:
    """A workbook's cell as the text that it is read as."""
    if value is None or isinstance(value, OddCell):
        return ""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, int | float):
        return f"{value:.0f}" if value == int(value) else str(value)
    return str(value)


def _written(
    records: Sequence[tuple[int, list[str]]], delimiter: str, changes: Changes
) -> tuple[str, bool]:
    """The records as a table's text, and whether secrets are in it."""
    first, header = tables.header_of(records)
    hidden = secret_columns()
    secrets = False
    out = io.StringIO(newline="")
    writer = csv.writer(out, delimiter=delimiter)
    last = 0
    for number, record in records:
        for _ in range(number - last - 1):
            writer.writerow([])
        last = number
        if number > first:
            record = _changed(record, header, changes.get(number, {}))
            secrets = secrets or any(_are_secret(zip(header, record, strict=False), hidden))
        writer.writerow(record)
    return out.getvalue(), secrets


def _changed(record: list[str], header: Sequence[str], texts: Mapping[str, str]) -> list[str]:
    record = list(record)
    for column, text in texts.items():
        at = header.index(column)
        record += [""] * (at + 1 - len(record))
        record[at] = text
    return record


def _are_secret(cells: Iterable[tuple[str, Any]], hidden: frozenset[str]) -> Iterator[bool]:
    """Of each cell, whether it may not be given back."""
    for column, cell in cells:
        text = cell.strip() if isinstance(cell, str) else cell
        yield bool(text) and (column in hidden or (isinstance(text, str) and _has_form(text)))


def _has_form(text: str) -> bool:
    """Whether a text is of a secret's form, where that is always of the same length."""
    shapes = (f.shape for kind in TYPES for f in kind.secret_fields)
    return any(s and s.length == len(text) and s.fits(text) for s in shapes)


# --- lists of entries -----------------------------------------------------------------


def _json(content: bytes, changes: Changes) -> Corrected:
    document, secrets = _entries(content, "json", changes)
    text = json.dumps(document, ensure_ascii=False, indent=2)
    return Corrected("json", f"{text}\n".encode(), secrets)


def _yaml(content: bytes, changes: Changes) -> Corrected:
    import yaml

    document, secrets = _entries(content, "yaml", changes)
    dumper = getattr(yaml, "CSafeDumper", yaml.SafeDumper)
    text = yaml.dump(document, Dumper=dumper, allow_unicode=True, sort_keys=False)
    return Corrected("yaml", text.encode(), secrets)


def _entries(content: bytes, format: str, changes: Changes) -> tuple[Any, bool]:
    """The document, its entries by their corrections, and whether secrets are in it."""
    document = documents.document_of(io.BytesIO(content), format)
    entries = documents.entries_in(document)
    if entries is None or any(type(entries[number - 1]) is not dict for number in changes):
        raise broken(
            "not_a_list", "The file doesn't hold a list of entries.", "Correct it by hand."
        )
    hidden = secret_columns()
    secrets = False
    for number, entry in enumerate(entries, 1):
        if type(entry) is not dict:
            continue
        for column, text in changes.get(number, {}).items():
            _put(entry, column, text)
        for place in _places(entry):
            secrets = secrets or any(_are_secret(((named(n), v) for n, v in place.items()), hidden))
    return document, secrets


def _places(entry: dict[str, Any]) -> list[dict[str, Any]]:
    """Where an entry's values stand: beside its configuration, and in it."""
    nested = entry.get("configuration")
    return [entry, nested] if type(nested) is dict else [entry]


def _put(entry: dict[str, Any], column: str, text: str) -> None:
    """Write a value wherever the entry has it, several as a list where they were one."""
    put = False
    for place in _places(entry):
        for name, value in place.items():
            if named(name) == column:
                place[name] = text.split() if type(value) is list else text
                put = True
    if column == PATTERN and "image_patterns" in entry:
        entry["image_patterns"] = text.split()
        if type(entry.get(PATTERN)) is str:
            entry[PATTERN] = text.split()[0]
    elif not put:
        entry[column] = text


_WRITERS = {"csv": _csv, "xlsx": _xlsx, "json": _json, "yaml": _yaml}
