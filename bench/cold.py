"""`python -m bench.cold [--rounds 5] [--busy]`: a fleet that wakes up, and one that never has to.

A thousand askers over HTTP, of ten entries without a login, at four server processes: how
often the cloud is asked. With --busy both cores are kept so by others. Then a thousand
entries of one AWS account used yesterday, whose logins came at one moment: their renewals, the
hour before their half-life gone through minute by minute.
"""

from __future__ import annotations

import dataclasses
import http.client
import json
import multiprocessing
import os
import statistics
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterator
from datetime import timedelta
from typing import Any
from urllib.parse import urlsplit

from . import table
from .pressure.scene import HOST, Scene
from .pressure.staging import serving, staged
from .table import Row

ENTRIES, ASKERS, PROCESSES = 10, 1_000, 4
PATIENCE = 120.0  # seconds
USED_YESTERDAY = 1_000
QUOTA = 20  # GetAuthorizationToken a second, an account and region: what older text says


def rows(rounds: int, *, busy: bool = False) -> Iterator[Row]:
    with staged() as (scene, _):
        import django

        django.setup()
        from tests.support.fake_aws import RemoteFakeAws

        aws = RemoteFakeAws()
        aws.url = os.environ["AWS_ENDPOINT_URL"]
        project, token = scene.ours.project, scene.ours.token
        images = [_entry(scene, f"cold-{number}") for number in range(ENTRIES)]
        its = dataclasses.replace(scene)
        calls, waits = [], []
        burners = [multiprocessing.Process(target=_burn, daemon=True) for _ in range(2 * busy)]
        for burner in burners:
            burner.start()
        with serving(its, WEB_CONCURRENCY=str(PROCESSES)):
            for _ in range(rounds):
                _forget_logins()
                before = len(aws.calls)
                waits.append(_wake(its.address, token, project, images))
                calls.append((len(aws.calls) - before) / ENTRIES)
        for burner in burners:
            burner.kill()
        beside = ", both cores busy" if busy else ""
        what = f"cloud calls an entry, {ASKERS:,} cold askers{beside}"
        yield Row(what, max(calls), "at most", max(calls), "one", ("≤", 1.0))
        yield Row(f"the slowest of them is served{beside}", statistics.median(waits), "s")
        if not busy:
            yield from _ahead(scene, aws)


def _wake(address: str, token: str, project: str, images: list[str]) -> float:
    """Seconds until the last of them has its login; told «busy» they ask again as told."""
    served: list[float] = []
    wrong: list[str] = []
    start = threading.Barrier(ASKERS)

    def ask(image: str) -> None:
        body = json.dumps({"project": project, "image": image})
        head = {"Authorization": f"Token {token}", "Content-Type": "application/json"}
        start.wait()
        began = time.monotonic()
        while time.monotonic() - began < PATIENCE:
            connection = http.client.HTTPConnection(urlsplit(address).netloc, timeout=60)
            try:
                connection.request("POST", "/api/v0/docker-login/", body, head)
                answer = connection.getresponse()
                told = answer.read()
            except OSError:
                time.sleep(1)
                continue
            finally:
                connection.close()
            if answer.status == 200:
                served.append(time.monotonic() - began)
                return
            if answer.status not in (429, 503):
                wrong.append(told.decode())
                return
            time.sleep(float(answer.headers.get("Retry-After") or 1))
        wrong.append("out of patience")

    askers = [threading.Thread(target=ask, args=(images[n % len(images)],)) for n in range(ASKERS)]
    for asker in askers:
        asker.start()
    for asker in askers:
        asker.join()
    if wrong:
        raise SystemExit(str(Counter(wrong)))
    return max(served)


def _ahead(scene: Scene, aws: Any) -> Iterator[Row]:
    from django.db.models import F
    from django.db.models.functions import Now

    from orgs.models import CachedLogin, RegistryEntry
    from orgs.services.logins import renewing

    _forget_logins()
    for number in range(USED_YESTERDAY):
        _entry(scene, f"used-{number}")
    entries = RegistryEntry.objects.filter(note="bench")
    entries.update(last_used_at=Now() - timedelta(hours=20))
    _mint_all(entries)
    minted = CachedLogin.objects.filter(entry__note="bench", login__isnull=False)
    minted.update(refresh_after=Now() + timedelta(minutes=61))
    setattr(renewing, "PAUSE", 0)  # noqa: B010 - the hour is gone through in seconds
    setattr(renewing, "MOST", 10_000)  # noqa: B010
    before, a_minute = len(aws.calls), []
    for _ in range(62):
        minted.update(refresh_after=F("refresh_after") - timedelta(minutes=1))
        a_minute.append(renewing.renew_due().done)
    renewed = len(aws.calls) - before
    every = USED_YESTERDAY + ENTRIES
    yield Row("renewals an entry, in the hour", renewed / every, "calls", renewed / every, "one",
              ("≤", 1.0))  # fmt: skip
    yield Row("renewals a minute, at most", max(a_minute), "calls", max(a_minute) / (every / 60),
              "an even spread", ("≤", 2.5))  # fmt: skip
    a_second = max(a_minute) / 60
    yield Row("renewals a second, beside AWS's quota", a_second, "calls", a_second / QUOTA,
              f"{QUOTA} a second", ("≤", 0.1))  # fmt: skip


def _mint_all(entries: Any) -> None:
    """A login for each, in one go: what is measured is how they are renewed."""
    from orgs.registries.images import ImageReference
    from orgs.services.audit.events import COMMAND_LINE
    from orgs.services.logins import issuing

    for entry in entries.prefetch_related("patterns"):
        text = entry.pattern_texts[0].replace("/*", "/x")
        project = entry.organization.projects.first()
        issuing.login_for(project=project, image=ImageReference.parse(text), actor=COMMAND_LINE)


def _entry(scene: Scene, name: str) -> str:
    """An entry for a path of its own, with ours' key; an image that it serves."""
    from orgs.models import Organization
    from orgs.services.audit.events import COMMAND_LINE
    from orgs.services.entries import door
    from orgs.services.entries.validating import EntrySpec

    door.entry_create(
        organization=Organization.objects.get(slug=scene.ours.slug),
        actor=COMMAND_LINE,
        spec=EntrySpec(
            "aws-ecr",
            [f"{HOST}/{name}/*"],
            {"access_key_id": scene.ours.key_id},
            {"secret_access_key": scene.ours.secret},
            note="bench",
        ),
    )
    return f"{HOST}/{name}/x"


def _forget_logins() -> None:
    from orgs.models import CachedLogin

    CachedLogin.objects.all().delete()


def _burn() -> None:
    while True:
        sum(range(10_000))


if __name__ == "__main__":
    kept_busy = "--busy" in sys.argv
    sys.argv = [word for word in sys.argv if word != "--busy"]
    table.part(__doc__, lambda rounds: rows(rounds, busy=kept_busy))
