"""Which entries someone should look at, and why."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date, datetime, timedelta

from django.db.models import Case, Q, When
from django.utils import timezone

from orgs.models import Organization, RegistryEntry, WorkerToken
from orgs.registries import ends
from orgs.registries.private import stored

from .status import BROKEN

OLD = timedelta(days=90)
SOON = timedelta(days=14)
WAITS = timedelta(days=1)  # for trust, until someone is asked to set it up
ENDING = timedelta(days=max(ends.REMINDED))
MOST = 20
# What someone should look at: what fails, and what this server doesn't reach.
TROUBLED = (*BROKEN, RegistryEntry.Status.UNREACHABLE)


@dataclass(frozen=True)
class Attention:
    """One entry and what is the matter with it; `since` is when it broke, if it did, and `waits`
    whether its other side is to be set up."""

    entry: RegistryEntry
    sentences: list[str]
    since: datetime | None
    waits: bool = False


def entries_needing_attention(organization: Organization, *, private: bool) -> list[Attention]:
    """Broken entries first, then those whose registry doesn't answer, then those that wait for
    trust, then those whose secret ends, then those with old keys or long unused; at most 20.

    `private` as in `broken_sentence`.
    """
    before = timezone.now() - OLD
    waits = untrusted(timezone.now() - WAITS)
    needing = Q(status__in=TROUBLED) | waits | ending(today()) | old_key(before) | unused(before)
    found = (
        RegistryEntry.objects.of(organization)
        .filter(needing, enabled=True)
        .order_by(
            Case(
                When(status__in=BROKEN, then=0),
                When(status__in=TROUBLED, then=1),
                When(waits, then=2),
                When(secret_expires_on__lte=today() + ENDING, then=3),
                default=4,
            ),
            "secret_expires_on",
            "-created_at",
            "id",
        )
    )
    return [
        Attention(
            entry,
            list(_sentences(entry, before, private)),
            entry.status_at if _broken(entry) else None,
            entry.status == RegistryEntry.Status.WAITING,
        )
        for entry in found[:MOST]
    ]


def tokens_ending(organization: Organization) -> list[WorkerToken]:
    """Worker tokens that end within 14 days, or ended in the last 14; the nearest first."""
    now = timezone.now()
    near = organization.worker_tokens.filter(
        revoked_at=None, expires_at__gt=now - SOON, expires_at__lt=now + SOON
    )
    return list(near.order_by("expires_at", "pk")[:MOST])


def unused(before: datetime) -> Q:
    """Entries that gave no login since then, though they could have."""
    return Q(last_used_at__lt=before) | Q(last_used_at=None, created_at__lt=before)


def untrusted(before: datetime) -> Q:
    """Entries of before then that no cloud trusts yet. One that served before by a key is of
    before then, too: its images can't be pulled meanwhile."""
    return Q(status=RegistryEntry.Status.WAITING, created_at__lt=before)


def today() -> date:
    """Days are UTC's."""
    return timezone.now().date()


def ending(day: date) -> Q:
    """Entries whose secret ends within 30 days of it, or ended."""
    return Q(secret_expires_on__lte=day + ENDING)


def is_ending(entry: RegistryEntry, day: date) -> bool:
    """As `ending`, of an entry at hand."""
    return entry.secret_expires_on is not None and entry.secret_expires_on <= day + ENDING


def old_key(before: datetime) -> Q:
    """Entries whose secret was set before then."""
    return Q(secrets_changed_at__lt=before)


def is_unused(entry: RegistryEntry, before: datetime) -> bool:
    """As `unused`, of an entry at hand."""
    return (entry.last_used_at or entry.created_at) < before


def has_old_key(entry: RegistryEntry, before: datetime) -> bool:
    """As `old_key`, of an entry at hand."""
    return entry.secrets_changed_at is not None and entry.secrets_changed_at < before


def broken_sentence(entry: RegistryEntry, *, private: bool) -> str:
    """What is wrong and how to mend it; "" where nothing is. With `private` parts for
    org admins and staff only."""
    if not _broken(entry):
        return ""
    told = stored(entry.status_detail, entry.status_code, private=private)
    return told or "Its last login failed."


def _broken(entry: RegistryEntry) -> bool:
    return entry.status in TROUBLED


def _sentences(entry: RegistryEntry, before: datetime, private: bool) -> Iterator[str]:
    if _broken(entry):
        yield broken_sentence(entry, private=private)
    if entry.status == RegistryEntry.Status.WAITING:
        told = stored(entry.status_detail, entry.status_code, private=private)
        yield told or "Its other side isn't set up yet, so its images can't be pulled."
    if entry.secret_expires_on and is_ending(entry, today()):
        yield ends.sentence(entry.secret_expires_on, today())
    if has_old_key(entry, before):
        yield "Its key is more than 90 days old."
    if is_unused(entry, before):
        yield "Not used for 90 days."
