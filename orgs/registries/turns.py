"""Turns: few requests compute at once, so that workers' logins get the processor.

One thread of a process runs at a time, and each further one that wants to makes a login
wait longer. So all but logins take turns, and whoever waits for something outside, the
database, a registry or another process, gives its turn up meanwhile.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

from orgs.registries.places import Full

AT_ONCE = 1
WAIT = 20.0  # seconds; by then whoever asked has given up, or should
# After a turn of another the next one rests so many times as long as that took, and so
# many seconds at most: a flood would else take all of the processor, and each of a login's
# many small steps wait for its share of that.
TIMES, REST = 2, 0.03


class Turns:
    """So many turns in this process; usable by any number of threads."""

    def __init__(self, at_once: int, wait: float) -> None:
        self._free = threading.BoundedSemaphore(at_once)
        self._wait = wait
        self._last = 0  # the thread that computed last
        self._rested = 0.0  # when it is made up for, monotonic
        self._of_thread = threading.local()

    @contextmanager
    def taken(self) -> Iterator[None]:
        """Compute in turn, after waiting for it; raises `Full` after `wait` seconds."""
        if not self._free.acquire(timeout=self._wait):
            raise Full("Very much is being asked of this server right now.", 5)
        self._rest()
        try:
            yield
        finally:
            self._end()

    @contextmanager
    def given_up(self) -> Iterator[None]:
        """Wait for something outside; the turn goes to another, and is taken again after."""
        if getattr(self._of_thread, "since", None) is None:
            yield
            return
        self._end()
        try:
            yield
        finally:
            self._free.acquire()
            if self._last == threading.get_ident():  # nobody else was here
                self._of_thread.since = time.monotonic()
            else:
                self._rest()

    def _rest(self) -> None:
        if (left := self._rested - time.monotonic()) > 0:
            time.sleep(min(left, REST))
        self._of_thread.since = time.monotonic()

    def _end(self) -> None:
        now = time.monotonic()
        self._last = threading.get_ident()
        self._rested = now + min((now - self._of_thread.since) * TIMES, REST)
        self._of_thread.since = None
        self._free.release()


turns = Turns(AT_ONCE, WAIT)
