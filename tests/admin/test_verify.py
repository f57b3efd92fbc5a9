"""Verify in the admin: on an entry's page and for a selection of the list."""

from __future__ import annotations

import pytest
from django.urls import reverse

from orgs.models import AuditEvent, Run
from orgs.services.upstream import calls
from tests.conftest import HOST, run_all
from tests.web.conftest import TYPED, Page

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


def test_after_saving_once_and_not_in_the_same_request(client, staff, acme, aws) -> None:
    client.force_login(staff)
    add = reverse("admin:orgs_registryentry_add")
    page = Page(client.get(add, {"organization": acme.pk}))
    assert "checked" in page.fields["verify"] and "Verify after saving" in page.texts["label"]
    typed = TYPED | {"organization": acme.pk, "verify": "on", "image": f"{HOST}/my-repo:v1"}
    saved = client.post(add, typed)
    assert not aws.calls
    first = Page(client.get(saved["Location"]))
    assert "data-starts" in first.attributes["verify-form"]
    assert first.attributes["verify_image"]["value"] == f"{HOST}/my-repo:v1"
    assert "Press Verify to see that it works." in first.by_id["verification"]
    assert "data-starts" not in Page(client.get(saved["Location"])).html
    # A change by the same form, and one that asks for nothing.
    for verify in ({"verify": "on"}, {}):
        change = {"patterns": f"{HOST}/my-repo/*", "registry_type": "aws-ecr", "enabled": "on"}
        change |= {"access_key_id": "AKIAIOSFODNN7EXAMPLE", "note": f"{verify}"}
        client.post(saved["Location"], change | verify)
        assert ("data-starts" in Page(client.get(saved["Location"])).html) is bool(verify)
    assert not aws.calls


def test_after_saving_what_only_workers_check(client, staff, acme) -> None:
    client.force_login(staff)
    role = {"patterns": f"{HOST}/role/*", "registry_type": "aws-ecr-role", "role_name": "Worker"}
    add = reverse("admin:orgs_registryentry_add")
    saved = client.post(add, role | {"organization": acme.pk, "enabled": "on", "verify": "on"})
    assert "data-starts" not in Page(client.get(saved["Location"])).html
    page = Page(client.get(add, {"organization": acme.pk, "type": "aws-ecr-role"}))
    assert "hidden" in page.attributes["verify-after"]


def test_it_stands_in_the_entrys_history(client, staff, aws, entry) -> None:
    client.force_login(staff)
    address = reverse("admin:orgs_registryentry_verify", args=[entry.pk])
    aws.remove_policy("valohai")
    page = Page(client.post(address, follow=True))
    assert "staff@example.com (staff) Checked: " in page.by_id["history"]
    code = AuditEvent.objects.get(action="entry.verified").code
    assert code != "ok" and f"Checked: {code}." in page.by_id["history"]
    history = Page(client.get(reverse("admin:orgs_registryentry_history", args=[entry.pk])))
    assert f"Checked: {code}" in history.text


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
    assert "2 of Acme are being verified. See how far it is" in page.text
    again = Page(client.post(LIST, data, follow=True))
    assert "2 of Acme were being verified already." in again.text
    run_all()
    run = Page(client.get(reverse("run", args=["acme", Run.objects.get().pk])))
    assert "1 of 2 verified." in run.text and "begun by staff@example.com (staff)" in run.text
    wrong.refresh_from_db()
    assert wrong.status == "failing"
