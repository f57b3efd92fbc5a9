"""Across organizations, for staff: what fails, what can't be read, what ends soon. What is
made up is left out.

Each reads so many rows only, by an index, and says how many more there are.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from django.db.models import Case, F, QuerySet, When
from django.db.models.functions import Coalesce
from django.utils import timezone

from orgs.models import ApiToken, RegistryEntry, WorkerToken
from orgs.services.audit.bounded import Some, some

from .attention import SOON, broken_sentence, today

MOST_FAILING = 20
Status = RegistryEntry.Status


@dataclass(frozen=True)
class Trouble:
    """An entry that doesn't work, why, and since when as far as is known."""

    entry: RegistryEntry
    reason: str
    since: datetime | None


def failing(*, private: bool) -> Some[Trouble]:
    """Failing ones first, then those whose registry doesn't answer; the latest first.
    `private` as in `broken_sentence`."""
    return _troubles([Status.FAILING, Status.UNREACHABLE], private)


def unreadable() -> Some[Trouble]:
    """Whose secrets this server's keys don't open."""
    return _troubles([Status.UNREADABLE], private=False)


def _troubles(statuses: list[Status], private: bool) -> Some[Trouble]:
    found = (
        RegistryEntry.objects.filter(status__in=statuses, enabled=True, organization__made_up=False)
        .annotate(since=Coalesce("failure_told_at", "status_at"))
        .order_by(Case(When(status=Status.UNREACHABLE, then=1), default=0), "-since", "id")
    )
    cut = some(_listed(found), MOST_FAILING)
    rows = [Trouble(e, broken_sentence(e, private=private), e.since) for e in cut.rows]
    return Some(rows, cut.more, cut.uncounted)


def _listed(found: QuerySet[RegistryEntry]) -> QuerySet[RegistryEntry]:
    """As lists need them: never with the secret."""
    return found.defer("secrets").select_related("organization").prefetch_related("patterns")


def secrets_ending() -> Some[RegistryEntry]:
    """Entries whose secret ends within 14 days, or ended; the nearest first."""
    near = RegistryEntry.objects.filter(
        secret_expires_on__lte=today() + SOON, enabled=True, organization__made_up=False
    )
    return some(_listed(near.order_by("secret_expires_on", "id")))


def worker_tokens_ending() -> Some[WorkerToken]:
    """Those that end within 14 days, the nearest first."""
    tokens = WorkerToken.objects.filter(organization__made_up=False)
    return some(_ending(tokens.select_related("organization", "environment")))


def api_tokens_ending() -> Some[ApiToken]:
    """People's that end within 14 days, of people who may sign in."""
    tokens = ApiToken.objects.select_related("user", "membership__organization")
    return some(_ending(tokens.filter(user__is_active=True)))


def _ending(tokens: QuerySet) -> QuerySet:
    now = timezone.now()
    near = tokens.filter(revoked_at=None, expires_at__gt=now, expires_at__lt=now + SOON)
    return near.order_by(F("expires_at"), "pk")
