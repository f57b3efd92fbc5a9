"""What clouds fetch: the issuer's two documents, as plainly and as quickly as can be."""

from __future__ import annotations

import json
import urllib.error
import urllib.request

import pytest
from django.db import OperationalError, connection
from django.test import Client
from django.utils import timezone

from orgs.models import Issuer, SigningKey
from orgs.services.identity import documents, keys, signing
from tests.support.identity import (
    AUDIENCE,
    DISCOVERY,
    JWKS,
    URL,
    fetched,
    forget,
    issuing,
    judged,
    kids,
    later,
)
from tests.support.product import served

__all__ = ["issuing"]
pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("issuing")]
BOTH = pytest.mark.parametrize("address", [DISCOVERY, JWKS])
OUTSIDE = "52.94.76.1"


def test_discovery_says_what_clouds_read(client) -> None:
    answer = client.get(DISCOVERY)
    assert answer.json() == {
        "issuer": URL,
        "jwks_uri": f"{URL}{JWKS}",
        "response_types_supported": ["id_token"],
        "subject_types_supported": ["public"],
        "id_token_signing_alg_values_supported": ["RS256"],
        "scopes_supported": ["openid"],
        "claims_supported": ["aud", "exp", "iat", "iss", "jti", "nbf", "sub"],
    }


def test_an_issuer_with_a_path_or_elsewhere_has_its_keys_there(client, settings) -> None:
    settings.OIDC_ISSUER = "https://storage.example.com/acme/issuer"
    told = client.get(DISCOVERY).json()
    assert told["issuer"] == settings.OIDC_ISSUER
    assert told["jwks_uri"] == f"{settings.OIDC_ISSUER}{JWKS}"


def test_the_keys_have_public_parts_only(client) -> None:
    (key,) = client.get(JWKS).json()["keys"]
    row = SigningKey.objects.get()
    assert key == {"kty": "RSA", "use": "sig", "alg": "RS256", "kid": row.kid} | row.public
    assert key["e"] == "AQAB" and len(key["n"]) == 342


@BOTH
def test_the_answer(address, client, alice, settings) -> None:
    client.force_login(alice)
    answer = client.get(address)
    assert answer.status_code == 200
    assert answer["Content-Type"] == "application/json"
    assert answer["Cache-Control"] == "public, max-age=300"
    assert int(answer["Content-Length"]) == len(answer.content)
    assert not answer.cookies and "Vary" not in answer
    head = client.head(address)
    assert head.status_code == 200 and dict(head.headers) | {"X-Request-ID": ""} == dict(
        answer.headers
    ) | {"X-Request-ID": ""}


@BOTH
@pytest.mark.parametrize("method", ["post", "put", "patch", "delete", "options", "trace"])
def test_it_is_only_read(address, method, client) -> None:
    answer = getattr(client, method)(address)
    assert answer.status_code == 405 and answer["Allow"] == "GET, HEAD"
    assert not SigningKey.objects.exists() and answer["Cache-Control"] == "no-store"


@BOTH
@pytest.mark.parametrize("query", ["", "?x=%00", "?%ff", "?next=https://evil.example"])
def test_there_is_no_redirect_and_no_matter_by_which_name(address, query, settings) -> None:
    settings.SECURE_SSL_REDIRECT = True
    settings.ALLOWED_HOSTS = ["registries.example.com"]
    answer = Client().get(address + query, HTTP_HOST="10.1.2.3:8000")
    assert answer.status_code == 200
    assert "10.1.2.3" not in answer.content.decode()
    assert Client().get("/", HTTP_HOST="10.1.2.3:8000").status_code == 400


@BOTH
@pytest.mark.parametrize("longer", ["{}/", "{}x", "/a{}"])
def test_other_addresses_are_pages(address, longer, client) -> None:
    answer = client.get(longer.format(address))
    assert "application/json" not in answer["Content-Type"]


@BOTH
@pytest.mark.parametrize(
    ("url", "why"),
    [
        ("http://127.0.0.1:8000", "isn't https"),
        ("https://registries.example.com:8443", "has a port in it"),
    ],
)
def test_a_server_that_is_no_issuer_says_why(address, url, why, client, settings) -> None:
    settings.BASE_URL = url
    answer = client.get(address)
    assert answer.status_code == 404 and answer["Content-Type"] == "application/json"
    assert url in answer.json()["detail"] and why in answer.json()["detail"]
    assert answer["Cache-Control"] == "no-store" and not SigningKey.objects.exists()


# --- from memory ----------------------------------------------------------------------


def test_who_asks_again_costs_nothing(client, django_assert_num_queries) -> None:
    first = client.get(JWKS).content
    with django_assert_num_queries(0):
        for _ in range(5):
            assert client.get(JWKS).content == first
            client.get(DISCOVERY)


def test_it_is_read_anew_after_seconds(client, monkeypatch) -> None:
    first = kids(client.get(JWKS).json())
    coming = keys.rotate()
    assert kids(client.get(JWKS).json()) == first
    now = documents.time.monotonic
    monkeypatch.setattr(documents.time, "monotonic", lambda: now() + documents.FRESH)
    assert kids(client.get(JWKS).json()) == first | {coming.kid}


def test_it_is_there_where_the_database_is_not(client, monkeypatch) -> None:
    first = client.get(JWKS).content
    now, past = documents.time.monotonic, [documents.FRESH]
    monkeypatch.setattr(documents.time, "monotonic", lambda: now() + past[0])

    def away(*given):
        raise OperationalError("gone")

    with connection.execute_wrapper(away):
        assert client.get(JWKS).content == first
        past[0] = documents.STALE + 1  # and not for good
        answer = client.get(JWKS)
        assert answer.status_code == 503 and answer["Retry-After"] == "5"
        assert answer["Cache-Control"] == "no-store" and "detail" in answer.json()
        forget()
        assert client.get(JWKS).status_code == 503
        assert client.get(DISCOVERY).status_code == 200
    assert client.get(JWKS).content == first


# --- who fetched it last --------------------------------------------------------------


def test_a_fetch_from_outside_is_noted(client) -> None:
    client.get(JWKS, REMOTE_ADDR=OUTSIDE, HTTP_USER_AGENT="AWS\0" + "x" * 500)
    row = Issuer.objects.get()
    assert row.fetched_from == OUTSIDE and row.url == ""
    assert abs((timezone.now() - row.fetched_at).total_seconds()) < 60
    assert row.fetched_by.startswith("AWS") and len(row.fetched_by) == 200


@pytest.mark.parametrize(
    "address",
    [
        *("127.0.0.1", "10.1.2.3", "172.16.0.1", "192.168.1.1", "169.254.169.254", "100.64.0.1"),
        *("0.0.0.0", "::1", "fe80::1%eth0", "fd00::1", "2001:db8::1", "::ffff:10.0.0.1"),
        *("", "unix:", "not an address"),
    ],
)
def test_one_from_inside_is_not(address, client) -> None:
    assert client.get(JWKS, REMOTE_ADDR=address).status_code == 200
    assert not Issuer.objects.exists()


@pytest.mark.parametrize(
    ("near", "forwarded", "noted"),
    [
        ("127.0.0.1", OUTSIDE, OUTSIDE),
        ("127.0.0.1", f"1.1.1.1, {OUTSIDE}", OUTSIDE),
        ("127.0.0.1", "10.0.0.1", None),
        ("127.0.0.1", "2600:1f18::1", "2600:1f18::1"),
        ("8.8.8.8", OUTSIDE, "8.8.8.8"),  # who isn't trusted says nothing of others
    ],
)
def test_behind_a_proxy_it_is_the_clients(near, forwarded, noted, client, settings) -> None:
    settings.TRUSTED_PROXIES = ["127.0.0.1"]
    client.get(JWKS, REMOTE_ADDR=near, HTTP_X_FORWARDED_FOR=forwarded)
    assert getattr(Issuer.objects.first(), "fetched_from", None) == noted


def test_it_is_noted_every_few_minutes_at_most(client, django_assert_num_queries) -> None:
    client.get(JWKS, REMOTE_ADDR=OUTSIDE)
    with django_assert_num_queries(0):
        client.get(JWKS, REMOTE_ADDR="8.8.8.8")
    forget()  # another process
    client.get(JWKS, REMOTE_ADDR="8.8.8.8")
    assert Issuer.objects.get().fetched_from == OUTSIDE
    Issuer.objects.update(fetched_at=timezone.now() - documents.NOTED_EVERY)
    forget()
    client.get(JWKS, REMOTE_ADDR="8.8.8.8")
    assert Issuer.objects.get().fetched_from == "8.8.8.8"


def test_a_note_leaves_the_name_as_it_is(client, make_entry) -> None:
    client.get(JWKS, REMOTE_ADDR=OUTSIDE)
    signing.signed(make_entry(), AUDIENCE)
    row = Issuer.objects.get()
    assert (row.url, row.fetched_from) == (URL, OUTSIDE)
    Issuer.objects.update(fetched_at=None)
    forget()
    client.get(JWKS, REMOTE_ADDR="8.8.8.8")
    row.refresh_from_db()
    assert (row.url, row.fetched_from) == (URL, "8.8.8.8")


@pytest.mark.django_db(transaction=True)
def test_a_note_that_can_not_be_written_is_nobodys_trouble(client) -> None:
    client.get(JWKS)

    def away(*given):
        raise OperationalError("gone")

    with connection.execute_wrapper(away):
        answer = client.get(JWKS, REMOTE_ADDR=OUTSIDE)
    assert answer.status_code == 200 and kids(answer.json())
    assert not Issuer.objects.exists()


# --- as it is served ------------------------------------------------------------------


@pytest.mark.django_db(transaction=True)
def test_as_a_cloud_gets_it_from_the_server_itself(make_entry) -> None:
    token = signing.signed(make_entry(), AUDIENCE)
    with served(BASE_URL=URL, TRUSTED_PROXIES="127.0.0.1") as base:
        seen = {"X-Forwarded-For": OUTSIDE, "User-Agent": "cloud/1"}
        answers = {}
        for method in ("GET", "HEAD"):
            for address in (DISCOVERY, JWKS):
                request = urllib.request.Request(base + address, headers=seen, method=method)
                with urllib.request.urlopen(request, timeout=10) as answer:
                    answers[method, address] = answer.read()
                    assert answer.url == base + address
                    assert answer.headers["Cache-Control"] == "public, max-age=300"
                    assert "Set-Cookie" not in answer.headers
        with pytest.raises(urllib.error.HTTPError) as refused:
            urllib.request.urlopen(base + JWKS, data=b"x", timeout=10)
        assert refused.value.code == 405
    assert answers["HEAD", JWKS] == answers["HEAD", DISCOVERY] == b""
    assert judged(token, json.loads(answers["GET", JWKS]))["aud"] == AUDIENCE
    assert json.loads(answers["GET", DISCOVERY])["issuer"] == URL
    row = Issuer.objects.get()
    assert (row.fetched_from, row.fetched_by) == (OUTSIDE, "cloud/1")


def test_what_signs_is_always_among_them(make_entry) -> None:
    """As it's read: by whoever keeps nothing."""
    entry = make_entry()
    for hours in (0, 23, 2, 1):
        later(hours=hours)
        judged(signing.signed(entry, AUDIENCE), fetched())
        if not hours:
            keys.rotate()
