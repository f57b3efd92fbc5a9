"""Two servers in networks of their own, one cut off and back (Linux, as root)."""

from __future__ import annotations

import contextlib
import os
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

from tests.support import tied_to_us

from .house import Server

US, IT = "10.203.7.1", "10.203.7.2"
NAME = "registries"
_FORWARD = """
import asyncio, sys
async def pump(r, w):
    try:
        while data := await r.read(65536):
            w.write(data)
            await w.drain()
    except OSError:
        pass
    w.close()
async def one(r, w):
    try:
        to = await asyncio.open_connection("127.0.0.1", int(sys.argv[2]))
    except OSError:
        return w.close()
    await asyncio.gather(pump(r, to[1]), pump(to[0], w))
async def main():
    server = await asyncio.start_server(one, sys.argv[1], int(sys.argv[2]))
    async with server:
        await server.serve_forever()
asyncio.run(main())
"""


def _ip(*command: str) -> None:
    subprocess.run(["ip", *command], check=True, capture_output=True)


@contextlib.contextmanager
def apart(*ports: int) -> Iterator[None]:
    """A network namespace with a way to these ports of ours, by one address."""
    if os.geteuid() or not shutil.which("ip"):
        raise LookupError("networks of their own take root and iproute2")
    _ip("netns", "add", NAME)
    with contextlib.ExitStack() as stack:
        stack.callback(_ip, "netns", "del", NAME)
        _ip("link", "add", "faults0", "type", "veth", "peer", "name", "faults1", "netns", NAME)
        _ip("addr", "add", f"{US}/30", "dev", "faults0")
        _ip("link", "set", "faults0", "up")
        for command in (f"addr add {IT}/30 dev faults1", "link set faults1 up", "link set lo up"):
            _ip("-n", NAME, *command.split())
        for port in ports:
            command = [sys.executable, "-c", _FORWARD, US, str(port)]
            forward = stack.enter_context(subprocess.Popen(tied_to_us(command)))
            stack.callback(forward.terminate)
        time.sleep(0.5)
        yield


def cut(down: bool) -> None:
    _ip("link", "set", "faults0", "down" if down else "up")


class Apart(Server):
    """A server in that namespace."""

    host = IT
    before = ("ip", "netns", "exec", NAME)

    def start(self, **more: str) -> None:
        super().start(GUNICORN_CMD_ARGS=f"--bind 0.0.0.0:{self.port}", **more)


def reached(url: str) -> tuple[str, int]:
    """(the address by which that server reaches what we reach at `url`, its port)."""
    port = urlsplit(url).port
    assert port is not None
    return url.replace("127.0.0.1", US), port


def server(log: Path, database: str, aws: str) -> tuple[Apart, list[int]]:
    """One that reaches both by that way, and the ports that it takes."""
    (database, one), (aws, other) = reached(database), reached(aws)
    found = Apart(log, DATABASE_URL=database, AWS_ENDPOINT_URL=aws, ALLOWED_HOSTS="*")
    return found, [one, other]


def is_cut(address: str) -> bool:
    there = urlsplit(address)
    try:
        with socket.create_connection((there.hostname or "", there.port or 80), 1):
            return False
    except OSError:
        return True
