"""Room for a process's figures (`metrics`), made before prometheus-client looks for it."""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path

# Bytes of each file, enough for all series that there can be. Taken from the disk at once: a
# file with holes, on a full one, ends the process that counts (SIGBUS).
ROOM = 512 * 1024
_FILES = ("counter", "histogram", "gauge_livesum")


def make_room(directory: str, pid: int) -> bool:
    """Whether this process's files are there, whole; before the first figure is counted."""
    place = Path(directory)
    try:
        place.mkdir(mode=0o700, parents=True, exist_ok=True)
        for name in _FILES:
            with (place / f"{name}_{pid}.db").open("ab") as file:
                os.posix_fallocate(file.fileno(), 0, ROOM)
    except OSError:
        for name in _FILES:
            with suppress(OSError):
                (place / f"{name}_{pid}.db").unlink()
        return False
    return True
