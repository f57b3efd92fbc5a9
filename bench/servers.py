"""`python -m bench.servers [--sqlite] [--rounds 6]`: the product behind other servers.

For docs/decisions/0005-server.md: cached logins a second over 1, 8 and 32 connections
(each login over a connection of its own, as a worker's helper asks), memory, and what is
left of ten logins a second while clients keep the server waiting. granian and waitress
are left out where they aren't installed; they aren't among the requirements.
"""

from __future__ import annotations

import argparse
import contextlib
import dataclasses
import importlib.util
import statistics
import sys
import time
from collections import defaultdict

from .pressure.__main__ import finish, start
from .pressure.memory import resident
from .pressure.people import together
from .pressure.probe import ask, logins
from .pressure.scene import Scene
from .pressure.staging import serving, staged

BURST = 3.0  # seconds
SECONDS = 6.0
WAITING = ("half-open", "slow-body", "slow-readers")
WSGI = "valohai_registries.wsgi"
GUNICORN = (sys.executable, "-m", "gunicorn", WSGI)
SERVERS = {
    "ours": GUNICORN,
    "gthread": (*GUNICORN, "--worker-class", "gthread"),
    "granian": (
        *(sys.executable, "-m", "granian", "--interface", "wsgi", "--port", "{port}"),
        *("--workers", "2", "--blocking-threads", "32"),
        *("--http1-header-read-timeout", "10000", "bench.pooled:application"),
    ),
    "waitress": (  # one process: it has no others
        *(sys.executable, "-m", "waitress", "--listen=127.0.0.1:{port}", "--threads=32"),
        *("--connection-limit=2000", "--inbuf-overflow=30000000", "--outbuf-overflow=30000000"),
        *("--asyncore-use-poll", "--channel-timeout=20", "bench.pooled:application"),
    ),
}


def main() -> None:
    parser = argparse.ArgumentParser(prog="bench.servers", description=__doc__)
    parser.add_argument("--sqlite", action="store_true")
    parser.add_argument("--rounds", type=int, default=6)
    parser.add_argument("--no-loads", action="store_true", help="throughput alone")
    parser.add_argument("--only", nargs="*", default=list(SERVERS))
    told = parser.parse_args()
    names = [
        name
        for name in told.only
        if name not in {"granian", "waitress"} or importlib.util.find_spec(name)
    ]
    found: dict[str, dict[str, list[float]]] = {n: defaultdict(list) for n in names}
    with staged(sqlite=told.sqlite) as (scene, _), contextlib.ExitStack() as served:
        scenes = {name: dataclasses.replace(scene) for name in names}
        servers = {n: served.enter_context(serving(scenes[n], *SERVERS[n])) for n in names}
        for its in scenes.values():
            together(4, time.monotonic() + 2, lambda _, its=its: ask(its.address, its.ours))
        for _ in range(told.rounds):
            for connections in (1, 8, 32):
                for name in names:
                    throughput(connections, scenes[name], found[name])
        for name in names:
            found[name]["MiB"].append(resident(servers[name].pid))
            for load in () if told.no_loads else WAITING:
                beside(load, scenes[name], found[name])
    for name in names:
        figures = {what: statistics.median(values) for what, values in found[name].items()}
        print(name, "  ".join(f"{what} {value:,.1f}" for what, value in figures.items()))


def throughput(connections: int, scene: Scene, found: dict[str, list[float]]) -> None:
    """A burst; rounds of all servers alternate, since the machine is shared."""
    taken: list[float] = []

    def one(_: int) -> str:
        began = time.monotonic()
        wrong = ask(scene.address, scene.ours)
        taken.append(time.monotonic() - began)
        return wrong or "ok"

    told = together(connections, time.monotonic() + BURST, one)
    found[f"{connections}: req/s"].append(told.get("ok", 0) / BURST)
    found[f"{connections}: p99 ms"].append(sorted(taken)[int(0.99 * len(taken))] * 1000)
    found[f"{connections}: wrong"].append(sum(told.values()) - told.get("ok", 0))


def beside(load: str, scene: Scene, found: dict[str, list[float]]) -> None:
    """Ten logins a second while clients wait."""
    running = start(load, scene, SECONDS + 6)
    time.sleep(5)
    pressed = logins(scene, SECONDS)
    finish(running)
    found[f"{load}: failed %"].append(100 * pressed.failed / (SECONDS * 10))
    found[f"{load}: p95 ms"].append(pressed.at(0.95) * 1000)


if __name__ == "__main__":
    main()
