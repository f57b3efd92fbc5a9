"""Reading tables: rows below a header, and CSV, streamed. XLSX is in workbook.py."""

from __future__ import annotations

import csv
import io
import itertools
import re
from collections.abc import Collection, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, BinaryIO

from orgs.registries.catalogue import BY_SLUG
from orgs.services.audit.cells import unescape

from . import coding
from .coding import Coding
from .columns import (
    IGNORED,
    PATTERN,
    REQUIRED,
    TYPE,
    CellError,
    columns,
    named,
    secret_columns,
    type_named,
)
from .rows import (
    MAX_BLANK_ROWS,
    MAX_COLUMNS,
    BrokenFile,
    OddCell,
    Row,
    broken,
    near_columns,
    too_many_blank_rows,
    unknown_column,
)

# Characters of one record, its lines together: some twenty of the longest cells.
MAX_RECORD = 500_000
# Rows that may stand above the header: a title, `#TYPE …` of PowerShell.
MAX_ABOVE = 20
_DELIMITERS = ",;\t|"
# Excel's first line that names the separator; it shows no row for it.
_SEPARATOR = re.compile(r'"?sep=([^\w\s"]|\t)"?[,;\t|]*\s*', re.IGNORECASE)
_LONGEST_LINE = 10_000

_GUESSED = (
    "The file isn't UTF-8, so its letters beyond English ones were read as Windows-1252, as "
    "Excel's plain CSV has them. Look whether they are right, or save it as “CSV UTF-8”."
)


def read_csv(file: BinaryIO) -> Iterator[Row]:
    if other := coding.other_program(file.read(4)):
        raise broken(
            "unreadable_file",
            f"This is {other}, and no CSV.",
            "Save it as CSV UTF-8, or give a workbook's name its own ending, .xlsx.",
        )
    # The next of it is that of the record after the one that can't be read.
    numbers = itertools.count(1)
    file.seek(0)
    known = coding.of_table(file)
    try:
        with opened(file, known) as found:
            yield from table(zip(numbers, found.records(), strict=False), known)
    except UnicodeError:
        count = max(0, next(numbers) - 2)
        raise broken(
            "wrong_encoding",
            f"There is a letter {f'after row {count}' if count else 'in it'} that isn't "
            f"{known.name.upper().removesuffix('-SIG')}.",
            "Save the file as “CSV UTF-8” and choose it again.",
        ) from None
    except csv.Error:
        raise broken(
            "broken_quotes",
            "From this row on the cells can't be told apart: a quotation mark is missing, or "
            "there is one too many.",
            'Write a cell with a quotation mark in it as "…""…".',
            next(numbers) - 1,
        ) from None


@dataclass(frozen=True)
class Opened:
    """A table's text and how it is to be read; `above` are lines that aren't of it."""

    known: Coding
    delimiter: str
    above: Sequence[str]
    _text: io.TextIOWrapper

    def records(self) -> Iterator[list[str]]:
        """All of them, blank ones too, once; raises `csv.Error`, `UnicodeError`."""
        return _records(self._text, self.delimiter)


@contextmanager
def opened(file: BinaryIO, known: Coding | None = None) -> Iterator[Opened]:
    """The file, which stays open, from its beginning; raises `UnicodeError`."""
    file.seek(0)
    known = known or coding.of_table(file)  # which leaves it at its beginning
    text = io.TextIOWrapper(file, encoding=known.name, errors=known.errors, newline="")
    try:
        delimiter, above = _delimiter(text)
        text.seek(0)
        lines = [text.readline(_LONGEST_LINE) for _ in range(above)]
        yield Opened(known, delimiter, lines, text)
    finally:
        text.detach()


def names_separator(line: str) -> bool:
    """Whether a first line would be taken for one that names the separator."""
    return _SEPARATOR.fullmatch(line) is not None


def header_of(records: Iterable[tuple[int, Sequence[Any]]]) -> tuple[int, list[str]]:
    """The header's row among all records, and its columns; raises `BrokenFile`."""
    return _header(_not_blank(records))


def _records(text: io.TextIOBase, delimiter: str) -> Iterator[list[str]]:
    """The records, each of bounded length however many lines it has; raises `csv.Error`."""
    length = 0

    def lines() -> Iterator[str]:
        nonlocal length
        while line := text.readline(MAX_RECORD + 1):
            length += len(line)
            if length > MAX_RECORD:
                raise csv.Error("A record has no end.")
            yield line

    for record in csv.reader(lines(), delimiter=delimiter, strict=True):
        yield record
        length = 0


def _delimiter(text: io.TextIOBase) -> tuple[str, int]:
    """That by which most of some line are columns we know, or the one that the first line
    names; and how many lines are to be passed over for that."""
    lines: list[str] = []
    for number in range(1000):
        line = text.readline(_LONGEST_LINE)
        if not lines and (names := _SEPARATOR.fullmatch(line)):
            return names[1], number + 1
        if line.strip():
            lines.append(line.replace('"', ""))
        if not line or len(lines) > MAX_ABOVE:
            break

    def known(sign: str) -> int:
        return max((_known(line.split(sign, MAX_COLUMNS)) for line in lines), default=0)

    return max(_DELIMITERS, key=known), 0


def _known(record: Sequence[Any]) -> int:
    """How many cells of a row are names of columns."""
    known = columns()
    return sum(_column(cell) in known for cell in record[:MAX_COLUMNS])


def _blank(record: Sequence[Any]) -> bool:
    # any() first: it takes empty cells at C's speed, and most that aren't blank aren't empty.
    return not any(record) or all(
        cell is None or (isinstance(cell, str) and not cell.strip()) for cell in record
    )


def table(
    records: Iterable[tuple[int, Sequence[Any]]], known: Coding | None = None
) -> Iterator[Row]:
    """Rows below a header; blank records count as rows and are passed over.

    Cells are texts, true, false, numbers, None or `OddCell`. `known` is the encoding that
    the texts were in. Raises `BrokenFile`.
    """
    secrets = secret_columns()
    records = iter(records)
    last, header = _header(_not_blank(records))
    unsure = known is not None and not known.sure
    for number, record in records:
        if _blank(record):
            if number - last > MAX_BLANK_ROWS:
                raise too_many_blank_rows(last + 1)
            continue
        last = number
        if not _blank(record[len(header) :]):
            yield Row(number, {}, [_too_many_cells(number, len(header))])
        elif unsure:
            yield _unsure(_row(number, header, record, secrets), secrets)
        else:
            yield _row(number, header, record, secrets)


def _not_blank(
    records: Iterable[tuple[int, Sequence[Any]]],
) -> Iterator[tuple[int, Sequence[Any]]]:
    last = 0
    for number, record in records:
        if not _blank(record):
            last = number
            yield number, record
        elif number - last > MAX_BLANK_ROWS:
            raise too_many_blank_rows(last + 1)


def _row(
    number: int, header: Sequence[str], record: Sequence[Any], secrets: Collection[str]
) -> Row:
    cells: dict[str, Any] = {}
    errors = []
    for column, cell in zip(header, record, strict=False):
        if column in IGNORED:
            continue
        if isinstance(cell, OddCell):
            errors.append(cell.at(number, column))
        else:
            as_is = column in secrets or not isinstance(cell, str)
            cells[column] = cell if as_is else unescape(cell)
    if (kind := cells.get(TYPE)) not in BY_SLUG and isinstance(kind, str):
        cells[TYPE] = type_named(kind)
    return Row(number, cells, tuple(errors))


def _unsure(row: Row, secrets: Collection[str]) -> Row:
    """The row of a file that isn't UTF-8, with what can't be told of its letters: a secret
    isn't guessed."""
    odd = {n: c for n, c in row.cells.items() if isinstance(c, str) and not c.isascii()}
    errors = [
        CellError(
            row.number,
            column,
            "",
            "wrong_encoding",
            "There are letters in this cell that aren't UTF-8, so which ones they are can't "
            "be told for certain.",
            "Save the file as “CSV UTF-8” and choose it again.",
        )
        for column, cell in odd.items()
        if column in secrets or coding.is_undecoded(cell)
    ]
    remarks = (_GUESSED,) if odd else ()
    return Row(row.number, row.cells, (*row.errors, *errors), remarks)


def _header(records: Iterator[tuple[int, Sequence[Any]]]) -> tuple[int, list[str]]:
    """The header's row, and the columns that the cells below stand in; raises `BrokenFile`
    with all problems.

    It is the first row with two names that are known: a title above it may well have one.
    """
    above: list[tuple[int, Sequence[Any]]] = []
    for number, record in records:
        if _known(record) > 1:
            return number, _checked(number, record)
        above.append((number, record))
        if len(above) > MAX_ABOVE:
            break
    for number, record in above:
        if _known(record):
            return number, _checked(number, record)
    if not above:
        raise broken("no_header", "The file is empty.", _header_fix())
    what = "There is no row with names of columns that are known."
    raise broken("no_header", what, _header_fix(), above[0][0])


def _checked(number: int, record: Sequence[Any]) -> list[str]:
    known = columns()
    header = [_column(cell) for cell in record[: MAX_COLUMNS + 1]]
    while header and not header[-1]:
        header.pop()
    if len(header) > MAX_COLUMNS or not _blank(record[MAX_COLUMNS:]):
        what = f"The header has more than {MAX_COLUMNS} columns."
        raise broken("too_many_columns", what, "Delete those that aren't needed.", number)
    near = near_columns()
    errors = [
        unknown_column(number, name, near, f"column {place}")
        for place, name in enumerate(header, 1)
        if name not in known and name not in IGNORED
    ]
    errors += [
        CellError(
            number, name, "", "duplicate_column", "This column stands here twice.", "Keep one."
        )
        for name in known
        if header.count(name) > 1
    ]
    errors += [_missing(number, name, header) for name in REQUIRED if name not in header]
    if errors:
        raise BrokenFile(*errors)
    return header


def _missing(number: int, name: str, header: Collection[str]) -> CellError:
    """Told with what belongs into it."""
    what = f"There is no column {name}."
    if set(header) == _AWS_FILE:
        what = f"AWS's own file of a key has no column {name}."
    fix = f"Add it, and below it write one of {', '.join(BY_SLUG)}."
    if name == PATTERN:
        example = "123456789012.dkr.ecr.us-east-1.amazonaws.com/*"
        fix = f"Add it, and below it write which images the row is for, such as {example}."
    return CellError(number, name, "", "missing_column", what, fix)


# `accessKeys.csv`, as the console gives it.
_AWS_FILE = {"access_key_id", "secret_access_key"}


def _header_fix() -> str:
    return f"Write a row of column names above the others: {', '.join(columns())}."


def _column(cell: Any) -> str:
    """A header as a column's name; “?” for what is no text."""
    return named(cell) if isinstance(cell, str) else "" if cell is None else "?"


def _too_many_cells(number: int, wanted: int) -> CellError:
    return CellError(
        number,
        "",
        "",
        "too_many_cells",
        f"This row has more cells than the header, which has {wanted}, so some stand in a wrong "
        "column.",
        "Put cells that have the separator in them in quotation marks, and leave no others.",
    )
