"""What Google's refusals of a keyless login become, by either of its two services, and what
becomes of answers that are none."""

from __future__ import annotations

import json
import time

import pytest

from orgs.registries.problems import Failed
from tests.registries.test_google_federation import (
    EMAIL,
    NAME,
    SUBJECT,
    entry,
    fake,
    login,
    refused,
    served,
    signer,
)

__all__ = ["entry", "fake", "served", "signer"]
pytestmark = pytest.mark.once


def _provider(**values):
    def change(fake, entry):
        for name, value in values.items():
            setattr(fake.pools.providers[NAME], name, value)

    return change


def _claims(**values):
    return lambda fake, entry: entry.claims.update(values)


def _account(change):
    return lambda fake, entry: change(fake.pools.accounts[EMAIL])


@pytest.mark.parametrize(
    ("change", "code", "says", "fix"),
    [
        (lambda f, e: f.pools.providers.clear(), "identity_refused", "doesn't know the provider",
         "Set both up"),
        (_provider(enabled=False), "identity_refused", "disabled or deleted", "number"),
        (_provider(issuer="https://other.example", keys="own"), "identity_refused",
         "another issuer", "Set its issuer"),
        (_provider(audiences=("x",)), "identity_refused", "other audiences",
         "Take its allowed audiences out"),
        # What a sentence of Google's quotes may have any word in it.
        (_claims(aud="https://issuer/attribute condition/stale signature"), "identity_refused",
         "other audiences", "Take its"),
        (_provider(subject="organization:x"), "identity_refused", "attribute condition",
         "Set the condition"),
        (_claims(sub=SUBJECT.replace("entry:0", "entry:1")), "identity_refused",
         "attribute condition", "Set the condition"),
        (_provider(mapped="email"), "identity_refused", "attribute mapping",
         "google.subject=assertion.sub"),
        (_claims(sub="x" * 128), "identity_refused", "attribute mapping", "assertion.sub"),
        (lambda f, e: f.pools.relying.addresses.clear(), "issuer_unreachable",
         "couldn't read this server's keys", "reached from outside"),
        (lambda f, e: setattr(f, "clock", 3600.0 * 3), "clock_skew", "3 hours behind", "NTP"),
        (lambda f, e: setattr(f, "clock", -660.0), "clock_skew", "11 minutes ahead", "NTP"),
        (lambda f, e: f.pools.off.add("sts"), "access_denied", "Token Service is switched off",
         "Enable the APIs"),
        (lambda f, e: f.pools.off.add("iamcredentials"), "access_denied",
         "IAM Credentials is switched off", "Enable the APIs"),
        (_account(lambda a: a.users.clear()), "access_denied", "doesn't let it act as",
         "roles/iam.workloadIdentityUser"),
        (lambda f, e: f.pools.accounts.clear(), "access_denied", "doesn't let it act as",
         "roles/iam.workloadIdentityUser"),
        (_account(lambda a: setattr(a, "enabled", False)), "access_denied", "is disabled",
         "Enable it"),
    ],
)  # fmt: skip
def test_refusals_of_google(fake, entry, change, code, says, fix) -> None:
    change(fake, entry)
    provider = fake.pools.providers.get(NAME)
    if provider and provider.keys == "own":
        provider.keys = entry.signer.key_set()
    told = refused(fake, entry)
    assert (told.code, says in told.what, fix in told.fix) == (code, True, True), told
    # Whose it is, is for those who manage it.
    assert EMAIL not in told.detail and NAME not in told.detail and not fake.tokens
    assert ("service account" in told.what) is (EMAIL in told.in_full)
    assert ("the provider" in told.what) is (NAME in told.in_full)


def test_uploaded_keys_that_miss_the_one_that_signs(fake, entry) -> None:
    fake.pools.providers[NAME].keys = entry.signer.key_set()
    assert login(fake, entry).password and not fake.pools.relying.fetched
    entry.signer.make("later")
    entry.signer.kid = "later"
    told = refused(fake, entry)
    assert told.code == "issuer_unreachable" and "uploaded anew" in told.fix and told.transient


CANARY = "CANARY-what-google-says"


@pytest.mark.parametrize(
    ("status", "error", "text", "code"),
    [
        (400, "invalid_target", CANARY, "identity_refused"),
        (400, "invalid_request", 'Invalid value for "audience".', "identity_refused"),
        (400, "invalid_grant", "The audience in ID Token [issuer] does not…", "identity_refused"),
        (400, "invalid_grant", CANARY, "identity_refused"),
        (400, "unauthorized_client", CANARY, "identity_refused"),
        (401, "invalid_client", CANARY, "identity_refused"),
        (400, "invalid_grant", None, "identity_refused"),
        (400, "invalid_grant", "ID Token issued at 1713260741 is stale to sign-in.", "clock_skew"),
        (400, "invalid_grant", "Error connecting to the given credential's issuer.",
         "issuer_unreachable"),
        (403, {"code": 403, "status": "PERMISSION_DENIED",
               "message": "Security Token Service API has not been used in project 1"}, None,
         "access_denied"),
        (429, "rate_limit_exceeded", CANARY, "throttled"),
        (429, {"code": 429, "message": CANARY, "status": "RESOURCE_EXHAUSTED"}, None, "throttled"),
        (403, "quota_exceeded", CANARY, "throttled"),
        (500, "internal_failure", CANARY, "registry_unreachable"),
        (503, {"code": 503, "message": CANARY, "status": "UNAVAILABLE"}, None,
         "registry_unreachable"),
        (404, "", CANARY, "registry_unreachable"),
        (302, "", "", "registry_unreachable"),
        (400, ["a"], {"b": 1}, "identity_refused"),
    ],
)  # fmt: skip
def test_the_exchanges_words_become_codes(fake, entry, status, error, text, code) -> None:
    body = json.dumps({"error": error, "error_description": text}).encode()
    fake.faults = [(status, body)] * 2
    told = refused(fake, entry)
    assert told.code == code and CANARY not in told.in_full and told.fix
    tries = 2 if code == "throttled" or status >= 500 else 1
    assert len(fake.requests) == tries


@pytest.mark.parametrize(
    ("status", "name", "text", "code"),
    [
        (403, "PERMISSION_DENIED", "Permission 'iam.serviceAccounts.getAccessToken' denied",
         "access_denied"),
        (403, "PERMISSION_DENIED", CANARY, "access_denied"),
        (404, "NOT_FOUND", f"Not found; Gaia id not found for email {CANARY}", "access_denied"),
        (400, "FAILED_PRECONDITION", f"{CANARY} is disabled", "access_denied"),
        (400, "INVALID_ARGUMENT", CANARY, "entry_unusable"),
        (401, "UNAUTHENTICATED", CANARY, "registry_unreachable"),
        (429, "RESOURCE_EXHAUSTED", CANARY, "throttled"),
        (500, "INTERNAL", CANARY, "registry_unreachable"),
        (418, "TEAPOT", CANARY, "registry_unreachable"),
    ],
)  # fmt: skip
def test_the_accounts_words_become_codes(fake, entry, status, name, text, code) -> None:
    body = json.dumps({"error": {"code": status, "message": text, "status": name}}).encode()
    second(fake, status, body)
    told = refused(fake, entry)
    assert told.code == code and CANARY not in told.in_full and told.fix


def second(fake, status: int, body: bytes) -> None:
    """Have the second call answered so, however often."""
    posted = fake.posted
    fake.posted = lambda path, content: (
        posted(path, content) if path == "/v1/token" else (status, body)
    )


GARBAGE = [b"", b"{", b"[]", b'"text"', b"{}", b"\xff\xfe", b"[" * 90_000, b"null"]


@pytest.mark.parametrize(
    "body",
    [
        *GARBAGE,
        b'{"access_token": 1, "expires_in": 3599}',
        b'{"access_token": "", "expires_in": 3599}',
        b'{"access_token": "ya29.a\\r\\nX: y", "expires_in": 3599}',
        b'{"access_token": "ya29.\\u2028", "expires_in": 3599}',
        b'{"access_token": "ya29.x", "expires_in": "soon"}',
        b'{"access_token": "ya29.x", "expires_in": true}',
        b'{"access_token": "ya29.x", "expires_in": 1e400}',
        b'{"access_token": "ya29.x", "expires_in": [1]}',
    ],
)
def test_an_exchange_that_is_none(fake, entry, body) -> None:
    fake.faults = [(200, body)]
    told = refused(fake, entry)
    assert told.code == "registry_unreachable" and "language" in told.what


@pytest.mark.parametrize(
    "body",
    [
        *GARBAGE,
        b'{"accessToken": "ya29.x"}',
        b'{"accessToken": "ya29.x", "expireTime": 5}',
        b'{"accessToken": "ya29.x", "expireTime": "soon"}',
        b'{"accessToken": "ya29.x", "expireTime": "2999-19-39T99:99:99Z"}',
        b'{"accessToken": "ya29.x y\\n", "expireTime": "2999-01-01T00:00:00Z"}',
        b'{"accessToken": {}, "expireTime": "2999-01-01T00:00:00Z"}',
    ],
)
def test_an_accounts_token_that_is_none(fake, entry, body) -> None:
    second(fake, 200, body)
    told = refused(fake, entry)
    assert told.code == "registry_unreachable" and "language" in told.what


def test_an_outage_of_either_is_tried_once_more(fake, entry) -> None:
    fake.faults = [(503, b"{}")]
    assert login(fake, entry).password in fake.tokens and len(fake.requests) == 3


def test_one_deadline_ends_both_calls(fake, entry) -> None:
    """However much of it the first call took."""
    posted = fake.posted

    def slow(path, content):
        time.sleep(0.7 if path == "/v1/token" else 30.0)
        return posted(path, content)

    fake.posted = slow
    began = time.monotonic()
    told = refused(fake, entry, seconds=1.2)
    assert told.code == "registry_unreachable" and "IAM Credentials didn’t answer" in told.what
    assert time.monotonic() - began < 3


def test_who_cant_sign_asks_nobody(fake) -> None:
    def unsigned(audience):
        raise Failed("issuer_unreachable", "Not yet.", "Wait.", retry_after=5)

    with pytest.raises(Failed, match="Not yet"):
        login(fake, unsigned)
    assert not fake.requests
