"""When a secret ends, on pages: the form, the list, the entry, the overviews."""

from __future__ import annotations

from datetime import timedelta

import pytest

from orgs.models import RegistryEntry
from orgs.registries import ends
from orgs.services.entries.attention import entries_needing_attention, today
from tests.conftest import CANARY
from tests.web.conftest import NEW, TYPED, url

pytestmark = pytest.mark.django_db


def in_days(days: int) -> str:
    return (today() + timedelta(days=days)).isoformat()


@pytest.fixture
def ending(make_entry):
    def ending(days: int, pattern: str = "registry.example.com/a/*"):
        given = {"registry_type": "docker", "config": {"username": "robot"}}
        entry = make_entry(pattern, secrets={"password": CANARY}, **given)
        RegistryEntry.objects.filter(pk=entry.pk).update(secret_expires_on=in_days(days))
        return RegistryEntry.objects.get(pk=entry.pk)

    return ending


def test_what_people_see(ending, acme, alice, look) -> None:
    entry, over = ending(9), ending(-3, "registry.example.com/o/*")
    ending(31, "registry.example.com/later/*")
    told = entries_needing_attention(acme, private=True)
    assert [needing.entry for needing in told] == [over, entry]
    listed = look(alice, "/organizations/acme/registries/").text
    assert "Secret ends in 9 days" in listed and "Secret ended" in listed
    assert listed.count("Secret ends") == 1
    assert "Its secret ends in 9 days" in look(alice, "/organizations/acme/").text
    page = look(alice, url("entry", entry))
    assert f"{ends.written(entry.secret_expires_on)} (UTC)" in page.texts["dd"]


def test_the_form(look, send, alice, ending, acme) -> None:
    typed = {**TYPED, "registry_type": "docker", "patterns": "registry.example.com/f/*"}
    typed |= {"username": "robot", "password": CANARY, "verify": ""}
    page = send(alice, NEW, {**typed, "secret_expires_on": "2020-01-01"})
    assert "is over" in page.text and CANARY not in page.html
    assert page.fields["secret_expires_on"]["value"] == "2020-01-01"
    send(alice, NEW, {**typed, "secret_expires_on": in_days(8)})
    entry = RegistryEntry.objects.get()
    assert entry.secret_expires_on == today() + timedelta(days=8)
    edit = url("entry_edit", entry)
    assert look(alice, edit).fields["secret_expires_on"]["value"] == in_days(8)
    # Beside a new secret it begins empty, and says which was the one before.
    replace = look(alice, edit, replace="1")
    assert replace.fields["secret_expires_on"].get("value") is None
    assert f"The one before: {in_days(8)}" in replace.text
    assert "secret_expires_on" not in look(alice, NEW, type="aws-ecr-role").fields


def test_staff_see_it(ending, staff, look) -> None:
    ending(5)
    page = look(staff, "/staff/")
    assert "Secret ends in 5 days" in page.text and "Registry entry of Acme" in page.text
