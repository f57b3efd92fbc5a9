"""Measure logins alone and beside a load; a line of a table each, and one JSON line."""

from __future__ import annotations

import argparse
import dataclasses
import json
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

from .loads import LOADS
from .memory import watched
from .probe import Latencies, ask, logins
from .scene import Scene
from .staging import serving, staged

HEAD = (
    f"{'load':<12}{'':>8}{'p50 ms':>9}{'p95 ms':>9}{'p99 ms':>10}{'failed':>12}"
    f"{'p95 ×':>8}   memory MiB (before, peak, after)"
)


def main() -> None:
    parser = argparse.ArgumentParser(prog="bench.pressure", description=__doc__)
    parser.add_argument("loads", nargs="*", metavar="NAME", help=f"of {', '.join(LOADS)}; or all")
    parser.add_argument("--sqlite", action="store_true", help="instead of PostgreSQL")
    parser.add_argument("--quiet", type=float, default=15, help="seconds alone")
    parser.add_argument("--beside", type=float, default=30, help="seconds beside the load")
    told = parser.parse_args()
    if unknown := set(told.loads) - set(LOADS):
        parser.error(f"no such load: {', '.join(sorted(unknown))}")
    print(HEAD, flush=True)
    for name in told.loads or LOADS:
        measured(name, told)


def measured(name: str, told: Any) -> None:
    with staged(sqlite=told.sqlite) as (scene, counts), serving(scene) as server:
        measure(name, scene, server, counts, told)


def measure(name: str, scene: Scene, server: Any, counts: Path, told: Any) -> None:
    for _ in range(20):  # fill caches, in both processes
        ask(scene.address, scene.ours)
    load = LOADS[name]
    alone: dict[str, Any] = {"tasks": load.tasks(scene)} if load.tasks else {}
    quiet = logins(scene, told.quiet)
    with watched(server.pid) as memory:
        running = start(name, scene, told.beside + 3)
        time.sleep(3)  # it signs in first
        beside: dict[str, Any] = {}
        tasks = threading.Thread(target=lambda: beside.update(tasks=load.tasks(scene)))
        if load.tasks:
            tasks.start()
        pressed = logins(scene, told.beside)
        if load.tasks:
            tasks.join()
        own = finish(running)
    hashes = counts / "hashes"
    report = {
        "load": name,
        "database": "sqlite" if told.sqlite else "postgresql",
        "quiet": alone | quiet.told(),
        "beside": beside | pressed.told(),
        "p95_ratio": ratio(pressed, quiet),
        "memory": {key: round(value) for key, value in memory.items()},
        "hashes": hashes.stat().st_size if hashes.exists() else 0,
        "mails": sum(f.read_text().count("\nSubject:") for f in counts.glob("mails/*")),
        "own": own,
    }
    row(name, "quiet", quiet, "")
    row(name, "beside", pressed, report["p95_ratio"], report["memory"])
    print(json.dumps(report), flush=True)


def ratio(pressed: Latencies, quiet: Latencies) -> float:
    return round(pressed.at(0.95) / quiet.at(0.95), 1) if quiet.at(0.95) else 0.0


def row(name: str, when: str, found: Latencies, times: Any, memory: Any = None) -> None:
    asked = len(found.taken) + found.failed
    print(
        f"{name:<12}{when:>8}{found.at(0.5) * 1000:>9.1f}{found.at(0.95) * 1000:>9.1f}"
        f"{found.at(0.99) * 1000:>10.1f}{f'{found.failed} of {asked}':>12}{times:>8}"
        f"   {', '.join(str(value) for value in (memory or {}).values())}",
        flush=True,
    )


def start(name: str, scene: Scene, seconds: float) -> subprocess.Popen[str]:
    """The load, in a process of its own that gives way to the product's."""
    command = [sys.executable, "-m", "bench.pressure.loads", name, str(seconds)]
    running = subprocess.Popen(
        ["nice", "-n", "10", *command], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert running.stdin is not None
    running.stdin.write(json.dumps(dataclasses.asdict(scene)))
    running.stdin.close()
    return running


def finish(running: subprocess.Popen[str]) -> Any:
    """What the load itself saw."""
    assert running.stdout is not None
    try:
        running.wait(120)
    except subprocess.TimeoutExpired:
        running.kill()
        running.wait()
    text = running.stdout.read().strip()
    running.stdout.close()
    return json.loads(text.splitlines()[-1]) if text else {"exit": running.returncode}


if __name__ == "__main__":
    main()
