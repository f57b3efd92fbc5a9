"""How much work something is, whatever machine it's done on and whoever else is at work there."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def at_most(milliseconds: float) -> Iterator[None]:
    """Fails where this thread works longer than that, as told by what a loop of a millisecond
    takes beside it: on a busy or slow machine both take longer. Twice as much is let pass."""
    unit = _unit()
    began = time.thread_time()
    yield
    took = time.thread_time() - began
    unit = max(unit, _unit())
    assert took / unit < 2 * milliseconds, f"{took / unit:,.0f} units of work in {took:.2f} s"


def _unit() -> float:
    """Seconds of a loop that takes a millisecond on the machine that the bounds are from."""
    return min(_loop() for _ in range(5))


def _loop() -> float:
    began, found = time.thread_time(), 0
    for number in range(30_000):
        found ^= number
    return time.thread_time() - began
