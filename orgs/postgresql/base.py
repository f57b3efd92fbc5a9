"""Django's wrapper, whose connections come from the process's pool and go back there."""

from __future__ import annotations

import time
from typing import Any

from django.db.backends.postgresql import base
from django.db.backends.postgresql.psycopg_any import IsolationLevel
from django.db.backends.signals import connection_created

from orgs.registries.turns import turns

from .pool import pool


class DatabaseWrapper(base.DatabaseWrapper):
    isolation_level = IsolationLevel.READ_COMMITTED
    _announced = False

    def connect(self) -> None:
        """As Django's, but with one that is kept, where there is: that is as Django left it,
        so what is done for a new one (200 µs of a login) isn't done again.

        Waited for without the turn: those who have a connection need it to give theirs back.
        """
        with turns.given_up(), pool.place() as place:
            kept = place.kept()
            if kept is None:
                super().connect()
                self._announced = True
            else:
                self._resume(kept)
            place.holds(self.connection)

    def _resume(self, kept: Any) -> None:
        """What Django's `connect` sets."""
        self.in_atomic_block = False
        self.savepoint_ids: list[Any] = []
        self.atomic_blocks: list[Any] = []
        self.needs_rollback = False
        self.close_at = time.monotonic()  # at the request's end
        self.closed_in_transaction = False
        self.errors_occurred = False
        self.health_check_done = True
        self.connection = kept
        self.autocommit = True
        if not self._announced:
            connection_created.send(sender=type(self), connection=self)
            self._announced = True
        self.run_on_commit: list[Any] = []

    def _close(self) -> None:
        if self.connection is not None:
            with self.wrap_database_errors:
                pool.give_back(self.connection)
