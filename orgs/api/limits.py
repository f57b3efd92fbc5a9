"""How often one token may ask: a token bucket for each, in this process.

It is there for runaway loops, which would fill the audit log and crowd out other
tenants; a fleet doesn't meet it. Its workers keep a login for up to ten minutes, so
even ten thousand that share one token ask 17 times a second between them, and
`BURST` of them may start at once. Being counted per process, the limits are those
below times the number of processes; no shared store is needed.
"""

from __future__ import annotations

import math
import threading
import time

RATE = 100.0  # requests a second
BURST = 2000.0  # requests at once, after a quiet while
_MOST_KEPT = 10_000


class Buckets:
    """One bucket per key, holding at most BURST and filling by RATE a second."""

    def __init__(self, rate: float = RATE, burst: float = BURST) -> None:
        self.rate = rate
        self.burst = burst
        self._lock = threading.Lock()
        self._left: dict[str, tuple[float, float]] = {}

    def wait(self, key: str) -> int:
        """Take one: 0 where there was one, else the seconds until there is."""
        now = time.monotonic()
        with self._lock:
            left, at = self._left.get(key, (self.burst, now))
            left = min(self.burst, left + (now - at) * self.rate)
            if left < 1:
                return math.ceil((1 - left) / self.rate)
            if len(self._left) >= _MOST_KEPT:
                self._forget_full(now)
            self._left[key] = (left - 1, now)
            return 0

    def _forget_full(self, now: float) -> None:
        """A bucket that has filled up again is as good as none."""
        self._left = {
            key: (left, at)
            for key, (left, at) in self._left.items()
            if left + (now - at) * self.rate < self.burst
        }


buckets = Buckets()
