"""Whatever calls a registry takes a place, and no organization takes another's."""

from __future__ import annotations

from contextlib import ExitStack
from functools import partial

import pytest

from orgs.models import Project
from orgs.registries.images import ImageReference
from orgs.registries.places import Full, Places
from orgs.registries.problems import Failed
from orgs.services.audit.events import Actor
from orgs.services.entries import door as entries_door
from orgs.services.entries.changing import EntryChange
from orgs.services.entries.new_keys import KeyFailed
from orgs.services.logins import issuing
from orgs.services.upstream import calls
from orgs.services.verification import images, verifying
from tests.conftest import HOST

pytestmark = pytest.mark.django_db(transaction=True)

IMAGE = ImageReference.parse(f"{HOST}/my-ml-image:v1")


def login(entry):
    project, _ = Project.objects.get_or_create(name="p", organization=entry.organization)
    issuing.login_for(project=project, image=IMAGE, actor=Actor("tests"))


def verify(entry):
    verifying.entry_verify(entry=entry, actor=Actor("tests"))


def look(entry):
    images.images_of(entry)


def replace_key(entry):
    change = EntryChange(secrets={"secret_access_key": "b" * 40})
    try:
        entries_door.change_prove(entry=entry, change=change, attended=True)
    except KeyFailed as told:
        raise told.__cause__ from None


DOORS = [login, verify, look, replace_key]
KINDS = (calls.LOGINS, calls.PAGES, calls.REFRESHES)


@pytest.fixture
def no_places(monkeypatch):
    for name in ("LOGINS", "PAGES", "REFRESHES"):
        monkeypatch.setattr(calls, name, Places(0, "Full."))


@pytest.mark.parametrize("door", DOORS)
def test_without_a_place_nothing_is_asked(door, aws, make_entry, no_places):
    with pytest.raises(Failed) as told:
        door(make_entry())
    assert told.value.code == "busy" and told.value.retry_after
    assert not aws.calls


@pytest.mark.parametrize("door", DOORS)
def test_a_place_is_given_back(door, aws, make_entry):
    entry = make_entry()  # AWS doesn't know its key
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(calls, "PAUSES", {})
        try:
            door(entry)
        except Failed as error:
            assert error.code == "invalid_key"
    assert not any(places.held(entry.organization_id) for places in KINDS)


@pytest.mark.parametrize("door", DOORS)
def test_others_hanging_registries_take_no_place_of_ours(door, aws, make_entry, monkeypatch):
    """Two organizations hold all that they may; a third comes in at each door at once."""
    monkeypatch.setattr(calls, "PAUSES", {})
    entry = make_entry()
    with ExitStack() as held:
        for places in KINDS:
            for stranger in (-1, -2):
                with pytest.raises(Full):
                    while True:
                        held.enter_context(places.taken(stranger))
        try:
            door(entry)
        except Failed as error:
            assert error.code == "invalid_key"
    assert not any(places.held(entry.organization_id) for places in KINDS)


def test_an_entry_that_hangs_can_still_be_mended(aws, make_entry, monkeypatch):
    """Its waiting workers and open pages hold all that they may; verifying and a new key
    still go."""
    monkeypatch.setattr(calls, "PAUSES", {})
    entry = make_entry()
    with ExitStack() as held:
        for take in (calls.waiting, partial(calls.looking, listing=True)):
            with pytest.raises(Full):
                while True:
                    held.enter_context(take(entry))
        verify(entry)
        with pytest.raises(Failed) as told:
            replace_key(entry)
        assert told.value.code == "invalid_key"
        with pytest.raises(Full):
            look(entry)
