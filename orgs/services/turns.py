"""Turns: few requests compute at once, so that workers' logins get the processor.

One thread of a process runs at a time, and each further one that wants to makes a login
wait longer. So all but logins take turns, and whoever waits for something outside, the
database, a registry or another process, gives its turn up meanwhile.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from django.db import connection

from orgs.registries.places import Full

AT_ONCE = 1
WAIT = 20.0  # seconds; by then whoever asked has given up, or should


class Turns:
    """So many turns in this process; usable by any number of threads."""

    def __init__(self, at_once: int, wait: float) -> None:
        self._free = threading.BoundedSemaphore(at_once)
        self._wait = wait
        self._of_thread = threading.local()

    @contextmanager
    def taken(self) -> Iterator[None]:
        """Compute in turn, after waiting for it; raises `Full` after `wait` seconds."""
        if not self._free.acquire(timeout=self._wait):
            raise Full("Very much is being asked of this server right now.", 5)
        self._of_thread.held = True
        try:
            yield
        finally:
            self._of_thread.held = False
            self._free.release()

    @contextmanager
    def given_up(self) -> Iterator[None]:
        """Wait for something outside; the turn goes to another, and is taken again after."""
        if not getattr(self._of_thread, "held", False):
            yield
            return
        self._of_thread.held = False
        self._free.release()
        try:
            yield
        finally:
            self._free.acquire()
            self._of_thread.held = True


turns = Turns(AT_ONCE, WAIT)


@contextmanager
def in_turn() -> Iterator[None]:
    """Compute in turn, but for what the database does; raises `Full`."""

    def outside(execute: Callable[..., Any], *args: Any) -> Any:
        with turns.given_up():
            return execute(*args)

    with turns.taken(), connection.execute_wrapper(outside):
        yield
