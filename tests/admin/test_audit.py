"""The audit log of all organizations: asked in people's words, within bounds."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from orgs.models import AuditEvent
from orgs.services.audit import log
from orgs.services.audit.events import Actor, event
from tests.conftest import HOST

from .conftest import at

LIST = at("auditevent_changelist")


@pytest.fixture
def events(acme, umbrella) -> list[AuditEvent]:
    """What two workers of two organizations did on two days, and staff on one."""
    made = []
    for days, who, where, action, subject, code, properties in (
        (0, "worker night", acme, "login.issued", f"{HOST}/a:v1", "ok", {}),
        (1, "worker night", acme, "login.refused", "ghcr.io/b:v1", "no_match", {"reason": "Why."}),
        (1, "worker night", acme, "login.refused", "ghcr.io/b:v1", "no_match", {"times": 7}),
        (1, "worker day", umbrella, "login.refused", f"{HOST}/c:v1", "access_denied", {}),
        (9, "stella@example.com", acme, "entry.created", f"{HOST}/*", "", {}),
    ):
        staff = "@" in who
        one = event(actor=Actor(who, staff=staff), action=action, organization=where,
                    subject=subject, code=code, properties=properties)  # fmt: skip
        one.at = timezone.now() - timedelta(days=days)
        made.append(one)
    AuditEvent.objects.bulk_create(made)
    return made


def day(ago: int) -> str:
    return (timezone.now() - timedelta(days=ago)).date().isoformat()


@pytest.mark.parametrize(
    ("query", "count"),
    [
        ({}, 5),
        ({"actor": "worker night", "since": day(1), "until": day(1)}, 2),
        ({"actor": "worker night", "since": day(1), "until": day(1), "organization": "acme"}, 2),
        ({"actor": "worker night", "organization": "umbrella"}, 0),
        ({"actor": "worker"}, 0),
        ({"action": "login.refused"}, 3),
        ({"action": "login.issued"}, 1),
        ({"action": "login.issued", "result": "no_match"}, 0),
        ({"result": "access_denied"}, 1),
        ({"result": "ok"}, 1),
        ({"organization": "Acme"}, 4),
        ({"organization": "nobody"}, 0),
        ({"organization_id": "999"}, 0),
        ({"organization_id": "x"}, 0),
        ({"subject": HOST}, 3),
        ({"subject": "b"}, 0),
        ({"staff": "1"}, 1),
        ({"staff": "1", "organization": "umbrella"}, 0),
        ({"since": day(9), "until": day(9)}, 1),
        ({"since": "yesterday"}, 5),
        ({"q": "refused umbrella"}, 1),
        ({"q": "night given"}, 1),
        ({"q": "night", "result": "no_match"}, 2),
    ],
)
def test_filters(see, events, query, count) -> None:
    page = see(at("auditevent_changelist", **query))
    assert page.status == 200 and page.html.count('class="field-what') == count
    assert ("No organization has this name" in page.text) is ("nobody" in query.values())


def test_what_a_worker_did_yesterday(see, events) -> None:
    """From the log: yesterday, then who."""
    page = see(LIST)
    yesterday = LIST + page.links["Yesterday"]
    page = see(f"{yesterday}&actor=worker+night")
    assert "Login refused" in page.text and "login.refused" not in page.text
    assert "Why." in page.text and "and 7 times more" in page.text
    assert page.fields["since"]["value"] == page.fields["until"]["value"] == day(1)
    assert page.fields["actor"]["value"] == "worker night"


def test_presets_keep_what_else_is_asked(see, events) -> None:
    asked = {"project": "first-project", "actor": "worker night", "until": day(3), "q": "a"}
    address = see(at("auditevent_changelist", **asked)).links["7 days"]
    for kept in ("project=first-project", "actor=worker+night", f"since={day(6)}", "q=a"):
        assert kept in address, address
    assert "until" not in address
    assert 'aria-current="true">7 days' in see(LIST + address).html


def test_links(see, acme, alice, make_entry) -> None:
    entry = make_entry()
    page = see(LIST)
    assert page.links[f"{HOST}/*"] == at("registryentry_change", entry.pk)
    assert page.links["Acme"] == at("organization_change", acme.pk)
    page = see(at("auditevent_change", AuditEvent.objects.get().pk))
    assert "Entry added" in page.text and "AKIAIOSFODNN7EXAMPLE" in page.text


def test_how_far_back_it_looks(see, events, monkeypatch) -> None:
    """Told on the page; with an organization or days it goes further."""
    monkeypatch.setattr(log, "LOOKED_AT", 2)
    cell = 'class="field-what'
    page = see(at("auditevent_changelist", actor="stella@example.com"))
    assert page.html.count(cell) == 0 and "among the newest 2 events" in page.text
    for further in ({"organization": "acme"}, {"since": day(9), "until": day(8)}):
        page = see(at("auditevent_changelist", actor="stella@example.com", **further))
        assert page.html.count(cell) == 1
    assert "among the newest" not in see(at("auditevent_changelist", action="entry.created")).text


@pytest.mark.parametrize("name", ["properties", "subject__regex", "id", "actor__icontains", "code"])
def test_no_other_column(stella, events, name) -> None:
    assert stella.get(LIST, {name: "x"}).status_code == 400


def test_nothing_of_it_is_markup(see, acme, actor) -> None:
    AuditEvent.objects.bulk_create(
        [event(actor=Actor("<b>"), action="x", organization=acme, subject="<script>", code="<i>")]
    )
    html = see(LIST).html
    assert "<script>" not in html.replace("<script src", "") and "<i>" not in html


def statements(stella: Any, **query: str) -> list[str]:
    stella.get(LIST, query)
    with CaptureQueriesContext(connection) as captured:
        stella.get(LIST, query)
    return [one["sql"] for one in captured if "orgs_auditevent" in one["sql"]]


@pytest.mark.parametrize(
    ("query", "index"),
    [
        ({}, "audit_by_time"),
        ({"since": day(2), "until": day(1)}, "audit_by_time"),
        ({"action": "login.refused"}, "audit_all_by_action"),
        ({"result": "no_match"}, "audit_all_by_code"),
        ({"organization": "acme", "actor": "worker night"}, "audit_by_"),
        # Of one organization: which of its indexes depends on how many rows there are.
        ({"organization": "acme", "action": "login.refused"}, "audit_"),
        ({"actor": "worker night"}, "audit_by_time"),
        ({"staff": "1"}, "audit_by_time"),
        ({"q": "night", "action": "login.refused"}, "audit_all_by_action"),
    ],
)
def test_each_filter_is_read_by_index_or_bounded(stella, events, query, index, monkeypatch) -> None:
    """What no index has is looked for among so many only."""
    monkeypatch.setattr(log, "LOOKED_AT", 1)
    plans = ""
    for sql in statements(stella, **query):
        with connection.cursor() as cursor:
            if connection.vendor == "postgresql":
                cursor.execute("SET LOCAL enable_seqscan = off; SET LOCAL enable_sort = off")
                cursor.execute(f"EXPLAIN {sql}")
            else:
                cursor.execute(f"EXPLAIN QUERY PLAN {sql}")
            plans += str(cursor.fetchall())
        where = sql.partition("WHERE")[2]
        slow = [text for text in ('"actor" =', '"staff"', "LIKE") if text in where]
        if slow and "organization" not in query:
            assert '"at" >=' in where, sql
    assert index in plans, plans
