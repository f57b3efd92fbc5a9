"""Django's wrapper, whose connections come from the process's pool and go back there."""

from __future__ import annotations

from typing import Any

from django.db.backends.postgresql import base
from django.db.backends.postgresql.psycopg_any import IsolationLevel

from .pool import pool


class DatabaseWrapper(base.DatabaseWrapper):
    def get_new_connection(self, conn_params: dict[str, Any]) -> Any:
        # What Django notes of a new one, of a kept one too.
        self.isolation_level = IsolationLevel.READ_COMMITTED
        return pool.take(lambda: super(DatabaseWrapper, self).get_new_connection(conn_params))

    def _close(self) -> None:
        if self.connection is not None:
            with self.wrap_database_errors:
                pool.give_back(self.connection)
