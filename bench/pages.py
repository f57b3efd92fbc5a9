"""`python -m bench.pages`: the pages that people open, where much stands and where little does.

Over HTTP, signed in, on PostgreSQL: the overview, the list, an entry's page and the audit log
of three organizations in one database.
"""

from __future__ import annotations

import dataclasses
import statistics
from collections import defaultdict
from collections.abc import Iterator

from . import table
from .audit_log import FILL
from .http import burst, page_request
from .pressure.people import Person
from .pressure.scene import HOST, PASSWORD, Scene
from .pressure.staging import serving, staged
from .table import Row

SIZES = {"small": (10, 1_000), "middle": (1_000, 100_000), "large": (10_000, 1_000_000)}
SECONDS = 1.5
PAUSE = 0.05  # seconds; few people click faster


def rows(rounds: int) -> Iterator[Row]:
    with staged() as (scene, _):
        import django

        django.setup()
        entries = {slug: _organization(slug, *size) for slug, size in SIZES.items()}
        taken = _measured(scene, entries, rounds)
    for page in ("overview", "list", "entry", "log"):
        of = {slug: taken[page, slug] for slug in SIZES}
        yield Row(f"{page}, 10 entries", statistics.median(of["small"]) * 1000, "ms")
        for other, words in (("small", "of 10"), ("middle", "of 1,000")):
            ratio = statistics.median(a / b for a, b in zip(of["large"], of[other], strict=True))
            value = statistics.median(of["large"]) * 1000
            what = f"{page}, 10,000 entries, a million events"
            yield Row(what, value, "ms", ratio, words, ("≤", 1.5))


def _measured(
    scene: Scene, entries: dict[str, str], rounds: int
) -> dict[tuple[str, str], list[float]]:
    """The median of each round in seconds, by page and organization."""
    its = dataclasses.replace(scene)
    taken: dict[tuple[str, str], list[float]] = defaultdict(list)
    with serving(its):
        person = Person(its.address, "reader@example.com")
        cookies = "; ".join(f"{each.name}={each.value}" for each in person.session.cookies)
        requests = {
            (page, slug): page_request(its.address, path, cookies)
            for slug, entry in entries.items()
            for page, path in _paths(slug, entry).items()
        }
        for request in requests.values():
            burst(its.address, [request] * 4, 0.5)
        for _ in range(rounds):
            for key, request in requests.items():
                answered, failed = burst(its.address, [request], SECONDS, PAUSE)
                if failed or not answered:
                    raise SystemExit(f"{key} answered {failed} times with no page.")
                taken[key].append(statistics.median(answered))
    return taken


def _paths(slug: str, entry: str) -> dict[str, str]:
    base = f"/organizations/{slug}/"
    return {
        "overview": base,
        "list": f"{base}registries/",
        "entry": f"{base}registries/{entry}/",
        "log": f"{base}audit/",
    }


def _organization(slug: str, count: int, events: int) -> str:
    """With so many entries and events; the id of an entry that has some of them."""
    from django.db import connection

    from orgs.models import Membership, Organization, User
    from orgs.services.audit.events import COMMAND_LINE
    from orgs.services.entries import door
    from orgs.services.entries.validating import EntrySpec
    from orgs.services.tenancy import organizations
    from tests.services.logins.test_resolve import plant

    reader = User.objects.filter(email="reader@example.com").first()
    if reader is None:
        reader = User.objects.create_user("reader@example.com", PASSWORD, name="Reader")
    organization: Organization = organizations.organization_create(
        name=slug, slug=slug, admin=reader, actor=COMMAND_LINE
    )
    assert Membership.objects.filter(organization=organization, user=reader).exists()
    made = door.entry_create(
        organization=organization,
        actor=COMMAND_LINE,
        spec=EntrySpec("aws-ecr-role", [f"{HOST}/{slug}/*"], {"role_name": "Role"}),
    )
    with connection.cursor() as cursor:
        cursor.execute(FILL, [organization.pk, str(made.pk), events])
    plant(organization, count - 1, start=count)
    return str(made.pk)


if __name__ == "__main__":
    table.part(__doc__, rows)
