"""What no view is at fault for: an entry that is deleted meanwhile, and no free place."""

import json

import pytest
from django.urls import reverse

from orgs.models import RegistryEntry
from orgs.registries.places import Full
from orgs.registries.turns import Turns
from orgs.services.audit.events import Actor
from orgs.services.entries import door
from orgs.services.tenancy import tokens

pytestmark = pytest.mark.django_db


@pytest.fixture
def deleted_meanwhile(monkeypatch, make_entry):
    """The entry is there when the gate looks, and gone when its row is to be locked."""
    entry = make_entry()
    locked = door.locked

    def too_late(keys):
        RegistryEntry.objects.filter(pk__in=keys).delete()
        return locked(keys)

    monkeypatch.setattr(door, "locked", too_late)
    return entry


@pytest.mark.parametrize("name", ["entry_disable", "entry_delete"])
def test_on_the_web(client, alice, deleted_meanwhile, name):
    client.force_login(alice)
    answer = client.post(reverse(name, args=["acme", deleted_meanwhile.pk]))
    assert answer.status_code == 404
    assert "This page doesn't exist" in answer.content.decode().replace("&#x27;", "'")


def test_in_the_api(client, alice, deleted_meanwhile):
    _, text = tokens.token_issue_api(user=alice, name="terraform", actor=Actor("tests"))
    answer = client.delete(
        f"/api/v0/registry-credentials/{deleted_meanwhile.pk}/",
        headers={"Authorization": f"Token {text}"},
    )
    assert answer.status_code == 404
    assert "code" in json.loads(answer.content)


def test_no_free_place_is_a_page_that_says_so(client, alice, acme, monkeypatch):
    def full(*args, **kwargs):
        raise Full("Others are at it.", 3)

    monkeypatch.setattr("orgs.web.organizations.projects.inside", full)
    client.force_login(alice)
    answer = client.get(reverse("projects", args=["acme"]))
    assert (answer.status_code, answer["Retry-After"]) == (503, "3")
    assert "Others are at it. Nothing was changed." in answer.content.decode()


@pytest.fixture
def no_turns(monkeypatch):
    none = Turns(1, 0.0)
    monkeypatch.setattr("orgs.web.middleware.in_turn.turns", none)
    with none.taken():
        yield


def test_pages_wait_for_their_turn_and_say_when_there_is_none(client, alice, acme, no_turns):
    client.force_login(alice)
    answer = client.get(reverse("projects", args=["acme"]))
    assert (answer.status_code, answer["Retry-After"]) == (503, "5")
    assert "Very much is being asked of this server right now." in answer.content.decode()


def test_scripts_too_in_json(client, no_turns):
    answer = client.get("/api/v0/registry-credentials/")
    assert (answer.status_code, answer.json()["code"]) == (503, "busy")
    assert answer["Retry-After"]


def test_logins_take_no_turn(client, no_turns):
    assert client.post("/api/v0/docker-login/").status_code == 401
    assert client.get("/healthz").status_code == 200
