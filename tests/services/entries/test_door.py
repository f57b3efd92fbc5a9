"""The one door: what it takes, what it refuses, what rises and what is forgotten."""

import dataclasses
import json

import pytest
from django.db import IntegrityError
from django.db.models import RestrictedError
from django.utils import timezone

from orgs.models import AuditEvent, CachedLogin, IndexedPattern, RegistryEntry
from orgs.registries.problems import Refused
from orgs.services.entries import door, validating
from orgs.services.entries.validating import EntrySpec
from tests.conftest import CANARY, HOST, changed_to

pytestmark = pytest.mark.django_db

KEY = "AKIAIOSFODNN7EXAMPLE"


def spec(**changes):
    base = EntrySpec(
        registry_type="aws-ecr",
        patterns=[f"{HOST}/*"],
        config={"access_key_id": KEY, "region": ""},
        secrets={"secret_access_key": CANARY},
    )
    return dataclasses.replace(base, **changes)


def codes(refused):
    return {problem.code for problem in refused.value.problems}


def test_create_writes_entry_patterns_and_event(acme, actor):
    entry = door.entry_create(organization=acme, actor=actor, spec=spec())
    entry = RegistryEntry.objects.get(pk=entry.pk)
    assert entry.config == {"access_key_id": KEY, "region": "us-east-1"}
    assert json.loads(entry.secrets.reveal(entry.sealed_for)) == {"secret_access_key": CANARY}
    assert [row.normalized for row in entry.patterns.all()] == [f"{HOST}/*"]
    event = AuditEvent.objects.get()
    assert (event.action, event.subject_id) == ("entry.created", str(entry.pk))
    assert CANARY not in json.dumps(event.properties)


@pytest.mark.parametrize(
    ("changes", "code", "field", "says"),
    [
        ({"patterns": [HOST]}, "bare_host", "patterns", f"Write {HOST}/*"),
        ({"patterns": [f"https://{HOST}/*"]}, "scheme_in_pattern", "patterns", f"Write {HOST}/*"),
        ({"patterns": [f"{HOST}/a:v1"]}, "tag_in_pattern", "patterns", f"Write {HOST}/a"),
        (
            {"patterns": [f"{HOST}.evil.com/*"]},
            "lookalike_host",
            "patterns",
            f"Write {HOST}/*",
        ),
        ({"patterns": ["registry.example.com/*"]}, "lookalike_host", "patterns", "isn't an Amazon"),
        ({"patterns": [f"{HOST}:8443/*"]}, "lookalike_host", "patterns", "isn't one"),
        ({"patterns": []}, "required", "patterns", "empty"),
        (
            {"config": {"access_key_id": KEY, "region": "eu-west-1"}},
            "region_mismatch",
            "region",
            "Choose us-east-1",
        ),
        (
            {"config": {"access_key_id": KEY, "region": "cn-north-1"}},
            "partition_mismatch",
            "region",
            "Choose us-east-1",
        ),
        (
            {"config": {"access_key_id": "AKIA1"}},
            "key_id_shape",
            "access_key_id",
            "5 characters, 15 short",
        ),
        ({"config": {"access_key_id": CANARY}}, "key_id_shape", "access_key_id", "looks like"),
        (
            {"config": {"access_key_id": "ASIAIOSFODNN7EXAMPLE"}},
            "temporary_key",
            "access_key_id",
            "begins with AKIA",
        ),
        ({"secrets": {}}, "secret_required", "secret_access_key", "is empty"),
        (
            {"secrets": {"secret_access_key": " \n"}},
            "secret_required",
            "secret_access_key",
            "is empty",
        ),
        ({"secrets": {"secret_access_key": KEY}}, "secret_shape", "secret_access_key", "40"),
        ({"registry_type": "azure"}, "unknown_type", "registry_type", "aws-ecr"),
        (
            {
                "registry_type": "aws-ecr-role",
                "config": {"role_name": "arn:aws:iam::1:user/x"},
                "secrets": {},
            },
            "role_name_shape",
            "role_name",
            "role's name",
        ),
    ],
)
def test_bad_input_is_refused_with_field_and_fix(acme, actor, changes, code, field, says):
    with pytest.raises(Refused) as refused:
        door.entry_create(organization=acme, actor=actor, spec=spec(**changes))
    problem = next(p for p in refused.value.problems if p.code == code)
    assert problem.field == field
    assert says in str(problem)
    assert CANARY not in str(refused.value)
    assert not RegistryEntry.objects.exists()
    assert not AuditEvent.objects.exists()


def test_all_problems_come_at_once(acme, actor):
    bad = spec(patterns=[HOST, "a:v1"], config={"access_key_id": "x"}, secrets={})
    with pytest.raises(Refused) as refused:
        door.entry_create(organization=acme, actor=actor, spec=bad)
    assert {"bare_host", "tag_in_pattern", "key_id_shape"} <= codes(refused)


def test_blanks_in_keys_are_removed_and_arns_reduced(acme, actor):
    given = spec(
        config={"access_key_id": f" {KEY[:4]} {KEY[4:]} "},
        secrets={"secret_access_key": f" {CANARY}\n"},
    )
    entry = door.entry_create(organization=acme, actor=actor, spec=given)
    assert entry.config["access_key_id"] == KEY
    assert door.revealed(entry) == {"secret_access_key": CANARY}
    role = spec(
        registry_type="aws-ecr-role",
        patterns=[f"{HOST}/role/*"],
        config={"role_name": "arn:aws:iam::123456789012:role/team/ml/Worker"},
        secrets={},
    )
    made = door.entry_create(organization=acme, actor=actor, spec=role)
    assert made.config == {"role_name": "Worker", "region": "us-east-1"}


def test_a_duplicate_names_the_entry_that_has_it(make_entry, acme, actor):
    make_entry()
    with pytest.raises(Refused) as refused:
        again = spec(patterns=[f"{HOST.upper()}:443/*"])
        door.entry_create(organization=acme, actor=actor, spec=again)
    assert codes(refused) == {"duplicate_pattern"}
    assert "AWS ECR (IAM credentials), all environments" in str(refused.value)


def test_a_disabled_entry_reserves_nothing(make_entry, acme, actor):
    first = make_entry()
    door.entry_set_enabled(entry=first, actor=actor, enabled=False)
    make_entry()
    with pytest.raises(Refused) as refused:
        door.entry_set_enabled(entry=first, actor=actor, enabled=True)
    assert codes(refused) == {"duplicate_pattern"}


def test_the_database_holds_uniqueness_too(make_entry, acme):
    row = make_entry().patterns.get()
    with pytest.raises(IntegrityError):
        IndexedPattern.objects.create(**_values(row))


def test_other_environment_or_organization_may_have_the_pattern(make_entry, gpu, umbrella):
    make_entry()
    make_entry(environments=[gpu])
    make_entry(organization=umbrella)
    assert IndexedPattern.objects.count() == 3


def _values(row):
    names = [f.attname for f in IndexedPattern._meta.concrete_fields if f.name != "id"]
    return {name: getattr(row, name) for name in names}


def test_wildcards_at_one_place_are_limited(make_entry, acme, actor, monkeypatch):
    monkeypatch.setattr(validating, "MAX_WILDCARD_PATHS", 3)
    make_entry([f"{HOST}/a-*", f"{HOST}/b-*"])
    make_entry(f"{HOST}/c-*")
    make_entry(f"{HOST}/deeper/c-*")
    with pytest.raises(Refused) as refused:
        make_entry(f"{HOST}/d-*")
    assert codes(refused) == {"too_many_wildcards"}


# --- changing -----------------------------------------------------------------


def _cached(entry):
    return CachedLogin.objects.create(
        entry=entry, credentials_version=entry.credentials_version, expires_at=timezone.now()
    )


@pytest.mark.parametrize(
    ("changes", "rises"),
    [
        ({}, False),
        ({"note": "new"}, False),
        ({"patterns": [f"{HOST}/other/*"]}, False),
        ({"secrets": {}}, False),
        ({"secrets": {"secret_access_key": "b" * 40}}, True),
        ({"config": {"access_key_id": "AKIAOTHERKEY12345678"}}, True),
        ({"enabled": False}, True),
        (
            {
                "registry_type": "aws-ecr-role",
                "config": {"role_name": "Worker"},
                "secrets": {},
            },
            True,
        ),
    ],
)
def test_credentials_version_rises_with_credentials_only(make_entry, actor, changes, rises):
    entry = make_entry()
    _cached(entry)
    changed = door.entry_update(entry=entry, actor=actor, change=changed_to(spec(**changes)))
    assert changed.credentials_version == (2 if rises else 1)
    assert CachedLogin.objects.exists() is not rises


def test_repeating_what_stands_changes_nothing(make_entry, actor):
    entry = make_entry()
    before = AuditEvent.objects.count()
    door.entry_update(entry=entry, actor=actor, change=changed_to(spec()))
    assert AuditEvent.objects.count() == before
    assert RegistryEntry.objects.get().updated_at == entry.updated_at


def test_an_event_tells_before_and_after_but_no_secret(make_entry, actor):
    entry = make_entry()
    new = spec(note="for the ML team", secrets={"secret_access_key": "b" * 40})
    door.entry_update(entry=entry, actor=actor, change=changed_to(new))
    event = AuditEvent.objects.get(action="entry.updated")
    assert event.properties == {"changes": {"note": ["", "for the ML team"], "secret": "changed"}}


def test_a_blank_secret_is_kept_only_with_its_key_and_partition(make_entry, actor):
    entry = make_entry()
    other_key = spec(config={"access_key_id": "AKIAOTHERKEY12345678"}, secrets={})
    other_cloud = spec(patterns=["123456789012.dkr.ecr.cn-north-1.amazonaws.com.cn/*"], secrets={})
    for given in (other_key, other_cloud):
        with pytest.raises(Refused) as refused:
            door.entry_update(entry=entry, actor=actor, change=changed_to(given))
        assert codes(refused) == {"secret_required"}
    other_region = spec(patterns=["123456789012.dkr.ecr.eu-west-1.amazonaws.com/*"], secrets={})
    changed = door.entry_update(entry=entry, actor=actor, change=changed_to(other_region))
    assert door.revealed(changed) == {"secret_access_key": CANARY}


def test_changing_the_type_erases_the_old_secret_and_keeps_the_id(make_entry, actor):
    entry = make_entry()
    role = spec(registry_type="aws-ecr-role", config={"role_name": "Worker"}, secrets={})
    changed = door.entry_update(entry=entry, actor=actor, change=changed_to(role))
    stored = RegistryEntry.objects.get()
    assert (stored.pk, stored.secrets, stored.registry_type) == (entry.pk, None, "aws-ecr-role")
    assert stored.config == {"role_name": "Worker", "region": "us-east-1"}
    with pytest.raises(Refused) as refused:
        door.entry_update(entry=changed, actor=actor, change=changed_to(spec(secrets={})))
    assert codes(refused) == {"secret_required"}


def test_delete_erases_and_leaves_the_event(make_entry, actor):
    entry = make_entry()
    door.entry_delete(entry=entry, actor=actor)
    assert not RegistryEntry.objects.exists()
    assert not IndexedPattern.objects.exists()
    assert AuditEvent.objects.get(action="entry.deleted").subject == f"{HOST}/*"


def test_an_environment_in_use_cannot_be_deleted(make_entry, gpu):
    make_entry(environments=[gpu])
    with pytest.raises(RestrictedError):
        gpu.delete()


def test_an_organization_goes_with_all_it_has(make_entry, acme, gpu, project):
    make_entry(environments=[gpu])
    acme.delete()
    assert not RegistryEntry.objects.exists()
    assert AuditEvent.objects.filter(action="entry.created").count() == 1


def test_an_event_that_cannot_be_written_undoes_the_change(make_entry, actor, monkeypatch):
    entry = make_entry()

    def fail(**kwargs):
        raise IntegrityError("disk full")

    monkeypatch.setattr(door, "record", fail)
    with pytest.raises(IntegrityError):
        door.entry_update(entry=entry, actor=actor, change=changed_to(spec(note="x")))
    assert RegistryEntry.objects.get().note == ""
