"""Whether logins can be answered now, and what of the database is shown as figures."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator

from django.core.exceptions import ImproperlyConfigured
from django.db import DatabaseError, connection
from django.db.models import Min
from django.db.models.functions import Now

from orgs import sealed
from orgs.models import Heartbeat, RegistryEntry
from orgs.models.health import ONE
from orgs.services.audit.clock import database_now
from orgs.services.entries.attention import BROKEN

from . import renewing

EVERY = 1.0  # seconds; asked more often than that, what was found well is told again
PATIENCE = 1.0  # seconds to wait for another who looks, and on PostgreSQL for the row
_CONTEXT = "heartbeat:1"
# Without waiting: another server's is written in a moment.
_UNLESS_HELD = """
UPDATE orgs_heartbeat SET at = now()
 WHERE id = (SELECT id FROM orgs_heartbeat WHERE id = %s FOR UPDATE SKIP LOCKED)
"""

_lock = threading.Lock()
_well_until = 0.0


def unwell() -> str:
    """Why logins can't be answered, as a sentence; "" where they can: the database takes a
    write, and the keys open what was sealed before. Asks no registry, since an outage there
    is no reason to restart."""
    global _well_until
    if not _lock.acquire(timeout=PATIENCE):
        return "The database takes too long."
    try:
        if time.monotonic() < _well_until:
            return ""
        found = _unwell()
        _well_until = 0.0 if found else time.monotonic() + EVERY
        return found
    finally:
        _lock.release()


def forget() -> None:
    """Look again at the next question."""
    global _well_until
    _well_until = 0.0


def _unwell() -> str:
    try:
        row = Heartbeat.objects.filter(pk=ONE).first() or _first()
        row.sealed.reveal(_CONTEXT)
        if not _beat():
            return "Somebody holds the row that is written to see whether writes are taken."
    except DatabaseError:
        return "The database can't be reached, or takes no writes."
    except (sealed.Unreadable, ImproperlyConfigured, ValueError):
        return "FERNET_KEYS doesn't open what is stored: a key is missing there."
    return ""


def _beat() -> bool:
    """Write it; False where another holds it for all of our patience."""
    if connection.vendor != "postgresql":
        return bool(Heartbeat.objects.filter(pk=ONE).update(at=Now()))
    until = time.monotonic() + PATIENCE
    while True:
        with connection.cursor() as cursor:
            cursor.execute(_UNLESS_HELD, [ONE])
            if cursor.rowcount:
                return True
        if time.monotonic() > until:
            return False
        time.sleep(PATIENCE / 10)


def _first() -> Heartbeat:
    """On a new database; where several servers are first, one of them is."""
    made = Heartbeat(at=database_now(), sealed=sealed.seal("well", _CONTEXT))
    Heartbeat.objects.bulk_create([made], ignore_conflicts=True)
    return Heartbeat.objects.get(pk=ONE)


def figures() -> Iterator[tuple[str, str, float]]:
    """(name, what it says, value) of what only the database knows; without it, only that."""
    try:
        found = list(_figures())
    except DatabaseError:
        found = []
    yield "registries_database_up", "Whether the database answered just now.", float(bool(found))
    yield from found


def _figures() -> Iterator[tuple[str, str, float]]:
    oldest = renewing.in_use().aggregate(oldest=Min("refresh_after"))["oldest"]
    age = (database_now() - oldest).total_seconds() if oldest else 0.0
    yield (
        "registries_oldest_due_renewal_seconds",
        "How long the oldest login of the last day's entries is past its half-life.",
        max(0.0, age),
    )
    yield (
        "registries_failing_entries",
        "Enabled entries whose last login or verification failed.",
        RegistryEntry.objects.filter(
            enabled=True, status__in=BROKEN, organization__made_up=False
        ).count(),
    )
