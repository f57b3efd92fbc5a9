"""An invitation's link: who comes in by it, as what, and how often."""

from __future__ import annotations

import threading

import pytest
from django.db import connection
from django.test import Client
from django.utils import timezone

from orgs.models import AuditEvent, Invitation, Membership, User
from orgs.registries.problems import Refused
from orgs.services.audit.events import Actor
from orgs.services.tenancy import invitations
from tests.conftest import PASSWORD, make_user
from tests.web.conftest import Page

NEW = "new@example.com"
TYPED = {"name": "Nora New", "new_password1": PASSWORD, "new_password2": PASSWORD}


@pytest.fixture
def invited(acme, alice):
    def invite(email: str = NEW, role: str = "member") -> str:
        by = Actor(alice.email, alice)
        (made,) = invitations.invite(organization=acme, emails=[email], role=role, actor=by)
        return invitations.link(made).removeprefix("http://127.0.0.1:8000")

    return invite


def roles(acme) -> dict[str, str]:
    return dict(acme.memberships.values_list("user__email", "role"))


@pytest.mark.parametrize("role", ["member", "admin"])
def test_someone_new(role, client, acme, invited) -> None:
    link = invited(role=role)
    page = Page(client.get(link))
    assert page.heading == "Join Acme" and NEW in page.text and "Alice" in page.text
    page = Page(client.post(link, TYPED, follow=True))
    assert f"You're in Acme now, as {'org admin' if role == 'admin' else 'member'}." in page.text
    assert "Hi, Nora New" in page.text and roles(acme)[NEW] == role
    person = User.objects.get(email=NEW)
    assert person.check_password(PASSWORD) and not person.is_staff
    assert person.memberships.get().invited_by.email == "alice@example.com"
    told = {e.action: e for e in AuditEvent.objects.filter(subject=NEW)}
    assert told["invitation.accepted"].properties["role"] == role
    assert told["user.created"].actor == NEW
    assert Client().get(link).status_code == 404


@pytest.mark.parametrize(
    ("typed", "wrong"),
    [
        ({"name": " "}, {"name"}),
        ({"name": "x" * 101}, {"name"}),
        ({"name": "a\nb"}, {"name"}),
        ({"new_password2": "another one 77"}, {"new_password2"}),
        ({"new_password1": "new", "new_password2": "new"}, {"new_password2"}),
    ],
)
def test_what_is_wrong_stays_at_its_field(typed, wrong, client, acme, invited) -> None:
    page = Page(client.post(invited(), TYPED | typed))
    assert page.wrong == wrong and page.title.startswith("Error: ")
    assert not User.objects.filter(email=NEW).exists() and Invitation.objects.exists()
    assert PASSWORD not in page.html


def test_someone_with_an_account_signs_in_and_comes_back(client, acme, invited) -> None:
    link = invited("dora@example.com")
    make_user("dora@example.com", "Dora")
    page = Page(client.post(link, TYPED))
    assert "dora@example.com has an account here already. Sign in with it" in page.text
    assert User.objects.get(email="dora@example.com").check_password(PASSWORD)
    sign_in = page.links["Sign in"]
    typed = {"username": "dora@example.com", "password": PASSWORD, "next": link}
    page = Page(client.post(sign_in, typed, follow=True))
    assert page.heading == "Join Acme"
    assert "You're in Acme now, as member." in Page(client.post(link, follow=True)).text
    assert roles(acme)["dora@example.com"] == "member"
    assert client.get(link).status_code == 404


def test_looking_takes_nothing(client, acme, invited) -> None:
    """Mail servers look at links, and so do people who aren't sure yet."""
    link = invited("dora@example.com")
    client.force_login(make_user("dora@example.com", "Dora"))
    for method in (client.get, client.head, client.options):
        method(link)
    assert Invitation.objects.exists() and "dora@example.com" not in roles(acme)


def test_another_persons_link_is_no_way_in(client, acme, invited, charlie) -> None:
    link = invited(role="admin")
    client.force_login(charlie)
    page = Page(client.get(link))
    assert f"This invitation is for {NEW}, and you're signed in as charlie@" in page.text
    page = Page(client.post(link, TYPED))
    assert f"This invitation is for {NEW}" in page.text
    assert charlie.email not in roles(acme) and not User.objects.filter(email=NEW).exists()


def test_a_member_gets_no_second_role(client, acme, invited, alice) -> None:
    link = invited("dora@example.com", "admin")
    dora = make_user("dora@example.com", "Dora")
    Membership.objects.create(organization=acme, user=dora, role="member")
    client.force_login(dora)
    client.post(link)
    assert roles(acme)["dora@example.com"] == "member" and not Invitation.objects.exists()


@pytest.mark.parametrize("end", ["expired", "forged", "withdrawn", "older", "of another", "cut"])
def test_links_that_dont_work(end, client, acme, invited) -> None:
    link = invited()
    (one,) = Invitation.objects.all()
    if end == "expired":
        Invitation.objects.update(expires_at=timezone.now())
    elif end == "forged":
        link = link[:-2] + ("0" if link[-2] != "0" else "1") + "/"
    elif end == "withdrawn":
        one.delete()
    elif end == "older":
        invitations.invitation_send_again(invitation=one, actor=Actor("a", one.invited_by))
    elif end == "of another":
        other = invited("other@example.com").split("-")
        link = "-".join([*link.split("-")[:2], other[2]])
    else:
        link = link[:30] + "/"
    for visitor in (client.get, client.post):
        answer = visitor(link, TYPED)
        assert answer.status_code == 404
        assert Page(answer).heading == "This invitation is over"
    assert not User.objects.filter(email=NEW).exists()


def test_links_end_with_the_secret_key(client, invited, settings) -> None:
    link = invited()
    settings.SECRET_KEY = "another"
    assert client.get(link).status_code == 404


def test_an_account_made_in_the_same_moment(client, acme, invited, monkeypatch) -> None:
    link, made = invited(), invitations.people.person_create

    def after_another(**given):
        make_user(NEW, "Somebody else")
        return made(**given)

    monkeypatch.setattr(invitations.people, "person_create", after_another)
    page = Page(client.post(link, TYPED))
    assert f"{NEW} has an account here already." in page.text and NEW not in roles(acme)


@pytest.mark.django_db(transaction=True)
def test_two_at_once_make_one(acme, invited) -> None:
    link = invited()
    start = threading.Barrier(4)
    found: list[object] = []

    def come() -> None:
        (one,) = Invitation.objects.filter(email=NEW)
        start.wait()
        try:
            person = invitations.accept_as_new(
                invitation=one, name="N", password=PASSWORD, address=None
            )
            found.append(person.email)
        except Refused as refused:
            found.append(refused.code)
        finally:
            connection.close()

    threads = [threading.Thread(target=come) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(map(str, found)).count(NEW) == 1
    assert set(found) <= {NEW, "has_account", "invitation_over", "busy"}
    assert roles(acme)[NEW] == "member" and Client().get(link).status_code == 404
