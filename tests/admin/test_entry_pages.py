"""One entry in the admin: added, changed, deleted through the service, told as staff."""

from __future__ import annotations

import pytest
from django.contrib.admin.models import LogEntry
from django.test import Client

from orgs.models import AuditEvent, Environment, RegistryEntry
from orgs.registries.problems import Problem, Refused
from orgs.services.audit.events import Actor, record
from orgs.services.entries import door
from tests.conftest import CANARY, HOST
from tests.web.conftest import NEW

from .conftest import TYPED, Page, at

KEY = "AKIAIOSFODNN7EXAMPLE"
NEW_KEY = "AKIAI44QH8DHBEXAMPLE"
ADD = "registryentry_add"
CHANGE = "registryentry_change"


def typed(**changed: str) -> dict[str, str]:
    return {**TYPED, **changed}


def edited(**changed: str) -> dict[str, str]:
    """What the change page sends: no secret, unless it's given."""
    data = typed(patterns=f"{HOST}/*", **changed)
    if "secret_access_key" not in changed:
        del data["secret_access_key"]
    return data


@pytest.fixture
def add(acme) -> str:
    return at(ADD, organization=acme.pk)


def test_labels_and_order_are_the_webs(see, client, alice, add) -> None:
    page = see(add)
    assert page.heading == "Add a new entry"
    assert "You act as staff; Acme's audit log shows it." in page.text
    labels = [label for label in page.texts["label"] if label]
    client.force_login(alice)
    assert labels == Page(client.get(NEW)).texts["label"][: len(labels)]
    wanted = ["Match pattern", "Registry type", "Access Key ID", "Secret Access Key", "Region"]
    assert labels[:5] == wanted
    assert page.texts["a"].count("another one") == 1 and "Acme" in page.links


def test_add(send, staff, alice, add) -> None:
    page = send(add, typed())
    entry = RegistryEntry.objects.get()
    assert f"{HOST}/my-repo/* is saved." in page.text
    assert page.heading == f"{HOST}/my-repo/*"
    assert entry.config == {"access_key_id": KEY, "region": "us-east-1"}
    assert door.revealed(entry) == {"secret_access_key": CANARY}
    assert entry.created_by == staff
    event = AuditEvent.objects.get()
    assert (event.action, event.actor, event.staff) == ("entry.created", staff.email, True)
    assert (event.organization, event.source_address) == ("Acme", "127.0.0.1")
    log = LogEntry.objects.get()
    assert (log.object_repr, log.change_message) == (str(entry), '[{"added": {}}]')


def test_staff_who_are_members_act_as_staff_here(client, alice, add) -> None:
    alice.is_staff = alice.is_superuser = True
    alice.save()
    client.force_login(alice)
    client.post(add, typed())
    assert AuditEvent.objects.get().staff


def test_the_organization_is_asked_first(see, send, acme) -> None:
    page = see(at(ADD))
    assert "organization" in page.fields and "patterns" not in page.fields
    assert "Choose whose images" in see(at(ADD, organization="")).text
    for wrong in ("999", "x", "1" * 40):
        assert "organization" in see(at(ADD, organization=wrong)).fields
    page = send(at(ADD), typed(organization=str(acme.pk)))
    assert "is saved" in page.text


WRONG = [
    {"patterns": ""},
    {"patterns": HOST},
    {"patterns": f"https://{HOST}/a"},
    {"patterns": f"{HOST}/a:v1"},
    {"patterns": f"{HOST}.evil.com/*"},
    {"region": "eu-west-1"},
    {"region": "nowhere"},
    {"access_key_id": ""},
    {"access_key_id": "AKIA"},
    {"access_key_id": "ASIAIOSFODNN7EXAMPLE"},
    {"access_key_id": CANARY},
    {"secret_access_key": ""},
    {"secret_access_key": "pass"},
    {"note": "x" * 501},
    {"registry_type": "nonsense"},
    {"registry_type": "aws-ecr-role", "role_name": "arn:aws:iam::123456789012:user/x"},
    {"patterns": f"{HOST}\n{HOST}/a:v1", "access_key_id": "x"},
]


@pytest.mark.parametrize("wrong", WRONG, ids=str)
def test_bad_input_is_told_as_on_the_web(wrong, send, alice, add) -> None:
    page = send(add, typed(**wrong))
    on_the_web = Client()
    on_the_web.force_login(alice)
    web = Page(on_the_web.post(NEW, typed(**wrong)))
    assert not RegistryEntry.objects.exists() and not AuditEvent.objects.exists()
    assert page.wrong == web.wrong
    for name in page.wrong:
        assert page.error(name) == web.error(name) != ""
        assert page.fields[name]["aria-invalid"] == "true"
    assert page.title.startswith("Error: Add a new entry")
    assert "errors" in page.by_id
    # All that was typed is there; what held a secret isn't.
    for name in ("access_key_id", "note", "role_name"):
        if name in page.fields:
            assert page.fields[name].get("value") == web.fields[name].get("value")
    assert page.by_id["id_patterns"] == web.by_id["id_patterns"]
    if "secret_access_key" in page.fields:
        assert "value" not in page.fields["secret_access_key"]


def test_a_duplicate_leads_to_the_entry_that_has_it(send, add, make_entry) -> None:
    entry = make_entry(f"{HOST}/my-repo/*")
    page = send(add, typed())
    assert page.wrong == {"patterns"}
    assert page.links["Open that entry"] == at(CHANGE, entry.pk)


def test_someone_was_faster(send, add, monkeypatch) -> None:
    """Refused between check and write: on the form, like any other mistake."""

    def refuse(**_: object) -> None:
        raise Refused(Problem("duplicate_pattern", "Taken.", "Choose another.", "patterns"))

    monkeypatch.setattr(door, "entry_create", refuse)
    page = send(add, typed())
    assert page.error("patterns") == "Taken. Choose another." and not LogEntry.objects.exists()


def test_show_fields_saves_nothing_and_drops_the_secret(send, see, add) -> None:
    page = send(add, typed(registry_type="docker", show_fields="1"))
    assert {"username", "password"} <= set(page.fields) and not page.wrong
    assert page.by_id["id_patterns"] == TYPED["patterns"]
    assert "errors" not in page.by_id and not RegistryEntry.objects.exists()
    back = send(add, typed(show_fields="1"))
    assert back.fields["access_key_id"]["value"] == KEY
    assert "wasn't kept" in back.by_id["id_secret_access_key_again"]
    only = see(f"{add}&type=aws-ecr-role&fields=1")
    assert set(only.fields) == {"role_name", "region", "pull_through"} and "h1" not in only.texts


def test_environments_are_the_organizations_own(see, send, add, gpu, umbrella) -> None:
    other = Environment.objects.create(organization=umbrella, name="Theirs", slug="theirs")
    page = see(add)
    assert "GPU" in page.text and "Theirs" not in page.text
    assert send(add, typed(environments=str(other.pk))).wrong == {"environments"}
    send(add, typed(environments=str(gpu.pk)))
    assert RegistryEntry.objects.get().environments == [gpu]


# --- change -----------------------------------------------------------------------


def test_the_secret_is_behind_replace(see, make_entry) -> None:
    entry = make_entry()
    page = see(at(CHANGE, entry.pk))
    assert "secret_access_key" not in page.fields
    assert "Replace" in page.texts["button"] and "a new one needs its own secret" in page.text
    page = see(f"{at(CHANGE, entry.pk)}?replace=1")
    assert "value" not in page.fields["secret_access_key"]
    assert "Leave it empty to keep the one that's stored." in page.text


def test_change_and_replace(stella, make_entry, new_keys_work) -> None:
    entry = make_entry()
    address = at(CHANGE, entry.pk)
    assert stella.post(address, edited(note="new")).status_code == 302
    entry.refresh_from_db()
    assert entry.note == "new" and door.revealed(entry) == {"secret_access_key": CANARY}
    assert stella.post(f"{address}?replace=1", edited(secret_access_key="b" * 40)).url == address
    entry.refresh_from_db()
    assert door.revealed(entry) == {"secret_access_key": "b" * 40}
    events = AuditEvent.objects.filter(action="entry.updated").order_by("pk")
    assert [event.staff for event in events] == [True, True]
    assert events[1].properties["changes"]["secret"] == "changed"
    messages = list(LogEntry.objects.order_by("pk").values_list("change_message", flat=True))
    assert '"Secret Access Key"' in messages[1]
    assert "b" * 40 not in str(messages) and KEY not in str(messages)


def test_a_changed_key_id_needs_its_secret(stella, send, make_entry, new_keys_work) -> None:
    entry = make_entry()
    page = send(at(CHANGE, entry.pk), edited(access_key_id=NEW_KEY))
    assert page.wrong == {"secret_access_key"} and page.title.startswith("Error: ")
    assert page.fields["access_key_id"]["value"] == NEW_KEY
    again = edited(access_key_id=NEW_KEY, secret_access_key="b" * 40)
    assert stella.post(at(CHANGE, entry.pk), again).status_code == 302
    assert RegistryEntry.objects.get().config["access_key_id"] == NEW_KEY


def test_another_type_asks_for_all_its_fields(see, send, make_entry) -> None:
    entry = make_entry()
    address = at(CHANGE, entry.pk)
    fields = set(see(f"{address}?type=aws-ecr-role&fields=1").fields)
    assert fields == {"role_name", "region", "pull_through"}
    assert send(address, edited(registry_type="aws-ecr-role")).wrong == {"role_name"}
    send(address, edited(registry_type="aws-ecr-role", role_name="Worker"))
    changed = RegistryEntry.objects.get()
    assert changed.pk == entry.pk and changed.registry_type == "aws-ecr-role"
    assert not changed.secrets
    assert send(address, edited()).wrong == {"secret_access_key"}


def used(entry, project, times: int) -> None:
    for _ in range(times):
        record(
            actor=Actor("worker"),
            action="login.issued",
            organization=entry.organization,
            project=project,
            subject_id=entry.pk,
        )


def test_what_stands_is_shown(see, send, alice, make_entry, project) -> None:
    entry = make_entry()
    assert "Not used in 7 days." in see(at(CHANGE, entry.pk)).text
    used(entry, project, 3)
    RegistryEntry.objects.update(status="failing", status_detail="AWS doesn't know the key.")
    page = see(at(CHANGE, entry.pk))
    assert "Used 3 times in 7 days by first-project." in page.text
    assert "their next pull will fail" in page.text
    assert "▲ Failing" in page.text and "AWS doesn't know the key." in page.text
    page = send(at(CHANGE, entry.pk), edited(note="for vision"))
    assert "staff@example.com (staff)" in page.text and "for vision" in page.texts["ins"]
    assert page.links["As its members see it"].startswith("/organizations/acme/")


def test_deleted_meanwhile(stella, send, make_entry, monkeypatch) -> None:
    entry = make_entry()

    def gone(**_: object) -> None:
        raise RegistryEntry.DoesNotExist

    monkeypatch.setattr(door, "entry_update", gone)
    monkeypatch.setattr(door, "entry_delete", gone)
    assert "Perhaps it was deleted." in send(at(CHANGE, entry.pk), edited()).text
    page = send(at("registryentry_delete", entry.pk), {"post": "yes"})
    assert "changed or deleted meanwhile" in page.text and not LogEntry.objects.exists()
    for key in ("1", "x/y", "00000000-0000-0000-0000-000000000000"):
        assert stella.get(at(CHANGE, key)).status_code == 302


# --- delete -----------------------------------------------------------------------


def test_delete_says_what_stops_working(see, send, make_entry, project) -> None:
    entry = make_entry()
    used(entry, project, 2)
    address = at("registryentry_delete", entry.pk)
    text = see(address).text
    assert "Used 2 times in 7 days by first-project; their next pull will fail." in text
    assert "The secret is erased; this can't be undone." in text
    assert "deleted" in send(address, {"post": "yes"}).text
    assert not RegistryEntry.objects.exists()
    event = AuditEvent.objects.get(action="entry.deleted")
    assert event.staff and event.actor == "staff@example.com"


def test_disable_instead(see, send, make_entry) -> None:
    entry = make_entry()
    page = see(at("registryentry_delete", entry.pk))
    assert "Disable instead" in page.html
    data = {"_selected_action": str(entry.pk), "action": "disable", "confirmed": "yes"}
    send(at("registryentry_changelist"), data)
    entry.refresh_from_db()
    assert not entry.enabled
    assert "Disable instead" not in see(at("registryentry_delete", entry.pk)).html
