"""`python -m bench.logins [--sqlite] [--rounds 6]`: cached logins over HTTP, beside two views.

The product, the floor and the bare view (`bench.floor`), each served by `gunicorn.conf.py`
on the same database; bursts over connections that stay open, in turn, since a machine
drifts. Prints the medians of the rounds, and their ratios.
"""

from __future__ import annotations

import argparse
import contextlib
import dataclasses
import json
import selectors
import socket
import statistics
import sys
import time
from collections import defaultdict
from collections.abc import Iterator
from typing import Any
from urllib.parse import urlsplit

from .pressure.scene import IMAGE, Scene
from .pressure.staging import serving, staged

BURST = 3.0  # seconds
CONNECTIONS = (1, 8, 32)
PATIENCE = 20.0  # seconds
NAMES = ("ours", "floor", "bare")
FLOOR = (sys.executable, "-m", "gunicorn", "bench.floor.wsgi")
Figures = dict[str, dict[str, float]]


@dataclasses.dataclass
class Client:
    """One connection that asks again as soon as it is answered, with a token of its own."""

    socket: socket.socket
    request: bytes
    asked_at: float = 0.0
    got: bytes = b""


def main() -> None:
    parser = argparse.ArgumentParser(prog="bench.logins", description=__doc__)
    parser.add_argument("--sqlite", action="store_true")
    parser.add_argument("--rounds", type=int, default=6)
    parser.add_argument("--json", action="store_true")
    told = parser.parse_args()
    found = measured(sqlite=told.sqlite, rounds=told.rounds)
    if told.json:
        print(json.dumps(found))
        return
    for name, figures in found.items():
        print(f"{name:<7}", "  ".join(f"{what} {value:,.2f}" for what, value in figures.items()))


def measured(*, sqlite: bool, rounds: int) -> Figures:
    """For each name and number of connections: requests a second, p50 and p99 in ms, how
    many failed, and what share of the others' throughput it has."""
    taken: dict[str, dict[str, list[float]]] = {name: defaultdict(list) for name in NAMES}
    with staged(sqlite=sqlite) as (scene, _), contextlib.ExitStack() as stack:
        scenes = {name: dataclasses.replace(scene) for name in NAMES}
        for name in NAMES:
            if name == "ours":
                stack.enter_context(serving(scenes[name]))
                continue
            own = {"DJANGO_SETTINGS_MODULE": "bench.floor.settings", "FLOOR_VIEW": name}
            stack.enter_context(serving(scenes[name], *FLOOR, **own))
        tokens = _tokens(scene, max(CONNECTIONS))
        for name in NAMES:
            burst(scenes[name], tokens, max(CONNECTIONS), 1.0)
        for _ in range(rounds):
            for connections in CONNECTIONS:
                rates = {}
                for name in NAMES:
                    answered, failed = burst(scenes[name], tokens, connections, BURST)
                    rates[name] = len(answered) / BURST
                    _note(taken[name], connections, answered, failed, rates[name])
                for other in NAMES[1:]:
                    share = rates["ours"] / rates[other]
                    taken["ours"][f"{connections}: of {other}"].append(share)
    return {
        name: {what: statistics.median(values) for what, values in figures.items()}
        for name, figures in taken.items()
    }


def _tokens(scene: Scene, count: int) -> list[str]:
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


def burst(
    scene: Scene, tokens: list[str], connections: int, seconds: float
) -> tuple[list[float], int]:
    """The latencies of what was answered with a login, and how many weren't."""
    place = urlsplit(scene.address)
    taken: list[float] = []
    failed = 0
    with selectors.DefaultSelector() as ready, contextlib.ExitStack() as stack:
        for number in range(connections):
            sock = socket.create_connection((place.hostname or "", place.port or 80), PATIENCE)
            stack.callback(sock.close)
            client = Client(sock, _request(scene, tokens[number]))
            ready.register(sock, selectors.EVENT_READ, client)
            _ask(client)
        until = time.monotonic() + seconds
        while (now := time.monotonic()) < until:
            for client in _readable(ready, until - now):
                client.got += client.socket.recv(65_536)
                if (status := _whole(client.got)) is None:
                    continue
                if status == 200:
                    taken.append(time.monotonic() - client.asked_at)
                else:
                    failed += 1
                _ask(client)
    return taken, failed


def _readable(ready: selectors.BaseSelector, seconds: float) -> Iterator[Client]:
    for key, _ in ready.select(seconds):
        yield key.data


def _ask(client: Client) -> None:
    client.got = b""
    client.asked_at = time.monotonic()
    client.socket.sendall(client.request)


def _whole(answer: bytes) -> int | None:
    """The status of an answer that has come whole."""
    head, end, body = answer.partition(b"\r\n\r\n")
    if not end:
        return None
    _, _, length = head.lower().partition(b"content-length:")
    if not length:
        raise AssertionError("An answer without its length.")
    return int(answer[9:12]) if len(body) >= int(length.split(None, 1)[0]) else None


def _request(scene: Scene, token: str) -> bytes:
    body = json.dumps({"project": scene.ours.project, "image": IMAGE}).encode()
    place = urlsplit(scene.address).netloc
    head: dict[str, Any] = {
        "Host": place,
        "Authorization": f"Token {token}",
        "Content-Type": "application/json",
        "Content-Length": len(body),
    }
    lines = "".join(f"{name}: {value}\r\n" for name, value in head.items())
    return f"POST /api/v0/docker-login/ HTTP/1.1\r\n{lines}\r\n".encode() + body


if __name__ == "__main__":
    main()
