"""`python -m bench.faults.soak [--minutes 60] [--json]`: two servers behind nginx under a
steady load; what their processes hold, sampled, which should be flat."""

from __future__ import annotations

import argparse
import contextlib
import http.client
import json
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from urllib.parse import urlsplit

import psycopg2

from . import load
from .__main__ import standing
from .faults import House

SAMPLES = 12


@dataclass(frozen=True)
class Held:
    """Of all processes of both servers, and of PostgreSQL: at `at` seconds."""

    at: float
    memory: float  # MiB, resident
    descriptors: int
    threads: int
    connections: int

    def __str__(self) -> str:
        return (
            f"| {self.at / 60:.1f} | {self.memory:.0f} | {self.descriptors} | {self.threads} | "
            f"{self.connections} |"
        )


HEAD = "| minutes | memory, MiB | descriptors | threads | connections |\n|---|---|---|---|---|"


def held(house: House, began: float) -> Held:
    pids = [pid for server in house.servers for pid in server.workers()]
    memory = threads = descriptors = 0
    for pid in pids:
        status = Path(f"/proc/{pid}/status").read_text()
        found = dict(line.split(":", 1) for line in status.splitlines())
        memory += int(found["VmRSS"].split()[0])
        threads += int(found["Threads"])
        descriptors += len(list(Path(f"/proc/{pid}/fd").iterdir()))
    with contextlib.closing(psycopg2.connect(house.database)) as connection:
        cursor = connection.cursor()
        cursor.execute(
            "SELECT count(*) FROM pg_stat_activity "
            "WHERE backend_type = 'client backend' AND pid <> pg_backend_pid()"
        )
        (connections,) = cursor.fetchone()
    return Held(time.monotonic() - began, memory / 1024, descriptors, threads, connections)


@contextlib.contextmanager
def _pages(address: str) -> Iterator[None]:
    """Pages and programs, one after the other, beside the logins."""
    stop = threading.Event()
    paths = ("/accounts/login/", "/guide/", "/worker/docker-credential-valohai", "/nowhere")

    def ask() -> None:
        number = 0
        while not stop.wait(0.2):
            client = http.client.HTTPConnection(urlsplit(address).netloc, timeout=20)
            with contextlib.suppress(OSError, http.client.HTTPException):
                client.request("GET", paths[number % len(paths)])
                client.getresponse().read()
            client.close()
            number += 1

    thread = threading.Thread(target=ask)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join()


def soak(house: House, seconds: float, samples: int = SAMPLES) -> tuple[load.Told, list[Held]]:
    """Load for so long, after a fifth of it to warm up; the samples are evenly apart."""
    address = house.scene.address
    with load.steady(address, house.scene.ours) as told, _pages(address):
        time.sleep(seconds / 5)
        began = time.monotonic()
        found = []
        for number in range(samples):
            due = began + number * seconds * 0.8 / (samples - 1)
            time.sleep(max(0.0, due - time.monotonic()))
            found.append(held(house, began))
            if number % 3 == 1:
                house.due()  # renewed beside the askers
    return told, found


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--minutes", type=float, default=60.0)
    parser.add_argument("--json", action="store_true")
    given = parser.parse_args()
    with standing(short=given.minutes < 5) as house:
        told, found = soak(house, given.minutes * 60)
    helped = sum(bool(one.wrong) for one in told.helped)
    if given.json:
        failed = {"plain": told.failures().total(), "helped": helped, "asked": len(told.plain)}
        print(json.dumps({"held": [asdict(one) for one in found], **failed}))
        return 0
    print(HEAD, *found, sep="\n")
    print(
        f"{len(told.plain)} logins, {told.failures().total()} failed; "
        f"{len(told.helped)} by the helper, {helped} failed"
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())
