"""Clients that keep a server waiting, and a worker that asks for its login meanwhile."""

from __future__ import annotations

import contextlib
import http.client
import json
import resource
import socket
from collections.abc import Iterator
from urllib.parse import urlsplit

from tests.conftest import HOST

IMAGE = f"{HOST}/my-ml-image:v1.0"
HEAD = b"POST /accounts/login/ HTTP/1.1\r\nHost: localhost\r\n"
# With these Django reads the body before it refuses; without, the head is enough for it.
FORM = (
    b"Content-Type: application/x-www-form-urlencoded\r\nCookie: csrftoken=" + b"a" * 32 + b"\r\n"
)
PROGRAM = b"GET /worker/docker-credential-valohai HTTP/1.1\r\nHost: localhost\r\n\r\n"
KINDS = {
    "silent": b"",
    "one byte": b"P",
    "a head without its end": HEAD + b"X-More: ",
    "a body of one byte": HEAD + FORM + b"Content-Length: 10000000\r\n\r\na",
    "answers not taken": PROGRAM * 120,
    "idle": b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n",
}


@contextlib.contextmanager
def waiting(address: str, sent: bytes, count: int, source: str = "127.0.0.1") -> Iterator[None]:
    """So many connections that have sent this and do nothing more."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(hard, max(soft, 4096)), hard))
    there = urlsplit(address)
    with contextlib.ExitStack() as stack:
        for _ in range(count):
            client = stack.enter_context(socket.socket())
            client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 2048)
            client.settimeout(10)
            client.bind((source, 0))
            client.connect((there.hostname, there.port))
            client.sendall(sent)
        yield


def login(address: str, token: str, project: object, timeout: float = 5) -> int:
    """The status of asking for a login; raises where there is no answer in time."""
    connection = http.client.HTTPConnection(urlsplit(address).netloc, timeout=timeout)
    headers = {"Authorization": f"Token {token}", "Content-Type": "application/json"}
    body = json.dumps({"project": str(project), "image": IMAGE})
    try:
        connection.request("POST", "/api/v0/docker-login/", body, headers)
        response = connection.getresponse()
        response.read()
        return response.status
    finally:
        connection.close()
