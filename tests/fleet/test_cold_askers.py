"""Through a real gunicorn: a cold fleet that honours Retry-After costs one call to AWS."""

from __future__ import annotations

import json
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from orgs.services.tenancy import tokens
from tests.support import product
from tests.support.sending import send

from .test_fleet import IMAGE, entry  # noqa: F401 (a fixture)

pytestmark = pytest.mark.django_db(transaction=True)

ASKERS = 64
PATIENCE = 30.0  # seconds


def test_64_cold_askers_cost_one_call(aws, entry, acme, project, actor) -> None:  # noqa: F811
    _, text = tokens.token_issue_worker(organization=acme, name="gpu workers", actor=actor)
    token = {"Authorization": f"Token {text}"}
    body = json.dumps({"project": str(project.pk), "image": IMAGE}).encode()
    aws.fault("slow", seconds=1.5, times=1)
    start = threading.Barrier(ASKERS)
    busy: list[int] = []

    def ask(_: int) -> tuple[str, float]:
        start.wait(30)
        began = time.monotonic()
        while time.monotonic() - began < PATIENCE:
            status, headers, told = send(served, "POST", "/api/v0/docker-login/", body, **token)
            if status == 200:
                return told["password"], time.monotonic() - began
            assert (status, told["code"]) == (503, "busy"), told
            busy.append(1)
            time.sleep(int(headers["Retry-After"]))
        raise AssertionError("out of patience")

    with product.served() as served, ThreadPoolExecutor(ASKERS) as askers:
        found = list(askers.map(ask, range(ASKERS)))
    assert len(aws.calls) == 1
    assert {password for password, _ in found} <= aws.tokens
    slowest = max(took for _, took in found)
    print(f"slowest {slowest:.2f} s, told busy {len(busy)} times")
    assert slowest < 15
