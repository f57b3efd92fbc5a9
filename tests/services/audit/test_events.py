"""Audit events are written once and never changed, by the ORM or behind its back."""

import pytest
from django.db import DatabaseError, connection, transaction

from orgs.models import AppendOnly, AuditEvent
from orgs.services.audit import events

pytestmark = pytest.mark.django_db


@pytest.fixture
def event(actor, acme):
    return events.record(actor=actor, action="entry.created", organization=acme, subject="x")


def test_it_has_its_time_from_the_database(event):
    assert AuditEvent.objects.get().at is not None


def test_the_orm_refuses_changes(event):
    stored = AuditEvent.objects.get()
    stored.action = "nothing"
    for change in (
        stored.save,
        stored.delete,
        AuditEvent.objects.all().delete,
        lambda: AuditEvent.objects.update(action="nothing"),
    ):
        with pytest.raises(AppendOnly):
            change()
    assert AuditEvent.objects.get().action == "entry.created"


@pytest.mark.postgresql
@pytest.mark.parametrize(
    "statement", ["UPDATE orgs_auditevent SET action = 'x'", "DELETE FROM orgs_auditevent"]
)
def test_postgresql_refuses_them_too(event, statement):
    with pytest.raises(DatabaseError, match="append-only"), transaction.atomic():
        with connection.cursor() as cursor:
            cursor.execute(statement)
    assert AuditEvent.objects.count() == 1


@pytest.mark.postgresql
def test_pruning_may_delete_but_not_change(event):
    with connection.cursor() as cursor:
        cursor.execute("SET LOCAL orgs.pruning = 'on'")
        with pytest.raises(DatabaseError, match="append-only"), transaction.atomic():
            cursor.execute("UPDATE orgs_auditevent SET action = 'x'")
        cursor.execute("DELETE FROM orgs_auditevent")
    assert not AuditEvent.objects.exists()


def test_deleting_a_project_or_a_person_leaves_the_log(acme, project, bob):
    events.record(
        actor=events.Actor.person(bob, acme),
        action="login.refused",
        organization=acme,
        project=project,
    )
    project.delete()
    bob.delete()
    stored = AuditEvent.objects.get()
    assert (stored.project, stored.actor) == ("first-project", "bob@example.com")


def test_deleting_an_organization_leaves_the_log(event, acme):
    acme.delete()
    assert AuditEvent.objects.get().organization == "Acme"
