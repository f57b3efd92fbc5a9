"""What the C library keeps of the memory that Python has given back.

glibc has an arena for nearly each thread, and keeps what is freed in it: after some large
imports a process held half as much again as at its start. Other C libraries have neither
function, nor the trouble.
"""

from __future__ import annotations

import contextlib
import ctypes

_ARENAS = 2  # one thread of a process runs at a time
_M_ARENA_MAX = -8  # malloc.h


def few_arenas() -> None:
    """To be called before there are threads."""
    with contextlib.suppress(AttributeError, OSError):
        ctypes.CDLL(None).mallopt(_M_ARENA_MAX, _ARENAS)


def give_back() -> None:
    """Let the system have what is free; some milliseconds."""
    with contextlib.suppress(AttributeError, OSError):
        ctypes.CDLL(None).malloc_trim(0)
