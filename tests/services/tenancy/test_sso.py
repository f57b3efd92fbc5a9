"""Who comes by their company's sign-in: what the service decides, whoever asks it."""

from __future__ import annotations

import threading

import pytest
from allauth.socialaccount.models import SocialAccount
from django.core.management import call_command
from django.db import connection

from orgs import company
from orgs.models import AuditEvent, FormerSlug, Invitation, Membership, User
from orgs.services.audit.events import Actor
from orgs.services.tenancy import invitations, organizations, sso
from orgs.services.tenancy.sso import CompanyRefused, Said
from tests.conftest import make_user

pytestmark = pytest.mark.django_db

WORK = company.Provider("oidc", "https://login.example.com", "Example Inc")


@pytest.fixture(autouse=True)
def _set(settings):
    settings.SSO_OIDC_ISSUER, settings.SSO_OIDC_NAME = WORK.itself, WORK.name


def said(email="ada@example.com", subject="ada-1", verified=True, groups=(), name="Ada"):
    return Said(WORK, subject, email, verified, name, tuple(groups))


def enter(**given) -> User:
    return sso.enter(said=said(**given), address="127.0.0.1")


def refused(code, **given):
    with pytest.raises(CompanyRefused) as raised:
        enter(**given)
    assert raised.value.code == code
    return raised.value


def roles(person):
    return dict(person.memberships.values_list("organization__slug", "role"))


def test_rules_hold_at_each_sign_in(acme, umbrella, settings):
    settings.SSO_ORGANIZATIONS = ["example.com=acme"]
    person = enter()
    assert roles(person) == {"acme": "member"}
    settings.SSO_ORGANIZATIONS.append("group:ops=umbrella:admin")
    assert roles(enter()) == {"acme": "member"}
    assert roles(enter(groups=["ops"])) == {"acme": "member", "umbrella": "admin"}
    assert AuditEvent.objects.filter(action="member.added").count() == 2


@pytest.mark.parametrize(("stands", "rule"), [("admin", "member"), ("member", "admin")])
def test_no_role_changes_by_itself(acme, alice, bob, settings, stands, rule):
    settings.SSO_ORGANIZATIONS = [f"example.com=acme:{rule}"]
    person = alice if stands == "admin" else bob
    enter(email=person.email)
    assert roles(person) == {"acme": stands}
    assert not AuditEvent.objects.filter(action__startswith="member.").exists()


def test_a_group_that_was_taken_away_takes_nobody_out(acme, settings):
    settings.SSO_ORGANIZATIONS = ["group:ml=acme"]
    person = enter(groups=["ml"])
    assert roles(enter(groups=[])) == {"acme": "member"}
    assert roles(person) == {"acme": "member"}


def test_the_rule_of_a_domain_needs_a_verified_address(acme, umbrella, settings):
    """Of who is known already, too: what the address says now isn't believed either."""
    settings.SSO_ORGANIZATIONS = ["example.com=acme", "other.com=umbrella"]
    person = enter()
    enter(email="x@other.com", verified=False)
    assert roles(person) == {"acme": "member"}
    enter(email="x@other.com", verified=None)
    assert roles(person) == {"acme": "member"}
    enter(email="x@other.com")
    assert roles(person) == {"acme": "member", "umbrella": "member"}


def test_former_short_names_and_ones_that_are_none(acme, settings, caplog):
    settings.SSO_ORGANIZATIONS = ["example.com=acme-before", "example.com=nowhere"]
    FormerSlug.objects.create(slug="acme-before", organization=acme)
    FormerSlug.objects.create(slug="gone", organization=None)
    assert roles(enter()) == {"acme": "member"}
    assert "there is no such organization" in caplog.text
    settings.SSO_ORGANIZATIONS = ["example.com=gone"]
    refused("company_not_invited", email="b@example.com", subject="b")


def test_who_is_invited_comes_in_as_that(acme, alice, settings):
    actor = Actor(alice.email, alice)
    invitations.invite(organization=acme, emails=["ada@example.com"], role="admin", actor=actor)
    settings.SSO_ORGANIZATIONS = ["example.com=acme"]
    person = enter()
    assert roles(person) == {"acme": "admin"} and person.email_verified
    assert not Invitation.objects.exists()
    event = AuditEvent.objects.get(action="invitation.accepted")
    assert event.actor == "ada@example.com"


def test_an_invitation_that_is_over_lets_nobody_in(acme, alice):
    actor = Actor(alice.email, alice)
    invitations.invite(organization=acme, emails=["ada@example.com"], role="admin", actor=actor)
    alice.is_active = False
    alice.save()
    refused("company_not_invited")


def test_another_providers_subject_is_another(acme, alice):
    """The same word for somebody, said by somebody else, after the issuer was changed."""
    SocialAccount.objects.create(user=alice, provider="https://former.example", uid="ada-1")
    refused("company_not_invited")
    assert enter(email=alice.email) == alice
    assert SocialAccount.objects.filter(user=alice).count() == 2


@pytest.mark.parametrize("name", ["", " ", "x" * 300, "a\0b", "a\x1bb", "‮evil"])
def test_names_are_made_storable(acme, settings, name):
    settings.SSO_ORGANIZATIONS = ["example.com=acme"]
    person = enter(name=name)
    person.full_clean(exclude=["password"])
    assert person.name


def test_letters_that_become_others_are_no_address(acme):
    make_user("kim@example.com", "Kim")
    refused("company_no_email", email="\u212aim@example.com")
    refused("company_no_email", email="k\u0131m@example.com")
    assert enter(email="KIM@EXAMPLE.COM ").email == "kim@example.com"


def test_refusals_repeat_as_one_event(acme):
    for _ in range(5):
        refused("company_not_invited")
    assert AuditEvent.objects.filter(action="user.sign_in_refused").count() == 1


def test_an_assertion_is_used_once():
    assert sso.use(WORK, "a") and not sso.use(WORK, "a")
    assert sso.use(company.Provider("saml", "other", "Other"), "a")


def test_staff_end_every_connection(acme, alice, settings):
    settings.SSO_ORGANIZATIONS = ["example.com=acme"]
    person = enter()
    assert not sso.has_other_way(person)
    ended = sso.disconnect(person=person, actor=Actor("staff", alice))
    assert ended == 1 and not SocialAccount.objects.exists()
    event = AuditEvent.objects.get(action="user.company_disconnected")
    assert event.properties["at"] == "Example Inc" and event.organization == "Acme"


def test_a_removed_member_comes_again_by_a_rule(acme, alice, settings):
    """The rule is the operator's; the log says by what."""
    settings.SSO_ORGANIZATIONS = ["example.com=acme"]
    person = enter()
    organizations.member_remove(membership=person.memberships.get(), actor=Actor("a", alice))
    enter()
    added = AuditEvent.objects.filter(action="member.added").latest("pk")
    assert added.properties["by"] == "sign-in at Example Inc"


@pytest.mark.django_db(transaction=True)
def test_two_at_once_are_one(acme, settings):
    settings.SSO_ORGANIZATIONS = ["example.com=acme"]
    ready, found = threading.Barrier(4), []

    def come():
        try:
            ready.wait()
            found.append(enter().pk)
        except Exception as error:
            found.append(error)
        finally:
            connection.close()

    threads = [threading.Thread(target=come) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(set(found)) == 1 and isinstance(found[0], int), found
    assert SocialAccount.objects.count() == Membership.objects.count() == 1


def test_a_command_ends_them(acme, settings, capsys):
    settings.SSO_ORGANIZATIONS = ["example.com=acme"]
    enter()
    refused("company_other_account", subject="ada-2")
    call_command("end_company_sign_in", "Ada@example.com")
    assert capsys.readouterr().out == "1 ended.\n"
    assert enter(subject="ada-2").email == "ada@example.com"
    with pytest.raises(SystemExit):
        call_command("end_company_sign_in", "nobody@example.com")
