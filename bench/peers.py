"""`python -m bench.peers`: processor time of a login, ours over HTTP and others' programs.

Ours is all that a cached login costs on the server's side (gunicorn's processes and
PostgreSQL's) and what the worker's helper costs beside it; the others are
`aws ecr get-login-password` and Amazon's Go helper with its cache. Those that aren't
installed are left out.
"""

from __future__ import annotations

import contextlib
import dataclasses
import os
import statistics
from collections.abc import Iterator
from pathlib import Path

from . import table
from .http import burst, login_request
from .logins import worker_tokens
from .pressure.memory import family
from .pressure.scene import IMAGE
from .pressure.staging import serving, staged
from .table import Row
from .worker_start import Case, cases

TICKS = os.sysconf("SC_CLK_TCK")
CONNECTIONS = 8
SECONDS = 3.0
AWS, GO = "aws ecr get-login-password", "docker-credential-ecr-login get, cached"
HELPER, FLOOR = "docker-credential-valohai get, cached", "python3 -S -E -c pass"


def rows(rounds: int) -> Iterator[Row]:
    ours = statistics.median(_over_http(rounds))
    yield Row("cached logins over HTTP", 1 / ours, "a CPU s")
    with cases() as found:
        cpu, wall = _programs(found, rounds)
    if AWS in cpu:
        yield Row(AWS, 1 / cpu[AWS], "a CPU s", cpu[AWS] / ours, "fewer than ours", ("≥", 300))
    if GO in cpu:
        yield Row(GO, 1 / cpu[GO], "a CPU s", cpu[GO] / ours, "fewer than ours")
    for name, seconds in wall.items():
        against = FLOOR if name == HELPER else GO if name == FLOOR and GO in wall else AWS
        if against in wall and against != name:
            aim = ("≤", 1.5) if name == HELPER else None
            yield Row(name, seconds * 1000, "ms", seconds / wall[against], against, aim)
        else:
            yield Row(name, seconds * 1000, "ms")


def _over_http(rounds: int) -> Iterator[float]:
    """Processor seconds of a cached login, for each round."""
    with staged() as (scene, _):
        its = dataclasses.replace(scene)
        with serving(its) as server:
            requests = [
                login_request(its.address, token, its.ours.project, IMAGE)
                for token in worker_tokens(scene, CONNECTIONS)
            ]
            burst(its.address, requests, 1.0)
            database = _postmaster()
            for _ in range(rounds):
                before = _seconds(server.pid) + _seconds(database)
                answered, failed = burst(its.address, requests, SECONDS)
                if failed:
                    raise SystemExit(f"{failed} logins failed.")
                yield (_seconds(server.pid) + _seconds(database) - before) / len(answered)


def _programs(found: dict[str, Case], rounds: int) -> tuple[dict[str, float], dict[str, float]]:
    """Medians of processor seconds and of seconds, by name."""
    cpu: dict[str, list[float]] = {name: [] for name in found}
    wall: dict[str, list[float]] = {name: [] for name in found}
    for turn in range(2 * rounds + 1):
        for name, case in found.items():
            taken = case.run()
            if turn:  # the first fills the caches
                cpu[name].append(taken.cpu)
                wall[name].append(taken.seconds)
    return (
        {name: statistics.median(values) for name, values in cpu.items()},
        {name: statistics.median(values) for name, values in wall.items()},
    )


def _seconds(pid: int) -> float:
    """Processor time of a process and its children, living and gone."""
    total = 0
    for one in family(pid):
        with contextlib.suppress(OSError):
            told = Path(f"/proc/{one}/stat").read_text().rpartition(")")[2].split()
            total += sum(map(int, told[11:15]))
    return total / TICKS


def _postmaster() -> int:
    from tests.support import postgres

    (server,) = postgres._running.values()
    return server.process.pid


if __name__ == "__main__":
    table.part(__doc__, rows)
