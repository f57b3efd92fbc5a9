"""A change writes what it gives and nothing else, into what stands by then."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest
from django.db.models.functions import Now

from orgs.models import AuditEvent, RegistryEntry
from orgs.registries.places import Full
from orgs.registries.problems import Failed, Refused
from orgs.services.entries import door
from orgs.services.entries.changing import ChangedMeanwhile, EntryChange
from orgs.services.entries.new_keys import ANYWAY, KeyFailed
from orgs.services.entries.status import status_mark
from orgs.services.upstream import calls
from tests.conftest import CANARY, HOST

# No test's own transaction around it: AWS is never asked inside one.
pytestmark = pytest.mark.django_db(transaction=True)

KEY = "AKIAIOSFODNN7EXAMPLE"
OTHER = "AKIAI44QH8DHBEXAMPLE"
NEW = EntryChange(secrets={"secret_access_key": "b" * 40}, made_for="aws-ecr")


@pytest.fixture
def update(actor):
    def update(entry, change, **rest):
        return door.entry_update(entry=entry, actor=actor, change=change, **rest)

    return update


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        (EntryChange(), {}),
        (EntryChange(note=""), {"note": ""}),
        (EntryChange(enabled=False), {"enabled": False}),
        (EntryChange(patterns=[f"{HOST}/b/*"]), {"patterns": [f"{HOST}/b/*"]}),
        (EntryChange(environments=[]), {"environments": []}),
        (EntryChange(config={"region": ""}), {}),
    ],
    ids=["nothing", "note", "enabled", "patterns", "environments", "region"],
)
def test_what_is_not_given_stays(change, expected, update, make_entry, gpu):
    """Told a stale entry, too: what stands is read behind the lock."""
    entry = make_entry()
    update(entry, EntryChange(note="others", environments=[gpu]))
    update(entry, change)
    stands = {"note": "others", "enabled": True, "patterns": [f"{HOST}/*"], "environments": [gpu]}
    found = RegistryEntry.objects.get()
    assert found.config == {"access_key_id": KEY, "region": "us-east-1"}
    assert {
        "note": found.note,
        "enabled": found.enabled,
        "patterns": found.pattern_texts,
        "environments": found.environments,
    } == stands | expected
    assert door.revealed(found) == {"secret_access_key": CANARY}


def test_fields_of_a_type_that_it_no_longer_has(update, make_entry):
    entry = make_entry()
    role = {"registry_type": "aws-ecr-role", "config": {"role_name": "Worker"}}
    update(entry, EntryChange(**role, made_for="aws-ecr-role"))
    for late in (NEW, EntryChange(config={"region": "us-east-1"}, made_for="aws-ecr")):
        with pytest.raises(ChangedMeanwhile):
            update(entry, late)
    assert update(entry, EntryChange(note="new")).registry_type == "aws-ecr-role"


def test_what_it_was_made_from(update, make_entry):
    entry = make_entry()
    seen = RegistryEntry.objects.get().updated_at
    changed = update(entry, EntryChange(note="a", made_from=seen))
    assert changed.updated_at > seen
    for late in (EntryChange(note="b"), EntryChange(patterns=[HOST])):
        with pytest.raises(ChangedMeanwhile) as refused:
            update(entry, replace(late, made_from=seen))
        assert refused.value.code == "changed_meanwhile"
    # Whoever repeats what stands was heard already.
    update(entry, EntryChange(note="a", made_from=seen))
    assert RegistryEntry.objects.get().updated_at == changed.updated_at
    with pytest.raises(Refused) as wrong:
        update(entry, EntryChange(patterns=[HOST], made_from=changed.updated_at))
    assert wrong.value.code == "bare_host"


def test_no_two_changes_have_the_same_moment(update, make_entry, monkeypatch):
    """SQLite's clock counts milliseconds, and one that is set right goes back."""
    now = door.database_now()
    monkeypatch.setattr(door, "database_now", lambda: now)
    entry = make_entry()
    for number in range(1, 5):  # not even with the moment that it was made
        changed = update(entry, EntryChange(note=str(number))).updated_at
        assert changed == now + number * timedelta(microseconds=1)
    now -= timedelta(hours=1)
    assert update(entry, EntryChange(note="back")).updated_at == now


# --- new keys, where nobody is there to be asked --------------------------------------


@pytest.fixture
def tried(monkeypatch):
    """What was tried; each raises what is put into `failing`."""

    class Tried(list):
        failing: Failed | None = None

    found = Tried()

    def one(kind, config, secrets, host, entry):
        found.append(secrets["secret_access_key"])
        if found.failing:
            raise found.failing

    monkeypatch.setattr(calls, "try_credentials", one)
    return found


@pytest.fixture
def working(make_entry):
    entry = make_entry()
    status_mark(entry, RegistryEntry.Status.VERIFIED)
    return entry


def test_a_refused_key_never_replaces_one_that_works(update, working, tried):
    tried.failing = Failed("invalid_key", "AWS doesn't know the key.", "Check it.")
    with pytest.raises(KeyFailed) as refused:
        update(working, NEW)
    (problem,) = refused.value.problems
    assert (problem.code, problem.field) == ("invalid_key", "secret_access_key")
    assert str(problem) == (
        "The new key failed, so the old one stays in use. AWS doesn't know the key. Check it."
    )
    assert tried == ["b" * 40]
    assert door.revealed(RegistryEntry.objects.get()) == {"secret_access_key": CANARY}
    assert not AuditEvent.objects.filter(action="entry.updated").exists()


def test_one_that_cannot_be_tried_does(update, working, tried):
    tried.failing = Failed("registry_unreachable", "No answer.", "Wait.", 5)
    with pytest.raises(KeyFailed):
        update(working, NEW, attended=True)
    update(working, NEW)
    found = RegistryEntry.objects.get()
    assert door.revealed(found) == {"secret_access_key": "b" * 40}
    assert found.status == RegistryEntry.Status.UNVERIFIED


def test_that_too_many_are_tried_lets_none_pass(update, working, tried):
    """It's our own doing, and a script's with ten at once: no outage."""
    tried.failing = Full("Many are asked.", 3)
    for attended, refusal in ((False, Full), (True, KeyFailed)):
        with pytest.raises(refusal):
            update(working, NEW, attended=attended)
    assert door.revealed(RegistryEntry.objects.get()) == {"secret_access_key": CANARY}


def _used(entry, **ago):
    moment = Now() - timedelta(**ago)
    RegistryEntry.objects.filter(pk=entry.pk).update(last_used_at=moment)
    return RegistryEntry.objects.get(pk=entry.pk)


@pytest.mark.parametrize(
    "between",
    [
        [EntryChange(patterns=[HOST.replace("us-east-1", "us-west-2") + "/*"],
                     config={"region": "us-west-2"})],
        [EntryChange(enabled=False), EntryChange(enabled=True)],
        [EntryChange(config={"access_key_id": "AKIAIOSFODNN7EXAMPLE"})],
    ],
    ids=["another region", "off and on", "nothing"],
)  # fmt: skip
def test_a_change_of_something_else_doesnt_forget_that_a_key_worked(
    between, update, working, tried
):
    RegistryEntry.objects.update(secrets_changed_at=Now() - timedelta(days=2))
    entry = _used(working, days=1)
    for change in between:
        entry = update(entry, change)
    tried.failing = Failed("invalid_key", "AWS doesn't know the key.", "Check it.")
    with pytest.raises(KeyFailed):
        update(entry, NEW)


def test_a_login_of_the_key_before_is_no_proof_of_this_one(update, make_entry, tried):
    entry = _used(make_entry(), days=1)  # its secret is newer
    update(entry, NEW)
    assert tried == []


@pytest.mark.parametrize(
    "change",
    [
        EntryChange(secrets={"secret_access_key": CANARY}, made_for="aws-ecr"),
        replace(NEW, enabled=False),
        EntryChange(note="x"),
        EntryChange(registry_type="aws-ecr-role", config={"role_name": "Worker"}),
    ],
    ids=["the same again", "disabled with it", "no key", "another type"],
)
def test_nothing_to_try(change, update, working, tried):
    update(working, change)
    assert tried == []


def test_nothing_that_works_to_be_lost(update, make_entry, tried):
    update(make_entry(), NEW)
    assert tried == []


def test_anyway(update, working, tried):
    update(working, NEW, proof=ANYWAY)
    assert tried == []


def test_a_proof_is_of_what_is_written(update, working, tried):
    """Another region came in meanwhile: that key was never tried there."""
    proof = door.change_prove(entry=working, change=NEW, attended=True)
    moved = EntryChange(
        patterns=[HOST.replace("us-east-1", "eu-west-1") + "/*"], config={"region": ""}
    )
    update(working, moved)
    status_mark(RegistryEntry.objects.get(), RegistryEntry.Status.VERIFIED)
    with pytest.raises(ChangedMeanwhile):
        update(working, NEW, proof=proof)
    update(RegistryEntry.objects.get(), NEW)  # which tries it again
    assert len(tried) == 2


def test_an_entry_that_comes_to_work_meanwhile(update, make_entry, tried):
    """Read before its first login, locked after it: its key is tried then."""
    entry = make_entry()
    status_mark(entry, RegistryEntry.Status.VERIFIED)
    assert entry.status == RegistryEntry.Status.UNVERIFIED
    tried.failing = Failed("access_denied", "No.", "Ask.")
    with pytest.raises(KeyFailed):
        update(entry, NEW)
