"""Environments: added, renamed, and deleted once nothing is limited to them."""

from __future__ import annotations

import pytest

from orgs.models import AuditEvent, Environment, WorkerToken
from orgs.services.tenancy import tokens
from tests.conftest import HOST
from tests.web.conftest import Page

LIST = "/organizations/acme/environments/"
NEW = f"{LIST}new/"


def test_list(look, alice, bob, gpu, make_entry, actor) -> None:
    Environment.objects.create(organization=gpu.organization, name="CPU", slug="cpu")
    make_entry([f"{HOST}/a", f"{HOST}/b"], environments=[gpu])
    make_entry(f"{HOST}/c", environments=[gpu])
    bound, _ = tokens.token_issue_worker(
        organization=gpu.organization, name="w", actor=actor, environment=gpu
    )
    page = look(alice, LIST)
    rows = page.texts["tr"][1:]
    assert rows == ["CPU cpu 0 0 Rename CPU Delete CPU", "GPU gpu 2 1 Rename GPU Delete GPU"]
    tokens.token_revoke(token=bound, actor=actor)
    assert look(alice, LIST).texts["tr"][2].startswith("GPU gpu 2 0")
    page = look(bob, LIST)
    assert page.texts["tr"][2] == "GPU gpu 2 0" and "Add an environment" not in page.text


def test_empty(look, alice, bob) -> None:
    assert "No environments yet." in look(alice, LIST).text
    assert "Org admins add them." in look(bob, LIST).text


@pytest.mark.parametrize(
    ("typed", "slug"),
    [
        ({"name": "GPU workers"}, "gpu-workers"),
        ({"name": " A ", "slug": ""}, "a"),
        ({"name": "Größe", "slug": "gr"}, "gr"),
        ({"name": "x" * 100}, "x" * 60),
    ],
)
def test_add(typed, slug, client, send, alice, acme) -> None:
    client.force_login(alice)
    page = Page(client.post(NEW, typed, follow=True))
    made = Environment.objects.get()
    assert (made.organization, made.slug, made.name) == (acme, slug, typed["name"].strip())
    assert f"{made.name} is added." in page.text
    assert AuditEvent.objects.filter(
        action="environment.created", actor="alice@example.com", subject=made.name
    ).exists()


@pytest.mark.parametrize(
    ("typed", "field", "says"),
    [
        ({"name": ""}, "name", "Name is empty."),
        ({}, "name", "Name is empty."),
        ({"name": "x" * 101}, "name", "100"),
        ({"name": "日本"}, "slug", "None can be made from this name."),
        ({"name": "A", "slug": "not a slug"}, "slug", "letters, digits and dashes"),
        ({"name": "A", "slug": "x" * 61}, "slug", "60"),
        ({"name": "Other", "slug": "gpu"}, "slug", "has an environment “gpu” already"),
        ({"name": "GPU"}, "slug", "has an environment “gpu” already"),
    ],
)
def test_bad_input(typed, field, says, send, alice, gpu) -> None:
    page = send(alice, NEW, typed)
    assert page.title.startswith("Error: Add an environment") and page.wrong == {field}
    assert says in page.error(field) and ": " in page.brief(field)
    assert Environment.objects.count() == 1


def test_rename(client, look, send, alice, gpu, umbrella) -> None:
    Environment.objects.create(organization=gpu.organization, name="CPU", slug="cpu")
    Environment.objects.create(organization=umbrella, name="Labs", slug="labs")
    address = f"{LIST}{gpu.pk}/edit/"
    page = look(alice, address)
    assert (page.fields["name"]["value"], page.fields["slug"]["value"]) == ("GPU", "gpu")
    assert send(alice, address, {"name": "GPU", "slug": "cpu"}).wrong == {"slug"}
    client.post(address, {"name": "GPU, large", "slug": "labs"})
    gpu.refresh_from_db()
    assert (gpu.name, gpu.slug) == ("GPU, large", "labs")
    event = AuditEvent.objects.get(action="environment.updated")
    assert event.properties["changes"] == {"name": ["GPU", "GPU, large"], "slug": ["gpu", "labs"]}


def test_one_in_use_says_by_what(client, look, alice, gpu, make_entry, actor) -> None:
    entry = make_entry([f"{HOST}/a/*", f"{HOST}/b"], environments=[gpu])
    token, _ = tokens.token_issue_worker(
        organization=gpu.organization, name="gpu workers", actor=actor, environment=gpu
    )
    address = f"{LIST}{gpu.pk}/delete/"
    page = look(alice, address)
    assert page.heading == "GPU can't be deleted"
    assert page.links[f"{HOST}/a/*"] == f"/organizations/acme/registries/{entry.pk}/edit/"
    assert page.links["gpu workers"].endswith(f"/workers/{token.pk}/revoke/")
    assert "Delete" not in page.texts["button"]
    refused = Page(client.post(address, follow=True))
    assert f"Limited to GPU: {HOST}/a/* (+1), gpu workers. Choose other" in refused.text
    assert Environment.objects.exists()


def test_delete(client, look, alice, gpu, actor) -> None:
    token, _ = tokens.token_issue_worker(
        organization=gpu.organization, name="w", actor=actor, environment=gpu
    )
    tokens.token_revoke(token=token, actor=actor)
    address = f"{LIST}{gpu.pk}/delete/"
    assert "No entry is limited to it." in look(alice, address).text
    after = Page(client.post(address, follow=True))
    assert "GPU is deleted." in after.text
    assert not Environment.objects.exists() and not WorkerToken.objects.exists()
    assert AuditEvent.objects.filter(action="environment.deleted", subject="GPU").exists()
    assert look(alice, address).status == 404


def test_others_change_nothing(client, alice, bob, charlie, staff, gpu, umbrella) -> None:
    theirs = Environment.objects.create(organization=umbrella, name="Labs", slug="labs")
    for who, pk in ((bob, gpu.pk), (charlie, gpu.pk), (staff, gpu.pk), (alice, theirs.pk)):
        client.force_login(who)
        for verb in ("edit", "delete"):
            answer = client.post(f"{LIST}{pk}/{verb}/", {"name": "mine", "slug": "mine"})
            assert answer.status_code in {403, 404}
    assert set(Environment.objects.values_list("name", flat=True)) == {"GPU", "Labs"}
