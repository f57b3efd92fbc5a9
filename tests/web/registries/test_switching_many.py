"""Enabling and disabling more than a request has the time for: a run, with its page and Undo."""

from __future__ import annotations

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.urls import reverse
from django.utils import timezone

from orgs.models import AuditEvent, RegistryEntry, Run, User
from orgs.services.entries import door, switching
from orgs.services.entries.undoing import WITHIN
from orgs.services.runs import going
from tests.conftest import HOST, run_all
from tests.web.conftest import Page

pytestmark = pytest.mark.django_db(transaction=True)
LIST, UNDO = "/organizations/acme/registries/", "/organizations/acme/registries/undo/"


@pytest.fixture(autouse=True)
def two_are_many(monkeypatch) -> None:
    monkeypatch.setattr(going, "LONG", 1)


@pytest.fixture
def press(client, alice):
    """The page of the run that a selection's action leads to."""

    def press(action, *entries) -> str:
        client.force_login(alice)
        chosen = {"action": action, "confirmed": "1", "entry": [str(e.pk) for e in entries]}
        return client.post(reverse("entries_selected", args=["acme"]), chosen).url

    return press


def enabled(*entries: RegistryEntry) -> list[bool]:
    found = RegistryEntry.objects.in_bulk([entry.pk for entry in entries])
    return [found[entry.pk].enabled for entry in entries]


def test_disabled_and_undone(client, press, make_entry, bob) -> None:
    """By one request, in its name; undone as that, by a run, by who did it alone."""
    a, b, off = (make_entry(f"{HOST}/{n}/*") for n in "abc")
    door.entry_set_enabled(entry=off, actor=door.Actor("x"), enabled=False)
    address = press("disable", a, b, off)
    assert enabled(a, b) == [True, True]  # it only begins
    going_on = Page(client.get(address))
    assert going_on.title.startswith("0 of 3 · Disabling 3 entries")
    assert "Disabling: 0 of 3." in Page(client.get(LIST)).text
    run_all()
    over = Page(client.get(address))
    assert "2 entries are disabled." in over.text and "1: so already" in over.text
    assert "Verify the failed" not in over.text and "Undo" in over.text
    mine = AuditEvent.objects.filter(action="entry.disabled", actor="alice@example.com")
    run = Run.objects.get()
    assert {event.properties["request"] for event in mine} == {run.given["request"]} != {""}
    assert len(mine) == 2 and enabled(a, b, off) == [False] * 3
    answer = client.post(UNDO, {"request": run.given["request"]})
    again = Run.objects.get(kind="enable")
    assert answer.url.endswith(f"/runs/{again.pk}/")
    run_all()
    undone = Page(client.get(answer.url)).text
    assert "2 entries are enabled." in undone and "By cause" not in undone  # there is one only
    assert enabled(a, b, off) == [True, True, False]
    Run.objects.update(ended_at=timezone.now() - WITHIN)
    assert "Undo" not in Page(client.get(address)).text


def test_what_is_refused_or_gone_holds_up_no_other(client, press, make_entry, actor) -> None:
    taken, gone, off = (make_entry(f"{HOST}/{n}/*") for n in "abc")
    for entry in (taken, gone, off):
        door.entry_set_enabled(entry=entry, actor=actor, enabled=False)
    make_entry(f"{HOST}/a/*")
    names = [str(entry) for entry in (taken, gone, off)]
    address = press("enable", taken, gone, off)
    door.entry_delete(entry=gone, actor=actor)
    run_all()
    run = Run.objects.get()
    told = dict(run.rows.values_list("subject", "result"))
    assert told == dict(zip(names, ("refused", "gone", "enabled"), strict=True))
    assert run.rows.get(result="refused").code == "duplicate_pattern"
    page = Page(client.get(address))
    assert "1 entry is enabled." in page.text and "has this pattern already" in page.text
    assert "Undo" not in page.text and "callout-warn" in page.html
    assert enabled(taken, off) == [False, True]


def test_stopped_in_the_midst(client, press, make_entry, monkeypatch) -> None:
    entries = [make_entry(f"{HOST}/{n}/*") for n in range(3)]
    address = press("disable", *entries)
    switch = door.entry_switch

    def then_stop(**given):
        going.stop(Run.objects.get())
        return switch(**given)

    monkeypatch.setattr(door, "entry_switch", then_stop)
    run_all()
    assert "Stopped after 1 of 3: 1 entry is disabled." in Page(client.get(address)).text
    assert sorted(enabled(*entries)) == [False, True, True]
    assert "Undo" in Page(client.get(address)).text


def test_who_lost_it_switches_no_further(make_entry, acme, actor) -> None:
    """Another process has the run now: nothing is stored of it, not even the switch."""
    entry = make_entry()
    keys = [entry.pk]
    run, _ = switching.begin(organization=acme, keys=keys, actor=actor, enabled=False)
    held = going.take(run)
    row = held.rows_left()[0]
    Run.objects.update(lease_id=None)
    with pytest.raises(going.Lost):
        switching._switched(held, row, RegistryEntry.objects.get(), actor, enabled=False)
    assert enabled(entry) == [True]
    assert not AuditEvent.objects.filter(action="entry.disabled").exists()
    run_all()
    assert enabled(entry) == [False] and Run.objects.get().done == 1


def test_those_of_others_arent_its_own(make_entry, umbrella, acme, actor) -> None:
    entry = make_entry()
    run, _ = switching.begin(organization=umbrella, keys=[entry.pk], actor=actor, enabled=False)
    assert run.total == 0 and enabled(entry) == [True]


def test_each_costs_the_same(make_entry, acme, actor) -> None:
    """What twice as many cost more is what as many cost, and no look at all of the others."""

    def asked(count: int, name: str) -> int:
        keys = [make_entry(f"{HOST}/{name}-{n}/*").pk for n in range(count)]
        with CaptureQueriesContext(
            connection,
        ) as found:
            switching.begin(organization=acme, keys=keys, actor=actor, enabled=False)
            run_all()
        return len(found)

    one, two, four = asked(1, "a"), asked(2, "b"), asked(4, "c")
    assert four - two == 2 * (two - one)


@pytest.mark.parametrize("ended", ["membership", "role", "account"])
def test_what_one_may_do_ends_while_it_goes(ended, press, make_entry, alice) -> None:
    entries = [make_entry(f"{HOST}/{n}/*") for n in range(3)]
    press("disable", *entries)
    if ended == "account":
        User.objects.filter(pk=alice.pk).update(is_active=False)
    elif ended == "role":
        alice.memberships.update(role="member")
    else:
        alice.memberships.all().delete()
    run_all()
    assert Run.objects.get().state == "stopped" and enabled(*entries) == [True] * 3


def test_undo_is_offered_while_something_is_left(client, press, make_entry) -> None:
    entries = [make_entry(f"{HOST}/{n}/*") for n in range(2)]
    address = press("disable", *entries)
    run_all()
    page = Page(client.get(address))
    assert "Undo" in page.text
    client.post(UNDO, {"request": Run.objects.get().given["request"]})
    run_all()
    assert enabled(*entries) == [True, True] and "Undo" not in Page(client.get(address)).text


def test_what_it_is_by_then_counts(press, make_entry, actor, monkeypatch) -> None:
    """Not what it was when its batch was read."""
    first, second = make_entry(f"{HOST}/a/*"), make_entry(f"{HOST}/b/*")
    door.entry_set_enabled(entry=second, actor=actor, enabled=False)
    press("disable", first, second)
    switch = door.entry_switch

    def meanwhile(**given):
        monkeypatch.setattr(door, "entry_switch", switch)
        door.entry_set_enabled(entry=second, actor=actor, enabled=True)
        return switch(**given)

    monkeypatch.setattr(door, "entry_switch", meanwhile)
    run_all()
    assert enabled(first, second) == [False, False]
    results = Run.objects.get().rows.values_list("result", flat=True)
    assert set(results) == {"disabled"}
