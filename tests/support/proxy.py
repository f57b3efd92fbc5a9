"""A forward proxy, as operators have one between a server and the internet: it wants a
password where it has one, looks hosts up by itself, and tunnels what is asked of it."""

from __future__ import annotations

import base64
import contextlib
import socket
import threading
from collections.abc import Callable, Iterator

# Where a host and port lead to; None where they lead nowhere.
Route = Callable[[str, int], tuple[str, int] | None]
TUNNELS = b"HTTP/1.1 200 Connection established\r\n\r\n"


def refuses(status: int) -> bytes:
    return f"HTTP/1.1 {status} Said\r\nContent-Length: 0\r\n\r\n".encode()


class Proxy:
    """`with Proxy(route) as proxy`; `asked` are the heads it got. `login` is `user:password`,
    `says` what it answers in pieces, where it doesn't do its work."""

    def __init__(
        self,
        route: Route,
        *,
        login: str = "",
        says: Callable[[], Iterator[bytes]] | None = None,
    ) -> None:
        self.asked: list[str] = []
        self._route, self._login, self._says = route, login, says
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = self._listener.getsockname()[1]

    def __enter__(self) -> Proxy:
        threading.Thread(target=self._serve, name="proxy", daemon=True).start()
        return self

    def __exit__(self, *exc_info: object) -> None:
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()

    def _serve(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                sock, _ = self._listener.accept()
                threading.Thread(target=self._lead, args=(sock,), daemon=True).start()

    def _lead(self, near: socket.socket) -> None:
        with contextlib.suppress(OSError), near:
            near.settimeout(10)
            head = b""
            while b"\r\n\r\n" not in head:
                head += near.recv(1)
            self.asked.append(head.decode())
            if self._says is not None:
                for piece in self._says():
                    near.sendall(piece)
                return
            wanted = base64.b64encode(self._login.encode()).decode()
            if self._login and f"\r\nProxy-Authorization: Basic {wanted}\r\n" not in head.decode():
                near.sendall(refuses(407))
                return
            method, target, _ = head.decode().split(" ", 2)
            host, _, port = target.rpartition(":")
            to = self._route(host.strip("[]"), int(port)) if method == "CONNECT" else None
            if to is None:
                near.sendall(refuses(502))
                return
            with socket.create_connection(to, 10) as far:
                near.sendall(TUNNELS)
                back = threading.Thread(target=_copy, args=(far, near), daemon=True)
                back.start()
                _copy(near, far)
                back.join(5)


def _copy(source: socket.socket, target: socket.socket) -> None:
    with contextlib.suppress(OSError):
        while piece := source.recv(65536):
            target.sendall(piece)
        target.shutdown(socket.SHUT_WR)
