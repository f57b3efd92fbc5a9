"""A server keeps few of PostgreSQL's connections, however many ask, and loses none of them
to whatever hangs outside."""

from __future__ import annotations

import json
import threading
import time
import urllib.error
import urllib.request
from collections import Counter
from concurrent.futures import ThreadPoolExecutor

import pytest
from django.db import connection

from orgs.services.tenancy import tokens
from tests.conftest import HOST
from tests.support.product import served

pytestmark = [pytest.mark.postgresql, pytest.mark.django_db(transaction=True)]

MOST = 2 * (12 + 6 + 1)  # of two processes (gunicorn.conf.py)


def _connections() -> int:
    """Of others than this test."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT count(*) FROM pg_stat_activity "
            "WHERE datname = current_database() AND pid <> pg_backend_pid()"
        )
        return cursor.fetchone()[0]


def _status(address: str, body: object = None, token: str = "") -> int:
    data = json.dumps(body).encode() if body else None
    headers = {"Content-Type": "application/json", "Authorization": f"Token {token}"}
    request = urllib.request.Request(address, data, headers)
    try:
        with urllib.request.urlopen(request, timeout=30) as answer:
            answer.read()
            return answer.status
    except urllib.error.HTTPError as error:
        with error:
            return error.code


def test_two_servers_beside_a_hanging_cloud(aws, acme, actor, project, make_entry) -> None:
    """Cached logins go on while 60 ask for what a cloud doesn't give, and pages too."""
    key_id, secret = aws.create_user("valohai", aws.policy())
    given = {"config": {"access_key_id": key_id}, "secrets": {"secret_access_key": secret}}
    make_entry(f"{HOST}/warm/*", **given)
    make_entry(f"{HOST}/cold/*", **given)
    _, token = tokens.token_issue_worker(organization=acme, name="fleet", actor=actor)
    found: Counter[tuple[str, int]] = Counter()
    most, stop, lock = 0, threading.Event(), threading.Lock()

    def ask(address: str, which: str) -> None:
        body = {"project": str(project.pk), "image": f"{HOST}/{which}/x"}
        page = which == "page"
        while not stop.is_set():
            status = (
                _status(f"{address}/accounts/login/")
                if page
                else _status(f"{address}/api/v0/docker-login/", body, token)
            )
            with lock:
                found[which, status] += 1

    with served() as one, served() as two:
        warm = {"project": str(project.pk), "image": f"{HOST}/warm/x"}
        assert _status(f"{one}/api/v0/docker-login/", warm, token) == 200
        aws.fault("hang", seconds=5)
        asking = [
            threading.Thread(target=ask, args=(address, which))
            for address in (one, two)
            for which, count in (("cold", 30), ("warm", 8), ("page", 8))
            for _ in range(count)
        ]
        for thread in asking:
            thread.start()
        end = time.monotonic() + 6
        while time.monotonic() < end:
            most = max(most, _connections())
            time.sleep(0.05)
        stop.set()
        for thread in asking:
            thread.join()
    assert {status for which, status in found if which == "warm"} == {200}, found
    assert {status for which, status in found if which == "page"} == {200}, found
    assert found["warm", 200] > 50 and found["page", 200] > 5
    assert 2 < most <= 2 * MOST


def test_those_that_the_database_has_ended_fail_nobody(
    aws, acme, actor, project, make_entry
) -> None:
    key_id, secret = aws.create_user("valohai", aws.policy())
    make_entry(config={"access_key_id": key_id}, secrets={"secret_access_key": secret})
    _, token = tokens.token_issue_worker(organization=acme, name="fleet", actor=actor)
    body = {"project": str(project.pk), "image": f"{HOST}/x"}
    with served() as address:
        for _ in range(3):
            for _ in range(20):
                assert _status(f"{address}/api/v0/docker-login/", body, token) == 200
            assert _connections() > 0
            with connection.cursor() as cursor:
                cursor.execute(
                    "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
                    "WHERE datname = current_database() AND pid <> pg_backend_pid()"
                )
            time.sleep(0.2)


def test_more_pages_at_once_than_connections() -> None:
    """Who waits for a connection doesn't keep the turn that those need who have one."""
    with served(WEB_CONCURRENCY="1") as address, ThreadPoolExecutor(40) as threads:
        began = time.monotonic()
        page = f"{address}/accounts/password/MQ/abc-def/"
        assert set(threads.map(_status, [page] * 200)) == {200}
        assert time.monotonic() - began < 20  # a stall is five seconds for each
