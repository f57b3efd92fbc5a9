"""What repeats is told at once, and then once a minute with how often it was."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

import pytest
from django.core.management import call_command
from django.db import connection
from django.db.models.functions import Now
from django.urls import reverse

from orgs.models import AuditEvent, Repeat
from orgs.registries.images import ImageReference
from orgs.services.audit import events, repeats
from orgs.services.audit.events import Actor
from orgs.services.entries import usage
from orgs.services.logins import issuing
from orgs.services.tenancy import tokens
from tests.conftest import HOST, make_user

pytestmark = pytest.mark.django_db

IMAGE = f"{HOST}/my-ml-image:v1.0"


@pytest.fixture
def happen(acme):
    def happen(what="a", **more):
        event = events.event(
            actor=Actor("w"), action="login.refused", organization=acme, subject=what, **more
        )
        repeats.record((what,), [event])

    return happen


def minute_over() -> None:
    Repeat.objects.update(until=Now() - timedelta(milliseconds=1))


def told() -> list[tuple[str, int]]:
    events = AuditEvent.objects.order_by("pk")
    return [(event.subject, event.properties.get("times", 0)) for event in events]


def test_the_first_at_once_and_the_rest_as_one(happen):
    for _ in range(413):
        happen(properties={"reason": "No."})
    assert told() == [("a", 0)]
    assert repeats.write_due() == 0 and told() == [("a", 0)]
    last = Repeat.objects.get().last_at
    minute_over()
    happen()
    assert told() == [("a", 0), ("a", 412), ("a", 0)]
    counted = AuditEvent.objects.get(properties__times=412)
    assert counted.at == last and counted.properties["reason"] == "No."
    assert (counted.action, counted.organization) == ("login.refused", "Acme")


def test_what_happened_once_leaves_nothing(happen):
    happen()
    minute_over()
    repeats.write_due()
    assert told() == [("a", 0)] and not Repeat.objects.exists()


def test_others_are_written_along(happen):
    for _ in range(3):
        happen("a")
    minute_over()
    happen("b")
    assert told() == [("a", 0), ("b", 0), ("a", 2)]
    assert [row.times for row in Repeat.objects.all()] == [0]


def test_rows_are_bounded_by_what_happened_of_late(happen):
    for n in range(3 * repeats.ALONG):
        happen(str(n))
        minute_over()
    assert Repeat.objects.count() <= 1


def test_a_clock_set_right_counts_on(happen):
    happen()
    Repeat.objects.update(until=Now() + timedelta(days=1), times=2)
    happen()
    assert told() == [("a", 0), ("a", 2), ("a", 0)]


def test_pruning_writes_what_is_due(happen, capsys):
    happen()
    happen()
    minute_over()
    call_command("prune_audit_log")
    assert told() == [("a", 0), ("a", 1)]


@pytest.mark.django_db(transaction=True)
def test_processes_tell_it_once_between_them(acme):
    def happen(n: int) -> None:
        try:
            event = events.event(actor=Actor("w"), action="login.refused", organization=acme)
            repeats.record(("same",), [event])
        finally:
            connection.close()

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(happen, range(80)))
        assert told() == [("", 0)] and Repeat.objects.get().times == 79
        minute_over()
        list(pool.map(lambda n: (repeats.write_due(), connection.close()), range(8)))
    assert told() == [("", 0), ("", 79)]


# --- who counts so ----------------------------------------------------------------


def refuse(project, token="vrw_1", image=IMAGE, environment=None) -> None:
    with pytest.raises(issuing.Failed):
        issuing.login_for(
            project=project,
            image=ImageReference.parse(image),
            environment=environment,
            actor=Actor("worker gpu", source_address="10.0.0.1", token=token),
        )


@pytest.mark.django_db(transaction=True)
def test_the_same_login_refused_over_and_over(project, gpu, acme):
    other = acme.projects.create(name="other")
    for _ in range(5):
        refuse(project)
    assert len(told()) == 1 and Repeat.objects.get().times == 4
    for differing in (
        {"project": other},
        {"token": "vrw_2"},
        {"image": f"{HOST}/my-ml-image:v2"},
        {"environment": gpu},
    ):
        refuse(**{"project": project, **differing})
    assert len(told()) == 5


@pytest.mark.django_db(transaction=True)
def test_logins_given_stay_one_event_each(project, make_entry):
    make_entry("docker.io/me/*", registry_type="docker", config={"username": "me"},
               secrets={"password": "dckr_pat_0123456789"})  # fmt: skip
    image = ImageReference.parse("me/train:v1")
    for _ in range(3):
        issuing.login_for(project=project, image=image, actor=Actor("worker gpu"))
    assert AuditEvent.objects.filter(action="login.issued").count() == 3


def test_an_ended_token_from_each_address(acme, actor):
    token, text = tokens.token_issue_worker(organization=acme, name="gpu", actor=actor)
    tokens.token_revoke(token=token, actor=actor)
    for address in ["10.0.0.1"] * 4 + ["10.0.0.2"] * 2 + ["2001:db8::1", "2001:db8::2"]:
        with pytest.raises(tokens.TokenEnded) as ended:
            tokens.authenticate(text)
        tokens.use_refused(ended.value, address)
    events = AuditEvent.objects.filter(action="token.refused").order_by("pk")
    assert [event.source_address for event in events] == ["10.0.0.1", "10.0.0.2", "2001:db8::1"]
    assert sorted(row.times for row in Repeat.objects.all()) == [1, 1, 3]


def test_an_entrys_usage_counts_them_all(make_entry, project):
    entry = make_entry()
    for times in ({}, {"times": 411}):
        events.record(
            actor=Actor("w"),
            action="login.refused",
            organization=entry.organization,
            project=project,
            subject_id=entry.pk,
            code="access_denied",
            properties=times,
        )
    found = usage.usage_of(entry, private=True)
    assert (found.refused.week, found.refused.month) == (412, 412)


# --- and how it is shown ----------------------------------------------------------


def test_logs_tell_how_often(client, alice, staff, happen, acme):
    for _ in range(8):
        happen()
    minute_over()
    client.force_login(alice)
    assert "and 7 times more" in client.get(reverse("audit", args=["acme"])).content.decode()
    home = client.get(reverse("organization", args=["acme"])).content.decode()
    assert "and 7 times more" in home
    for _ in range(4):
        happen("b")
    minute_over()
    exported = client.get(reverse("audit_export", args=["acme"])).getvalue().decode()
    assert '""times"": 3' in exported
    for _ in range(6):
        happen("c")
    minute_over()
    client.force_login(staff)
    page = client.get(reverse("admin:orgs_auditevent_changelist")).content.decode()
    assert "and 5 times more" in page


def test_a_log_is_read_also_where_nothing_can_be_written(client, alice, happen, monkeypatch):
    def fail(*args):
        raise repeats.DatabaseError

    happen()
    monkeypatch.setattr(repeats, "write_due", fail)
    client.force_login(alice)
    assert client.get(reverse("audit", args=["acme"])).status_code == 200


def test_links_stand_in_each_organizations_log(acme, umbrella, alice, actor):
    from orgs.services.tenancy import people

    umbrella.memberships.create(user=alice, role="member")
    first = people.person_link(person=alice, actor=actor)
    events = AuditEvent.objects.filter(action="user.link_issued")
    assert set(events.values_list("organization_id", flat=True)) == {acme.pk, umbrella.pk}
    assert first.rstrip("/").split("/")[-1] not in str(list(events.values()))
    nobody = make_user("nora@example.com", "Nora")
    people.person_link(person=nobody, actor=actor)
    assert events.get(subject=nobody.email).organization_id is None
