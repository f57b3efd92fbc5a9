"""Places: how many may do at once what takes long, so that threads stay free for the rest.

What finds no place is told so at once (`Full`), instead of queueing where others wait.
One owner never takes the last of them: each may hold as many as half of what is still
free (the dynamic threshold of Choudhury and Hahne, «Dynamic queue length thresholds for
shared-memory packet switches», 1998), so that whoever has none finds one.
"""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Hashable, Iterator, Mapping
from contextlib import contextmanager

from .problems import Failed


class Full(Failed):
    """There is no place; `retry_after` says in how many seconds to ask again."""

    def __init__(self, what: str, retry_after: int) -> None:
        super().__init__("busy", what, "Try again in a few seconds.", retry_after)


class Places:
    """So many places in this process; usable by any number of threads.

    `told` is the sentence for whom there is none. `most` bounds, by name, how many of
    them one thing may take: `Places(24, "…", most={"entry": 4})`, then
    `taken(owner, entry=key)`.
    """

    def __init__(
        self,
        total: int,
        told: str,
        *,
        most: Mapping[str, int] | None = None,
        retry_after: int = 1,
    ) -> None:
        self.total = total
        self.most = dict(most or {})
        self._told = told
        self._retry_after = retry_after
        self._free = threading.Condition()
        self._taken: Counter[tuple[str, Hashable]] = Counter()

    @contextmanager
    def taken(self, owner: Hashable, *, wait: float = 0.0, **things: Hashable) -> Iterator[None]:
        """Hold a place; raises `Full` where none comes free within `wait` seconds.

        `owner` is whom it counts against: an organization's id, an address.
        """
        keys = [("", None), ("owner", owner), *things.items()]
        deadline = time.monotonic() + wait
        with self._free:
            while not self._room(keys):
                left = deadline - time.monotonic()
                if left <= 0:
                    raise Full(self._told, self._retry_after)
                self._free.wait(left)
            self._taken.update(keys)
        try:
            yield
        finally:
            with self._free:
                self._taken.subtract(keys)
                self._taken += Counter()  # drop what is back to zero
                self._free.notify_all()

    def held(self, owner: Hashable) -> int:
        """How many an owner holds now."""
        return self._taken[("owner", owner)]

    def taken_now(self) -> int:
        """How many are taken, by anyone."""
        return self._taken[("", None)]

    def _room(self, keys: list[tuple[str, Hashable]]) -> bool:
        """Whether everything that a place counts against may take another."""
        free = self.total - self._taken[("", None)]
        if free <= 0 or self._taken[keys[1]] >= max(1, free / 2):
            return False
        bounded = (key for key in keys[2:] if key[0] in self.most)
        return all(self._taken[key] < self.most[key[0]] for key in bounded)
