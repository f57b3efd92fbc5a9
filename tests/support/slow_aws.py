"""What stands where AWS should, and takes its time: it hangs, drips, or never stops.

A plain TCP server, since no HTTP library would answer like this.
"""

from __future__ import annotations

import contextlib
import select
import socket
import threading
import time
from collections.abc import Iterator

HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: application/x-amz-json-1.1\r\n"


def hanging() -> Iterator[bytes]:
    """Takes the request, and says nothing."""
    yield from iter(lambda: _pause(1.0), None)


def dripping_head() -> Iterator[bytes]:
    """A byte of a header now and then."""
    yield HEAD
    while True:
        yield _pause(0.3) + b"x"


def dripping_body() -> Iterator[bytes]:
    yield HEAD + b"Content-Length: 100000\r\n\r\n{"
    while True:
        yield _pause(0.3) + b" "


def endless_headers() -> Iterator[bytes]:
    yield HEAD
    while True:
        yield b"X-More: and more\r\n" * 100 + _pause(0.01)


def long_headers() -> Iterator[bytes]:
    """Few, and each as long as is read: together more than anyone needs."""
    yield HEAD + b"".join(b"X-%d: %s\r\n" % (n, b"y" * 60_000) for n in range(90))
    yield b"Content-Length: 2\r\n\r\n{}"


def endless_body() -> Iterator[bytes]:
    yield HEAD + b"\r\n{"
    while True:
        yield b" " * 1_000_000


def huge_body() -> Iterator[bytes]:
    """50 MB, as announced."""
    yield HEAD + b"Content-Length: 50000000\r\n\r\n"
    for _ in range(50):
        yield b" " * 1_000_000


def continuing() -> Iterator[bytes]:
    """«Go on» without end, which a client may skip as often as it comes."""
    while True:
        yield b"HTTP/1.1 100 Continue\r\n\r\n" * 100 + _pause(0.01)


def closing() -> Iterator[bytes]:
    yield b""


KINDS = (
    hanging,
    dripping_head,
    dripping_body,
    endless_headers,
    long_headers,
    endless_body,
    huge_body,
    continuing,
    closing,
)


def _pause(seconds: float) -> bytes:
    time.sleep(seconds)
    return b""


class SlowAws:
    """`with SlowAws(kind) as aws`; `asked` counts the requests that came."""

    def __init__(self, kind) -> None:
        self._kind = kind
        self.asked = 0

    def __enter__(self) -> SlowAws:
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=50)
        self.url = f"http://127.0.0.1:{self._listener.getsockname()[1]}"
        threading.Thread(target=self._accept, name="slow-aws", daemon=True).start()
        return self

    def __exit__(self, *exc_info: object) -> None:
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                sock, _ = self._listener.accept()
                self.asked += 1
                threading.Thread(target=self._answer, args=(sock,), daemon=True).start()

    def _answer(self, sock: socket.socket) -> None:
        with contextlib.suppress(OSError), contextlib.closing(sock):
            sock.settimeout(30)
            sock.recv(65536)
            for piece in self._kind():
                sock.sendall(piece or b"")
                if self._gone(sock):
                    return

    @staticmethod
    def _gone(sock: socket.socket) -> bool:
        """Whether the client hung up, so that no thread stays behind a test."""
        readable, _, _ = select.select([sock], [], [], 0)
        return bool(readable) and sock.recv(65536) == b""
