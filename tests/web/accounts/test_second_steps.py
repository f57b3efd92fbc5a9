"""Two-step sign-in by an app's codes and recovery codes, as a browser's forms do it."""

from __future__ import annotations

import re
import time
from contextlib import contextmanager
from types import SimpleNamespace

import pytest
from allauth.account.internal import stagekit
from allauth.mfa.models import Authenticator
from allauth.mfa.totp.internal import auth as totp
from django.contrib.sessions.models import Session
from django.core.cache import cache
from django.test import Client
from django.urls import reverse

from orgs.models import AuditEvent
from orgs.services.bulk.rotation import rotate_secrets
from orgs.services.tenancy import people, second_steps
from tests.conftest import PASSWORD

pytestmark = [pytest.mark.once, pytest.mark.django_db]
LOGIN, CODE = reverse("account_login"), reverse("mfa_authenticate")


@pytest.fixture(autouse=True)
def _clock(monkeypatch):
    """The clock of codes, which tests move; codes that were used are remembered in the cache,
    too, which is each process's own."""
    cache.clear()
    now[0] = time.time()
    for module in (totp, stagekit):
        monkeypatch.setattr(module, "time", SimpleNamespace(time=lambda: now[0]))


now = [0.0]


def code_of(secret: str, ahead: int = 0) -> str:
    counter = int(now[0]) // 30 + ahead
    return totp.format_hotp_value(totp.hotp_value(secret, counter))


def later(seconds: int = 30) -> None:
    now[0] += seconds


def show_again(client: Client) -> None:
    answer = client.post(reverse("account_reauthenticate"), {"password": PASSWORD})
    assert answer.status_code == 302, answer.content.decode()


def set_up(client: Client) -> tuple[str, list[str]]:
    """The app's secret, and the recovery codes, as the pages show them."""
    show_again(client)
    page = client.get(reverse("mfa_activate_totp")).content.decode()
    (secret,) = re.findall(r"<code[^>]*>([A-Z2-7]{32})</code>", page)
    answer = client.post(reverse("mfa_activate_totp"), {"code": code_of(secret)}, follow=True)
    codes = re.findall(r"^\s*(?:<pre[^>]*>)?(\d{8})$", answer.content.decode(), re.M)
    assert len(codes) == 10, answer.content.decode()
    return secret, codes


@pytest.fixture
def secret(client, alice) -> str:
    client.force_login(alice)
    secret, _ = set_up(client)
    client.logout()
    later(90)  # the code of setting it up is used, and those around it are to be fresh
    return secret


def sign_in(client: Client, **extra):
    typed = {"username": "alice@example.com", "password": PASSWORD, **extra}
    return client.post(LOGIN, typed)


def is_in(client: Client) -> bool:
    return client.get(reverse("account")).status_code == 200


def refusals() -> list[tuple[str, str]]:
    found = AuditEvent.objects.filter(action="user.sign_in_refused")
    return list(found.values_list("code", "subject"))


# --- in -------------------------------------------------------------------------


def test_the_password_alone_lets_nobody_in(client, secret):
    assert sign_in(client).url == CODE
    assert not is_in(client)
    answer = client.post(CODE, {"code": code_of(secret)})
    assert answer.status_code == 302 and is_in(client)


def test_it_leads_to_where_one_wanted(client, secret):
    wanted = reverse("api_tokens")
    sign_in(client, next=wanted)
    assert client.post(CODE, {"code": code_of(secret)}).url == wanted


@pytest.mark.parametrize("next_", ["https://evil.example/", "//evil.example", "/\\evil.example"])
def test_it_never_leads_elsewhere(client, secret, next_):
    sign_in(client, next=next_)
    assert "evil" not in client.post(CODE, {"code": code_of(secret)}).url


def test_the_event_says_what_was_shown(client, secret):
    sign_in(client)
    assert not AuditEvent.objects.filter(action="user.signed_in").exists()
    client.post(CODE, {"code": code_of(secret)})
    event = AuditEvent.objects.get(action="user.signed_in")
    assert event.properties["by"] == ["password", "app code"]


@pytest.mark.parametrize("off", [-1, 0, 1])
def test_a_clock_may_be_half_a_minute_off(client, secret, off):
    sign_in(client)
    client.post(CODE, {"code": code_of(secret, off)})
    assert is_in(client)


@pytest.mark.parametrize(
    "code", ["", "000000", "abcdef", "1" * 41, "１２３４５６", "12 34 56", "-1", "\0"]
)
def test_a_wrong_code_is_told(client, secret, code):
    sign_in(client)
    answer = client.post(CODE, {"code": code})
    assert answer.status_code == 200 and b"<title>Error:" in answer.content
    assert not is_in(client)
    if 0 < len(code.strip("\0")) <= 40:
        assert refusals() == [("wrong_code", "alice@example.com")]


@pytest.mark.parametrize("off", [-2, 2, 40])
def test_another_times_code_is_wrong(client, secret, off):
    sign_in(client)
    client.post(CODE, {"code": code_of(secret, off)})
    assert not is_in(client)


def test_a_code_works_once_whichever_process_is_asked(client, secret):
    code = code_of(secret)
    sign_in(client)
    client.post(CODE, {"code": code})
    cache.clear()  # as another process has it
    other = Client()
    sign_in(other)
    answer = other.post(CODE, {"code": code})
    assert b"used already" in answer.content and not is_in(other)


def test_without_the_password_there_is_no_second_step(client, secret):
    answer = client.post(CODE, {"code": code_of(secret)})
    assert answer.url.startswith(LOGIN) and not is_in(client)


def test_the_step_ends_after_a_while(client, secret):
    sign_in(client)
    later(16 * 60)
    client.post(CODE, {"code": code_of(secret)})
    assert not is_in(client)


def test_who_was_switched_off_meanwhile_doesnt_come_in(client, secret, alice):
    sign_in(client)
    alice.is_active = False
    alice.save()
    client.post(CODE, {"code": code_of(secret)})
    assert not is_in(client)


def test_a_code_isnt_taken_for_somebody_else(client, secret, bob):
    client.post(LOGIN, {"username": bob.email, "password": PASSWORD})
    assert is_in(client)  # bob has no second step, and alice's isn't asked
    client.logout()
    sign_in(client)
    client.post(CODE, {"code": "000000"})
    assert not is_in(client)


# --- limits -------------------------------------------------------------------------


def test_codes_are_counted_in_the_database(client, secret):
    for _ in range(10):
        sign_in(client)
        assert client.post(CODE, {"code": "000000"}).status_code == 200
    cache.clear()
    later()
    fresh = Client()
    sign_in(fresh)
    answer = fresh.post(CODE, {"code": code_of(secret)})
    assert answer.status_code == 429 and int(answer["Retry-After"]) > 800
    assert b"even the right one" in answer.content and not is_in(fresh)
    assert ("codes_paused", "alice@example.com") in refusals()


def test_the_right_one_forgets_the_wrong_ones(client, secret):
    for _ in range(3):
        for _ in range(9):
            sign_in(client)
            client.post(CODE, {"code": "000000"})
        later()
        sign_in(client)
        client.post(CODE, {"code": code_of(secret)})
        assert is_in(client)
        client.logout()


# --- recovery codes ----------------------------------------------------------------


def test_a_recovery_code_works_once(client, alice):
    client.force_login(alice)
    _, codes = set_up(client)
    for wanted in (True, False):
        other = Client()
        sign_in(other)
        other.post(CODE, {"code": codes[3]})
        assert is_in(other) is wanted


def test_they_are_shown_once(client, alice):
    client.force_login(alice)
    _, codes = set_up(client)
    page = client.get(reverse("mfa_view_recovery_codes")).content.decode()
    assert not any(code in page for code in codes) and "10 of 10 are left" in page
    client.post(reverse("mfa_generate_recovery_codes"))
    page = client.get(reverse("mfa_view_recovery_codes")).content.decode()
    assert not any(code in page for code in codes)
    assert len(re.findall(r"^\s*(?:<pre[^>]*>)?\d{8}$", page, re.M)) == 10


# --- set up, taken off --------------------------------------------------------------


def test_setting_up_asks_who_one_is(client, alice):
    client.force_login(alice)
    answer = client.get(reverse("mfa_activate_totp"))
    assert answer.url.startswith(reverse("account_reauthenticate"))
    answer = client.post(answer.url, {"password": "wrong"})
    assert answer.status_code == 200 and not Authenticator.objects.exists()


def test_asking_again_counts_as_signing_in(client, alice):
    client.force_login(alice)
    for _ in range(10):
        client.post(reverse("account_reauthenticate"), {"password": "wrong"})
    answer = client.post(reverse("account_reauthenticate"), {"password": PASSWORD})
    assert b"even with the right password" in answer.content


def test_set_up_and_removal_are_told(client, alice, acme, mailoutbox):
    client.force_login(alice)
    set_up(client)
    added = AuditEvent.objects.get(action="user.second_step_added")
    assert (added.organization_id, added.subject) == (acme.pk, alice.email)
    answer = client.post(reverse("mfa_deactivate_totp"), follow=True)
    assert b"was removed" in answer.content
    assert not Authenticator.objects.exists()  # the recovery codes went along
    assert AuditEvent.objects.filter(action="user.second_step_removed").count() == 1
    client.logout()
    sign_in(client)
    assert is_in(client)


def test_staff_let_somebody_in_who_lost_the_phone(client, secret, alice, actor):
    assert second_steps.take_off(person=alice, actor=actor) == 2
    sign_in(client)
    assert is_in(client)


def test_a_password_link_doesnt_skip_it(client, secret, alice, actor):
    link = people.person_link(person=alice, actor=actor)
    page = client.get(link, follow=True)
    fresh = "another long password"
    answer = client.post(
        page.request["PATH_INFO"], {"new_password1": fresh, "new_password2": fresh}
    )
    assert answer.url == CODE and not is_in(client)
    client.post(CODE, {"code": code_of(secret)})
    assert is_in(client)


# --- sealed -----------------------------------------------------------------------


def stored() -> str:
    sessions = [str(row.get_decoded()) for row in Session.objects.all()]
    return repr([row.data for row in Authenticator.objects.all()]) + repr(sessions)


def test_its_secret_is_in_no_row(client, alice):
    client.force_login(alice)
    show_again(client)
    page = client.get(reverse("mfa_activate_totp")).content.decode()
    (secret,) = re.findall(r"<code[^>]*>([A-Z2-7]{32})</code>", page)
    assert secret not in stored() and "mfa.totp.secret" in stored()
    answer = client.post(reverse("mfa_activate_totp"), {"code": code_of(secret)}, follow=True)
    codes = re.findall(r"^\s*(?:<pre[^>]*>)?(\d{8})$", answer.content.decode(), re.M)
    assert codes and not any(text in stored() for text in (secret, *codes))


def test_it_opens_for_its_person_only(client, secret, alice, bob):
    Authenticator.objects.filter(user=alice, type="totp").update(user=bob)
    client.post(LOGIN, {"username": bob.email, "password": PASSWORD})
    answer = client.post(CODE, {"code": code_of(secret)})
    assert b"FERNET_KEYS" in answer.content and not is_in(client)


@contextmanager
def keys(settings, *found: str):
    before = settings.FERNET_KEYS
    settings.FERNET_KEYS = list(found)
    yield before
    settings.FERNET_KEYS = before


def test_rotating_seals_it_anew(client, secret, settings):
    fresh = "BjmyLIJbz0mMSfS-hVJ3PlE-2lBBsj16r3jV0-d8yEQ="
    with keys(settings, fresh, *settings.FERNET_KEYS):
        report = rotate_secrets()
        assert report.resealed >= 2 and not report.unreadable
    with keys(settings, fresh):
        sign_in(client)
        client.post(CODE, {"code": code_of(secret)})
        assert is_in(client)


def test_a_lost_key_is_told(client, secret, settings):
    with keys(settings, "BjmyLIJbz0mMSfS-hVJ3PlE-2lBBsj16r3jV0-d8yEQ="):
        assert len(rotate_secrets().unreadable) >= 2
        sign_in(client)
        answer = client.post(CODE, {"code": code_of(secret)})
        assert ("second_step_unreadable", "alice@example.com") in refusals()
        assert b"FERNET_KEYS" in answer.content and not is_in(client)
