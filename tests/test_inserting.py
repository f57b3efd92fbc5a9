"""`inserting` writes what Django would, on each database."""

import uuid
from datetime import UTC, datetime

import pytest
from django.db import IntegrityError, transaction

from orgs import sealed
from orgs.inserting import insert_many
from orgs.models import AuditEvent, IndexedPattern, RegistryEntry
from orgs.services.audit.events import COMMAND_LINE, event

AWKWARD = "tab\there, line\nthere, back\\slash, 'quote' \"double\", ü, 🐳, %s, \\N, \ud800"


def entries(acme, count=3):
    for number in range(count):
        row = RegistryEntry(
            organization_id=acme.pk,
            registry_type="aws-ecr",
            config={"text": AWKWARD, "number": str(number)},
            note=f"{AWKWARD} {number}",
            enabled=number % 2 == 0,
        )
        row.secrets = sealed.seal(AWKWARD, row.sealed_for) if number else None
        yield row


@pytest.mark.parametrize("write", [insert_many, RegistryEntry.objects.bulk_create])
def test_every_kind_of_column_comes_back(acme, write):
    made = list(entries(acme))
    write(made)
    for row in made:
        found = RegistryEntry.objects.get(pk=row.pk)
        assert (found.config["number"], found.enabled) == (row.config["number"], row.enabled)
        assert found.note == row.note.replace("\ud800", "�")
        assert found.config["text"] == AWKWARD.replace("\ud800", "�")
        assert found.secrets == row.secrets and found.created_at and found.status_at is None
        assert found.secrets is None or found.secrets.reveal(row.sealed_for) == AWKWARD
        found.note = row.note = "changed"
        row.save(update_fields=["note"])  # it's known to stand


def test_values_that_repeat_are_of_their_own_rows(acme):
    (entry,) = list(entries(acme, 1))
    insert_many([entry])
    shared = {"the": "same"}
    insert_many(
        [
            event(actor=COMMAND_LINE, action="a", organization=acme, subject=s, properties=p)
            for s, p in (("1", shared), ("2", shared), ("3", {}), ("4", shared))
        ]
    )
    found = AuditEvent.objects.filter(action="a").order_by("subject")
    assert [(e.subject, e.properties) for e in found] == [
        ("1", shared),
        ("2", shared),
        ("3", {}),
        ("4", shared),
    ]


def test_a_time_that_is_set_is_kept_and_one_that_isnt_is_the_databases(acme):
    then = datetime(2020, 2, 29, 23, 59, 59, 999999, UTC)
    first, second = entries(acme, 2)
    first.created_at = first.updated_at = then
    insert_many([first])
    insert_many([second])
    assert RegistryEntry.objects.get(pk=first.pk).created_at == then
    assert RegistryEntry.objects.get(pk=second.pk).created_at > then


def test_nothing_is_no_statement(acme, django_assert_num_queries):
    with django_assert_num_queries(0):
        insert_many([])


def test_what_the_database_refuses_is_djangos_error(acme):
    lost = IndexedPattern(
        organization_id=acme.pk,
        entry_id=uuid.uuid4(),
        enabled=None,
        text="a.b/c",
        normalized="a.b/c",
        host="a.b",
        prefix="c",
        wildcard_host=False,
        wildcard_path=False,
        position=0,
    )
    with pytest.raises(IntegrityError), transaction.atomic():
        insert_many([lost])
