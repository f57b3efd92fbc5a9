"""The sign-in page: too many tries, no place, and what a link ends."""

from __future__ import annotations

import threading
from contextlib import ExitStack

import pytest
from django.contrib.auth.tokens import default_token_generator
from django.core.management import call_command
from django.utils.encoding import force_bytes
from django.utils.http import urlsafe_base64_encode

from orgs.models import AuditEvent, Tally, User
from orgs.services.audit.events import Actor
from orgs.services.tenancy import attempts, passwords, people
from tests.conftest import PASSWORD
from tests.web.conftest import Page

pytestmark = pytest.mark.django_db

SIGN_IN = "/accounts/login/"
NEW_PASSWORD = "horse battery staple correct"


@pytest.fixture
def attempt(client):
    def attempt(email="alice@example.com", password="wrong", **headers):
        return client.post(SIGN_IN, {"username": email, "password": password}, **headers)

    return attempt


@pytest.mark.parametrize("email", ["alice@example.com", "nobody@example.com"])
def test_a_pause_is_told(email, attempt, alice):
    for _ in range(attempts.ACCOUNT.most):
        assert attempt(email).status_code == 200
    answer = attempt(email, PASSWORD)
    assert (answer.status_code, answer["Retry-After"]) == (429, "900")
    page = Page(answer)
    assert page.title.startswith("Error: Sign in")
    assert "Too many sign-ins with this e-mail failed" in page.by_id["errors"]
    assert "in 15 minutes" in page.by_id["errors"] and "account_paused" not in page.text
    assert page.fields["username"]["value"] == email
    assert "value" not in page.fields["password"] and PASSWORD not in page.html
    assert "_auth_user_id" not in answer.wsgi_request.session


def test_addresses_are_those_behind_trusted_proxies(attempt, settings, alice):
    settings.TRUSTED_PROXIES = ["127.0.0.1"]
    for forwarded in ("203.0.113.1", "1.1.1.1, 203.0.113.1", "2001:db8:1:2::1", "2001:db8:1:2::2"):
        attempt(HTTP_X_FORWARDED_FOR=forwarded)
    counts = dict(Tally.objects.filter(key__startswith="address").values_list("key", "count"))
    assert counts == {"address:203.0.113.1": 2, "address:2001:db8:1:2::/64": 2}
    settings.TRUSTED_PROXIES = []
    attempt(HTTP_X_FORWARDED_FOR="203.0.113.1")
    assert Tally.objects.get(key="address:127.0.0.1").count == 1


def test_no_place_is_told_at_once_and_keeps_the_e_mail(attempt, alice):
    with ExitStack() as stack:
        for owner in range(passwords.PLACES):
            stack.enter_context(passwords.places.taken(owner))
        answer = attempt(password=PASSWORD)
    assert (answer.status_code, answer["Retry-After"]) == (503, "2")
    page = Page(answer)
    assert "Too many passwords are being checked right now. Try again" in page.by_id["errors"]
    assert "busy" not in page.text
    assert page.fields["username"]["value"] == "alice@example.com"
    assert "value" not in page.fields["password"]
    assert not Tally.objects.exists() and not AuditEvent.objects.exists()
    assert attempt(password=PASSWORD).url == "/"


def test_one_address_leaves_another_a_place(attempt, client, alice, settings):
    settings.TRUSTED_PROXIES = ["127.0.0.1"]
    with ExitStack() as stack:
        for _ in range(2):
            stack.enter_context(passwords.places.taken("203.0.113.1"))
        assert attempt(HTTP_X_FORWARDED_FOR="203.0.113.1").status_code == 503
        assert attempt(HTTP_X_FORWARDED_FOR="203.0.113.2").status_code == 200


@pytest.fixture
def hashing(settings):
    """Hashes as in production; every place for them is taken."""
    settings.PASSWORD_HASHERS = ["orgs.services.tenancy.passwords.Scrypt"]
    with ExitStack() as stack:
        for owner in range(passwords.PLACES):
            stack.enter_context(passwords.places.taken(owner))
        yield


def test_other_doors_to_a_hash_are_as_narrow(client, alice, staff, actor, hashing):
    step = client.get(people.person_link(person=alice, actor=actor)).url
    typed = {"new_password1": NEW_PASSWORD, "new_password2": NEW_PASSWORD}
    answer = client.post(step, typed)
    assert (answer.status_code, answer["Retry-After"]) == (503, "2")
    assert "Nothing was changed." in answer.content.decode()
    client.force_login(staff)
    added = {"email": "n@example.com", "name": "N", "password": NEW_PASSWORD}
    assert client.post("/admin/orgs/user/add/", added).status_code == 503
    assert not User.objects.filter(email="n@example.com").exists()
    alice.refresh_from_db()
    settled = alice.password
    assert settled.startswith("md5")


@pytest.mark.django_db(transaction=True)
def test_hashing_holds_no_transaction(client, staff, settings, monkeypatch):
    from django.db import connection

    settings.PASSWORD_HASHERS = ["orgs.services.tenancy.passwords.Scrypt"]
    inside: list[bool] = []
    encode = passwords.Scrypt.encode

    def seen(self, *args, **kwargs):
        inside.append(connection.in_atomic_block)
        return encode(self, *args, **kwargs)

    monkeypatch.setattr(passwords.Scrypt, "encode", seen)
    client.force_login(staff)
    added = {"email": "n@example.com", "name": "N", "password": NEW_PASSWORD}
    assert client.post("/admin/orgs/user/add/", added).status_code == 302
    client.logout()
    person = User.objects.get(email="n@example.com")
    step = client.get(people.person_link(person=person, actor=Actor("x"))).url
    client.post(step, {"new_password1": PASSWORD, "new_password2": PASSWORD})
    client.logout()
    assert client.post(SIGN_IN, {"username": person.email, "password": PASSWORD}).url == "/"
    assert inside == [False] * 3


# --- links ------------------------------------------------------------------------


def works(client, link: str) -> bool:
    client.logout()
    return "Set your password" in client.get(link, follow=True).content.decode().split("<main")[
        1
    ] and "work any more" not in client.get(link, follow=True).content.decode()  # fmt: skip


def test_a_second_link_ends_the_first(client, alice, actor, capsys):
    first = people.person_link(person=alice, actor=actor)
    assert works(client, first)
    second = people.person_link(person=User.objects.get(pk=alice.pk), actor=actor)
    assert not works(client, first) and works(client, second)
    call_command("password_link", " ALICE@example.com ")
    third = capsys.readouterr().out.strip()
    assert not works(client, second) and works(client, third)
    step = client.get(third).url
    client.post(step, {"new_password1": NEW_PASSWORD, "new_password2": NEW_PASSWORD})
    assert not works(client, third)
    event = AuditEvent.objects.get(action="user.password_changed")
    assert (event.actor, event.organization, event.source_address) == (
        alice.email, "Acme", "127.0.0.1",
    )  # fmt: skip
    assert NEW_PASSWORD not in str(list(AuditEvent.objects.values()))
    alice.refresh_from_db()
    assert alice.check_password(NEW_PASSWORD)


def test_a_link_made_before_generations_works(client, alice):
    uid = urlsafe_base64_encode(force_bytes(alice.pk))
    before = f"/accounts/password/{uid}/{default_token_generator.make_token(alice)}/"
    assert works(client, before)
    people.person_link(person=alice, actor=Actor("tests"))
    assert not works(client, before)


def test_a_link_for_nobody(capsys, db):
    with pytest.raises(SystemExit) as stopped:
        call_command("password_link", "nobody@example.com")
    assert stopped.value.code == 1
    assert "There is no active user nobody@example.com." in capsys.readouterr().err


def test_a_changed_password_ends_other_sessions(client, alice, actor):
    from django.test import Client

    other = Client()
    other.force_login(alice)
    step = client.get(people.person_link(person=alice, actor=actor)).url
    client.post(step, {"new_password1": NEW_PASSWORD, "new_password2": NEW_PASSWORD})
    assert client.get("/organizations/acme/").status_code == 200
    assert other.get("/organizations/acme/").status_code == 302


def test_sign_ins_at_once_wait_for_each_other(alice, settings):
    """More come at once than are hashed at once, and nobody is turned away."""
    settings.PASSWORD_HASHERS = ["orgs.services.tenancy.passwords.Scrypt"]
    alice.set_password(PASSWORD)
    right: list[bool] = []

    def check(owner: int) -> None:
        with passwords.asked_by(owner):
            right.append(alice.check_password(PASSWORD))

    threads = [threading.Thread(target=check, args=(n,)) for n in range(passwords.PLACES - 1)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert right == [True] * (passwords.PLACES - 1)
