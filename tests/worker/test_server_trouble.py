"""A server that is dead, slow, busy, redirecting or altered, and the ways to it."""

from __future__ import annotations

import contextlib
import socket
import threading
import time
from collections.abc import Iterator
from email.utils import formatdate
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import HOST
from tests.support.certificates import make_certificates

from .conftest import TOKEN, FakeServer, Reply, Worker, at, docker_login, refusal

pytestmark = pytest.mark.once
BUSY = refusal(503, "busy", "Others wait already.", Retry_After="1")


def test_busy_is_asked_again_after_what_it_says(worker: Worker, server: FakeServer) -> None:
    server.replies = [BUSY, docker_login()]
    assert worker.password() == "first"
    first, second = server.asked
    assert 1 <= second.at - first.at < 2


def test_retry_after_may_be_a_date(worker: Worker, server: FakeServer) -> None:
    date = formatdate(time.time() + 2, usegmt=True)
    server.replies = [refusal(429, "rate_limited", Retry_After=date), docker_login()]
    assert worker.password() == "first"
    first, second = server.asked
    assert second.at - first.at > 0.5  # a date has whole seconds


def test_it_does_not_wait_for_what_comes_after_its_own_deadline(
    worker: Worker, server: FakeServer
) -> None:
    server.replies = [refusal(503, "throttled", "AWS is busy.", Retry_After="30")]
    started = time.monotonic()
    assert worker.get().stdout == "throttled: AWS is busy.\n"
    assert time.monotonic() - started < 10  # thirty were asked for
    assert len(server.asked) == 1


def test_an_error_without_a_time_is_asked_three_times(worker: Worker, server: FakeServer) -> None:
    server.replies = [Reply(502, b"<h1>Bad Gateway</h1>")]
    done = worker.get()
    assert done.stdout == f"http_502: {server.url} answered 502 without a reason.\n"
    assert len(server.asked) == 3
    assert server.asked[-1].at - server.asked[0].at > 1


def test_a_dead_server(worker: Worker, server: FakeServer) -> None:
    server.close()
    done = worker.get(VALOHAI_REGISTRIES_TIMEOUT="0.3")
    what = f"server_unreachable: {server.url} can't be reached: Connection refused.\n"
    assert done.stdout == what
    assert done.stderr.startswith(what) and "proxy" in done.stderr


@contextlib.contextmanager
def listening(manners: Any) -> Iterator[str]:
    """A server that reads one request, then does what `manners` does with the connection."""
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def serve() -> None:
            with contextlib.suppress(OSError):
                connection, _ = listener.accept()
                with connection:
                    connection.recv(65536)
                    manners(connection)

        threading.Thread(target=serve, daemon=True).start()
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"


def drip(connection: socket.socket) -> None:
    connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 9999\r\n\r\n")
    for _ in range(200):
        connection.sendall(b" ")
        time.sleep(0.05)


@pytest.mark.parametrize("manners", [drip, lambda connection: time.sleep(10)])
def test_the_deadline_is_over_all(worker: Worker, manners: Any) -> None:
    """A byte now and then resets the timeout of a socket, not the deadline."""
    with listening(manners) as url:
        started = time.monotonic()
        done = worker.get(VALOHAI_REGISTRIES_URL=url, VALOHAI_REGISTRIES_TIMEOUT="1")
    assert done.stdout.startswith("server_unreachable: ")
    assert 1 <= time.monotonic() - started < 8  # it drips for ten


def test_the_usual_deadline_is_twenty_seconds() -> None:
    from .test_program import helper

    assert helper.TIMEOUT == 20


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_a_redirect_is_not_followed(worker: Worker, server: FakeServer, status: int) -> None:
    other = FakeServer()
    try:
        server.replies = [Reply(status, b"", {"Location": f"{other.url}/api/v0/docker-login/"})]
        done = worker.get()
        assert done.returncode == 1 and "a token doesn't follow" in done.stderr
        assert other.asked == []
    finally:
        other.close()


def test_not_even_within_the_server(worker: Worker, server: FakeServer) -> None:
    server.replies = [Reply(302, b"", {"Location": "/elsewhere/"})]
    assert worker.get().returncode == 1
    assert len(server.asked) == 1


@pytest.mark.parametrize(
    ("changed", "why"),
    [
        ({"server": "evil.example.com"}, f"isn't for {HOST}"),
        ({"server": f"{HOST}.evil.com"}, f"isn't for {HOST}"),
        ({"server": f"{HOST}:5000"}, f"isn't for {HOST}"),
        ({"server": None}, f"isn't for {HOST}"),
        ({"kind": "basic"}, "known kind"),
        ({"kind": None}, "known kind"),
        ({"username": ""}, "username"),
        ({"password": None}, "password"),
        ({"password": "two\nlines"}, "password"),
        ({"expires_at": at(-5)}, "expired"),
        ({"expires_at": "soon"}, "time"),
        ({"expires_at": 12}, "time"),
        ({"refresh_at": None}, "time"),
    ],
)
def test_altered_answers_are_refused(
    worker: Worker, server: FakeServer, changed: dict[str, Any], why: str
) -> None:
    server.replies = [docker_login(**changed)]
    done = worker.get()
    assert done.returncode == 1
    assert done.stdout.startswith("answer_refused: ") and why in done.stdout
    assert worker.kept() == []


@pytest.mark.parametrize("body", [b"", b"{", b"[]", b"<html>", b"\xff\xfe", b"null"])
def test_answers_that_are_no_json_object(worker: Worker, server: FakeServer, body: bytes) -> None:
    server.replies = [Reply(200, body)]
    assert worker.get().stdout.startswith("answer_refused: ")


@pytest.mark.parametrize("text", ["2030-01-01T00:00:00.123456Z", "2030-01-01T00:00:00+02:00"])
def test_other_ways_to_write_a_time(worker: Worker, server: FakeServer, text: str) -> None:
    server.replies = [docker_login(refresh_at=text, expires_at=text)]
    assert worker.password() == "first"


def test_a_proxy_is_honoured(worker: Worker, server: FakeServer) -> None:
    away = "http://registries.example.com"  # found by the proxy only
    worker.env |= {"VALOHAI_REGISTRIES_URL": away, "http_proxy": server.url}
    assert worker.password() == "first"
    assert server.asked[0].path == f"{away}/api/v0/docker-login/"
    done = worker.get("me/app", no_proxy="example.com", VALOHAI_REGISTRIES_TIMEOUT="0.3")
    assert done.stdout.startswith("server_unreachable: ")
    assert len(server.asked) == 1


class Tunnels:
    """A proxy that leads every CONNECT to one place, and remembers what it was told."""

    def __init__(self, to: tuple[str, int]) -> None:
        self.heard: list[bytes] = []
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self._listener.getsockname()[1]}"
        self._to = to
        threading.Thread(target=self._serve, daemon=True).start()

    def _serve(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                client, _ = self._listener.accept()
                self.heard.append(client.recv(65536))
                onward = socket.create_connection(self._to)
                client.sendall(b"HTTP/1.1 200 Connection established\r\n\r\n")
                for pair in ((client, onward), (onward, client)):
                    threading.Thread(target=self._pipe, args=pair, daemon=True).start()

    def _pipe(self, source: socket.socket, target: socket.socket) -> None:
        with contextlib.suppress(OSError), source:
            while some := source.recv(65536):
                target.sendall(some)
            target.shutdown(socket.SHUT_WR)

    def close(self) -> None:
        self._listener.close()


def test_a_private_authority_behind_a_proxy(
    worker: Worker, server: FakeServer, tmp_path: Path
) -> None:
    ca_file, server_file = make_certificates(tmp_path, "registries.example.com")
    server.use_tls(server_file)
    proxy = Tunnels(server.address)
    url = "https://registries.example.com"  # found by the proxy only
    worker.env |= {"VALOHAI_REGISTRIES_URL": url, "https_proxy": proxy.url}
    try:
        assert worker.password(SSL_CERT_FILE=str(ca_file)) == "first"
        assert server.asked[0].headers["Authorization"] == f"Token {TOKEN}"
        assert proxy.heard[0].startswith(b"CONNECT registries.example.com:443 ")
        assert TOKEN.encode() not in b"".join(proxy.heard)
        done = worker.get("me/app", VALOHAI_REGISTRIES_TIMEOUT="0.5")
        assert done.stdout.startswith(f"server_untrusted: The certificate of {url} isn't trusted: ")
        assert "SSL_CERT_FILE" in done.stderr
        assert len(server.asked) == 1
    finally:
        proxy.close()


def test_the_token_is_in_no_argument_and_only_in_its_header(
    worker: Worker, server: FakeServer
) -> None:
    worker.password()
    (asked,) = server.asked
    others = {name: value for name, value in asked.headers.items() if name != "Authorization"}
    assert TOKEN not in repr(others) + repr(asked.body) + asked.path
