"""What an attacker tried on signing in that no other test had thought of."""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor

import pytest
from allauth.mfa.models import Authenticator
from allauth.usersessions.models import UserSession
from django.contrib.sessions.models import Session
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse

from orgs.models import AuditEvent, Project, User
from orgs.registries.problems import Refused
from orgs.registries.turns import turns
from orgs.services.audit import repeats
from orgs.services.audit.events import Actor
from orgs.services.tenancy import (
    invitations,
    links,
    mails,
    organizations,
    people,
    projects,
    second_steps,
    sessions,
    tokens,
)
from tests.conftest import PASSWORD, make_user
from tests.support.passkey import Passkey

from .test_passkeys import ADD, ALONE, add, alone, ask, options
from .test_second_steps import (
    CODE,
    LOGIN,
    _clock,  # noqa: F401  (used by all)
    code_of,
    is_in,
    later,
    set_up,
    sign_in,
)

pytestmark = pytest.mark.django_db
FRESH = "another long password"
STEPS = ("mfa_activate_totp", "mfa_generate_recovery_codes", "mfa_add_webauthn")


@pytest.fixture(autouse=True)
def _by_name(settings, monkeypatch):
    settings.BASE_URL = "https://registries.example.com"
    settings.EMAIL_BACKEND = "django.core.mail.backends.locmem.EmailBackend"
    monkeypatch.setattr(mails, "LATER", 0)


def again(client: Client) -> None:
    client.post(reverse("account_reauthenticate"), {"password": PASSWORD})


# --- nothing that was sent before is done later -------------------------------------------


def test_a_passkey_planted_before_signing_in_is_never_added(client, alice):
    """On a machine that somebody else will use: the form is sent, and waits for nobody."""
    key = Passkey()
    key_options = client.get(ALONE, headers={"accept": "application/json"}).json()
    key.handle = b""
    asked = {"publicKey": key_options["request_options"]["publicKey"] | {"user": {"id": "MQ"}}}
    typed = {"name": "x", "credential": json.dumps(key.create(asked)), "passwordless": "on"}
    assert client.post(ADD, typed).url.startswith(LOGIN)
    client.post(LOGIN, {"username": alice.email, "password": PASSWORD})
    answer = client.post(f"{reverse('account_reauthenticate')}?next={ADD}", {"password": PASSWORD})
    assert answer.status_code == 302 and answer.url == ADD
    assert not Authenticator.objects.exists()


@pytest.mark.parametrize("name", STEPS)
@pytest.mark.parametrize("signed_in", [True, False])
def test_nothing_that_was_sent_is_kept(client, alice, name, signed_in):
    if signed_in:
        client.force_login(alice)
    rows = Session.objects.count()
    answer = client.post(reverse(name), {"code": "x" * 60_000, "planted": "planted-text"})
    assert answer.status_code == 302
    assert Session.objects.count() == rows  # nobody's rows grow by it
    kept = str([row.get_decoded() for row in Session.objects.all()])
    assert "planted-text" not in kept and "reauthentication_state" not in kept


def test_a_thiefs_removal_isnt_done_by_the_owners_password(client, alice):
    client.force_login(alice)
    set_up(client)
    thief = Client()
    thief.force_login(alice)
    thief.post(reverse("mfa_deactivate_totp"))
    thief.get(reverse("mfa_deactivate_totp"))
    again(thief)
    assert Authenticator.objects.filter(type="totp").exists()


@pytest.mark.parametrize("name", ["mfa_reauthenticate_webauthn", "mfa_login_webauthn"])
def test_a_challenge_is_for_what_it_was_asked(client, alice, name):
    """One of showing oneself again, or of signing in, registers nothing."""
    client.force_login(alice)
    again(client)
    add(client, Passkey())
    if name == "mfa_login_webauthn":
        client.logout()
        asked = ask(client)
        client.post(LOGIN, {"username": alice.email, "password": PASSWORD})
    else:
        asked = options(client.get(reverse(name)))["request_options"]
    asked["publicKey"]["user"] = {"id": "MQ"}
    typed = {"name": "x", "credential": json.dumps(Passkey().create(asked)), "passwordless": "on"}
    client.post(ADD, typed)
    assert Authenticator.objects.filter(type="webauthn").count() == 1


def test_what_was_begun_ends_with_signing_in(client, alice):
    ask(client)
    client.post(LOGIN, {"username": alice.email, "password": PASSWORD})
    left = client.session.keys()
    assert not {"mfa.webauthn.state", "mfa.totp.secret", "sign_in_pending"} & set(left)


# --- whose account it is -------------------------------------------------------------------


def test_who_made_the_account_by_a_copied_link_keeps_nothing_of_it(client, acme, alice):
    (invited,) = invitations.invite(
        organization=acme, emails=["v@example.net"], role="member", actor=Actor("a", alice)
    )
    maker = invitations.accept_as_new(invitation=invited, name="V", password=PASSWORD, address=None)
    thief = Client()
    thief.post(LOGIN, {"username": maker.email, "password": PASSWORD})
    token = tokens.token_issue_api(user=maker, name="t", actor=Actor("v", maker))[1]
    link = people.person_link(person=User.objects.get(pk=maker.pk), actor=Actor("staff"))
    page = client.get(link, follow=True)
    typed = {"new_password1": FRESH, "new_password2": FRESH}
    client.post(page.request["PATH_INFO"], typed)
    assert is_in(client) and not is_in(thief)
    assert User.objects.get(pk=maker.pk).email_verified
    headers = {"authorization": f"Token {token}"}
    assert Client().get("/api/v0/me/", headers=headers).status_code == 401
    assert AuditEvent.objects.filter(action="token.revoked").count() == 1


def test_a_link_where_its_person_is_signed_in_and_has_a_step(client, alice, actor):
    client.force_login(alice)
    secret, _ = set_up(client)
    later(90)
    page = client.get(people.person_link(person=alice, actor=actor), follow=True)
    typed = {"new_password1": FRESH, "new_password2": FRESH}
    assert client.post(page.request["PATH_INFO"], typed).url == CODE
    client.post(CODE, {"code": code_of(secret)})
    assert is_in(client)


def test_a_link_ends_the_session_of_whoever_was_signed_in_there(client, alice, bob, actor):
    client.force_login(alice)
    secret, _ = set_up(client)
    client.force_login(bob)
    page = client.get(people.person_link(person=alice, actor=actor), follow=True)
    typed = {"new_password1": FRESH, "new_password2": FRESH}
    assert client.post(page.request["PATH_INFO"], typed).url == CODE
    assert not is_in(client)
    later(90)
    client.post(CODE, {"code": code_of(secret)})
    assert b"alice@example.com" in client.get(reverse("account")).content


@pytest.mark.django_db(transaction=True)
def test_two_uses_of_one_link_set_one_password(alice, actor):
    link = people.person_link(person=alice, actor=actor)
    clients = []
    for _ in range(2):
        client = Client()
        page = client.get(link, follow=True)
        clients.append((client, page.request["PATH_INFO"]))

    def send(n: int) -> int:
        client, path = clients[n]
        fresh = f"{FRESH} number {n}"
        try:
            return client.post(path, {"new_password1": fresh, "new_password2": fresh}).status_code
        finally:
            connection.close()

    with ThreadPoolExecutor(2) as pool:
        answers = list(pool.map(send, range(2)))
    assert 302 in answers
    assert AuditEvent.objects.filter(action="user.password_changed").count() == 1
    used = link.rstrip("/").split("/")[-1]
    with pytest.raises(Refused) as refused:
        people.password_set(person=alice, password=FRESH, actor=actor, token=used)
    assert refused.value.code == "link_over"


def test_a_link_of_who_was_switched_off_doesnt_work(client, alice, actor):
    link = people.person_link(person=alice, actor=actor)
    User.objects.filter(pk=alice.pk).update(is_active=False)
    assert b"doesn't work any more" in client.get(link, follow=True).content.replace(
        b"&#x27;", b"'"
    )


# --- half a sign-in ---------------------------------------------------------------------------


def test_a_new_password_ends_a_sign_in_that_is_half_done(client, alice, actor):
    client.force_login(alice)
    secret, _ = set_up(client)
    later(90)
    thief = Client()
    assert sign_in(thief).url == CODE
    people.password_set(person=alice, password=FRESH, actor=actor)
    assert thief.post(CODE, {"code": code_of(secret)}).url.startswith(LOGIN)
    assert not is_in(thief)


def test_who_is_deleted_meanwhile_begins_again(client, alice, actor, umbrella, acme):
    client.force_login(alice)
    set_up(client)
    client.logout()
    sign_in(client)
    User.objects.filter(pk=alice.pk).delete()
    for ask_it in (client.get, client.post):
        assert ask_it(CODE).url.startswith(LOGIN)


def test_a_link_of_staff_ends_the_pause_of_codes(client, alice, actor):
    client.force_login(alice)
    secret, _ = set_up(client)
    later(90)
    client.logout()
    for _ in range(11):
        sign_in(client)
        client.post(CODE, {"code": "000000"})
    people.person_link(person=alice, actor=actor)
    sign_in(client)
    client.post(CODE, {"code": code_of(secret)})
    assert is_in(client)


# --- other doors ------------------------------------------------------------------------------


@pytest.mark.parametrize("page", ["password_change", "password_change_done"])
def test_the_admin_has_no_door_of_its_own_to_a_password(client, staff, page):
    client.force_login(staff)
    typed = {"old_password": PASSWORD, "new_password1": FRESH, "new_password2": FRESH}
    answer = client.post(reverse(f"admin:{page}"), typed)
    assert answer.url == reverse("account")
    assert User.objects.get(pk=staff.pk).check_password(PASSWORD)


def test_staff_move_no_project_past_the_policy_either(acme, alice, project, actor):
    organizations.policies_set(
        organization=acme, actor=actor, admins_need_mfa=False, no_personal_projects=True
    )
    with pytest.raises(Refused, match="wants no personal projects"):
        projects.project_update(project=project, actor=actor, name=project.name, user=alice)
    assert Project.objects.get(pk=project.pk).organization == acme


def test_a_request_on_its_way_is_asked_for_the_step_too(acme, alice):
    acme.admins_need_mfa = True
    acme.save()
    with pytest.raises(Refused) as refused:
        organizations.organization_update(
            organization=acme, actor=Actor("alice", alice), name="X", slug="x"
        )
    assert refused.value.code == "mfa_needed"


# --- passkeys ----------------------------------------------------------------------------------


def test_one_that_is_a_second_step_only_signs_nobody_in_alone(client, alice):
    client.force_login(alice)
    again(client)
    key = Passkey()
    answer = key.create(options(client.get(ADD))["creation_options"])
    client.post(ADD, {"name": "x", "credential": json.dumps(answer)})  # without the tick
    assert b"after the password" in client.get(reverse("account")).content
    client.logout()
    alone(client, key)
    assert not is_in(client)
    client.post(LOGIN, {"username": alice.email, "password": PASSWORD})
    asked = options(client.get(CODE))["request_options"]
    client.post(CODE, {"credential": json.dumps(key.get(asked))})
    assert is_in(client)


def test_the_same_one_is_added_once(client, alice):
    client.force_login(alice)
    again(client)
    key = Passkey()
    assert add(client, key).status_code == 302
    assert b"You have this passkey already" in add(client, key).content
    assert Authenticator.objects.filter(type="webauthn").count() == 1


@pytest.mark.parametrize(
    "origin", ["https://evil.registries.example.com", "https://registries.example.com:8443"]
)
def test_names_below_ours_and_other_ports_are_others(client, alice, origin):
    client.force_login(alice)
    again(client)
    assert add(client, Passkey(origin, "registries.example.com")).status_code == 200
    assert not Authenticator.objects.exists()


def test_good_sign_ins_by_passkey_dont_pause_an_address(client, alice):
    client.force_login(alice)
    again(client)
    key = Passkey()
    add(client, key)
    for _ in range(70):
        client.logout()
        alone(client, key)
    assert is_in(client)


@pytest.mark.parametrize("site", ["cross-site", "same-site", "none"])
def test_another_sites_pictures_dont_ask(client, site):
    for _ in range(70):
        headers = {"accept": "application/json", "sec-fetch-site": site}
        assert client.get(ALONE, headers=headers).status_code == 302
    assert not Session.objects.exists() and ask(client)


def test_one_that_was_removed_doesnt_come_back_by_a_new_name(client, alice, actor):
    client.force_login(alice)
    again(client)
    add(client, Passkey())
    row = Authenticator.objects.get(type="webauthn")
    second_steps.take_off(person=alice, actor=actor)
    assert not second_steps.rename(person=alice, key=row.pk, name="x")
    assert not Authenticator.objects.exists()


# --- what strangers write -----------------------------------------------------------------------


def test_asking_for_links_fills_no_log(client, alice, acme):
    for n in range(60):
        client.post(reverse("password_forgotten"), {"email": alice.email})
        client.post(reverse("password_forgotten"), {"email": f"x{n}@example.com"})
    repeats.before_reading()
    assert AuditEvent.objects.filter(action="user.link_asked").count() < 25


def test_a_paused_address_fills_no_log(client, alice):
    for n in range(120):
        client.post(LOGIN, {"username": f"x{n}@example.com", "password": "wrong"})
    refused = AuditEvent.objects.filter(action="user.sign_in_refused")
    assert refused.filter(code="address_paused").count() == 1
    assert refused.count() <= 51


@pytest.mark.django_db(transaction=True)
def test_mails_hold_no_turn_and_come_in_bounds(client, alice, monkeypatch, mailoutbox):
    client.force_login(alice)
    set_up(client)
    for _ in range(40):
        client.post(reverse("mfa_generate_recovery_codes"))
    mails.drain()
    assert len(mailoutbox) == second_steps.CHANGES
    given_up = []
    monkeypatch.setattr(
        turns, "given_up", lambda: given_up.append(1) or turns.__class__.given_up(turns)
    )
    mails.send(mails.Mail("s", ["x"], "/", ["a@example.com"], "a test"))
    assert given_up and not mails._late


# --- sessions -------------------------------------------------------------------------------------


def test_sessions_that_no_list_has_end_too(client, alice):
    unlisted = Client()
    unlisted.force_login(alice)
    UserSession.objects.all().delete()
    client.post(LOGIN, {"username": alice.email, "password": PASSWORD})
    client.post(reverse("sessions_end"))
    assert is_in(client) and not is_in(unlisted)


def test_taking_a_step_off_and_switching_off_end_sessions(client, alice, actor):
    client.force_login(alice)
    set_up(client)
    second_steps.take_off(person=alice, actor=actor)
    assert not is_in(client)
    client.force_login(alice)
    for active in (False, True):
        people.person_update(person=alice, actor=actor, is_active=active)
    assert not is_in(client)


def test_the_list_is_of_those_that_live_and_says_how_many_more(client, alice):
    for n in range(sessions.SHOWN + 5):
        one = Client()
        one.force_login(alice)
        UserSession.objects.create(
            user=alice, session_key=one.session.session_key, ip="192.0.2.1", user_agent=f"a{n}"
        )
        UserSession.objects.create(user=alice, session_key=f"dead{n}", ip="192.0.2.1")
    client.force_login(alice)
    page = client.get(reverse("account")).content
    assert page.count(b"192.0.2.1") >= sessions.SHOWN - 1 and b"And 6 older ones." in page


def test_signing_in_costs_as_much_however_many_sessions_there_are(alice):
    def cost() -> int:
        client = Client()
        with CaptureQueriesContext(connection) as asked:
            client.post(LOGIN, {"username": alice.email, "password": PASSWORD})
        return len(asked)

    cost()
    few = cost()
    for n in range(60):
        UserSession.objects.create(user=alice, session_key=f"over-{n}", ip="192.0.2.1")
    assert cost() <= few + 1  # those that are over go with it
    assert UserSession.objects.filter(session_key__startswith="over-").count() == 0


def test_rows_of_sessions_that_are_over_go_by_themselves(client, alice):
    for _ in range(5):
        ask(Client())
    Session.objects.update(expire_date="2020-01-01T00:00Z")
    client.post(LOGIN, {"username": alice.email, "password": PASSWORD})
    assert Session.objects.count() == 1


def test_a_link_for_another_email_ends_with_the_password(client, alice, mailoutbox):
    links.email_ask(person=alice, email="new@example.com", actor=Actor("alice", alice))
    mails.drain()
    token = mailoutbox[0].body.rstrip("/").split("/")[-1]
    assert links.email_wanted(alice, token)
    people.password_set(person=alice, password=FRESH, actor=Actor("alice", alice))
    assert not links.email_wanted(User.objects.get(pk=alice.pk), token)


# --- no crash --------------------------------------------------------------------------------


def test_new_codes_where_there_is_nothing_to_stand_in_for(client, alice):
    client.force_login(alice)
    again(client)
    for asked in (client.get, client.post, client.put):
        assert asked(reverse("mfa_generate_recovery_codes")).url == reverse("account")


def test_recovery_codes_that_dont_open(client, alice, settings):
    client.force_login(alice)
    set_up(client)
    settings.FERNET_KEYS = ["BjmyLIJbz0mMSfS-hVJ3PlE-2lBBsj16r3jV0-d8yEQ="]
    answer = client.get(reverse("mfa_view_recovery_codes"), follow=True)
    assert answer.status_code == 200
    assert client.get(reverse("mfa_generate_recovery_codes")).status_code == 200
    answer = client.post(reverse("mfa_generate_recovery_codes"), follow=True)
    assert b"They won" in answer.content  # shown, the new ones


def test_somebody_else_has_no_part_in_it(client, alice):
    """What the tests above take for granted: another person's session shows nothing of it."""
    client.force_login(alice)
    set_up(client)
    other = make_user("dora@example.com", "Dora")
    client.force_login(other)
    assert client.get(reverse("mfa_view_recovery_codes")).status_code == 404
