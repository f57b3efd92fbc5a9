"""Events of the same thing over and over: the first at once, then one a minute for the rest.

Audit events are append-only, so what repeats is counted beside them (`Repeat`), and
written as one event with `times` once its minute is over: with the next event of any
kind that is counted so, when a log is read, or by `prune_audit_log`. A process
that ends loses none.
"""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Iterable, Iterator
from datetime import timedelta
from typing import Any

from django.db import DatabaseError, OperationalError, connection, transaction
from django.db.models import F, Q
from django.db.models.functions import Now

from orgs.models import AuditEvent, Repeat
from orgs.registries.turns import turns

from .events import insert_all

EVERY = timedelta(minutes=1)
# How many others are written along with one, and how many before a log is read.
ALONG = 20
BEFORE_READING = 500
# SQLite has one writer, and those who wait for it come in no order: one of a process counts,
# or the hundreds who are told «busy» would be there before those who get a login.
PATIENCE = 1.0  # seconds; a person at a page has more
_counting = threading.Lock()


def record(what: Iterable[object], events: list[AuditEvent], patience: float = PATIENCE) -> None:
    """Write these events, or count them where the same was written within a minute; raises
    `DatabaseError`.

    `what` says what is the same; the rest is as in the first of them. `patience` is how many
    seconds to wait for others of this process.
    """
    if connection.vendor != "sqlite" or connection.in_atomic_block:
        return _record(what, events)
    with turns.given_up():
        if not _counting.acquire(timeout=patience):
            raise OperationalError("too many are counted at once")
    try:
        _record(what, events)
    finally:
        _counting.release()


def _record(what: Iterable[object], events: list[AuditEvent]) -> None:
    key = hashlib.sha256(repr(tuple(map(str, what))).encode(errors="replace")).hexdigest()
    row = Repeat.objects.filter(key=key)
    if row.filter(_running()).update(times=F("times") + 1, last_at=Now()):
        return
    with transaction.atomic():
        fresh = Repeat(key=key, events=_stored(events), last_at=Now(), until=Now())
        Repeat.objects.bulk_create([fresh], ignore_conflicts=True)
        # One tells; whoever comes at the same time waits for the row, and counts.
        standing = row.select_for_update(no_key=True).annotate(now=Now()).get()
        if standing.now < standing.until <= standing.now + EVERY:
            row.update(times=F("times") + 1, last_at=Now())
            return
        _write(standing)
        insert_all(events)
        row.update(events=fresh.events, times=0, last_at=Now(), until=Now() + EVERY)
    write_due(ALONG)


def write_due(most: int = BEFORE_READING) -> int:
    """Write what has been counted and whose minute is over; how many of those there were."""
    with transaction.atomic():
        due = Repeat.objects.exclude(_running()).select_for_update(skip_locked=True)
        rows = list(due.order_by("until")[:most])
        for row in rows:
            _write(row)
        if rows:
            Repeat.objects.filter(pk__in=[row.pk for row in rows]).delete()
    return len(rows)


def write_of(organization_id: int) -> None:
    """Write all that is counted for an organization now, and for others beside it."""
    for key in list(Repeat.objects.values_list("pk", flat=True)):
        with transaction.atomic():
            row = Repeat.objects.select_for_update().filter(pk=key).first()
            if row and any(one["organization_id"] == organization_id for one in row.events):
                _write(row)
                row.delete()


def before_reading() -> None:
    """`write_due`, for whoever is about to read a log; a failure keeps nobody from reading."""
    try:
        write_due()
    except DatabaseError:
        pass


def _running() -> Q:
    """A minute that ends too far ahead was begun by a clock that has been set right since."""
    return Q(until__gt=Now(), until__lte=Now() + EVERY)


def _write(row: Repeat) -> None:
    if row.times:
        insert_all(list(_told(row)))


def _told(row: Repeat) -> Iterator[AuditEvent]:
    for values in row.events:
        event = AuditEvent(**values)
        event.properties = {**event.properties, "times": row.times}
        event.at = row.last_at
        yield event


def _stored(events: list[AuditEvent]) -> list[dict[str, Any]]:
    names = [f.attname for f in AuditEvent._meta.concrete_fields if f.name not in {"id", "at"}]
    found = [{name: getattr(event, name) for name in names} for event in events]
    for values in found:
        values["project_id"] = str(values["project_id"]) if values["project_id"] else None
    return found
