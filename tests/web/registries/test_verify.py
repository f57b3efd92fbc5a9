"""Verify on an entry's page: after saving, by button, with its steps and mends."""

from __future__ import annotations

import pytest

from orgs.models import RegistryEntry, Verification
from orgs.services.upstream import calls
from tests.conftest import CANARY, HOST, run_all
from tests.web.conftest import NEW, TYPED, Page, url

pytestmark = pytest.mark.django_db(transaction=True)

IMAGE = f"{HOST}/my-ml-image:v1.0"


@pytest.fixture(autouse=True)
def no_pauses(monkeypatch):
    monkeypatch.setattr(calls, "PAUSES", {})


@pytest.fixture
def entry(aws, make_entry):
    key_id, secret = aws.create_user("valohai", aws.policy())
    return make_entry(config={"access_key_id": key_id}, secrets={"secret_access_key": secret})


@pytest.fixture
def verify(client, alice):
    """Press Verify as alice; the page that one is led to."""

    def verify(entry, **data):
        client.force_login(alice)
        answer = client.post(url("entry_verify", entry), data)
        if answer.status_code == 302:
            assert answer["Location"] == f"{url('entry', entry)}#verification"
            answer = client.get(answer["Location"])
        return Page(answer)

    return verify


def steps(page):
    """The three steps' items, in words."""
    named = ("Login obtained", "Registry answers", "Image readable")
    return [text for text in page.texts.get("li", []) if text.startswith(named)]


def test_before_anything_was_checked(look, alice, entry) -> None:
    page = look(alice, url("entry", entry))
    assert "Not checked since it was added or changed." in page.by_id["verification"]
    assert not steps(page) and "data-starts" not in page.html
    assert page.fields["image"].get("value") is None
    assert page.texts["button"].count("Verify") == 1


def test_verified(ecr, entry, verify) -> None:
    page = verify(entry, image=f" {IMAGE} ")
    assert steps(page) == [
        "Login obtained done",
        f"Registry answers done {HOST} lets the login in.",
        f"Image readable done {IMAGE} can be pulled.",
    ]
    assert "● Verified" in page.by_id["state"]
    assert page.fields["image"]["value"] == IMAGE
    assert page.texts["button"].count("Verify") == 1


def test_a_failure_says_what_and_how(aws, entry, verify) -> None:
    aws.remove_policy("valohai")
    page = verify(entry)
    first, second, third = steps(page)
    assert first.startswith("Login obtained failed AWS accepts the key")
    assert "may not call ecr:GetAuthorizationToken" in first
    assert "Attach the policy below to that user, wait a few seconds, and verify again." in first
    assert second == "Registry answers not checked It needs the login."
    assert third == "Image readable not checked It needs the login."
    assert "▲ Failing" in page.by_id["state"]


@pytest.mark.parametrize(
    ("image", "says"),
    [
        ("docker.io/library/python:3", "isn't among the images that this entry serves. Name one"),
        (CANARY, ""),
        ("https://x/y", ""),
    ],
)
def test_an_image_that_is_not_the_entrys(image, says, aws, entry, verify) -> None:
    page = verify(entry, image=image)
    assert page.status == 200 and page.wrong == {"image"}
    assert says in page.error("image")
    assert not aws.calls and not Verification.objects.exclude(at=None).exists()


def test_members_see_the_steps_but_no_key_id_and_no_button(look, verify, bob, aws, entry) -> None:
    aws.remove_policy("valohai")
    verify(entry)
    page = look(bob, url("entry", entry))
    assert len(steps(page)) == 3 and "AWS accepts the key, but" in steps(page)[0]
    assert entry.config["access_key_id"] not in page.html
    assert "image" not in page.fields and "Verify" not in page.texts.get("button", [])


def test_saving_leads_to_a_check_once(client, look, alice, acme, aws) -> None:
    client.force_login(alice)
    page = Page(client.get(NEW))
    assert "checked" in page.fields["verify"] and "Verify after saving" in page.texts["label"]
    saved = client.post(NEW, TYPED | {"verify": "on", "image": f"{HOST}/my-repo:v1"})
    first = Page(client.get(saved["Location"]))
    assert "data-starts" in first.html and first.fields["image"]["value"] == f"{HOST}/my-repo:v1"
    assert "data-starts" not in look(alice, saved["Location"]).html
    assert not aws.calls  # in a request of its own
    assert CANARY not in str(dict(client.session))


def test_saving_without_it_and_what_only_workers_check(client, look, alice, acme) -> None:
    client.force_login(alice)
    saved = client.post(NEW, TYPED)
    assert "data-starts" not in look(alice, saved["Location"]).html
    role = {"patterns": f"{HOST}/role/*", "registry_type": "aws-ecr-role", "role_name": "Worker"}
    saved = client.post(NEW, role | {"enabled": "on", "verify": "on"})
    page = look(alice, saved["Location"])
    assert "data-starts" not in page.html and "Only a worker can check this" in page.text
    assert "docker-credential-valohai get" in page.text and "Verify" not in page.texts["button"]
    off = TYPED | {"patterns": f"{HOST}/off/*", "enabled": "", "verify": "on"}
    saved = client.post(NEW, off)
    assert "data-starts" not in look(alice, saved["Location"]).html


def test_an_image_that_cannot_be_one_stops_nobody_from_saving(client, look, alice, acme) -> None:
    client.force_login(alice)
    saved = client.post(NEW, TYPED | {"verify": "on", "image": "https://x y"})
    assert saved.status_code == 302 and RegistryEntry.objects.count() == 1
    page = look(alice, saved["Location"])
    assert "data-starts" in page.html


def test_a_type_for_workers_hides_the_choice(look, alice, acme) -> None:
    assert "hidden" in look(alice, f"{NEW}?type=aws-ecr-role").attributes["verify-after"]
    assert "hidden" not in look(alice, f"{NEW}?type=aws-ecr").attributes["verify-after"]


def test_show_its_fields_keeps_the_choice(send, alice, acme) -> None:
    page = send(alice, NEW, TYPED | {"show_fields": "1", "image": IMAGE})
    assert "checked" not in page.fields["verify"] and page.fields["image"]["value"] == IMAGE
    wrong = send(alice, NEW, TYPED | {"patterns": HOST, "verify": "on"})
    assert "checked" in wrong.fields["verify"]


def test_disabled_and_deleted(client, alice, entry, verify, actor, aws) -> None:
    RegistryEntry.objects.update(enabled=False)
    page = verify(entry)
    assert "is disabled. Enable it, then verify it." in page.text and not aws.calls
    address = url("entry_verify", entry)
    RegistryEntry.objects.all().delete()
    assert client.post(address).status_code == 404


def test_a_selection_of_the_list(client, alice, bob, ecr, entry, make_entry) -> None:
    wrong, role = (
        make_entry(f"{HOST}/wrong/*"),
        make_entry(f"{HOST}/r/*", registry_type="aws-ecr-role"),
    )
    chosen = {"action": "verify", "entry": [str(e.pk) for e in (entry, wrong, role)]}
    client.force_login(alice)
    address = client.post("/organizations/acme/registries/selected/", chosen).url
    assert "0 of 3" in Page(client.get(address)).text
    run_all()
    page = Page(client.get(address))
    assert "1 of 3 verified." in page.text
    assert f"{HOST}/wrong/* ▲ Failing AWS doesn't know the key" in page.text
    assert f"{HOST}/r/* – Not checked Only a worker can check" in page.text
    client.force_login(bob)
    assert client.post("/organizations/acme/registries/selected/", chosen).status_code == 403
