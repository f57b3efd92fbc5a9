"""Reading XLSX: the cells that are there, in the sheet that is shown.

A workbook is XML in a zip file (ECMA-376). What it claims of itself, the range of a
sheet, the size of a part, how often a text is used, is never believed: bytes are counted
as they are unpacked, elements as they are read, and no more is held than rows may have.
"""

from __future__ import annotations

import posixpath
import re
import zipfile
import zlib
from collections.abc import Callable, Iterator
from datetime import date, timedelta
from math import isfinite
from typing import Any, BinaryIO
from xml.parsers import expat

from .rows import (
    MAX_BLANK_ROWS,
    MAX_COLUMNS,
    MAX_ROWS,
    OddCell,
    Row,
    broken,
    too_large,
    too_many_blank_rows,
)
from .tables import table

# Of all parts that are read together.
MAX_UNPACKED = 60_000_000
MAX_ELEMENTS = 400_000
# Of elements and attributes; a workbook has some hundred, a parser keeps each for ever.
MAX_NAMES = 500
# Characters of all cells together, a shared text counted wherever it's used.
MAX_TEXT = 10_000_000
# Bytes at once: the zip file's own directory, and what one tag may have.
_MAX_READ = 300_000
_MAX_TOKEN = 200_000
_CHUNK = 65_536
_MAX_DEPTH = 30

_CELL = re.compile(r"([A-Z]{1,3})([0-9]{1,7})")
_NUMBER = re.compile(r"[0-9]{1,7}")
_DATE_FORMATS = frozenset({*range(14, 23), *range(27, 37), *range(45, 48), *range(50, 59)})
_NO_FORMAT = re.compile(r'"[^"]*"|\\.|\[[^\]]*\]')

_FORMULA_ERROR = OddCell(
    "formula_error", "The formula of this cell gives an error.", "Write the value itself."
)
_NO_NUMBER = OddCell(
    "not_text", "The number of this cell can't be read.", "Write it as text (a cell for text)."
)
_NO_TEXT = OddCell(
    "not_text", "The text of this cell isn't in the workbook.", "Write it again, and save."
)
_NOT_COMPUTED = OddCell(
    "formula_error", "The formula of this cell was never computed.", "Write the value itself."
)
_DATE_AND_TIME = OddCell(
    "not_text", "This cell is a time of a day.", "Write it as text (a cell for text)."
)

Start = Callable[[str, dict[str, str]], None]
End = Callable[[str, str], None]


class _NotOne(Exception):
    """This isn't a workbook as programs write them."""


def read_xlsx(file: BinaryIO) -> Iterator[Row]:
    yield from table(records_of(file))


def records_of(file: BinaryIO) -> Iterator[tuple[int, list[Any]]]:
    """(row, cells) of the shown sheet's rows that have any; raises `BrokenFile`."""
    try:
        return _Workbook(file).records()
    except (
        *(_NotOne, zipfile.BadZipFile, zlib.error, expat.ExpatError, KeyError, ValueError),
        *(LookupError, NotImplementedError, RuntimeError, EOFError, OSError, OverflowError),
    ):
        raise broken(
            "unreadable_file",
            "This isn't an XLSX workbook, or it has a password.",
            "Save it as XLSX or CSV again.",
        ) from None


class _Bounded:
    """A file that gives little at once: `zipfile` takes a whole directory in one read."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self.seek, self.tell = file.seek, file.tell

    def read(self, size: int = -1) -> bytes:
        content = self._file.read(size if 0 <= size <= _MAX_READ else _MAX_READ + 1)
        if len(content) > _MAX_READ:
            raise _NotOne
        return content

    def seekable(self) -> bool:
        return True


class _Workbook:
    """The shown sheet of a workbook. Raises `BrokenFile`, and whatever damage causes."""

    def __init__(self, file: BinaryIO) -> None:
        self._archive = zipfile.ZipFile(_Bounded(file))  # type: ignore[arg-type]
        self._unpacked = self._elements = 0
        self._names: set[str] = set()
        self._sheet: _Sheet | None = None

    def records(self) -> Iterator[tuple[int, list[Any]]]:
        """(row, cells) of rows that have any; read whole before the first."""
        workbook = self._related("", "officeDocument").get("", "xl/workbook.xml")
        sheet_id, in_1904 = self._shown_sheet(workbook)
        sheets = self._related(workbook, "worksheet")
        self._sheet = sheet = _Sheet(self._dates(workbook), in_1904)
        self._parse(sheets[sheet_id], sheet.start, sheet.end)
        texts = self._texts(workbook, sheet.shared)
        return sheet.records(texts)

    def _shown_sheet(self, part: str) -> tuple[str, bool]:
        """The relationship's id of the sheet on top, or of the first that isn't hidden."""
        sheets: list[tuple[str, bool]] = []
        active, in_1904 = 0, False

        def start(name: str, attributes: dict[str, str]) -> None:
            nonlocal active, in_1904
            if name == "sheet" and len(sheets) < 1000:
                hidden = attributes.get("state", "visible") != "visible"
                related = next((v for k, v in attributes.items() if k.endswith(":id")), "")
                sheets.append((related, hidden))
            elif name == "workbookView":
                active = _number(attributes.get("activeTab", "")) or 0
            elif name == "workbookPr":
                in_1904 = attributes.get("date1904") in ("1", "true")

        self._parse(part, start)
        shown = [related for related, hidden in sheets[active:] + sheets[:active] if not hidden]
        if not shown:
            raise _NotOne
        return shown[0], in_1904

    def _dates(self, workbook: str) -> frozenset[int]:
        """Which styles of cells show a number as a date."""
        dated: set[int] = set(_DATE_FORMATS)
        styles: list[int] = []
        inside = False

        def start(name: str, attributes: dict[str, str]) -> None:
            nonlocal inside
            if name == "numFmt":
                shown = _NO_FORMAT.sub("", attributes.get("formatCode", "")[:200]).lower()
                number = _number(attributes.get("numFmtId", ""))
                if number is not None and set(shown) & set("dmyhs"):
                    dated.add(number)
            elif name == "xf" and inside:
                styles.append(_number(attributes.get("numFmtId", "")) or 0)
            elif name in ("cellXfs", "cellStyleXfs"):
                inside = name == "cellXfs"

        for part in self._related(workbook, "styles").values():
            self._parse(part, start)
        return frozenset(at for at, format in enumerate(styles) if format in dated)

    def _texts(self, workbook: str, wanted: set[int]) -> dict[int, str]:
        """Those shared texts that cells of the sheet name."""
        texts: dict[int, str] = {}
        pieces = _Pieces()
        at, phonetic = -1, False

        def start(name: str, attributes: dict[str, str]) -> None:
            nonlocal at, phonetic
            at += name == "si"
            phonetic = phonetic or name == "rPh"

        def end(name: str, text: str) -> None:
            nonlocal phonetic
            phonetic = phonetic and name != "rPh"
            if name == "t" and at in wanted and not phonetic:
                pieces.add(text)
            elif name == "si" and at in wanted:
                texts[at] = pieces.take()

        for part in self._related(workbook, "sharedStrings").values() if wanted else ():
            self._parse(part, start, end)
        return texts

    def _related(self, part: str, kind: str) -> dict[str, str]:
        """The parts of a kind that a part names, by the relationship's id; the only one of
        the package's also by ""."""
        directory, name = posixpath.split(part)
        found: dict[str, str] = {}

        def start(name: str, attributes: dict[str, str]) -> None:
            if name == "Relationship" and attributes.get("Type", "").endswith(f"/{kind}"):
                target = posixpath.join("/", directory, attributes.get("Target", ""))
                target = posixpath.normpath(target).lstrip("/")
                found[attributes.get("Id", "")] = target
                if not part:
                    found[""] = target

        relations = posixpath.join(directory, "_rels", f"{name}.rels")
        if part or relations in self._archive.NameToInfo:
            self._parse(relations, start)
        return found

    def _parse(self, part: str, start: Start, end: End = lambda name, text: None) -> None:
        """Tell of a part's elements, by their local names: `end` with the text in them.

        Raises `BrokenFile` where that is too much, `_NotOne` for what workbooks never have.
        """
        parser = expat.ParserCreate()
        parser.buffer_text = True
        texts: list[str] = []
        depth = 0

        def started(name: str, attributes: dict[str, str]) -> None:
            nonlocal depth
            depth += 1
            self._elements += 1
            if self._elements > MAX_ELEMENTS:
                raise _too_many_cells(self._sheet.row if self._sheet else None)
            self._names.add(name)
            self._names.update(attributes)
            if depth > _MAX_DEPTH or len(self._names) > MAX_NAMES:
                raise _NotOne
            texts.clear()
            start(name.rpartition(":")[2], attributes)

        def ended(name: str) -> None:
            nonlocal depth
            depth -= 1
            end(name.rpartition(":")[2], "".join(texts))
            texts.clear()

        def refuse(*args: Any) -> None:
            raise _NotOne

        parser.StartElementHandler, parser.EndElementHandler = started, ended
        parser.CharacterDataHandler = texts.append
        # No office program writes one, and only there entities can be declared.
        parser.StartDoctypeDeclHandler = refuse
        fed = 0
        for chunk in self._chunks(part):
            fed += len(chunk)
            parser.Parse(chunk)
            # expat reads what isn't whole yet anew with every chunk.
            if fed - parser.CurrentByteIndex > _MAX_TOKEN:
                raise _NotOne
            if sum(map(len, texts)) > _MAX_TOKEN:
                raise too_large()
        parser.Parse(b"", True)

    def _chunks(self, part: str) -> Iterator[bytes]:
        entry = self._archive.getinfo(part)
        # Others, which no workbook has, unpack without end.
        if entry.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
            raise _NotOne
        with self._archive.open(entry) as opened:
            while chunk := opened.read(_CHUNK):
                self._unpacked += len(chunk)
                if self._unpacked > MAX_UNPACKED:
                    raise too_large()
                yield chunk


class _Sheet:
    """Takes in a sheet's cells; `shared` are the shared texts that they name, `row` is the
    last row's number."""

    def __init__(self, dates: frozenset[int], in_1904: bool) -> None:
        self.shared: set[int] = set()
        self._dates = dates
        self._first_day = date(1904, 1, 1) if in_1904 else date(1899, 12, 30)
        self._rows: list[tuple[int, dict[int, Any]]] = []
        self.row = self._column = self._blank = 0
        self._style = ""
        self._type = ""
        self._pieces = _Pieces()
        self._formula = self._phonetic = False

    def start(self, name: str, attributes: dict[str, str]) -> None:
        if name == "c":
            self._start_cell(attributes)
        elif name == "row":
            number = _number(attributes.get("r", str(self.row + 1)))
            if number is None or number <= self.row:
                raise _NotOne
            self.row, self._column = number, -1
            self._rows.append((number, {}))
        elif name == "rPh":
            self._phonetic = True

    def _start_cell(self, attributes: dict[str, str]) -> None:
        if not self._rows:
            raise _NotOne
        place = attributes.get("r")
        self._column += 1
        if place is not None:
            letters = _CELL.fullmatch(place)
            if letters is None:
                raise _NotOne
            self._column = _index(letters[1])
        self._type, self._style = attributes.get("t", "n"), attributes.get("s", "")
        self._pieces.take()
        self._formula = False

    def end(self, name: str, text: str) -> None:
        if name == "v" or (name == "t" and self._type == "inlineStr" and not self._phonetic):
            self._pieces.add(text)
        elif name == "f":
            self._formula = True
        elif name == "rPh":
            self._phonetic = False
        elif name == "c" and ((value := self._pieces.take()) or self._formula):
            # What stands so far out is one too many, wherever.
            self._rows[-1][1][min(self._column, MAX_COLUMNS)] = self._read(value)
        elif name == "row":
            self._end_row()

    def _end_row(self) -> None:
        if not self._rows[-1][1]:
            self._rows.pop()
            self._blank += 1
            if self._blank > MAX_BLANK_ROWS:
                first = self.row - MAX_BLANK_ROWS
                raise too_many_blank_rows(first, ", or save the sheet as CSV UTF-8")
            return
        self._blank = 0
        if len(self._rows) > MAX_ROWS + 1:
            raise too_large()

    def _read(self, value: str) -> Any:
        """The cell's value; of a shared text, its index in a `_Shared`."""
        if not value:
            return _NOT_COMPUTED
        if self._type in ("inlineStr", "str", "d"):
            return value
        if self._type == "s":
            index = _number(value)
            if index is None:
                return _NO_TEXT
            self.shared.add(index)
            return _Shared(index)
        if self._type == "b":
            return value.strip() == "1"
        if self._type == "e":
            return _FORMULA_ERROR
        return self._numeric(value)

    def _numeric(self, value: str) -> Any:
        try:
            number = float(value[:100])
        except ValueError:
            return _NO_NUMBER
        if not isfinite(number):
            return _NO_NUMBER
        if _number(self._style) in self._dates:
            return self._day(number)
        return int(number) if number.is_integer() and abs(number) < 1e15 else number

    def _day(self, number: float) -> Any:
        """A date as people write it for programs; Excel's days begin to be right in 1900-03."""
        if not number.is_integer() or not 61 <= number <= 2_900_000:
            return _DATE_AND_TIME
        return (self._first_day + timedelta(days=int(number))).isoformat()

    def records(self, texts: dict[int, str]) -> Iterator[tuple[int, list[Any]]]:
        length = 0
        for number, cells in self._rows:
            record: list[Any] = [None] * (max(cells) + 1)
            for column, cell in cells.items():
                known = texts.get(cell.index, _NO_TEXT) if isinstance(cell, _Shared) else cell
                record[column] = known
                length += len(known) if isinstance(known, str) else 0
            if length > MAX_TEXT:
                raise too_large()
            yield number, record


class _Pieces:
    """A text that comes in pieces, bounded."""

    def __init__(self) -> None:
        self._pieces: list[str] = []
        self._length = 0

    def add(self, piece: str) -> None:
        """Raises `BrokenFile` where it becomes longer than any cell."""
        self._length += len(piece)
        if self._length > _MAX_TOKEN:
            raise too_large()
        self._pieces.append(piece)

    def take(self) -> str:
        """The text so far; another begins."""
        text = "".join(self._pieces)
        self._pieces, self._length = [], 0
        return text


class _Shared:
    """A cell's text, by its place among the workbook's."""

    __slots__ = ("index",)

    def __init__(self, index: int) -> None:
        self.index = index


def _index(letters: str) -> int:
    """A column's place from 0: A is 0, XFD 16,383."""
    index = 0
    for letter in letters:
        index = index * 26 + ord(letter) - 64
    return index - 1


def _number(text: str) -> int | None:
    return int(text) if _NUMBER.fullmatch(text) else None


def _too_many_cells(row: int | None) -> Exception:
    return broken(
        "too_many_cells",
        f"The workbook has more than {MAX_ELEMENTS:,} cells and rows, empty ones with a format "
        "among them.",
        "Delete the empty rows and columns around the entries, or save it as CSV.",
        row or None,
    )
