"""Cached logins by a fixed schedule, and what a set of latencies says."""

from __future__ import annotations

import http.client
import json
import threading
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from urllib.parse import urlsplit

from .scene import IMAGE, Scene, Side

PATIENCE = 20.0  # seconds for one login
AT_ONCE = 250  # more than can be due within PATIENCE at ten a second


@dataclass
class Latencies:
    """Seconds from the moment that each was due; what failed isn't among them."""

    taken: list[float] = field(default_factory=list)
    failures: Counter[str] = field(default_factory=Counter)

    def at(self, share: float) -> float:
        """A percentile, in seconds; 0 where nothing answered."""
        ordered = sorted(self.taken)
        return ordered[min(len(ordered) - 1, int(share * len(ordered)))] if ordered else 0.0

    @property
    def failed(self) -> int:
        return sum(self.failures.values())

    def told(self) -> dict[str, object]:
        """Milliseconds and counts."""
        percentiles = {f"p{p}": round(self.at(p / 100) * 1000, 1) for p in (50, 95, 99)}
        return {
            **percentiles,
            "answered": len(self.taken),
            "failed": self.failed,
            "failures": dict(self.failures),
        }


def ask(address: str, side: Side, timeout: float = PATIENCE) -> str:
    """One login over a connection of its own; "" or what went wrong."""
    connection = http.client.HTTPConnection(urlsplit(address).netloc, timeout=timeout)
    body = json.dumps({"project": side.project, "image": IMAGE})
    headers = {"Authorization": f"Token {side.token}", "Content-Type": "application/json"}
    try:
        connection.request("POST", "/api/v0/docker-login/", body, headers)
        response = connection.getresponse()
        told = response.read()
        return "" if response.status == 200 and b'"password"' in told else str(response.status)
    except (OSError, http.client.HTTPException) as error:
        return type(error).__name__
    finally:
        connection.close()


def logins(scene: Scene, seconds: float, rate: float = 10.0) -> Latencies:
    """Ask for `ours`, `rate` times a second for so long; blocks until the last is told."""
    found = Latencies()
    lock = threading.Lock()

    def one(due: float) -> None:
        wrong = ask(scene.address, scene.ours)
        took = time.monotonic() - due
        with lock:
            if wrong:
                found.failures[wrong] += 1
            else:
                found.taken.append(took)

    with ThreadPoolExecutor(AT_ONCE) as askers:
        began = time.monotonic()
        for number in range(int(seconds * rate)):
            due = began + number / rate
            time.sleep(max(0.0, due - time.monotonic()))
            askers.submit(one, due)
    return found
