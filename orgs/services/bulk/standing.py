"""What stands in an organization, as bulk import asks for it: many rows at a time.

Memory stays flat: of the file's rows only hashes are kept, and of what stands only
what the rows at hand name.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import islice
from typing import TypeAlias, TypeVar
from uuid import UUID

from django.db.models import Count

from orgs.models import Environment, IndexedPattern, Organization, RegistryEntry
from orgs.registries.patterns import MatchPattern
from orgs.registries.problems import Problem
from orgs.services.entries import validating
from orgs.services.entries.validating import EntrySpec, duplicate, too_crowded

# Patterns and environments: what update knows an entry by.
Key: TypeAlias = tuple[frozenset[str], frozenset[int]]
Claim: TypeAlias = tuple[str, int | None]
T = TypeVar("T")

MOST_TOLD = 5  # of the patterns of one row that are taken; each costs a query
_QUERY = 900  # values in one query; SQLite may allow no more than 999


def chunks(items: Iterable[T], size: int) -> Iterator[list[T]]:
    chunk: list[T] = []
    for item in items:
        chunk.append(item)
        if len(chunk) == size:
            yield chunk
            chunk = []
    if chunk:
        yield chunk


def key_of(patterns: Sequence[MatchPattern], spec: EntrySpec) -> Key:
    return frozenset(map(str, patterns)), frozenset(e.pk for e in spec.environments)


def claims_of(patterns: Sequence[MatchPattern], spec: EntrySpec) -> list[Claim]:
    """What an enabled entry reserves: each pattern in each of its environments."""
    environments: list[int | None] = [e.pk for e in spec.environments] or [None]
    return [(str(p), environment) for p in patterns for environment in environments]


class Standing:
    """The organization's entries, and which patterns earlier rows of the file took."""

    def __init__(self, organization: Organization) -> None:
        self.organization = organization
        found = Environment.objects.filter(organization=organization)
        self.environments = {environment.slug: environment for environment in found}
        # By hash(claim): 64 bits, and no attacker knows Python's seed.
        self._taken_by_row: dict[int, int] = {}
        self._disabled = self._find_disabled()
        self._crowds = _Crowds(organization)
        self._holders: dict[Claim, UUID] = {}
        self._entries: dict[Key, list[RegistryEntry]] = {}

    def _find_disabled(self) -> dict[int, list[UUID]]:
        """Disabled entries by hash(pattern): no index finds them, and they are few."""
        rows = IndexedPattern.objects.filter(organization=self.organization, enabled=False)
        found: dict[int, list[UUID]] = defaultdict(list)
        for text, entry_id in rows.values_list("normalized", "entry_id").iterator():
            found[hash(text)].append(entry_id)
        return found

    def look_up(self, rows: Sequence[tuple[Sequence[MatchPattern], EntrySpec]]) -> None:
        """Find what the rows may name; the other methods speak of these only."""
        claims = {claim for patterns, spec in rows for claim in claims_of(patterns, spec)}
        self._holders = dict(self._find_holders(claims))
        named = set(self._holders.values())
        for text, _ in claims:
            named.update(self._disabled.get(hash(text), ()))
        self._entries = defaultdict(list)
        for keys in chunks(named, _QUERY):
            entries = RegistryEntry.objects.filter(pk__in=keys, organization=self.organization)
            for entry in entries.prefetch_related("patterns__environment").order_by("created_at"):
                self._entries[_key_of_entry(entry)].append(entry)

    def _find_holders(self, claims: Iterable[Claim]) -> Iterator[tuple[Claim, UUID]]:
        """Both of the unique indexes of enabled rows are used, one query each."""
        everywhere, environments = set(), set()
        somewhere = set()
        for text, environment in claims:
            if environment is None:
                everywhere.add(text)
            else:
                somewhere.add(text)
                environments.add(environment)
        rows = IndexedPattern.objects.filter(organization=self.organization, enabled=True)
        for texts, place in (
            (everywhere, {"environment": None}),
            (somewhere, {"environment__in": environments}),
        ):
            for some in chunks(texts, _QUERY):
                found = rows.filter(normalized__in=some, **place)
                for text, environment, entry_id in found.values_list(
                    "normalized", "environment_id", "entry_id"
                ):
                    yield (text, environment), entry_id

    def candidates(self, key: Key) -> list[RegistryEntry]:
        """The entries with exactly these patterns and environments, oldest first."""
        return self._entries.get(key, [])

    def row_with(self, claims: Iterable[Claim]) -> int | None:
        """The earlier row of the file, to be enabled, that took one of these."""
        taken = (self._taken_by_row.get(hash(claim)) for claim in claims)
        return next((row for row in taken if row is not None), None)

    def has_taken(self, text: str) -> bool:
        """Whether an earlier row took this pattern, in any environment."""
        places = [None, *(environment.pk for environment in self.environments.values())]
        return self.row_with((text, place) for place in places) is not None

    def take(self, row: int, claims: Iterable[Claim]) -> None:
        for claim in claims:
            self._taken_by_row.setdefault(hash(claim), row)

    def conflicts(
        self,
        patterns: Sequence[MatchPattern],
        claims: Sequence[Claim],
        entry: RegistryEntry | None,
    ) -> list[Problem]:
        """As `validating.conflicts`, for a row that is new or comes to be enabled."""
        own = entry.pk if entry else None
        problems = []
        taken = (c for c in claims if self._holders.get(c, own) != own)
        for text, environment in islice(taken, MOST_TOLD):
            row = IndexedPattern.objects.select_related("entry", "environment").get(
                entry=self._holders[text, environment], normalized=text, environment=environment
            )
            problems.append(duplicate(row))
        for pattern in patterns:
            if pattern.has_wildcard_path:
                problems += self._crowds.add(pattern, self.has_taken)
        return problems


def _key_of_entry(entry: RegistryEntry) -> Key:
    rows = entry.patterns.all()
    return (
        frozenset(row.normalized for row in rows),
        frozenset(row.environment_id for row in rows if row.environment_id),
    )


class _Crowds:
    """How many patterns with wildcards come to stand at one place (DESIGN, rule 9)."""

    def __init__(self, organization: Organization) -> None:
        self._rows = IndexedPattern.objects.filter(
            organization=organization, enabled=True, wildcard_path=True
        )
        places = self._rows.values("host", "prefix").annotate(n=Count("normalized", distinct=True))
        self._standing = {(p["host"], p["prefix"]): p["n"] for p in places.filter(n__gt=1)}
        self._added: dict[tuple[str, str], set[int]] = defaultdict(set)
        # What stands at places that are nearly full, looked up once for each.
        self._full: dict[tuple[str, str], set[int]] = {}

    def add(self, pattern: MatchPattern, in_file: Callable[[str], bool]) -> list[Problem]:
        place = (pattern.authority, pattern.literal_prefix)
        # Each place can have one of these. Nearly all patterns are such, so they
        # aren't kept, but looked for once a place is nearly full.
        everything = "/".join(part for part in (*place, "*") if part)
        if str(pattern) != everything:
            self._added[place].add(hash(str(pattern)))
        added = self._added.get(place, set())
        if self._standing.get(place, 1) + len(added) + 1 <= validating.MAX_WILDCARD_PATHS:
            return []
        if place not in self._full:
            rows = self._rows.filter(host=place[0], prefix=place[1])
            self._full[place] = {hash(t) for t in rows.values_list("normalized", flat=True)}
        together = self._full[place] | added
        if str(pattern) == everything or in_file(everything):
            together.add(hash(everything))
        if len(together) <= validating.MAX_WILDCARD_PATHS:
            return []
        return [too_crowded(*place, len(together) - 1)]
