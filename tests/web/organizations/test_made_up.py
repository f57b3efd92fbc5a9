"""A made-up organization says so on each of its pages, and others don't."""

from __future__ import annotations

import pytest
from django.urls import reverse

from orgs.models import Organization, RegistryEntry
from orgs.services.audit.events import COMMAND_LINE
from orgs.services.demo import organization as demo

pytestmark = [pytest.mark.once, pytest.mark.django_db(transaction=True)]
NOTE = "This organization is made up: demo_data --remove takes it away."
PAGES = (
    *("organization", "registries", "projects", "environments", "workers", "members", "audit"),
    *("entry_new", "check"),
)


@pytest.fixture
def made(alice) -> Organization:
    demo.demo_create(admin=alice, actor=COMMAND_LINE)
    return Organization.objects.get(made_up=True)


@pytest.mark.parametrize("name", PAGES)
def test_each_page_says_so(look, alice, acme, made, name) -> None:
    assert NOTE in look(alice, reverse(name, args=["demo"])).text
    page = look(alice, reverse(name, args=["acme"]))
    assert page.status == 200 and "is made up" not in page.text


def test_each_entry_has_its_page(look, alice, made) -> None:
    for entry in RegistryEntry.objects.filter(organization=made):
        page = look(alice, reverse("entry", args=["demo", entry.pk]))
        assert page.status == 200 and NOTE in page.text


def test_home_tells_them_apart(look, alice, acme, made) -> None:
    page = look(alice, "/")
    assert page.text.count("made up") == 1 and "Org admin · made up" in page.text


def test_in_the_admin(look, staff, made, acme) -> None:
    for organization, said in ((made, True), (acme, False)):
        address = reverse("admin:orgs_organization_change", args=[organization.pk])
        assert (NOTE in look(staff, address).text) is said


def test_verify_says_why_not(client, alice, made) -> None:
    client.force_login(alice)
    entry = made.entries.get(status="verified", status_reporter="")
    answer = client.post(reverse("entry_verify", args=["demo", entry.pk]), follow=True)
    assert answer.status_code == 200
    assert "Demo is made up, so no registry is asked for it." in answer.content.decode()
    entry.refresh_from_db()
    assert entry.status == "verified"


def test_nor_are_images_asked_for(look, alice, made) -> None:
    entry = made.entries.get(status="verified", status_reporter="")
    page = look(alice, reverse("entry_images", args=["demo", entry.pk]))
    assert "Demo is made up, so no registry is asked for it." in page.text


def test_no_form_makes_one_so(client, staff, acme) -> None:
    client.force_login(staff)
    address = reverse("admin:orgs_organization_change", args=[acme.pk])
    client.post(address, {"name": "Acme", "slug": "acme", "made_up": "on"})
    client.post(
        reverse("admin:orgs_organization_add"),
        {"name": "New", "slug": "new", "admin": staff.email, "made_up": "on"},
    )
    assert Organization.objects.filter(made_up=False).count() == 2
