"""What every format of an import file is read into, and what may be wrong with one."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from difflib import get_close_matches
from typing import Any

from .columns import COLUMNS, CellError

# For what is read whole; CSV has no such end, since it streams.
MAX_ROWS = 10_000
MAX_BYTES = 20_000_000
# A header that may be repeated; anything else may be a row of data, secrets included.
_HEADER = re.compile(r"[A-Za-z][A-Za-z_ -]{0,29}")


@dataclass(frozen=True)
class Row:
    """One entry of the file; `number` as in `CellError`.

    `cells` are {column: text}, or true and false as they are, and patterns and
    environments perhaps as lists.
    """

    number: int
    cells: Mapping[str, Any] = field(repr=False)
    errors: Sequence[CellError] = ()


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
        f"JSON, YAML and XLSX files have at most {MAX_ROWS:,} rows and {MAX_BYTES // 10**6} MB.",
        "Save it as CSV, which has no such limit, or split it.",
    )


def unknown_column(row: int, name: str, place: str = "") -> CellError:
    """Told with the nearest known name; `place` stands for one that can't be repeated."""
    known = _HEADER.fullmatch(name) is not None
    what = f"There is no column {name}." if known else "There is no column of this name."
    near = get_close_matches(name, COLUMNS, n=1)
    fix = f"Write {near[0]}, or leave it out." if near else "Leave it out."
    return CellError(row, name if known else place, "", "unknown_column", what, fix)
