"""The audit log is found, filtered, exported and pruned; the page, and its CSV."""

import csv
import io
from datetime import timedelta

import pytest
from django.core.management import call_command
from django.urls import reverse
from django.utils import timezone

from orgs.models import AuditEvent
from orgs.services.audit import log
from orgs.services.audit.events import Actor, event
from orgs.services.audit.log import Filters
from tests.conftest import HOST

pytestmark = pytest.mark.django_db


@pytest.fixture
def events(acme, umbrella, project):
    """Three of Acme, a day apart, the newest first; one of Umbrella."""
    made = []
    for days, (actor, action, subject, code) in enumerate(
        [
            (Actor("worker gpu", source_address="10.0.0.7"), "login.issued", f"{HOST}/a:v1", "ok"),
            (Actor("worker gpu"), "login.refused", "ghcr.io/b", "no_match"),
            (Actor("stella@example.com", staff=True), "entry.created", f"{HOST}/*", ""),
        ]
    ):
        one = event(
            actor=actor,
            action=action,
            organization=acme,
            project=project if action.startswith("login") else None,
            subject=subject,
            code=code,
        )
        one.at = timezone.now() - timedelta(days=days)
        made.append(one)
    made.append(event(actor=Actor("x"), action="login.issued", organization=umbrella))
    AuditEvent.objects.bulk_create(made)
    return made


def subjects(acme, **filters):
    return [e.subject for e in log.events_of(acme, Filters(**filters))]


@pytest.mark.parametrize(
    ("filters", "count"),
    [
        ({}, 3),
        ({"actor": "worker gpu"}, 2),
        ({"action": "login.refused"}, 1),
        ({"subject": HOST}, 2),
        ({"project": "first-project"}, 2),
        ({"result": "no_match"}, 1),
        ({"source": "10.0.0.7"}, 1),
        ({"source": "not an address"}, 0),
        ({"since": "2999-01-01"}, 0),
        ({"until": "2001-01-01"}, 0),
        ({"since": "nonsense"}, 3),
        ({"actor": "worker gpu", "result": "ok"}, 1),
    ],
)
def test_filters(acme, events, filters, count):
    assert len(subjects(acme, **filters)) == count


def test_pages_follow_one_another_without_gap_or_repeat(acme, monkeypatch):
    at = timezone.now()
    made = [
        event(actor=Actor("x"), action="a", organization=acme, subject=str(n)) for n in range(7)
    ]
    for one in made:
        one.at = at  # all at one moment: the id decides
    AuditEvent.objects.bulk_create(made)
    monkeypatch.setattr(log, "PAGE", 3)
    seen, before = [], ""
    while True:
        page = log.page_of(log.events_of(acme, Filters()), before)
        seen += [e.subject for e in page.events]
        before = page.older
        if not before:
            break
    assert seen == ["6", "5", "4", "3", "2", "1", "0"]


def test_the_page_opens_rows_and_marks_staff(client, alice, acme, events):
    client.force_login(alice)
    body = client.get(reverse("audit", args=["acme"])).content.decode()
    assert "Kept 180 days." in body
    assert "stella@example.com (staff)" in body
    assert "Login refused" in body
    none = client.get(reverse("audit", args=["acme"]), {"actor": "nobody"}).content.decode()
    assert "No event fits these filters." in none


def test_the_export_is_what_is_filtered_and_safe_in_a_spreadsheet(client, alice, acme, events):
    AuditEvent.objects.bulk_create(
        [event(actor=Actor('=HYPERLINK("x")'), action="login.refused", organization=acme, code="x")]
    )
    client.force_login(alice)
    answer = client.get(reverse("audit_export", args=["acme"]), {"action": "login.refused"})
    assert answer["Content-Type"] == "text/csv"
    rows = list(csv.DictReader(io.StringIO(answer.getvalue().decode())))
    assert [row["Result"] for row in rows] == ["x", "no_match"]
    assert rows[0]["Actor"] == '\'=HYPERLINK("x")'
    assert list(rows[0]) == list(log.COLUMNS)


def test_pruning_drops_what_is_old_and_nothing_else(acme, events, monkeypatch, capsys, settings):
    monkeypatch.setattr(log, "BATCH", 2)
    old = [event(actor=Actor("x"), action="a", organization=acme) for _ in range(5)]
    for one in old:
        one.at = timezone.now() - timedelta(days=181)
    AuditEvent.objects.bulk_create(old)
    call_command("prune_audit_log")
    assert "5 events" in capsys.readouterr().out
    assert AuditEvent.objects.count() == 4
