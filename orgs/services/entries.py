"""The one door for writing registry entries.

Web form, Django admin, import and API all bring a `Draft`; what is wrong with it
comes back as `Refused` with every problem at once, and nothing is written.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

from django.db import transaction
from django.db.models import Count
from django.utils import timezone

from orgs import sealed
from orgs.models import (
    AuditEvent,
    CachedLogin,
    Environment,
    MatchPattern,
    Organization,
    RegistryEntry,
)
from orgs.registries import patterns as pure
from orgs.registries.base import Problem, Refused, RegistryType
from orgs.registries.catalogue import BY_SLUG

from .audit import Actor, record

MAX_PATTERNS = 100
MAX_WILDCARD_PATHS = 200
# What a change of must raise credentials_version, and forgets the verification.
_CREDENTIALS = ("type", "configuration", "secret", "enabled")


@dataclass(frozen=True)
class Draft:
    """What someone wants an entry to be. No environments means all of them.

    On an update, a secret left out or blank stays as it is, under rule 6.
    """

    registry_type: str
    patterns: Sequence[str]
    config: dict[str, str] = field(default_factory=dict)
    secrets: dict[str, str] = field(default_factory=dict, repr=False)
    environments: Sequence[Environment] = ()
    enabled: bool = True
    note: str = ""


@dataclass(frozen=True)
class Checked:
    """A draft that holds by itself: parsed, completed, normalized."""

    type: RegistryType
    patterns: list[pure.MatchPattern]
    config: dict[str, str]
    secrets: dict[str, str] = field(repr=False)


def check(draft: Draft, entry: RegistryEntry | None = None) -> Checked:
    """What can be said without looking at other entries; raises `Refused`.

    `entry` is the one to be changed, None for a new one.
    """
    registry_type = BY_SLUG.get(draft.registry_type)
    if registry_type is None:
        raise Refused(
            Problem(
                "unknown_type",
                f"There is no registry type “{draft.registry_type[:40]}”.",
                f"Write one of {', '.join(BY_SLUG)}.",
                "registry_type",
            )
        )
    parsed, problems = _parse_patterns(draft.patterns)
    config: dict[str, str] = {}
    secrets: dict[str, str] = {}
    try:
        config, secrets = registry_type.clean(draft.config, draft.secrets, parsed)
    except Refused as refused:
        problems += refused.problems
    else:
        problems += _secret_problems(registry_type, config, secrets, parsed, entry)
    if len(draft.note) > 500:
        problems.append(Problem("too_long", "The note is too long.", "Keep it to 500.", "note"))
    if problems:
        raise Refused(*problems)
    return Checked(registry_type, parsed, config, secrets)


def _parse_patterns(texts: Sequence[str]) -> tuple[list[pure.MatchPattern], list[Problem]]:
    problems: list[Problem] = []
    parsed: dict[str, pure.MatchPattern] = {}
    for text in texts:
        if not text.strip():
            continue
        try:
            pattern = pure.MatchPattern.parse(text.strip())
        except Refused as refused:
            problems += refused.problems
            continue
        parsed.setdefault(str(pattern), pattern)
    if not parsed and not problems:
        problems.append(
            Problem(
                "required",
                "Match pattern is empty.",
                "Write which images this entry serves, for example "
                "123456789012.dkr.ecr.us-east-1.amazonaws.com/*.",
                "patterns",
            )
        )
    if len(parsed) > MAX_PATTERNS:
        problems.append(
            Problem(
                "too_many",
                f"An entry has at most {MAX_PATTERNS} patterns.",
                "Use a wider pattern, or a second entry.",
                "patterns",
            )
        )
    return list(parsed.values()), problems


def _secret_problems(
    registry_type: RegistryType,
    config: dict[str, str],
    secrets: dict[str, str],
    parsed: list[pure.MatchPattern],
    entry: RegistryEntry | None,
) -> list[Problem]:
    """Rule 6: a blank secret means unchanged, where nothing it belongs to changed."""
    problems = []
    for secret in registry_type.secret_fields:
        if secrets.get(secret.name) or not secret.required:
            continue
        what, fix = f"{secret.label} is empty.", "Enter it."
        if entry is not None and entry.registry_type == registry_type.slug and entry.secrets:
            partner = secret.paired_with
            old = [pure.MatchPattern.parse(text) for text in entry.pattern_texts]
            if partner and entry.config.get(partner) != config.get(partner):
                label = next(f.label for f in registry_type.fields if f.name == partner)
                what = f"{label} changed, so its {secret.label} is needed too."
                fix = "Enter the secret of the new key."
            elif not (
                registry_type.secret_scope(config, parsed)
                <= registry_type.secret_scope(entry.config, old)
            ):
                what = f"The kept {secret.label} was given for another place."
                fix = "Enter it again to let it go to the new one."
            else:
                continue
        problems.append(Problem("secret_required", what, fix, secret.name))
    return problems


# --- against what stands ------------------------------------------------------


def _conflicts(
    organization: Organization,
    checked: Checked,
    environments: Sequence[Environment],
    exclude: RegistryEntry | None,
) -> list[Problem]:
    """Duplicates among enabled rows, and too many wildcards at one place."""
    problems = []
    rows = MatchPattern.objects.filter(organization=organization, enabled=True)
    if exclude is not None:
        rows = rows.exclude(entry=exclude)
    same = rows.filter(normalized__in=[str(p) for p in checked.patterns])
    if environments:
        same = same.filter(environment__in=environments)
    else:
        same = same.filter(environment=None)
    seen: set[str] = set()
    for row in same.select_related("entry", "environment"):
        if row.normalized in seen:
            continue
        seen.add(row.normalized)
        standing = BY_SLUG.get(row.entry.registry_type)
        where = row.environment.name if row.environment else "all environments"
        problems.append(
            Problem(
                "duplicate_pattern",
                f"The enabled entry {row.text} ({standing.label if standing else '?'}, {where}) "
                "has this pattern already.",
                "Edit that entry (its type and key can be changed in place), choose other "
                "environments, or disable it first.",
                "patterns",
                suggestion=str(row.entry_id),
            )
        )
    return problems + _too_many_wildcards(rows, checked)


def _too_many_wildcards(rows: Any, checked: Checked) -> list[Problem]:
    places: dict[tuple[str, str], set[str]] = {}
    for pattern in checked.patterns:
        if pattern.has_wildcard_path:
            key = (pattern.authority, pattern.literal_prefix)
            places.setdefault(key, set()).add(str(pattern))
    problems = []
    for (host, prefix), new in places.items():
        standing = rows.filter(host=host, prefix=prefix, wildcard_path=True)
        others = standing.exclude(normalized__in=new).values("normalized").distinct().count()
        if others + len(new) > MAX_WILDCARD_PATHS:
            problems.append(
                Problem(
                    "too_many_wildcards",
                    f"{host}/{prefix} has {others} patterns with wildcards already; "
                    f"{MAX_WILDCARD_PATHS} at one place is the most, so that finding the one "
                    "for an image stays fast.",
                    "Write longer literal beginnings, or one wider pattern.",
                    "patterns",
                )
            )
    return problems


def _check_all(
    organization: Organization, draft: Draft, entry: RegistryEntry | None = None
) -> Checked:
    checked = check(draft, entry)
    foreign = [e for e in draft.environments if e.organization_id != organization.pk]
    if foreign:
        raise Refused(
            Problem(
                "environment_not_found",
                "An environment isn't one of this organization.",
                "Choose among the organization's own.",
                "environments",
            )
        )
    if draft.enabled:
        problems = _conflicts(organization, checked, draft.environments, entry)
        if problems:
            raise Refused(*problems)
    return checked


def entry_check(
    *, organization: Organization, draft: Draft, entry: RegistryEntry | None = None
) -> None:
    """All that saving would refuse, as `Refused`; writes nothing."""
    _check_all(organization, draft, entry)


# --- writing ------------------------------------------------------------------


def entry_create(*, organization: Organization, actor: Actor, draft: Draft) -> RegistryEntry:
    """A new entry and its event, or `Refused` and nothing."""
    with _one_by_one(organization):
        checked = _check_all(organization, draft)
        entry = RegistryEntry(
            organization=organization,
            registry_type=checked.type.slug,
            config=checked.config,
            enabled=draft.enabled,
            note=draft.note,
            created_by=actor.user,
            updated_by=actor.user,
        )
        _seal(entry, checked)
        entry.save(force_insert=True)
        MatchPattern.objects.bulk_create(_rows(entry, checked, draft.environments))
        record(
            actor=actor,
            action="entry.created",
            organization=organization,
            subject_id=entry.pk,
            subject=str(entry),
            properties={"after": _told(entry, draft.environments)},
        )
    return entry


def entry_update(*, entry: RegistryEntry, actor: Actor, draft: Draft) -> RegistryEntry:
    """Change an entry; repeating what stands changes nothing and tells nothing.

    Any change of type, configuration, secret or enabled raises
    credentials_version and drops its cached logins in the same transaction.
    """
    with _one_by_one(entry.organization):
        entry = _locked(entry)
        checked = _check_all(entry.organization, draft, entry)
        old_environments = entry.environments
        before = _told(entry, old_environments)
        new_secret = bool(checked.secrets) and checked.secrets != _revealed(entry)
        type_changed = entry.registry_type != checked.type.slug
        entry.registry_type = checked.type.slug
        entry.config = checked.config
        entry.enabled = draft.enabled
        entry.note = draft.note
        if type_changed or new_secret:
            _seal(entry, checked)
        rows = _rows(entry, checked, draft.environments)
        if not _same_rows(entry, rows):
            entry.patterns.all().delete()
            MatchPattern.objects.bulk_create(rows)
            entry._prefetched_objects_cache = {}  # type: ignore[attr-defined]
        after = _told(entry, draft.environments)
        changes: dict[str, Any] = {
            name: [before.get(name), after.get(name)]
            for name in {**before, **after}
            if before.get(name) != after.get(name)
        }
        if new_secret or (type_changed and entry.secrets):
            changes["secret"] = "changed"  # noqa: S105
        if changes:
            _save_change(entry, actor, "entry.updated", changes)
    return entry


def entry_set_enabled(*, entry: RegistryEntry, actor: Actor, enabled: bool) -> RegistryEntry:
    """Enable or disable; enabling may be `Refused` where another took the pattern."""
    with _one_by_one(entry.organization):
        entry = _locked(entry)
        if entry.enabled == enabled:
            return entry
        if enabled:
            parsed, _ = _parse_patterns(entry.pattern_texts)
            checked = Checked(BY_SLUG[entry.registry_type], parsed, entry.config, {})
            problems = _conflicts(entry.organization, checked, entry.environments, entry)
            if problems:
                raise Refused(*problems)
        entry.enabled = enabled
        entry.patterns.update(enabled=enabled)
        action = "entry.enabled" if enabled else "entry.disabled"
        _save_change(entry, actor, action, {"enabled": [not enabled, enabled]})
    return entry


def entry_delete(*, entry: RegistryEntry, actor: Actor) -> None:
    """Erase an entry with its secret; the event stays."""
    with _one_by_one(entry.organization):
        entry = _locked(entry)
        record(
            actor=actor,
            action="entry.deleted",
            organization=entry.organization,
            subject_id=entry.pk,
            subject=str(entry),
            properties={"before": _told(entry, entry.environments)},
        )
        entry.delete()


@contextmanager
def _one_by_one(organization: Organization) -> Iterator[None]:
    """A transaction in which the organization's entries are written one by one.

    The constraint alone would refuse a racing duplicate as well, but with a
    database's words; behind the lock the check itself finds it.
    """
    with transaction.atomic():
        Organization.objects.select_for_update(no_key=True).get(pk=organization.pk)
        yield


def _locked(entry: RegistryEntry) -> RegistryEntry:
    return (
        RegistryEntry.objects.select_for_update(of=("self",))
        .select_related("organization")
        .prefetch_related("patterns__environment")
        .get(pk=entry.pk)
    )


def _seal(entry: RegistryEntry, checked: Checked) -> None:
    """Seal what was given, erasing what was there."""
    entry.secrets = (
        sealed.seal(json.dumps(checked.secrets), entry.sealed_for) if checked.secrets else None
    )
    entry.secrets_changed_at = timezone.now() if checked.secrets else None


def _revealed(entry: RegistryEntry) -> dict[str, str] | None:
    """The stored secrets, or None where there are none or they don't open."""
    try:
        return json.loads(entry.secrets.reveal(entry.sealed_for)) if entry.secrets else None
    except sealed.Unreadable:
        return None


def _rows(
    entry: RegistryEntry, checked: Checked, environments: Iterable[Environment]
) -> list[MatchPattern]:
    return [
        MatchPattern(
            organization_id=entry.organization_id,
            entry=entry,
            environment=environment,
            enabled=entry.enabled,
            text=pattern.text,
            normalized=str(pattern),
            host=pattern.authority,
            prefix=pattern.literal_prefix,
            wildcard_host=pattern.host_is_wildcard,
            wildcard_path=pattern.has_wildcard_path,
            position=position,
        )
        for position, pattern in enumerate(checked.patterns)
        for environment in _or_all(environments)
    ]


def _or_all(environments: Iterable[Environment]) -> list[Environment | None]:
    """None stands for all environments, and for none chosen."""
    return [*environments] or [None]


def _same_rows(entry: RegistryEntry, rows: list[MatchPattern]) -> bool:
    def key(row: MatchPattern) -> tuple[object, ...]:
        return (row.text, row.environment_id, row.position, row.enabled)

    return {key(row) for row in entry.patterns.all()} == {key(row) for row in rows}


def _told(entry: RegistryEntry, environments: Sequence[Environment]) -> dict[str, Any]:
    """What an event may say of an entry: everything but its secret."""
    return {
        "type": entry.registry_type,
        "patterns": entry.pattern_texts,
        "configuration": entry.config,
        "environments": [environment.slug for environment in environments],
        "enabled": entry.enabled,
        "note": entry.note,
    }


def _save_change(entry: RegistryEntry, actor: Actor, action: str, changes: dict[str, Any]) -> None:
    if any(name in changes for name in _CREDENTIALS):
        entry.credentials_version += 1
        entry.status = RegistryEntry.Status.UNVERIFIED
        entry.status_at, entry.status_code, entry.status_detail = None, "", ""
        CachedLogin.objects.filter(entry=entry).delete()
    entry.updated_by = actor.user
    entry.save()
    record(
        actor=actor,
        action=action,
        organization=entry.organization,
        subject_id=entry.pk,
        subject=str(entry),
        properties={"changes": changes},
    )


@dataclass(frozen=True)
class Usage:
    """How often an entry's login was given, and to which projects."""

    count: int
    projects: list[str]


def entry_usage(entry: RegistryEntry, days: int) -> Usage:
    """Logins issued in the last `days`, from the audit events."""
    since = timezone.now() - timedelta(days=days)
    issued = AuditEvent.objects.filter(
        organization_id=entry.organization_id,
        subject_id=str(entry.pk),
        action="login.issued",
        at__gte=since,
    )
    by_project = issued.values_list("project").annotate(n=Count("pk")).order_by("-n")
    counted = list(by_project)
    return Usage(sum(n for _, n in counted), [name for name, _ in counted[:5]])
