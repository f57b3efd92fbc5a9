"""The columns of import and export files, and what may be repeated of their cells.

They follow from the registry types' own fields, so a new type brings its own.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass

from orgs.registries.base import Field, Problem
from orgs.registries.catalogue import TYPES

PATTERN, TYPE = "image_pattern", "type"
ENVIRONMENTS, ENABLED, NOTE = "environments", "enabled", "note"
REQUIRED = (PATTERN, TYPE)

# Of a type to come (CONTRACT «Types»): files that have it can be read already.
_TO_COME = Field(name="service_account_json", label="Service account key", secret=True)
FIELDS: dict[str, Field] = {f.name: f for registry_type in TYPES for f in registry_type.fields}
FIELDS.setdefault(_TO_COME.name, _TO_COME)
SECRETS = frozenset(name for name, declared in FIELDS.items() if declared.secret)

COLUMNS = (PATTERN, TYPE, *FIELDS, ENVIRONMENTS, ENABLED, NOTE)
# What an export tells beside these. Import takes and ignores it, as it does what
# the API's answers have beside.
TOLD = ("status", "last_used", "secret_set", "key_age_days", "attention")
IGNORED = frozenset({*TOLD, "id", "owner"})

# Which column a problem of the service belongs to, where the names differ.
_COLUMN_OF = {"patterns": PATTERN, "registry_type": TYPE}

# A pattern is shown only if a person must have meant one: lower case, no sign that
# secrets have, and a host's dot or a path's slash in it.
_PATTERN_ECHO = r"(?=.*[./])[a-z0-9._/:*@ -]{1,300}"
_ECHO = {
    name: re.compile(expression)
    for name, expression in {
        PATTERN: _PATTERN_ECHO,
        TYPE: r"[a-z]{2,}(-[a-z]{2,})*",
        **{name: declared.echo for name, declared in FIELDS.items() if not declared.secret},
    }.items()
    if expression
}
_MAX_ECHO = 300
# Where a cell looks like a formula: at its start, and where a spreadsheet that separates
# by other signs would find the start of one (there quotation marks don't help).
_FORMULA = r"(?=[=+\-@\t\r\n＝＋－＠])"
_TO_ESCAPE = re.compile(rf"(^|[;\t\r\n])('*){_FORMULA}")
_ESCAPED = re.compile(rf"(^|[;\t\r\n])'('*){_FORMULA}")


@dataclass(frozen=True)
class CellError:
    """What is wrong with a file, at one place of it.

    `row` is the spreadsheet's (the header is 1), or the entry's place in a JSON or
    YAML list; None for the file as a whole. `value` is what may be shown of the
    cell. Nothing here holds a secret.
    """

    row: int | None
    column: str
    value: str
    code: str
    what: str
    fix: str

    def __str__(self) -> str:
        place = f"row {self.row}" if self.row is not None else "the file"
        column = f", {self.column}" if self.column else ""
        value = f" {self.value}" if self.value else ""
        return f"{place}{column}{value}: {self.what} {self.fix} [{self.code}]"


def shown(column: str, cell: str) -> str:
    """What an error may repeat of a cell: it whole, its length, or only that it's there."""
    if not cell:
        return ""
    if column in SECRETS:
        return "••••"
    return cell if _may_be_shown(column, cell) else f"‹{len(cell)} characters›"


def _may_be_shown(column: str, cell: str) -> bool:
    echo = _ECHO.get(column)
    return echo is not None and len(cell) <= _MAX_ECHO and bool(echo.fullmatch(cell))


def column_of(problem: Problem) -> str:
    """The column that a service's problem belongs to; "" for the row as a whole."""
    return _COLUMN_OF.get(problem.field or "", problem.field or "")


def cell_error(row: int, problem: Problem, cells: dict[str, str]) -> CellError:
    """A service's problem at its cell, in the problem's own words where they are safe.

    They aren't where they repeat a cell that mustn't be: it may be a secret in the
    wrong column.
    """
    column = column_of(problem)
    cell = cells.get(column, "")
    what, fix = problem.what, problem.fix
    words = f"{what} {fix}"
    unsafe = not _may_be_shown(column, cell) and _repeats(words, cell, 6)
    if unsafe or any(_repeats(words, cells.get(name, ""), 12) for name in SECRETS):
        what = "This isn't what belongs here."
        fix = "Check that each cell of the row stands under its own header."
        example = FIELDS[column].example if column in FIELDS else ""
        example = "registry.example.com/my-repo/*" if column == PATTERN else example
        fix += f" An example is {example}." if example else ""
    return CellError(row, column, shown(column, cell), problem.code, what, fix)


def _repeats(words: str, cell: str, length: int) -> bool:
    """Whether so many letters of the cell in a row, or all of a shorter one, are repeated.

    Three letters and fewer aren't worth hiding, and are in most sentences.
    """
    words, cell = words.lower(), cell.strip().lower()
    length = min(length, len(cell))
    pieces: Iterable[str] = (cell[at : at + length] for at in range(len(cell) - length + 1))
    return length >= 4 and any(piece in words for piece in pieces)


def escape(cell: str) -> str:
    """A cell that no spreadsheet takes for a formula: with “'” before what looks like one.

    `unescape` gives it back (OWASP «CSV Injection»).
    """
    return _TO_ESCAPE.sub(r"\1\2'", cell)


def unescape(cell: str) -> str:
    return _ESCAPED.sub(r"\1\2", cell) if "'" in cell else cell
