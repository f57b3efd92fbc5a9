"""Other entries that a pattern meets: which keep their images, and which give way.

Help while an entry is written; nothing here refuses anything. Two queries, whatever
the number of entries and patterns.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from enum import StrEnum
from itertools import accumulate, product
from typing import TypeAlias
from uuid import UUID

from django.db.models import Q, QuerySet

from orgs.models import Environment, IndexedPattern, Organization
from orgs.registries.images import join_authority
from orgs.registries.pattern_help import meet
from orgs.registries.patterns import MatchPattern, Rank, readable
from orgs.registries.problems import Problem

from .validating import duplicate

SHOWN = 5
MAX_PATTERNS = 10
MAX_ROWS = 200  # per query

# A pattern as the order sees it: rank, whether it's for some environments, text (rule 4).
Order: TypeAlias = tuple[Rank, bool, str]


class Relation(StrEnum):
    """What an other entry is to the one being written, in the order shown."""

    KEEPS = "is more specific and keeps its images."
    FIRST = "is as specific and comes first: it keeps the images that both match."
    SECOND = "is as specific and comes second: this entry takes the images that both match."
    GIVES_WAY = "is wider; this entry takes the images that both match."


@dataclass(frozen=True)
class Neighbour:
    """Another entry's pattern; `where` names the environments in which they meet, empty
    for all."""

    entry_id: UUID
    pattern: str
    relation: Relation
    where: tuple[str, ...]


@dataclass(frozen=True)
class Neighbours:
    """At most `SHOWN` of each relation; `more` counts the rest, as far as they were read:
    there may be still more where `cut`. `duplicates` are problems that saving has."""

    found: tuple[Neighbour, ...] = ()
    more: int = 0
    cut: bool = False
    duplicates: tuple[Problem, ...] = ()


def neighbours(
    organization: Organization,
    patterns: Sequence[MatchPattern],
    environments: Collection[Environment] = (),
    exclude: UUID | None = None,
) -> Neighbours:
    """The enabled entries that meet the first `MAX_PATTERNS` of these.

    No environments means all. `exclude` is the entry being edited.
    """
    patterns = patterns[:MAX_PATTERNS]
    if not patterns:
        return Neighbours()
    rows, cut = _rows(organization, patterns, environments, exclude)
    met: dict[tuple[Relation, UUID, str], set[str]] = {}
    duplicates: dict[str, Problem] = {}
    for row in rows:
        for theirs, ours in product(readable([row.normalized]), patterns):
            if not meet(ours, theirs):
                continue
            if ours == theirs and (row.environment_id is None) is (not environments):
                duplicates.setdefault(row.normalized, duplicate(row))
                continue
            key = (_relation(row, theirs, ours, bool(environments)), row.entry_id, row.text)
            met.setdefault(key, set()).update(_where(row, environments))
    return _shown(met, cut, tuple(duplicates.values()))


def _shown(
    met: dict[tuple[Relation, UUID, str], set[str]], cut: bool, duplicates: tuple[Problem, ...]
) -> Neighbours:
    found: list[Neighbour] = []
    for wanted in Relation:
        of_it = [
            Neighbour(entry_id, text, relation, tuple(sorted(where)))
            for (relation, entry_id, text), where in met.items()
            if relation is wanted
        ]
        found += sorted(of_it, key=lambda n: n.pattern)[:SHOWN]
    return Neighbours(tuple(found), len(met) - len(found), cut, duplicates)


def _relation(
    row: IndexedPattern, theirs: MatchPattern, ours: MatchPattern, limited: bool
) -> Relation:
    theirs_first = _order(theirs, row.environment_id is not None) > _order(ours, limited)
    if theirs.rank == ours.rank and theirs != ours:
        return Relation.FIRST if theirs_first else Relation.SECOND
    return Relation.KEEPS if theirs_first else Relation.GIVES_WAY


def _order(pattern: MatchPattern, limited: bool) -> Order:
    return (pattern.rank, limited, str(pattern))


def _where(row: IndexedPattern, environments: Collection[Environment]) -> list[str]:
    if row.environment is not None:
        return [row.environment.name]
    return [environment.name for environment in environments]


# --- what is read --------------------------------------------------------------


def _rows(
    organization: Organization,
    patterns: Sequence[MatchPattern],
    environments: Collection[Environment],
    exclude: UUID | None,
) -> tuple[list[IndexedPattern], bool]:
    """`(rows that may meet the patterns, whether there were more)`.

    Two queries, so that a great many narrower ones can't crowd out the wider ones.
    """
    rows = IndexedPattern.objects.filter(organization=organization, enabled=True)
    if environments:
        rows = rows.filter(Q(environment=None) | Q(environment__in=environments))
    if exclude is not None:
        rows = rows.exclude(entry=exclude)
    above, below = Q(pk__in=[]), Q(pk__in=[])
    for pattern in patterns:
        on_host, prefix = _on_host(pattern), pattern.literal_prefix
        above |= on_host & Q(prefix__in=_prefixes(prefix))
        if pattern.has_wildcard_path:
            below |= on_host & (Q(prefix__startswith=f"{prefix}/") if prefix else ~Q(prefix=""))
    read = [_some(rows.filter(where)) for where in (above, below)]
    found = {row.pk: row for some in read for row in some[:MAX_ROWS]}
    return list(found.values()), any(len(some) > MAX_ROWS for some in read)


def _some(rows: QuerySet[IndexedPattern]) -> list[IndexedPattern]:
    """One more than are used, to know whether there are more."""
    # In the index's order, so that nothing is sorted before the limit.
    rows = rows.select_related("entry", "environment").order_by("host", "prefix")
    return list(rows.defer("entry__secrets", "entry__config")[: MAX_ROWS + 1])


def _on_host(pattern: MatchPattern) -> Q:
    """Rows on hosts that the pattern's host may share."""
    name, _, parent = pattern.host.partition(".")
    beside = join_authority(f"*.{parent}", pattern.port)
    if name == "*":
        # No key says this; of the index, the organization's part is read.
        below = Q(host__endswith=join_authority(f".{parent}", pattern.port))
        return Q(host=beside) | below
    return Q(host__in=[pattern.authority, beside])


def _prefixes(prefix: str) -> list[str]:
    """The prefix and those above it, down to none."""
    if not prefix:
        return [""]
    return ["", *accumulate(prefix.split("/"), lambda above, name: f"{above}/{name}")]
