"""An internet of one test: a DNS that says what it's told, and real TLS servers behind it.

Names lead to public addresses, as the rules on outbound requests want, and only the last
step, the TCP connection, is turned to a server on loopback.
"""

from __future__ import annotations

import contextlib
import json
import socket
import ssl
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from django.conf import settings

from orgs.registries import outbound
from orgs.registries.types import Provider
from tests.support.certificates import make_certificates

HOST = "registry.example.com"


@dataclass(frozen=True)
class Request:
    """What reached a server: its first line's two words, and the headers in lower case."""

    method: str
    target: str
    headers: dict[str, str]

    @property
    def authorization(self) -> str:
        return self.headers.get("authorization", "")


# Gives the bytes to send, in as many pieces as it likes; the connection is closed after it.
Script = Callable[[Request], Iterator[bytes] | bytes]


def reply(status: int, body: object = b"", **headers: str) -> bytes:
    """An HTTP answer; what isn't bytes goes out as JSON. `www_authenticate` is a header's name."""
    content = body if isinstance(body, bytes) else json.dumps(body).encode()
    lines = [f"HTTP/1.1 {status} Said", f"Content-Length: {len(content)}"]
    lines += [f"{name.replace('_', '-')}: {value}" for name, value in headers.items()]
    return "\r\n".join([*lines, "", ""]).encode() + content


@dataclass
class Server:
    """One scripted server; `requests` are those it got, in their order."""

    address: str
    requests: list[Request] = field(default_factory=list)


class Internet:
    """`with Internet(directory, monkeypatch) as internet`: hosts are `*.example.com`.

    `lookups` and `dials` are what was asked of the DNS, and the addresses connected to.
    """

    def __init__(self, directory: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.ca_file, self.server_file = make_certificates(directory, HOST)
        self.lookups: list[str] = []
        self.dials: list[tuple[str, int]] = []
        self._answers: dict[str, list[list[str]]] = {}
        self._routes: dict[tuple[str, int], tuple[str, int]] = {}
        self.hidden: dict[str, list[str]] = {}  # names that only a proxy's DNS knows
        self._cleanup = contextlib.ExitStack()
        self._ask_system = socket.getaddrinfo
        monkeypatch.setenv("SSL_CERT_FILE", str(self.ca_file))
        monkeypatch.setattr(socket, "getaddrinfo", self._getaddrinfo)
        monkeypatch.setattr(outbound, "_dial", self._dial)

    def __enter__(self) -> Internet:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self._cleanup.close()

    def name(self, host: str, *answers: list[str]) -> None:
        """Let a name lead to these addresses, one answer per look-up, the last for good."""
        self._answers[host] = list(answers)

    def route(self, address: str, port: int, to: tuple[str, int]) -> None:
        """Let connections to an address end at a server on this machine."""
        self._routes[address, port] = to

    def behind(self, host: str, port: int) -> tuple[str, int] | None:
        """The server that a name and port lead to in the end, as a proxy finds it, whose DNS
        may know more than ours."""
        for address in (self._answers.get(host) or [[host]])[-1] or self.hidden.get(host, []):
            if to := self._routes.get((address, port)):
                return to
        return None

    def serve(
        self, script: Script, host: str = HOST, port: int = 443, *, server_file: Path | None = None
    ) -> Server:
        """Start a TLS server that a name and port lead to from now on."""
        tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        tls.load_cert_chain(server_file or self.server_file)
        server = Server(f"8.8.8.{len(self._routes) + 1}")
        listener = socket.create_server(("127.0.0.1", 0))
        self._cleanup.callback(listener.close)
        # shutdown wakes the accept that close alone would leave waiting
        self._cleanup.callback(lambda: listener.shutdown(socket.SHUT_RDWR))
        self.name(host, [server.address])
        self.route(server.address, port, listener.getsockname())

        def accept() -> None:
            with contextlib.suppress(OSError):
                while True:
                    raw, _ = listener.accept()
                    threading.Thread(
                        target=_converse, args=(raw, tls, server, script), daemon=True
                    ).start()

        threading.Thread(target=accept, name="internet", daemon=True).start()
        return server

    def _getaddrinfo(self, host: str, port: int, *args: Any, **kwargs: Any) -> list[Any]:
        answers = self._answers.get(host)
        if answers is None:
            return self._ask_system(host, port, *args, **kwargs)
        self.lookups.append(host)
        found = answers.pop(0) if len(answers) > 1 else answers[0]
        if not found:
            raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")
        kinds = [socket.AF_INET6 if ":" in address else socket.AF_INET for address in found]
        return [
            (kind, socket.SOCK_STREAM, socket.IPPROTO_TCP, "", (address, port))
            for kind, address in zip(kinds, found, strict=True)
        ]

    def _dial(self, address: str, port: int, timeout: float) -> socket.socket:
        fakes = {getattr(settings, f"{cloud}_ENDPOINT_URL") for cloud in Provider}
        if f"http://{address}:{port}" in fakes:  # which are no part of it
            return socket.create_connection((address, port), timeout)
        self.dials.append((address, port))
        if (address, port) not in self._routes:
            raise ConnectionRefusedError
        return socket.create_connection(self._routes[address, port], timeout)


def _converse(raw: socket.socket, tls: ssl.SSLContext, server: Server, script: Script) -> None:
    """One request and its answer; a client that hangs up is its own test's to explain."""
    with contextlib.suppress(OSError), contextlib.closing(raw):
        raw.settimeout(30)
        with tls.wrap_socket(raw, server_side=True) as sock, sock.makefile("rb") as lines:
            method, target, _ = lines.readline().decode().split(" ", 2)
            headers = {}
            while line := lines.readline().decode().strip():
                name, _, value = line.partition(":")
                headers[name.lower()] = value.strip()
            lines.read(int(headers.get("content-length", 0)))  # unread, it would reset the answer
            request = Request(method, target, headers)
            server.requests.append(request)
            said = script(request)
            for piece in [said] if isinstance(said, bytes) else said:
                sock.sendall(piece)
