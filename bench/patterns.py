"""`python -m bench.patterns`: a cached login where 100,000 patterns stand, and where ten do.

Over HTTP, on PostgreSQL: with fresh statistics, and with none, as after a restore or a large
import that autovacuum hasn't come to.
"""

from __future__ import annotations

import dataclasses
import statistics
from collections import defaultdict
from collections.abc import Iterator
from typing import Any

from . import table
from .http import burst, login_request
from .pressure.scene import HOST, Scene
from .pressure.staging import serving, staged
from .table import Row

SIZES = {"few": 10, "many": 100_000}
IMAGE = f"{HOST}/ours/train:v2"
SECONDS = 1.5
_FORGET = (
    "DELETE FROM pg_statistic",
    "UPDATE pg_class SET reltuples = -1, relpages = 0 WHERE relname LIKE 'orgs!_%' ESCAPE '!'",
)


def rows(rounds: int) -> Iterator[Row]:
    with staged() as (scene, _):
        import django

        django.setup()
        sides = {slug: _organization(scene, slug, size) for slug, size in SIZES.items()}
        for known in (True, False):
            if not known:
                _forget_statistics()
            taken = _measured(scene, sides, rounds)
            few, many = (statistics.median(taken[slug]) for slug in SIZES)
            what = "fresh statistics" if known else "no statistics"
            yield Row(f"login, 10 patterns, {what}", few * 1000, "ms")
            yield Row(
                f"login, 100,000 patterns, {what}",
                many * 1000,
                "ms",
                statistics.median(m / f for f, m in zip(*taken.values(), strict=True)),
                "10 patterns",
                ("≤", 1.2),
            )


def _measured(
    scene: Scene, sides: dict[str, tuple[str, str]], rounds: int
) -> dict[str, list[float]]:
    """The median of each round, in seconds, for each organization."""
    its = dataclasses.replace(scene)
    taken: dict[str, list[float]] = defaultdict(list)
    with serving(its):
        requests = {
            slug: login_request(its.address, token, project, IMAGE)
            for slug, (project, token) in sides.items()
        }
        for request in requests.values():
            burst(its.address, [request] * 4, 1.0)
        for _ in range(rounds):
            for slug, request in requests.items():
                answered, failed = burst(its.address, [request], SECONDS)
                if failed:
                    raise SystemExit(f"{failed} logins of {slug} failed.")
                taken[slug].append(statistics.median(answered))
    return taken


def _organization(scene: Scene, slug: str, size: int) -> tuple[str, str]:
    """One with so many patterns, one of which serves the image; its project and a token."""
    from orgs.models import User
    from orgs.services.audit.events import COMMAND_LINE
    from orgs.services.entries import door
    from orgs.services.entries.validating import EntrySpec
    from orgs.services.tenancy import organizations, projects, tokens
    from tests.services.logins.test_resolve import plant

    admin = User.objects.get(email=scene.ours.admin)
    organization: Any = organizations.organization_create(
        name=slug, slug=slug, admin=admin, actor=COMMAND_LINE
    )
    project = projects.project_create(name="p", organization=organization, actor=COMMAND_LINE)
    _, token = tokens.token_issue_worker(organization=organization, name="w", actor=COMMAND_LINE)
    spec = EntrySpec(
        "aws-ecr",
        [f"{HOST}/ours/*"],
        {"access_key_id": scene.ours.key_id},
        {"secret_access_key": scene.ours.secret},
    )
    door.entry_create(organization=organization, actor=COMMAND_LINE, spec=spec)
    plant(organization, size - 1, start=size)
    return str(project.pk), token


def _forget_statistics() -> None:
    from django.db import connection

    with connection.cursor() as cursor:
        for statement in _FORGET:
            cursor.execute(statement)


if __name__ == "__main__":
    table.part(__doc__, rows)
