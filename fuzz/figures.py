"""What a run tells at its end."""

from __future__ import annotations

import resource
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field


def memory() -> float:
    """The most this process ever held, in MiB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


@dataclass
class Figures:
    """`kinds` counts what was answered; `failures` are those that mustn't be."""

    count: int = 0
    kinds: Counter[str] = field(default_factory=Counter)
    slowest: float = 0.0
    slowest_name: str = ""
    failures: list[str] = field(default_factory=list)
    started_with: float = field(default_factory=memory)

    @contextmanager
    def timed(self, name: str) -> Iterator[None]:
        """One input: counted, and its processor time with its name where it's the most."""
        began = time.process_time()
        yield
        took = time.process_time() - began
        self.count += 1
        if took > self.slowest:
            self.slowest, self.slowest_name = took, name

    @property
    def grown(self) -> float:
        """MiB above the start, for all of the inputs together."""
        return memory() - self.started_with

    def __str__(self) -> str:
        kinds = ", ".join(f"{number:,} {kind}" for kind, number in self.kinds.most_common())
        return (
            f"{self.count:,} inputs, {len(self.failures)} failures; {kinds}; "
            f"slowest {self.slowest * 1000:.0f} ms ({self.slowest_name}); "
            f"memory +{self.grown:.0f} MiB"
        )
