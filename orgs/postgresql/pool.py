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
from collections import Counter
from collections.abc import Callable, Mapping
from typing import Any

from django.db import OperationalError
from psycopg2.extensions import TRANSACTION_STATUS_IDLE  # type: ignore[import-untyped]

WAIT = 5.0  # seconds for one to come free
IDLE = 300.0  # seconds after which an unused one isn't kept

LOGINS, OTHERS = "logins", "others"


class Pool:
    """Connections by shares: each kind of thread has its own number, so that no kind takes
    another's. Without a bound there is none: what is given back is closed."""

    def __init__(self) -> None:
        self.most: Mapping[str, int] = {}
        self._changed = threading.Condition()
        self._taken: Counter[str] = Counter()
        self._share_of: dict[int, str] = {}  # by the id of what is taken
        self._kept: list[tuple[float, Any]] = []
        self._thread = threading.local()

    def bound(self, **most: int) -> None:
        """From now on: so many connections for each share, `others` among them."""
        self.most = most

    def belong(self, share: str) -> None:
        """This thread takes of that share."""
        self._thread.share = share

    def share(self) -> str:
        """Of which this thread takes."""
        return getattr(self._thread, "share", OTHERS)

    def take(self, connect: Callable[[], Any]) -> Any:
        """One that was kept, or a new one; raises `OperationalError` where none of the
        thread's share comes free, and what `connect` raises."""
        if not self.most:
            return connect()
        share = self.share()
        with self._changed:
            free = self._changed.wait_for(lambda: self._taken[share] < self.most[share], WAIT)
            if not free:
                raise OperationalError("All of this server's connections are in use.")
            self._taken[share] += 1
        try:
            taken = self._one_kept() or connect()
        except BaseException:
            self._end(share)
            raise
        self._share_of[id(taken)] = share
        return taken

    def give_back(self, taken: Any) -> None:
        """Keep it for the next, where it's whole."""
        share = self._share_of.pop(id(taken), None)
        if share is None:
            taken.close()
            return
        try:
            if taken.closed or taken.get_transaction_status() != TRANSACTION_STATUS_IDLE:
                taken.close()
            else:
                with self._changed:
                    self._kept.append((time.monotonic(), taken))
        finally:
            self._end(share)

    def _end(self, share: str) -> None:
        with self._changed:
            self._taken[share] -= 1
            self._changed.notify_all()

    def _one_kept(self) -> Any:
        """The one given back last; those unused for long, and those that the server has
        ended meanwhile, are closed."""
        while True:
            with self._changed:
                if not self._kept:
                    return None
                since, found = self._kept.pop()
            if time.monotonic() - since < IDLE and not _ended(found):
                return found
            found.close()


def _ended(connection: Any) -> bool:
    """Whether the server has said something unasked: goodbye, as a rule. Costs no round trip."""
    readable = select.poll()
    readable.register(connection.fileno(), select.POLLIN | select.POLLHUP | select.POLLERR)
    return bool(readable.poll(0))


pool = Pool()
