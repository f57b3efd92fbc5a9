"""The one door for writing registry entries.

Web form, Django admin, import and API all bring a `Draft`; what is wrong with it
comes back as `Refused` with every problem at once, and nothing is written.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime
from typing import Any
from uuid import UUID

from django.db import transaction

from orgs import sealed
from orgs.models import (
    AuditEvent,
    CachedLogin,
    Environment,
    MatchPattern,
    Organization,
    RegistryEntry,
    Verification,
    entry_title,
)
from orgs.registries.problems import Refused
from orgs.services.audit.clock import database_now
from orgs.services.audit.events import Actor, event, record

from .validating import Checked, Draft, check_all, conflicts, parse_patterns, secrets_of

# What a change of must raise credentials_version, and forgets the verification.
_CREDENTIALS = ("type", "configuration", "secret", "enabled")


def entry_check(
    *, organization: Organization, draft: Draft, entry: RegistryEntry | None = None
) -> None:
    """All that saving would refuse, as `Refused`; writes nothing."""
    check_all(organization, draft, entry)


# --- writing ------------------------------------------------------------------


def entry_create(*, organization: Organization, actor: Actor, draft: Draft) -> RegistryEntry:
    """A new entry and its event, or `Refused` and nothing."""
    with one_by_one(organization):
        checked = check_all(organization, draft)
        (entry,) = write_new(organization, actor, [(draft, checked)])
    return entry


def write_new(
    organization: Organization, actor: Actor, drafts: Sequence[tuple[Draft, Checked]]
) -> list[RegistryEntry]:
    """New entries and an event for each; already checked, and inside `one_by_one`."""
    by = actor.user.pk if actor.user else None
    made, rows, events = [], [], []
    now = database_now()
    for draft, checked in drafts:
        entry = RegistryEntry(
            organization_id=organization.pk,
            registry_type=checked.type.slug,
            config=checked.config,
            enabled=draft.enabled,
            note=draft.note,
            created_by_id=by,
            updated_by_id=by,
        )
        _seal(entry, checked, now)
        made.append(entry)
        rows += _rows(entry, checked, draft.environments)
        told = _told_draft(draft, checked)
        events.append(
            event(
                actor=actor,
                action="entry.created",
                organization=organization,
                subject_id=entry.pk,
                subject=entry_title(told["patterns"]),
                properties={"after": told},
            )
        )
    RegistryEntry.objects.bulk_create(made)
    MatchPattern.objects.bulk_create(rows)
    AuditEvent.objects.bulk_create(events)
    return made


def entry_update(*, entry: RegistryEntry, actor: Actor, draft: Draft) -> RegistryEntry:
    """Change an entry; repeating what stands changes nothing and tells nothing.

    Any change of type, configuration, secret or enabled raises
    credentials_version and drops its cached logins in the same transaction.
    """
    with one_by_one(entry.organization):
        (entry,) = locked([entry.pk])
        checked = check_all(entry.organization, draft, entry)
        write_change(entry, actor, draft, checked)
    return entry


def changes(entry: RegistryEntry, draft: Draft, checked: Checked) -> dict[str, Any]:
    """What the draft would change, as an event tells it: {name: [before, after]}.

    Of a secret it only says so. Reveals the entry's secret where one is given.
    """
    before, after = _told(entry, entry.environments), _told_draft(draft, checked)
    found: dict[str, Any] = {
        name: [before[name], after[name]] for name in before if before[name] != after[name]
    }
    if checked.secrets and ("type" in found or checked.secrets != _revealed(entry)):
        found["secret"] = "changed"  # noqa: S105
    return found


def write_change(
    entry: RegistryEntry, actor: Actor, draft: Draft, checked: Checked
) -> dict[str, Any]:
    """Write and tell what differs; already checked, and `locked` inside `one_by_one`."""
    found = changes(entry, draft, checked)
    if not found:
        return found
    entry.registry_type = checked.type.slug
    entry.config = checked.config
    entry.enabled = draft.enabled
    entry.note = draft.note
    if "type" in found or "secret" in found:
        _seal(entry, checked, database_now())
    if not found.keys().isdisjoint({"patterns", "environments", "enabled"}):
        entry.patterns.all().delete()
        MatchPattern.objects.bulk_create(_rows(entry, checked, draft.environments))
        entry._prefetched_objects_cache = {}  # type: ignore[attr-defined]
    _save_change(entry, actor, "entry.updated", found)
    return found


def entry_set_enabled(*, entry: RegistryEntry, actor: Actor, enabled: bool) -> RegistryEntry:
    """Enable or disable; enabling may be `Refused` where another took the pattern."""
    with one_by_one(entry.organization):
        (entry,) = locked([entry.pk])
        if entry.enabled == enabled:
            return entry
        if enabled:
            parsed, _ = parse_patterns(entry.pattern_texts)
            problems = conflicts(entry.organization, parsed, entry.environments, entry)
            if problems:
                raise Refused(*problems)
        entry.enabled = enabled
        entry.patterns.update(enabled=enabled)
        action = "entry.enabled" if enabled else "entry.disabled"
        _save_change(entry, actor, action, {"enabled": [not enabled, enabled]})
    return entry


def entry_delete(*, entry: RegistryEntry, actor: Actor) -> None:
    """Erase an entry with its secret; the event stays."""
    with one_by_one(entry.organization):
        (entry,) = locked([entry.pk])
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
def one_by_one(organization: Organization) -> Iterator[None]:
    """A transaction in which the organization's entries are written one by one.

    The constraint alone would refuse a racing duplicate as well, but with a
    database's words; behind the lock the check itself finds it.
    """
    with transaction.atomic():
        Organization.objects.select_for_update(no_key=True).get(pk=organization.pk)
        yield


def locked(keys: Sequence[UUID]) -> list[RegistryEntry]:
    """The entries, their rows locked; raises RegistryEntry.DoesNotExist if one is gone."""
    found = list(
        RegistryEntry.objects.select_for_update(of=("self",))
        .select_related("organization")
        .prefetch_related("patterns__environment")
        .filter(pk__in=keys)
        .order_by("pk")
    )
    if len(found) < len(keys):
        raise RegistryEntry.DoesNotExist("An entry was deleted meanwhile.")
    return found


def _seal(entry: RegistryEntry, checked: Checked, now: datetime) -> None:
    """Seal what was given, erasing what was there."""
    entry.secrets = (
        sealed.seal(json.dumps(checked.secrets), entry.sealed_for) if checked.secrets else None
    )
    entry.secrets_changed_at = now if checked.secrets else None


def _revealed(entry: RegistryEntry) -> dict[str, str] | None:
    """The stored secrets, or None where there are none or they don't open."""
    try:
        return secrets_of(entry) or None
    except sealed.Unreadable:
        return None


def _rows(
    entry: RegistryEntry, checked: Checked, environments: Iterable[Environment]
) -> list[MatchPattern]:
    return [
        MatchPattern(
            organization_id=entry.organization_id,
            entry_id=entry.pk,
            environment_id=environment.pk if environment else None,
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


def _told_draft(draft: Draft, checked: Checked) -> dict[str, Any]:
    """What `_told` will say of the entry once this is written."""
    return {
        "type": checked.type.slug,
        "patterns": [pattern.text for pattern in checked.patterns],
        "configuration": checked.config,
        "environments": [e.slug for e in sorted(draft.environments, key=lambda e: e.name)],
        "enabled": draft.enabled,
        "note": draft.note,
    }


def _save_change(entry: RegistryEntry, actor: Actor, action: str, changes: dict[str, Any]) -> None:
    if any(name in changes for name in _CREDENTIALS):
        entry.credentials_version += 1
        entry.status = RegistryEntry.Status.UNVERIFIED
        entry.status_at, entry.status_code, entry.status_detail = None, "", ""
        entry.status_reporter = ""
        CachedLogin.objects.filter(entry=entry).delete()
    if "patterns" in changes or any(name in changes for name in _CREDENTIALS):
        # What was found of another place or key; one that runs can't write it either.
        Verification.objects.filter(entry=entry).update(
            at=None, steps=[], claim_id=None, claim_until=None
        )
    entry.updated_by = actor.user
    entry.updated_at = database_now()
    entry.save()
    record(
        actor=actor,
        action=action,
        organization=entry.organization,
        subject_id=entry.pk,
        subject=str(entry),
        properties={"changes": changes},
    )
