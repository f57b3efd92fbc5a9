"""Type gcp-cr: what it takes, what it mints, what Google's refusals become.

The fake is held to google-auth's own client, on its own transport; the type to the fake.
"""

from __future__ import annotations

import base64
import json
import time
from datetime import UTC, datetime, timedelta

import pytest
from google.auth.transport.requests import Request
from google.oauth2.service_account import Credentials

from orgs.registries import google_cr, google_oauth, outbound
from orgs.registries.catalogue import BY_SLUG, first, groups, takers
from orgs.registries.google_cr import GoogleKey
from orgs.registries.google_key import TOKEN_URI
from orgs.registries.google_type import SCOPE
from orgs.registries.patterns import MatchPattern
from orgs.registries.problems import Failed, Refused
from orgs.registries.types import Ask, Standing
from tests.conftest import CANARY
from tests.support.fake_google import TOKEN_URI as FAKES_TOKEN_URI
from tests.support.fake_google import UNTIMELY, FakeGoogle, document, key_file

pytestmark = pytest.mark.once

TYPE = GoogleKey()
HOST = "europe-west1-docker.pkg.dev"
KEY = "service_account_json"
EMAIL = "valohai-pull@my-project.iam.gserviceaccount.com"


@pytest.fixture
def fake():
    with FakeGoogle() as fake:
        yield fake


@pytest.fixture
def key(fake) -> str:
    return fake.create_key(fake.create_account(), canary=CANARY)


def login(key, fake, host=HOST, seconds=7.0):
    return TYPE.login({}, {KEY: key}, Ask(host, time.monotonic() + seconds, fake.url))


def refused(key, fake, **given) -> Failed:
    with pytest.raises(Failed) as caught:
        login(key, fake, **given)
    told = f"{caught.value!r} {caught.value.in_full} {caught.value.__cause__!r}"
    assert CANARY not in told and "PRIVATE KEY" not in told and "ya29" not in told
    return caught.value


# --- the fake and the library -------------------------------------------------------


def test_google_auth_itself_talks_to_the_fake_unchanged(fake, key):
    """Its own transport, its own errors; only where it asks is ours to say."""
    told = json.loads(key)
    mine = Credentials.from_service_account_info(told, scopes=[SCOPE])
    mine = mine.with_token_uri(f"{fake.url}/token")
    mine.refresh(Request())
    assert mine.token in fake.tokens and mine.expiry > datetime.now(UTC).replace(tzinfo=None)
    assert [(call.issuer, call.scope, call.error) for call in fake.calls] == [(EMAIL, SCOPE, "")]
    fake.set_key(EMAIL, told["private_key_id"], enabled=False)
    with pytest.raises(Exception, match="invalid_grant: Invalid JWT Signature"):
        mine.refresh(Request())


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"iss": "nobody@my-project.iam.gserviceaccount.com"}, "account not found"),
        ({"aud": "https://evil.example/token"}, "audience"),
        ({"exp": 1}, "reasonable timeframe"),
        ({"exp": 4102444800}, "reasonable timeframe"),
        ({"iat": 4102444800, "exp": 4102444900}, "reasonable timeframe"),
        ({"scope": ""}, "scope"),
        ({"scope": "https://www.googleapis.com/auth/everything"}, "scope"),
    ],
)
def test_what_the_fake_checks(fake, key, change, says):
    mine = Credentials.from_service_account_info(
        json.loads(key), scopes=[SCOPE], additional_claims=change
    ).with_token_uri(f"{fake.url}/token")
    with pytest.raises(Exception, match=says):
        mine.refresh(Request())
    assert not fake.tokens


def test_another_accounts_key_is_no_key(fake, key):
    other = fake.create_key(fake.create_account("other"))
    mixed = json.loads(key) | {"private_key": json.loads(other)["private_key"]}
    assert refused(json.dumps(mixed), fake).code == "signature_mismatch"
    assert not fake.tokens and FAKES_TOKEN_URI == TOKEN_URI


# --- minting --------------------------------------------------------------------------


@pytest.mark.parametrize("host", [HOST, "us-docker.pkg.dev", "gcr.io", "eu.gcr.io"])
def test_a_login(fake, key, host):
    found = login(key, fake, host)
    assert found.username == "oauth2accesstoken" and {found.password} == fake.tokens
    left = found.expires_at - datetime.now(UTC)
    assert timedelta(minutes=59) < left <= timedelta(hours=1)
    (call,) = fake.calls
    assert call.scope == "https://www.googleapis.com/auth/devstorage.read_only"
    assert found.password not in repr(found)


@pytest.mark.parametrize(
    ("life", "minutes"),
    [(60, 1), (3600, 60), (10**6, 60), ("1800", 30), (None, 15), (0, 15), (-5, 15)],
)
def test_when_it_ends(fake, key, life, minutes):
    fake.life = life
    left = login(key, fake).expires_at - datetime.now(UTC)
    wanted = timedelta(minutes=minutes)
    assert wanted - timedelta(seconds=20) < left <= wanted


def test_it_asks_google_and_only_there(monkeypatch, key, fake):
    """Whatever the file says, the environment or an answer: one address, no redirect."""
    asked = []

    def ask_provider(url, content, headers, deadline, most, method="POST"):
        asked.append(url)
        return outbound.Answer(302, {"Location": "https://evil.example/"}, b"")

    monkeypatch.setattr(outbound, "ask_provider", ask_provider)
    monkeypatch.setenv("GOOGLE_APPLICATION_CREDENTIALS", "/nowhere.json")
    monkeypatch.setenv("GCE_METADATA_HOST", "127.0.0.1:9")
    with pytest.raises(Failed) as caught:
        TYPE.login({}, {KEY: key}, Ask(HOST, time.monotonic() + 5))
    assert caught.value.code == "registry_unreachable"
    assert set(asked) == {"https://oauth2.googleapis.com/token"}


def test_a_redirect_is_not_followed(fake, key):
    fake.faults = [(307, b"{}")] * 2
    assert refused(key, fake).code == "registry_unreachable"
    assert len(fake.requests) == 1 and not fake.tokens


@pytest.mark.parametrize("host", ["evil.example", f"{HOST}.evil.example", "mirror.gcr.io", ""])
def test_no_login_for_another_host(fake, key, host):
    told = refused(key, fake, host=host)
    assert told.code == "entry_unusable" and not fake.requests


@pytest.mark.parametrize(
    "stored", ["", "{}", "no JSON", key_file(token_uri="https://evil.example/token")]
)
def test_what_is_stored_is_held_to_the_rules_again(fake, stored):
    told = refused(stored, fake)
    assert told.code == "entry_unusable" and not fake.requests


# --- what goes wrong --------------------------------------------------------------------


def _disabled_key(fake, key):
    fake.set_key(EMAIL, json.loads(key)["private_key_id"], enabled=False)


def _deleted_key(fake, key):
    fake.delete_key(EMAIL, json.loads(key)["private_key_id"])


@pytest.mark.parametrize(
    ("before", "code", "says"),
    [
        (_disabled_key, "signature_mismatch", "deleted or disabled"),
        (_deleted_key, "signature_mismatch", "deleted or disabled"),
        (lambda fake, key: fake.set_account(EMAIL, enabled=False), "invalid_key", "doesn't know"),
        (lambda fake, key: fake.delete_account(EMAIL), "invalid_key", "doesn't know"),
        (lambda fake, key: setattr(fake, "clock", 3600.0 * 3), "clock_skew", "3 hours behind"),
        (lambda fake, key: setattr(fake, "clock", -660.0), "clock_skew", "11 minutes ahead"),
    ],
)
def test_refusals_of_google(fake, key, before, code, says):
    before(fake, key)
    told = refused(key, fake)
    assert told.code == code and says in told.what and told.fix
    # Whose key it is, is for those who manage it.
    assert EMAIL not in told.detail
    assert (EMAIL in told.in_full) is (code != "clock_skew")


@pytest.mark.parametrize("date", ["", "Thu, 01 Jan", "x" * 999, "Mon, 99 Feb 9999 99:99:99 GMT"])
def test_a_clock_whose_time_isnt_told(monkeypatch, date):
    body = json.dumps({"error": "invalid_grant", "error_description": UNTIMELY}).encode()
    answer = outbound.Answer(400, {"Date": date} if date else {}, body)
    monkeypatch.setattr(outbound, "ask_provider", lambda *args: answer)
    with pytest.raises(Failed) as caught:
        TYPE.login({}, {KEY: key_file()}, Ask(HOST, time.monotonic() + 5))
    assert caught.value.code == "clock_skew" and "minutes away from Google's" in caught.value.what


@pytest.mark.parametrize(
    ("status", "error", "text", "code"),
    [
        (400, "invalid_grant", "Invalid JWT Signature.", "signature_mismatch"),
        (400, "invalid_grant", "Invalid grant: account not found", "invalid_key"),
        (400, "invalid_grant", "Not a valid email or user ID.", "invalid_key"),
        (400, "invalid_grant", "Robot is disabled.", "invalid_key"),
        (401, "disabled_client", "The OAuth client was disabled.", "invalid_key"),
        (400, "invalid_grant", "Something new.", "invalid_key"),
        (400, "invalid_grant", None, "invalid_key"),
        (
            400,
            "invalid_scope",
            "Invalid OAuth scope or ID token audience provided.",
            "access_denied",
        ),
        (401, "unauthorized_client", "Client is unauthorized to retrieve…", "access_denied"),
        (403, "access_denied", "Account restricted", "access_denied"),
        (429, "rate_limit_exceeded", "", "throttled"),
        (403, "rate_limit_exceeded", "", "throttled"),
        (500, "internal_failure", "", "registry_unreachable"),
        (400, "server_error", "", "registry_unreachable"),
        (503, "", "", "registry_unreachable"),
        (400, ["a"], {"b": 1}, "registry_unreachable"),
        (404, "", "", "registry_unreachable"),
    ],
)
def test_googles_words_become_codes(fake, key, status, error, text, code):
    body = json.dumps({"error": error, "error_description": text}).encode()
    fake.faults = [(status, body)] * 2
    told = refused(key, fake)
    assert told.code == code
    tries = 2 if code in {"throttled"} or status >= 500 or error == "server_error" else 1
    assert len(fake.requests) == tries
    assert not isinstance(text, str) or len(text) < 9 or text not in told.in_full


@pytest.mark.parametrize(
    "body",
    [
        *(b"", b"{", b"[]", b'"text"', b"{}", b"\xff\xfe", b"[" * 90_000, b"null"),
        b'{"access_token": 1, "expires_in": 3599}',
        b'{"access_token": "", "expires_in": 3599}',
        b'{"access_token": "ya29.a\\r\\nX: y", "expires_in": 3599}',
        b'{"access_token": "ya29.\\u2028", "expires_in": 3599}',
        b'{"access_token": "ya29.x", "expires_in": "soon"}',
        b'{"access_token": "ya29.x", "expires_in": 1e400}',
        b'{"access_token": "ya29.x", "expires_in": 99999999999999999999}',
    ],
)
def test_an_answer_that_is_none(fake, key, body):
    fake.faults = [(200, body)]
    told = refused(key, fake)
    assert told.code == "registry_unreachable" and "language" in told.what


def test_an_outage_is_tried_once_more(fake, key):
    fake.faults = [(503, b"{}")]
    assert login(key, fake).password in fake.tokens and len(fake.requests) == 2


def test_silence_ends_by_the_deadline(fake, key):
    fake.faults = [30.0, 30.0, 30.0]
    began = time.monotonic()
    told = refused(key, fake, seconds=1.0)
    assert told.code == "registry_unreachable" and "didn’t answer" in told.what
    assert time.monotonic() - began < 3


def test_every_word_of_googles_that_is_known_waits_for_nothing(fake, key, monkeypatch):
    """google-auth's own way would sleep seconds between its tries."""
    slept = []
    monkeypatch.setattr(time, "sleep", slept.append)
    fake.faults = [(500, b"{}")] * 3
    refused(key, fake)
    assert len(slept) == 1 and slept[0] < 0.5


# --- what it takes -----------------------------------------------------------------------


def clean(*patterns, key=None, **rest):
    parsed = [MatchPattern.parse(text) for text in patterns or (f"{HOST}/my-project/*",)]
    return TYPE.clean({}, {KEY: key_file() if key is None else key}, parsed, **rest)


def test_whose_key_it_is_is_read_out_of_it():
    config, secrets = clean()
    assert config == {
        "service_account_email": EMAIL,
        "project_id": "my-project",
        "private_key_id": "0123456789abcdef0123456789abcdef01234567",
    }
    assert json.loads(secrets[KEY]) == document()


def test_base64_is_the_same_key():
    encoded = base64.b64encode(key_file().encode()).decode()
    wrapped = "\n".join(encoded[i : i + 76] for i in range(0, len(encoded), 76))
    for given in (encoded, wrapped, f"{encoded}\n"):
        assert clean(key=given) == clean()


def test_nothing_is_read_out_of_a_key_that_stays():
    """What is shown of it stays with it: the door sees to that."""
    standing = Standing(clean()[0], {}, [])
    assert clean(key="", standing=standing) == ({}, {})


def test_a_key_is_told_with_the_patterns_problems():
    with pytest.raises(Refused) as caught:
        clean("quay.io/*", key="{}")
    assert [(p.code, p.field) for p in caught.value.problems] == [
        ("secret_shape", KEY),
        ("lookalike_host", "patterns"),
    ]
    with pytest.raises(Refused) as caught:
        clean(key=" " * 10 + "x" * 20_000)
    assert [p.code for p in caught.value.problems] == ["too_long"]


def test_its_place_in_the_catalogue():
    assert first().slug == "aws-ecr" and groups()["Google"][0] == BY_SLUG["gcp-cr"]
    google = MatchPattern.parse(f"{HOST}/p/*")
    assert [kind.slug for kind in takers(google)] == ["gcp-cr", "gcp-cr-oidc", "docker"]
    assert "gcp-cr" not in [kind.slug for kind in takers(MatchPattern.parse("quay.io/x/*"))]
    assert [f.name for f in TYPE.secret_fields] == [KEY] and not TYPE.config_fields


def test_a_kept_key_stays_whatever_the_pattern():
    scopes = [TYPE.secret_scope({}, [MatchPattern.parse(t)]) for t in ("gcr.io/p/*", f"{HOST}/p/*")]
    assert scopes[0] == scopes[1]


def test_what_is_tried_first_of_a_wildcard():
    assert TYPE.example_host(MatchPattern.parse("*.gcr.io/p/*")) == "us.gcr.io"
    assert TYPE.example_host(MatchPattern.parse(f"{HOST}/p/*")) == HOST


def test_preparing_loads_the_library():
    google_oauth.prepare()
    assert google_cr.google_oauth._library.cache_info().currsize == 1
