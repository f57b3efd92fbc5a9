"""From a row of an import file to a draft, and what is wrong with the row by itself."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from difflib import get_close_matches
from typing import Any

from orgs.models import Environment
from orgs.registries.base import Problem, RegistryType
from orgs.registries.catalogue import BY_SLUG

from .checking import Draft, Examined, examine
from .files.columns import (
    ENABLED,
    ENVIRONMENTS,
    FIELDS,
    NOTE,
    PATTERN,
    SECRETS,
    TYPE,
    CellError,
    cell_error,
    column_of,
    shown,
)
from .files.rows import Row

_ENABLED = {"": True, "true": True, "yes": True, "1": True}
_ENABLED |= {"false": False, "no": False, "0": False}
_LISTS = frozenset({PATTERN, ENVIRONMENTS})


@dataclass(frozen=True)
class Drafted:
    """A row as far as it could be read, with what is wrong in it.

    `cells` are its texts, for what may be told of them. `found` is None where not
    even the cells are in their places.
    """

    row: int
    cells: dict[str, str] = field(repr=False)
    draft: Draft
    found: Examined | None
    errors: list[CellError]

    def refuse(self, *problems: Problem) -> None:
        """Tell of problems, but for those of columns that something is wrong with anyway."""
        before = self.wrong
        self.errors.extend(
            cell_error(self.row, problem, self.cells)
            for problem in problems
            if not column_of(problem) or column_of(problem) not in before
        )

    @property
    def wrong(self) -> set[str]:
        """The columns that something is wrong with."""
        return {error.column for error in self.errors}


def draft_row(row: Row, environments: Mapping[str, Environment]) -> Drafted:
    """Read a row; `environments` are the organization's, by slug."""
    problems: list[Problem] = []
    texts = {name: _text(name, value, problems) for name, value in row.cells.items()}
    slug = texts.get(TYPE, "").strip().lower()
    registry_type = BY_SLUG.get(slug)
    fields = registry_type.fields if registry_type else ()
    slugs = texts.get(ENVIRONMENTS, "").split()
    draft = Draft(
        registry_type=slug,
        patterns=texts.get(PATTERN, "").split(),
        config={f.name: texts.get(f.name, "") for f in fields if not f.secret},
        secrets={f.name: texts.get(f.name, "") for f in fields if f.secret},
        environments=[environments[slug] for slug in dict.fromkeys(slugs) if slug in environments],
        enabled=_enabled(texts.get(ENABLED, ""), problems),
        note=texts.get(NOTE, ""),
    )
    cells = {name: value for name, value in row.cells.items() if isinstance(value, str)}
    if row.errors:
        return Drafted(row.number, cells, draft, None, list(row.errors))
    drafted = Drafted(row.number, cells, draft, examine(draft), [])
    drafted.refuse(*problems)
    if any(slug not in environments for slug in slugs):
        drafted.errors.append(_unknown_environment(drafted, slugs, environments))
    if registry_type:
        drafted.refuse(*_of_other_types(registry_type, texts))
    if drafted.found:
        drafted.refuse(*drafted.found.problems)
    return drafted


def _text(column: str, value: Any, problems: list[Problem]) -> str:
    """A cell as text; "" and a problem where it can't be one."""
    if isinstance(value, str):
        if value.isprintable() or _storable(value):
            return value
        what, fix = "There is a character in this cell that no text has.", "Write it again by hand."
        problems.append(Problem("control_character", what, fix, column))
        return ""
    if value is None:
        return ""
    if isinstance(value, bool) and column == ENABLED:
        return str(value)
    if isinstance(value, list) and column in _LISTS and all(isinstance(v, str) for v in value):
        return _text(column, " ".join(value), problems)
    if isinstance(value, int | float) and not isinstance(value, bool) and column not in SECRETS:
        return f"{value:.0f}" if value == int(value) else str(value)
    what, fix = "This isn't text.", "Write it as text (in quotation marks, or a cell for text)."
    problems.append(Problem("not_text", what, fix, column))
    return ""


def _storable(text: str) -> bool:
    """No NUL, which PostgreSQL refuses, and no half of a surrogate pair, which all do."""
    return "\0" not in text and not any("\ud800" <= letter <= "\udfff" for letter in text)


def _enabled(cell: str, problems: list[Problem]) -> bool:
    enabled = _ENABLED.get(cell.strip().lower())
    if enabled is None:
        what = "This is neither true nor false."
        problems.append(Problem("not_a_boolean", what, "Write true or false.", ENABLED))
    return enabled is not False


def _unknown_environment(
    row: Drafted, slugs: list[str], known: Mapping[str, Environment]
) -> CellError:
    """Names what the organization has, and never the cell: it may be a secret."""
    near = [get_close_matches(slug, known, n=1) for slug in slugs if slug not in known]
    meant = [match for matches in near for match in matches]
    if meant:
        fix = f"Write {', '.join(meant)}."
    elif known:
        fix = f"Write slugs out of {', '.join(sorted(known)[:10])}, or leave it empty for all."
    else:
        fix = "Leave the cell empty for all environments."
    value = shown(ENVIRONMENTS, row.cells.get(ENVIRONMENTS, ""))
    what = "There is no such environment."
    return CellError(row.row, ENVIRONMENTS, value, "environment_not_found", what, fix)


def _of_other_types(registry_type: RegistryType, texts: Mapping[str, str]) -> list[Problem]:
    own = {declared.name for declared in registry_type.fields}
    return [
        Problem(
            "field_of_other_type",
            f"Entries of the type {registry_type.label} have no {column}.",
            "Empty this cell, or write the type that it belongs to.",
            column,
        )
        for column in FIELDS
        if column not in own and texts.get(column, "").strip()
    ]
