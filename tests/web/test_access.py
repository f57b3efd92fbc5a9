"""What those who may not are told, and that nothing happens; who may: tests/test_access.py."""

from __future__ import annotations

import pytest
from django.urls import reverse

from .conftest import Page

WRITE = ("entry_new", "entry_edit", "entry_delete", "entry_enable", "entry_disable")


def address(name: str, entry) -> str:
    alone = name in {"organization", "registries", "entry_new"}
    return reverse(name, args=["acme"] if alone else ["acme", entry.pk])


@pytest.mark.parametrize("name", WRITE)
def test_nobody_else_writes(name: str, client, bob, charlie, staff, make_entry) -> None:
    entry = make_entry()
    for person in (bob, charlie, staff):
        client.force_login(person)
        assert client.post(address(name, entry), {}).status_code in {403, 404}
    entry.refresh_from_db()
    assert entry.enabled and type(entry).objects.count() == 1


@pytest.mark.parametrize("name", ["entry", "entry_edit", "entry_delete"])
def test_an_entry_stays_in_its_organization(name, look, charlie, umbrella, make_entry) -> None:
    entry = make_entry()
    assert look(charlie, reverse(name, args=["umbrella", entry.pk])).status == 404


def test_403_names_whom_to_ask(look, alice, bob) -> None:
    page = look(bob, reverse("entry_new", args=["acme"]))
    assert "Only org admins of Acme manage registries. Ask Alice." in page.text
    assert page.links["Alice"] == "mailto:alice@example.com"


def test_404_says_no_more_than_that(look, charlie, acme) -> None:
    hidden = look(charlie, "/organizations/acme/")
    missing = look(charlie, "/organizations/nowhere/")
    for page in (hidden, missing, look(charlie, "/nothing/")):
        assert page.status == 404
        assert "This page doesn't exist, or you can't see it." in page.text
        assert "Acme" not in page.text


def test_staff_see_a_banner_and_no_buttons(look, staff, alice, make_entry) -> None:
    entry = make_entry()
    for name in ("organization", "registries", "entry"):
        page = look(staff, address(name, entry))
        assert "You look at Acme as staff" in page.text
        assert "Add a new entry" not in page.text and "Edit" not in page.links
        assert "AKIA" not in page.html
    assert "as staff" not in look(alice, address("entry", entry)).text


def test_forged_form(alice, acme) -> None:
    from django.test import Client

    client = Client(enforce_csrf_checks=True)
    client.force_login(alice)
    answer = client.post("/organizations/acme/registries/new/", {})
    assert answer.status_code == 403
    assert Page(answer).heading == "Not sent"
