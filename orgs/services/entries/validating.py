"""What is right for a registry entry: by itself, and beside what stands.

Nothing here writes. `services.entries` asks before it does, and bulk import asks
the same for each of its rows.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import date, timedelta
from types import MappingProxyType

from django.db.models import Count, QuerySet
from django.utils import timezone

from orgs import sealed, stored
from orgs.models import Environment, IndexedPattern, Organization, RegistryEntry
from orgs.registries import ends
from orgs.registries.catalogue import BY_SLUG
from orgs.registries.patterns import MatchPattern, not_a_registry
from orgs.registries.problems import Problem, Refused
from orgs.registries.types import Field, RegistryType, Standing

MAX_PATTERNS = 100
# What was meant by each is looked for, and nobody mends more at once.
MAX_REFUSED = 20
# Each pattern is written once for each environment.
MAX_ENVIRONMENTS = 100
# So many rows of the index, which every page of an entry reads.
MAX_ROWS = 500
# What is told of a pattern and granted for it is tried `*` by `*`.
MAX_STARS = 16
MAX_WILDCARD_PATHS = 200


@dataclass(frozen=True)
class EntrySpec:
    """What someone wants an entry to be. No environments means all of them.

    On an update, a secret left out or blank stays as it is, under rule 6. `secret_expires_on`
    is a day as YYYY-MM-DD, "" for none; None where nothing is said of it, so that it stays as
    long as the secret does.
    """

    registry_type: str
    patterns: Sequence[str]
    config: dict[str, str] = field(default_factory=dict)
    secrets: dict[str, str] = field(default_factory=dict, repr=False)
    environments: Sequence[Environment] = ()
    enabled: bool = True
    note: str = ""
    secret_expires_on: str | None = None


@dataclass(frozen=True)
class ValidSpec:
    """A spec that holds by itself: parsed, completed, normalized."""

    type: RegistryType
    patterns: list[MatchPattern]
    config: dict[str, str]
    secrets: dict[str, str] = field(repr=False)
    secret_expires_on: date | None = None


@dataclass(frozen=True)
class Examined:
    """A spec as far as it could be read; `valid` where the type takes it.

    `patterns` are those that parse. Rule 6 isn't among the problems, nor are web sites.
    """

    patterns: list[MatchPattern]
    valid: ValidSpec | None
    problems: list[Problem]


def validate(spec: EntrySpec, entry: RegistryEntry | None = None) -> ValidSpec:
    """What can be said without looking at other entries; raises `Refused`.

    `entry` is the one to be changed, None for a new one.
    """
    found = examine(spec, entry)
    problems = found.problems + site_problems(spec, found, entry)
    problems += secret_problems(spec, found, entry)
    if problems or found.valid is None:
        raise Refused(*problems)
    return with_kept(found.valid, entry)


def with_kept(valid: ValidSpec, entry: RegistryEntry | None) -> ValidSpec:
    """Beside the secrets that are given, those of the same type that stay: all of an entry's
    are sealed as one. What was read out of them stays with them."""
    if entry is None or entry.registry_type != valid.type.slug:
        return valid
    valid = replace(valid, config={**valid.type.derived_of(entry.config), **valid.config})
    if not valid.secrets:
        return valid
    kept = {name: revealed(entry).get(name, "") for name in _blank(valid.type, valid.secrets)}
    return replace(valid, secrets={**{n: v for n, v in kept.items() if v}, **valid.secrets})


def _blank(registry_type: RegistryType, given: Mapping[str, str]) -> list[str]:
    return [f.name for f in registry_type.secret_fields if not given.get(f.name)]


def examine(spec: EntrySpec, entry: RegistryEntry | None = None) -> Examined:
    """`validate` but for rule 6 and web sites.

    What the entry has already stays as it is, and what today's rules have against it
    isn't held against a change of something else (DESIGN «When rules get stricter»).
    """
    found = _examine(spec, None)
    return found if entry is None or holds_for_all(spec, found) else _examine(spec, entry)


def holds_for_all(spec: EntrySpec, found: Examined) -> bool:
    """Whether what was `found` holds for any entry: nothing is wrong, and nothing was taken
    for what was meant by it, so what an entry has already makes no difference."""
    registry_type = BY_SLUG.get(spec.registry_type)
    mended = registry_type is not None and registry_type.mends(spec.config, spec.secrets)
    return not found.problems and not mended


def _examine(spec: EntrySpec, entry: RegistryEntry | None) -> Examined:
    had = standing_patterns(entry) if entry else {}
    registry_type = BY_SLUG.get(spec.registry_type)
    parsed, problems = parse_patterns(spec.patterns, registry_type, had)
    problems += _other_problems(spec, entry)
    if registry_type is None:
        unknown = Problem(
            "unknown_type",
            # Not quoted: a secret may have slipped in here.
            "There is no such registry type.",
            f"Write one of {', '.join(BY_SLUG)}.",
            "registry_type",
        )
        return Examined(parsed, None, [unknown, *problems])
    expires_on = None
    try:
        expires_on = _secret_end(spec, registry_type, entry)
    except Refused as refused:
        problems += refused.problems
    standing = None
    if entry is not None and entry.registry_type == registry_type.slug:
        # Not opened where nothing is compared with it.
        secrets = revealed(entry) if any(spec.secrets.values()) else {}
        standing = Standing(entry.config, secrets, list(had.values()))
    try:
        config, secrets = registry_type.clean(spec.config, spec.secrets, parsed, standing)
    except Refused as refused:
        return Examined(parsed, None, [*refused.problems, *problems])
    valid = ValidSpec(registry_type, parsed, config, secrets, expires_on)
    return Examined(parsed, valid, problems)


def _secret_end(
    spec: EntrySpec, registry_type: RegistryType, entry: RegistryEntry | None
) -> date | None:
    """The day that the spec names; raises `Refused`."""
    if spec.secret_expires_on and not registry_type.secret_fields:
        what = f"{registry_type.label} has no secret, so none ends."
        raise Refused(Problem("no_secret", what, "Leave the day empty.", ends.NAME))
    standing = entry.secret_expires_on if entry else None
    # Over is what is over everywhere: who types it may be twelve hours behind.
    today = (timezone.now() - timedelta(hours=12)).date()
    return ends.day_of(spec.secret_expires_on or "", today=today, standing=standing)


def given_config(entry: RegistryEntry) -> dict[str, str]:
    """The entry's config as someone gave it, without what was read out of its secrets."""
    kind = BY_SLUG.get(entry.registry_type)
    derived = kind.derived_of(entry.config) if kind else {}
    return {name: value for name, value in entry.config.items() if name not in derived}


def told_today(entry: RegistryEntry) -> list[Problem]:
    """What today's rules have against what an entry has, which older ones let in; nothing
    of its secrets where they don't open."""
    parsed, problems = parse_patterns(entry.pattern_texts)
    registry_type = BY_SLUG.get(entry.registry_type)
    if registry_type is None:
        return problems
    return [*registry_type.told_today(entry.config, revealed(entry), parsed), *problems]


def _other_problems(spec: EntrySpec, entry: RegistryEntry | None) -> Iterator[Problem]:
    """Of what all types have besides patterns; of the `entry` only what changes."""
    if spec.note != (entry.note if entry else ""):
        yield from stored.problems(RegistryEntry, note=spec.note)
    if entry is not None and (list(spec.patterns), {e.pk for e in spec.environments}) == (
        entry.pattern_texts,
        {e.pk for e in entry.environments},
    ):
        return
    if len(spec.environments) > MAX_ENVIRONMENTS:
        yield Problem(
            "too_many",
            f"An entry is limited to at most {MAX_ENVIRONMENTS} environments.",
            "Choose fewer, or none, which means all.",
            "environments",
        )
    elif len(spec.patterns) * len(spec.environments) > MAX_ROWS:
        yield Problem(
            "too_many",
            f"{len(spec.patterns)} patterns in {len(spec.environments)} environments are more "
            f"than an entry holds: {MAX_ROWS} of one times the other.",
            "Choose fewer environments, or none, which means all; or use wider patterns.",
            "environments",
        )


def type_of(entry: RegistryEntry) -> RegistryType:
    """The entry's registry type; raises `Refused` where this server knows no such one."""
    known = BY_SLUG.get(entry.registry_type)
    if known is None:
        what = f"This server doesn't know the registry type {entry.registry_type}."
        raise Refused(Problem("unknown_type", what, "Edit the entry and choose another."))
    return known


def patterns_of(entry: RegistryEntry) -> list[MatchPattern]:
    """The entry's own, in the order given, but for those that can't be read any more."""
    return list(standing_patterns(entry).values())


def secrets_of(entry: RegistryEntry) -> dict[str, str]:
    """The entry's stored secrets, opened; raises `sealed.Unreadable`, also for what is
    sealed but isn't secrets."""
    if entry.secrets is None:
        return {}
    try:
        found = json.loads(entry.secrets.reveal(entry.sealed_for))
    except (TypeError, ValueError, RecursionError):
        found = None
    if not isinstance(found, dict) or not all(isinstance(v, str) for v in found.values()):
        raise sealed.Unreadable(f"The sealed value of {entry.sealed_for} isn't secrets.")
    return found


def revealed(entry: RegistryEntry) -> dict[str, str]:
    """The entry's stored secrets; none where there are none or they don't open."""
    try:
        return secrets_of(entry)
    except sealed.Unreadable:
        return {}


def standing_patterns(entry: RegistryEntry) -> dict[str, MatchPattern]:
    """The entry's patterns by their texts, in the order given; one that today's rules
    refuse is as it was read when it was stored."""
    found: dict[str, MatchPattern] = {}
    for row in sorted(entry.patterns.all(), key=lambda row: row.position):
        if row.text in found:
            continue  # that of another environment
        try:
            found[row.text] = MatchPattern.parse(row.text)
        except Refused:
            if pattern := _as_stored(row):
                found[row.text] = pattern
    return found


def _as_stored(row: IndexedPattern) -> MatchPattern | None:
    path = row.normalized.removeprefix(f"{row.host}/")
    if path == row.normalized or not path:
        return None
    host, colon, port = row.host.rpartition(":")
    if not colon or not port.isdecimal() or len(port) > 9:
        host, port = row.host, ""
    return MatchPattern(row.text, host, int(port) if port else None, tuple(path.split("/")))


def parse_patterns(
    texts: Sequence[str],
    registry_type: RegistryType | None = None,
    standing: Mapping[str, MatchPattern] = MappingProxyType({}),
) -> tuple[list[MatchPattern], list[Problem]]:
    """Each pattern once, in the order given, and what is wrong with the others; those that
    are `standing` are taken from there.

    They are stored and answered as given, so blanks around one are refused: whoever takes
    what people type cuts them off (`pasted.texts`). What is suggested is what the
    `registry_type` takes.
    """
    given = list(dict.fromkeys(filter(None, texts)))
    # Before any is read: it takes its time.
    if len(given) > MAX_PATTERNS and given != list(standing):
        return [], [_too_many(len(given))]
    problems: list[Problem] = []
    parsed: dict[str, MatchPattern] = {}
    for text in given:
        if text in standing:
            parsed.setdefault(str(standing[text]), standing[text])
            continue
        try:
            pattern = MatchPattern.parse(text)
        except Refused as refused:
            problems.append(
                registry_type.fitting(refused.problem) if registry_type else refused.problem
            )
            if len(problems) == MAX_REFUSED and text != given[-1]:
                problems.append(_not_read())
                break
            continue
        if str(pattern).count("*") > MAX_STARS:
            problems.append(_too_many_stars())
        parsed.setdefault(str(pattern), pattern)
    if not parsed and not problems:
        problems.append(_no_pattern(registry_type.example_pattern if registry_type else ""))
    return list(parsed.values()), problems


def site_problems(spec: EntrySpec, found: Examined, entry: RegistryEntry | None) -> list[Problem]:
    """What is wrong with patterns of web sites, but for those that the entry has already:
    they came before the rule."""
    registry_type = BY_SLUG.get(spec.registry_type)
    standing = {str(pattern) for pattern in patterns_of(entry)} if entry else set()
    sites = (not_a_registry(p) for p in found.patterns if str(p) not in standing)
    told = [registry_type.fitting(s) if registry_type else s for s in sites if s]
    return [problem for problem in told if problem not in found.problems]


def _no_pattern(example: str) -> Problem:
    fix = "Write which images this entry serves"
    fix += f", for example {example}." if example else "."
    return Problem("required", "Match pattern is empty.", fix, "patterns")


def _too_many(count: int) -> Problem:
    return Problem(
        "too_many",
        f"An entry has at most {MAX_PATTERNS} patterns, and these are {count:,}.",
        "Use a wider pattern, or a second entry.",
        "patterns",
    )


def _not_read() -> Problem:
    what = f"These are {MAX_REFUSED} patterns that can't be, and what follows them wasn't read."
    return Problem("invalid_pattern", what, "Correct these first.", "patterns")


def _too_many_stars() -> Problem:
    return Problem(
        "invalid_pattern",
        f"A pattern has at most {MAX_STARS} “*”.",
        "Write a wider one: a last “/*” covers everything below.",
        "patterns",
    )


def secret_problems(spec: EntrySpec, found: Examined, entry: RegistryEntry | None) -> list[Problem]:
    """Rule 6: a blank secret means unchanged, where nothing it belongs to changed."""
    registry_type = BY_SLUG.get(spec.registry_type)
    if registry_type is None:
        return []
    given = found.valid.secrets if found.valid else spec.secrets
    problems = []
    for secret in registry_type.secret_fields:
        if given.get(secret.name) or not (secret.required or _has(entry, registry_type, secret)):
            continue
        what, fix = f"{secret.label} is empty.", "Enter it."
        if _may_keep(entry, registry_type, secret, given):
            # What is wrong already can't be told apart from what changed.
            if found.valid is None or entry is None:
                continue
            reason = _why_not_kept(secret, found.valid, entry)
            if reason is None:
                continue
            what, fix = reason
        problems.append(Problem("secret_required", what, fix, secret.name))
    return problems


def _has(entry: RegistryEntry | None, registry_type: RegistryType, secret: Field) -> bool:
    """Whether the entry, of the same type, has this secret, which it could do without."""
    same = entry is not None and entry.registry_type == registry_type.slug
    return bool(same and entry and entry.secrets and revealed(entry).get(secret.name))


def _may_keep(
    entry: RegistryEntry | None,
    registry_type: RegistryType,
    secret: Field,
    given: Mapping[str, str],
) -> bool:
    """Whether there is one to be kept. Beside one that is given, it has to open: they are
    sealed anew together."""
    if entry is None or entry.registry_type != registry_type.slug or not entry.secrets:
        return False
    return not any(given.values()) or bool(revealed(entry).get(secret.name))


def _why_not_kept(secret: Field, valid: ValidSpec, entry: RegistryEntry) -> tuple[str, str] | None:
    """Why the entry's secret can't stay with the valid spec, and what to do; None if it can."""
    partner = secret.paired_with
    if partner and entry.config.get(partner) != valid.config.get(partner):
        label = next(f.label for f in valid.type.fields if f.name == partner)
        what = f"{label} changed, so its {secret.label} is needed too."
        return what, f"Enter the {secret.label} that belongs to it."
    old = patterns_of(entry)
    scope = valid.type.secret_scope
    if scope(valid.config, valid.patterns) <= scope(entry.config, old):
        return None
    what = f"The kept {secret.label} was given for another place."
    return what, "Enter it again to let it go to the new one."


# --- beside what stands --------------------------------------------------------


def validate_all(
    organization: Organization, spec: EntrySpec, entry: RegistryEntry | None = None
) -> ValidSpec:
    """All that saving would refuse, as `Refused`."""
    valid = validate(spec, entry)
    foreign = [e for e in spec.environments if e.organization_id != organization.pk]
    if foreign:
        raise Refused(
            Problem(
                "environment_not_found",
                "An environment isn't one of this organization.",
                "Choose among the organization's own.",
                "environments",
            )
        )
    if spec.enabled:
        problems = conflicts(organization, valid.patterns, spec.environments, entry)
        if problems:
            raise Refused(*problems)
    return valid


def conflicts(
    organization: Organization,
    patterns: Sequence[MatchPattern],
    environments: Sequence[Environment],
    exclude: RegistryEntry | None,
) -> list[Problem]:
    """Duplicates among enabled rows, and too many wildcards at one place."""
    rows = IndexedPattern.objects.filter(organization=organization, enabled=True)
    if exclude is not None:
        rows = rows.exclude(entry=exclude)
    same = rows.filter(normalized__in=[str(p) for p in patterns])
    if environments:
        same = same.filter(environment__in=environments)
    else:
        same = same.filter(environment=None)
    by_text: dict[str, IndexedPattern] = {}
    for row in same.select_related("entry", "environment"):
        by_text.setdefault(row.normalized, row)
    return [duplicate(row) for row in by_text.values()] + _too_many_wildcards(rows, patterns)


def duplicate(row: IndexedPattern) -> Problem:
    """What is told of the enabled row that has a pattern already."""
    standing = BY_SLUG.get(row.entry.registry_type)
    where = row.environment.name if row.environment else "all environments"
    return Problem(
        "duplicate_pattern",
        f"The enabled entry {row.text} ({standing.label if standing else '?'}, {where}) "
        "has this pattern already.",
        "Edit that entry (its type and key can be changed in place), choose other "
        "environments, or disable it first.",
        "patterns",
        suggestion=str(row.entry_id),
    )


def _too_many_wildcards(
    rows: QuerySet[IndexedPattern], patterns: Sequence[MatchPattern]
) -> list[Problem]:
    """One query, whatever the number of patterns."""
    places: dict[tuple[str, str], set[str]] = {}
    for pattern in patterns:
        if pattern.has_wildcard_path:
            key = (pattern.authority, pattern.literal_prefix)
            places.setdefault(key, set()).add(str(pattern))
    standing = rows.filter(
        host__in={host for host, _ in places},
        prefix__in={prefix for _, prefix in places},
        wildcard_path=True,
    ).exclude(normalized__in=[text for new in places.values() for text in new])
    counted = standing.values_list("host", "prefix").annotate(n=Count("normalized", distinct=True))
    others = {(host, prefix): n for host, prefix, n in counted}
    return [
        too_crowded(*place, others.get(place, 0))
        for place, new in places.items()
        if others.get(place, 0) + len(new) > MAX_WILDCARD_PATHS
    ]


def too_crowded(host: str, prefix: str, others: int) -> Problem:
    """What is told where `others` patterns with wildcards stand at one place."""
    return Problem(
        "too_many_wildcards",
        f"{host}/{prefix} has {others} patterns with wildcards already; "
        f"{MAX_WILDCARD_PATHS} at one place is the most, so that finding the one "
        "for an image stays fast.",
        "Write longer literal beginnings, or one wider pattern.",
        "patterns",
    )
