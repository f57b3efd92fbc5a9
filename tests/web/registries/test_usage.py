"""*Usage* on an entry's page: from the audit log, and only of that entry."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from orgs.models import AuditEvent, Project, RegistryEntry
from orgs.registries.private import private, whole
from orgs.services.audit import events
from orgs.services.audit.events import Actor
from orgs.services.entries import usage
from orgs.services.entries.daily import DAYS
from orgs.services.entries.usage import SHOWN, Counted, usage_of
from tests.conftest import CANARY, HOST
from tests.web.conftest import Page, url

pytestmark = pytest.mark.django_db

KEY = "AKIAIOSFODNN7EXAMPLE"
IMAGE = f"{HOST}/my-ml-image:v1.0"


@pytest.fixture
def entry(make_entry):
    return make_entry()


@pytest.fixture
def happened(acme, project):
    """A login, given or refused, so many days ago."""

    def happened(
        entry: RegistryEntry,
        days: float = 0,
        code: str = "ok",
        project: Project = project,
        by: str = "worker gpu-1",
        **properties: str,
    ) -> AuditEvent:
        event = events.event(
            actor=Actor(by),
            action="login.issued" if code == "ok" else "login.refused",
            organization=acme,
            project=project,
            subject_id=entry.pk,
            subject=IMAGE,
            code=code,
            properties=properties,
        )
        event.at = timezone.now() - timedelta(days=days)
        event.save()
        return event

    return happened


def rows(page: Page) -> list[tuple[str, str, str]]:
    """The table's, by project; before it stands that of the days, where there were any."""
    days = DAYS if "By day, as a table" in page.text else 0
    heads, cells = page.texts.get("th", []), page.texts.get("td", [])[2 * days :]
    heads = heads[3 + days if days else 0 :][3:]
    return list(zip(heads, cells[::2], cells[1::2], strict=True))


def test_never_used(look, alice, entry):
    page = look(alice, url("entry", entry))
    assert "Usage" in page.texts["h2"]
    assert {"Never", "None in 30 days"} <= set(page.texts["dd"])
    assert rows(page) == []
    assert "Explain" not in page.text


def test_by_project_over_7_and_30_days(look, alice, acme, entry, make_entry, happened):
    busy = Project.objects.create(name="busy", organization=acme)
    for days in (0, 6.9, 7.1, 29.9, 30.1, 90):
        happened(entry, days)
    for _ in range(5):
        happened(entry, 8, project=busy)
    happened(make_entry(f"{HOST}/other/*"), 1)
    assert rows(look(alice, url("entry", entry))) == [
        ("busy", "0", "5"),
        ("first-project", "2", "4"),
    ]


def test_last_login(look, bob, acme, entry, happened):
    last = happened(entry, 1, by="worker late")
    happened(entry, 2, by="worker early")
    happened(entry, 0, "access_denied", by="worker refused")
    page = look(bob, url("entry", entry))
    shown = f"{last.at:%-d %b %Y, %H:%M:%S} UTC first-project, worker late"
    assert shown in page.texts["dd"]
    assert "worker early" not in page.text and "worker refused" not in page.text


def test_a_login_older_than_the_log(look, alice, entry):
    at = timezone.now() - timedelta(days=200)
    RegistryEntry.objects.filter(pk=entry.pk).update(last_used_at=at)
    assert f"{at:%-d %b %Y, %H:%M:%S} UTC" in look(alice, url("entry", entry)).texts["dd"]


def test_last_refusal(look, alice, bob, entry, gpu, happened):
    told = f"AWS accepts the key{private(f' {KEY}')}, but its user may not call ecr:X."
    said = whole(told)
    happened(entry, 8, "access_denied", reason="Older.")
    happened(entry, 1, "access_denied", reason=told, environment="gpu")
    page = look(alice, url("entry", entry))
    assert rows(page) == [("Refused", "1", "2")]
    assert "access_denied" in page.texts["code"] and said in page.texts["p"]
    link = page.links[f"Explain {IMAGE}"]
    explained = look(alice, link)
    assert explained.status == 200 and "is served by" in explained.text
    assert link.endswith("&environment=gpu")
    # members see it too, and no key's id
    page = look(bob, url("entry", entry))
    assert said.replace(f" {KEY}", "") in page.texts["p"]
    assert KEY not in page.html and CANARY not in page.html


def test_refusals_that_are_not_the_entrys(look, alice, acme, project, entry, happened):
    happened(entry, 31, "access_denied", reason="Long ago.")
    events.record(
        actor=Actor("worker gpu-1"),
        action="login.refused",
        organization=acme,
        project=project,
        subject=IMAGE,
        code="no_match",
    )
    page = look(alice, url("entry", entry))
    assert "None in 30 days" in page.texts["dd"] and rows(page) == []


def test_many_projects(look, alice, acme, entry, happened):
    for number in range(SHOWN + 2):
        made = Project.objects.create(name=f"p{number:02}", organization=acme)
        happened(entry, 1, project=made)
        happened(entry, 9, project=made)
    found = rows(look(alice, url("entry", entry)))
    assert found[:SHOWN] == [(f"p{number:02}", "1", "2") for number in range(SHOWN)]
    assert found[SHOWN:] == [("2 other projects", "2", "4")]


def test_as_many_queries_for_more(client, alice, acme, entry, happened):
    client.force_login(alice)
    counts = []
    for _ in range(2):
        for number in range(5):
            made = Project.objects.create(name=f"p{number}", organization=acme)
            happened(entry, number, project=made)
            happened(entry, number, "access_denied", project=made)
        with CaptureQueriesContext(connection) as found:
            assert client.get(url("entry", entry)).status_code == 200
        counts.append(len(found))
        with CaptureQueriesContext(connection) as found:
            assert usage_of(entry, private=True).refused == Counted(*[5 * len(counts)] * 2)
        assert len(found) == 3
    assert counts[0] == counts[1]


def test_of_many_entries_together(acme, entry, make_entry, happened, monkeypatch) -> None:
    """In as many queries as it takes, with the projects that took most."""
    monkeypatch.setattr(usage, "_TOGETHER", 1)
    other, unused = make_entry(f"{HOST}/b/*"), make_entry(f"{HOST}/c/*")
    projects = [Project.objects.create(name=f"p{n}", organization=acme) for n in range(7)]
    for n, project in enumerate(projects):
        for _ in range(n):
            happened(entry, project=project)
        happened(other, project=project)
    happened(entry, 8)
    happened(entry, code="access_denied")
    together = usage.entries_usage([entry, other, unused], days=7)
    assert (together.count, together.more) == (28, 2)
    assert together.projects == ["p6", "p5", "p4", "p3", "p2"]
    assert usage.entry_usage(unused, days=7) == usage.Usage(0, [], 7)
