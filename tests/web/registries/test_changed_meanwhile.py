"""A form writes what its person changed; what others changed since is told, not undone."""

from __future__ import annotations

import json

import pytest
from django.urls import reverse

from orgs.models import AuditEvent, RegistryEntry
from orgs.services.audit.events import Actor
from orgs.services.entries import door
from orgs.services.entries.changing import EntryChange
from tests.conftest import CANARY, HOST
from tests.web.conftest import Page, url

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("new_keys_work")]


@pytest.fixture
def entry(make_entry, gpu):
    return make_entry(note="as it was", environments=[gpu])


@pytest.fixture(params=["web", "admin"])
def face(request, client, alice, staff, entry):
    """The edit page of either face, for who may; gives its address."""
    client.force_login(alice if request.param == "web" else staff)
    if request.param == "web":
        return url("entry_edit", entry)
    return reverse("admin:orgs_registryentry_change", args=[entry.pk])


@pytest.fixture
def others(entry, bob):
    def others(**change):
        change = EntryChange(**change)
        door.entry_update(entry=entry, actor=Actor("bob", bob), change=change)

    return others


@pytest.fixture
def shown(client, face):
    """What the page sends where nothing is typed."""
    page = client.get(face)
    form = page.context["form"]
    data = {"shown": form["shown"].value(), "patterns": form["patterns"].value()}
    data |= {"registry_type": form.type.slug, "note": form["note"].value()}
    data |= {f.name: form[f.name].value() for f in form.type.config_fields}
    data |= {"environments": form["environments"].value(), "enabled": "on"}
    assert Page(page).fields["shown"]["value"] == data["shown"]
    return data


def test_nothing_typed_changes_nothing(client, face, shown) -> None:
    before = RegistryEntry.objects.values().get()
    assert client.post(face, shown).status_code == 302
    assert RegistryEntry.objects.values().get() == before
    assert not AuditEvent.objects.filter(action="entry.updated").exists()


def test_a_note_of_several_lines_stays_so(client, face, shown, others) -> None:
    others(note=" two\nlines ")
    now = client.get(face).context["form"]["shown"].value()
    sent = shown | {"shown": now, "note": "twolines", "patterns": f"{HOST}/b/*"}
    assert client.post(face, sent).status_code == 302
    found = RegistryEntry.objects.get()
    assert (found.note, found.pattern_texts) == (" two\nlines ", [f"{HOST}/b/*"])


def test_what_others_changed_is_told_and_stays(client, face, shown, others, bob) -> None:
    others(enabled=False, environments=[])
    page = Page(client.post(face, shown | {"note": "typed"}))
    assert (
        f"{bob} changed this entry since you opened it: Environments, Enabled. What you typed "
        "is kept; the rest shows how it is now. Look it over and save again."
    ) in page.text
    assert page.fields["note"]["value"] == "typed"
    assert "checked" not in page.fields["enabled"]
    assert "checked" not in page.fields["environments"]
    assert RegistryEntry.objects.get().note == "as it was"
    again = shown | {"note": "typed", "shown": page.fields["shown"]["value"], "environments": []}
    del again["enabled"]
    assert client.post(face, again).status_code == 302
    found = RegistryEntry.objects.get()
    assert (found.note, found.enabled, found.environments) == ("typed", False, [])


def test_what_both_changed_is_kept_as_typed(client, face, shown, others) -> None:
    others(note="theirs", patterns=[f"{HOST}/theirs/*"])
    page = Page(client.post(face, shown | {"note": "mine"}))
    assert "since you opened it: Match pattern, Note." in page.text
    assert page.fields["note"]["value"] == "mine"
    assert page.by_id["id_patterns"] == f"{HOST}/theirs/*"


def test_a_secret_is_not_given_back(client, face, shown, others) -> None:
    others(secrets={"secret_access_key": "c" * 40})
    page = Page(client.post(face, shown | {"secret_access_key": "b" * 40}))
    assert (
        "since you opened it: Secret Access Key. What you typed is kept, but for Secret Access "
        "Key, which you enter again; the rest shows how it is now."
    ) in page.text
    assert "b" * 40 not in page.html and "c" * 40 not in page.html and CANARY not in page.html
    assert "value" not in page.fields["secret_access_key"]
    assert door.revealed(RegistryEntry.objects.get()) == {"secret_access_key": "c" * 40}


def test_another_type_meanwhile(client, face, shown, others) -> None:
    others(registry_type="aws-ecr-role", config={"role_name": "Worker"})
    page = Page(client.post(face, shown | {"access_key_id": "AKIAI44QH8DHBEXAMPLE"}))
    assert "since you opened it: Registry type, Role name" in page.text
    assert RegistryEntry.objects.get().registry_type == "aws-ecr-role"


@pytest.mark.parametrize("typed", [{"note": "typed"}, {"region": "eu-west-1"}, {"enabled": ""}])
def test_another_type_meanwhile_is_never_undone(typed, client, face, shown, others) -> None:
    """However often the form is sent: its fields are those of the type it was."""
    others(registry_type="aws-ecr-role", config={"role_name": "Worker"})
    before = RegistryEntry.objects.values().get()
    sent = shown | typed
    for _ in range(3):
        answer = client.post(face, sent)
        assert answer.status_code == 200
        page = Page(answer)
        assert "so it can't be saved. Open it anew." in page.text
        sent = sent | {"shown": page.fields["shown"]["value"]}
    assert RegistryEntry.objects.values().get() == before
    if "/admin/" not in face:
        assert "Open the form anew" in page.text


def test_a_type_that_its_person_chose_wins_by_a_second_press(client, face, shown, others) -> None:
    others(note="theirs")
    sent = shown | {"registry_type": "aws-ecr-role", "role_name": "Mine", "region": "us-east-1"}
    page = Page(client.post(face, sent))
    assert "since you opened it: Note." in page.text
    again = sent | {"shown": page.fields["shown"]["value"], "note": "theirs"}
    assert client.post(face, again).status_code == 302
    found = RegistryEntry.objects.get()
    assert (found.registry_type, found.note) == ("aws-ecr-role", "theirs")


def test_repeating_what_others_did_is_heard(client, face, shown, others) -> None:
    others(note="the same")
    assert client.post(face, shown | {"note": "the same"}).status_code == 302


@pytest.mark.parametrize("junk", ["", "{", "[]", "7", "null", "[" * 9000, '{"updated_at": 1}'])
def test_without_what_was_shown_only_what_differs_is_written(
    junk, client, face, shown, others
) -> None:
    others(note="theirs")
    assert client.post(face, shown | {"shown": junk, "patterns": f"{HOST}/b/*"}).status_code == 302
    assert RegistryEntry.objects.get().pattern_texts == [f"{HOST}/b/*"]


def test_values_of_any_kind_do_no_harm(client, face, shown) -> None:
    told = json.loads(shown["shown"])
    for name in told:
        for junk in (None, 7, [], {}, "x", [[]], "9999-99-99T99:99:99Z"):
            sent = shown | {"shown": json.dumps(told | {name: junk}), "note": "typed"}
            assert client.post(face, sent).status_code in {200, 302}
    assert RegistryEntry.objects.get().pattern_texts == [f"{HOST}/*"]


def test_other_fields_meanwhile_keep_what_was_shown(client, face, shown, others) -> None:
    """«Show its fields» in between: the form still knows what it began with."""
    others(enabled=False)
    data = shown | {"show_fields": "1", "note": "typed"}
    form = client.post(face, data).context["form"]
    assert form["shown"].value() == shown["shown"]
    assert RegistryEntry.objects.get().enabled is False
