"""A key that would replace another is tried first; the old one stays where it fails."""

from __future__ import annotations

import pytest
from django.db import connection, transaction

from orgs.models import AuditEvent, RegistryEntry
from orgs.registries.places import Places
from orgs.registries.problems import Failed
from orgs.registries.types import DockerLogin
from orgs.services.entries import door
from orgs.services.entries.changing import EntryChange
from orgs.services.entries.new_keys import KeyFailed
from orgs.services.upstream import calls
from tests.conftest import CANARY, HOST
from tests.web.conftest import NEW, TYPED, Page, url

# No test's own transaction around it: AWS is never asked inside one.
pytestmark = pytest.mark.django_db(transaction=True)

KEY = "AKIAIOSFODNN7EXAMPLE"


@pytest.fixture
def replace(client, alice):
    """Save the entry with another secret, as alice; the answer, or the page with errors."""

    def replace(entry, secret="b" * 40, key_id=KEY, **changed):
        client.force_login(alice)
        data = TYPED | {"patterns": f"{HOST}/*", "note": "", "access_key_id": key_id}
        data |= {"secret_access_key": secret, **changed}
        answer = client.post(url("entry_edit", entry) + "?replace=1", data)
        return answer if answer.status_code == 302 else Page(answer)

    return replace


@pytest.fixture
def key(aws):
    return aws.create_user("valohai", aws.policy())


@pytest.fixture
def no_pauses(monkeypatch):
    paused = []
    monkeypatch.setattr(calls.time, "sleep", paused.append)
    return paused


def stored(entry):
    entry.refresh_from_db()
    return door.revealed(entry)["secret_access_key"]


def test_a_key_that_works_replaces(replace, aws, key, make_entry, no_pauses) -> None:
    entry = make_entry()
    key_id, secret = key
    assert replace(entry, secret, key_id).status_code == 302
    assert stored(entry) == secret and len(aws.calls) == 1


def test_a_secret_that_is_not_the_keys(replace, aws, key, make_entry, no_pauses) -> None:
    key_id, secret = key
    entry = make_entry(config={"access_key_id": key_id}, secrets={"secret_access_key": secret})
    before = list(RegistryEntry.objects.values())
    page = replace(entry, "x" * 40, key_id)
    assert page.title.startswith("Error: Edit")
    assert page.error("secret_access_key") == (
        "The new key failed, so the old one stays in use. AWS knows the key "
        f"{key_id}, but this secret isn't its own. Replace the secret; if it's lost, create a "
        "new key in IAM, since AWS shows a secret only once."
    )
    assert "x" * 40 not in page.html and "value" not in page.fields["secret_access_key"]
    assert page.by_id["id_secret_access_key_again"].startswith("What you typed here wasn't kept.")
    assert "Try again" in page.texts["button"] and "Save" not in page.texts["button"]
    assert "Use it anyway" in page.texts["label"] and "checked" not in page.fields["use_anyway"]
    assert list(RegistryEntry.objects.values()) == before
    assert not AuditEvent.objects.filter(action="entry.updated").exists()
    assert len(aws.calls) == 1 and no_pauses == []


def test_an_unknown_key_is_tried_three_times(replace, aws, make_entry, no_pauses) -> None:
    page = replace(make_entry(), key_id="AKIAI44QH8DHBEXAMPLE")
    assert "AWS doesn't know the key AKIAI44QH8DHBEXAMPLE" in page.error("secret_access_key")
    assert len(aws.calls) == 3 and sum(no_pauses) < calls.NEW_KEY_SECONDS


def test_a_key_that_comes_to_be_known(replace, make_entry, no_pauses, monkeypatch) -> None:
    """IAM tells its regions of a new key with a delay."""
    entry, tried = make_entry(), []

    def login(self, config, secrets, ask):
        tried.append(secrets["secret_access_key"])
        if len(tried) < 3:
            raise Failed("invalid_key", "AWS doesn't know the key.", "Check it.")
        return DockerLogin("AWS", "p", None)

    monkeypatch.setattr("orgs.registries.aws_ecr.AwsEcr.login", login)
    assert replace(entry).status_code == 302
    assert stored(entry) == "b" * 40 and len(tried) == 3


def test_a_fault_that_is_not_the_keys(replace, aws, key, make_entry, no_pauses) -> None:
    entry = make_entry()
    aws.fault("throttle")
    key_id, secret = key
    page = replace(entry, secret, key_id)
    assert "The new key couldn't be tested, so the old one stays in use." in page.text
    assert stored(entry) == CANARY


def test_use_it_anyway(replace, aws, make_entry, no_pauses) -> None:
    entry = make_entry()
    assert replace(entry, use_anyway="on").status_code == 302
    assert stored(entry) == "b" * 40 and not aws.calls
    page = replace(entry, secret="", key_id="AKIAI44QH8DHBEXAMPLE", use_anyway="on")
    assert page.wrong == {"secret_access_key"} and "checked" in page.fields["use_anyway"]


def test_wrong_input_is_told_before_anything_is_tried(replace, aws, make_entry) -> None:
    page = replace(make_entry(), secret="short", patterns=HOST)
    assert page.wrong == {"patterns", "secret_access_key"} and not aws.calls
    assert "use_anyway" not in page.fields


@pytest.mark.parametrize(
    "changed",
    [{"secret_access_key": ""}, {"enabled": ""}, {"registry_type": "aws-ecr-role",
                                                    "role_name": "Worker"}],
    ids=["kept", "disabled", "another-type"],
)  # fmt: skip
def test_nothing_to_try(changed, replace, aws, make_entry) -> None:
    entry = make_entry()
    assert replace(entry, **{"secret": "b" * 40, **changed}).status_code == 302
    assert not aws.calls


def test_a_disabled_entrys_key_and_a_new_entrys_are_not_tried(
    replace, client, aws, alice, make_entry
) -> None:
    assert replace(make_entry(enabled=False)).status_code == 302
    client.force_login(alice)
    assert client.post(NEW, TYPED).status_code == 302
    assert not aws.calls


def test_a_pattern_for_any_account(replace, aws, key, make_entry, no_pauses) -> None:
    pattern = "*.dkr.ecr-fips.us-east-1.amazonaws.com/*"
    key_id, secret = key
    assert replace(make_entry(pattern), secret, key_id, patterns=pattern).status_code == 302
    assert len(aws.calls) == 1


def test_the_admin_tries_too(client, staff, aws, make_entry, no_pauses) -> None:
    entry = make_entry()
    client.force_login(staff)
    address = f"/admin/orgs/registryentry/{entry.pk}/change/?replace=1"
    data = TYPED | {"patterns": f"{HOST}/*", "secret_access_key": "b" * 40}
    page = Page(client.post(address, data))
    assert "The new key failed, so the old one stays in use." in page.text
    assert "use_anyway" in page.fields and stored(entry) == CANARY
    assert page.html.count('value="Try again"') == 1
    assert client.post(address, data | {"use_anyway": "on"}).status_code == 302
    assert stored(entry) == "b" * 40


def test_never_inside_a_transaction(replace, make_entry, monkeypatch) -> None:
    inside = []

    def login(*args):
        inside.append(connection.in_atomic_block)

    monkeypatch.setattr("orgs.registries.aws_ecr.AwsEcr.login", login)
    entry = make_entry()
    assert replace(entry).status_code == 302
    assert inside == [False]
    with transaction.atomic(), pytest.raises(AssertionError, match="never called inside"):
        prove(entry)


def test_only_a_few_at_once(make_entry, monkeypatch) -> None:
    monkeypatch.setattr(calls, "PAGES", Places(1, "Full."))
    monkeypatch.setattr("orgs.registries.aws_ecr.AwsEcr.login", lambda *args: None)
    entry = make_entry()
    prove(entry)
    with calls.looking(entry), pytest.raises(KeyFailed) as told:
        prove(entry)
    assert told.value.code == "busy"
    prove(entry)


def prove(entry: RegistryEntry) -> None:
    change = EntryChange(secrets={"secret_access_key": "b" * 40})
    door.change_prove(entry=entry, change=change, attended=True)
