"""Turns: so many compute at once, and whoever waits outside gives its turn up."""

from __future__ import annotations

import threading
import time
from types import SimpleNamespace

import pytest
from django.db import connection, transaction

from orgs.models import Organization
from orgs.registries import turns as module
from orgs.registries.places import Full
from orgs.registries.turns import Turns
from orgs.web.middleware.in_turn import in_turn

pytestmark = pytest.mark.once


class Workers:
    """Threads that each hold a turn until they are told to end."""

    def __init__(self, turns: Turns) -> None:
        self.turns = turns
        self.end = threading.Event()
        self.inside = threading.Semaphore(0)
        self.threads: list[threading.Thread] = []

    def start(self, *, outside: bool = False) -> None:
        def work() -> None:
            with self.turns.taken():
                if outside:
                    with self.turns.given_up():
                        self.inside.release()
                        self.end.wait(20)
                else:
                    self.inside.release()
                    self.end.wait(20)

        self.threads.append(threading.Thread(target=work))
        self.threads[-1].start()

    def stop(self) -> None:
        self.end.set()
        for thread in self.threads:
            thread.join()


@pytest.fixture
def workers():
    made = Workers(Turns(2, 0.05))
    yield made
    made.stop()


def test_so_many_at_once_and_the_next_is_told(workers):
    workers.start()
    workers.start()
    assert workers.inside.acquire(timeout=5) and workers.inside.acquire(timeout=5)
    with pytest.raises(Full), workers.turns.taken():
        pass
    workers.stop()
    with workers.turns.taken():
        pass


def test_who_waits_outside_holds_none(workers):
    for _ in range(6):
        workers.start(outside=True)
        assert workers.inside.acquire(timeout=5)
    with workers.turns.taken():
        pass


@pytest.mark.django_db(transaction=True)
def test_the_database_is_waited_for_outside(monkeypatch):
    one = Turns(1, 0.0)
    for place in ("orgs.web.middleware.in_turn", "orgs.outside"):
        monkeypatch.setattr(f"{place}.turns", one)
    seen = []

    def ask(execute, *args):
        with one.taken():  # as another page would
            seen.append(args)
        return execute(*args)

    with in_turn(), connection.execute_wrapper(ask):
        assert not Organization.objects.exists()
        with pytest.raises(Full), one.taken():
            pass
    assert len(seen) == 1


def test_without_a_turn_there_is_none_to_give_up(workers):
    with workers.turns.given_up():
        with workers.turns.taken(), workers.turns.given_up(), workers.turns.given_up():
            pass
    for _ in range(3):
        with workers.turns.taken():
            pass


def test_a_turn_comes_back_whatever_happened(workers):
    for _ in range(5):
        with pytest.raises(ZeroDivisionError), workers.turns.taken():
            raise ZeroDivisionError
        with pytest.raises(ZeroDivisionError), workers.turns.taken(), workers.turns.given_up():
            raise ZeroDivisionError
    with workers.turns.taken():
        pass


def test_the_next_rests_by_how_long_the_last_one_took(monkeypatch):
    slept = []
    clock = SimpleNamespace(now=100.0)
    fake = SimpleNamespace(monotonic=lambda: clock.now, sleep=slept.append)
    monkeypatch.setattr(module, "time", fake)
    turns = Turns(1, 0.0)

    def compute(seconds: float) -> None:
        with turns.taken():
            clock.now += seconds

    compute(0.25 / 64)
    compute(9.0)
    assert slept == [0.25 / 64 * module.TIMES]
    compute(0.001)
    assert slept[1:] == [pytest.approx(module.REST)]
    clock.now += 1.0
    compute(0.001)
    assert len(slept) == 2  # nobody was in a hurry


def test_who_is_alone_rests_not(monkeypatch):
    slept = []
    monkeypatch.setattr(
        module, "time", SimpleNamespace(monotonic=time.monotonic, sleep=slept.append)
    )
    turns = Turns(1, 0.0)
    with turns.taken():
        for _ in range(10):
            time.sleep(0.002)
            with turns.given_up():
                pass
        assert slept == []
        with turns.given_up():
            other = threading.Thread(target=lambda: computing(turns, 0.01))
            other.start()
            other.join()
    assert slept and slept[-1] >= 0.01  # we after the other


def computing(turns: Turns, seconds: float) -> None:
    with turns.taken():
        time.sleep(seconds)


def test_long_work_and_pages_wait_not_for_each_other() -> None:
    turns = Turns(1, 0.0)
    got = []

    def page() -> None:
        with turns.taken():
            got.append("page")

    with turns.taken(long=True):
        other = threading.Thread(target=page)
        other.start()
        other.join()
    assert got == ["page"]
    with turns.taken():
        work = threading.Thread(target=lambda: long_one(turns, got))
        work.start()
        work.join()
    assert got == ["page", "long"]


def long_one(turns: Turns, got: list[str]) -> None:
    with turns.taken(long=True):
        got.append("long")


def test_long_work_rests_after_its_own_turns_and_in_the_midst_of_one(monkeypatch) -> None:
    slept = []
    clock = SimpleNamespace(now=100.0)
    fake = SimpleNamespace(monotonic=lambda: clock.now, sleep=slept.append)
    monkeypatch.setattr(module, "time", fake)
    turns = Turns(1, 0.0)
    with turns.taken(long=True):
        clock.now += 0.25 / 64
        with turns.given_up():
            pass
        assert slept == [0.25 / 64 * module.TIMES]
        turns.breathe()  # it is no time yet
        assert len(slept) == 1
        clock.now += 1.0
        turns.breathe()
        assert slept[1:] == [pytest.approx(module.REST)]
    turns.breathe()  # who has none
    assert len(slept) == 2


@pytest.mark.parametrize("long", [False, True])
def test_in_the_midst_of_waiting_it_computes_in_turn(long) -> None:
    turns = Turns(1, 0.0)
    with turns.taken(long=long), turns.given_up():
        with turns.taken_again():
            assert not free(turns, long=long)
            with turns.given_up():
                assert free(turns, long=long)
        assert free(turns, long=long)
    with turns.taken_again():  # who has none
        assert free(turns, long=long)


def free(turns: Turns, *, long: bool) -> bool:
    """Whether another thread would have a turn now."""
    line = turns._long if long else turns._pages
    if taken := line.free.acquire(blocking=False):
        line.free.release()
    return taken


@pytest.mark.django_db(transaction=True)
def test_who_has_the_only_writers_lock_waits_for_no_page(monkeypatch) -> None:
    """A page goes on without its turn, and takes it again with what it asks after."""
    one = Turns(1, 0.0)
    monkeypatch.setattr("orgs.outside.turns", one)
    with one.taken():
        with transaction.atomic():
            assert free(one, long=False)
            assert not Organization.objects.exists() and free(one, long=False)
        assert not Organization.objects.exists() and not free(one, long=False)
    with one.taken(long=True), transaction.atomic():  # no other long work comes to write
        assert not Organization.objects.exists() and not free(one, long=True)
