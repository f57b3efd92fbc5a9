"""The thread of a server process that does what runs there are, one after another.

Every process looks. A run that was begun here begins at once; one whose process died is
taken up when its lease is over.
"""

from __future__ import annotations

import logging
import threading
import traceback
from collections.abc import Callable, Mapping

from django.db import DatabaseError, connection

from orgs.models import Run
from orgs.outside import database_is_away
from orgs.registries.turns import turns

from . import going
from .going import Going, Lost, Stopped

EVERY = 5.0  # seconds from one look to the next, where nothing woke it
AT_ONCE = 4  # runs of a process, of different organizations

log = logging.getLogger(__name__)
Work = Callable[[Going], None]


class Runner:
    """Looks until `stop`; `work` says what to do by kind."""

    def __init__(self, work: Mapping[str, Work], every: float = EVERY) -> None:
        self.work = work
        self.every = every
        self._stopping = threading.Event()
        self._places = threading.Semaphore(AT_ONCE)
        self._thread = threading.Thread(target=self._look, name="runs", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        """Look no more; what it does is done to its end."""
        self._stopping.set()
        going.wake.set()
        self._thread.join()
        for _ in range(AT_ONCE):
            self._places.acquire()

    def _look(self) -> None:
        while not self._stopping.is_set():
            going.wake.wait(self.every)
            going.wake.clear()
            try:
                self._take_up()
            except DatabaseError as error:
                log.warning("looking for runs: %s", type(error).__name__)
            finally:
                connection.close()

    def _take_up(self) -> None:
        for run in list(going.due().only("pk")[: 2 * AT_ONCE]):
            if self._stopping.is_set() or not self._places.acquire(blocking=False):
                return
            held = going.take(run)
            if held is None:
                self._places.release()
                continue
            threading.Thread(target=self._do, args=(held,), name="run", daemon=True).start()

    def _do(self, held: Going) -> None:
        try:
            with turns.taken(long=True):
                do(held, self.work)
        finally:
            connection.close()
            self._places.release()
            going.wake.set()  # there may be another that waited for the place


def do(held: Going, work: Mapping[str, Work]) -> None:
    """One run to its end, whatever comes; blocking."""
    try:
        work[held.run.kind](held)
    except Lost:
        pass
    except Stopped:
        _end(held, Run.State.STOPPED)
    except Exception as error:
        # Where it happened, and not its text, which may quote what was being worked on.
        at = traceback.extract_tb(error.__traceback__)[-1]
        kind = type(error).__name__
        log.error("run %s: %s at %s:%s", held.run.pk, kind, at.filename, at.lineno)
        if not database_is_away(error):  # else another try may have more luck
            _end(held, Run.State.FAILED)


def _end(held: Going, state: Run.State) -> None:
    try:
        held.end(state)
    except Lost:
        pass
