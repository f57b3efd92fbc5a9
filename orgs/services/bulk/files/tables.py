"""Reading tables: rows below a header, and CSV, streamed. XLSX is in workbook.py."""

from __future__ import annotations

import codecs
import csv
import io
import re
from collections.abc import Collection, Iterable, Iterator, Sequence
from typing import Any, BinaryIO

from orgs.services.audit.cells import unescape

from .columns import IGNORED, REQUIRED, CellError, columns, secret_columns
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
_DELIMITERS = ",;\t"
_LONGEST_NAME = 100


def read_csv(file: BinaryIO) -> Iterator[Row]:
    text = io.TextIOWrapper(file, encoding=_encoding(file), newline="")
    number = 0
    try:
        delimiter = _delimiter(text)
        text.seek(0)
        for row in table(enumerate(_records(text, delimiter), 1)):
            number = row.number
            yield row
    except UnicodeError:
        raise broken(
            "wrong_encoding",
            f"There is a letter {f'after row {number}' if number else 'in it'} that isn't UTF-8.",
            "Save the file as “CSV UTF-8” and choose it again.",
        ) from None
    except csv.Error:
        raise broken(
            "broken_quotes",
            "In the next row the cells can't be told apart: a quotation mark is missing, or "
            "there is one too many.",
            'Write a cell with a quotation mark in it as "…""…".',
            number,
        ) from None
    finally:
        text.detach()


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


def _encoding(file: BinaryIO) -> str:
    start = file.read(2)
    file.seek(0)
    return "utf-16" if start in (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE) else "utf-8-sig"


def _delimiter(text: io.TextIOBase) -> str:
    """That with which most of the first line are columns we know."""
    line = ""
    for _ in range(1000):
        line = text.readline(10_000)
        if line.strip():
            break

    def known(delimiter: str) -> int:
        cells = line.replace('"', "").split(delimiter)
        return sum(_column(cell) in columns() for cell in cells)

    return max(_DELIMITERS, key=known)


def _blank(record: Sequence[Any]) -> bool:
    # any() first: it takes empty cells at C's speed, and most that aren't blank aren't empty.
    return not any(record) or all(
        cell is None or (isinstance(cell, str) and not cell.strip()) for cell in record
    )


def table(records: Iterable[tuple[int, Sequence[Any]]]) -> Iterator[Row]:
    """Rows below a header; blank records count as rows and are passed over.

    Cells are texts, true, false, numbers, None or `OddCell`. Raises `BrokenFile`.
    """
    header: list[str] | None = None
    secrets = secret_columns()
    last = 0
    for number, record in records:
        if _blank(record):
            if number - last > MAX_BLANK_ROWS:
                raise too_many_blank_rows(last)
            continue
        last = number
        if header is None:
            header = _header(number, record)
        elif not _blank(record[len(header) :]):
            yield Row(number, {}, [_too_many_cells(number, len(header))])
        else:
            yield _row(number, header, record, secrets)
    if header is None:
        raise broken("no_header", "The file is empty.", _header_fix())


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
    return Row(number, cells, tuple(errors))


def _header(number: int, record: Sequence[Any]) -> list[str]:
    """The columns that the cells below stand in; raises `BrokenFile` with all problems."""
    known = columns()
    header = [_column(cell) for cell in record[: MAX_COLUMNS + 1]]
    while header and not header[-1]:
        header.pop()
    if not any(column in known for column in header):
        raise broken(
            "no_header", "The first row has no column name that is known.", _header_fix(), number
        )
    if len(header) > MAX_COLUMNS or not _blank(record[MAX_COLUMNS:]):
        what = f"The first row has more than {MAX_COLUMNS} columns."
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
    errors += [
        CellError(number, name, "", "missing_column", f"There is no column {name}.", "Add it.")
        for name in REQUIRED
        if name not in header
    ]
    if errors:
        raise BrokenFile(*errors)
    return header


def _header_fix() -> str:
    return f"Begin it with a row of column names: {', '.join(columns())}."


def _column(cell: Any) -> str:
    """A header as a column's name: “Access key ID” is access_key_id."""
    name = cell[:_LONGEST_NAME] if isinstance(cell, str) else "" if cell is None else "?"
    return re.sub(r"[\s-]+", "_", name.strip()).lower()


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
