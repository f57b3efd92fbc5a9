"""Turns: few requests compute at once, so that workers' logins get the processor.

One thread of a process runs at a time, and each further one that wants to makes a login
wait longer. So all but logins take turns, and whoever waits for something outside, the
database, a registry or another process, gives its turn up meanwhile. Long work has a line
of its own: it never waits for pages, nor they for it, and rests after each of its turns.
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
SLICE = 0.005  # seconds of long work without a rest, where it can


class _Line:
    """Those of whom so many compute at once; `steady` rests after its own turns, too."""

    def __init__(self, at_once: int, *, steady: bool = False) -> None:
        self.free = threading.BoundedSemaphore(at_once)
        self.last = 0  # the thread that computed last
        self.rested = 0.0  # when it is made up for, monotonic
        self.steady = steady


class Turns:
    """So many turns in this process; usable by any number of threads."""

    def __init__(self, at_once: int, wait: float) -> None:
        self._pages = _Line(at_once)
        self._long = _Line(1, steady=True)
        self._wait = wait
        self._mine = _Mine()

    @contextmanager
    def taken(self, *, long: bool = False) -> Iterator[None]:
        """Compute in turn, after waiting for it; raises `Full` after `wait` seconds. `long`
        work waits for as long as it takes."""
        mine, line = self._mine, self._long if long else self._pages
        if not line.free.acquire(timeout=None if long else self._wait):
            raise Full("Very much is being asked of this server right now.", 5)
        before, mine.line = mine.line, line
        self._rest(line)
        try:
            yield
        finally:
            self._leave(line)
            mine.line = before

    @contextmanager
    def given_up(self) -> Iterator[None]:
        """Wait for something outside; the turn goes to another, and is taken again after."""
        mine = self._mine
        if mine.line is None or (mine.since is None and not mine.owed):
            yield
            return
        self._leave(mine.line)
        try:
            yield
        finally:
            self._take_again(mine.line)

    @contextmanager
    def taken_again(self) -> Iterator[None]:
        """Compute in turn inside of `given_up`."""
        mine = self._mine
        if mine.line is None or mine.since is not None:
            yield
            return
        self._take_again(mine.line)
        try:
            yield
        finally:
            self._leave(mine.line)

    def let_go(self) -> None:
        """Give the turn up until after the next `given_up`: for who holds what others wait
        for, and must not wait for a turn meanwhile. Long work keeps it, and rests after."""
        mine = self._mine
        if mine.line is not None and mine.since is not None and not mine.line.steady:
            self._end(mine.line)
            mine.owed = True

    def breathe(self) -> None:
        """Of long work, in the midst of much to compute: rest, where it is time to."""
        since = self._mine.since
        if since is not None and time.monotonic() - since > SLICE:
            with self.given_up():
                pass

    def _leave(self, line: _Line) -> None:
        """Have no turn, and none to take again."""
        if self._mine.since is not None:
            self._end(line)
        self._mine.owed = False

    def _take_again(self, line: _Line) -> None:
        line.free.acquire()
        if line.last == threading.get_ident() and not line.steady:  # nobody else was here
            self._mine.since = time.monotonic()
        else:
            self._rest(line)

    def _rest(self, line: _Line) -> None:
        if (left := line.rested - time.monotonic()) > 0:
            time.sleep(min(left, REST))
        self._mine.since = time.monotonic()

    def _end(self, line: _Line) -> None:
        now, since = time.monotonic(), self._mine.since
        assert since is not None
        line.last = threading.get_ident()
        line.rested = now + min((now - since) * TIMES, REST)
        self._mine.since = None
        line.free.release()


class _Mine(threading.local):
    """A thread's turn: in which line it is, since when it computes, and whether it let go of
    the turn for a while."""

    line: _Line | None = None
    since: float | None = None
    owed = False


turns = Turns(AT_ONCE, WAIT)
