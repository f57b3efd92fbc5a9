"""SQLite's one writer, shared fairly by the threads of a process.

Left to themselves they wait for the database's lock each for itself, by sleeping longer
and longer, and who comes late may be first: with 32 askers some waited for seconds. Here
one writes at a time, and writes all that wait; each goes on once its own is committed.
"""

from __future__ import annotations

import threading
from dataclasses import dataclass
from typing import Any

from django.db import DatabaseError, OperationalError, connection, transaction


@dataclass(eq=False)
class _Waiting:
    values: list[Any]
    done: bool = False
    error: DatabaseError | None = None


class Groups:
    """Rows for one statement. Whoever has the turn writes for all who wait at that moment,
    so nobody waits for more than the group before and their own."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._turn = threading.Lock()
        self._waiting: list[_Waiting] = []

    def write(self, sql: str, values: list[Any]) -> None:
        """Returns once the row is committed; raises `DatabaseError`. Not inside a
        transaction, which would keep the turn."""
        mine = _Waiting(values)
        with self._lock:
            self._waiting.append(mine)
        with self._turn:
            if not mine.done:
                with self._lock:
                    group, self._waiting = self._waiting, []
                _write(sql, group)
        if mine.error is not None:
            raise mine.error


def _write(sql: str, group: list[_Waiting]) -> None:
    try:
        if len(group) > 1:
            with transaction.atomic(), connection.cursor() as cursor:
                cursor.executemany(sql, [one.values for one in group])
            for one in group:
                one.done = True
    except OperationalError as error:  # locked, full: nobody's row is at fault
        for one in group:
            one.done, one.error = True, error
    except DatabaseError:
        pass  # one by one, so that nobody fails for another's row
    for one in group:
        if not one.done:
            _write_one(sql, one)


def _write_one(sql: str, one: _Waiting) -> None:
    try:
        with connection.cursor() as cursor:
            cursor.execute(sql, one.values)
    except DatabaseError as error:
        one.error = error
    finally:
        one.done = True
