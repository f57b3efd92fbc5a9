"""Twenty logins a second, by plain HTTP and by the worker's real helper, and what came of them."""

from __future__ import annotations

import http.client
import json
import os
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

from bench.pressure.scene import HOST, IMAGE, Side

RATE = 20.0  # a second
HELPERS = 2.0  # a second: a process each
PATIENCE = 25.0  # seconds
ROOT = Path(__file__).resolve().parents[2]


@dataclass(frozen=True)
class Asked:
    """One login: when it was asked for (monotonic), how long it took, "" or what went wrong."""

    at: float
    took: float
    wrong: str


@dataclass
class Told:
    """All of a fault's logins, in the order in which they were answered."""

    plain: list[Asked] = field(default_factory=list)
    helped: list[Asked] = field(default_factory=list)

    def failures(self, since: float = 0.0) -> Counter[str]:
        return Counter(one.wrong for one in self.plain if one.wrong and one.at >= since)

    def slowest_failure(self) -> float:
        """Seconds that anyone waited to be told of a failure."""
        return max((one.took for one in self.plain if one.wrong), default=0.0)

    def back_after(self, moment: float) -> float:
        """Seconds from a moment until logins came without a failure after it."""
        last = max((one.at + one.took for one in self.plain if one.wrong), default=moment)
        return max(0.0, last - moment)


def ask(address: str, side: Side) -> str:
    """One login over a connection of its own; "" or the status and code, or the error."""
    client = http.client.HTTPConnection(urlsplit(address).netloc, timeout=PATIENCE)
    body = json.dumps({"project": side.project, "image": IMAGE})
    headers = {"Authorization": f"Token {side.token}", "Content-Type": "application/json"}
    try:
        client.request("POST", "/api/v0/docker-login/", body, headers)
        answer = client.getresponse()
        told = answer.read()
        if answer.status == 200:
            return "" if b'"password"' in told else "200 without a login"
        try:
            return f"{answer.status} {json.loads(told)['code']}"
        except (ValueError, KeyError, TypeError):
            return str(answer.status)
    except (OSError, http.client.HTTPException) as error:
        return type(error).__name__
    finally:
        client.close()


class Helper:
    """The worker's program, with a copy of the login that has to be asked for anew each time."""

    def __init__(self, address: str, side: Side, directory: Path) -> None:
        self.directory = directory
        self.environment = {
            "PATH": os.environ["PATH"],
            "HOME": str(directory),
            "XDG_CACHE_HOME": str(directory),
            "VALOHAI_REGISTRIES_URL": address,
            "VALOHAI_REGISTRIES_TOKEN": side.token,
            "VALOHAI_PROJECT": side.project,
            "VALOHAI_IMAGE": IMAGE,
        }

    def get(self) -> str:
        """ "" or what went wrong."""
        self._age()
        command = [sys.executable, str(ROOT / "worker" / "docker-credential-valohai"), "get"]
        ended = subprocess.run(
            command, input=HOST, env=self.environment, capture_output=True, text=True, timeout=60
        )
        if ended.returncode == 0 and '"Secret"' in ended.stdout:
            return ""
        return (ended.stderr.split(":")[0] or ended.stdout).strip()[:60]

    def _age(self) -> None:
        """What is kept is no longer fresh, and hasn't ended."""
        for file in self.directory.rglob("*"):
            if file.suffix == ".answer":
                file.unlink()
            elif file.suffix == ".json":
                kept = json.loads(file.read_text())
                file.write_text(json.dumps(kept | {"fresh_until": 0}))


@contextmanager
def steady(address: str, side: Side) -> Iterator[Told]:
    """Ask for logins for as long as the block lasts; all are told when it ends."""
    told, stop = Told(), threading.Event()

    def one(due: float, work, found: list[Asked]) -> None:
        wrong = work()
        found.append(Asked(due, time.monotonic() - due, wrong))

    def all_of(rate: float, work, found: list[Asked], pool: ThreadPoolExecutor) -> None:
        due = time.monotonic()
        while not stop.wait(max(0.0, due - time.monotonic())):
            pool.submit(one, due, work, found)
            due += 1 / rate

    # Not on the disk that a fault fills.
    with tempfile.TemporaryDirectory(prefix="helper-", dir="/var/tmp") as directory:
        helper = Helper(address, side, Path(directory))
        if wrong := helper.get():
            raise RuntimeError(f"the helper's first login failed: {wrong}")
        with ThreadPoolExecutor(600) as plain, ThreadPoolExecutor(1) as one_by_one:
            loads = [
                (RATE, lambda: ask(address, side), told.plain, plain),
                (HELPERS, helper.get, told.helped, one_by_one),
            ]
            threads = [threading.Thread(target=all_of, args=load) for load in loads]
            for thread in threads:
                thread.start()
            try:
                yield told
            finally:
                stop.set()
                for thread in threads:
                    thread.join()
