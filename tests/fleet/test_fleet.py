"""Many processes and threads, one cold entry: AWS is asked once and everyone is served."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
import time

import pytest
from django.db import connection, connections

from orgs.models import Project
from orgs.registries.images import ImageReference
from orgs.registries.problems import Failed
from orgs.services.audit.events import Actor
from orgs.services.logins import issuing
from orgs.services.upstream import calls
from tests.conftest import HOST
from tests.support import PROJECT_ROOT, product

pytestmark = pytest.mark.django_db(transaction=True)

IMAGE = f"{HOST}/my-ml-image:v1.0"
PROCESSES = 4


@pytest.fixture
def entry(aws, make_entry):
    key_id, secret = aws.create_user("valohai", aws.policy())
    return make_entry(config={"access_key_id": key_id}, secrets={"secret_access_key": secret})


def start_askers(project: Project, threads: int) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "tests.fleet.ask", str(project.pk), IMAGE, str(threads)],
        env=product.environment(),
        cwd=PROJECT_ROOT,
        stdout=subprocess.PIPE,
        text=True,
    )


def test_a_cold_entry_is_minted_once_for_a_whole_fleet(aws, entry, project):
    threads = 50 if connection.vendor == "postgresql" else 25
    askers = [start_askers(project, threads) for _ in range(PROCESSES)]
    reports = [json.loads(asker.communicate(timeout=120)[0]) for asker in askers]
    assert [report["errors"] for report in reports] == [[]] * PROCESSES
    assert sum(report["served"] for report in reports) == PROCESSES * threads
    assert len(aws.calls) == 1
    assert len({p for report in reports for p in report["passwords"]}) == 1
    slowest = max(report["slowest"] for report in reports)
    print(f"slowest {slowest:.2f} s, told busy {sum(r['busy'] for r in reports)} times")


def test_a_refresher_killed_mid_call_delays_the_next_by_one_lease(aws, entry, project):
    aws.fault("hang", seconds=60, times=1)
    asker = start_askers(project, 1)
    deadline = time.monotonic() + 30
    while not aws.calls and time.monotonic() < deadline:
        time.sleep(0.02)
    asker.kill()
    asker.wait()
    asker.stdout.close()
    began = time.monotonic()
    answer = None
    while answer is None:
        try:
            answer = issuing.login_for(
                project=project, image=ImageReference.parse(IMAGE), actor=Actor("next")
            )
        except Failed as error:
            assert error.code == "busy"
            time.sleep(error.retry_after)
    took = time.monotonic() - began
    print(f"the next asker was served after {took:.2f} s")
    assert answer.login.password in aws.tokens


def test_a_hanging_tenant_leaves_the_others_alone(
    aws, entry, project, umbrella, make_entry, monkeypatch
):
    """All the places of a tenant are blocked, and another's cached logins are given."""
    image = ImageReference.parse(IMAGE)
    theirs = Project.objects.create(name="theirs", organization=umbrella)
    issuing.login_for(project=project, image=image, actor=Actor("ours"))
    hanging_key, secret = aws.create_user("hanging", aws.policy())
    accounts = [f"{number:012d}" for number in range(1, 5)]
    for account in accounts:
        make_entry(
            HOST.replace("123456789012", account) + "/*",
            organization=umbrella,
            config={"access_key_id": hanging_key},
            secrets={"secret_access_key": secret},
        )
    aws.fault("hang", seconds=60, access_key_id=hanging_key)
    codes: list[str] = []

    def hang(account: str) -> None:
        cold = ImageReference.parse(IMAGE.replace("123456789012", account))
        try:
            issuing.login_for(project=theirs, image=cold, actor=Actor("theirs"))
        except Failed as error:
            codes.append(error.code)
        finally:
            connections.close_all()

    blocked = [threading.Thread(target=hang, args=[a]) for a in accounts for _ in range(8)]
    for thread in blocked:
        thread.start()
    while len(codes) + calls.LOGINS.held(umbrella.pk) < len(blocked):
        time.sleep(0.01)
    # Of 32 only as many wait as one organization may block; the rest were told at once.
    assert calls.LOGINS.held(umbrella.pk) <= 6
    assert set(codes) == {"busy"}
    for _ in range(20):
        issuing.login_for(project=project, image=image, actor=Actor("ours"))
    assert any(thread.is_alive() for thread in blocked)
    assert set(codes) == {"busy"}
    aws.clear_faults()
    for thread in blocked:
        thread.join()
