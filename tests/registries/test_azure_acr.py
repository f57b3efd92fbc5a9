"""A registry's login by an application's secret: what is asked of whom, every refusal, and
Azure's own client libraries at the same fake."""

from __future__ import annotations

import json
import time
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import urlsplit

import pytest
from azure.containerregistry import ContainerRegistryClient
from azure.core.exceptions import ClientAuthenticationError
from azure.core.pipeline.transport import RequestsTransport
from azure.identity import ClientSecretCredential

from orgs.registries.azure_acr import REFUSALS, AzureRegistry
from orgs.registries.azure_entra import SCOPE
from orgs.registries.azure_refusals import ANY
from orgs.registries.azure_type import USERNAME
from orgs.registries.patterns import MatchPattern
from orgs.registries.problems import Failed, Refused
from orgs.services.upstream import calls
from tests.conftest import CANARY

pytestmark = pytest.mark.once

TYPE = AzureRegistry()
KNOWN = {**ANY, **REFUSALS}
HOST, OTHER = "acmeml.azurecr.io", "othername.azurecr.io"
PATTERNS = [MatchPattern.parse(f"{HOST}/*")]
TENANT, CLIENT = "66666666-7777-8888-9999-000000000000", "11111111-2222-3333-4444-555555555555"
SECRET = "abc8Q~0123456789abcdefghijklmnopqrstuvwx"


@pytest.fixture
def application(azure) -> tuple[dict[str, str], dict[str, str]]:
    tenant, client, secret = azure.create_application()
    azure.create_registry(HOST, tenant, client)
    return {"tenant_id": tenant, "client_id": client}, {"client_secret": secret}


def login(config: dict[str, str], secrets: dict[str, str], host: str = HOST, seconds: float = 7):
    return TYPE.login(config, secrets, calls.asked(TYPE, host, time.monotonic() + seconds))


def refused(config: dict[str, str], secrets: dict[str, str], host: str = HOST) -> Failed:
    with pytest.raises(Failed) as failed:
        login(config, secrets, host)
    error = failed.value
    assert error.what.endswith(".") and error.fix.endswith(".")
    for hidden in (*secrets.values(), config["client_id"], config["tenant_id"], "eyJ", "Trace ID"):
        assert hidden not in error.detail
    assert not any(secret in f"{error.in_full} {error!r}" for secret in secrets.values())
    return error


# --- the login ------------------------------------------------------------------------------


def test_two_calls_and_a_login_of_three_hours(azure, application) -> None:
    given = login(*application)
    assert given.username == USERNAME and {given.password} == azure.logins
    assert [(c.what, c.whom) for c in azure.calls] == [
        ("token", application[0]["client_id"]),
        ("exchange", HOST),
    ]
    life = given.expires_at - datetime.now(UTC)
    assert timedelta(hours=2, minutes=59) < life <= timedelta(hours=3)


@pytest.mark.parametrize(
    ("said", "believed"),
    [(600, 600), (30 * 3600, 3 * 3600), (None, 900), (-60, 900), (1e15, 900)],
)
def test_no_longer_life_is_believed_than_is_known(azure, application, said, believed) -> None:
    azure.life = said
    life = (login(*application).expires_at - datetime.now(UTC)).total_seconds()
    assert believed - 30 < life <= believed


def test_each_registry_has_its_own(azure, application) -> None:
    config, secrets = application
    azure.create_registry(OTHER, config["tenant_id"], config["client_id"])
    one, two = login(config, secrets), login(config, secrets, OTHER)
    assert one.password != two.password
    assert TYPE.login_scope(config, HOST) != TYPE.login_scope(config, OTHER)


# --- Azure's own clients ----------------------------------------------------------------------


class Rerouted(RequestsTransport):
    """Whatever host is asked, the fake answers, and is told which it was."""

    def __init__(self, url: str) -> None:
        super().__init__()
        self._url = url

    def send(self, request: Any, **kwargs: Any) -> Any:
        parts = urlsplit(request.url)
        request.headers["X-Asked-Of"] = parts.netloc
        request.url = f"{self._url}{parts.path}" + (f"?{parts.query}" if parts.query else "")
        return super().send(request, **kwargs)


def credential(azure, config: dict[str, str], secret: str) -> ClientSecretCredential:
    return ClientSecretCredential(
        config["tenant_id"],
        config["client_id"],
        secret,
        transport=Rerouted(azure.url),
        disable_instance_discovery=True,
    )


def test_azures_clients_sign_in_and_list(azure, application) -> None:
    config, secrets = application
    whose = credential(azure, config, secrets["client_secret"])
    assert whose.get_token(SCOPE).token.count(".") == 2
    client = ContainerRegistryClient(f"https://{HOST}", whose, transport=Rerouted(azure.url))
    assert list(client.list_repository_names()) == ["team/train"]
    # The exchange that the client made is the one that we make.
    assert [c.what for c in azure.calls if not c.error][-2:] == ["exchange", "token"]
    assert login(config, secrets).password in azure.logins


@pytest.mark.parametrize("change", ["secret", "client", "tenant", "scope", "role"])
def test_what_azures_clients_are_refused_we_are(azure, application, change) -> None:
    config, secrets = dict(application[0]), dict(application[1])
    scope = SCOPE
    if change == "secret":
        secrets["client_secret"] = SECRET
    elif change == "client":
        config["client_id"] = CLIENT
    elif change == "tenant":
        config["tenant_id"] = TENANT
    elif change == "scope":
        scope = "https://management.azure.com/.default"
    else:
        azure.revoke(HOST, config["client_id"])
    whose = credential(azure, config, secrets["client_secret"])
    with pytest.raises(ClientAuthenticationError):
        if change == "role":
            client = ContainerRegistryClient(HOST, whose, transport=Rerouted(azure.url))
            list(client.list_repository_names())
        else:
            whose.get_token(scope)
    if change != "scope":
        refused(config, secrets)


# --- refusals ---------------------------------------------------------------------------------


def test_a_wrong_secret_an_ended_one_and_a_new_one(azure, application) -> None:
    config, _ = application
    error = refused(config, {"client_secret": SECRET})
    assert error.code == "signature_mismatch" and "isn't one of its own" in error.what
    ended = azure.create_secret(config["client_id"], seconds=-60)
    error = refused(config, {"client_secret": ended})
    assert error.code == "invalid_key" and "has ended" in error.what
    login(config, {"client_secret": azure.create_secret(config["client_id"])})


def test_an_unknown_application_tenant_and_a_disabled_one(azure, application) -> None:
    config, secrets = application
    error = refused({**config, "client_id": CLIENT}, secrets)
    assert error.code == "invalid_key" and "object ID" in error.fix
    assert config["tenant_id"] in error.in_full and CLIENT in error.in_full
    error = refused({**config, "tenant_id": TENANT}, secrets)
    assert error.code == "invalid_key" and "There is no tenant" in error.what
    # An application of another tenant is none of this one.
    tenant, *_ = azure.create_application()
    assert "has no application" in refused({**config, "tenant_id": tenant}, secrets).what
    azure.disable(config["client_id"])
    assert "is disabled" in refused(config, secrets).what


def test_conditional_access_is_not_ours_to_mend(azure, application) -> None:
    azure.conditional_access = True
    error = refused(*application)
    assert error.code == "access_denied" and error.mended_elsewhere


def test_no_role_another_tenants_registry_a_firewall_no_registry(azure, application) -> None:
    config, secrets = application
    azure.revoke(HOST, config["client_id"])
    error = refused(config, secrets)
    assert error.code == "access_denied" and "has no role there" in error.what
    assert "AcrPull" in error.fix and "Container Registry Repository Reader" in error.fix
    azure.create_registry(OTHER, TENANT, config["client_id"])
    assert refused(config, secrets, OTHER).code == "access_denied"
    azure.create_registry(OTHER, config["tenant_id"], config["client_id"], firewall=True)
    error = refused(config, secrets, OTHER)
    assert error.code == "registry_unreachable" and "firewall" in error.what
    assert "203.0.113.7" not in error.in_full
    error = refused(config, secrets, "nobodys.azurecr.io")
    assert error.code == "registry_unreachable" and "There is no registry" in error.what


def _entra(number: object, text: str = "x", status: int = 400) -> tuple[int, bytes]:
    told = {"error": "invalid_client", "error_description": f"AADSTS{number}: {text}"}
    if isinstance(number, int):
        told["error_codes"] = [number]
    return status, json.dumps(told).encode()


@pytest.mark.parametrize("number", sorted(KNOWN))
@pytest.mark.parametrize("listed", [True, False])
def test_each_number_has_its_sentence(azure, application, number, listed) -> None:
    azure.faults = [_entra(int(number) if listed else number)] * 2
    code, what, _ = KNOWN[number]
    error = refused(*application)
    assert error.code == code and error.what.startswith(what.partition("{")[0])


@pytest.mark.parametrize(
    ("fault", "code", "says"),
    [
        (_entra(90033), "registry_unreachable", "trouble of its own"),
        (_entra(50196, status=429), "throttled", "too many requests"),
        ((429, b"{}"), "throttled", "too many requests"),
        ((503, b"down"), "registry_unreachable", "trouble of its own"),
        (_entra(1234567), "invalid_key", "(AADSTS1234567)"),
        (_entra("x"), "invalid_key", "doesn't let the application"),
        ((400, b"[]"), "invalid_key", "doesn't let the application"),
        ((401, b"<html>"), "invalid_key", "doesn't let the application"),
        ((302, b""), "registry_unreachable", "refused the request (302)"),
        ((404, b"{}"), "registry_unreachable", "refused the request (404)"),
        ((200, b"<html>"), "registry_unreachable", "isn't its language"),
        ((200, b"[]"), "registry_unreachable", "isn't its language"),
        ((200, b"{}"), "registry_unreachable", "isn't its language"),
        ((200, b'{"access_token": 7}'), "registry_unreachable", "isn't its language"),
        ((200, b'{"access_token": "a\\nb"}'), "registry_unreachable", "isn't its language"),
        ((200, b"[" * 50_000), "registry_unreachable", "isn't its language"),
    ],
    ids=lambda value: repr(value)[:40],
)
def test_other_answers_of_the_sign_in(azure, application, fault, code, says) -> None:
    azure.faults = [fault] * 2
    error = refused(*application)
    assert error.code == code and says in error.what
    assert len(azure.calls) == 0


@pytest.mark.parametrize(
    ("fault", "code", "says"),
    [
        ((429, b"{}"), "throttled", f"{HOST} answers too many"),
        ((500, b""), "registry_unreachable", f"{HOST} has trouble"),
        ((403, b'{"errors": [{"code": "DENIED", "message": "x"}]}'), "access_denied", "no role"),
        ((401, b""), "access_denied", "no role there"),
        ((400, b'{"errors": "x"}'), "registry_unreachable", "refused the request (400)"),
        ((200, b'{"refresh_token": ""}'), "registry_unreachable", "isn't its language"),
        ((200, b'{"access_token": "a"}'), "registry_unreachable", "isn't its language"),
    ],
    ids=lambda value: repr(value)[:40],
)
def test_other_answers_of_the_registry(azure, application, fault, code, says) -> None:
    signed_in = (200, b'{"access_token": "a.b.c"}')
    azure.faults = [signed_in, fault, fault]
    error = refused(*application)
    assert error.code == code and says in error.what


def test_an_outage_is_tried_once_more(azure, application) -> None:
    azure.faults = [(503, b"")]
    assert login(*application).password in azure.logins


def test_silence_ends_by_the_deadline(azure, application) -> None:
    azure.faults = [30.0, 30.0, 30.0]
    began = time.monotonic()
    with pytest.raises(Failed, match="didn’t answer within") as failed:
        login(*application, seconds=1)
    assert failed.value.code == "registry_unreachable" and time.monotonic() - began < 5


def test_what_is_incomplete_asks_nobody(azure, application) -> None:
    config, _ = application
    for lacking in ({}, {"client_secret": ""}):
        with pytest.raises(Failed) as failed:
            login(config, lacking)
        assert failed.value.code == "entry_unusable"
    assert azure.calls == []


# --- what people paste --------------------------------------------------------------------------


def clean(**given: str):
    config = {"tenant_id": TENANT, "client_id": CLIENT} | {
        n: v for n, v in given.items() if n != "client_secret"
    }
    return TYPE.clean(config, {"client_secret": given.get("client_secret", SECRET)}, PATTERNS)


@pytest.mark.parametrize(
    ("name", "pasted", "meant"),
    [
        ("tenant_id", TENANT.upper(), TENANT),
        ("tenant_id", f" {TENANT}\n", TENANT),
        ("tenant_id", f"{{{TENANT}}}", TENANT),
        ("tenant_id", f'AZURE_TENANT_ID="{TENANT}"', TENANT),
        ("tenant_id", f'"tenant": "{TENANT}",', TENANT),
        ("client_id", f"api://{CLIENT}", CLIENT),
        ("client_id", f"'appId': '{CLIENT}'", CLIENT),
        ("client_id", f"ARM_CLIENT_ID={CLIENT}", CLIENT),
        ("client_secret", f" {SECRET} ", SECRET),
        ("client_secret", f'"{SECRET}"', SECRET),
        ("client_secret", f"AZURE_CLIENT_SECRET={SECRET}", SECRET),
        ("client_secret", f"export ARM_CLIENT_SECRET='{SECRET}'", SECRET),
        ("client_secret", f'"password": "{SECRET}",', SECRET),
    ],
)
def test_what_is_meant(name, pasted, meant) -> None:
    config, secrets = clean(**{name: pasted})
    assert {**config, **secrets}[name] == meant


@pytest.mark.parametrize(
    ("name", "pasted", "says"),
    [
        ("tenant_id", "acme.onmicrosoft.com", "a domain of the tenant"),
        ("tenant_id", "common", "stands for any tenant"),
        ("tenant_id", "Organizations", "stands for any tenant"),
        ("tenant_id", TENANT[:-1], "32 hexadecimal digits"),
        ("tenant_id", TENANT.replace("6", "g"), "32 hexadecimal digits"),
        ("tenant_id", f"{TENANT}/oauth2", "32 hexadecimal digits"),
        ("tenant_id", "６" + TENANT[1:], "32 hexadecimal digits"),
        ("client_id", "valohai-pull", "Application (client) ID"),
        ("client_id", TENANT, "The same stands under Tenant ID"),
        ("client_secret", CLIENT, "the secret's ID, not its value"),
        ("client_secret", "abc" + "*" * 20, "shows of a secret afterwards"),
        ("client_secret", "short", "isn't a client secret"),
        ("client_secret", "{" + '"appId":"x","password":"' + SECRET + '"}', "create-for-rbac"),
        ("client_secret", "-----BEGIN PRIVATE KEY-----MIIE" + CANARY, "a certificate or its key"),
    ],
)
def test_what_it_isnt(name, pasted, says) -> None:
    with pytest.raises(Refused) as told:
        clean(**{name: pasted})
    (problem,) = told.value.problems
    assert problem.field == name and says in problem.what
    if name == "client_secret":
        assert pasted not in str(problem)


def test_where_a_kept_secret_may_go() -> None:
    config = {"tenant_id": TENANT, "client_id": CLIENT}
    scope = TYPE.secret_scope(config, PATTERNS)
    more = [*PATTERNS, MatchPattern.parse(f"{OTHER}/*")]
    assert TYPE.secret_scope(config, more) == scope
    assert TYPE.secret_scope({**config, "tenant_id": CLIENT}, PATTERNS) != scope
    assert TYPE.secret_scope(config, [MatchPattern.parse("acmeml.azurecr.us/*")]) != scope
