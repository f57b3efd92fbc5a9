"""Waiting for what is outside: meanwhile neither the turn nor a connection is kept."""

from __future__ import annotations

import sqlite3
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from django.conf import settings
from django.db import InterfaceError, OperationalError, connection
from django.db.backends.base.base import BaseDatabaseWrapper

from orgs.postgresql.pool import HEALTH, LOGINS, pool
from orgs.registries.turns import turns
from orgs.seen import metrics

# Milliseconds that a worker waits for SQLite's lock, and another before it: it is told so
# then, within two seconds, and asks again; who asks whether that goes well is told so too.
# People wait longer.
LOCKED_AT_MOST = 600
LOOK = 3  # milliseconds of SQLite's own waiting: it looks after 1 and after 2 more
_READ_ONLY = "25006"  # PostgreSQL's, of which Django makes an InternalError


@contextmanager
def outside() -> Iterator[None]:
    """Wait for a registry, another process or a pause to end."""
    give_back_connection()
    with turns.given_up():
        yield


def give_back_connection() -> None:
    """Let another thread have it, where there are few; the next statement takes one again."""
    if pool.most and not connection.in_atomic_block:
        connection.close()


def write_without_waiting_for_the_disk() -> None:
    """For all that this thread's connection commits from now on, of which a power cut may take
    the last moments, whole transactions in their order, since it is done again then. Others
    wait for SQLite's only writer less: half of the time that it was kept went by in waiting
    for the disk."""
    if connection.vendor == "sqlite":
        with connection.cursor() as cursor:
            cursor.execute("PRAGMA synchronous = NORMAL")


def database_is_away(error: object) -> bool:
    """Whether an error says that the database can't be reached, or takes no writes."""
    code = getattr(getattr(error, "__cause__", None), "pgcode", None)
    return isinstance(error, OperationalError | InterfaceError) or code == _READ_ONLY


def watch(*, connection: BaseDatabaseWrapper, **_: Any) -> None:
    """Have all of a connection's statements timed, and waited for without the turn. In front
    of those that are put on for a while: what takes them off takes the last."""
    one_waits = [_one_waits] if connection.vendor == "sqlite" else []
    for wrapper in (*one_waits, metrics.statement, _without_turn):
        if wrapper not in connection.execute_wrappers:
            connection.execute_wrappers.insert(0, wrapper)
    if connection.vendor == "sqlite":
        connection.connection.execute(f"PRAGMA busy_timeout = {_patience()}")


# Who holds it waits for SQLite's lock, for this process.
_lock_wanted = threading.Lock()
_BEGIN = ("BEGIN IMMEDIATE", "BEGIN")
_TAKE_IT = ("BEGIN IMMEDIATE", "INSERT", "UPDATE", "DELETE")


def _one_waits(
    execute: Callable[..., Any], sql: str, params: Any, many: bool, context: dict[str, Any]
) -> Any:
    """Of a process's threads one at a time waits for SQLite's lock, and the others for that
    one, no longer in all: SQLite's own waiting is by sleeping longer and longer, and who comes
    late may be first, so of thirty that wait some never come to it. And as it is one, it looks
    often: who slept 10 ms beside a lock of 3 waited for nothing."""
    if connection.in_atomic_block or not sql.lstrip().startswith(_TAKE_IT):
        return execute(sql, params, many, context)
    patience = _patience()
    until = time.monotonic() + patience / 1000
    if not _lock_wanted.acquire(timeout=patience / 1000):
        raise OperationalError("database is locked")
    try:
        # Of many rows in autocommit some may be written when the next meets a lock.
        _wait_at_most(max(1, round((until - time.monotonic()) * 1000)) if many else LOOK)
        while True:
            try:
                return execute(sql, params, many, context)
            except OperationalError as error:
                if many or not _is_locked(error) or time.monotonic() >= until:
                    raise
    finally:
        _lock_wanted.release()
        _wait_at_most(patience)


def _is_locked(error: OperationalError) -> bool:
    code = getattr(error.__cause__, "sqlite_errorcode", 0)
    return bool(code & 0xFF == sqlite3.SQLITE_BUSY)


def _patience() -> int:
    """Milliseconds that this thread waits for SQLite's lock."""
    return LOCKED_AT_MOST if pool.share() in (LOGINS, HEALTH) else settings.SQLITE_TIMEOUT


def _wait_at_most(milliseconds: int) -> None:
    connection.connection.execute(f"PRAGMA busy_timeout = {milliseconds}")


def _without_turn(execute: Callable[..., Any], sql: str, *given: Any) -> Any:
    # Who has SQLite's only lock waits for no turn with it, until the transaction is over.
    if connection.vendor == "sqlite" and (connection.in_atomic_block or sql in _BEGIN):
        turns.let_go()
        return execute(sql, *given)
    with turns.given_up():
        return execute(sql, *given)
