"""Waiting for what is outside: meanwhile neither the turn nor a connection is kept."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from django.db import InterfaceError, OperationalError, connection
from django.db.backends.base.base import BaseDatabaseWrapper

from orgs.postgresql.pool import HEALTH, LOGINS, pool
from orgs.registries.turns import turns
from orgs.seen import metrics

# Milliseconds that a worker waits for SQLite's lock, and another before it: it is told so
# then, and asks again; who asks whether that goes well is told so too. People wait longer.
LOCKED_AT_MOST = 600
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


def database_is_away(error: object) -> bool:
    """Whether an error says that the database can't be reached, or takes no writes."""
    code = getattr(getattr(error, "__cause__", None), "pgcode", None)
    return isinstance(error, OperationalError | InterfaceError) or code == _READ_ONLY


def watch(*, connection: BaseDatabaseWrapper, **_: Any) -> None:
    """Have all of a connection's statements timed, and waited for without the turn. In front
    of those that are put on for a while: what takes them off takes the last."""
    for wrapper in (metrics.statement, _without_turn):
        if wrapper not in connection.execute_wrappers:
            connection.execute_wrappers.insert(0, wrapper)
    if connection.vendor == "sqlite" and pool.share() in (LOGINS, HEALTH):
        connection.connection.execute(f"PRAGMA busy_timeout = {LOCKED_AT_MOST}")


def _without_turn(execute: Callable[..., Any], *given: Any) -> Any:
    with turns.given_up():
        return execute(*given)
