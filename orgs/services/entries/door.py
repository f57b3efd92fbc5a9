"""The one door for writing registry entries.

Web form, Django admin, import and API bring an `EntrySpec` for a new entry, an
`EntryChange` for one that stands; what is wrong comes back as `Refused` with every problem
at once, and nothing is written.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from datetime import date, datetime, timedelta
from typing import Any
from uuid import UUID

from django.db import transaction
from django.db.models import QuerySet

from orgs import sealed
from orgs.inserting import insert_many
from orgs.models import (
    CachedLogin,
    Environment,
    IndexedPattern,
    Organization,
    RegistryEntry,
    Verification,
    entry_title,
)
from orgs.registries import ends
from orgs.registries.catalogue import BY_SLUG
from orgs.registries.problems import Refused
from orgs.services.audit.clock import database_now
from orgs.services.audit.events import Actor, event, insert_all, record

from . import new_keys
from .changing import ChangedMeanwhile, EntryChange
from .validating import (
    EntrySpec,
    ValidSpec,
    conflicts,
    patterns_of,
    revealed,
    validate_all,
    with_kept,
)

# What a change of must raise credentials_version, and forgets the verification.
_CREDENTIALS = ("type", "configuration", "secret", "enabled")
# Of these, what makes another login: whatever was found of the one before says nothing of it.
_ANOTHER = frozenset(_CREDENTIALS) - {"enabled"}
# An entry may change while its new key is tried, so that it has to be tried again.
TRIES = 3
Status = RegistryEntry.Status
# So little behind, a clock counts coarsely; more, and it was set back.
_COARSE = timedelta(seconds=1)


def entry_validate(*, organization: Organization, spec: EntrySpec) -> None:
    """All that creating would refuse, as `Refused`; writes nothing."""
    validate_all(organization, spec)


def change_validate(*, entry: RegistryEntry, change: EntryChange) -> None:
    """All that changing would refuse, but for a key that fails; writes nothing."""
    _merged(entry, change)


def change_prove(
    *, entry: RegistryEntry, change: EntryChange, attended: bool = False
) -> new_keys.Proof:
    """The change's new key tried, or that there was none to try; raises `Refused`.

    Blocking while the registry is asked, so never inside a transaction. Whoever writes
    in one has the proof first; else `entry_update` sees to it.
    """
    if not any(change.secrets.values()):
        return new_keys.NOTHING_TO_TRY
    _, valid, found = _merged(entry, change)
    if not new_keys.is_needed(entry, valid, found, attended=attended):
        return new_keys.NOTHING_TO_TRY
    return new_keys.proof(entry, valid, attended=attended)


def _merged(
    entry: RegistryEntry, change: EntryChange
) -> tuple[EntrySpec, ValidSpec, dict[str, Any]]:
    """What the entry is to be, and what that changes; raises `Refused`.

    Late comers are told so before anything else, which may only follow from it; but
    whoever repeats what stands was heard already.
    """
    try:
        spec = change.on(entry)
        valid = validate_all(entry.organization, spec, entry)
    except Refused:
        if change.is_late(entry):
            raise ChangedMeanwhile from None
        raise
    found = changes(entry, spec, valid)
    if found and change.is_late(entry):
        raise ChangedMeanwhile
    return spec, valid, found


# --- writing ------------------------------------------------------------------


def entry_create(*, organization: Organization, actor: Actor, spec: EntrySpec) -> RegistryEntry:
    """A new entry and its event, or `Refused` and nothing."""
    with one_by_one(organization):
        valid = validate_all(organization, spec)
        (entry,) = write_new(organization, actor, [(spec, valid)])
    return entry


def write_new(
    organization: Organization, actor: Actor, specs: Sequence[tuple[EntrySpec, ValidSpec]]
) -> list[RegistryEntry]:
    """New entries and an event for each; already validated, and inside `one_by_one`."""
    by = actor.user.pk if actor.user else None
    made, rows, events = [], [], []
    now = database_now()
    for spec, valid in specs:
        entry = RegistryEntry(
            organization_id=organization.pk,
            registry_type=valid.type.slug,
            status=_unverified(valid.type.slug, Status.WAITING, {}),
            config=valid.config,
            enabled=spec.enabled,
            note=spec.note,
            secret_expires_on=valid.secret_expires_on,
            created_by_id=by,
            updated_by_id=by,
            created_at=now,
            updated_at=now,
        )
        _seal(entry, valid, now)
        made.append(entry)
        rows += _rows(entry, valid, spec.environments)
        told = _told_spec(spec, valid) | _told_end(valid.secret_expires_on)
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
    insert_many(made)
    insert_many(rows)
    insert_all(events)
    return made


def entry_update(
    *,
    entry: RegistryEntry,
    actor: Actor,
    change: EntryChange,
    proof: new_keys.Proof | None = None,
    attended: bool = False,
) -> RegistryEntry:
    """Change of an entry what is given, as it stands behind the lock; the rest stays.

    Repeating what stands changes nothing and tells nothing. Any change of type,
    configuration, secret or enabled raises credentials_version and drops its cached
    logins in the same transaction. A new key is tried first, as `change_prove` has it;
    `attended` where a person is there who can decide about one that can't be.
    """
    for _ in range(1 if proof else TRIES):
        given = proof or change_prove(entry=entry, change=change, attended=attended)
        with one_by_one(entry.organization):
            (entry,) = locked([entry.pk])
            spec, valid, found = _merged(entry, change)
            needed = new_keys.is_needed(entry, valid, found, attended=attended)
            if not needed or given.covers(valid):
                write_change(entry, actor, spec, valid, found)
                return entry
    raise ChangedMeanwhile


def changes(entry: RegistryEntry, spec: EntrySpec, valid: ValidSpec) -> dict[str, Any]:
    """What the spec would change, as an event tells it: {name: [before, after]}.

    Of a secret it only says so. Reveals the entry's secret where one is given.
    """
    valid = with_kept(valid, entry)
    before, after = _told(entry, entry.environments), _told_spec(spec, valid)
    found: dict[str, Any] = {
        name: [before[name], after[name]] for name in before if before[name] != after[name]
    }
    if valid.secrets and ("type" in found or valid.secrets != revealed(entry)):
        found["secret"] = "changed"  # noqa: S105
    was, now = entry.secret_expires_on, valid.secret_expires_on
    if spec.secret_expires_on is None and found.keys().isdisjoint({"type", "secret"}):
        now = was  # the day is the secret's, and stays with it
    if was != now:
        found[ends.NAME] = [_day(was), _day(now)]
    return found


def write_change(
    entry: RegistryEntry, actor: Actor, spec: EntrySpec, valid: ValidSpec, found: dict[str, Any]
) -> None:
    """Write and tell the `changes` found; already validated, and `locked` inside
    `one_by_one`."""
    if not found:
        return
    valid = with_kept(valid, entry)
    entry.registry_type = valid.type.slug
    entry.config = valid.config
    entry.enabled = spec.enabled
    entry.note = spec.note
    if ends.NAME in found:
        entry.secret_expires_on = valid.secret_expires_on
        entry.secret_end_told = None
    if "type" in found or "secret" in found:
        _seal(entry, valid, database_now())
    if not found.keys().isdisjoint({"patterns", "environments", "enabled"}):
        entry.patterns.all().delete()
        insert_many(_rows(entry, valid, spec.environments))
        entry._prefetched_objects_cache = {}  # type: ignore[attr-defined]
    _save_change(entry, actor, "entry.updated", found)


def entry_set_enabled(*, entry: RegistryEntry, actor: Actor, enabled: bool) -> RegistryEntry:
    """Enable or disable; enabling may be `Refused` where another took the pattern."""
    return entry_switch(entry=entry, actor=actor, enabled=enabled)[0]


def entry_switch(
    *, entry: RegistryEntry, actor: Actor, enabled: bool
) -> tuple[RegistryEntry, bool]:
    """As `entry_set_enabled`; and whether it wasn't so already."""
    with one_by_one(entry.organization):
        (entry,) = locked([entry.pk])
        if entry.enabled == enabled:
            return entry, False
        if enabled:
            patterns, environments = patterns_of(entry), entry.environments
            problems = conflicts(entry.organization, patterns, environments, entry)
            if problems:
                raise Refused(*problems)
        entry.enabled = enabled
        entry.patterns.update(enabled=enabled)
        action = "entry.enabled" if enabled else "entry.disabled"
        _save_change(entry, actor, action, {"enabled": [not enabled, enabled]})
    return entry, True


def entry_delete(*, entry: RegistryEntry, actor: Actor) -> None:
    """Erase an entry with its secret; the event stays."""
    with one_by_one(entry.organization):
        _erase(locked([entry.pk]), actor)


def entries_delete(*, organization: Organization, keys: Sequence[UUID], actor: Actor) -> int:
    """Erase those of these that are the organization's and still there, or none of them,
    each with its event; how many. For as many as one transaction should hold."""
    with one_by_one(organization):
        found = _locked(RegistryEntry.objects.filter(organization=organization, pk__in=keys))
        _erase(found, actor)
    return len(found)


def _erase(found: Sequence[RegistryEntry], actor: Actor) -> None:
    insert_all(
        [
            event(
                actor=actor,
                action="entry.deleted",
                organization=entry.organization,
                subject_id=entry.pk,
                subject=str(entry),
                properties={
                    "before": _told(entry, entry.environments) | _told_end(entry.secret_expires_on)
                },
            )
            for entry in found
        ]
    )
    RegistryEntry.objects.filter(pk__in=[entry.pk for entry in found]).delete()


@contextmanager
def one_by_one(organization: Organization) -> Iterator[None]:
    """A transaction in which the organization's entries are written one by one.

    The constraint alone would refuse a racing duplicate as well, but with a
    database's words; behind the lock validating itself finds it.
    """
    with transaction.atomic():
        Organization.objects.select_for_update(no_key=True).get(pk=organization.pk)
        yield


def locked(keys: Sequence[UUID]) -> list[RegistryEntry]:
    """The entries, their rows locked; raises RegistryEntry.DoesNotExist if one is gone."""
    found = _locked(RegistryEntry.objects.filter(pk__in=keys))
    if len(found) < len(keys):
        raise RegistryEntry.DoesNotExist("An entry was deleted meanwhile.")
    return found


def _locked(found: QuerySet[RegistryEntry]) -> list[RegistryEntry]:
    """Those that are still there."""
    return list(
        found.select_for_update(of=("self",))
        .select_related("organization")
        .prefetch_related("patterns__environment")
        .order_by("pk")
    )


def _seal(entry: RegistryEntry, valid: ValidSpec, now: datetime) -> None:
    """Seal what was given, erasing what was there."""
    entry.secrets = (
        sealed.seal(json.dumps(valid.secrets), entry.sealed_for) if valid.secrets else None
    )
    entry.secrets_changed_at = now if valid.secrets else None


def _rows(
    entry: RegistryEntry, valid: ValidSpec, environments: Iterable[Environment]
) -> list[IndexedPattern]:
    return [
        IndexedPattern(
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
        for position, pattern in enumerate(valid.patterns)
        for environment in _or_all(environments)
    ]


def _unverified(slug: str, before: str, changes: dict[str, Any]) -> RegistryEntry.Status:
    """What is known of an entry of which nothing was seen since these changes: one that its
    other side trusted still is, where no more than a choice of yes or no changed."""
    kind = BY_SLUG.get(slug)
    if kind is None or not kind.awaits_trust:
        return Status.UNVERIFIED
    was, now = changes.get("configuration", ({}, {}))
    changed = {name for name in {*was, *now} if was.get(name) != now.get(name)}
    choices = {f.name for f in kind.fields if f.switch}
    trusted = before != Status.WAITING and "type" not in changes and changed <= choices
    return Status.UNVERIFIED if trusted else Status.WAITING


def _or_all(environments: Iterable[Environment]) -> list[Environment | None]:
    """None stands for all environments, and for none chosen."""
    return [*environments] or [None]


def _told(entry: RegistryEntry, environments: Sequence[Environment]) -> dict[str, Any]:
    """What an event may say of an entry: everything but its secret."""
    kind = BY_SLUG.get(entry.registry_type)
    return {
        "type": entry.registry_type,
        "patterns": entry.pattern_texts,
        "configuration": kind.logged(entry.config) if kind else entry.config,
        "environments": [environment.slug for environment in environments],
        "enabled": entry.enabled,
        "note": entry.note,
    }


def _told_spec(spec: EntrySpec, valid: ValidSpec) -> dict[str, Any]:
    """What `_told` will say of the entry once this is written."""
    return {
        "type": valid.type.slug,
        "patterns": [pattern.text for pattern in valid.patterns],
        "configuration": valid.type.logged(valid.config),
        "environments": [e.slug for e in sorted(spec.environments, key=lambda e: e.name)],
        "enabled": spec.enabled,
        "note": spec.note,
    }


def _told_end(day: date | None) -> dict[str, str]:
    """When its secret ends, of an entry of which that is known."""
    return {ends.NAME: _day(day)} if day else {}


def _day(day: date | None) -> str:
    return day.isoformat() if day else ""


def _later(last: datetime, now: datetime) -> datetime:
    """Another moment than the last, also where the clock stood still between two, or counts
    in milliseconds; its own where it was set back."""
    return last + timedelta(microseconds=1) if now <= last < now + _COARSE else now


def _save_change(entry: RegistryEntry, actor: Actor, action: str, changes: dict[str, Any]) -> None:
    if any(name in changes for name in _CREDENTIALS):
        entry.credentials_version += 1
        CachedLogin.objects.filter(entry=entry).delete()
        # A verification that runs can't write what it finds any more.
        Verification.objects.filter(entry=entry).update(claim_id=None, claim_until=None)
    if not _ANOTHER.isdisjoint(changes):
        entry.status = _unverified(entry.registry_type, entry.status, changes)
        entry.status_at, entry.status_code, entry.status_detail = None, "", ""
        entry.status_reporter = ""
    if "patterns" in changes or not _ANOTHER.isdisjoint(changes):
        # What was found of another place or key.
        Verification.objects.filter(entry=entry).update(
            at=None, steps=[], claim_id=None, claim_until=None
        )
    entry.updated_by = actor.user
    entry.updated_at = _later(entry.updated_at, database_now())
    entry.save()
    record(
        actor=actor,
        action=action,
        organization=entry.organization,
        subject_id=entry.pk,
        subject=str(entry),
        properties={"changes": changes},
    )
