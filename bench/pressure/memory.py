"""Memory of a process and all its children, from /proc."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterator
from pathlib import Path


def family(pid: int) -> list[int]:
    """The process and its descendants."""
    found = [pid]
    with contextlib.suppress(OSError):
        for children in Path(f"/proc/{pid}/task").glob("*/children"):
            for child in children.read_text().split():
                found += family(int(child))
    return found


def resident(pid: int) -> float:
    """MiB of all of them together, shared pages counted once per process."""
    total = 0
    for one in family(pid):
        with contextlib.suppress(OSError, ValueError):
            for line in Path(f"/proc/{one}/status").read_text().splitlines():
                if line.startswith("VmRSS:"):
                    total += int(line.split()[1])
    return total / 1024


@contextlib.contextmanager
def watched(pid: int) -> Iterator[dict[str, float]]:
    """{"before", "peak", "after"} in MiB, of what runs inside; four samples a second."""
    seen = {"before": resident(pid)}
    seen["peak"] = seen["before"]
    over = threading.Event()

    def look() -> None:
        while not over.wait(0.25):
            seen["peak"] = max(seen["peak"], resident(pid))

    looking = threading.Thread(target=look)
    looking.start()
    try:
        yield seen
    finally:
        over.set()
        looking.join()
        seen["after"] = resident(pid)
