"""Few connections for many threads: bounded by shares, whole ones kept, none lost."""

from __future__ import annotations

import threading
import time
from concurrent.futures import ThreadPoolExecutor

import psycopg2
import pytest
from django.db import DatabaseError, OperationalError, connection, transaction

from orgs.models import Organization
from orgs.outside import outside
from orgs.postgresql import base, pool
from tests.support.product import database_url

pytestmark = [pytest.mark.postgresql, pytest.mark.django_db(transaction=True)]


@pytest.fixture
def few(monkeypatch):
    """The product's own pool, as a server has it, with two connections of each share."""
    found = pool.Pool()
    found.bound(logins=2, others=2, health=1)
    connection.close()
    for module in (base, pool):
        monkeypatch.setattr(module, "pool", found)
    monkeypatch.setattr("orgs.outside.pool", found)
    monkeypatch.setattr(pool, "WAIT", 0.3)
    yield found
    connection.close()
    found.bound()
    for _, kept in found._kept:
        kept.close()


def _id() -> int:
    """Of the server's process behind this thread's connection."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_backend_pid()")
        return cursor.fetchone()[0]


def test_one_is_kept_for_whoever_comes_next(few) -> None:
    first = _id()
    connection.close()

    def elsewhere() -> int:
        try:
            return _id()
        finally:
            connection.close()

    with ThreadPoolExecutor(1) as threads:
        assert threads.submit(elsewhere).result() == first
    assert _id() == first


def test_many_threads_share_few(few) -> None:
    seen, lock = set(), threading.Lock()

    def work() -> None:
        for _ in range(20):
            found = _id()
            with lock:
                seen.add(found)
            connection.close()

    with ThreadPoolExecutor(12) as threads:
        for task in [threads.submit(work) for _ in range(12)]:
            task.result()
    assert 1 <= len(seen) <= 2


def test_no_share_takes_anothers(few) -> None:
    taken, done = threading.Barrier(3), threading.Event()

    def hold() -> None:
        _id()
        taken.wait(5)
        done.wait(5)
        connection.close()

    def come(share: str) -> int:
        few.belong(share)
        try:
            return _id()
        finally:
            connection.close()

    with ThreadPoolExecutor(4) as threads:
        holding = [threads.submit(hold) for _ in range(2)]
        taken.wait(5)
        try:
            assert threads.submit(come, "logins").result()
            with pytest.raises(OperationalError, match="in use"):
                threads.submit(come, "others").result()
        finally:
            done.set()
        for task in holding:
            task.result()
        assert threads.submit(come, "others").result()


def test_who_waits_outside_keeps_none(few) -> None:
    Organization.objects.count()
    with outside():
        assert connection.connection is None and not few._share_of
    with transaction.atomic():
        Organization.objects.count()
        with outside():  # a transaction's goes on
            assert connection.connection is not None
        assert Organization.objects.count() == 0


def test_what_the_server_has_ended_is_not_given(few) -> None:
    ended = _id()
    connection.close()
    with psycopg2.connect(database_url()) as other, other.cursor() as cursor:
        cursor.execute("SELECT pg_terminate_backend(%s)", [ended])
    other.close()
    time.sleep(0.1)
    assert _id() != ended


@pytest.mark.parametrize("how", ["failed", "in the middle", "closed"])
def test_one_that_is_not_whole_is_not_kept(few, how) -> None:
    spoilt = _id()
    if how == "failed":
        connection.set_autocommit(False)
        with pytest.raises(DatabaseError), connection.cursor() as cursor:
            cursor.execute("SELECT 1 / 0")
    elif how == "in the middle":
        connection.connection.autocommit = False
        with connection.cursor() as cursor:
            cursor.execute("SELECT 1")
    else:
        connection.connection.close()
    connection.close()
    assert not few._kept and _id() != spoilt
    assert list(few._share_of.values()) == ["others"]


def test_one_unused_for_long_is_not_kept(few, monkeypatch) -> None:
    old = _id()
    connection.close()
    monkeypatch.setattr(pool, "IDLE", 0.0)
    assert _id() != old


def test_a_server_that_is_away_takes_no_place(few, monkeypatch) -> None:
    def away(*_, **__):
        raise psycopg2.OperationalError("away")

    with monkeypatch.context() as gone:
        gone.setattr(psycopg2, "connect", away)
        for _ in range(5):
            with pytest.raises(OperationalError, match="away"):
                _id()
    assert _id()
