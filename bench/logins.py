"""`python -m bench.logins [--sqlite] [--rounds 5]`: cached logins over HTTP, beside two views.

The product, the floor and the bare view (`bench.floor`), each served by `gunicorn.conf.py`
on the same database; bursts over connections that stay open, in turn, since a machine
drifts. The figures are the medians of the rounds, and the ratios of the same rounds.
"""

from __future__ import annotations

import contextlib
import dataclasses
import statistics
import sys
from collections import defaultdict
from collections.abc import Iterator

from . import table
from .http import burst, login_request
from .pressure.scene import IMAGE, Scene
from .pressure.staging import serving, staged
from .table import Row

BURST = 3.0  # seconds
CONNECTIONS = (1, 8, 32)
NAMES = ("ours", "floor", "bare")
FLOOR = (sys.executable, "-m", "gunicorn", "bench.floor.wsgi")
AIMS = {
    "postgresql": {"floor": dict.fromkeys(CONNECTIONS, 0.9), "bare": {32: 0.4}, "p99": 2.5},
    "sqlite": {"floor": {}, "bare": {32: 0.25}, "p99": 5.0},
}
Figures = dict[str, dict[str, list[float]]]


def rows(rounds: int, *, sqlite: bool = False) -> Iterator[Row]:
    aims = AIMS["sqlite" if sqlite else "postgresql"]
    found = measured(sqlite=sqlite, rounds=rounds)
    ours = {what: statistics.median(values) for what, values in found["ours"].items()}
    for connections in CONNECTIONS:
        for other in ("floor", "bare"):
            aim = aims[other].get(connections)
            yield Row(
                f"logins over {connections} connection{'s' * (connections > 1)}",
                ours[f"{connections}: req/s"],
                "a second",
                ours[f"{connections}: of {other}"],
                other,
                ("≥", aim) if aim else None,
            )
    slow = statistics.median(found["bare"]["32: p99 ms"])
    p99 = ours["32: p99 ms"]
    yield Row("p99 over 32 connections", p99, "ms", p99 / slow, "bare", ("≤", aims["p99"]))
    yield Row("logins that failed", sum(found["ours"]["32: failed"]), "in all")


def measured(*, sqlite: bool, rounds: int) -> Figures:
    """For each name and number of connections: requests a second, p50 and p99 in ms, how
    many failed, and what share of the others' throughput it has, of each round."""
    taken: Figures = {name: defaultdict(list) for name in NAMES}
    with staged(sqlite=sqlite) as (scene, _), contextlib.ExitStack() as stack:
        scenes = {name: dataclasses.replace(scene) for name in NAMES}
        for name in NAMES:
            if name == "ours":
                stack.enter_context(serving(scenes[name]))
                continue
            own = {"DJANGO_SETTINGS_MODULE": "bench.floor.settings", "FLOOR_VIEW": name}
            stack.enter_context(serving(scenes[name], *FLOOR, **own))
        tokens = worker_tokens(scene, max(CONNECTIONS))
        requests = {
            name: [login_request(its.address, token, its.ours.project, IMAGE) for token in tokens]
            for name, its in scenes.items()
        }
        for name in NAMES:
            burst(scenes[name].address, requests[name], 1.0)
        for _ in range(rounds):
            for connections in CONNECTIONS:
                rates = {}
                for name in NAMES:
                    some = requests[name][:connections]
                    answered, failed = burst(scenes[name].address, some, BURST)
                    rates[name] = len(answered) / BURST
                    _note(taken[name], connections, answered, failed, rates[name])
                for other in NAMES[1:]:
                    share = rates["ours"] / rates[other]
                    taken["ours"][f"{connections}: of {other}"].append(share)
    return taken


def worker_tokens(scene: Scene, count: int) -> list[str]:
    """So many of ours: one alone would meet its limit."""
    from orgs.models import Organization
    from orgs.services.audit.events import COMMAND_LINE
    from orgs.services.tenancy.tokens import token_issue_worker

    ours = Organization.objects.get(slug=scene.ours.slug)
    return [
        token_issue_worker(organization=ours, name=f"bench {n}", actor=COMMAND_LINE)[1]
        for n in range(count)
    ]


def _note(
    found: dict[str, list[float]],
    connections: int,
    answered: list[float],
    failed: int,
    rate: float,
) -> None:
    ordered = sorted(answered) or [0.0]
    found[f"{connections}: req/s"].append(rate)
    for share in (0.5, 0.99):
        at = ordered[min(len(ordered) - 1, int(share * len(ordered)))]
        found[f"{connections}: p{share * 100:.0f} ms"].append(at * 1000)
    found[f"{connections}: failed"].append(failed)


if __name__ == "__main__":
    on_sqlite = "--sqlite" in sys.argv
    sys.argv = [word for word in sys.argv if word != "--sqlite"]
    table.part(__doc__, lambda rounds: rows(rounds, sqlite=on_sqlite))
