"""What an organization asks of its people: a second step, no personal projects."""

from __future__ import annotations

from html import unescape

import pytest
from allauth.mfa.models import Authenticator
from django.core.management import call_command
from django.test import Client
from django.urls import reverse

from orgs.models import AuditEvent, Organization, Project
from orgs.registries.problems import Refused
from orgs.services.tenancy import organizations, projects, tokens
from tests.conftest import HOST, make_user

pytestmark = pytest.mark.django_db
POLICIES = reverse("policies", args=["acme"])


def told(answer) -> str:
    return unescape(answer.content.decode())


def give_step(person) -> Authenticator:
    return Authenticator.objects.create(user=person, type="totp", data={"secret": "sealed"})


@pytest.fixture
def strict(acme, alice, actor) -> Organization:
    Organization.objects.filter(pk=acme.pk).update(admins_need_mfa=True)
    return acme


@pytest.fixture
def signed_in(client, alice) -> Client:
    client.force_login(alice)
    return client


# --- admins need MFA --------------------------------------------------------------------

PAGES = ("organization", "registries", "entry_new", "members", "workers", "audit", "policies")


@pytest.mark.parametrize("page", PAGES)
def test_an_admin_without_one_reaches_nothing_of_it(signed_in, strict, page):
    answer = signed_in.get(reverse(page, args=["acme"]))
    assert answer.status_code == 403 and "needs your second step" in told(answer)
    assert reverse("mfa_activate_totp") in told(answer)
    assert signed_in.post(reverse(page, args=["acme"])).status_code in {403, 405}


@pytest.mark.parametrize("page", PAGES)
def test_with_one_all_is_as_before(signed_in, strict, alice, page):
    give_step(alice)
    assert signed_in.get(reverse(page, args=["acme"])).status_code == 200


def test_recovery_codes_alone_are_none(signed_in, strict, alice):
    Authenticator.objects.create(user=alice, type="recovery_codes", data={})
    assert signed_in.get(reverse("organization", args=["acme"])).status_code == 403


def test_it_asks_nothing_of_members_and_staff(client, strict, bob, staff):
    for person in (bob, staff):
        client.force_login(person)
        assert client.get(reverse("organization", args=["acme"])).status_code == 200


def test_home_and_the_account_stay(signed_in, strict):
    assert signed_in.get(reverse("account")).status_code == 200
    assert signed_in.get(reverse("home"), follow=True).status_code in {200, 403}


def api(client, token, method="get", path="/api/v0/registry-credentials/", **body):
    sent = {"content_type": "application/json"} if method != "get" else {}
    headers = {"authorization": f"Token {token}"}
    return getattr(client, method)(path, body or None, headers=headers, **sent)


def test_their_api_tokens_are_refused(client, strict, alice, actor, make_entry):
    entry = make_entry()
    token = tokens.token_issue_api(user=alice, name="script", actor=actor)[1]
    one = f"/api/v0/registry-credentials/{entry.pk}/"
    asked = [
        api(client, token),
        api(client, token, path=f"/api/v0/registry-credentials/?owner={strict.pk}"),
        api(client, token, path=one),
        api(client, token, "patch", one, note="x"),
        api(client, token, "delete", one),
        api(client, token, "post", type="aws-ecr-role", image_pattern=f"{HOST}/x"),
    ]
    assert {(a.status_code, a.json()["code"]) for a in asked} == {(403, "mfa_needed")}
    give_step(alice)
    assert api(client, token).status_code == 200


def test_workers_go_on(client, strict, project, make_entry, actor):
    make_entry(f"{HOST}/role/*", registry_type="aws-ecr-role")
    token = tokens.token_issue_worker(organization=strict, name="w", actor=actor)[1]
    body = {"project": str(project.pk), "image": f"{HOST}/role/x"}
    assert api(client, token, "post", "/api/v0/docker-login/", **body).status_code == 200


def test_another_organization_of_theirs_goes_on(signed_in, strict, alice, umbrella):
    umbrella.memberships.create(user=alice, role="admin")
    assert signed_in.get(reverse("organization", args=["umbrella"])).status_code == 200


def test_no_project_is_moved_in_past_it(signed_in, strict, alice, umbrella):
    umbrella.memberships.create(user=alice, role="admin")
    own = Project.objects.create(name="mine", user=alice)
    answer = signed_in.post(reverse("own_project_move", args=[own.pk]), {"to": "acme"})
    assert "This isn't in the list" in told(answer)
    assert Project.objects.get(pk=own.pk).user == alice


# --- setting them ---------------------------------------------------------------------


def test_who_turns_it_on_has_one(signed_in, acme, alice):
    answer = signed_in.post(POLICIES, {"admins_need_mfa": "on"})
    assert "You have no second step yourself" in told(answer)
    assert not Organization.objects.get(pk=acme.pk).admins_need_mfa
    give_step(alice)
    assert signed_in.post(POLICIES, {"admins_need_mfa": "on"}).status_code == 302
    assert Organization.objects.get(pk=acme.pk).admins_need_mfa
    event = AuditEvent.objects.get(action="organization.updated")
    assert event.properties["changes"] == {"admins_need_mfa": [False, True]}


def test_it_says_who_has_none(signed_in, acme, alice):
    carol = make_user("carol@example.com", "Carol")
    acme.memberships.create(user=carol, role="admin")
    page = told(signed_in.get(POLICIES))
    assert "Without two-step sign-in so far" in page and "Carol" in page and "Alice" in page
    give_step(carol)
    assert "Carol" not in told(signed_in.get(POLICIES))


def test_it_can_be_turned_off(signed_in, strict, alice):
    give_step(alice)
    signed_in.post(POLICIES, {})
    assert not Organization.objects.get(pk=strict.pk).admins_need_mfa


def test_the_list_says_who_has_one(signed_in, acme, bob):
    page = told(signed_in.get(reverse("members", args=["acme"])))
    assert "Two-step" in page and ">On<" not in page.replace("\n", "").replace(" ", "")
    give_step(bob)
    assert ">On<" in told(signed_in.get(reverse("members", args=["acme"]))).replace(" ", "")


# --- no personal projects -----------------------------------------------------------------


@pytest.fixture
def shared(acme, alice, actor) -> Organization:
    organizations.policies_set(
        organization=acme, actor=actor, admins_need_mfa=False, no_personal_projects=True
    )
    return acme


def test_no_new_ones(shared, bob, actor, capsys):
    with pytest.raises(Refused, match="wants no personal projects, and Bob is in it") as refused:
        projects.project_create(name="mine", user=bob, actor=actor)
    assert refused.value.code == "no_personal_projects"
    with pytest.raises(SystemExit):
        call_command("create_project", "mine", "--user", bob.email)
    assert "wants no personal projects" in capsys.readouterr().err
    assert not Project.objects.filter(user=bob).exists()


def test_none_is_moved_to_a_person(signed_in, shared, project):
    answer = signed_in.post(reverse("project_move", args=["acme", project.pk]), {"to": "*"})
    assert "wants no personal projects, and Alice is in it" in told(answer)
    assert Project.objects.get(pk=project.pk).organization == shared


def test_those_there_stay(acme, alice, bob, actor):
    own = projects.project_create(name="mine", user=bob, actor=actor)
    organizations.policies_set(
        organization=acme, actor=actor, admins_need_mfa=False, no_personal_projects=True
    )
    assert Project.objects.get(pk=own.pk).user == bob
    assert projects.project_rename(project=own, name="still mine", actor=actor).name


def test_others_have_theirs(shared, actor):
    stranger = make_user("dora@example.com", "Dora")
    assert projects.project_create(name="mine", user=stranger, actor=actor).pk


# --- who lost everything ---------------------------------------------------------------


def test_the_command_takes_it_off(alice, acme, capsys):
    give_step(alice)
    call_command("remove_two_step", "ALICE@example.com")
    assert "signs in by the password alone" in capsys.readouterr().out
    assert not Authenticator.objects.exists()
    event = AuditEvent.objects.get(action="user.second_step_removed")
    assert (event.actor, event.organization_id) == ("command line", acme.pk)


@pytest.mark.parametrize(
    ("email", "said"), [("alice@example.com", "no second step"), ("x@example.com", "no user")]
)
def test_where_there_is_nothing_to_take_off(alice, email, said, capsys):
    with pytest.raises(SystemExit):
        call_command("remove_two_step", email)
    assert said in capsys.readouterr().err
