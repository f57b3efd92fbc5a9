"""The faults: each a generator that breaks something, yields while it's broken, and mends it."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psycopg2
from cryptography.fernet import Fernet

from bench.pressure.scene import Scene

from .house import ROOT, Server


@dataclass
class House:
    """What stands: two servers, what they stand on, and how long a fault lasts at most."""

    scene: Scene
    aws: Any
    servers: list[Server]
    database: str  # its URL
    directory: Path
    short: bool
    further: int = 0  # logins that a fault itself was given
    began: float = 0.0  # when the fault did, where that was after its preparations

    def sql(self, *statements: str) -> None:
        with contextlib.closing(psycopg2.connect(self.database)) as connection:
            connection.autocommit = True
            with connection.cursor() as cursor:
                for statement in statements:
                    cursor.execute(statement)

    def due(self) -> None:
        """Every cached login is past its half-life, and nothing is remembered of failures."""
        self.sql(
            "UPDATE orgs_cachedlogin SET refresh_after = now() - interval '1 second', "
            "next_try_at = NULL, lease_id = NULL"
        )

    def cold(self) -> None:
        """No login is cached."""
        self.sql("DELETE FROM orgs_cachedlogin")

    def seconds(self, long: float, short: float) -> float:
        return short if self.short else long


Fault = Callable[[House], Iterator[None]]


@dataclass(frozen=True)
class Named:
    """A fault, what it's called in the table, and what it takes to stand."""

    told: str
    work: Fault
    sqlite: bool
    apart: bool  # the second server in a network of its own


FAULTS: dict[str, Named] = {}


def fault(told: str, *, sqlite: bool = False, apart: bool = False) -> Callable[[Fault], Fault]:
    def named(work: Fault) -> Fault:
        FAULTS[work.__name__.replace("_", "-")] = Named(told, work, sqlite, apart)
        return work

    return named


@fault("a process killed (-9) in the middle of a refresh")
def killed_refreshing(house: House) -> Iterator[None]:
    house.aws.fault("slow", seconds=3)
    for server in house.servers:
        house.due()
        time.sleep(0.5)
        os.kill(server.workers()[0], signal.SIGKILL)
        yield
        time.sleep(house.seconds(10, 4))
    house.aws.clear_faults()


@fault("one server of two killed, all its processes; started again")
def killed_server(house: House) -> Iterator[None]:
    house.servers[0].kill()
    yield
    time.sleep(house.seconds(20, 4))
    house.servers[0].start()


@fault("SIGTERM to one after the other; started again")
def terminated(house: House) -> Iterator[None]:
    for server in house.servers:
        server.stop()
        yield
        time.sleep(house.seconds(5, 0.5))
        server.start()
        time.sleep(2)  # the proxy asks it again after one


@fault("SIGHUP to both")
def hung_up(house: House) -> Iterator[None]:
    for server in house.servers:
        before = set(server.workers())
        server.signal(signal.SIGHUP)
        yield
        while before & set(server.workers()):
            time.sleep(0.1)


@fault("PostgreSQL restarted")
def postgres_restarted(house: House) -> Iterator[None]:
    from tests.support import postgres

    for _ in range(3):
        postgres.halt(house.database)
        postgres.again(house.database)
        yield
        time.sleep(house.seconds(5, 1))


@fault("PostgreSQL gone for 60 s")
def postgres_gone(house: House) -> Iterator[None]:
    from tests.support import postgres

    postgres.halt(house.database)
    yield
    time.sleep(house.seconds(60, 4))
    postgres.again(house.database)


@fault("PostgreSQL hangs for 20 s (stopped, its connections open)")
def postgres_hangs(house: House) -> Iterator[None]:
    from tests.support import postgres

    pid = postgres._running[house.database].process.pid
    children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    stopped = [pid, *map(int, children)]
    for one in stopped:
        os.kill(one, signal.SIGSTOP)
    yield
    time.sleep(house.seconds(20, 4))
    for one in reversed(stopped):
        with contextlib.suppress(ProcessLookupError):
            os.kill(one, signal.SIGCONT)


@fault("PostgreSQL read-only for 20 s")
def postgres_read_only(house: House) -> Iterator[None]:
    house.sql("ALTER SYSTEM SET default_transaction_read_only = on", "SELECT pg_reload_conf()")
    yield
    time.sleep(house.seconds(20, 3))
    house.sql(
        "SET default_transaction_read_only = off",
        "ALTER SYSTEM RESET default_transaction_read_only",
        "SELECT pg_reload_conf()",
    )


@fault("PostgreSQL out of connections for 20 s, those of the servers ended")
def postgres_full(house: House) -> Iterator[None]:
    taken: list[Any] = []
    end_others = (
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
        "WHERE pid <> ALL (%s) AND backend_type = 'client backend'"
    )
    for _ in range(3):  # whoever is quicker has a place
        with contextlib.suppress(psycopg2.OperationalError):
            while True:
                taken.append(psycopg2.connect(house.database))
        with taken[0].cursor() as cursor:
            cursor.execute(end_others, [[one.info.backend_pid for one in taken]])
    yield
    time.sleep(house.seconds(20, 3))
    for connection in taken:
        connection.close()


def _cloud(name: str, told: str, kind: str, seconds: float = 30.0) -> None:
    def broken(house: House) -> Iterator[None]:
        house.aws.fault(kind, seconds=seconds)
        house.due()
        yield
        end = time.monotonic() + house.seconds(15, 3)
        while time.monotonic() < end:  # hours of trying again
            time.sleep(1)
            house.due()
        house.aws.clear_faults()

    broken.__name__ = name
    fault(f"the cloud {told}, a login that is due")(broken)


_cloud("cloud_slow", "takes 3 s", "slow", 3)
_cloud("cloud_hangs", "hangs", "hang")
_cloud("cloud_drops", "drops connections", "drop")
_cloud("cloud_throttles", "throttles", "throttle")
_cloud("cloud_500", "answers 500", "error500")
_cloud("cloud_denies", "denies", "denied")


@fault("50 half-open clients beside 200 who ask at once")
def half_open(house: House) -> Iterator[None]:
    from concurrent.futures import ThreadPoolExecutor

    from tests.real.waiting import KINDS, waiting

    from .load import ask

    address = house.servers[0].address
    with contextlib.ExitStack() as stack:
        for sent in KINDS.values():
            stack.enter_context(waiting(address, sent, 50 // len(KINDS) + 1))
        yield
        with ThreadPoolExecutor(200) as many:
            wrong = list(many.map(lambda _: ask(address, house.scene.ours), range(200)))
        time.sleep(house.seconds(10, 1))
    failed = [one for one in wrong if one]
    house.further += len(wrong) - len(failed)
    if failed:
        raise AssertionError(f"of 200 callers {len(failed)} failed: {failed[:3]}")


@fault("a key of FERNET_KEYS changed while serving, as the guide has it")
def key_rotated(house: House) -> Iterator[None]:
    old, new = os.environ["FERNET_KEYS"], Fernet.generate_key().decode()

    def serve_with(keys: str) -> None:
        for server in house.servers:
            server.stop()
            server.start(FERNET_KEYS=keys)
            time.sleep(2)  # the proxy asks it again after one

    serve_with(f"{new},{old}")
    yield
    own = os.environ | {"FERNET_KEYS": f"{new},{old}"}
    own |= {"DJANGO_SETTINGS_MODULE": "valohai_registries.settings"}
    subprocess.run(
        [sys.executable, "manage.py", "rotate_secrets"], env=own, cwd=ROOT, check=True,
        stdout=subprocess.DEVNULL,
    )  # fmt: skip
    serve_with(new)
    os.environ["FERNET_KEYS"] = new


@fault("this server's clock 10 minutes ahead, one server of two, and set right")
def clock_off(house: House) -> Iterator[None]:
    """By libfaketime, which all of the server's processes read."""
    library = next(Path("/usr/lib").rglob("libfaketimeMT.so.1"), None)
    if library is None:
        raise LookupError("libfaketime isn't installed (apt-get install faketime)")
    rate = house.directory / "faketime"
    rate.write_text("+600")
    server = house.servers[0]
    server.stop()
    # It fakes sleeping by the other clock too, where it isn't told twice not to.
    ahead = {
        "LD_PRELOAD": str(library),
        "FAKETIME_TIMESTAMP_FILE": str(rate),
        "FAKETIME_CACHE_DURATION": "1",
        "DONT_FAKE_MONOTONIC": "1",
        "FAKETIME_DONT_FAKE_MONOTONIC": "1",
    }
    try:
        server.start(**ahead)
        house.due()
        yield
        time.sleep(house.seconds(15, 4))
        rate.write_text("+0")
        house.due()
        time.sleep(house.seconds(10, 3))
    finally:
        server.stop()
        for name in ahead:
            server.more.pop(name, None)
        server.start()


@fault("one server of two cut off from the network for 20 s, and back", apart=True)
def cut_off(house: House) -> Iterator[None]:
    from . import network

    network.cut(True)
    yield
    time.sleep(house.seconds(20, 5))
    network.cut(False)


# --- an upgrade, by the commit before the last migration ------------------------------------


def former() -> tuple[str, str]:
    """(the commit before the one that brought the newest migration, what to migrate to)."""
    migrations = sorted((ROOT / "orgs/migrations").glob("0*.py"))
    found = subprocess.run(
        ["git", "log", "--format=%H", "--diff-filter=A", "--", str(migrations[-1])],
        cwd=ROOT, check=True, capture_output=True, text=True,
    )  # fmt: skip
    if not found.stdout:
        raise LookupError("the newest migration isn't committed")
    return f"{found.stdout.split()[-1]}^", migrations[-2].stem


@fault("upgrade from the former version: migrated while it serves, then one server after the other")
def upgraded(house: House) -> Iterator[None]:
    commit, migration = former()
    tree = house.directory / "former"
    subprocess.run(
        ["git", "worktree", "add", "--quiet", "--detach", str(tree), commit], cwd=ROOT, check=True
    )
    try:
        own = os.environ | {"DJANGO_SETTINGS_MODULE": "valohai_registries.settings"}

        def manage(*command: str) -> None:
            subprocess.run([sys.executable, "manage.py", *command], env=own, cwd=ROOT, check=True,
                           stdout=subprocess.DEVNULL)  # fmt: skip

        for server in house.servers:
            server.stop()
            server.root = tree
        manage("migrate", "orgs", migration, "--verbosity", "0")
        for server in house.servers:
            server.start()
        house.began = time.monotonic()
        time.sleep(house.seconds(10, 2))
        manage("migrate", "--verbosity", "0")
        yield
        time.sleep(house.seconds(5, 1))
        for server in house.servers:
            server.stop()
            server.root = ROOT
            server.start()
            time.sleep(house.seconds(5, 2))
    finally:
        subprocess.run(["git", "worktree", "remove", "--force", str(tree)], cwd=ROOT, check=False)
