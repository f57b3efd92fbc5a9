"""TLS in front of the served product, since browsers keep passkeys and more from plain HTTP."""

from __future__ import annotations

import socket
import ssl
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from urllib.parse import urlsplit

from tests.support.certificates import make_certificates


@contextmanager
def tls(address: str, host: str) -> Iterator[str]:
    """Where `address` is reached by TLS, as HOST:PORT; by a certificate that nobody trusts."""
    given = urlsplit(address)
    assert given.hostname and given.port
    behind = (given.hostname, given.port)
    with tempfile.TemporaryDirectory(prefix="certificates-") as directory:
        _, certificate = make_certificates(Path(directory), host)
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(certificate)
    with socket.create_server(("127.0.0.1", 0), backlog=128) as listening:
        threading.Thread(target=_accept, args=(listening, context, behind), daemon=True).start()
        yield "{}:{}".format(*listening.getsockname())


def _accept(listening: socket.socket, context: ssl.SSLContext, behind: tuple[str, int]) -> None:
    with suppress(OSError):
        while True:
            plain, _ = listening.accept()
            threading.Thread(target=_relay, args=(plain, context, behind), daemon=True).start()


def _relay(plain: socket.socket, context: ssl.SSLContext, behind: tuple[str, int]) -> None:
    with suppress(OSError), context.wrap_socket(plain, server_side=True) as client:
        with socket.create_connection(behind) as server:
            back = threading.Thread(target=_copy, args=(server, client), daemon=True)
            back.start()
            _copy(client, server)
            back.join()


def _copy(source: socket.socket, target: socket.socket) -> None:
    with suppress(OSError):
        while some := source.recv(65536):
            target.sendall(some)
    for each in (source, target):
        with suppress(OSError):
            each.shutdown(socket.SHUT_RDWR)
