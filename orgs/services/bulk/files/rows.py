"""What every format of an import file is read into, and what may be wrong with one.

Bounds stand here for all formats: things are counted before there is work with them.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from difflib import get_close_matches
from itertools import islice
from typing import Any

from orgs.registries import codes

from .columns import CellError, columns

# For what is read whole; CSV has no such end, since it streams.
MAX_ROWS = 10_000
MAX_BYTES = 10_000_000
# Columns of a table, keys of an entry.
MAX_COLUMNS = 200
# Empty rows one after the other; programs write some below what they were given.
MAX_BLANK_ROWS = 100_000
# Of one row's names that aren't known, those that are told.
MOST_UNKNOWN = 10
# A header that may be repeated; anything else may be a row of data, secrets included.
_HEADER = re.compile(r"[A-Za-z][A-Za-z_ -]{0,29}")


@dataclass(frozen=True)
class Row:
    """One entry of the file; `number` as in `CellError`.

    `cells` are {column: text}, or true, false and finite numbers as they are, and
    patterns and environments perhaps as lists; anything else is what no cell can be.
    `remarks` are sentences on what was made of the row, for whoever imports it: the same
    one for the same kind of thing.
    """

    number: int
    cells: Mapping[str, Any] = field(repr=False)
    errors: Sequence[CellError] = ()
    remarks: Sequence[str] = ()


@dataclass(frozen=True)
class OddCell:
    """A cell that has no text, and what to tell of it."""

    code: str
    what: str
    fix: str

    def __post_init__(self) -> None:
        codes.of(self.code)

    def at(self, row: int, column: str) -> CellError:
        return CellError(row, column, "", self.code, self.what, self.fix)


class BrokenFile(Exception):
    """The file, from some place on, can't be read; carries what is wrong there."""

    def __init__(self, *errors: CellError) -> None:
        super().__init__("; ".join(map(str, errors)))
        self.errors = errors


def broken(code: str, what: str, fix: str, row: int | None = None) -> BrokenFile:
    return BrokenFile(CellError(row, "", "", code, what, fix))


def too_large() -> BrokenFile:
    return broken(
        "too_large",
        f"JSON, YAML and XLSX files have at most {MAX_ROWS:,} rows and {MAX_BYTES // 10**6} MB, "
        "and no more in them than so many entries have.",
        "Save it as CSV, which has no such limit, or split it.",
    )


def too_deep() -> BrokenFile:
    what = "Something in the file is nested deeper than any entry is."
    return broken("too_deep", what, "Write a list of entries, as the guide shows it.")


def too_many_blank_rows(row: int, otherwise: str = "") -> BrokenFile:
    """`row` is the first of them; `otherwise` ends the sentence on what to do."""
    return broken(
        "too_many_blank_rows",
        f"From here on there are more than {MAX_BLANK_ROWS:,} empty rows one after the other.",
        f"Delete them (in a spreadsheet also those that only have a format){otherwise}.",
        row,
    )


class NearMisses:
    """The nearest known word, looked up a bounded number of times.

    A look-up costs some 10 µs for each word that is known, and one file may have a
    million mistakes: each distinct word is looked up once, if it's short, and only
    the first `most` are. `count` tells how many were.
    """

    LONGEST = 40
    KNOWN = 500

    def __init__(self, known: Iterable[str], most: int = 20) -> None:
        self.known = list(islice(known, self.KNOWN))
        self.most = most
        self.count = 0
        self._found: dict[str, str | None] = {}

    def of(self, word: str) -> str | None:
        if len(word) > self.LONGEST:
            return None
        if word not in self._found and self.count < self.most:
            self.count += 1
            self._found[word] = next(iter(get_close_matches(word, self.known, n=1)), None)
        return self._found.get(word)


def near_columns() -> NearMisses:
    return NearMisses(columns())


def unknown_column(row: int, name: str, near: NearMisses, place: str = "") -> CellError:
    """Told with the nearest known name; `place` stands for one that can't be repeated."""
    known = _HEADER.fullmatch(name) is not None
    what = f"There is no column {name}." if known else "There is no column of this name."
    meant = near.of(name)
    fix = f"Write {meant}, or leave it out." if meant else "Leave it out."
    return CellError(row, name if known else place, "", "unknown_column", what, fix)
