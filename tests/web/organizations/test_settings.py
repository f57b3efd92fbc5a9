"""An organization's name, and its former short names."""

from __future__ import annotations

import pytest
from django.core.management import call_command

from orgs.models import FormerSlug, Organization
from orgs.registries.problems import Refused
from orgs.services.tenancy import organizations
from tests.web.conftest import Page

RENAME = "/organizations/acme/rename/"


def renamed(client, alice, name="Acme", slug="acme-labs") -> Page:
    client.force_login(alice)
    return Page(client.post(RENAME, {"name": name, "slug": slug}, follow=True))


def test_a_name_alone_keeps_the_address(client, alice, acme) -> None:
    page = renamed(client, alice, "Acme Labs", "acme")
    assert page.heading == "Acme Labs" and "It's called Acme Labs now." in page.text
    acme.refresh_from_db()
    assert acme.slug == "acme" and not FormerSlug.objects.exists()


@pytest.mark.parametrize("path", ["", "registries/?q=a&status=failing", "members/", "audit/"])
def test_former_addresses_lead_on(path, client, alice, bob, charlie, acme) -> None:
    renamed(client, alice)
    answer = client.get(f"/organizations/acme/{path}")
    assert (answer.status_code, answer["Location"]) == (307, f"/organizations/acme-labs/{path}")
    client.force_login(charlie)
    assert client.get(f"/organizations/acme/{path}").status_code == 404


def test_a_form_that_was_open_is_sent_on(client, alice, acme) -> None:
    renamed(client, alice)
    page = Page(client.post("/organizations/acme/environments/new/", {"name": "GPU"}, follow=True))
    assert "GPU is added." in page.text


def test_a_former_short_name_is_nobody_elses(client, alice, acme, umbrella, actor, capsys) -> None:
    renamed(client, alice)
    for organization in (None, umbrella):
        problem = organizations.slug_problem("acme", organization)
        assert problem is not None and problem.code == "duplicate_slug"
    with pytest.raises(Refused):
        organizations.organization_create(name="Acme", admin=alice, actor=actor)
    with pytest.raises(SystemExit):
        call_command("create_organization", "Acme", admin="a@example.com")
    acme.refresh_from_db()
    organizations.organization_delete(organization=acme, actor=actor)
    assert organizations.slug_problem("acme") is not None


def test_taken_in_the_same_moment(client, alice, acme, umbrella, monkeypatch) -> None:
    """Another one looks and writes between our look and our writing."""
    monkeypatch.setattr(organizations, "slug_problem", lambda *args: None)
    page = renamed(client, alice, slug="umbrella")
    assert page.wrong == {"slug"} and Organization.objects.get(pk=acme.pk).slug == "acme"


def test_its_own_it_takes_back(client, alice, acme) -> None:
    renamed(client, alice)
    client.post("/organizations/acme-labs/rename/", {"name": "Acme", "slug": "acme"})
    assert client.get("/organizations/acme/").status_code == 200
    assert client.get("/organizations/acme-labs/")["Location"] == "/organizations/acme/"
    assert [str(s) for s in FormerSlug.objects.all()] == ["acme-labs"]


@pytest.mark.parametrize(
    ("typed", "wrong"),
    [
        ({"name": ""}, {"name"}),
        ({"slug": ""}, {"slug"}),
        ({"slug": "Acme Labs"}, {"slug"}),
        ({"slug": "ACME"}, {"slug"}),
        ({"slug": "umbrella"}, {"slug"}),
        ({"name": "a\x1fb"}, {"name"}),
    ],
)
def test_what_cant_be(typed, wrong, send, alice, acme, umbrella) -> None:
    page = send(alice, RENAME, {"name": "Acme", "slug": "acme"} | typed)
    assert page.wrong == wrong
    assert Organization.objects.get(pk=acme.pk).slug == "acme"
