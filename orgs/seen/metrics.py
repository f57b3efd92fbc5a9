"""The figures of `/metrics`, all of them, with what each label may say.

No label takes what people or registries wrote: types come from the catalogue, results from
the table of codes, the rest from this repository's own words. Each process of a server
counts in a file of its own (prometheus-client's multiprocess mode, where
`PROMETHEUS_MULTIPROC_DIR` is set), and whichever is asked adds them up.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from functools import lru_cache
from pathlib import Path
from typing import Any

from django.db import transaction
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.multiprocess import MultiProcessCollector

from orgs.registries.catalogue import BY_SLUG

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
_ours = CollectorRegistry()
_CLOUD = (0.05, 0.1, 0.25, 0.5, 1, 2, 4, 7)
_DATABASE = (0.001, 0.002, 0.005, 0.01, 0.05, 0.1, 0.5, 1, 5)
_REQUEST = (0.002, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 10)

logins = Counter(
    "registries_logins",
    "Docker logins asked for: the entry's type, ok or the code of the refusal, and whether "
    "no cloud was waited for.",
    ["type", "result", "cached"],
    registry=_ours,
)
waiting = Gauge(
    "registries_waiting_callers",
    "Callers that wait for a cloud to give an entry's login.",
    registry=_ours,
    multiprocess_mode="livesum",
)
cloud_calls = Histogram(
    "registries_cloud_call_seconds",
    "Calls of a cloud for a login: the entry's type, and ok or the code of the failure.",
    ["type", "outcome"],
    registry=_ours,
    buckets=_CLOUD,
)
refused_attempts = Counter(
    "registries_refused_attempts",
    "What wasn't let in: passwords, tokens, and tokens that ask too often.",
    ["what"],
    registry=_ours,
)
events = Counter("registries_events_written", "Events of the audit log.", registry=_ours)
database = Histogram(
    "registries_database_seconds",
    "Statements, as the server waits for them: their first word, and whether they failed.",
    ["statement", "failed"],
    registry=_ours,
    buckets=_DATABASE,
)
requests = Histogram(
    "registries_request_seconds",
    "Requests, from when a thread takes them: login, api, page or probe, and the status.",
    ["kind", "status"],
    registry=_ours,
    buckets=_REQUEST,
)
_WORDS = frozenset(("SELECT", "INSERT", "UPDATE", "DELETE", "COPY", "EXECUTE", "WITH"))


def login(kind: str, result: str, *, cached: bool) -> None:
    """One login that was given or refused; `kind` is a type's slug, or "" without entry. One
    that is stored and no longer in the catalogue is `unknown`."""
    kind = kind if not kind or kind in BY_SLUG else "unknown"
    _child(logins, kind, result, "yes" if cached else "no").inc()


def events_written(count: int, using: str = "default") -> None:
    """Count them once they are committed."""
    transaction.on_commit(lambda: events.inc(count), using=using)


@contextmanager
def cloud_call(kind: str, code_of: Callable[[BaseException], str]) -> Iterator[None]:
    """Take the time of one; `code_of` names the failure."""
    begun = time.monotonic()
    outcome = "ok"
    try:
        yield
    except BaseException as error:
        outcome = code_of(error)
        raise
    finally:
        cloud_calls.labels(kind, outcome).observe(time.monotonic() - begun)


def statement(execute: Callable[..., Any], sql: Any, *given: Any) -> Any:
    """Execute it, and take its time (Django's execute wrappers)."""
    begun = time.monotonic()
    failed = "yes"
    try:
        found = execute(sql, *given)
        failed = "no"
        return found
    finally:
        word = sql.split(None, 1)[0].upper() if isinstance(sql, str) and sql.strip() else ""
        seconds = time.monotonic() - begun
        _child(database, word if word in _WORDS else "other", failed).observe(seconds)


def request(kind: str, status: int, seconds: float) -> None:
    """One that is answered."""
    _child(requests, kind, str(status)).observe(seconds)


@lru_cache(maxsize=1000)
def _child(figure: Any, *labels: str) -> Any:
    """prometheus-client looks it up under a lock, and for longer than it counts."""
    return figure.labels(*labels)


class Found:
    """Figures that are looked up when they're asked for: (name, what it says, value)."""

    def __init__(self, found: Iterable[tuple[str, str, float]]) -> None:
        self._found = list(found)

    def collect(self) -> Iterator[GaugeMetricFamily]:
        for name, told, value in self._found:
            yield GaugeMetricFamily(name, told, value)


def exposition(found: Iterable[tuple[str, str, float]]) -> bytes:
    """All figures as Prometheus reads them, those of this server's other processes too, where
    their files are still there."""
    registry = CollectorRegistry()
    if Path(os.environ.get("PROMETHEUS_MULTIPROC_DIR") or "/nowhere").is_dir():
        MultiProcessCollector(registry)
    else:
        registry.register(_ours)  # type: ignore[arg-type]
    registry.register(Found(found))  # type: ignore[arg-type]
    return generate_latest(registry)


# All kinds of files are opened now: later their directory may be gone.
_child(database, "other", "no")
