"""The list of all organizations' entries: searched, filtered, acted on, and as quick with more."""

from __future__ import annotations

import csv
from collections.abc import Callable
from datetime import timedelta

import pytest
from django.db.models.functions import Now

from orgs.admin import entries as admin_entries
from orgs.models import AuditEvent, RegistryEntry
from orgs.registries import private
from orgs.services.audit.events import Actor
from orgs.services.entries import door
from tests.conftest import CANARY, HOST

from .conftest import Page, at

LIST = at("registryentry_changelist")
OLD = timedelta(days=91)


@pytest.fixture
def shown(see) -> Callable[..., set[str]]:
    """The patterns that the list shows, without their host."""

    def patterns(**query: object) -> set[str]:
        page = see(at("registryentry_changelist", **query))
        assert page.status == 200
        rows = [text for text in page.texts.get("th", []) if HOST in text or "example.com" in text]
        return {text.partition("/")[2] for text in rows}

    return patterns


@pytest.fixture
def several(make_entry, umbrella, gpu) -> dict[str, RegistryEntry]:
    docker = {"registry_type": "docker", "config": {"username": "puller"}}
    return {
        "vision": make_entry(f"{HOST}/vision/*", note="for the camera team", environments=[gpu]),
        "speech": make_entry([f"{HOST}/speech/*", f"{HOST}/more"], registry_type="aws-ecr-role"),
        "umbrella": make_entry(
            "registry.example.com/secret/*",
            organization=umbrella,
            secrets={"password": CANARY},
            enabled=False,
            **docker,
        ),
    }


def test_columns(see, several) -> None:
    page = see(LIST)
    assert page.heading == "Registries"
    for text in ("Acme", "Umbrella", "ECR, instance role", "□ Disabled", "Never", "new"):
        assert text in page.text, text
    assert f"{HOST}/speech/* +1" in page.text
    assert f"{HOST}/vision/*" in page.links


@pytest.mark.parametrize(
    ("words", "found"),
    [
        ("vision", {"vision/*"}),
        ("123456789012", {"vision/*", "speech/* +1"}),
        ("umbrella", {"secret/*"}),
        ("AKIAIOSFODNN7", {"vision/*"}),
        ("akiaiosfodnn7", {"vision/*"}),
        ("ValohaiWorkerRole", {"speech/* +1"}),
        ("puller", {"secret/*"}),
        ("camera vision", {"vision/*"}),
        ("camera speech", set()),
        ("more", {"speech/* +1"}),
        ("%", set()),
        ("nowhere", set()),
        (CANARY[:12], set()),
        ("gAAAA", set()),
        ("'; --", set()),
    ],
)
def test_search(shown, several, words, found) -> None:
    assert shown(q=words) == found


@pytest.mark.parametrize(
    ("query", "found"),
    [
        ({"registry_type": "docker"}, {"secret/*"}),
        ({"registry_type": "nonsense"}, set()),
        ({"enabled__exact": "1"}, {"vision/*", "speech/* +1"}),
        ({"status__exact": "failing"}, {"vision/*"}),
        ({"status": "failing"}, {"vision/*"}),
        ({"status": "verified"}, set()),
        ({"status": "disabled"}, {"secret/*"}),
        ({"status": "unverified"}, set()),
        ({"status": "on-workers"}, {"speech/* +1"}),
        ({"status": "nonsense"}, set()),
        ({"unused": "yes"}, {"speech/* +1"}),
        ({"old_key": "yes"}, {"secret/*"}),
        ({"environment": "gpu"}, {"vision/*"}),
        ({"environment": "cpu"}, set()),
        ({"organization": "999"}, set()),
        ({"organization": "x"}, set()),
        ({"organization": "9" * 40}, set()),
        ({"unused": "no"}, {"vision/*", "speech/* +1", "secret/*"}),
    ],
)
def test_filters(shown, several, query, found) -> None:
    entry = RegistryEntry.objects
    entry.filter(pk=several["vision"].pk).update(status="failing")
    entry.filter(pk=several["speech"].pk).update(created_at=Now() - OLD)
    entry.filter(pk=several["umbrella"].pk).update(secrets_changed_at=Now() - OLD)
    assert shown(**query) == found


def test_of_one_organization(see, shown, several, acme) -> None:
    assert shown(organization=acme.pk) == {"vision/*", "speech/* +1"}
    page = see(at("registryentry_changelist", organization=acme.pk))
    assert page.heading == "Registries of Acme"
    assert page.links["Add a new entry"] == at("registryentry_add", organization=acme.pk)
    assert "GPU" in page.links


@pytest.mark.parametrize(
    "lookup",
    [
        "secrets",
        "secrets__startswith",
        "secrets__isnull",
        "created_by__password__startswith",
        "cached_logins__login__isnull",
        "organization__worker_tokens__digest__startswith",
    ],
)
def test_nothing_asks_about_secrets(stella, several, lookup) -> None:
    for sample in ("1", "gAAAA", CANARY[:5]):
        response = stella.get(LIST, {lookup: sample})
        assert response.status_code == 400


# --- actions ----------------------------------------------------------------------


def act(send, action: str, *chosen: RegistryEntry, **more: str) -> Page:
    data = {"action": action, "_selected_action": [str(entry.pk) for entry in chosen], **more}
    return send(LIST, data)


def told(action: str) -> list[tuple[str, bool]]:
    events = AuditEvent.objects.filter(action=action).order_by("pk")
    return [(event.organization, event.staff) for event in events]


def test_disable_asks_first_and_says_what_stops(send, several) -> None:
    chosen = several["vision"], several["speech"]
    page = act(send, "disable", *chosen, index="0")
    assert page.heading == "Disable these 2 entries?"
    assert "Not used in 7 days." in page.text and f"{HOST}/vision/* · Acme" in page.text
    assert RegistryEntry.objects.filter(enabled=True).count() == 2
    page = act(send, "disable", *chosen, confirmed="yes")
    assert "2 entries are disabled." in page.text
    assert not RegistryEntry.objects.filter(enabled=True).exists()
    assert told("entry.disabled") == [("Acme", True)] * 2
    for entry in chosen:
        version = RegistryEntry.objects.get(pk=entry.pk).credentials_version
        assert version == entry.credentials_version + 1


def test_enable_tells_what_is_refused(send, several, make_entry) -> None:
    door.entry_set_enabled(entry=several["vision"], actor=Actor("tests"), enabled=False)
    make_entry(f"{HOST}/vision/*", environments=several["vision"].environments)
    page = act(send, "enable", several["vision"], several["umbrella"], index="0")
    assert "1 entry is enabled." in page.text
    assert f"{HOST}/vision/*: The enabled entry {HOST}/vision/*" in page.text
    assert told("entry.enabled") == [("Umbrella", True)]


def test_delete_asks_first(send, several) -> None:
    page = act(send, "delete_with_secrets", several["umbrella"], index="0")
    assert page.heading == "Delete this entry?" and "can't be undone" in page.text
    assert RegistryEntry.objects.count() == 3
    page = act(send, "delete_with_secrets", several["umbrella"], confirmed="yes")
    assert "1 entry is deleted." in page.text and RegistryEntry.objects.count() == 2
    assert told("entry.deleted") == [("Umbrella", True)]


def test_djangos_own_delete_is_gone(send, several) -> None:
    page = act(send, "delete_selected", several["vision"], post="yes", index="0")
    assert "No action selected." in page.text and RegistryEntry.objects.count() == 3


def test_deleted_meanwhile(send, several, monkeypatch) -> None:
    def gone(**_: object) -> None:
        raise RegistryEntry.DoesNotExist

    monkeypatch.setattr(door, "entry_set_enabled", gone)
    page = act(send, "disable", several["vision"], confirmed="yes")
    assert "1 were deleted meanwhile." in page.text


def test_at_most_so_many_at_once(send, several, monkeypatch) -> None:
    monkeypatch.setattr(admin_entries, "MOST_AT_ONCE", 2)
    for action in ("enable", "disable", "delete_with_secrets"):
        page = act(send, action, *several.values(), confirmed="yes")
        assert "At most 2 at once, so nothing was changed." in page.text
    assert told("entry.disabled") == told("entry.deleted") == []


def test_export_has_no_secret(stella, several) -> None:
    data = {"action": "export_csv", "_selected_action": [str(e.pk) for e in several.values()]}
    response = stella.post(LIST, {**data, "index": "0"})
    assert response["Content-Type"] == "text/csv"
    assert "attachment" in response["Content-Disposition"]
    text = b"".join(response.streaming_content).decode()
    rows = list(csv.DictReader(text.splitlines()))
    assert [row["type"] for row in rows] == ["aws-ecr", "aws-ecr-role", "docker"]
    assert rows[0]["access_key_id"] == "AKIAIOSFODNN7EXAMPLE" and rows[2]["username"] == "puller"
    assert not any(row["secret_access_key"] or row["password"] for row in rows)


def test_reasons_and_failing_first_at_the_first_click(see, several, make_entry) -> None:
    for name, status, detail in (
        ("speech", "failing", "AWS doesn't know the key. Check it under the user's credentials."),
        ("umbrella", "failing", "It is disabled. So nothing is told."),
    ):
        told = {"status": status, "status_detail": private.marked(detail)}
        RegistryEntry.objects.filter(pk=several[name].pk).update(**told)
    long = make_entry(f"{HOST}/away/*")
    told = {"status": "unreachable", "status_detail": private.marked("It " + "never " * 99)}
    RegistryEntry.objects.filter(pk=long.pk).update(**told)
    page = see(LIST)
    assert "AWS doesn't know the key" in page.text and "Check it under" not in page.text
    assert "nothing is told" not in page.text and "It is disabled" not in page.text
    assert "never…" in page.text or ("…" in page.text and "never " * 40 not in page.text)
    # It begins so, and a first click on “Status” still says so.
    for listed in (page, see(LIST + page.links["Status"])):
        rows = [text for text in listed.texts["th"] if "/" in text]
        assert [row.partition("/")[2][:6] for row in rows][:2] == ["speech", "away/*"]


def test_organizations_with_failing_ones_first(see, several) -> None:
    RegistryEntry.objects.filter(pk=several["speech"].pk).update(status="failing")
    page = see(at("organization_changelist"))
    page = see(at("organization_changelist") + page.links["Failing"])
    rows = [text for text in page.texts["th"] if text in {"Acme", "Umbrella"}]
    assert rows == ["Acme", "Umbrella"] and "▲ 1" in page.text
    page = see(at("organization_changelist") + page.links["Failing"])
    assert [text for text in page.texts["th"] if text in {"Acme", "Umbrella"}] == rows[::-1]
