"""Type gcp-cr-oidc: the two calls it makes, where they go and what comes of them.

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
from orgs.registries.google_cr_oidc import GoogleOidc
from orgs.registries.google_federation import ACT_AS, ACTING, EXCHANGE
from orgs.registries.google_pools import parse_provider
from orgs.registries.google_type import SCOPE
from orgs.registries.problems import Failed
from orgs.registries.types import Ask
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
