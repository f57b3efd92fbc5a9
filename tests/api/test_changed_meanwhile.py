"""An update made from what no longer stands is refused; one that isn't undoes nothing."""

from __future__ import annotations

import pytest

from orgs.models import RegistryEntry
from orgs.registries.problems import Failed
from orgs.services.entries import door
from orgs.services.entries.status import status_mark
from orgs.services.tenancy import tokens
from orgs.services.upstream import calls
from tests.conftest import CANARY, HOST

from .conftest import Api, refused

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def provider(alice, actor):
    return Api(tokens.token_issue_api(user=alice, name="terraform", actor=actor)[1])


@pytest.fixture
def entry(make_entry):
    return make_entry()


@pytest.fixture
def address(entry):
    return f"/api/v0/registry-credentials/{entry.pk}/"


@pytest.mark.parametrize("method", ["PUT", "PATCH"])
def test_named_and_changed_since(method, provider, address) -> None:
    seen = provider.get(address).json()
    mine = {"type": "aws-ecr", "note": "mine", "updated_at": seen["updated_at"]}
    theirs = provider.send("PATCH", address, {"enabled": False}).json()
    told = refused(provider.send(method, address, mine), 409, "changed_meanwhile")
    assert told["detail"].startswith("The entry was changed meanwhile, so nothing was written.")
    assert provider.get(address).json() == theirs
    again = provider.send(method, address, mine | {"updated_at": theirs["updated_at"]}).json()
    assert (again["note"], again["enabled"]) == ("mine", False)
    assert again["updated_at"] > theirs["updated_at"]


def test_a_put_whose_answer_was_lost_is_repeated(provider, address) -> None:
    body = provider.get(address).json() | {"note": "mine"}
    first = provider.send("PUT", address, body)
    again = provider.send("PUT", address, body)
    assert (again.status_code, again.json()) == (200, first.json())


def test_any_form_of_the_moment(provider, address) -> None:
    at = provider.get(address).json()["updated_at"]
    assert at.endswith("Z")
    for form in (at, at.replace("Z", "+00:00"), None):
        sent = {"updated_at": form}
        assert provider.send("PATCH", address, sent).status_code == 200
    for junk in ("yesterday", at.rstrip("Z"), 7.5e300, [], "9999-99-99T00:00:00Z"):
        response = provider.send("PATCH", address, {"updated_at": junk})
        assert response.status_code == 400 and set(response.json()) == {"updated_at"}


def test_a_key_that_is_refused_is_told_at_its_field(provider, address, entry, monkeypatch) -> None:
    def fail(*args):
        raise Failed("invalid_key", "AWS doesn't know the key.", "Check it.")

    monkeypatch.setattr(calls, "try_credentials", fail)
    status_mark(entry, RegistryEntry.Status.VERIFIED)
    for method, change in (
        ("PATCH", {"configuration": {"secret_access_key": "b" * 40}}),
        (
            "PUT",
            {
                "type": "aws-ecr",
                "image_pattern": f"{HOST}/*",
                "configuration": {**entry.config, "secret_access_key": "b" * 40},
            },
        ),
    ):
        response = provider.send(method, address, change)
        assert response.status_code == 400
        (problem,) = response.json()["secret_access_key"]
        assert problem["code"] == "invalid_key"
        assert problem["message"].startswith("The new key failed, so the old one stays in use.")
        assert b"b" * 40 not in response.content
    assert door.revealed(RegistryEntry.objects.get()) == {"secret_access_key": CANARY}
    # The way out: nobody relies on one that is disabled.
    off = {"enabled": False, "configuration": {"secret_access_key": "b" * 40}}
    assert provider.send("PATCH", address, off).status_code == 200
    assert provider.send("PATCH", address, {"enabled": True}).status_code == 200
