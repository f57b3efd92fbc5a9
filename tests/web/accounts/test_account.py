"""One's own account: name, e-mail, password, sessions; and a new password by mail."""

from __future__ import annotations

import re
from datetime import timedelta
from html import unescape

import pytest
from allauth.usersessions.models import UserSession
from django.contrib.sessions.models import Session
from django.core import signing
from django.test import Client
from django.urls import reverse

from orgs.models import AuditEvent, Tally, User
from orgs.services.tenancy import links, mails, sessions
from tests.conftest import PASSWORD, make_user

pytestmark = [pytest.mark.once, pytest.mark.django_db]
ACCOUNT, LOGIN, FORGOTTEN = map(reverse, ("account", "account_login", "password_forgotten"))
FRESH = "another long password"


@pytest.fixture(autouse=True)
def _mails_go_out(settings, monkeypatch):
    settings.EMAIL_BACKEND = "django.core.mail.backends.locmem.EmailBackend"
    monkeypatch.setattr(mails, "LATER", 0)


@pytest.fixture
def me(client, alice) -> Client:
    sign_in(client)
    return client


def sign_in(client: Client, email="alice@example.com", password=PASSWORD, **headers) -> bool:
    client.post(LOGIN, {"username": email, "password": password}, headers=headers)
    return client.get(ACCOUNT).status_code == 200


def sent(mailoutbox) -> list:
    mails.drain()
    return mailoutbox


def link_in(mail) -> str:
    return re.search(r"https?://\S+", mail.body)[0]


def told(answer) -> str:
    return re.sub(r"\s+", " ", unescape(answer.content.decode()))


# --- name ---------------------------------------------------------------------------


def test_a_new_name(me, alice, acme):
    answer = me.post(reverse("account_name"), {"name": "Alice Liddell"}, follow=True)
    assert "Your name is saved." in told(answer) and "Hi, Alice Liddell" in told(answer)
    event = AuditEvent.objects.get(action="user.updated")
    assert event.properties["changes"] == {"name": [alice.name, "Alice Liddell"]}


@pytest.mark.parametrize("name", ["", "  ", "x" * 101, "a\0b", "a\nb"])
def test_what_is_no_name(me, alice, name):
    answer = me.post(reverse("account_name"), {"name": name})
    assert answer.status_code == 200 and "<title>Error: " in told(answer)
    assert User.objects.get(pk=alice.pk).name == alice.name
    # what was refused doesn't show as if it stood
    assert f"Hi, {alice.name}" in told(answer)


@pytest.mark.parametrize("name", ["<script>alert(1)</script>", '"><img src=x>', "{{ 123457*7 }}"])
def test_a_name_is_text(me, name):
    answer = me.post(reverse("account_name"), {"name": name}, follow=True)
    assert name not in answer.content.decode() or "{{" in name
    assert "864199" not in answer.content.decode()


def test_staff_have_an_account_like_everyone(client, mailoutbox):
    stella = make_user("stella@example.com", "Stella")
    stella.is_staff = True
    stella.save()
    assert sign_in(client, stella.email)
    client.post(reverse("account_name"), {"name": "Stella M."})
    ask_email(client, "sm@example.com")
    client.post(link_in(*sent(mailoutbox)))
    found = User.objects.get(pk=stella.pk)
    assert (found.name, found.email) == ("Stella M.", "sm@example.com")
    assert "signed out everywhere else" in told(change_password(client))
    assert not AuditEvent.objects.filter(subject_id=str(stella.pk), staff=True).exists()


# --- e-mail ---------------------------------------------------------------------------


def ask_email(client, email="liddell@example.com", current=PASSWORD):
    return client.post(
        reverse("account_email_change"), {"email": email, "current": current}, follow=True
    )


def test_a_new_email_is_ones_own_once_its_link_is_followed(me, alice, mailoutbox):
    assert "A link is on its way to liddell@example.com" in told(ask_email(me))
    (mail,) = sent(mailoutbox)
    assert mail.to == ["liddell@example.com"] and alice.email in mail.body
    assert User.objects.get(pk=alice.pk).email == alice.email
    link = link_in(mail)
    assert "Sign in as liddell@example.com?" in told(me.get(link))
    me.post(link)
    assert User.objects.get(pk=alice.pk).email == "liddell@example.com"
    _, notice = sent(mailoutbox)
    assert notice.to == [alice.email] and "liddell@example.com" in notice.body
    assert "This link doesn't work" in told(me.get(link))  # it works once
    assert sign_in(Client(), "liddell@example.com") and not sign_in(Client(), alice.email)


def test_looking_at_the_link_changes_nothing(me, alice, mailoutbox):
    ask_email(me)
    me.get(link_in(*sent(mailoutbox)))
    assert User.objects.get(pk=alice.pk).email == alice.email


def test_it_is_for_who_asked(me, alice, bob, mailoutbox):
    ask_email(me)
    link = link_in(*sent(mailoutbox))
    other = Client()
    other.force_login(bob)
    assert "This link doesn't work" in told(other.post(link))
    assert Client().post(link).url.startswith(LOGIN)
    assert {alice.email, bob.email} <= set(User.objects.values_list("email", flat=True))


def test_it_ends_after_a_day(me, alice, mailoutbox, monkeypatch):
    ask_email(me)
    monkeypatch.setattr(links, "LIFE", timedelta(0))
    me.post(link_in(*sent(mailoutbox)))
    assert User.objects.get(pk=alice.pk).email == alice.email


@pytest.mark.parametrize(
    "token",
    [
        "",
        "x",
        "a:b:c",
        signing.dumps(["not", "ours"]),
        signing.dumps([1, "alice@example.com", "e@example.com"]),  # signed for something else
        signing.dumps({"a": 1}, salt="orgs.email_link"),
        signing.dumps([1, 2], salt="orgs.email_link"),
        "x" * 5000,
    ],
    ids=range(8),
)
def test_links_that_arent_ours(me, alice, token):
    answer = me.post(f"/accounts/email/{token or '-'}/")
    assert answer.status_code == 200 and "doesn't work" in told(answer)


def test_an_address_with_an_account_gets_nothing_and_nobody_learns_of_it(me, bob, mailoutbox):
    assert told(ask_email(me, bob.email)).count(f"A link is on its way to {bob.email}") == 1
    assert sent(mailoutbox) == []


def test_somebody_took_the_address_meanwhile(me, alice, mailoutbox):
    ask_email(me)
    make_user("liddell@example.com", "Other")
    answer = me.post(link_in(*sent(mailoutbox)))
    assert answer.status_code == 200 and "be used" in told(answer)
    assert User.objects.get(pk=alice.pk).email == alice.email


@pytest.mark.parametrize(
    "email",
    [
        "",
        "no",
        "a@b",
        "alice@example.com",
        "ALICE@example.com",
        "a\r\nBcc: x@example.com",
        "a@x.y z",
    ],
)
def test_what_is_no_new_email(me, mailoutbox, email):
    assert "<title>Error: " in told(ask_email(me, email))
    assert sent(mailoutbox) == []


def test_it_takes_the_password(me, mailoutbox):
    assert "This isn't your current password" in told(ask_email(me, current="wrong"))
    assert sent(mailoutbox) == []


def test_wrong_passwords_there_count_as_tries_to_sign_in(me):
    for _ in range(10):
        ask_email(me, current="wrong")
    assert "even with the right password" in told(ask_email(me))
    assert not sign_in(Client())


def test_five_an_hour(me, mailoutbox):
    for n in range(5):
        ask_email(me, f"a{n}@example.com")
    assert "Wait an hour" in told(ask_email(me))
    assert len(sent(mailoutbox)) == 5


def test_without_mail_staff_change_it(me, settings):
    settings.EMAIL_BACKEND = "django.core.mail.backends.console.EmailBackend"
    assert "so ask staff to change it" in told(me.get(ACCOUNT))
    answer = ask_email(me)
    assert "Ask staff to change it" in told(answer)
    assert answer.context["email_form"].has_error("__all__", "no_mail")


# --- password -----------------------------------------------------------------------


def change_password(client, current=PASSWORD, first=FRESH, second=FRESH):
    typed = {"current": current, "new_password1": first, "new_password2": second}
    return client.post(reverse("account_password"), typed, follow=True)


def test_a_new_password_ends_the_other_sessions(me, alice):
    other = Client()
    assert sign_in(other)
    assert "signed out everywhere else" in told(change_password(me))
    assert me.get(ACCOUNT).status_code == 200 and other.get(ACCOUNT).status_code == 302
    assert UserSession.objects.filter(user=alice).count() == Session.objects.count() == 1
    assert sign_in(Client(), password=FRESH) and not sign_in(Client())
    assert AuditEvent.objects.filter(action="user.password_changed").count() == 1


@pytest.mark.parametrize(
    ("current", "first", "second"),
    [
        ("wrong", FRESH, FRESH),
        ("", FRESH, FRESH),
        (PASSWORD, FRESH, "another one, as long"),
        (PASSWORD, "short", "short"),
        (PASSWORD, "", ""),
        (PASSWORD, "alice@example.com", "alice@example.com"),
    ],
)
def test_passwords_that_are_refused(me, current, first, second):
    answer = change_password(me, current, first, second)
    assert "<title>Error: " in told(answer) and FRESH not in told(answer)
    assert sign_in(Client())


# --- sessions -----------------------------------------------------------------------

FIREFOX = "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0"
EDGE = "Mozilla/5.0 (Windows NT 10.0) AppleWebKit/537.36 Chrome/140.0 Safari/537.36 Edg/140.0"
SAFARI = "Mozilla/5.0 (iPhone; CPU iPhone OS 19 like Mac OS X) Version/19.0 Safari/604.1"


@pytest.mark.parametrize(
    ("agent", "said"),
    [
        (FIREFOX, "Firefox on Linux"),
        (EDGE, "Edge on Windows"),
        (SAFARI, "Safari on iPhone"),
        ("curl/8.0", "curl/8.0"),
        ("", "Unknown browser"),
        ("x" * 500, "x" * 60),
        ("a\x1b[31mb", "a[31mb"),
    ],
)
def test_a_browser_in_words(agent, said):
    assert sessions.browser(agent) == said


def test_where_one_is_signed_in(alice):
    here, there = Client(), Client()
    sign_in(here, **{"user-agent": FIREFOX})
    sign_in(there, **{"user-agent": SAFARI})
    page = told(here.get(ACCOUNT))
    assert re.search(r"Firefox on Linux</b>.*– this one", page)
    assert "Safari on iPhone" in page
    here.post(reverse("sessions_end"))
    assert there.get(ACCOUNT).status_code == 302 and here.get(ACCOUNT).status_code == 200
    event = AuditEvent.objects.get(action="user.sessions_ended")
    assert event.properties["count"] == 1


def test_one_is_ended_and_not_somebody_elses(me, alice, bob):
    theirs = Client()
    sign_in(theirs, bob.email)
    for row in UserSession.objects.all():
        me.post(reverse("session_end", args=[row.pk]))
    assert theirs.get(ACCOUNT).status_code == 200 and me.get(ACCOUNT).status_code == 200
    other = Client()
    sign_in(other)
    row = UserSession.objects.filter(user=alice).order_by("pk").last()
    me.post(reverse("session_end", args=[row.pk]))
    assert other.get(ACCOUNT).status_code == 302


def test_a_session_from_before_the_list_is_in_it(client, alice):
    client.force_login(alice)
    UserSession.objects.all().delete()
    assert "this one" in told(client.get(ACCOUNT))


def test_signing_out_takes_it_off_the_list(me):
    me.post(reverse("account_logout"))
    other = Client()
    sign_in(other)
    assert told(other.get(ACCOUNT)).count("signed in") - 1 == 1 or "this one" in told(
        other.get(ACCOUNT)
    )
    places, more = sessions.of(User.objects.get(), other.session.session_key)
    assert [place.is_this for place in places] == [True] and not more


def test_a_session_has_another_key_once_signed_in(client, alice, settings):
    """Who planted a session's cookie isn't in with whoever signs in by it."""
    planted = Client()
    planted.get(reverse("mfa_login_webauthn"), headers={"accept": "application/json"})
    key = planted.cookies[settings.SESSION_COOKIE_NAME].value
    client.cookies[settings.SESSION_COOKIE_NAME] = key
    assert sign_in(client)
    assert client.cookies[settings.SESSION_COOKIE_NAME].value != key
    assert planted.get(ACCOUNT).status_code == 302


# --- forgotten --------------------------------------------------------------------------


def forget(client, email="alice@example.com"):
    return client.post(FORGOTTEN, {"email": email})


def test_a_link_to_set_a_new_one(client, alice, mailoutbox):
    assert "If alice@example.com has an account here" in told(forget(client))
    (mail,) = sent(mailoutbox)
    assert mail.to == [alice.email]
    page = client.get(link_in(mail), follow=True)
    typed = {"new_password1": FRESH, "new_password2": FRESH}
    client.post(page.request["PATH_INFO"], typed)
    assert client.get(ACCOUNT).status_code == 200 and sign_in(Client(), password=FRESH)
    again = Client().get(link_in(mail), follow=True)
    assert "This link doesn't work any more" in told(again)


def test_it_says_the_same_whoever_asks(client, alice, mailoutbox):
    known, unknown = (told(forget(client, e)) for e in ("alice@example.com", "nobody@example.com"))
    plain = re.compile(r'csrfmiddlewaretoken" value="\w+"')
    assert plain.sub("", known).replace("alice", "nobody") == plain.sub("", unknown)
    assert [mail.to for mail in sent(mailoutbox)] == [[alice.email]]
    assert Tally.objects.filter(key__startswith="reset:").count() == 2
    assert AuditEvent.objects.filter(action="user.link_asked").count() == 2


def test_what_a_stranger_typed_stands_nowhere(client):
    forget(client, "my-secret-password@example.com")
    assert "my-secret" not in str(list(AuditEvent.objects.values()))


def test_three_an_hour_for_one_and_twenty_from_one(client, alice, mailoutbox):
    for _ in range(5):
        assert "is on its way" in told(forget(client))
    assert len(sent(mailoutbox)) == 3
    for n in range(20):
        make_user(f"u{n}@example.com", "U")
        forget(client, f"u{n}@example.com")
    assert len(sent(mailoutbox)) == 3 + 15


def test_who_was_switched_off_gets_none(client, alice, mailoutbox):
    alice.is_active = False
    alice.save()
    forget(client)
    assert sent(mailoutbox) == []


def test_asking_ends_no_pause_and_no_link(client, alice, actor, mailoutbox):
    from orgs.services.tenancy import people

    link = people.person_link(person=alice, actor=actor)
    for _ in range(10):
        client.post(LOGIN, {"username": alice.email, "password": "wrong"})
    forget(client)
    assert not sign_in(Client())
    assert "Set password" in told(client.get(link, follow=True))


@pytest.mark.parametrize("host", ["evil.example", "testserver.evil.example", "evil.example:80"])
def test_links_are_never_made_of_a_host_header(client, alice, mailoutbox, host, settings):
    settings.ALLOWED_HOSTS = ["*"]
    client.post(FORGOTTEN, {"email": alice.email}, headers={"host": host})
    (mail,) = sent(mailoutbox)
    assert "evil" not in mail.body and link_in(mail).startswith(settings.BASE_URL)


def test_without_mail_it_says_whom_to_ask(client, alice, settings, mailoutbox):
    settings.EMAIL_BACKEND = "django.core.mail.backends.console.EmailBackend"
    assert "This server sends no mail" in told(client.get(FORGOTTEN))
    assert "Forgot your password?" not in told(client.get(LOGIN))
    assert "This server sends no mail" in told(forget(client))
