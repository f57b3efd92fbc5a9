"""Disabling: what it stops is said, and it can be undone from its message; enabling keeps
the verdict."""

from __future__ import annotations

import re

import pytest
from django.urls import reverse
from django.utils import timezone

from orgs.models import AuditEvent, RegistryEntry, Verification
from orgs.registries.images import ImageReference
from orgs.services.audit.events import Actor
from orgs.services.entries import door
from orgs.services.entries.changing import EntryChange
from orgs.services.entries.undoing import WITHIN, disabling_undo
from orgs.services.logins import issuing
from tests.conftest import HOST
from tests.web.conftest import Page, url

pytestmark = pytest.mark.django_db
UNDO = "/organizations/acme/registries/undo/"


@pytest.fixture
def role(make_entry):
    return make_entry(f"{HOST}/role/*", registry_type="aws-ecr-role")


@pytest.fixture
def disable(client, alice):
    def disable(*entries, **more):
        client.force_login(alice)
        if len(entries) == 1:
            return Page(client.post(url("entry_disable", entries[0]), follow=True))
        chosen = {"action": "disable", "confirmed": "1", "entry": [str(e.pk) for e in entries]}
        address = reverse("entries_selected", args=["acme"])
        return Page(client.post(address, chosen | more, follow=True))

    return disable


def request_in(page) -> str:
    return re.search(r'name="request" value="([0-9a-f]+)"', page.html).group(1)


def test_it_says_what_stops(disable, role, project, actor) -> None:
    for _ in range(2):
        image = ImageReference.parse(f"{HOST}/role/x")
        issuing.login_for(project=project, image=image, actor=actor)
    page = disable(role)
    assert "is disabled. Used 2 times in 7 days by first-project; their next pull will" in page.text
    assert "Undo" in page.text and "Disabled. It serves no image" in page.text


def test_unused(disable, role) -> None:
    assert "is disabled. Not used in 7 days." in disable(role).text


def test_undone_with_its_verdict(client, disable, make_entry) -> None:
    entry = make_entry()
    at = timezone.now().replace(microsecond=0)
    RegistryEntry.objects.update(status="failing", status_code="invalid_key", status_at=at,
                                 status_detail="AWS doesn't know the key. Check it.")  # fmt: skip
    Verification.objects.create(entry=entry, at=at, steps=[{"name": "login", "result": "ok"}])
    before = entry.credentials_version
    page = disable(entry)
    assert not RegistryEntry.objects.get().enabled
    sent = {"request": request_in(page), "entry": str(entry.pk)}
    page = Page(client.post(UNDO, sent, follow=True))
    assert "1 entry is enabled again, as before." in page.text and "▲ Failing" in page.text
    found = RegistryEntry.objects.get()
    assert (found.enabled, found.status, found.status_at) == (True, "failing", at)
    assert found.credentials_version == before + 2 and Verification.objects.get().at == at
    again = Page(client.post(UNDO, sent, follow=True))
    assert "1 was switched since, and stays as it is." in again.text


def test_many(client, disable, make_entry) -> None:
    several = [make_entry(f"{HOST}/{n}/*") for n in range(3)]
    off = make_entry(f"{HOST}/off/*", enabled=False)
    page = disable(*several, off)
    assert "3 entries are disabled. 1 entry is disabled already." in page.text
    page = Page(client.post(UNDO, {"request": request_in(page)}, follow=True))
    assert "3 entries are enabled again, as before." in page.text
    assert set(RegistryEntry.objects.filter(enabled=False)) == {off}


def test_many_are_asked_about_first(client, disable, role, make_entry, project, actor) -> None:
    issuing.login_for(project=project, image=ImageReference.parse(f"{HOST}/role/x"), actor=actor)
    page = disable(role, make_entry(), confirmed="")
    assert "Disable 2 entries?" in page.text and "Used 1 time in 7 days by first-pro" in page.text
    assert RegistryEntry.objects.filter(enabled=True).count() == 2


def test_somebody_switched_it_since(client, disable, role, alice, bob) -> None:
    request = request_in(disable(role))
    other = Actor("bob", bob)
    door.entry_set_enabled(entry=role, actor=other, enabled=True)
    door.entry_set_enabled(entry=role, actor=other, enabled=False)
    page = Page(client.post(UNDO, {"request": request}, follow=True))
    assert "1 was switched since" in page.text and "again, as" not in page.text
    assert not RegistryEntry.objects.get().enabled


def test_the_pattern_was_taken_since(client, disable, role, make_entry) -> None:
    request = request_in(disable(role))
    make_entry(f"{HOST}/role/*")
    page = Page(client.post(UNDO, {"request": request}, follow=True))
    assert "has this pattern already" in page.text
    assert RegistryEntry.objects.filter(enabled=True).count() == 1


@pytest.mark.parametrize("sent", [{}, {"request": ""}, {"request": "nonsense", "entry": "x"}])
def test_nothing_to_undo(client, disable, role, sent) -> None:
    disable(role)
    page = Page(client.post(UNDO, sent, follow=True))
    assert "Undo works for 10 minutes, and once." in page.text
    assert not RegistryEntry.objects.get().enabled


def test_for_ten_minutes_and_ones_own(disable, role, acme, umbrella, alice, bob) -> None:
    request = request_in(disable(role))
    mine = Actor("alice", alice)
    for organization, actor in ((acme, Actor("bob", bob)), (umbrella, mine), (acme, Actor("x"))):
        assert disabling_undo(organization=organization, actor=actor, request=request) is None
    assert disabling_undo(organization=acme, actor=mine, request=request).done == 1
    late = AuditEvent.objects.get(action="entry.disabled")
    kept = {f.name: getattr(late, f.name) for f in late._meta.fields if f.name != "id"}
    kept["at"] = late.at - WITHIN
    kept["properties"] = {**late.properties, "request": "0123456789abcdef"}
    AuditEvent(**kept).save(force_insert=True)
    old = "0123456789abcdef"
    assert disabling_undo(organization=acme, actor=mine, request=old) is None


def test_somebody_switched_it_by_the_form_since(client, disable, role, bob) -> None:
    """Which is a change of the entry like any other, and theirs to decide."""
    request = request_in(disable(role))
    for on in (True, False):
        change = EntryChange(enabled=on)
        door.entry_update(entry=role, actor=Actor("bob", bob), change=change)
    page = Page(client.post(UNDO, {"request": request}, follow=True))
    assert "1 was switched since, and stays as it is." in page.text
    assert not RegistryEntry.objects.get().enabled


def test_somebody_deleted_it_since(client, disable, role, actor) -> None:
    request = request_in(disable(role))
    door.entry_delete(entry=role, actor=actor)
    sent = {"request": request, "entry": str(role.pk)}
    answer = client.post(UNDO, sent, follow=True)
    assert answer.status_code == 200 and "1 was deleted meanwhile." in Page(answer).text
