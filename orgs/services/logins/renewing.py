"""Logins renewed ahead of need: what was used in the last day never waits for a cloud.

Each is renewed in the hour before its half-life (an hour's login in minutes before), at a
moment that follows from its entry's id, so that a thousand entries of one account don't come
together. Every process looks; who takes a login's lease renews it, so that each is asked for
once. A renewal is no use: what nobody asks for any more runs out.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from uuid import UUID

from django.db import DatabaseError, connection
from django.db.models import F, QuerySet
from django.db.models.functions import Now

from orgs.models import CachedLogin
from orgs.registries.catalogue import BY_SLUG
from orgs.registries.problems import Failed
from orgs.services.audit.clock import database_now
from orgs.services.entries.validating import patterns_of
from orgs.services.upstream import calls

from . import minting

USED_WITHIN = timedelta(days=1)
AHEAD = timedelta(hours=1)
# Of the time until its half-life at most: else one of an hour would be due as soon as it's made.
SHARE = 6
EVERY = 60.0  # seconds from one look to the next
PAUSE = 0.05  # seconds after each: far below what a registry allows an account
MOST = 500  # renewed in one go

log = logging.getLogger(__name__)


@dataclass
class Renewed:
    """What a look came to: how many were renewed, and those that failed, as (entry, why)."""

    done: int = 0
    failed: list[tuple[str, Failed]] = field(default_factory=list)


def renew_due(stopping: threading.Event | None = None) -> Renewed:
    """Renew what is due; blocking, one after the other, until `stopping` is set."""
    found = Renewed()
    stopping = stopping or threading.Event()
    for row, place in _due():
        try:
            with calls.refreshing(row.entry):
                if minting.renew(row.entry, row, place):
                    found.done += 1
        except minting.EntryChanged:
            continue
        except Failed as error:
            found.failed.append((str(row.entry), error))
        if stopping.wait(PAUSE):
            break
    return found


def moment(entry_id: UUID, refresh_after: datetime, expires_at: datetime) -> datetime:
    """When a login's turn is: within the hour before its half-life, or a sixth of that."""
    ahead = min(AHEAD, (expires_at - refresh_after) / SHARE)
    return refresh_after - ahead * ((entry_id.int % 3600) / 3600)


def in_use() -> QuerySet[CachedLogin]:
    """The logins that still serve, of entries that were used in the last day."""
    return CachedLogin.objects.filter(
        login__isnull=False,
        credentials_version=F("entry__credentials_version"),
        entry__enabled=True,
        entry__organization__made_up=False,
        entry__last_used_at__gt=Now() - USED_WITHIN,
        expires_at__gt=Now(),
    )


def _due() -> Iterator[tuple[CachedLogin, minting.Place]]:
    """Those whose turn it is, with what to ask for; the nearest to their half-life first."""
    soon = in_use().filter(refresh_after__lte=Now() + AHEAD).order_by("refresh_after", "pk")
    now = database_now()
    # All of them, for among many of the same half-life anyone's turn may be the first.
    turns = soon.values_list("pk", "entry_id", "refresh_after", "expires_at").iterator()
    due = [pk for pk, of, at, ends in turns if at and ends and now >= moment(of, at, ends)][:MOST]
    # One by one: meanwhile another process may have renewed it.
    rows = soon.select_related("entry").prefetch_related("entry__patterns").annotate(now=Now())
    for row in (found for pk in due for found in rows.filter(pk=pk)):
        place = _place(row)
        if place and minting.may_renew(row, minting.clock_of(row)):
            yield row, place


def _place(row: CachedLogin) -> minting.Place | None:
    """What this login is for; None where no pattern has it any more."""
    kind = BY_SLUG.get(row.entry.registry_type)
    if kind is None or not kind.minted:
        return None
    config, patterns = row.entry.config, patterns_of(row.entry)
    if kind.narrowed(config):
        return None  # who uses one has it renewed; that the entry is used says nothing of it
    hosts = (kind.example_host(pattern) for pattern in patterns)
    found = (host for host in hosts if kind.login_scope(config, host) == row.scope)
    return next((minting.Place(host) for host in found), None)


class Renewer:
    """Looks every `every` seconds, in a thread of its own, for as long as the process lives."""

    def __init__(self, every: float = EVERY) -> None:
        self.every = every
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="renewing", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        self._stopping.set()
        self._thread.join()

    def _run(self) -> None:
        while not self._stopping.wait(self.every):
            try:
                found = renew_due(self._stopping)
            except DatabaseError as error:
                log.warning("renewing logins: %s", type(error).__name__)
            else:
                for entry, failed in found.failed:
                    log.warning("renewing the login of %s: %s", entry, failed.code)
            finally:
                connection.close()
