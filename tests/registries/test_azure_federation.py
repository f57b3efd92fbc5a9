"""A registry's login by what this server says of an entry: each refusal in its own words, and
Azure's own client library at the same fake, which reads the issuer's keys over HTTP."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from azure.core.exceptions import ClientAuthenticationError
from azure.identity import ClientAssertionCredential

from orgs.registries.asking import Ask
from orgs.registries.azure_acr import AzureRegistry
from orgs.registries.azure_acr_oidc import REFUSALS, AzureOidc
from orgs.registries.azure_entra import SCOPE, Application, by_assertion
from orgs.registries.azure_refusals import ANY
from orgs.registries.azure_type import USERNAME
from orgs.registries.patterns import MatchPattern
from orgs.registries.problems import Failed, Refused
from tests.registries.test_azure_acr import Rerouted
from tests.registries.test_azure_trust import CLIENT, CLOUDS, HOST, OTHER, SUBJECT, TENANT, set_up
from tests.support.fake_azure import EXCHANGE
from tests.support.issuer import NAME
from tests.support.issuer_site import Signer, Site, of_a_test, site

pytestmark = pytest.mark.once

TYPE = AzureOidc()
PATTERNS = [MatchPattern.parse(f"{HOST}/*")]
ANOTHER = f"organization:{TENANT}:entry:{TENANT}"


class Issuer(Signer):
    """It vouches for entries, as the product does; `site` is where its documents are."""

    site: Site

    def signed(self, subject: str, audience: object, **other: Any) -> str:
        now = int(time.time())
        claims = {"iss": self.issuer, "sub": subject, "aud": audience}
        claims |= {"iat": now - 30, "nbf": now - 30, "exp": now + 300}
        return self.sign(claims | other)


@pytest.fixture
def issuer(azure) -> Iterator[Issuer]:
    issuer = Issuer(NAME)
    with site(of_a_test(NAME, issuer.key_set)) as issuer.site:
        azure.relying.addresses[NAME] = issuer.site.url
        yield issuer


@pytest.fixture
def config(azure, issuer) -> dict[str, str]:
    """Of an application that trusts the entry, and may pull."""
    tenant, client = azure.create_identity()
    azure.create_registry(HOST, tenant, client)
    azure.trust(client, NAME, SUBJECT)
    return {"tenant_id": tenant, "client_id": client}


class Entry:
    """What asks for logins; `said` are the JWTs that were signed for it."""

    def __init__(self, issuer: Issuer, azure) -> None:
        self._issuer, self._azure = issuer, azure
        self.said: list[str] = []
        self.subject, self.other = SUBJECT, {}
        self.audiences: list[str] = []

    def identity(self, audience: str) -> str:
        self.audiences.append(audience)
        self.said.append(self._issuer.signed(self.subject, audience, **self.other))
        return self.said[-1]

    def login(self, config: dict[str, str], host: str = HOST, seconds: float = 7):
        deadline = time.monotonic() + seconds
        return TYPE.login(config, {}, Ask(host, deadline, self._azure.url, identity=self.identity))

    def refused(self, config: dict[str, str], host: str = HOST) -> Failed:
        with pytest.raises(Failed) as failed:
            self.login(config, host)
        error = failed.value
        assert error.what.endswith(".") and error.fix.endswith(".")
        for hidden in (config["client_id"], config["tenant_id"], "Trace ID", "{"):
            assert hidden not in error.detail
        assert "eyJ" not in f"{error.in_full} {error!r} {error.__cause__!r} {error.__context__!r}"
        return error


@pytest.fixture
def entry(issuer, azure) -> Entry:
    return Entry(issuer, azure)


# --- the login ------------------------------------------------------------------------------


def test_two_calls_no_secret_and_a_login_of_three_hours(azure, issuer, entry, config) -> None:
    given = entry.login(config)
    assert given.username == USERNAME and {given.password} == azure.logins
    assert [(c.what, c.whom, c.error) for c in azure.calls] == [
        ("token", config["client_id"], ""),
        ("exchange", HOST, ""),
    ]
    assert entry.audiences == [EXCHANGE]
    life = given.expires_at - datetime.now(UTC)
    assert timedelta(hours=2, minutes=59) < life <= timedelta(hours=3)


@pytest.mark.parametrize("suffix", CLOUDS)
def test_each_cloud_has_an_audience_of_its_own(azure, issuer, entry, config, suffix) -> None:
    host = f"acmeml.{suffix}"
    azure.exchange = CLOUDS[suffix]
    azure.distrust(config["client_id"])
    azure.trust(config["client_id"], NAME, SUBJECT, CLOUDS[suffix])
    azure.create_registry(host, config["tenant_id"], config["client_id"])
    assert entry.login(config, host).password in azure.logins
    # For another cloud it's worth nothing.
    azure.exchange = "api://elsewhere"
    assert CLOUDS[suffix] in entry.refused(config, host).what


@pytest.mark.parametrize(("said", "believed"), [(600, 600), (30 * 3600, 3 * 3600), (None, 900)])
def test_no_longer_life_is_believed_than_is_known(azure, entry, config, said, believed) -> None:
    azure.life = said
    life = (entry.login(config).expires_at - datetime.now(UTC)).total_seconds()
    assert believed - 30 < life <= believed


def test_the_keys_are_read_once_for_as_long_as_they_may_be_kept(
    azure, issuer, entry, config
) -> None:
    for _ in range(3):
        entry.login(config)
    assert issuer.site.asked == ["/.well-known/openid-configuration", "/.well-known/jwks.json"]


def test_a_coming_key_signs_once_it_is_known(azure, issuer, entry, config) -> None:
    entry.login(config)
    issuer.make("two")  # too late: the former set is kept
    issuer.kid = "two"
    error = entry.refused(config)
    assert error.code == "issuer_unreachable" and error.transient and error.retry_after
    assert "doesn't have the key yet" in error.what
    azure.relying.forget()
    assert entry.login(config).password in azure.logins


# --- whom it trusts -------------------------------------------------------------------------


def test_nothing_set_up(azure, entry, config) -> None:
    azure.distrust(config["client_id"])
    error = entry.refused(config)
    assert error.code == "identity_refused" and "has no federated credential" in error.what
    assert "as the entry's page shows it" in error.fix


@pytest.mark.parametrize(
    ("wrong", "says"),
    [
        ({"issuer": "https://registries.example.com/"}, "no federated credential has its issuer"),
        ({"issuer": "https://Registries.example.com"}, "no federated credential has its issuer"),
        ({"subject": ANOTHER}, "no federated credential has its subject"),
        ({"subject": SUBJECT.upper()}, "no federated credential has its subject"),
        ({"subject": SUBJECT[:-1]}, "no federated credential has its subject"),
        ({"subject": "*"}, "no federated credential has its subject"),
        ({"audience": "api://AzureADTokenExchangeChina"}, f"not with the audience {EXCHANGE}"),
        ({"audience": "sts.amazonaws.com"}, f"not with the audience {EXCHANGE}"),
    ],
)
def test_each_half_that_is_wrong_is_named(azure, issuer, entry, config, wrong, says) -> None:
    right = {"issuer": NAME, "subject": SUBJECT, "audience": EXCHANGE}
    azure.distrust(config["client_id"])
    azure.trust(config["client_id"], **(right | wrong))  # which Azure takes silently
    error = entry.refused(config)
    assert error.code == "identity_refused" and says in error.what
    # Nobody whom no one trusts is asked for keys.
    assert issuer.site.asked == []
    azure.distrust(config["client_id"])
    azure.trust(config["client_id"], **right)
    assert entry.login(config).password in azure.logins


def test_another_entrys_subject_opens_nothing(azure, issuer, entry, config) -> None:
    """Not in the same tenant either, nor where both are trusted, each for its own."""
    entry.subject = ANOTHER
    assert "its subject" in entry.refused(config).what
    other = azure.create_identity()[1]
    azure.trust(other, NAME, ANOTHER)
    assert "its subject" in entry.refused(config).what


def test_a_jwt_for_another_audience_is_worthless(azure, entry, config) -> None:
    entry.other = {"aud": "sts.amazonaws.com"}
    assert entry.refused(config).code == "identity_refused"
    entry.other = {"aud": [EXCHANGE, "sts.amazonaws.com"]}
    assert entry.refused(config).code == "identity_refused"


@pytest.mark.parametrize(
    ("other", "ahead"),
    [
        ({"exp": -100}, 0),
        ({"nbf": 600}, 0),
        ({}, 400),
        ({}, -120),
    ],
    ids=["ended", "not yet", "cloud's clock ahead", "cloud's clock behind"],
)
def test_clocks(azure, entry, config, other, ahead) -> None:
    entry.other = {name: int(time.time()) + away for name, away in other.items()}
    azure.relying.clock = lambda: time.time() + ahead
    error = entry.refused(config)
    assert error.code == "clock_skew" and error.transient and "(NTP)" in error.fix


def test_a_key_that_is_not_the_issuers(azure, issuer, entry, config) -> None:
    issuer.make("stranger's", published=False)
    issuer.kid = "stranger's"
    assert entry.refused(config).code == "issuer_unreachable"  # it may yet be published
    issuer.keys["one"] = issuer.keys["stranger's"]
    issuer.kid = "one"
    error = entry.refused(config)
    assert error.code == "identity_refused" and "it isn't this server that signed" in error.what


@pytest.mark.parametrize("how", ["broken", "gone", "another's"])
def test_an_issuer_that_can_not_be_read_passes(azure, issuer, entry, config, how) -> None:
    if how == "broken":
        issuer.site.down = True
    elif how == "gone":
        azure.relying.addresses.clear()
    else:
        issuer.site.answer = of_a_test("https://elsewhere.example.com", issuer.key_set)
    error = entry.refused(config)
    assert error.code == "issuer_unreachable" and error.transient and error.retry_after == 5
    assert "can be reached from outside" in error.fix
    issuer.site.down, issuer.site.answer = False, of_a_test(NAME, issuer.key_set)
    azure.relying.addresses[NAME] = issuer.site.url
    assert entry.login(config).password in azure.logins


# --- who it is ------------------------------------------------------------------------------


def test_an_unknown_identity_tenant_and_a_disabled_one(azure, entry, config) -> None:
    error = entry.refused({**config, "client_id": CLIENT})
    assert error.code == "identity_refused" and "no application or managed identity" in error.what
    assert CLIENT in error.in_full and config["tenant_id"] in error.in_full
    error = entry.refused({**config, "tenant_id": TENANT})
    assert error.code == "identity_refused" and "There is no tenant" in error.what
    azure.disable(config["client_id"])
    assert "is disabled" in entry.refused(config).what


def test_conditional_access_no_role_another_tenants_registry_a_firewall(
    azure, entry, config
) -> None:
    azure.conditional_access = True
    error = entry.refused(config)
    assert error.code == "access_denied" and error.mended_elsewhere
    azure.conditional_access = False
    azure.revoke(HOST, config["client_id"])
    error = entry.refused(config)
    assert error.code == "access_denied" and "has no role there" in error.what
    assert "AcrPull" in error.fix and "Container Registry Repository Reader" in error.fix
    azure.create_registry(OTHER, TENANT, config["client_id"])
    assert entry.refused(config, OTHER).code == "access_denied"
    azure.create_registry(OTHER, config["tenant_id"], config["client_id"], firewall=True)
    assert "firewall" in entry.refused(config, OTHER).what
    assert "There is no registry" in entry.refused(config, "nobodys.azurecr.io").what


# --- answers ----------------------------------------------------------------------------------


def _entra(number: int | str, status: int = 401) -> tuple[int, bytes]:
    told = {"error": "invalid_client", "error_description": f"AADSTS{number}: x eyJhbGciOi.a.b"}
    return status, json.dumps(told).encode()


@pytest.mark.parametrize("number", sorted({**ANY, **REFUSALS}))
def test_each_number_has_its_sentence(azure, entry, config, number) -> None:
    azure.faults = [_entra(number)] * 2
    code, what, _ = {**ANY, **REFUSALS}[number]
    error = entry.refused(config)
    assert error.code == code and error.what.startswith(what.partition("{")[0])
    assert bool(error.retry_after) == error.transient


@pytest.mark.parametrize(
    ("fault", "code", "says"),
    [
        (_entra(7009999), "identity_refused", "(AADSTS7009999)"),
        (_entra("x"), "identity_refused", "doesn't let the identity sign in"),
        (_entra(90033, 400), "registry_unreachable", "trouble of its own"),
        (_entra(50196, 429), "throttled", "too many requests"),
        ((503, b"down"), "registry_unreachable", "trouble of its own"),
        ((401, b"<html>eyJ"), "identity_refused", "doesn't let the identity sign in"),
        ((302, b""), "registry_unreachable", "refused the request (302)"),
        ((200, b"{}"), "registry_unreachable", "isn't its language"),
        ((200, b'{"access_token": "a\\nb"}'), "registry_unreachable", "isn't its language"),
        ((200, b"[" * 50_000), "registry_unreachable", "isn't its language"),
        ((200, b'{"access_token": "' + b"a" * 200_000), "registry_unreachable", "language"),
        ((401, b'{"error_description": "' + b"A" * 90_000 + b'"}'), "identity_refused", "sign in"),
    ],
    ids=lambda value: repr(value)[:40],
)
def test_other_answers_of_the_sign_in(azure, entry, config, fault, code, says) -> None:
    azure.faults = [fault] * 2
    error = entry.refused(config)
    assert error.code == code and says in error.what and len(error.in_full) < 1000
    assert azure.calls == [] and len(entry.said) == 1


def test_an_outage_is_tried_once_more_and_silence_ends_by_the_deadline(
    azure, entry, config
) -> None:
    azure.faults = [(503, b"")]
    assert entry.login(config).password in azure.logins
    azure.faults = [30.0, 30.0, 30.0]
    began = time.monotonic()
    with pytest.raises(Failed, match="didn’t answer within"):
        entry.login(config, seconds=1)
    assert time.monotonic() - began < 5


def test_no_signature_no_login(azure, entry, config) -> None:
    """What keeps this server from signing is told as it is, and Azure isn't asked."""

    def broken(audience: str) -> str:
        raise Failed("issuer_unreachable", "The copy lacks the key.", "Put it there.", 60)

    with pytest.raises(Failed, match="The copy lacks the key"):
        TYPE.login(config, {}, Ask(HOST, time.monotonic() + 7, azure.url, identity=broken))
    for lacking in ({"tenant_id": TENANT}, {"client_id": CLIENT}, {}):
        with pytest.raises(Failed) as failed:
            entry.login(lacking)
        assert failed.value.code == "entry_unusable"
    assert azure.calls == [] and entry.said == []


def test_the_jwt_is_shown_nowhere(entry, issuer) -> None:
    token = issuer.signed(SUBJECT, EXCHANGE)
    assert token not in repr(Application(TENANT, CLIENT, by_assertion(token)))


# --- Azure's own client ---------------------------------------------------------------------


def test_azures_client_is_let_in_and_refused_as_we_are(azure, issuer, entry, config) -> None:
    def of(config: dict[str, str]) -> ClientAssertionCredential:
        return ClientAssertionCredential(
            config["tenant_id"],
            config["client_id"],
            lambda: entry.identity(EXCHANGE),
            transport=Rerouted(azure.url),
            disable_instance_discovery=True,
        )

    assert of(config).get_token(SCOPE).token.count(".") == 2
    entry.login(config)
    for change in ({"subject": ANOTHER}, {"other": {"aud": "api://x"}}, {"other": {"exp": 1}}):
        entry.subject, entry.other = SUBJECT, {}
        vars(entry).update(change)
        with pytest.raises(ClientAuthenticationError):
            of(config).get_token(SCOPE)
        entry.refused(config)
    entry.subject, entry.other = SUBJECT, {}
    for wrong in ({"client_id": CLIENT}, {"tenant_id": TENANT}):
        with pytest.raises(ClientAuthenticationError):
            of({**config, **wrong}).get_token(SCOPE)
        entry.refused({**config, **wrong})
    issuer.site.down = True
    azure.relying.forget()
    with pytest.raises(ClientAuthenticationError):
        of(config).get_token(SCOPE)
    entry.refused(config)


# --- hosts and fields -----------------------------------------------------------------------

LOOKALIKES = [
    "acmeml.azurecr.io.evil.com",
    "acmeml-azurecr.io",
    "a.acmeml.azurecr.io",
    "acmeml.privatelink.azurecr.io",
    "acmeml.westeurope.data.azurecr.io",
    "azurecr.io",
    "acme.azurecr.io",
    "acmeml.azurecr.de",
    "xn--cmeml-qta.azurecr.io",
    "acmeml.azurecr.io:8443",
    "127.0.0.1",
]


@pytest.mark.parametrize("host", LOOKALIKES)
def test_nothing_is_signed_for_a_look_alike(azure, entry, config, host) -> None:
    assert TYPE.refused_patterns([MatchPattern.parse(f"{host}/*")])
    with pytest.raises(Failed):
        entry.login(config, host)
    assert entry.said == [] and azure.calls == []
    assert TYPE.host_refusal(config, host) is not None


def test_hosts_are_judged_as_of_the_type_with_a_secret() -> None:
    texts = [HOST, "*.azurecr.io", "acmeml.azurecr.us", *LOOKALIKES]
    for text in texts:
        pattern = [MatchPattern.parse(f"{text}/*")]
        assert TYPE.refused_patterns(pattern) == AzureRegistry().refused_patterns(pattern)
    both = [MatchPattern.parse(f"acmeml.azurecr.{end}/*") for end in ("io", "us")]
    assert [p.code for p in TYPE.refused_patterns(both)] == ["partition_mismatch"]


def test_what_people_paste() -> None:
    given = {"tenant_id": f"ARM_TENANT_ID={TENANT.upper()}", "client_id": f'"appId": "{CLIENT}",'}
    assert TYPE.clean(given, {}, PATTERNS) == ({"tenant_id": TENANT, "client_id": CLIENT}, {})
    for name, wrong, says in (
        ("tenant_id", "acme.onmicrosoft.com", "a domain of the tenant"),
        ("tenant_id", "common", "an application is in one"),
        ("client_id", "valohai-pull", "Application (client) ID"),
        ("client_id", TENANT, "The same stands under Tenant ID"),
        ("client_id", "", "required"),
    ):
        right = {"tenant_id": TENANT, "client_id": CLIENT}
        with pytest.raises(Refused) as told:
            TYPE.clean(right | {name: wrong}, {}, PATTERNS)
        (problem,) = told.value.problems
        assert problem.field == name and (says in problem.what or says == problem.code)


# --- the other side -------------------------------------------------------------------------


def test_the_set_up_is_what_the_fake_lets_in(azure, issuer, entry, config) -> None:
    """Its JSON, taken at its word."""
    azure.distrust(config["client_id"])
    told = set_up(f"{HOST}/*", **config)
    document = json.loads(told.parts[0].text)
    assert document["name"] == f"valohai-{CLIENT}" and len(document["name"]) <= 120
    (audience,) = document["audiences"]
    azure.trust(config["client_id"], document["issuer"], document["subject"], audience)
    assert entry.login(config).password in azure.logins
    facts = dict(told.facts)
    assert [facts[n] for n in ("Issuer", "Subject identifier", "Audience")] == [
        NAME,
        SUBJECT,
        EXCHANGE,
    ]
    assert facts["Client ID"] == config["client_id"] and facts["Tenant ID"] == config["tenant_id"]
    for said in ("20 federated credentials", "silently", "ABAC"):
        assert any(said in note for note in told.notes)
