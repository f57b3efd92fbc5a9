"""A bounded number of connections, shared by a process's threads.

Kept by each thread, a server of two processes held 65 of the 100 that PostgreSQL has by
default, nearly all of them idle. Here a thread has one for as long as it works with the
database: it takes one when it first needs it, and gives it back at a request's end and
before it waits for something outside (`orgs.outside`).
"""

from __future__ import annotations

import select
import threading
import time
from collections import deque
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from django.db import OperationalError
from psycopg2.extensions import TRANSACTION_STATUS_IDLE  # type: ignore[import-untyped]

WAIT = 5.0  # seconds for one to come free
IDLE = 300.0  # seconds after which an unused one isn't kept

LOGINS, OTHERS, HEALTH = "logins", "others", "health"


class Pool:
    """Connections by shares: each kind of thread has its own number, so that no kind takes
    another's. Without a bound there is none: what is given back is closed."""

    def __init__(self) -> None:
        self.most: Mapping[str, int] = {}
        self._free: dict[str, threading.Semaphore] = {}
        self._share_of: dict[int, str] = {}  # by the id of what is taken
        self._kept: deque[tuple[float, Any]] = deque()  # the last given back is taken first
        self._thread = threading.local()

    def bound(self, **most: int) -> None:
        """From now on: so many connections for each share, `others` among them."""
        self._free = {share: threading.Semaphore(number) for share, number in most.items()}
        self.most = most

    def belong(self, share: str) -> None:
        """This thread takes of that share."""
        self._thread.share = share

    def share(self) -> str:
        """Of which this thread takes."""
        return getattr(self._thread, "share", OTHERS)

    @contextmanager
    def place(self) -> Iterator[_Place]:
        """A place for one of the thread's share, which is given up again unless it `holds` a
        connection; raises `OperationalError` where none comes free."""
        share = self.share() if self.most else None
        if share is not None and not self._free[share].acquire(timeout=WAIT):
            raise OperationalError("All of this server's connections are in use.")
        place = _Place(self, share)
        try:
            yield place
        finally:
            if share is not None and not place.held:
                self._free[share].release()

    def give_back(self, taken: Any) -> None:
        """Keep it for the next, where it's whole."""
        share = self._share_of.pop(id(taken), None)
        if share is None:
            taken.close()
            return
        try:
            if _is_whole(taken):
                self._kept.append((time.monotonic(), taken))
            else:
                taken.close()
        finally:
            self._free[share].release()


class _Place:
    def __init__(self, of: Pool, share: str | None) -> None:
        self._pool, self._share = of, share
        self.held = False

    def kept(self) -> Any:
        """The one given back last, None where there is none; those unused for long, and those
        that the server has ended meanwhile, are closed."""
        while self._share is not None:
            try:
                since, found = self._pool._kept.pop()
            except IndexError:
                break
            if time.monotonic() - since < IDLE and not _ended(found):
                return found
            found.close()
        return None

    def holds(self, connection: Any) -> None:
        """It's taken until this one is given back."""
        if self._share is not None:
            self._pool._share_of[id(connection)] = self._share
            self.held = True


def _is_whole(connection: Any) -> bool:
    if connection.closed or connection.get_transaction_status() != TRANSACTION_STATUS_IDLE:
        return False
    return bool(connection.autocommit)


def _ended(connection: Any) -> bool:
    """Whether the server has said something unasked: goodbye, as a rule. Costs no round trip."""
    readable = select.poll()
    readable.register(connection.fileno(), select.POLLIN | select.POLLHUP | select.POLLERR)
    return bool(readable.poll(0))


pool = Pool()
