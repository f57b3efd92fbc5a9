"""Places: told at once where there is none, and no owner takes another's first one."""

from __future__ import annotations

import threading
import time
from contextlib import ExitStack

import pytest

from orgs.registries.places import Full, Places

pytestmark = pytest.mark.once


def fill(places: Places, stack: ExitStack, owner: object, **things: object) -> int:
    """Take as many as there are for an owner; how many those were."""
    count = 0
    while True:
        try:
            stack.enter_context(places.taken(owner, **things))
        except Full:
            return count
        count += 1


def test_one_owner_alone_takes_a_third():
    with ExitStack() as stack:
        assert fill(Places(24, "Full."), stack, "greedy") == 8


@pytest.mark.parametrize("total", [1, 2, 3, 8, 24, 100])
def test_whoever_has_none_finds_one_while_any_is_free(total):
    places = Places(total, "Full.")
    with ExitStack() as stack:
        owners = 0
        while sum(places.held(owner) for owner in range(owners)) < total:
            assert fill(places, stack, owners) >= 1
            owners += 1
        with pytest.raises(Full):
            stack.enter_context(places.taken("late"))
    assert fill(places, stack, "later") >= 1


def test_many_greedy_ones_leave_the_next_its_first():
    places = Places(24, "Full.")
    with ExitStack() as stack:
        held = [fill(places, stack, owner) for owner in range(3)]
        assert held == [8, 6, 4]  # half of 24, of 16 and of 10 that were free, at first
        assert fill(places, stack, "quiet") >= 1


def test_a_thing_has_its_own_bound():
    places = Places(24, "Full.", most={"entry": 2})
    with ExitStack() as stack:
        assert fill(places, stack, "acme", entry="one") == 2
        assert fill(places, stack, "acme", entry="two") == 2
        assert fill(places, stack, "acme") > 0


def test_told_at_once_with_the_sentence_and_when_to_ask_again():
    places = Places(1, "Others are at it.", retry_after=3)
    with places.taken("a"):
        began = time.monotonic()
        with pytest.raises(Full) as full, places.taken("b"):
            pass
        assert time.monotonic() - began < 2.5  # and not the three seconds
    assert (full.value.code, full.value.retry_after) == ("busy", 3)
    assert "Others are at it." in full.value.detail


def test_who_waits_gets_the_place_that_comes_free():
    places = Places(1, "Full.")
    inside = threading.Event()

    def hold() -> None:
        with places.taken("a"):
            inside.set()
            time.sleep(0.2)

    holder = threading.Thread(target=hold)
    holder.start()
    assert inside.wait(5)
    with places.taken("b", wait=10.0):
        assert places.held("b") == 1 and places.held("a") == 0
    holder.join()


def test_a_place_comes_free_whatever_happened_there():
    places = Places(1, "Full.")
    with pytest.raises(ZeroDivisionError), places.taken("a"):
        raise ZeroDivisionError
    with places.taken("b"):
        pass
    assert not places._taken
