"""Requests over connections that stay open, each asked again as soon as it is answered."""

from __future__ import annotations

import contextlib
import dataclasses
import json
import selectors
import socket
import time
from collections.abc import Iterator, Sequence
from typing import Any
from urllib.parse import urlsplit

PATIENCE = 20.0  # seconds


@dataclasses.dataclass
class _Client:
    socket: socket.socket
    request: bytes
    asked_at: float = 0.0
    got: bytes = b""

    def ask(self) -> None:
        self.got = b""
        self.asked_at = time.monotonic()
        self.socket.sendall(self.request)


def burst(
    address: str, requests: Sequence[bytes], seconds: float, pause: float = 0.0
) -> tuple[list[float], int]:
    """One connection for each request: the latencies in seconds of what was answered with 200,
    and how many weren't. With a `pause`, that of one connection as people ask: each page rests
    in proportion to the one before it, if that just ended."""
    place = urlsplit(address)
    taken: list[float] = []
    failed = 0
    with selectors.DefaultSelector() as ready, contextlib.ExitStack() as stack:
        for request in requests:
            sock = socket.create_connection((place.hostname or "", place.port or 80), PATIENCE)
            stack.callback(sock.close)
            client = _Client(sock, request)
            ready.register(sock, selectors.EVENT_READ, client)
            client.ask()
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
                time.sleep(pause)
                client.ask()
    return taken, failed


def _readable(ready: selectors.BaseSelector, seconds: float) -> Iterator[_Client]:
    for key, _ in ready.select(seconds):
        yield key.data


def _whole(answer: bytes) -> int | None:
    """The status of an answer that has come whole."""
    head, end, body = answer.partition(b"\r\n\r\n")
    if not end:
        return None
    _, _, length = head.lower().partition(b"content-length:")
    if not length:
        raise AssertionError("An answer without its length.")
    return int(answer[9:12]) if len(body) >= int(length.split(None, 1)[0]) else None


def login_request(address: str, token: str, project: str, image: str) -> bytes:
    """The request for a login, as a worker sends it."""
    body = json.dumps({"project": project, "image": image}).encode()
    return _request(
        "POST",
        address,
        "/api/v0/docker-login/",
        {
            "Authorization": f"Token {token}",
            "Content-Type": "application/json",
            "Content-Length": len(body),
        },
        body,
    )


def page_request(address: str, path: str, cookies: str) -> bytes:
    """The request for a page, as a browser sends it; `cookies` as in its header."""
    return _request("GET", address, path, {"Cookie": cookies, "Accept": "text/html"})


def _request(
    method: str, address: str, path: str, head: dict[str, Any], body: bytes = b""
) -> bytes:
    head = {"Host": urlsplit(address).netloc, **head}
    lines = "".join(f"{name}: {value}\r\n" for name, value in head.items())
    return f"{method} {path} HTTP/1.1\r\n{lines}\r\n".encode() + body
