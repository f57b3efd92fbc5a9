"""Doors that somebody may try to keep open behind them, or to open from a request on its way."""

from __future__ import annotations

import threading

import pytest
from django.core.management import call_command
from django.db import connection
from django.test import Client

from orgs import access
from orgs.models import AuditEvent, Invitation, Membership, Organization, Project, User
from orgs.registries.problems import Refused
from orgs.services.audit.events import COMMAND_LINE, Actor
from orgs.services.tenancy import invitations, organizations, passwords, people, projects
from tests.conftest import PASSWORD, make_user
from tests.web.conftest import Page

LIST = "/organizations/acme/members/"


@pytest.fixture
def mallory(acme) -> User:
    made = make_user("mallory@example.com", "Mallory")
    Membership.objects.create(organization=acme, user=made, role="admin")
    return made


def invited(acme, by, email="new@example.com", role="admin") -> Invitation:
    actor = Actor(by.email, by)
    return invitations.invite(organization=acme, emails=[email], role=role, actor=actor)[0]


def works(link: str) -> bool:
    return invitations.invitation_by_token(link) is not None


# --- links of others ------------------------------------------------------------


def test_a_fellows_link_is_not_shown(look, acme, alice, mallory) -> None:
    link = invitations.link(invited(acme, alice))
    assert link in look(alice, LIST).text
    page = look(mallory, LIST)
    assert link not in page.html and "new@example.com" in page.text


def test_who_sends_again_takes_it_over_and_along(look, client, acme, alice, mallory) -> None:
    one = invited(acme, alice)
    before = invitations.token(one)
    client.force_login(mallory)
    client.post(f"{LIST}invitations/{one.pk}/again/")
    one.refresh_from_db()
    theirs = invitations.token(one)
    assert works(theirs) and not works(before)
    assert invitations.link(one) in look(mallory, LIST).text
    assert invitations.link(one) not in look(alice, LIST).html
    client.force_login(alice)
    client.post(f"{LIST}{mallory.memberships.get().pk}/remove/")
    assert not works(theirs)


def test_who_is_switched_off_lets_nobody_in(acme, alice, mallory, actor) -> None:
    link = invitations.token(invited(acme, mallory))
    User.objects.filter(pk=mallory.pk).update(is_active=False)
    assert not works(link)
    User.objects.filter(pk=mallory.pk).update(is_active=True)
    mallory.refresh_from_db()
    people.person_update(person=mallory, actor=actor, is_active=False)
    assert not Invitation.objects.exists()


def test_an_admin_who_cant_sign_in_is_none(send, acme, alice, mallory, actor) -> None:
    people.person_update(person=mallory, actor=actor, is_active=False)
    page = send(alice, f"{LIST}leave/", {})
    assert "alice@example.com is the only org admin of Acme." in page.text


# --- requests on their way -------------------------------------------------------


@pytest.mark.parametrize(
    ("what", "typed"),
    [
        ("invite/", {"emails": "friend@example.com", "role": "admin"}),
        ("{bob}/", {"role": "admin"}),
        ("{bob}/remove/", {}),
        ("invitations/{invitation}/again/", {}),
        ("invitations/{invitation}/withdraw/", {}),
        ("../rename/", {"name": "Mine", "slug": "mine"}),
        ("../projects/{project}/rename/", {"name": "mine"}),
        ("../projects/{project}/move/", {"to": "*"}),
        ("../projects/{project}/archive/", {}),
    ],
)
def test_who_was_removed_a_moment_ago_acts_no_more(
    what, typed, client, acme, alice, bob, mallory, project, monkeypatch
) -> None:
    """Past the gate, and removed before the change takes its lock."""
    waiting = invited(acme, alice, "waiting@example.com")
    gate = access.organization_for_admin

    def removed_behind_it(user, slug):
        found = gate(user, slug)
        mallory.memberships.all().delete()
        return found

    monkeypatch.setattr(access, "organization_for_admin", removed_behind_it)
    named = {"bob": bob.memberships.get().pk, "invitation": waiting.pk, "project": project.pk}
    client.force_login(mallory)
    answer = client.post(LIST + what.format(**named), typed, follow=True)
    assert answer.status_code in {200, 404}
    acme.refresh_from_db()
    project.refresh_from_db()
    waiting.refresh_from_db()
    assert [i.email for i in Invitation.objects.all()] == ["waiting@example.com"]
    assert waiting.generation == 0 and bob.memberships.get().role == "member"
    assert (acme.name, project.name, project.organization) == ("Acme", "first-project", acme)
    assert project.archived_at is None


@pytest.mark.parametrize("change", ["rename", "move", "archive", "unarchive"])
def test_a_project_that_moved_a_moment_ago_is_not_there(
    change, acme, umbrella, alice, project
) -> None:
    seen = Project.objects.get(pk=project.pk)
    Project.objects.filter(pk=project.pk).update(organization=umbrella)
    by = {"actor": Actor("alice", alice), "project": seen}
    given = {"rename": {"name": "x"}, "move": {"user": alice}}.get(change, {})
    with pytest.raises(Project.DoesNotExist):
        getattr(projects, f"project_{change}")(**by, **given)
    project.refresh_from_db()
    assert (project.organization, project.name, project.archived_at) == (
        umbrella,
        "first-project",
        None,
    )


def test_moves_are_told_whatever_the_owners_are_called(acme, umbrella, alice, project) -> None:
    Organization.objects.update(name="alice@example.com")
    by = Actor("alice", alice)
    projects.project_move(project=project, user=alice, actor=by)
    (told,) = AuditEvent.objects.filter(action="project.updated", organization_id=acme.pk)
    assert told.properties["changes"]["owner"] == ["alice@example.com (acme)", "alice@example.com"]


@pytest.mark.django_db(transaction=True)
def test_removed_by_four_clicks_at_once(acme, alice, bob) -> None:
    at, start = f"{LIST}{bob.memberships.get().pk}/remove/", threading.Barrier(4)
    statuses: list[int] = []

    def click() -> None:
        browser = Client(raise_request_exception=False)
        browser.force_login(alice)
        start.wait()
        statuses.append(browser.post(at).status_code)
        connection.close()

    threads = [threading.Thread(target=click) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert statuses.count(302) == 1 and set(statuses) <= {302, 404}


# --- addresses that are somebody's word -------------------------------------------


def squatted(acme, alice) -> User:
    invitation = invited(acme, alice, "victim@corp.example", "member")
    return invitations.accept_as_new(
        invitation=invitation, name="V", password=PASSWORD, address=None
    )


def test_an_account_by_a_link_is_not_trusted_elsewhere(acme, umbrella, alice, capsys) -> None:
    person = squatted(acme, alice)
    for refused in (
        lambda: organizations.person("victim@corp.example"),
        lambda: organizations.member_add(
            organization=umbrella, user=person, role="member", actor=COMMAND_LINE
        ),
    ):
        with pytest.raises(Refused, match="never showed that the address is theirs"):
            refused()
    with pytest.raises(SystemExit):
        call_command("create_organization", "Corp", admin="victim@corp.example")
    assert "unverified_email" in capsys.readouterr().err


def test_until_a_password_link_was_used(client, acme, alice) -> None:
    person = squatted(acme, alice)
    link = people.person_link(person=person, actor=COMMAND_LINE)
    page = client.get(link, follow=True)
    typed = {"new_password1": "another word 77", "new_password2": "another word 77"}
    client.post(page.redirect_chain[-1][0], typed)
    assert organizations.person("victim@corp.example")[0] == person


@pytest.mark.parametrize(
    "email", ["ſtaff@example.com", "a@ﬁrm.com", "a@ⓔxample.com", "a@e\u202e.com", "b@e\u200bx.com"]
)
def test_addresses_that_look_like_others(email, send, acme, alice, db) -> None:
    page = send(alice, f"{LIST}invite/", {"emails": email, "role": "member"})
    assert "isn't an e-mail address" in page.error("emails") and not Invitation.objects.exists()
    with pytest.raises(Refused):
        organizations.person(email)


def test_a_link_for_an_account_costs_no_hash(client, acme, alice, bob, monkeypatch) -> None:
    invitation = invited(acme, alice, "dora@example.com")
    make_user("dora@example.com", "Dora")
    hashed: list[object] = []
    monkeypatch.setattr(passwords.Scrypt, "encode", lambda *a, **k: hashed.append(a))
    typed = {"name": "D", "new_password1": "a word of 77", "new_password2": "a word of 77"}
    page = Page(client.post(f"/invitations/{invitations.token(invitation)}/", typed))
    assert "has an account here already" in page.text and not hashed


@pytest.mark.parametrize("generation", ["00", "٠", "+0", "999999999999", "-1"])
def test_a_generation_is_written_one_way(generation, client, acme, alice) -> None:
    first, _, last = invitations.token(invited(acme, alice)).split("-")
    assert client.get(f"/invitations/{first}-{generation}-{last}/").status_code == 404
