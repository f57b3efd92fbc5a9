"""Passkeys: after the password, instead of it, and everything a hostile browser may send.

A real browser with an authenticator of its own: tests/browser/test_passkeys.py.
"""

from __future__ import annotations

import json
from html import unescape

import pytest
from allauth.mfa.models import Authenticator
from django.test import Client
from django.urls import reverse

from orgs.models import AuditEvent
from orgs.services.tenancy import second_steps
from tests.conftest import PASSWORD
from tests.support.passkey import PRESENT, Passkey

pytestmark = [pytest.mark.once, pytest.mark.django_db]
LOGIN, ADD, ALONE = map(reverse, ("account_login", "mfa_add_webauthn", "mfa_login_webauthn"))
CODE, ACCOUNT = map(reverse, ("mfa_authenticate", "account"))
WRONG = "isn't one of"


@pytest.fixture(autouse=True)
def _by_name(settings):
    settings.BASE_URL = "https://registries.example.com"


@pytest.fixture
def key() -> Passkey:
    return Passkey()


@pytest.fixture
def me(client, alice) -> Client:
    client.force_login(alice)
    client.post(reverse("account_reauthenticate"), {"password": PASSWORD})
    return client


def options(page) -> dict:
    text = page.content.decode().partition('data-options="')[2].partition('"')[0]
    return json.loads(unescape(text))


def add(client, key, name="Laptop", **wrong):
    answer = key.create(options(client.get(ADD))["creation_options"]) | wrong
    typed = {"name": name, "credential": json.dumps(answer), "passwordless": "on"}
    return client.post(ADD, typed)


@pytest.fixture
def added(me, key, alice) -> Authenticator:
    answer = add(me, key)
    assert answer.status_code == 302, told(answer)
    me.logout()
    return Authenticator.objects.get(user=alice, type="webauthn")


def told(answer) -> str:
    return unescape(answer.content.decode())


def ask(client) -> dict:
    return client.get(ALONE, headers={"accept": "application/json"}).json()["request_options"]


def alone(client, key, **wrong):
    answer = key.get(ask(client)) | wrong
    return client.post(ALONE, {"credential": json.dumps(answer)}, follow=True)


def password(client, email="alice@example.com"):
    return client.post(LOGIN, {"username": email, "password": PASSWORD})


def is_in(client) -> bool:
    return client.get(ACCOUNT).status_code == 200


# --- as it should be -------------------------------------------------------------------


def test_instead_of_the_password(client, added, key):
    alone(client, key)
    assert is_in(client)
    assert AuditEvent.objects.get(action="user.signed_in").properties["by"] == ["passkey"]


def test_after_the_password(client, added, key):
    assert password(client).url == CODE
    asked = options(client.get(CODE))["request_options"]
    client.post(CODE, {"credential": json.dumps(key.get(asked))})
    assert is_in(client)
    event = AuditEvent.objects.get(action="user.signed_in")
    assert event.properties["by"] == ["password", "passkey"]


def test_it_leads_to_where_one_wanted(client, added, key):
    answer = key.get(ask(client))
    typed = {"credential": json.dumps(answer), "next": reverse("api_tokens")}
    assert client.post(ALONE, typed).url == reverse("api_tokens")
    client.logout()
    typed = {"credential": json.dumps(key.get(ask(client))), "next": "//evil.example/"}
    assert "evil" not in client.post(ALONE, typed).url


def test_added_renamed_removed(me, key, alice, acme):
    add(me, key)
    found = Authenticator.objects.get(type="webauthn")
    assert second_steps.has_one(alice) and "Laptop" in told(me.get(ACCOUNT))
    assert AuditEvent.objects.get(action="user.second_step_added").organization_id == acme.pk
    me.post(reverse("mfa_edit_webauthn", args=[found.pk]), {"name": "Old laptop"})
    assert "Old laptop" in told(me.get(ACCOUNT))
    me.post(reverse("mfa_remove_webauthn", args=[found.pk]))
    assert not Authenticator.objects.exists() and not second_steps.has_one(alice)
    assert AuditEvent.objects.filter(action="user.second_step_removed").count() == 1


def test_shown_again_by_it(client, added, key, alice):
    client.force_login(alice)
    again = reverse("mfa_reauthenticate_webauthn")
    asked = options(client.get(again))["request_options"]
    answer = client.post(again, {"credential": json.dumps(key.get(asked)), "next": ADD})
    assert answer.url == ADD and client.get(ADD).status_code == 200


@pytest.mark.parametrize(
    ("base", "works"),
    [
        ("https://registries.example.com", True),
        ("http://localhost:8000", True),
        ("http://registries.localhost", True),
        ("http://registries.example.com", False),
        ("http://127.0.0.1:8000", False),
        ("https://192.0.2.1", False),
        ("https://[2001:db8::1]", False),
    ],
)
def test_where_browsers_take_them(client, alice, settings, base, works):
    settings.BASE_URL = base
    client.force_login(alice)
    assert ("Add a passkey" in told(client.get(ACCOUNT))) is works
    assert second_steps.passkeys_work() is works


# --- as it shouldn't --------------------------------------------------------------------


@pytest.mark.parametrize(
    "wrong",
    [
        {"origin": "https://evil.example"},
        {"origin": "http://registries.example.com"},
        {"origin": "https://registries.example.com.evil.example"},
        {"rp": "evil.example"},
        {"challenge": "AAAA"},
        {"flags": PRESENT},  # nobody showed that it's them
        {"flags": 0},
        {"id": b"another"},
        {"handle": b"999999"},
        {"handle": b""},
        {"handle": b"\xff\xfe"},
        {"handle": b"zzzzzzzzzzzzzzzzzzzz"},  # more than a database's number
        {"handle": b"-1"},
    ],
)
def test_a_wrong_answer(client, added, key, wrong):
    for name, value in wrong.items():
        setattr(key, name, value)
    answer = alone(client, key)
    assert answer.status_code == 200 and WRONG in told(answer) and not is_in(client)
    event = AuditEvent.objects.get(action="user.sign_in_refused")
    assert (event.code, event.subject) == ("wrong_passkey", "")


def test_another_keys_signature(client, added, key):
    key.key = Passkey().key
    assert WRONG in told(alone(client, key)) and not is_in(client)


def test_an_answer_counts_once(client, added, key):
    answer = {"credential": json.dumps(key.get(ask(client)))}
    client.post(ALONE, answer)
    assert is_in(client)
    client.logout()
    client.post(ALONE, answer)
    assert not is_in(client)
    other = Client()
    ask(other)
    other.post(ALONE, answer)
    assert not is_in(other)


def test_another_persons_key_is_no_second_step(client, added, key, bob):
    password(client, bob.email)
    assert is_in(client)  # bob has none
    client.logout()
    client.force_login(bob)
    client.post(reverse("account_reauthenticate"), {"password": PASSWORD})
    theirs = Passkey()
    add(client, theirs)
    client.logout()
    password(client, bob.email)
    asked = options(client.get(CODE))["request_options"]
    assert WRONG in told(client.post(CODE, {"credential": json.dumps(key.get(asked))}))
    assert not is_in(client)


def test_another_persons_key_is_neither_renamed_nor_removed(client, added, bob):
    client.force_login(bob)
    client.post(reverse("account_reauthenticate"), {"password": PASSWORD})
    for name in ("mfa_edit_webauthn", "mfa_remove_webauthn"):
        for method in (client.get, client.post):
            assert method(reverse(name, args=[added.pk]), {"name": "x"}).status_code == 404
    assert Authenticator.objects.filter(pk=added.pk).exists()


def test_who_was_switched_off_doesnt_come_in(client, added, key, alice):
    alice.is_active = False
    alice.save()
    assert WRONG in told(alone(client, key)) and not is_in(client)


HOSTILE = [
    "",
    "null",
    "[]",
    "0",
    '"x"',
    "{}",
    "{",
    "[" * 20_000,
    '{"a":' * 10_000,
    '{"id": null, "response": null}',
    '{"id": "AA", "rawId": "AA", "type": "public-key", "response": {}}',
    '{"id": "\\u0000", "rawId": "\\ud800", "type": "public-key", "response": []}',
    json.dumps({"id": "AA", "rawId": "A" * 40_000, "type": "public-key", "response": {"x": 1}}),
    json.dumps(
        {
            "id": "AA", "rawId": "AA", "type": "public-key",
            "response": {"clientDataJSON": "AA", "attestationObject": "AA",
                         "authenticatorData": "AA", "signature": "AA", "userHandle": "MQ"},
        }
    ),
    json.dumps(
        {
            "id": "AA", "rawId": "AA", "type": "public-key",
            "response": {"clientDataJSON": "e30", "attestationObject": "oA",
                         "authenticatorData": "A" * 60, "signature": "!!", "userHandle": "%%"},
        }
    ),
    json.dumps({"id": 1, "rawId": [], "type": {}, "response": {"clientDataJSON": 5}}),
]  # fmt: skip


@pytest.mark.parametrize("credential", HOSTILE, ids=range(len(HOSTILE)))
def test_hostile_answers_are_told(client, added, credential, alice):
    ask(client)
    answer = client.post(ALONE, {"credential": credential}, follow=True)
    assert answer.status_code == 200 and not is_in(client)
    password(client)
    client.get(CODE)
    answer = client.post(CODE, {"credential": credential})
    assert answer.status_code == 200 and not is_in(client)
    client.force_login(alice)
    client.post(reverse("account_reauthenticate"), {"password": PASSWORD})
    client.get(ADD)
    answer = client.post(ADD, {"name": "x", "credential": credential})
    assert answer.status_code == 200 and "<title>Error: " in told(answer)
    again = reverse("mfa_reauthenticate_webauthn")
    client.get(again)
    assert client.post(again, {"credential": credential}).status_code == 200
    assert Authenticator.objects.filter(type="webauthn").count() == 1


@pytest.mark.parametrize(
    "wrong",
    [
        {"origin": "https://evil.example"},
        {"rp": "evil.example"},
        {"challenge": "AAAA"},
        {"flags": PRESENT},
    ],
)
def test_what_isnt_added(me, key, wrong):
    for name, value in wrong.items():
        setattr(key, name, value)
    assert "<title>Error: " in told(add(me, key)) and not Authenticator.objects.exists()


@pytest.mark.parametrize("name", ["", "x" * 61, "a\0b", "a\nb", "a\x1bb"])
def test_what_is_no_name(me, key, name):
    answer = add(me, key, name)
    assert "<title>Error: " in told(answer) and not Authenticator.objects.exists()


@pytest.mark.parametrize("name", ["<script>alert(1)</script>", '"><b>'])
def test_a_name_is_text(me, key, name):
    add(me, key, name)
    assert name not in me.get(ACCOUNT).content.decode()


def test_nothing_but_what_is_known_is_stored(me, key):
    add(me, key, extra="\0", clientExtensionResults={"credProps": {"rk": True, "x": "\0"}})
    (found,) = Authenticator.objects.filter(type="webauthn")
    assert found.data["credential"]["clientExtensionResults"] == {"credProps": {"rk": True}}
    assert "extra" not in found.data["credential"]


def test_twenty_at_most(me):
    for n in range(20):
        assert add(me, Passkey(), f"k{n}").status_code == 302
    assert "You have 20 passkeys" in told(add(me, Passkey()))


def test_asks_are_counted(client, alice):
    for _ in range(60):
        assert ask(client)
    answer = client.get(ALONE, headers={"accept": "application/json"})
    assert answer.status_code == 302
    assert "Too many sign-ins with a passkey" in told(client.get(LOGIN))
