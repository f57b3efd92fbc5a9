"""The staff overview: what it tells, whom, what its search finds, and that it stays bounded."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from django.contrib.auth.models import Permission
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse
from django.utils import timezone

from orgs.models import (
    ApiToken,
    AuditEvent,
    Membership,
    Organization,
    Project,
    RegistryEntry,
    User,
    WorkerToken,
)
from orgs.registries.private import private
from orgs.services.audit import refusals
from orgs.services.audit.events import COMMAND_LINE, Actor, event
from orgs.services.demo import organization as demo
from orgs.services.tenancy import organizations, tokens
from tests.conftest import HOST, make_user

from .conftest import Page

STAFF = "/staff/"
KEY_ID = "AKIAIOSFODNN7EXAMPLE"


@pytest.fixture
def helga(db: None) -> User:
    """Staff without any permission."""
    return make_user("helga@example.com", "Helga", is_staff=True)


def allow(user: User, *codenames: str) -> User:
    user.user_permissions.set(Permission.objects.filter(codename__in=codenames))
    return User.objects.get(pk=user.pk)


def fail(entry: RegistryEntry, status: str = "failing", **values: Any) -> RegistryEntry:
    told = {"status_code": "invalid_key", "status_at": timezone.now() - timedelta(hours=3)}
    detail = f"AWS doesn't know the key{private(f' {KEY_ID}')}, or it's inactive."
    given = {"status": status, "status_detail": detail} | told | values
    RegistryEntry.objects.filter(pk=entry.pk).update(**given)
    return entry


def refuse(organization: Organization, code: str = "no_match", **values: Any) -> None:
    made = event(actor=Actor("worker w"), action="login.refused", organization=organization,
                 subject=f"{HOST}/x", code=code, properties=values.get("properties"))  # fmt: skip
    made.at = timezone.now() - values.pop("ago", timedelta(hours=2))
    AuditEvent.objects.bulk_create([made])


# --- who ----------------------------------------------------------------------


def test_only_for_staff(look, staff, alice, helga) -> None:
    assert look(staff, STAFF).status == look(helga, STAFF).status == 200
    assert look(alice, STAFF).status == 404


def test_the_menu_leads_there_first(look, staff, alice) -> None:
    page = look(staff, "/guide/")
    assert page.links["Staff"] == STAFF
    assert page.html.index('href="/staff/"') < page.html.index("API tokens")
    assert look(staff, STAFF).links["Admin"] == reverse("admin:index")
    assert "Staff" not in look(alice, "/guide/").links


def test_nothing_is_the_matter(look, staff) -> None:
    text = look(staff, STAFF).text
    for sentence in ("Nothing is failing.", "No login was refused.", "No token ends within"):
        assert sentence in text
    assert "Every secret that was needed could be read." in text


# --- what fails -----------------------------------------------------------------


def test_failing_now(look, staff, make_entry, umbrella) -> None:
    known = timezone.now() - timedelta(days=2)
    entry = fail(make_entry(organization=umbrella), failure_told_at=known)
    fail(make_entry(f"{HOST}/off/*", organization=umbrella, enabled=False))
    make_entry(f"{HOST}/fine/*")
    page = look(staff, STAFF)
    assert page.links[f"{HOST}/*"] == reverse("entry", args=["umbrella", entry.pk])
    assert page.links["Umbrella"] == reverse("organization", args=["umbrella"])
    assert f"AWS doesn't know the key {KEY_ID}" in page.text and "2 days ago" in page.text
    assert "/off/" not in page.text and "/fine/" not in page.text
    mend = reverse("admin:orgs_registryentry_change", args=[entry.pk])
    assert page.links[f"Mend {HOST}/* of Umbrella"] == mend


def test_the_latest_first_and_outages_last(look, staff, make_entry) -> None:
    for name, status, hours in (
        ("away", "unreachable", 1),
        ("old", "failing", 50),
        ("new", "failing", 2),
    ):
        at = timezone.now() - timedelta(hours=hours)
        fail(make_entry(f"{HOST}/{name}/*"), status, status_at=at)
    html = look(staff, STAFF).html
    places = [html.index(f'">{name}/') for name in ("new", "old", "away")]
    assert places == sorted(places)


def test_unreadable_apart(look, staff, make_entry) -> None:
    fail(make_entry(), "unreadable", status_code="entry_unusable")
    page = look(staff, STAFF)
    assert "Nothing is failing." in page.text and f"{HOST}/*" in page.links


def test_more_than_are_shown(look, staff, make_entry) -> None:
    for n in range(23):
        fail(make_entry(f"{HOST}/r{n}/*"))
    page = look(staff, STAFF)
    assert "and 3 more: all in the admin" in page.text
    assert Page(signed_in(staff).get(page.links["all in the admin"])).text.count("Failing") >= 20


def signed_in(user: User) -> Client:
    client = Client()
    client.force_login(user)
    return client


# --- refused logins -------------------------------------------------------------


def test_refused_logins(look, staff, acme, umbrella) -> None:
    refuse(acme)
    refuse(acme, properties={"times": 40})
    refuse(umbrella, "access_denied")
    refuse(umbrella, "invalid_key", ago=timedelta(hours=30))
    page = look(staff, STAFF)
    assert "no_match" in page.links and "access_denied" in page.links
    assert "41 · 2 hours ago" in page.text and "invalid_key" not in page.links
    since = (timezone.now() - timedelta(days=1)).date().isoformat()
    query = f"?action=login.refused&since={since}"
    assert page.links["Acme"] == reverse("audit", args=["acme"]) + query
    log = look(staff, page.links["Umbrella"])
    assert "access_denied" in log.text and "as staff" in log.text


def test_more_refusals_than_are_looked_at(look, staff, acme, monkeypatch) -> None:
    monkeypatch.setattr(refusals, "LOOKED_AT", 2)
    for minutes in range(4):
        refuse(acme, f"code{minutes}", ago=timedelta(minutes=minutes + 1))
    page = look(staff, STAFF)
    assert "There were more than can be counted here" in page.text
    assert "code0" in page.links and "code3" not in page.links


def test_an_organization_that_is_gone_is_counted_by_code(look, staff, umbrella, actor) -> None:
    refuse(umbrella)
    organizations.organization_delete(organization=umbrella, actor=actor)
    page = look(staff, STAFF)
    assert "no_match" in page.links and "Umbrella" not in page.links


# --- what ends ------------------------------------------------------------------


def test_ending_soon(look, staff, acme, alice, actor) -> None:
    def worker(name: str, days: int, **values: Any) -> None:
        token, _ = tokens.token_issue_worker(organization=acme, name=name, actor=actor)
        ends = {"expires_at": timezone.now() + timedelta(days=days)}
        WorkerToken.objects.filter(pk=token.pk).update(**ends, **values)

    worker("soon", 3)
    worker("later", 20)
    worker("ended", -1)
    worker("revoked", 3, revoked_at=timezone.now())
    api, _ = tokens.token_issue_api(user=alice, name="script", actor=actor)
    ApiToken.objects.filter(pk=api.pk).update(expires_at=timezone.now() + timedelta(days=5))
    page = look(staff, STAFF)
    assert page.links["soon"] == reverse("workers", args=["acme"])
    assert page.links["script"] == reverse("admin:orgs_user_change", args=[alice.pk])
    assert {"later", "ended", "revoked"}.isdisjoint(page.links)


# --- without permissions --------------------------------------------------------


def test_staff_see_no_more_than_on_organizations_pages(
    look, helga, acme, alice, make_entry, actor
) -> None:
    """No key id, no person of no organization, nobody's own project or token."""
    entry = fail(make_entry())
    make_user("loner@example.com", "Lonny")
    own = Project.objects.create(name="lonely", user=alice)
    api, _ = tokens.token_issue_api(user=alice, name="script", actor=actor)
    ApiToken.objects.filter(pk=api.pk).update(expires_at=timezone.now() + timedelta(days=5))
    refuse(acme)
    page = look(helga, STAFF)
    assert "AWS doesn't know the key, or it's inactive." in page.text
    assert KEY_ID not in page.html and "script" not in page.text
    assert not [link for link in page.links.values() if link.startswith("/admin/orgs")]
    for typed, ours in ((KEY_ID, False), ("loner@", False), (str(own.pk), False), ("lone", False),
                        ("alice@", True), (str(entry.pk), True), ("acm", True)):  # fmt: skip
        found = look(helga, STAFF, q=typed)
        assert ("Nothing is called" not in found.text) is ours, typed
    with_permission = allow(helga, "view_registryentry", "view_user", "view_project")
    for typed in (KEY_ID, "loner@", str(own.pk), "lone"):
        assert "Nothing is called" not in look(with_permission, STAFF, q=typed).text, typed
    assert KEY_ID in look(with_permission, STAFF).text


# --- search ---------------------------------------------------------------------


@pytest.mark.parametrize(
    ("typed", "link"),
    [
        ("Acme", "Acme"),
        ("acm", "Acme"),
        ("former", "Acme"),
        ("alice@example.com", "Alice"),
        ("ALICE@", "Alice"),
        ("Alic", "Alice"),
        ("first-project", "first-project"),
        ("night", "night shift"),
        (HOST, "entry"),
        (f"{HOST}/my-repo/*", "entry"),
        (f"{HOST}/my-repo/train:v1", "entry"),
        ("123456789012", "entry"),
        ("1234-5678-9012", "entry"),
        (KEY_ID, "entry"),
        ("123456789013", None),
        ("999999999999.dkr", None),
        (f"{HOST}/my-repository", None),
        ("AKIAIOSFODNN7EXAMPLF", None),
        ("AKIAIOSFODNN", None),
        ("nobody@example.com", None),
        ("vrw_0000", None),
        ("00000000-0000-0000-0000-000000000000", None),
        ("x", None),
        ("%", None),
        ("a\u200bb", None),
    ],
)  # fmt: skip
def test_search(look, staff, acme, alice, project, make_entry, actor, typed, link) -> None:
    acme.former_slugs.create(slug="former")
    tokens.token_issue_worker(organization=acme, name="night shift", actor=actor)
    make_entry(f"{HOST}/my-repo/*")
    page = look(staff, STAFF, q=typed)
    if link is None:
        assert "Nothing is called" in page.text
        return
    text = f"{HOST}/my-repo/*" if link == "entry" else link
    assert text in page.links and page.status == 200
    assert look(staff, page.links[text]).status == 200


def test_search_by_ids_and_the_beginning_of_a_token(look, staff, acme, project, actor) -> None:
    _, text = tokens.token_issue_worker(organization=acme, name="night shift", actor=actor)
    page = look(staff, STAFF, q=text[:14])
    assert page.links["What it did: night shift"].endswith("audit/?actor=worker+night+shift")
    assert "token.issued" not in look(staff, page.links["What it did: night shift"]).text
    assert look(staff, STAFF, q=str(project.pk)).links["first-project"]
    assert text not in page.html


def test_search_cuts_off(look, staff) -> None:
    for n in range(13):
        Organization.objects.create(name=f"Branch {n:02}", slug=f"branch-{n}")
    page = look(staff, STAFF, q="branch")
    assert "Branch 09" in page.links and "Branch 10" not in page.links
    assert "and 3 more" in page.text
    assert "branch" in page.links["all in the admin"]


def test_names_are_text(look, staff) -> None:
    Organization.objects.create(name="<script>alert(1)</script>", slug="s")
    page = look(staff, STAFF, q="<script>")
    assert "<script>alert" not in page.html and "<script>alert(1)</script>" in page.links


# --- bounded --------------------------------------------------------------------


def queries(user: User, **query: str) -> list[str]:
    client = signed_in(user)
    client.get(STAFF, query)
    with CaptureQueriesContext(connection) as captured:
        assert client.get(STAFF, query).status_code == 200
    return [one["sql"] for one in captured]


def test_as_many_queries_with_many_as_with_few(staff, acme, alice, make_entry, actor) -> None:
    def more(first: int, count: int) -> None:
        for n in range(first, first + count):
            other = Organization.objects.create(name=f"O {n}", slug=f"o{n}")
            Membership.objects.create(organization=other, user=alice, role="member")
            fail(make_entry(f"{HOST}/r{n}/*", organization=other))
            fail(make_entry(f"{HOST}/u{n}/*", organization=other), "unreadable")
            refuse(other, f"code{n}")
            Project.objects.create(name=f"o {n}", organization=other)
            token, _ = tokens.token_issue_worker(organization=other, name=f"o {n}", actor=actor)
            soon = timezone.now() + timedelta(days=3)
            WorkerToken.objects.filter(pk=token.pk).update(expires_at=soon)

    asked = ({}, {"q": "o "}, {"q": HOST}, {"q": "alice"}, {"q": KEY_ID})
    more(0, 2)
    few = [len(queries(staff, **query)) for query in asked]
    more(2, 40)
    assert [len(queries(staff, **query)) for query in asked] == few


def plans(user: User, **query: str) -> str:
    """How the database reads what the page asks for, scans left out where it can help it."""
    found = [sql for sql in queries(user, **query) if sql.startswith("SELECT")]
    explain = "EXPLAIN QUERY PLAN" if connection.vendor == "sqlite" else "EXPLAIN"
    told = []
    with connection.cursor() as cursor:
        if connection.vendor == "postgresql":
            cursor.execute("SET LOCAL enable_seqscan = off")
        for sql in found:
            cursor.execute(f"{explain} {sql}")
            told.append(str(cursor.fetchall()))
    return "\n".join(told)


BY = ("entry_by_status", "audit_all_by_action", "workertoken_ends", "apitoken_ends")


def alone(*kept: str) -> None:
    """Drop the other indexes of their tables, until the test's end: of rows that fit a page any
    index will do, and PostgreSQL's choice among them hangs on what tests before left."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT other.indexname FROM pg_indexes other JOIN pg_indexes kept USING (tablename) "
            "WHERE kept.indexname = ANY(%s) AND NOT other.indexname = ANY(%s) "
            "AND other.indexdef NOT LIKE 'CREATE UNIQUE%%'",
            [list(kept), list(kept)],
        )
        for (name,) in set(cursor.fetchall()):
            cursor.execute(f'DROP INDEX "{name}"')


def test_by_index(staff, make_entry) -> None:
    make_entry()
    if connection.vendor == "postgresql":
        alone(*BY)
    told = plans(staff)
    for index in BY:
        assert index in told, told


@pytest.mark.postgresql
@pytest.mark.parametrize(
    ("typed", "index"),
    [(f"{HOST}/my", "pattern_beginning"), ("1234567890", "pattern_beginning"),
     (KEY_ID, "entry_by_key_id")],
)  # fmt: skip
def test_entries_are_searched_by_index(staff, make_entry, typed, index) -> None:
    make_entry()
    alone(index)
    assert index in plans(staff, q=typed)


def test_what_is_made_up_is_left_out(look, staff, alice) -> None:
    demo.demo_create(admin=alice, actor=COMMAND_LINE)
    page = look(staff, STAFF)
    for sentence in ("Nothing is failing.", "No login was refused.", "No token ends within"):
        assert sentence in page.text
    assert "Every secret that was needed could be read." in page.text
    # But who looks for it finds it.
    assert look(staff, f"{STAFF}?q=demo").links["Demo"] == reverse("organization", args=["demo"])
