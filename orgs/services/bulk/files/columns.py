"""The columns of import and export files, and what may be repeated of their cells.

They follow from the registry types' own fields, so a new type brings its own.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from orgs.registries import codes
from orgs.registries.catalogue import TYPES
from orgs.registries.problems import Problem
from orgs.registries.types import Field

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
# Characters of the longest cell; a spreadsheet's own bound. What belongs into a field of
# its own is shorter; a little more is let through, for its type to tell of.
MAX_CELL = 32_767
_LONGEST = {name: max(2_000, 2 * declared.max_length) for name, declared in FIELDS.items()}
_LONGEST[PATTERN] = 60_000  # a hundred of the longest


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

    def __post_init__(self) -> None:
        codes.of(self.code)

    def __str__(self) -> str:
        place = f"row {self.row}" if self.row is not None else "the file"
        column = f", {self.column}" if self.column else ""
        value = f" {self.value}" if self.value else ""
        return f"{place}{column}{value}: {self.what} {self.fix} [{self.code}]"


def longest(column: str) -> int:
    """How many characters a cell of the column may have, before anything is made of it."""
    return _LONGEST.get(column, MAX_CELL)


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


def cell_errors(row: int, problems: Sequence[Problem], cells: Mapping[str, str]) -> list[CellError]:
    """A service's problems at their cells, in the problems' own words where they are safe.

    They aren't where they repeat a cell that mustn't be: it may be a secret in the
    wrong column. Each cell is looked through once, however many problems there are.
    """
    words = [f"{problem.what} {problem.fix}".lower() for problem in problems]
    columns = [column_of(problem) for problem in problems]
    # Of a longer cell nobody was told anything.
    looked = {name: cell for name, cell in cells.items() if len(cell) <= longest(name)}
    secret = {piece for name in SECRETS for piece in _repeated(words, looked.get(name, ""), 12)}
    hidden = {
        name: _repeated(words, looked.get(name, ""), 6)
        for name in set(columns)
        if not _may_be_shown(name, cells.get(name, ""))
    }
    return [
        _cell_error(
            row, problem, cells, any(piece in told for piece in secret | hidden.get(at, set()))
        )
        for problem, told, at in zip(problems, words, columns, strict=True)
    ]


def _cell_error(row: int, problem: Problem, cells: Mapping[str, str], unsafe: bool) -> CellError:
    column = column_of(problem)
    what, fix = problem.what, problem.fix
    if unsafe:
        what = "This isn't what belongs here."
        fix = "Check that each cell of the row stands under its own header."
        example = FIELDS[column].example if column in FIELDS else ""
        example = "registry.example.com/my-repo/*" if column == PATTERN else example
        fix += f" An example is {example}." if example else ""
    return CellError(row, column, shown(column, cells.get(column, "")), problem.code, what, fix)


def _repeated(words: Sequence[str], cell: str, length: int) -> set[str]:
    """So many letters of the cell in a row, or all of a shorter one, where they are repeated.

    Three letters and fewer aren't worth hiding, and are in most sentences.
    """
    cell = cell.strip().lower()
    length = min(length, len(cell))
    if length < 4:
        return set()
    told = {text[at : at + length] for text in words for at in range(len(text) - length + 1)}
    if len(cell) > 20 * len(told):  # about where this comes to be faster
        return {piece for piece in told if piece in cell}
    pieces = (cell[at : at + length] for at in range(len(cell) - length + 1))
    return {piece for piece in pieces if piece in told}
