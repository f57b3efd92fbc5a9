"""Reading tables: CSV, streamed, and XLSX."""

from __future__ import annotations

import codecs
import csv
import io
import re
import zipfile
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, BinaryIO

from .columns import COLUMNS, IGNORED, REQUIRED, SECRETS, CellError, unescape
from .rows import MAX_ROWS, BrokenFile, Row, broken, too_large, unknown_column

_MAX_UNPACKED = 200_000_000  # bytes; a workbook is a zip file
_DELIMITERS = ",;\t"
_HEADER_FIX = f"Begin it with a row of column names: {', '.join(COLUMNS)}."


def read_csv(file: BinaryIO) -> Iterator[Row]:
    text = io.TextIOWrapper(file, encoding=_encoding(file), newline="")
    number = 0
    try:
        delimiter = _delimiter(text)
        text.seek(0)
        records = csv.reader(text, delimiter=delimiter, strict=True)
        for row in _table(enumerate(records, 1)):
            number = row.number
            yield row
    except UnicodeError:
        raise broken(
            "wrong_encoding",
            f"Some rows after row {number} there is something that isn't UTF-8.",
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


def _encoding(file: BinaryIO) -> str:
    start = file.read(2)
    file.seek(0)
    return "utf-16" if start in (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE) else "utf-8-sig"


def _delimiter(text: io.TextIOBase) -> str:
    """That with which most of the first line are columns we know."""
    line = ""
    while not line.strip() and (read := text.readline(100_000)):
        line = read

    def known(delimiter: str) -> int:
        cells = line.replace('"', "").split(delimiter)
        return sum(_column(cell) in COLUMNS for cell in cells)

    return max(_DELIMITERS, key=known)


def read_xlsx(file: BinaryIO) -> Iterator[Row]:
    import openpyxl

    try:
        if sum(part.file_size for part in zipfile.ZipFile(file).infolist()) > _MAX_UNPACKED:
            raise too_large()
        file.seek(0)
        workbook = openpyxl.load_workbook(file, read_only=True, data_only=True)
        records = []
        for number, record in enumerate(workbook.active.iter_rows(values_only=True), 1):
            if not _blank(record):
                records.append((number, record))
            if len(records) > MAX_ROWS + 1:
                raise too_large()
    except BrokenFile:
        raise
    except Exception:  # openpyxl raises whatever the damage happens to cause
        raise broken(
            "unreadable_file", "This isn't an XLSX workbook.", "Save it as XLSX or CSV again."
        ) from None
    yield from _table(records)


def _blank(record: Sequence[Any]) -> bool:
    return all(cell is None or (isinstance(cell, str) and not cell.strip()) for cell in record)


def _table(records: Iterable[tuple[int, Sequence[Any]]]) -> Iterator[Row]:
    """Rows below a header; blank records count as rows and are passed over."""
    columns: list[str] | None = None
    for number, record in records:
        if _blank(record):
            continue
        if columns is None:
            columns = _header(number, record)
            continue
        over = [cell for cell in record[len(columns) :] if cell not in (None, "")]
        if over:
            yield Row(number, {}, [_too_many_cells(number, len(record), len(columns))])
            continue
        cells = {
            column: cell if column in SECRETS or not isinstance(cell, str) else unescape(cell)
            for column, cell in zip(columns, record, strict=False)
            if column not in IGNORED
        }
        yield Row(number, cells)
    if columns is None:
        raise broken("no_header", "The file is empty.", _HEADER_FIX)


def _header(number: int, record: Sequence[Any]) -> list[str]:
    """The columns that the cells below stand in; raises `BrokenFile` with all problems."""
    columns = [_column(cell) for cell in record]
    while columns and not columns[-1]:
        columns.pop()
    if not any(column in COLUMNS for column in columns):
        raise broken(
            "no_header", "The first row has no column name that is known.", _HEADER_FIX, number
        )
    errors = [
        unknown_column(number, name, f"column {place}")
        for place, name in enumerate(columns, 1)
        if name not in COLUMNS and name not in IGNORED
    ]
    errors += [
        CellError(
            number, name, "", "duplicate_column", "This column stands here twice.", "Keep one."
        )
        for name in COLUMNS
        if columns.count(name) > 1
    ]
    errors += [
        CellError(number, name, "", "missing_column", f"There is no column {name}.", "Add it.")
        for name in REQUIRED
        if name not in columns
    ]
    if errors:
        raise BrokenFile(*errors)
    return columns


def _column(cell: Any) -> str:
    """A header as a column's name: “Access key ID” is access_key_id."""
    return re.sub(r"[\s-]+", "_", str(cell if cell is not None else "").strip()).lower()


def _too_many_cells(number: int, found: int, wanted: int) -> CellError:
    return CellError(
        number,
        "",
        "",
        "too_many_cells",
        f"This row has {found} cells and the header {wanted}, so some stand in a wrong column.",
        "Put cells that have the separator in them in quotation marks, and leave no others.",
    )
