"""Where clouds read a copy of the keys: a key signs once that has it, and not before."""

from __future__ import annotations

import json
from collections.abc import Callable

import pytest

from orgs.models import SigningKey
from orgs.registries.problems import Failed
from orgs.services.identity import copies, documents, issuer, keys, signing
from tests.support.identity import AUDIENCE, fetched, judged, kids, later
from tests.support.internet import Server, reply

pytestmark = [
    pytest.mark.django_db(transaction=True),
    pytest.mark.usefixtures("issuing"),
]
COPY = "https://registry.example.com/acme/issuer"
PATH = "/acme/issuer/.well-known/jwks.json"


class Bucket:
    """A web server with the copy in it, as it was exported last."""

    def __init__(self) -> None:
        self.answer: Callable[[], bytes] = lambda: reply(404)
        self.server: Server

    def put(self) -> None:
        document = documents.key_set()
        self.answer = lambda: reply(200, document)

    @property
    def asked(self) -> int:
        return len(self.server.requests)


@pytest.fixture
def bucket(internet, settings) -> Bucket:
    settings.OIDC_ISSUER = COPY
    bucket = Bucket()
    bucket.server = internet.serve(lambda request: bucket.answer())
    return bucket


@pytest.fixture
def sign(make_entry):
    entry = make_entry()

    def sign() -> str:
        keys.look_again()
        token = signing.signed(entry, AUDIENCE)
        assert judged(token, fetched())["iss"] == COPY
        return keys.signing().kid

    return sign


def test_the_first_key_signs_once_it_is_there(bucket, sign) -> None:
    with pytest.raises(Failed) as failed:
        sign()
    assert failed.value.code == "issuer_unreachable" and COPY in failed.value.what
    assert "export_issuer" in failed.value.fix
    assert SigningKey.objects.get().state == SigningKey.State.COMING
    bucket.put()
    assert {sign()} == kids(fetched())
    (request, *_) = bucket.server.requests
    assert (request.method, request.target) == ("GET", PATH) and not request.authorization


def test_the_next_waits_for_the_copy_however_late_that_is(bucket, sign) -> None:
    fetched()
    bucket.put()
    first = sign()
    coming = keys.rotate()
    later(days=3)
    assert sign() == first
    bucket.put()
    assert sign() == coming.kid


def test_a_copy_that_has_it_early_does_not_hurry_it(bucket, sign) -> None:
    fetched()
    bucket.put()
    first = sign()
    keys.rotate()
    bucket.put()
    later(hours=23)
    asked = bucket.asked
    assert sign() == first and bucket.asked == asked


def test_after_all_are_dropped_nothing_is_signed_before_the_copy_has_the_new_one(
    bucket, sign
) -> None:
    fetched()
    bucket.put()
    sign()
    _, new = keys.drop_all()
    with pytest.raises(Failed) as failed:
        sign()
    assert failed.value.code == "issuer_unreachable"
    bucket.put()
    assert sign() == new.kid


def test_a_fleet_asks_it_once_a_minute(bucket, sign, make_entry, monkeypatch) -> None:
    entry = make_entry("quay.io/x/*", registry_type="docker", config={"username": "u"},
        secrets={"password": "p"})  # fmt: skip
    now = [1000.0]
    monkeypatch.setattr(keys.time, "monotonic", lambda: now[0])
    monkeypatch.setattr(copies, "read", lambda: now.append(1) or [])
    for _ in range(5):
        with pytest.raises(Failed):
            signing.signed(entry, AUDIENCE)
    assert len(now) == 2
    now[0] += keys.BETWEEN_LOOKS + 1
    with pytest.raises(Failed):
        signing.signed(entry, AUDIENCE)
    assert len(now) == 3


def hostile() -> dict[str, Callable[[bytes], bytes]]:
    """What may stand where the copy should, by what it is."""
    return {
        "not there": lambda body: reply(404, body),
        "led on": lambda body: reply(302, body, location=f"https://registry.example.com{PATH}"),
        "broken": lambda body: reply(500, body),
        "another's keys": lambda body: reply(200, {"keys": [{"kid": "a" * 43}]}),
        "no keys": lambda body: reply(200, {"keys": []}),
        "a list": lambda body: reply(200, [1]),
        "a number": lambda body: reply(200, 5),
        "no object among them": lambda body: reply(200, {"keys": [None]}),
        "an id that is none": lambda body: reply(200, {"keys": [{"kid": {}}]}),
        "keys that are a text": lambda body: reply(200, {"keys": "abc"}),
        "html": lambda body: reply(200, b"<html>" + body),
        "no text": lambda body: reply(200, b"\xff\xfe"),
        "deep": lambda body: reply(200, b"[" * 90_000),
        "too large": lambda body: reply(200, b" " * (copies.MOST + 1) + body),
        "nothing": lambda body: b"",
        "no http": lambda body: b"SSH-2.0-x\r\n" + body,
    }


@pytest.mark.parametrize("what", hostile())
def test_what_is_no_copy_lets_nothing_be_signed(what, bucket, sign) -> None:
    body = json.dumps({"keys": list(documents.key_set()["keys"])}).encode()
    bucket.answer = lambda: hostile()[what](body)
    with pytest.raises(Failed) as failed:
        sign()
    assert failed.value.code == "issuer_unreachable" and bucket.asked
    bucket.answer = lambda: reply(200, body)
    sign()


@pytest.mark.parametrize("address", ["127.0.0.1", "10.0.0.8", "169.254.169.254", "::1", "fd00::1"])
def test_a_copy_inside_our_network_is_not_asked(address, bucket, sign, internet) -> None:
    fetched()
    bucket.put()
    internet.name("registry.example.com", [address])
    with pytest.raises(Failed):
        sign()
    assert not internet.dials


def test_a_certificate_that_is_not_its_own_is_no_copy(bucket, sign, internet, settings) -> None:
    fetched()
    bucket.put()
    settings.OIDC_ISSUER = "https://registry.example.org/acme/issuer"
    internet.name("registry.example.org", [bucket.server.address])
    with pytest.raises(Failed):
        sign()
    assert not bucket.asked


def test_where_this_server_publishes_itself_nobody_is_asked(internet, make_entry) -> None:
    assert not issuer.published_elsewhere()
    signing.signed(make_entry(), AUDIENCE)
    assert not internet.dials
