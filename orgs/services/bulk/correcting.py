"""What is wrong in a row and can only have been meant in one way, put right.

Only what a problem of a `certain` code suggests, and the spelling of an environment's
slug; never a secret, nor a cell that holds one. A row is corrected whole or not at all:
put right, it has nothing wrong by itself. What it is beside other rows and entries is for
the next look at the file to say.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from orgs.models import Environment
from orgs.registries import codes
from orgs.registries.catalogue import BY_SLUG
from orgs.registries.pasted import texts
from orgs.registries.patterns import MatchPattern
from orgs.registries.problems import Problem, Refused
from orgs.services.entries.validating import examine, site_problems

from .files.columns import ENVIRONMENTS, PATTERN, column_of, shown
from .reading import RowSpec


@dataclass(frozen=True)
class Correction:
    """What stood in a row and what stands there now, as far as either may be shown."""

    row: int
    column: str
    code: str
    before: str
    after: str


@dataclass
class Corrections:
    """Those of a file's rows, as they are judged; `cells` are the texts to write, by row
    and column, `errors` how many they put right."""

    found: list[Correction] = field(default_factory=list)
    cells: dict[int, dict[str, str]] = field(default_factory=dict, repr=False)
    errors: int = 0
    _spellings: dict[str, list[str]] | None = None

    def look_at(self, row: RowSpec, environments: Mapping[str, Environment]) -> None:
        """Correct a row that was refused, where that is certain; `environments` are the
        organization's, by slug, the same of each row."""
        if self._spellings is None:
            self._spellings = {}
            for slug in environments:
                self._spellings.setdefault(slug.lower(), []).append(slug)
        corrected = _corrected(row, environments, self._spellings)
        if corrected is not None:
            found, self.cells[row.row] = corrected
            self.found += found
            self.errors += len(row.refusals)


def _corrected(
    row: RowSpec, environments: Mapping[str, Environment], spellings: Mapping[str, list[str]]
) -> tuple[list[Correction], dict[str, str]] | None:
    """A row's corrections, and its cells by them; None where something isn't certain."""
    if row.found is None or not all(map(_may_be_certain, row.refusals)):
        return None
    patterns = _patterns(row)
    slugs = _slugs(row, environments, spellings)
    if patterns is None or slugs is None:
        return None
    spec = replace(
        row.spec,
        patterns=list(dict.fromkeys(patterns.values())),
        environments=[environments[slug] for slug in slugs.values()],
    )
    found = examine(spec)
    if found.problems or found.valid is None or site_problems(spec, found, None):
        return None
    made = [
        (PATTERN, _code(before), before, after)
        for before, after in patterns.items()
        if before != after
    ]
    made += [
        (ENVIRONMENTS, "environment_not_found", before, after)
        for before, after in slugs.items()
        if before != after
    ]
    if not made:
        return None
    slug = row.spec.registry_type
    cells = {
        PATTERN: " ".join(spec.patterns),
        ENVIRONMENTS: " ".join(dict.fromkeys(slugs.values())),
    }
    if texts(cells[PATTERN]) != spec.patterns:
        return None  # together they would be read as something else
    told = [
        Correction(row.row, column, code, shown(column, before, slug), shown(column, after, slug))
        for column, code, before, after in made
    ]
    return told, {column: cells[column] for column, *_ in made}


def _may_be_certain(refusal: object) -> bool:
    """Whether it may be among those that are put right: all others are left as they are."""
    code = getattr(refusal, "code", "")
    column = column_of(refusal) if isinstance(refusal, Problem) else getattr(refusal, "column", "")
    return codes.of(code).certain and column in {PATTERN, ENVIRONMENTS}


def _patterns(row: RowSpec) -> dict[str, str] | None:
    """The row's patterns by how they stand; None where one can't be told for certain."""
    kind = BY_SLUG.get(row.spec.registry_type)
    found = {}
    for text in row.spec.patterns:
        try:
            MatchPattern.parse(text)
            found[text] = text
        except Refused as refused:
            problem = kind.fitting(refused.problem) if kind else refused.problem
            if not (codes.of(problem.code).certain and problem.suggestion):
                return None
            found[text] = problem.suggestion
    return found


def _code(text: str) -> str:
    try:
        MatchPattern.parse(text)
    except Refused as refused:
        return refused.code
    return "invalid_pattern"


def _slugs(
    row: RowSpec, environments: Mapping[str, Environment], spellings: Mapping[str, list[str]]
) -> dict[str, str] | None:
    """The row's environments by how they are written; None where one isn't the only one
    with these letters."""
    found = {}
    for text in row.slugs:
        meant = [text] if text in environments else spellings.get(text.lower(), [])
        if len(meant) != 1:
            return None
        found[text] = meant[0]
    return found
