"""Verify in the admin: on an entry's page and for a selection of the list."""

from __future__ import annotations

import pytest
from django.urls import reverse

from orgs.models import AuditEvent
from orgs.services.upstream import calls
from tests.conftest import HOST
from tests.web.conftest import Page

pytestmark = pytest.mark.django_db(transaction=True)

IMAGE = f"{HOST}/my-ml-image:v1.0"
LIST = "/admin/orgs/registryentry/"


@pytest.fixture(autouse=True)
def no_pauses(monkeypatch):
    monkeypatch.setattr(calls, "PAUSES", {})


@pytest.fixture
def entry(aws, make_entry):
    key_id, secret = aws.create_user("valohai", aws.policy())
    return make_entry(config={"access_key_id": key_id}, secrets={"secret_access_key": secret})


def test_on_the_entrys_page(client, staff, ecr, entry) -> None:
    client.force_login(staff)
    page = Page(client.get(f"{LIST}{entry.pk}/change/"))
    assert "Not checked since it was added or changed." in page.by_id["verification"]
    assert "valohai-ecr-policy" in page.by_id["policy"]
    address = reverse("admin:orgs_registryentry_verify", args=[entry.pk])
    page = Page(client.post(address, {"image": IMAGE}, follow=True))
    assert "was checked." in page.text
    assert f"Image readable done {IMAGE} can be pulled." in page.by_id["verification"]
    assert "● Verified" in page.text
    assert AuditEvent.objects.get(action="entry.verified").staff


def test_a_wrong_image_and_what_cannot_be_checked(client, staff, aws, entry, make_entry) -> None:
    client.force_login(staff)
    address = reverse("admin:orgs_registryentry_verify", args=[entry.pk])
    page = Page(client.post(address, {"image": "python:3"}, follow=True))
    assert "isn't among the images that this entry serves." in page.text and not aws.calls
    assert client.get(address).status_code == 405
    role = make_entry(f"{HOST}/role/*", registry_type="aws-ecr-role")
    page = Page(client.get(f"{LIST}{role.pk}/change/"))
    assert "an instance role only on a worker" in page.by_id["verification"]
    entry.delete()
    assert client.post(address).status_code == 302


def test_who_may(client, staff, alice, entry) -> None:
    address = reverse("admin:orgs_registryentry_verify", args=[entry.pk])
    client.force_login(alice)
    assert "/login/" in client.post(address)["Location"]
    staff.is_superuser = False
    staff.save()
    client.force_login(staff)
    assert client.post(address).status_code == 403


def test_a_selection(client, staff, ecr, entry, make_entry) -> None:
    wrong = make_entry(f"{HOST}/wrong/*")
    client.force_login(staff)
    chosen = [str(entry.pk), str(wrong.pk)]
    data = {"action": "verify", "_selected_action": chosen}
    page = Page(client.post(LIST, data, follow=True))
    assert "1 of 2 verified." in page.text
    assert f"{HOST}/wrong/*: AWS doesn't know the key" in page.text
    wrong.refresh_from_db()
    assert wrong.status == "failing"
