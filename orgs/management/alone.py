"""One process at a time, of all that share a database."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from django.db.backends.base.base import BaseDatabaseWrapper

# Any number will do that nobody else takes on this database.
_LOCK = 0x76_6F_72_67


@contextmanager
def alone(connection: BaseDatabaseWrapper) -> Iterator[None]:
    """Wait until no other process is within, on the same database; it ends with the process."""
    if connection.vendor == "postgresql":
        with _advisory(connection):
            yield
    elif connection.vendor == "sqlite" and (directory := _directory(connection)):
        with _locked(directory):
            yield
    else:
        yield


@contextmanager
def _advisory(connection: BaseDatabaseWrapper) -> Iterator[None]:
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_advisory_lock(%s)", [_LOCK])
    try:
        yield
    finally:
        with connection.cursor() as cursor:
            cursor.execute("SELECT pg_advisory_unlock(%s)", [_LOCK])


@contextmanager
def _locked(directory: Path) -> Iterator[None]:
    """By the directory, so that no file is left behind."""
    import fcntl  # not on every system; where it is missing, the server doesn't run either

    descriptor = os.open(directory, os.O_RDONLY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def _directory(connection: BaseDatabaseWrapper) -> Path | None:
    name = str(connection.settings_dict["NAME"])
    in_memory = not name or ":memory:" in name or name.startswith("file:")
    return None if in_memory else Path(name).resolve().parent
