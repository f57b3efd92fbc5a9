"""Sealed values: what opens them, what doesn't, and what can't damage or bare them."""

import json

import pytest
from cryptography.fernet import Fernet
from django.core import serializers
from django.core.exceptions import FieldError
from django.core.management import call_command
from django.db import connection, transaction
from django.db.models import F, Value
from django.db.models.functions import Cast, Concat
from django.test import override_settings

from orgs.models import CachedLogin, RegistryEntry
from orgs.sealed import NotSealed, Sealed, Unreadable, seal
from orgs.services.bulk import rotation
from orgs.services.entries import door
from orgs.services.entries.validating import EntrySpec
from tests.conftest import CANARY, HOST, changed_to

pytestmark = pytest.mark.django_db


def revealed(entry):
    fresh = RegistryEntry.objects.get(pk=entry.pk)
    return json.loads(fresh.secrets.reveal(fresh.sealed_for))["secret_access_key"]


def test_a_sealed_value_shows_nothing(make_entry):
    value = make_entry().secrets
    assert CANARY not in f"{value} {value!r} {[value]}"
    assert str(value) == "‹sealed›"


def test_it_opens_for_its_row_only(make_entry):
    one, other = make_entry(), make_entry(f"{HOST}/other/*")
    RegistryEntry.objects.filter(pk=other.pk).update(secrets=one.secrets)
    copied = RegistryEntry.objects.get(pk=other.pk)
    with pytest.raises(Unreadable) as refused:
        copied.secrets.reveal(copied.sealed_for)
    assert str(other.pk) in str(refused.value)
    assert CANARY not in str(refused.value)


def test_another_key_does_not_open_it(make_entry):
    entry = make_entry()
    with override_settings(FERNET_KEYS=[Fernet.generate_key().decode()]):
        with pytest.raises(Unreadable):
            entry.secrets.reveal(entry.sealed_for)


@pytest.mark.parametrize(
    "value",
    [
        CANARY,
        CANARY.encode(),
        42,
        F("note"),
        F("secrets"),
        Value(CANARY),
        Concat(F("note"), Value(CANARY)),
        Cast(Value(CANARY), output_field=RegistryEntry._meta.get_field("secrets")),
    ],
    ids=lambda value: type(value).__name__,
)
def test_nothing_but_sealed_values_can_be_stored(make_entry, value):
    entry = make_entry()
    with pytest.raises(NotSealed) as refused, transaction.atomic():
        RegistryEntry.objects.filter(pk=entry.pk).update(secrets=value)
    assert CANARY not in str(refused.value)
    # Django itself refuses F() in an INSERT.
    with pytest.raises((NotSealed, FieldError, ValueError)), transaction.atomic():
        RegistryEntry.objects.create(organization=entry.organization, secrets=value)
    assert revealed(entry) == CANARY


def test_bulk_update_neither_damages_nor_takes_plain_text(make_entry):
    one, other = make_entry(), make_entry(f"{HOST}/other/*")
    one.note = other.note = "moved"
    one.secrets = seal(json.dumps({"secret_access_key": "new" * 10}), one.sealed_for)
    RegistryEntry.objects.bulk_update([one, other], ["note", "secrets"])
    assert (revealed(one), revealed(other)) == ("new" * 10, CANARY)
    other.secrets = None
    RegistryEntry.objects.bulk_update([one, other], ["secrets"])
    assert RegistryEntry.objects.get(pk=other.pk).secrets is None
    one.secrets = CANARY
    with pytest.raises(NotSealed), transaction.atomic():
        RegistryEntry.objects.bulk_update([one], ["secrets"])
    assert revealed(one) == "new" * 10


def test_bulk_create_keeps_it(make_entry, acme):
    entry = RegistryEntry(organization=acme, registry_type="aws-ecr")
    entry.secrets = seal(json.dumps({"secret_access_key": CANARY}), entry.sealed_for)
    RegistryEntry.objects.bulk_create([entry])
    assert revealed(entry) == CANARY


def test_it_cannot_be_searched(make_entry):
    make_entry()
    for lookup in ("secrets", "secrets__contains", "secrets__startswith"):
        with pytest.raises((FieldError, NotSealed)):
            list(RegistryEntry.objects.filter(**{lookup: CANARY}))
    assert RegistryEntry.objects.filter(secrets__isnull=False).count() == 1


def test_dumps_carry_ciphertext_and_load_again(make_entry, tmp_path, capsys):
    entry = make_entry()
    path = tmp_path / "dump.json"
    call_command("dumpdata", "orgs", output=str(path), verbosity=0)
    assert CANARY not in path.read_text()
    data = serializers.serialize("json", RegistryEntry.objects.all())
    RegistryEntry.objects.filter(pk=entry.pk).update(secrets=None)
    for loaded in serializers.deserialize("json", data):
        loaded.save()
    assert revealed(entry) == CANARY


def test_the_database_holds_no_plain_secret(make_entry):
    entry = make_entry()
    with connection.cursor() as cursor:
        cursor.execute("SELECT secrets FROM orgs_registryentry")
        (stored,) = cursor.fetchone()
    stored = bytes(stored)
    assert CANARY.encode() not in stored
    assert b"AKIA" not in stored
    assert Sealed(stored).reveal(entry.sealed_for)


def test_rotation_reseals_everything_and_the_old_key_can_go(make_entry, actor, settings):
    old = settings.FERNET_KEYS[0]
    entry = make_entry()
    version, updated = entry.credentials_version, entry.updated_at
    cached = CachedLogin.objects.create(
        entry=entry, login=seal("[]", f"cachedlogin:{entry.pk}:"), credentials_version=1
    )
    new = Fernet.generate_key().decode()
    with override_settings(FERNET_KEYS=[new, old]):
        report = rotation.rotate_secrets()
    assert (report.resealed, report.unreadable) == (2, [])
    with override_settings(FERNET_KEYS=[new]):
        assert revealed(entry) == CANARY
        cached.refresh_from_db()
        assert cached.login.reveal(cached.sealed_for) == "[]"
    stored = RegistryEntry.objects.get()
    assert (stored.credentials_version, stored.updated_at) == (version, updated)


def test_rotation_names_what_it_cannot_open(make_entry, settings, capsys):
    entry = make_entry()
    with override_settings(FERNET_KEYS=[Fernet.generate_key().decode()]):
        with pytest.raises(SystemExit) as stopped:
            call_command("rotate_secrets")
    assert stopped.value.code == 1
    assert str(entry.pk) in capsys.readouterr().err


def test_an_unreadable_secret_can_be_entered_again(make_entry, actor):
    entry = make_entry()
    RegistryEntry.objects.filter(pk=entry.pk).update(secrets=Sealed(b"damaged"))
    spec = EntrySpec(
        "aws-ecr",
        [f"{HOST}/*"],
        {"access_key_id": entry.config["access_key_id"]},
        {"secret_access_key": "b" * 40},
    )
    door.entry_update(entry=entry, actor=actor, change=changed_to(spec))
    assert revealed(entry) == "b" * 40
