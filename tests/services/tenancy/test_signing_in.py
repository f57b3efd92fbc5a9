"""Tries to sign in are counted before they are hashed, alike whoever is asked for."""

from __future__ import annotations

import re
import threading
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

import pytest
from django.contrib.auth.hashers import MD5PasswordHasher
from django.db import connection
from django.db.models.functions import Now
from django.test.utils import CaptureQueriesContext

from orgs.models import AuditEvent, Repeat, Tally
from orgs.registries.places import Full
from orgs.services.audit import repeats
from orgs.services.audit.events import Actor
from orgs.services.tenancy import attempts, passwords, people, signing_in, tallies
from orgs.services.tenancy.signing_in import SignInRefused, sign_in
from tests.conftest import PASSWORD

pytestmark = pytest.mark.django_db

MOST, FROM = attempts.ACCOUNT.most, "203.0.113.7"


def signed_in(person) -> None:
    """All steps are behind them."""
    signing_in.signed_in(person=person, by=["password"], address=FROM)


def refusal(email="alice@example.com", password="wrong", address=FROM) -> SignInRefused:
    with pytest.raises(SignInRefused) as refused:
        sign_in(email=email, password=password, address=address)
    return refused.value


def later(**interval) -> None:
    """As if so much time had passed: all that is stored lies further back."""
    passed = timedelta(**interval)
    for tally in Tally.objects.all():
        for name in ("window_until", "paused_until", "forget_at"):
            if value := getattr(tally, name):
                setattr(tally, name, value - passed)
        tally.save()


@pytest.fixture
def hashed(monkeypatch) -> list[str]:
    """The passwords that reached the hash."""
    found: list[str] = []
    encode = MD5PasswordHasher.encode

    def counting(self, password, salt, *args):
        found.append(password)
        return encode(self, password, salt, *args)

    monkeypatch.setattr(MD5PasswordHasher, "encode", counting)
    return found


# --- how many ---------------------------------------------------------------------


@pytest.mark.parametrize("email", ["alice@example.com", "nobody@example.com", " ALICE@Example.com"])
def test_the_eleventh_is_refused_even_with_the_right_password(email, alice, hashed):
    for _ in range(MOST):
        assert refusal(email).code == "wrong_password"
    assert len(hashed) == MOST
    paused = refusal(email, PASSWORD)
    assert paused.code == "account_paused" and len(hashed) == MOST
    assert 890 < paused.retry_after <= 900
    assert paused.what.startswith("Too many sign-ins with this e-mail failed, so none is let in")
    assert "UTC (in 15 minutes), even with the right password." in paused.what
    assert "ask staff for a new password link" in paused.fix


def test_unknown_and_known_are_told_and_treated_alike(alice, hashed):
    told: dict[str, list] = {}
    for email in ("alice@example.com", "nobody@example.com"):
        told[email] = []
        for n in range(MOST + 2):
            with CaptureQueriesContext(connection) as queries:
                found = refusal(email, address=f"198.51.100.{n}")
            # without the time of day: a minute may end between the first account and the second
            said = re.sub(r"\b\d\d:\d\d UTC", "… UTC", str(found))
            told[email].append((said, found.code, len(queries)))
            assert len(hashed) == min(n + 1, MOST)
        hashed.clear()
    first, second = told.values()
    assert first == second


def test_pauses_grow_to_an_end_and_a_quiet_day_forgets_them(alice):
    lengths = []
    for _ in range(5):
        for _ in range(MOST):
            refusal()
            later(seconds=1)
        lengths.append(round(refusal().retry_after / 60))
        later(seconds=refusal().retry_after + 1)
    assert lengths == [15, 30, 60, 60, 60]
    assert sign_in(email="alice@example.com", password=PASSWORD, address=FROM) == alice
    assert not Tally.objects.filter(key__startswith="account").exists()


def test_a_pause_isnt_stretched_by_asking(alice):
    for _ in range(MOST):
        refusal()
    for _ in range(20):
        refusal()
        later(seconds=30)
    later(minutes=5)
    assert sign_in(email="alice@example.com", password=PASSWORD, address=FROM) == alice


def test_few_failures_are_forgotten_with_their_window(alice):
    for _ in range(5):
        for _ in range(MOST - 1):
            assert refusal().code == "wrong_password"
        later(minutes=15, seconds=1)


def test_who_gets_in_begins_anew(alice):
    for _ in range(3):
        for _ in range(MOST - 1):
            refusal()
        assert sign_in(email=alice.email, password=PASSWORD, address=FROM) == alice
    # the tenth try is counted before it is looked at; being right, it begins no pause
    tally = Tally.objects.get(key=f"address:{FROM}")
    assert tally.count == 3 * (MOST - 1) and tally.paused_until is None


def test_an_address_is_paused_for_every_account(alice, bob, hashed):
    for n in range(attempts.ADDRESS.most):
        assert refusal(f"nobody{n}@example.com").code == "wrong_password"
    paused = refusal(bob.email, PASSWORD)
    assert paused.code == "address_paused" and len(hashed) == attempts.ADDRESS.most
    assert "from your address failed" in paused.what and "another network" in paused.fix
    assert not Tally.objects.filter(key=f"account:{attempts.account_of(bob.email)}", count__gt=0)
    assert sign_in(email=bob.email, password=PASSWORD, address="203.0.113.8") == bob


def test_the_right_password_doesnt_fill_an_address(alice):
    for _ in range(attempts.ADDRESS.most + 5):
        sign_in(email=alice.email, password=PASSWORD, address=FROM)
    for n in range(attempts.ADDRESS.most - 1):
        refusal(f"nobody{n}@example.com")
    # the fiftieth is right, so the address has failed 49 times
    assert sign_in(email=alice.email, password=PASSWORD, address=FROM) == alice
    assert refusal("another@example.com").code == "wrong_password"
    assert refusal(alice.email, PASSWORD).code == "address_paused"


@pytest.mark.parametrize(
    ("address", "counted"),
    [
        ("203.0.113.7", "203.0.113.7"),
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"),
        ("2001:db8:1:2::1", "2001:db8:1:2::/64"),
        ("2001:db8:1:3::1", "2001:db8:1:3::/64"),
        (None, "unknown"),
    ],
)
def test_an_ipv6_network_counts_as_one(address, counted):
    assert attempts.source_of(address) == counted


@pytest.mark.parametrize("names", [("window_until",), ("paused_until", "window_until")])
def test_a_clock_set_right_pauses_nobody(names, alice):
    for _ in range(MOST - 1):
        refusal()
    ahead = Now() + timedelta(days=3)
    Tally.objects.update(**dict.fromkeys(names, ahead))
    assert sign_in(email=alice.email, password=PASSWORD, address=FROM) == alice


@pytest.mark.django_db(transaction=True)
def test_at_once_no_more_reach_the_hash_than_may(alice, hashed, monkeypatch):
    monkeypatch.setattr(passwords.places, "total", 100)
    monkeypatch.setattr(passwords.places, "most", {"account": 100})
    outcomes: Counter[str] = Counter()

    def attempt(n: int) -> None:
        try:
            with passwords.asked_by(n):
                sign_in(email=alice.email, password="wrong", address=f"198.51.100.{n % 50}")
        except SignInRefused as refused:
            outcomes[refused.code] += 1
        finally:
            connection.close()

    with ThreadPoolExecutor(16) as pool:
        list(pool.map(attempt, range(200)))
    assert outcomes == {"wrong_password": MOST, "account_paused": 200 - MOST}
    assert len(hashed) == MOST
    repeats.write_due()


def test_old_rows_go_as_new_ones_come(alice):
    refusal()
    later(minutes=16)
    refusal("nobody@example.com", address="198.51.100.1")
    assert Tally.objects.count() == 2
    for n in range(3 * tallies.DROPPED):
        Tally.objects.create(key=f"account:{n}", forget_at=Now())
    refusal("nobody@example.com", address="198.51.100.1")
    assert Tally.objects.count() == 2 + 2 * tallies.DROPPED


# --- ways out ---------------------------------------------------------------------


def test_a_link_and_a_new_password_end_the_pause(alice, actor):
    for way in (
        lambda: people.person_link(person=alice, actor=actor),
        lambda: people.password_set(person=alice, password=PASSWORD, actor=actor),
    ):
        for _ in range(MOST):
            refusal()
        assert refusal().code == "account_paused"
        way()
        assert sign_in(email=alice.email, password=PASSWORD, address="203.0.113.9") == alice


def test_switched_off_and_without_a_password_are_told_alike(alice, bob):
    alice.is_active = False
    alice.save()
    bob.set_unusable_password()
    bob.save()
    told = {str(refusal(email, PASSWORD)) for email in (alice.email, bob.email, "no@example.com")}
    assert len(told) == 1


# --- events -----------------------------------------------------------------------


def test_each_organization_of_a_person_is_told(alice, acme, umbrella, staff):
    umbrella.memberships.create(user=alice, role="member")
    signed_in(person=sign_in(email=alice.email, password=PASSWORD, address=FROM))
    refusal()
    people.password_set(person=alice, password=PASSWORD, actor=Actor(alice.email, alice))
    for action in ("user.signed_in", "user.sign_in_refused", "user.password_changed"):
        told = AuditEvent.objects.filter(action=action)
        assert set(told.values_list("organization_id", flat=True)) == {acme.pk, umbrella.pk}
        assert {event.subject for event in told} == {alice.email}
    signed_in(person=sign_in(email=staff.email, password=PASSWORD, address=FROM))
    event = AuditEvent.objects.get(action="user.signed_in", subject=staff.email)
    assert event.organization_id is None and event.source_address == FROM


def test_refused_ones_are_counted(alice):
    for _ in range(MOST + 5):
        refusal()
    events = AuditEvent.objects.filter(action="user.sign_in_refused")
    assert [event.code for event in events.order_by("pk")] == ["wrong_password", "account_paused"]
    Repeat.objects.update(until=Now())
    assert repeats.write_due() == 2
    counted = {event.code: event.properties["times"] for event in events if event.properties}
    assert counted == {"wrong_password": MOST - 1, "account_paused": 4}
    assert AuditEvent.objects.filter(actor="not signed in").count() == 4


def test_what_a_stranger_typed_stands_nowhere(db):
    typed = "MyPassw0rd-in-the-wrong-field@example.com"
    for _ in range(3):
        refusal(typed)
    event = AuditEvent.objects.get()
    assert (event.organization_id, event.subject, event.subject_id) == (None, "", "")
    rows = [*AuditEvent.objects.values(), *Repeat.objects.values(), *Tally.objects.values()]
    assert "myp" not in str(rows).lower()
    assert Repeat.objects.get().times == 2


# --- places -----------------------------------------------------------------------


def test_without_a_place_nothing_is_counted_or_hashed(alice, hashed):
    busy, done = threading.Barrier(3), threading.Event()

    def hold(owner: str) -> None:
        with passwords.asked_by(owner), passwords.place():
            busy.wait(10)
            done.wait(10)

    holders = [threading.Thread(target=hold, args=(owner,)) for owner in (FROM, FROM)]
    for holder in holders:
        holder.start()
    busy.wait(10)
    try:
        with passwords.asked_by(FROM), pytest.raises(Full) as full:
            sign_in(email=alice.email, password=PASSWORD, address=FROM)
        assert full.value.retry_after == 2 and "Too many passwords" in full.value.what
        with passwords.asked_by("198.51.100.1"):
            assert sign_in(email=alice.email, password=PASSWORD, address="198.51.100.1") == alice
    finally:
        done.set()
        for holder in holders:
            holder.join()
    assert len(hashed) == 1


@pytest.mark.parametrize("hasher", ["Scrypt", "PBKDF2"])
def test_every_hash_takes_a_place_and_the_one_thread(hasher, settings, monkeypatch, alice):
    settings.PASSWORD_HASHERS = [f"orgs.services.tenancy.passwords.{hasher}"]
    where: list[str] = []
    base = getattr(passwords, hasher).__mro__[2]
    encode = base.encode

    def seen(self, *args, **kwargs):
        where.append(threading.current_thread().name)
        assert passwords.places.held("someone") == 1
        return encode(self, *args, **kwargs)

    monkeypatch.setattr(base, "encode", seen)
    with passwords.asked_by("someone"):
        alice.set_password("a new one, long enough")
        assert alice.check_password("a new one, long enough")
        assert not alice.check_password("another")
    assert len(where) == 3 and {name.partition("_")[0] for name in where} == {"passwords"}
    assert passwords.places.held("someone") == 0
