"""From a row of an import file to a spec, and what is wrong with the row by itself."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from typing import Any

from orgs.models import Environment
from orgs.registries.catalogue import BY_SLUG, fields_named
from orgs.registries.fields import neither, switched
from orgs.registries.pasted import texts as pasted_texts
from orgs.registries.problems import Problem
from orgs.registries.text import is_storable
from orgs.registries.types import RegistryType
from orgs.services.entries.validating import MAX_PATTERNS, EntrySpec, Examined, examine

from .files.columns import (
    ENABLED,
    ENVIRONMENTS,
    MAX_CELL,
    NOTE,
    PATTERN,
    SECRET_END,
    TYPE,
    CellError,
    cell_errors,
    column_of,
    field_columns,
    longest,
    secret_columns,
    shown,
)
from .files.rows import NearMisses, Row, broken

_LISTS = frozenset({PATTERN, ENVIRONMENTS})
MAX_NUMBER = 10**15  # a spreadsheet's numbers are exact below it
MOST_TOLD = 20  # of what is wrong in one row


@dataclass(frozen=True)
class RowSpec:
    """A row as far as it could be read, with what is wrong in it.

    `cells` are its texts, for what may be told of them, `slugs` the environments that are
    named in it, known or not. `found` is None where not
    even the cells are in their places; its problems are refused once it's known which
    entry is meant, which may have them already. `refusals` aren't yet fit to be told.
    """

    row: int
    cells: dict[str, str] = field(repr=False)
    spec: EntrySpec
    found: Examined | None
    refusals: list[Problem | CellError] = field(repr=False)
    slugs: Sequence[str] = field(default=(), repr=False)

    def refuse(self, *problems: Problem) -> None:
        """Note problems, but for those of columns that something is wrong with anyway."""
        before = self.wrong
        self.refusals.extend(
            problem
            for problem in problems
            if not column_of(problem) or column_of(problem) not in before
        )

    @property
    def wrong(self) -> set[str]:
        """The columns that something is wrong with."""
        return {
            column_of(refusal) if isinstance(refusal, Problem) else refusal.column
            for refusal in self.refusals
        }

    def errors(self) -> list[CellError]:
        """What to tell of the row: the first `MOST_TOLD` of what is wrong."""
        told = self.refusals[:MOST_TOLD]
        problems = [refusal for refusal in told if isinstance(refusal, Problem)]
        safe = iter(cell_errors(self.row, problems, self.cells, self.spec.registry_type))
        return [next(safe) if isinstance(refusal, Problem) else refusal for refusal in told]


class SpecReader:
    """Reads the rows of a file; `environments` are the organization's, by slug.

    `places` bounds the patterns of all rows, counted once for each of their environments;
    None for no bound.
    """

    def __init__(self, environments: Mapping[str, Environment], places: int | None = None) -> None:
        self.environments = environments
        self.near = NearMisses(environments)
        self._places_left = places
        self._some = ", ".join(sorted(environments)[:10])

    def read(self, row: Row) -> RowSpec:
        """The row's spec; raises `BrokenFile` where this and earlier rows are too many."""
        problems: list[Problem] = []
        named = row.cells.get(TYPE)
        slug = named.strip().lower() if isinstance(named, str) else ""
        most = longest(slug)
        texts = {
            n: _text(n, value, most.get(n, MAX_CELL), problems) for n, value in row.cells.items()
        }
        slug = texts.get(TYPE, "").strip().lower()
        registry_type = BY_SLUG.get(slug)
        fields = registry_type.fields if registry_type else ()
        slugs = list(dict.fromkeys(texts.get(ENVIRONMENTS, "").split()))
        spec = EntrySpec(
            registry_type=slug,
            patterns=_patterns(texts.get(PATTERN, ""), problems),
            config={f.name: texts.get(f.name, "") for f in fields if not f.secret},
            secrets={f.name: texts.get(f.name, "") for f in fields if f.secret},
            environments=[self.environments[slug] for slug in slugs if slug in self.environments],
            enabled=_enabled(texts.get(ENABLED, ""), problems),
            note=texts.get(NOTE, ""),
            secret_expires_on=texts.get(SECRET_END),
        )
        self._count(row, len(spec.patterns) * max(1, len(spec.environments)))
        cells = {name: value for name, value in row.cells.items() if isinstance(value, str)}
        if row.errors:
            return RowSpec(row.number, cells, spec, None, list(row.errors))
        row_spec = RowSpec(row.number, cells, spec, examine(spec), [], slugs)
        row_spec.refuse(*problems)
        if any(slug not in self.environments for slug in slugs):
            row_spec.refusals.append(self._unknown_environment(row_spec, slugs))
        if registry_type:
            row_spec.refuse(*_of_other_types(registry_type, texts))
        return row_spec

    def _count(self, row: Row, places: int) -> None:
        if self._places_left is None:
            return
        self._places_left -= places
        if self._places_left < 0:
            what = "The rows have too many patterns, counted once for each of their environments."
            fix = "Use wider patterns, or split the file."
            raise broken("too_many_places", what, fix, row.number)

    def _unknown_environment(self, row: RowSpec, slugs: list[str]) -> CellError:
        """Names what the organization has, and never the cell: it may be a secret."""
        near = [self.near.of(slug) for slug in slugs if slug not in self.environments]
        meant = list(dict.fromkeys(match for match in near if match))
        if meant:
            fix = f"Write {', '.join(meant[:10])}."
        elif self.environments:
            fix = f"Write slugs out of {self._some}, or leave it empty for all."
        else:
            fix = "Leave the cell empty for all environments."
        value = shown(ENVIRONMENTS, row.cells.get(ENVIRONMENTS, ""))
        what = "There is no such environment."
        return CellError(row.row, ENVIRONMENTS, value, "environment_not_found", what, fix)


def _patterns(cell: str, problems: list[Problem]) -> list[str]:
    """The cell's patterns; none, and a problem, where they are more than an entry has."""
    words = list(dict.fromkeys(pasted_texts(cell)))
    if len(words) <= MAX_PATTERNS:
        return words
    what = (
        f"There are {len(words):,} patterns in this cell, and an entry has at most {MAX_PATTERNS}."
    )
    problems.append(Problem("too_many", what, "Use wider patterns, or further entries.", PATTERN))
    return []


def _text(column: str, value: Any, most: int, problems: list[Problem]) -> str:
    """A cell as text, of `most` characters; "" and a problem where it can't be one.

    Nothing but a plain value is written as text: lists may hold each other.
    """
    if value is None:
        return ""
    if isinstance(value, str):
        return _storable(column, value, most, problems)
    if isinstance(value, date) and column == SECRET_END:
        return value.isoformat()[:10]  # of a time its day, as spreadsheets keep days
    if isinstance(value, bool):
        if column == ENABLED or any(f.switch for f in fields_named(column)):
            return str(value)
    elif isinstance(value, int | float):
        # A spreadsheet drops a number's leading zeros, and digits of a long one.
        if column not in secret_columns() and abs(value) < MAX_NUMBER:
            return f"{value:.0f}" if value == int(value) else str(value)
    elif type(value) is list and column in _LISTS and all(type(v) is str for v in value):
        return _storable(column, "\n".join(value), most, problems)
    what, fix = "This isn't text.", "Write it as text (in quotation marks, or a cell for text)."
    problems.append(Problem("not_text", what, fix, column))
    return ""


def _storable(column: str, text: str, most: int, problems: list[Problem]) -> str:
    """The text, without NUL, which PostgreSQL refuses, or half a surrogate pair, which all do."""
    if len(text) > most:
        what = f"This cell has {len(text):,} characters, which is more than belong here."
        problems.append(Problem("too_long", what, "Shorten it.", column))
        return ""
    if not is_storable(text):
        what, fix = "There is a character in this cell that no text has.", "Write it again by hand."
        problems.append(Problem("control_character", what, fix, column))
        return ""
    return text


def _enabled(cell: str, problems: list[Problem]) -> bool:
    enabled = switched(cell) if cell.strip() else True
    if enabled is None:
        problems.append(neither(ENABLED))
    return enabled is not False


def _of_other_types(registry_type: RegistryType, texts: Mapping[str, str]) -> list[Problem]:
    own = {declared.name for declared in registry_type.fields}
    return [
        Problem(
            "field_of_other_type",
            f"Entries of the type {registry_type.label} have no {column}.",
            "Empty this cell, or write the type that it belongs to.",
            column,
        )
        for column in field_columns()
        if column not in own and texts.get(column, "").strip()
    ]
