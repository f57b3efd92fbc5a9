"""SQLite's lock: one of a process's threads waits for it, the others for that one."""

from __future__ import annotations

import sqlite3
import threading
import time

import pytest
from django.db import OperationalError, connection
from django.db.models.functions import Now

from orgs import outside
from orgs.models import Organization, Repeat
from orgs.postgresql.pool import LOGINS, pool
from orgs.services.audit import repeats
from orgs.services.audit.events import COMMAND_LINE, event

pytestmark = [pytest.mark.once, pytest.mark.django_db(transaction=True)]
THREADS = 12


def at_once(work) -> list[object]:
    """What each of many threads that ask for logins came to, or its error."""
    found: list[object] = []
    start = threading.Barrier(THREADS)

    def run() -> None:
        pool.belong(LOGINS)
        try:
            connection.ensure_connection()
            start.wait()
            found.append(work())
        except OperationalError as error:
            found.append(error)
        finally:
            connection.close()

    threads = [threading.Thread(target=run) for _ in range(THREADS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return found


@pytest.mark.parametrize(
    "sql", ["UPDATE x", "\n INSERT INTO x", "BEGIN IMMEDIATE", "DELETE FROM x"]
)
def test_one_at_a_time_asks_for_it(sql, acme) -> None:
    inside, most = [0], [0]

    def execute(*given) -> str:
        inside[0] += 1
        most[0] = max(most[0], inside[0])
        time.sleep(0.01)
        inside[0] -= 1
        return "done"

    found = at_once(lambda: outside._one_waits(execute, sql, None, False, {}))
    assert found == ["done"] * THREADS and most == [1]


def test_who_only_reads_waits_for_nobody(acme) -> None:
    with outside._lock_wanted:
        assert Organization.objects.get().name == "Acme"


def test_in_all_nobody_waits_longer_than_a_worker_may(acme) -> None:
    name = connection.settings_dict["NAME"]
    other = sqlite3.connect(name, uri="mode=" in str(name), isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    begun = time.monotonic()
    try:
        found = at_once(lambda: Organization.objects.update(created_at=Now()))
    finally:
        other.execute("ROLLBACK")
        other.close()
    assert all(isinstance(error, OperationalError) for error in found)
    assert time.monotonic() - begun < 2 * outside.LOCKED_AT_MOST / 1000 + 1
    # It waits as long as ever the next time.
    assert Organization.objects.update(created_at=Now()) == 1


def locked(code: int = sqlite3.SQLITE_BUSY) -> OperationalError:
    error = OperationalError("database is locked")
    error.__cause__ = sqlite3.OperationalError("database is locked")
    error.__cause__.sqlite_errorcode = code
    return error


def patience() -> int:
    with connection.cursor() as cursor:
        return cursor.execute("PRAGMA busy_timeout").fetchone()[0]


def test_it_looks_often(acme) -> None:
    """SQLite's own waiting sleeps longer and longer, past the end of what it waits for."""
    errors, waits = [locked(), locked(sqlite3.SQLITE_BUSY_SNAPSHOT)], []

    def execute(*given) -> str:
        waits.append(patience())
        if errors:
            raise errors.pop()
        return "done"

    assert outside._one_waits(execute, "UPDATE x", None, False, {}) == "done"
    assert waits == [outside.LOOK] * 3 and patience() == outside._patience()


@pytest.mark.parametrize(
    ("error", "many"), [(locked(), True), (locked(sqlite3.SQLITE_FULL), False)]
)
def test_what_it_must_not_do_twice(error, many, acme) -> None:
    """Of many rows some may be there; and another error says nothing of a lock."""
    waits = []

    def execute(*given) -> str:
        waits.append(patience())
        raise error

    with pytest.raises(OperationalError):
        outside._one_waits(execute, "INSERT INTO x", [], many, {})
    assert len(waits) == 1 and (waits[0] > outside.LOOK) is many
    assert patience() == outside._patience() and outside._lock_wanted.acquire(blocking=False)
    outside._lock_wanted.release()


def test_one_at_a_time_counts_what_repeats(acme) -> None:
    made = [event(actor=COMMAND_LINE, action="login.refused", organization=acme)]
    found = at_once(lambda: repeats.record(("same",), made))
    assert found == [None] * THREADS
    assert Repeat.objects.get().times == THREADS - 1
