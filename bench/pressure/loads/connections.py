"""Clients that keep the server waiting: with a head, with a body, with taking an answer."""

from __future__ import annotations

import contextlib
import itertools
import resource
import socket
import time
from collections.abc import Callable
from urllib.parse import urlsplit

from ..people import SIGN_IN, Person
from ..scene import Scene

COUNT = 1200  # what one machine opens with ease
READERS = 200


def connect(address: str, receive: int = 0) -> socket.socket:
    """A connection; `receive` bytes are all that it takes before it reads."""
    there = urlsplit(address)
    made = socket.socket()
    if receive:
        made.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive)
    made.settimeout(5)
    made.connect((there.hostname or "", there.port or 80))
    return made


def half_open(scene: Scene, seconds: float) -> dict[str, object]:
    """Connections that send one byte of a head and wait; who is cut off comes again."""
    return _held(scene.address, seconds, [lambda _: b"P"])


def slow_bodies(scene: Scene, seconds: float) -> dict[str, object]:
    """A whole head that says 10 MB, and a byte a second of it. With a cookie that Django
    looks at only together with the body: without, it refuses by the head."""
    head = (
        f"POST {SIGN_IN} HTTP/1.1\r\nHost: localhost\r\nContent-Length: 10000000\r\n"
        f"Content-Type: application/x-www-form-urlencoded\r\nCookie: csrftoken={'a' * 32}\r\n\r\n"
    ).encode()
    return _held(scene.address, seconds, [lambda _: head], drip=b"a")


def slow_readers(scene: Scene, seconds: float) -> dict[str, object]:
    """Who asks for much and takes none of it: a member's exports of the audit log, and the
    largest static file, by nobody."""
    person = Person(scene.address, scene.theirs.admin)
    session = f"sessionid={person.session.cookies['sessionid']}"
    export = f"/organizations/{scene.theirs.slug}/audit/export.csv"
    nobodys = "/static/admin/js/vendor/xregexp/xregexp.js"
    asked = [
        f"GET {path} HTTP/1.1\r\nHost: {urlsplit(scene.address).netloc}\r\n{cookie}\r\n".encode()
        for path, cookie in [(export, f"Cookie: {session}\r\n"), *[(nobodys, "")] * 19]
    ]
    sent: list[Callable[[int], bytes]] = [lambda _, text=text: text for text in asked]
    return _held(scene.address, seconds, sent, count=READERS, receive=2048)


def _held(
    address: str,
    seconds: float,
    sent: list[Callable[[int], bytes]],
    *,
    count: int = COUNT,
    drip: bytes = b"",
    receive: int = 0,
) -> dict[str, object]:
    """Keep `count` connections open, each having sent its bytes, and a drip a second."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(hard, 4096), hard))
    until = time.monotonic() + seconds
    held: list[socket.socket] = []
    turns = itertools.cycle(sent)
    opened = ended = 0
    while time.monotonic() < until:
        for connection in list(held):
            if _over(connection, drip, looks=not receive):
                held.remove(connection)
                connection.close()
                ended += 1
        with contextlib.suppress(OSError):
            while len(held) < count and time.monotonic() < until:
                connection = connect(address, receive)
                connection.sendall(next(turns)(opened))
                connection.setblocking(False)
                held.append(connection)
                opened += 1
        time.sleep(1)
    return {"opened": opened, "ended by the server": ended, "held at the end": len(held)}


def _over(connection: socket.socket, drip: bytes, looks: bool) -> bool:
    """Whether the server has ended it, or answered."""
    try:
        if drip:
            connection.send(drip)
        return looks and connection.recv(1, socket.MSG_PEEK) is not None
    except BlockingIOError:
        return False
    except OSError:
        return True
