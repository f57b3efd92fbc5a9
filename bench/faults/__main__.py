"""`python -m bench.faults [NAME …] [--short]`: a table of what breaks, and what failed."""

from __future__ import annotations

import argparse
import contextlib
import itertools
import json
import os
import sqlite3
import sys
import time
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import psycopg2

from bench.pressure.staging import staged

from . import load, network
from .faults import FAULTS, House
from .house import Server, nginx
from .small import own_disk

AFTER = 10.0  # seconds of logins behind the last of a fault
SHORT = 3.0


@dataclass
class Row:
    """What a fault came to."""

    told: str
    asked: int
    failures: Counter[str]
    slowest: float  # seconds until the slowest failure was told
    back: float  # seconds from the mending to the last failure's end
    helped: int
    helper_failures: Counter[str]
    lost: int  # logins given that have no event
    doubled: int  # events beyond the logins given

    def __str__(self) -> str:
        failed = ", ".join(f"{n} {what}" for what, n in self.failures.most_common()) or "none"
        helped = ", ".join(f"{n} {w}" for w, n in self.helper_failures.most_common()) or "none"
        times = f"{self.slowest:.1f} s | {self.back:.1f} s" if self.failures else "– | –"
        return (
            f"| {self.told} | {failed} of {self.asked} | {times} | {helped} of {self.helped} | "
            f"{self.lost} | {self.doubled} |"
        )


HEAD = (
    "| fault | plain HTTP: failed | told within | back within | helper: failed | "
    "logins without event | events beyond |\n|---|---|---|---|---|---|---|"
)


def run(name: str, house: House) -> Row:
    """Break one thing under load, mend it, and say what came of it."""
    told, work = FAULTS[name].told, FAULTS[name].work
    before, house.further, house.began = _events(house), 0, 0.0
    with load.steady(house.scene.address, house.scene.ours) as found:
        time.sleep(1)
        for _ in work(house):
            pass
        mended = time.monotonic()
        time.sleep(SHORT if house.short else AFTER)
    given = sum(not one.wrong for one in found.plain)
    helped = Counter(one.wrong for one in found.helped if one.wrong and one.at >= house.began)
    # The helper's own logins too; of its answers some are what it had kept.
    events = _events(house) - before
    return Row(
        told,
        len(found.plain),
        found.failures(house.began),
        found.slowest_failure(),
        found.back_after(mended),
        len(found.helped),
        helped,
        lost=max(0, given - events),
        doubled=max(0, events - given - house.further - len(found.helped) - 1),
    )


def _events(house: House) -> int:
    """How many logins of ours have an event, read past the servers."""
    asked = (
        "SELECT count(*) FROM orgs_auditevent WHERE action = 'login.issued' AND organization_id = "
        "(SELECT id FROM orgs_organization WHERE slug = 'ours')"
    )
    if house.database.startswith("sqlite:///"):
        opened = sqlite3.connect(house.database.removeprefix("sqlite:///"))
    else:
        opened = psycopg2.connect(house.database)
    with contextlib.closing(opened) as connection:
        cursor = connection.cursor()
        cursor.execute(asked)
        return int(cursor.fetchone()[0])


@contextlib.contextmanager
def standing(short: bool, *, sqlite: bool = False, apart: bool = False) -> Iterator[House]:
    """Two servers behind nginx on a PostgreSQL of their own; or one by itself, on SQLite."""
    with own_disk(), staged(sqlite=sqlite) as (scene, directory), contextlib.ExitStack() as stack:
        import django

        django.setup()
        from tests.support.fake_aws import RemoteFakeAws

        aws = RemoteFakeAws()
        aws.url = scene.aws
        database = os.environ["DATABASE_URL"]
        servers = [Server(Path(directory) / "server-1.log")]
        if apart:
            second, ports = network.server(Path(directory) / "server-2.log", database, aws.url)
            stack.enter_context(network.apart(*ports))
            servers.append(second)
        elif not sqlite:
            servers.append(Server(Path(directory) / "server-2.log"))
        for server in servers:
            stack.callback(server.stop)
            server.start()
        scene.address = servers[0].address if sqlite else stack.enter_context(nginx(*servers))
        yield House(scene, aws, servers, database, Path(directory), short)


def rows(names: Iterable[str], short: bool) -> Iterator[tuple[str, Row | Exception]]:
    """Each fault's name with what it came to, or why there's nothing to tell."""
    kinds = itertools.groupby(
        sorted(names, key=lambda name: (FAULTS[name].sqlite, FAULTS[name].apart)),
        key=lambda name: {"sqlite": FAULTS[name].sqlite, "apart": FAULTS[name].apart},
    )
    for kind, some in kinds:
        chosen = list(some)
        try:
            with standing(short, **kind) as house:
                for name in chosen:
                    yield name, _outcome(name, house)
        except LookupError as missing:
            yield from ((name, missing) for name in chosen)


def _outcome(name: str, house: House) -> Row | Exception:
    try:
        return run(name, house)
    except Exception as error:
        return error
    finally:
        house.aws.clear_faults()


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("names", nargs="*", help=f"of {', '.join(FAULTS)}")
    parser.add_argument("--short", action="store_true", help="seconds where a minute is meant")
    parser.add_argument("--json", action="store_true", help="a JSON object a line, by name")
    given = parser.parse_args()
    if not given.json:
        print(HEAD, flush=True)
    wrong = 0
    for name, found in rows(given.names or FAULTS, given.short):
        if given.json:
            told = vars(found) if isinstance(found, Row) else {"error": repr(found)}
            print(json.dumps({"name": name} | told), flush=True)
            continue
        if isinstance(found, LookupError):
            found = f"| {FAULTS[name].told} | not run: {found} | | | | | |"
        elif isinstance(found, Exception):
            wrong += 1
            found = f"| {FAULTS[name].told} | {found!r} | | | | | |"
        print(found, flush=True)
    return wrong


if __name__ == "__main__":
    sys.exit(main())
