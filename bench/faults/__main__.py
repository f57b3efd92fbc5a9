"""`python -m bench.faults [NAME …] [--short]`: a table of what breaks, and what failed."""

from __future__ import annotations

import argparse
import contextlib
import sys
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from bench.pressure.staging import staged

from . import load
from .faults import FAULTS, House
from .house import Server, nginx

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


def run(name: str, house: House, address: str) -> Row:
    """Break one thing under load, mend it, and say what came of it."""
    told, work = FAULTS[name]
    before, house.further, house.began = _events(house), 0, 0.0
    with load.steady(address, house.scene.ours) as found:
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
    import psycopg2

    organization = "SELECT id FROM orgs_organization WHERE slug = 'ours'"
    with contextlib.closing(psycopg2.connect(house.database)) as connection:
        with connection.cursor() as cursor:
            cursor.execute(
                "SELECT count(*) FROM orgs_auditevent WHERE action = 'login.issued' "
                f"AND organization_id = ({organization})"
            )
            return int(cursor.fetchone()[0])


@contextlib.contextmanager
def standing(short: bool) -> Iterator[tuple[House, str]]:
    """Two servers behind nginx on a PostgreSQL of their own, and its address."""
    import os

    with staged() as (scene, directory), contextlib.ExitStack() as stack:
        import django

        django.setup()
        from tests.support.fake_aws import RemoteFakeAws

        aws = RemoteFakeAws()
        aws.url = scene.aws
        servers = [Server(Path(directory) / f"server-{n}.log") for n in (1, 2)]
        for server in servers:
            server.start()
            stack.callback(server.stop)
        address = stack.enter_context(nginx(*servers))
        scene.address = address
        house = House(scene, aws, servers, os.environ["DATABASE_URL"], Path(directory), short)
        yield house, address


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("names", nargs="*", help=f"of {', '.join(FAULTS)}")
    parser.add_argument("--short", action="store_true", help="seconds where a minute is meant")
    given = parser.parse_args()
    print(HEAD, flush=True)
    wrong = 0
    with standing(given.short) as (house, address):
        for name in given.names or FAULTS:
            try:
                print(run(name, house, address), flush=True)
            except LookupError as missing:
                print(f"| {FAULTS[name][0]} | not run: {missing} | | | | | |", flush=True)
            except Exception as error:
                wrong += 1
                print(f"| {FAULTS[name][0]} | {error!r} | | | | | |", flush=True)
            finally:
                house.aws.clear_faults()
    return wrong


if __name__ == "__main__":
    sys.exit(main())
