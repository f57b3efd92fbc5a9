"""`make bench`: what costs what, as ratios against a baseline in the same run.

Every figure is a median of interleaved rounds, since a shared machine drifts.
"""

from __future__ import annotations

import os
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from cryptography.fernet import Fernet

ROUNDS = 7
HOST = "123456789012.dkr.ecr.us-east-1.amazonaws.com"


def main() -> None:
    from tests.support.fake_aws import FakeAws
    from tests.support.postgres import start_postgres, stop

    on_postgresql = "--sqlite" not in sys.argv
    with tempfile.TemporaryDirectory() as directory, FakeAws() as aws:
        os.environ |= {
            "DJANGO_SETTINGS_MODULE": "valohai_registries.settings",
            "DATABASE_URL": start_postgres()
            if on_postgresql
            else f"sqlite:///{Path(directory)}/bench.sqlite3",
            "SECRET_KEY": Fernet.generate_key().decode(),
            "FERNET_KEYS": Fernet.generate_key().decode(),
            "AWS_ENDPOINT_URL": aws.url,
        }
        import django
        from django.core.management import call_command

        django.setup()
        call_command("migrate", verbosity=0)
        print(f"{'what':<46}{'median':>10}{'ratio':>8}   against")
        resolve_cost()
        cached_login_cost(aws)
    if on_postgresql:
        stop()


def medians(**runs: Callable[[], object]) -> dict[str, float]:
    """Seconds a call, each measured in turn for ROUNDS rounds."""
    taken: dict[str, list[float]] = {name: [] for name in runs}
    for run in runs.values():
        run()
    for _ in range(ROUNDS):
        for name, run in runs.items():
            began = time.perf_counter()
            for _ in range(50):
                run()
            taken[name].append((time.perf_counter() - began) / 50)
    return {name: statistics.median(times) for name, times in taken.items()}


def row(what: str, seconds: float, ratio: float, against: str) -> None:
    print(f"{what:<46}{seconds * 1000:>7.2f} ms{ratio:>8.2f}   {against}")


def resolve_cost() -> None:
    from orgs.models import Organization
    from orgs.registries.images import ImageReference
    from orgs.registries.patterns import MatchPattern
    from orgs.services.entries.neighbours import neighbours
    from orgs.services.logins import resolve
    from tests.services.logins.test_resolve import plant

    few, many = (Organization.objects.create(name=name, slug=name) for name in ("few", "many"))
    plant(few, 10)
    plant(many, 20_000)
    image = ImageReference.parse(f"{HOST}/team-7/train:v2")
    taken = medians(
        few=lambda: resolve.resolve(few, image),
        many=lambda: resolve.resolve(many, image),
    )
    row("resolve, organization of 10 entries", taken["few"], 1.0, "itself")
    row(
        "resolve, organization of 20,000 entries",
        taken["many"],
        taken["many"] / taken["few"],
        "10 entries",
    )
    typed = [MatchPattern.parse(f"{HOST}/team-*/train/*")]
    helped = medians(few=lambda: neighbours(few, typed), many=lambda: neighbours(many, typed))
    row("other entries, while typing, among 10", helped["few"], 1.0, "itself")
    row(
        "other entries, while typing, among 20,000",
        helped["many"],
        helped["many"] / helped["few"],
        "among 10",
    )


def cached_login_cost(aws) -> None:
    import threading

    from orgs.models import Project
    from orgs.registries.images import ImageReference
    from orgs.registries.problems import Failed
    from orgs.services.audit import events
    from orgs.services.audit.events import COMMAND_LINE
    from orgs.services.entries import door
    from orgs.services.entries.validating import EntrySpec
    from orgs.services.logins import issuing
    from orgs.services.tenancy import organizations

    admin, _ = organizations.person("admin@example.com")
    key_id, secret = aws.create_user("ours", aws.policy())
    hanging_id, hanging_secret = aws.create_user("hanging", aws.policy())
    projects: dict[str, Project] = {}
    for name, keys in (("ours", (key_id, secret)), ("theirs", (hanging_id, hanging_secret))):
        organization = organizations.organization_create(name=name, admin=admin, actor=COMMAND_LINE)
        projects[name] = organizations.project_create(
            name=name, organization=organization, actor=COMMAND_LINE
        )
        door.entry_create(
            organization=organization,
            actor=COMMAND_LINE,
            spec=EntrySpec(
                "aws-ecr",
                [f"{HOST}/*"],
                {"access_key_id": keys[0]},
                {"secret_access_key": keys[1]},
            ),
        )
    image = ImageReference.parse(f"{HOST}/my-ml-image:v1.0")

    def ours():
        return issuing.login_for(project=projects["ours"], image=image, actor=COMMAND_LINE)

    def event_alone():
        return events.record(actor=COMMAND_LINE, action="bench")

    taken = medians(ours=ours, event_alone=event_alone)
    row("cached login, its event included", taken["ours"], 1.0, "itself")
    row(
        "  of which the event's insert",
        taken["event_alone"],
        taken["event_alone"] / taken["ours"],
        "cached login",
    )

    aws.fault("hang", seconds=60, access_key_id=hanging_id)
    stopping = threading.Event()

    def theirs():
        from django.db import connection

        while not stopping.is_set():
            try:
                issuing.login_for(project=projects["theirs"], image=image, actor=COMMAND_LINE)
            except Failed as error:
                stopping.wait(error.retry_after or 1)
        connection.close()

    askers = [threading.Thread(target=theirs) for _ in range(32)]
    for asker in askers:
        asker.start()
    time.sleep(1)
    beside = medians(ours=ours)["ours"]
    stopping.set()
    aws.clear_faults()
    for asker in askers:
        asker.join()
    row(
        "cached login beside a hanging tenant (32 askers)",
        beside,
        beside / taken["ours"],
        "nobody else asking",
    )


if __name__ == "__main__":
    main()
