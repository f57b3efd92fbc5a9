"""Type gcp-cr-oidc: what it takes, the two calls it makes, what Google's refusals become.

The fake fetches the issuer's keys by HTTP; google-auth's own client talks to it, too, and is
refused whatever we are.
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
from google.auth.exceptions import GoogleAuthError
from google.auth.identity_pool import Credentials, SubjectTokenSupplier
from google.auth.transport.requests import Request

from orgs.registries import outbound
from orgs.registries.catalogue import BY_SLUG, groups, takers
from orgs.registries.google_cr_oidc import GoogleOidc
from orgs.registries.google_federation import ACT_AS, ACTING, EXCHANGE
from orgs.registries.google_pools import parse_provider
from orgs.registries.google_type import SCOPE
from orgs.registries.patterns import MatchPattern
from orgs.registries.problems import Failed, Refused
from orgs.registries.types import Ask, Who
from tests.support import google_pools
from tests.support.fake_google import FakeGoogle
from tests.support.issuer import NAME as NAMED
from tests.support.issuer_site import Signer, Site, of_a_test, site

pytestmark = pytest.mark.once

TYPE = GoogleOidc()
HOST = "europe-west1-docker.pkg.dev"
ISSUER = NAMED
SUBJECT = (
    "organization:5f0c1d5e-7b3e-4c43-9d55-0b8f6f0d5a11:entry:0e1d5a11-7b3e-4c43-9d55-0b8f6f0d5a12"
)
EMAIL = "valohai-pull@my-project.iam.gserviceaccount.com"
NAME = "projects/123456789012/locations/global/workloadIdentityPools/valohai/providers/valohai"
PRINCIPAL = f"principal://iam.googleapis.com/{NAME.partition('/providers')[0]}/subject/{SUBJECT}"
BOTH, ALONE = (
    {"workload_identity_provider": NAME, "service_account_email": EMAIL},
    {"workload_identity_provider": NAME},
)


class Entry:
    """What says of itself, as an entry does, what `claims` says."""

    def __init__(self, signer: Signer) -> None:
        self.signer, self.claims, self.made = signer, dict[str, Any](), list[str]()

    def __call__(self, audience: str) -> str:
        now = int(time.time())
        claims = {
            **{"iss": self.signer.issuer, "sub": SUBJECT, "aud": audience},
            **{"iat": now - 30, "nbf": now - 30, "exp": now + 300, "jti": "1"},
        }
        self.made.append(self.signer.sign(claims | self.claims))
        return self.made[-1]


@pytest.fixture
def signer() -> Signer:
    return Signer(ISSUER)


@pytest.fixture
def served(signer) -> Iterator[Site]:
    """Where the issuer's documents are."""
    with site(of_a_test(ISSUER, signer.key_set)) as served:
        yield served


@pytest.fixture
def entry(signer) -> Entry:
    return Entry(signer)


@pytest.fixture
def fake(served) -> Iterator[FakeGoogle]:
    """A Google where the other side stands."""
    with FakeGoogle() as fake:
        fake.pools.relying.addresses[ISSUER] = served.url
        assert fake.pools.create(ISSUER, SUBJECT) == NAME
        fake.pools.let_act(EMAIL, PRINCIPAL)
        fake.pools.readers.add(PRINCIPAL)
        yield fake


def login(fake, entry, config=BOTH, host=HOST, seconds=7.0):
    return TYPE.login(config, {}, Ask(host, time.monotonic() + seconds, fake.url, identity=entry))


def refused(fake, entry, *args, **given) -> Failed:
    """Why there is no login, which tells nothing that opens anything."""
    with pytest.raises(Failed) as caught:
        login(fake, entry, *args, **given)
    error = caught.value
    told = f"{error!r} {error.in_full} {error.__cause__!r} {error.__context__!r}"
    secrets = [*entry.made, *fake.pools.tokens, *fake.tokens]
    assert not any(secret in told for secret in secrets) and "eyJ" not in told
    return error


# --- google-auth's own client -----------------------------------------------------------------


class Rerouted(Request):
    """Whatever host of Google's is asked, the fake answers."""

    def __init__(self, url: str) -> None:
        super().__init__()
        self.url, self.asked = url, list[str]()

    def __call__(self, url, *args, **kwargs):
        parts = urlsplit(url)
        self.asked.append(parts.netloc)
        return super().__call__(f"{self.url}{parts.path}", *args, **kwargs)


class Supplier(SubjectTokenSupplier):
    def __init__(self, entry: Entry, audience: str) -> None:
        self.entry, self.audience = entry, audience

    def get_subject_token(self, context, request) -> str:
        return self.entry(self.audience)


def googles_client(fake, entry, config, *, scope: str = SCOPE) -> tuple[Credentials, Rerouted]:
    provider = parse_provider(config["workload_identity_provider"])
    email = config.get("service_account_email")
    client = Credentials(
        audience=provider.target,
        subject_token_type="urn:ietf:params:oauth:token-type:jwt",
        token_url=EXCHANGE,
        subject_token_supplier=Supplier(entry, provider.audience),
        service_account_impersonation_url=ACT_AS.format(email=email) if email else None,
        scopes=[scope],
    )
    return client, Rerouted(fake.url)


@pytest.mark.parametrize("config", [BOTH, ALONE])
def test_googles_own_client_asks_the_fake_what_we_ask(fake, entry, config) -> None:
    client, to = googles_client(fake, entry, config)
    client.refresh(to)
    assert client.token in fake.tokens
    own = [dict(one) for one in fake.pools.asked]
    fake.pools.asked.clear()
    assert login(fake, entry, config).password in fake.tokens
    assert [dict(one) for one in fake.pools.asked] == own
    hosts = ["sts.googleapis.com", "iamcredentials.googleapis.com"]
    assert to.asked == hosts[: 2 if config is BOTH else 1]


@pytest.mark.parametrize(
    "change",
    ["provider", "audience", "subject", "issuer", "keys", "key", "late", "account", "scope"],
)
def test_what_googles_client_is_refused_we_are(fake, entry, served, change) -> None:
    scope = SCOPE
    provider = fake.pools.providers[NAME]
    if change == "provider":
        provider.enabled = False
    elif change == "audience":
        provider.audiences = ("https://elsewhere.example",)
    elif change == "subject":
        provider.subject = SUBJECT.replace("5a12", "5a13")
    elif change == "issuer":
        provider.issuer, provider.keys = "https://other.example", entry.signer.key_set()
    elif change == "keys":
        served.down = True
    elif change == "key":
        entry.signer.make("unpublished", published=False)
        entry.signer.kid = "unpublished"
    elif change == "late":
        entry.claims = {"exp": int(time.time()) - 100}
    elif change == "account":
        fake.pools.accounts[EMAIL].users.clear()
    else:
        scope = "https://www.googleapis.com/auth/everything"
    client, to = googles_client(fake, entry, BOTH, scope=scope)
    with pytest.raises(GoogleAuthError):
        client.refresh(to)
    if change != "scope":
        refused(fake, entry)
    assert not fake.tokens


# --- the login --------------------------------------------------------------------------------


@pytest.mark.parametrize("host", [HOST, "us-docker.pkg.dev", "gcr.io", "eu.gcr.io"])
@pytest.mark.parametrize("config", [BOTH, ALONE])
def test_a_login(fake, entry, host, config) -> None:
    found = login(fake, entry, config, host)
    assert found.username == "oauth2accesstoken" and {found.password} == fake.tokens
    left = found.expires_at - datetime.now(UTC)
    assert timedelta(minutes=59) < left <= timedelta(hours=1)
    assert found.password not in repr(found)


def test_what_workers_get_opens_no_more_than_pulling(fake, entry) -> None:
    """The federated token that acts as the account opens no repository, and stays here."""
    password = login(fake, entry).password
    (whose,) = fake.pools.tokens.values()
    assert whose.scopes == {"iam"} and whose.principal == PRINCIPAL
    assert password not in fake.pools.tokens and fake.pools.minted == (password, EMAIL, (SCOPE,))
    alone = login(fake, entry, ALONE).password
    assert fake.pools.tokens[alone].scopes == {SCOPE.rpartition("/")[2]}


def test_the_jwt_is_for_this_provider_alone(fake, entry) -> None:
    asked = []
    signs = entry.__call__
    ask = Ask(HOST, time.monotonic() + 5, fake.url, identity=lambda a: asked.append(a) or signs(a))
    TYPE.login(BOTH, {}, ask)
    assert asked == [f"https://iam.googleapis.com/{NAME}"]
    # Another provider, of another organization's, takes it for nothing.
    other = fake.pools.create(ISSUER, SUBJECT, pool="theirs")
    told = refused(fake, lambda_of(entry, asked[0]), {"workload_identity_provider": other})
    assert told.code == "identity_refused" and "other audiences" in told.what


def lambda_of(entry: Entry, audience: str) -> Entry:
    """The entry, saying what it says to `audience`, whoever asks."""

    class Replayed(Entry):
        def __call__(self, _: str) -> str:
            return super().__call__(audience)

    return Replayed(entry.signer)


@pytest.mark.parametrize("prefix", ["", "https:"])
def test_both_ways_of_writing_the_audience(fake, entry, prefix) -> None:
    assert login(fake, lambda_of(entry, f"{prefix}//iam.googleapis.com/{NAME}")).password


@pytest.mark.parametrize(
    ("life", "minutes"), [(60, 1), (3600, 60), (10**6, 60), (10**30, 60), (0, 15), (-5, 15)]
)
def test_when_a_federated_login_ends(fake, entry, life, minutes) -> None:
    body = {"access_token": "ya29.d.x", "token_type": "Bearer", "expires_in": life}
    fake.faults = [(200, json.dumps(body).encode())]
    left = login(fake, entry, ALONE).expires_at - datetime.now(UTC)
    wanted = timedelta(minutes=minutes)
    assert wanted - timedelta(seconds=20) < left <= wanted


@pytest.mark.parametrize(
    ("ends", "minutes"),
    [
        (lambda now: f"{now + timedelta(minutes=30):%Y-%m-%dT%H:%M:%SZ}", 30),
        (lambda now: f"{now + timedelta(minutes=30):%Y-%m-%dT%H:%M:%S.%fZ}", 30),
        (lambda now: f"{now + timedelta(days=30):%Y-%m-%dT%H:%M:%SZ}", 60),
        (lambda now: "9999-12-31T23:59:59Z", 60),
        (lambda now: "2001-01-01T00:00:00Z", 15),
    ],
)
def test_when_an_accounts_login_ends(fake, entry, ends, minutes) -> None:
    told = {"accessToken": "ya29.c.x", "expireTime": ends(datetime.now(UTC))}
    given = iter([None, (200, json.dumps(told).encode())])
    posted = fake.posted
    fake.posted = lambda path, content: next(given) or posted(path, content)
    left = login(fake, entry).expires_at - datetime.now(UTC)
    wanted = timedelta(minutes=minutes)
    assert wanted - timedelta(seconds=20) < left <= wanted


def test_keys_are_kept_for_as_long_as_we_say(fake, entry, served) -> None:
    for _ in range(3):
        login(fake, entry, ALONE)
    assert len(served.asked) == 2
    # A key that signs before Google could know it, and the same once it does.
    entry.signer.make("two")
    entry.signer.kid = "two"
    assert refused(fake, entry, ALONE).code == "issuer_unreachable" and len(served.asked) == 2
    fake.pools.relying.forget()
    assert login(fake, entry, ALONE).password and len(served.asked) == 4


# --- where it goes ----------------------------------------------------------------------------


def test_it_asks_googles_two_hosts_and_no_other(monkeypatch, entry) -> None:
    asked = []

    def ask_provider(url, content, headers, deadline, most, method="POST"):
        asked.append((url, content, headers))
        body = {"access_token": "ya29.d.x", "expires_in": 60, "accessToken": "ya29.c.x"}
        body["expireTime"] = "2999-01-01T00:00:00Z"
        return outbound.Answer(200, {}, json.dumps(body).encode())

    monkeypatch.setattr(outbound, "ask_provider", ask_provider)
    monkeypatch.setenv("GOOGLE_APPLICATION_CREDENTIALS", "/nowhere.json")
    monkeypatch.setenv("HTTPS_PROXY", "http://127.0.0.1:9")
    ask = Ask(HOST, time.monotonic() + 5, identity=entry)
    assert TYPE.login(BOTH, {}, ask).password == "ya29.c.x"
    (first, form, _), (second, content, headers) = asked
    assert first == "https://sts.googleapis.com/v1/token"
    assert second == (
        "https://iamcredentials.googleapis.com/v1/projects/-/serviceAccounts/"
        f"{EMAIL}:generateAccessToken"
    )
    assert {name: value for name, [value] in parse_qs(form.decode()).items()} == {
        "grant_type": "urn:ietf:params:oauth:grant-type:token-exchange",
        "audience": f"//iam.googleapis.com/{NAME}",
        "scope": ACTING,
        "requested_token_type": "urn:ietf:params:oauth:token-type:access_token",
        "subject_token": entry.made[0],
        "subject_token_type": "urn:ietf:params:oauth:token-type:jwt",
    }
    assert json.loads(content) == {"scope": [SCOPE], "lifetime": "3600s"}
    assert headers["Authorization"] == "Bearer ya29.d.x"


def test_a_redirect_takes_nothing_along(fake, entry) -> None:
    fake.faults = [(307, b"{}")]
    assert refused(fake, entry).code == "registry_unreachable" and len(fake.requests) == 1


@pytest.mark.parametrize("host", ["evil.example", f"{HOST}.evil.example", "mirror.gcr.io", ""])
def test_no_login_for_another_host(fake, entry, host) -> None:
    told = refused(fake, entry, host=host)
    assert told.code == "entry_unusable" and not fake.requests and not entry.made


@pytest.mark.parametrize(
    "stored",
    [
        {},
        {"workload_identity_provider": "x"},
        {"workload_identity_provider": f"//evil.example/{NAME}"},
        BOTH | {"service_account_email": "a/../../b:x@y.gserviceaccount.com"},
        BOTH | {"service_account_email": f"{EMAIL}:signBlob?x="},
    ],
)
def test_what_is_stored_is_held_to_the_rules_again(fake, entry, stored) -> None:
    told = refused(fake, entry, stored)
    assert told.code == "entry_unusable" and not fake.requests and not entry.made


# --- what goes wrong --------------------------------------------------------------------------


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


# --- what it takes ----------------------------------------------------------------------------


def clean(provider: str = NAME, email: str = "", *patterns: str):
    parsed = [MatchPattern.parse(text) for text in patterns or (f"{HOST}/my-project/*",)]
    given = {"workload_identity_provider": provider, "service_account_email": email}
    return TYPE.clean(given, {}, parsed)[0]


@pytest.mark.parametrize(
    "given",
    [
        NAME,
        f"//iam.googleapis.com/{NAME}",
        f"https://iam.googleapis.com/{NAME}",
        f"  {NAME}\n",
        f'workload_identity_provider: "{NAME}"',
        f"'//iam.googleapis.com/{NAME}',",
        NAME.replace("providers/valohai", "providers/a-1z"),
        NAME.replace("Pools/valohai", "Pools/" + "a" * 32),
    ],
)
def test_a_providers_name_is_cut_to_the_plain_one(given) -> None:
    found = clean(given)["workload_identity_provider"]
    assert found.startswith("projects/123456789012/locations/global/workloadIdentityPools/")
    assert parse_provider(found).name == found


@pytest.mark.parametrize(
    ("given", "says"),
    [
        (NAME.replace("123456789012", "my-project"), "project's ID"),
        (NAME.partition("/providers")[0], "without the provider"),
        (NAME.replace("global", "europe-west1"), "location"),
        (NAME.replace("Pools/valohai", "Pools/gcp-valohai"), "keeps for itself"),
        (NAME.replace("providers/valohai", "providers/gcp-x"), "keeps for itself"),
        (PRINCIPAL, "not the provider"),
        ("locations/global/workforcePools/p/providers/x", "workforce"),
        (NAME.replace("Pools/valohai", "Pools/abc"), "full name"),
        (NAME.replace("Pools/valohai", "Pools/" + "a" * 33), "full name"),
        (NAME.replace("Pools/valohai", "Pools/Valohai"), "full name"),
        (NAME.replace("Pools/valohai", "Pools/valo_hai"), "full name"),
        (NAME.replace("projects/1", "projects/0"), "full name"),
        (f"http://iam.googleapis.com/{NAME}", "full name"),
        (f"https://iam.googleapis.com.evil.example/{NAME}", "full name"),
        (f"{NAME}/", "full name"),
        (f"{NAME}/keys/x", "full name"),
        ("x" * 300, "full name"),
        ("", "is empty"),
    ],
)
def test_what_is_no_providers_name(given, says) -> None:
    with pytest.raises(Refused) as caught:
        clean(given)
    (problem,) = caught.value.problems
    assert problem.field == "workload_identity_provider" and says in problem.what
    assert problem.code == ("provider_shape" if given else "required") and problem.fix


@pytest.mark.parametrize("given", [EMAIL, f"serviceAccount:{EMAIL}", f' "{EMAIL}"', ""])
def test_the_service_account_may_be_left_out(given) -> None:
    assert clean(email=given) == (BOTH if given else ALONE)


@pytest.mark.parametrize(
    ("given", "says"),
    [
        ("alice@example.com", "person's"),
        ("alice@gmail.com", "person's"),
        ("104567890123456789012", "number"),
        ("service-1@gcp-sa-artifactregistry.iam.gserviceaccount.com", "Google's own"),
        ("valohai-pull", "isn't the e-mail"),
        (f"{EMAIL}.evil.example", "isn't the e-mail"),
        ("a:b@p.iam.gserviceaccount.com", "isn't the e-mail"),
    ],
)
def test_what_is_no_service_account(given, says) -> None:
    with pytest.raises(Refused) as caught:
        clean(email=given)
    (problem,) = caught.value.problems
    assert (problem.code, problem.field) == ("account_shape", "service_account_email")
    assert says in problem.what


def test_hosts_are_held_to_the_rules_of_all_google_types() -> None:
    for pattern in ("quay.io/*", f"{HOST}.evil.example/p/*", "*.pkg.dev/p/*", f"{HOST}:8443/p/*"):
        parsed = [MatchPattern.parse(pattern)]
        told = TYPE.refused_patterns(parsed)
        assert told and told == BY_SLUG["gcp-cr"].refused_patterns(parsed)
    assert TYPE.example_host(MatchPattern.parse("*.gcr.io/p/*")) == "us.gcr.io"


def test_its_place_in_the_catalogue() -> None:
    assert groups()["Google"] == [BY_SLUG["gcp-cr"], BY_SLUG["gcp-cr-oidc"]]
    assert BY_SLUG["gcp-cr-oidc"] in takers(MatchPattern.parse("gcr.io/p/*"))
    assert TYPE.trusts_issuer and TYPE.awaits_trust and TYPE.minted and not TYPE.secret_fields
    who = Who(SUBJECT, ISSUER)
    assert len(SUBJECT) == 92 <= google_pools.MOST_SUBJECT and not TYPE.assigned(who)
