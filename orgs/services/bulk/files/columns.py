"""The columns of import and export files, and what may be repeated of their cells.

They follow from the registry types' own fields, so a new type brings its own.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from functools import cache

from orgs.registries import codes, ends
from orgs.registries.catalogue import BY_SLUG, TYPES, fields_named
from orgs.registries.problems import Problem
from orgs.registries.types import Field, RegistryType

PATTERN, TYPE = "image_pattern", "type"
ENVIRONMENTS, ENABLED, NOTE, SECRET_END = "environments", "enabled", "note", ends.NAME
_LAST = (ENVIRONMENTS, ENABLED, NOTE, SECRET_END)
REQUIRED = (PATTERN, TYPE)

# What forms call the columns that no type's field is for.
_LABELS = {
    PATTERN: ("Match pattern", "Match patterns"),
    TYPE: ("Registry type",),
    SECRET_END: (ends.LABEL,),
}
_LONGEST_NAME = 100
_NO_NAME = re.compile(r"\s*\([^()]*\)|[^a-z0-9]+")

# What an export tells beside these. Import takes and ignores it, as it does what
# the API's answers have beside.
TOLD = ("status", "last_used", "secret_set", "key_age_days", "attention")
IGNORED = frozenset({*TOLD, "id", "owner"})


def columns() -> tuple[str, ...]:
    """All columns that a file may have, in the order of an export."""
    return (PATTERN, TYPE, *field_columns(), *_LAST)


def columns_of(kind: RegistryType) -> tuple[str, ...]:
    """Those that the entries of a type have."""
    last = _LAST if kind.secret_fields else _LAST[:-1]
    return (PATTERN, TYPE, *(f.name for f in kind.fields), *last)


def field_columns() -> tuple[str, ...]:
    """Those of the types' own fields; one for all that have the same name."""
    return _field_columns(tuple(TYPES))


@cache
def _field_columns(kinds: tuple[RegistryType, ...]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(f.name for kind in kinds for f in kind.fields))


def named(header: str) -> str:
    """The column that a header means, by its name or the form's label, whatever its case,
    blanks and signs: “Match pattern*” is image_pattern. Else what it says."""
    header = header[:_LONGEST_NAME].lower().strip()
    plain = _plain(header)
    kinds = tuple(TYPES)
    meant = _by_label(kinds).get(plain)
    if meant is None and plain in _known(kinds):
        meant = plain
    # What it says otherwise stays as it is, signs too: it may be a secret, which has some.
    return meant or re.sub(r"[\s-]+", "_", header)


def _plain(name: str) -> str:
    return "_".join(_NO_NAME.sub(" ", name).split())


@cache
def _known(kinds: tuple[RegistryType, ...]) -> frozenset[str]:
    return frozenset({*columns(), *IGNORED})


@cache
def _by_label(kinds: tuple[RegistryType, ...]) -> Mapping[str, str]:
    """The columns by their labels; a label of two columns means neither."""
    labelled = [(label, name) for name, labels in _LABELS.items() for label in labels]
    labelled += [(f.label, f.name) for kind in kinds for f in kind.fields]
    found: dict[str, set[str]] = {}
    for label, name in labelled:
        found.setdefault(_plain(label.lower()), set()).add(name)
    known = _field_columns(kinds)
    return {
        label: next(iter(names))
        for label, names in found.items()
        if len(names) == 1 and label not in known
    }


def type_named(cell: str) -> str:
    """The slug of the type that a cell names by its label, or with other signs between its
    words; else the cell."""
    if cell in BY_SLUG or len(cell) > _LONGEST_NAME:
        return cell
    words = " ".join(cell.lower().split())
    if (slug := words.replace("_", "-")) in BY_SLUG:
        return slug
    return _by_type_label(tuple(TYPES)).get(words, cell)


@cache
def _by_type_label(kinds: tuple[RegistryType, ...]) -> Mapping[str, str]:
    return {kind.label.lower(): kind.slug for kind in kinds}


def secret_columns() -> frozenset[str]:
    return _secret_columns(tuple(TYPES))


@cache
def _secret_columns(kinds: tuple[RegistryType, ...]) -> frozenset[str]:
    return frozenset(f.name for kind in kinds for f in kind.secret_fields)


def _declared(column: str, slug: str) -> list[Field]:
    """The field that a cell of the column is for: that of the row's type; else all of this
    name, whose type isn't known."""
    return _declared_by(column, slug if slug in BY_SLUG else "", tuple(TYPES))


@cache
def _declared_by(column: str, slug: str, kinds: tuple[RegistryType, ...]) -> list[Field]:
    own = [f for kind in kinds if kind.slug == slug for f in kind.fields if f.name == column]
    return own or fields_named(column)


# Which column a problem of the service belongs to, where the names differ.
_COLUMN_OF = {"patterns": PATTERN, "registry_type": TYPE}

# A pattern is shown only if a person must have meant one: lower case, no sign that
# secrets have, and a host's dot or a path's slash in it.
_PATTERN_ECHO = r"(?=.*[./])[a-z0-9._/:*@ -]{1,300}"
_ECHO = {
    PATTERN: re.compile(_PATTERN_ECHO),
    TYPE: re.compile(r"[a-z]{2,}(-[a-z]{2,})*"),
    SECRET_END: re.compile(r"[0-9./-]{6,10}"),
}
_MAX_ECHO = 300
# Characters of the longest cell; a spreadsheet's own bound. What belongs into a field of
# its own is shorter; a little more is let through, for its type to tell of.
MAX_CELL = 32_767
_LONGEST_PATTERNS = 60_000  # a hundred of the longest


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


def longest(slug: str) -> Mapping[str, int]:
    """How many characters a cell of each column may have in a row of this type, before
    anything is made of it."""
    return _longest(slug if slug in BY_SLUG else "", tuple(TYPES))


@cache
def _longest(slug: str, kinds: tuple[RegistryType, ...]) -> Mapping[str, int]:
    found = dict.fromkeys(columns(), MAX_CELL) | {PATTERN: _LONGEST_PATTERNS}
    for column in field_columns():
        declared = [f.max_length for f in _declared_by(column, slug, kinds)]
        found[column] = max(2_000, 2 * max(declared)) if declared else MAX_CELL
    return found


def shown(column: str, cell: str, slug: str = "") -> str:
    """What an error may repeat of a cell: it whole, its length, or only that it's there."""
    if not cell:
        return ""
    if column in secret_columns():
        return "••••"
    return cell if _may_be_shown(column, cell, slug) else f"‹{len(cell)} characters›"


def _may_be_shown(column: str, cell: str, slug: str) -> bool:
    if len(cell) > _MAX_ECHO:
        return False
    if echo := _ECHO.get(column):
        return bool(echo.fullmatch(cell))
    return any(f.may_repeat(cell) for f in _declared(column, slug))


def column_of(problem: Problem) -> str:
    """The column that a service's problem belongs to; "" for the row as a whole."""
    return _COLUMN_OF.get(problem.field or "", problem.field or "")


def cell_errors(
    row: int, problems: Sequence[Problem], cells: Mapping[str, str], slug: str = ""
) -> list[CellError]:
    """A service's problems at their cells, in the problems' own words where they are safe.

    They aren't where they repeat a cell that mustn't be: it may be a secret in the
    wrong column. Each cell is looked through once, however many problems there are.
    """
    words = [f"{problem.what} {problem.fix}".lower() for problem in problems]
    own_words = [_without_suggestion(told, p) for told, p in zip(words, problems, strict=True)]
    columns = [column_of(problem) for problem in problems]
    # Of a longer cell nobody was told anything.
    most = longest(slug)
    looked = {name: cell for name, cell in cells.items() if len(cell) <= most.get(name, MAX_CELL)}
    secret = {
        piece for name in secret_columns() for piece in _repeated(words, looked.get(name, ""), 12)
    }
    hidden = {
        name: _repeated(own_words, looked.get(name, ""), 6)
        for name in set(columns)
        if not _may_be_shown(name, cells.get(name, ""), slug)
    }
    return [
        _cell_error(
            row,
            problem,
            cells,
            slug,
            any(p in told for p in secret) or any(p in own for p in hidden.get(at, ())),
        )
        for problem, told, own, at in zip(problems, words, own_words, columns, strict=True)
    ]


def _without_suggestion(words: str, problem: Problem) -> str:
    """The words but for the pattern that they suggest and its host, which may be told where
    a person must have meant one; and the schemes of addresses, which are no secret."""
    suggested = problem.suggestion or ""
    if column_of(problem) != PATTERN or not _ECHO[PATTERN].fullmatch(suggested):
        return words
    host = suggested.partition("/")[0]
    for known in (suggested, *([host] if "." in host else []), "https://", "http://"):
        words = words.replace(known, "")
    return words


def _cell_error(
    row: int, problem: Problem, cells: Mapping[str, str], slug: str, unsafe: bool
) -> CellError:
    column = column_of(problem)
    what, fix = problem.what, problem.fix
    if unsafe:
        what = "This isn't what belongs here."
        fix = "Check that each cell of the row stands under its own header."
        example = next((f.example for f in _declared(column, slug)), "")
        if column == PATTERN:
            example = BY_SLUG[slug].example_pattern if slug in BY_SLUG else ""
        fix += f" An example is {example}." if example else ""
    value = shown(column, cells.get(column, ""), slug)
    return CellError(row, column, value, problem.code, what, fix)


def _repeated(words: Sequence[str], cell: str, length: int) -> set[str]:
    """So many letters of the cell in a row, or all of a shorter one, where they are repeated.

    Three letters and fewer aren't worth hiding, and are in most sentences.
    """
    cell = cell.strip().lower()
    length = min(length, len(cell))
    if length < 4:
        return set()
    # What is repeated holds one of the cell's blocks of half its length whole, so only what
    # stands around such blocks is looked at letter by letter.
    block = (length + 1) // 2
    told = _windows(words, block)
    found = [at for at in range(0, len(cell) - block + 1, block) if cell[at : at + block] in told]
    if not found:
        return set()
    around = {cell[max(0, at + block - length) : at + length] for at in found}
    return _windows(around, length) & _windows(words, length)


def _windows(words: Collection[str], length: int) -> set[str]:
    return {text[at : at + length] for text in words for at in range(len(text) - length + 1)}
