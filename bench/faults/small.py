"""What breaks below a database: its disk, and SQLite's one lock."""

from __future__ import annotations

import contextlib
import os
import sqlite3
import subprocess
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from .faults import House, fault

ROOM = "600m"


@contextlib.contextmanager
def own_disk() -> Iterator[None]:
    """Temporary files on a file system of their own, so that it can be filled; as root."""
    if os.geteuid():
        yield
        return
    place = Path(tempfile.mkdtemp(prefix="faults-"))
    mount = ["mount", "-t", "tmpfs", "-o", f"size={ROOM},mode=755", "none", str(place)]
    subprocess.run(mount, check=True)
    before, tempfile.tempdir = tempfile.tempdir, str(place)
    try:
        yield
    finally:
        tempfile.tempdir = before
        subprocess.run(["umount", "--lazy", str(place)], check=False)
        place.rmdir()


def _full(house: House) -> Iterator[None]:
    if not os.path.ismount(house.directory.parent):
        raise LookupError("only root can give it a disk of its own")
    filler = house.directory / "filler"
    with filler.open("wb", buffering=0) as file, contextlib.suppress(OSError):
        while True:
            file.write(b"\0" * 65_536)
    with filler.open("ab", buffering=0) as file, contextlib.suppress(OSError):
        while True:
            file.write(b"\0" * 256)
    yield
    time.sleep(house.seconds(20, 4))
    filler.unlink()


@fault("PostgreSQL's disk full for 20 s")
def postgres_disk_full(house: House) -> Iterator[None]:
    yield from _full(house)


@fault("SQLite's disk full for 20 s", sqlite=True)
def sqlite_disk_full(house: House) -> Iterator[None]:
    yield from _full(house)


@fault("SQLite locked by another for 25 s", sqlite=True)
def sqlite_locked(house: House) -> Iterator[None]:
    path = house.database.removeprefix("sqlite:///")
    with contextlib.closing(sqlite3.connect(path, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        yield
        time.sleep(house.seconds(25, 4))
        other.execute("ROLLBACK")
