"""A fake Azure on loopback: the sign-in of its clouds, and the login endpoints of registries.

A client secret is let in only for its own application of its own tenant, in time, for the
registries' audience, and a JWT in its place only where a federated credential has its issuer,
subject and audience, and a key that the issuer publishes has signed it. A registry gives a
login of its own for an access token that this sign-in signed, for that audience and tenant, by
who has a role there. It answers and refuses in Azure's words, collected from public reports.
`tests/registries/test_azure_acr.py` and `test_azure_federation.py` hold it to azure-identity and
azure-containerregistry, which talk to it unchanged.
"""

from __future__ import annotations

import json
import secrets
import time
import uuid
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, cast
from urllib.parse import parse_qs, urlsplit

import jwt

from tests.support.fake_google import pem, private_key
from tests.support.loopback import Handler, Loopback
from tests.support.relying import NotAccepted, RelyingParty, claimed

AUDIENCE = "https://containerregistry.azure.net"
EXCHANGE = "api://AzureADTokenExchange"
JWT_BEARER = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"
TOKEN_SECONDS, LOGIN_SECONDS = 3599, 3 * 3600
SIGN_INS = ("login.microsoftonline.com", "login.chinacloudapi.cn", "login.microsoftonline.us")


@dataclass
class _Application:
    tenant: str
    # value → when it ends, in seconds since the epoch
    secrets: dict[str, float] = field(default_factory=dict)
    enabled: bool = True
    # (issuer, subject, audience) of whom it trusts
    trusted: list[tuple[str, str, str]] = field(default_factory=list)


@dataclass
class _Registry:
    tenant: str
    roles: set[str] = field(default_factory=set)
    firewall: bool = False


@dataclass(frozen=True)
class Call:
    """What was asked: the path's end, of whom, and what came of it (an error's code, or "")."""

    what: str
    whom: str
    error: str


class _Refused(Exception):
    def __init__(self, status: int, body: dict[str, Any], code: str) -> None:
        super().__init__(code)
        self.status, self.body, self.code = status, body, code


def _entra(number: int, text: str, error: str = "invalid_client", status: int = 401) -> _Refused:
    told = f"AADSTS{number}: {text} Trace ID: {uuid.uuid4()} Correlation ID: {uuid.uuid4()}"
    body = {
        "error": error,
        "error_description": told,
        "error_codes": [number],
        "timestamp": "2026-11-27 12:00:00Z",
        "trace_id": str(uuid.uuid4()),
        "correlation_id": str(uuid.uuid4()),
        "error_uri": f"https://login.microsoftonline.com/error?code={number}",
    }
    return _Refused(status, body, str(number))


def _acr(status: int, code: str, message: str) -> _Refused:
    error = {"code": code, "message": message, "detail": []}
    return _Refused(status, {"errors": [error]}, code)


# By what a relying party says of a JWT.
_WORDS = {
    **dict.fromkeys(["unreadable", "issuer"], (50166, "Request to External OIDC endpoint failed.")),
    "key": (
        7000272,
        "The certificate with identifier 0123 used to sign the federated credential could not be "
        "found in the metadata of identity provider {issuer}.",
    ),
    "signature": (700027, "Client assertion failed signature validation."),
    **dict.fromkeys(
        ["expired", "early"], (700024, "Client assertion is not within its valid time range.")
    ),
}


class FakeAzure(Loopback):
    """`with FakeAzure() as azure`: no tenant has anything yet.

    `life` is that of a registry's login in seconds, None for a token that doesn't say.
    `on_login` is given (registry, login). `relying` reads the issuers that applications
    trust, and `exchange` is the audience of this cloud's.
    """

    def __init__(self) -> None:
        super().__init__()
        self.calls: list[Call] = []
        self.logins: set[str] = set()
        self.life: float | None = LOGIN_SECONDS
        self.on_login: Callable[[str, str], object] | None = None
        self.conditional_access = False
        self.relying = RelyingParty(patient=True)
        self.exchange = EXCHANGE
        self._applications: dict[str, _Application] = {}
        self._registries: dict[str, _Registry] = {}
        self._key = pem(private_key(7))
        self._public = private_key(7).public_key()

    # What a test may do

    def create_application(self, tenant: str = "") -> tuple[str, str, str]:
        """(tenant, client id, secret), of a tenant that has it from now on."""
        tenant, client = tenant or str(uuid.uuid4()), str(uuid.uuid4())
        self._applications[client] = _Application(tenant)
        return tenant, client, self.create_secret(client)

    def create_secret(self, client: str, *, seconds: float = 86400, canary: str = "") -> str:
        """One more secret, as Azure makes them; negative `seconds`: it has ended."""
        value = f"{secrets.token_hex(2)[:3]}8Q~{canary or secrets.token_urlsafe(25)}"
        self._applications[client].secrets[value] = time.time() + seconds
        return value

    def create_identity(self) -> tuple[str, str]:
        """(tenant, client id) of one without a secret, of a tenant of its own."""
        tenant, client = str(uuid.uuid4()), str(uuid.uuid4())
        self._applications[client] = _Application(tenant)
        return tenant, client

    def trust(self, client: str, issuer: str, subject: str, audience: str = EXCHANGE) -> None:
        """Add a federated credential, whatever is in it: Azure looks at none of it here."""
        trusted = self._applications[client].trusted
        assert len(trusted) < 20, "BadRequest: the maximum of 20 federated credentials is reached"
        assert all(one[:2] != (issuer, subject) for one in trusted), "Request_MultipleObjects"
        trusted.append((issuer, subject, audience))

    def distrust(self, client: str) -> None:
        self._applications[client].trusted.clear()

    def disable(self, client: str) -> None:
        self._applications[client].enabled = False

    def remove_secret(self, client: str, value: str) -> None:
        del self._applications[client].secrets[value]

    def create_registry(
        self, host: str, tenant: str, *clients: str, firewall: bool = False
    ) -> None:
        """A registry of the tenant's, on which these applications have a role."""
        self._registries[host] = _Registry(tenant, set(clients), firewall)

    def grant(self, host: str, client: str) -> None:
        self._registries[host].roles.add(client)

    def revoke(self, host: str, client: str) -> None:
        self._registries[host].roles.discard(client)

    # Requests

    def posted(self, path: str, content: bytes) -> tuple[int, bytes]:
        form = {name: values[0] for name, values in parse_qs(content.decode()).items()}
        status, told = self.answer(urlsplit(path).path, form)
        return status, json.dumps(told).encode()

    def answer(self, path: str, form: dict[str, str]) -> tuple[int, dict[str, Any]]:
        what, whom = path.rpartition("/")[2], form.get("client_id") or form.get("service", "")
        try:
            if path.endswith("/oauth2/v2.0/token"):
                body = self._sign_in(path.split("/")[1], form)
            elif path == "/oauth2/exchange":
                body = self._exchange(form)
            elif path == "/oauth2/token":
                body = self._bearer(form)
            else:
                raise _acr(404, "NOT_FOUND", "no such path")
        except _Refused as refused:
            self.calls.append(Call(what, whom, refused.code))
            return refused.status, refused.body
        self.calls.append(Call(what, whom, ""))
        return 200, body

    def _sign_in(self, tenant: str, form: dict[str, str]) -> dict[str, Any]:
        if not any(one.tenant == tenant for one in self._applications.values()):
            raise _entra(
                90002,
                f"Tenant '{tenant}' not found. Check to make sure you have the correct tenant ID "
                "and are signing into the correct cloud.",
                "invalid_request",
                400,
            )
        client = form.get("client_id", "")
        found = self._applications.get(client)
        if found is None or found.tenant != tenant:
            raise _entra(
                700016,
                f"Application with identifier '{client}' was not found in the directory 'Acme'.",
                "unauthorized_client",
                400,
            )
        if not found.enabled:
            text = f"Application '{client}'(valohai-pull) is disabled."
            raise _entra(7000112, text, "unauthorized_client", 400)
        if form.get("grant_type") != "client_credentials":
            raise _entra(70003, "The grant type is not supported.", "unsupported_grant_type", 400)
        if form.get("client_assertion"):
            self._federated(found, client, form)
        else:
            self._secret(found, client, form)
        if form.get("scope") != f"{AUDIENCE}/.default":
            text = f"The resource principal named {form.get('scope')} was not found in the tenant."
            raise _entra(500011, text, "invalid_resource", 400)
        if self.conditional_access:
            text = "Access has been blocked by Conditional Access policies."
            raise _entra(53003, text, "access_denied", 400)
        now = int(time.time())
        claims = {"aud": AUDIENCE, "iss": f"https://sts.windows.net/{tenant}/", "appid": client}
        claims |= {"tid": tenant, "iat": now, "nbf": now, "exp": now + TOKEN_SECONDS}
        token = jwt.encode(claims, self._key, "RS256", headers={"kid": "entra"})
        return {"token_type": "Bearer", "expires_in": TOKEN_SECONDS, "access_token": token}

    def _secret(self, found: _Application, client: str, form: dict[str, str]) -> None:
        if not form.get("client_secret"):
            text = "The request body must contain: 'client_assertion' or 'client_secret'."
            raise _entra(7000218, text)
        ends = found.secrets.get(form["client_secret"])
        if ends is None:
            raise _entra(
                7000215,
                "Invalid client secret provided. Ensure the secret being sent in the request is "
                f"the client secret value, not the client secret ID, for app '{client}'.",
            )
        if ends < time.time():
            text = f"The provided client secret keys for app '{client}' are expired."
            raise _entra(7000222, text)

    def _federated(self, found: _Application, client: str, form: dict[str, str]) -> None:
        """First whom the application trusts, then what the issuer's keys say: an issuer that
        nobody trusts is never asked."""
        if form.get("client_assertion_type") != JWT_BEARER:
            raise _entra(7000218, "The request body must contain: 'client_assertion_type'.")
        token = form["client_assertion"]
        try:
            said = claimed(token)
        except NotAccepted:
            raise _entra(50027, "JWT token is invalid or malformed.", "invalid_request") from None
        if not found.trusted:
            text = f"The client '{client}'(valohai-pull) has no configured federated identity "
            raise _entra(70025, f"{text}credentials.")
        left = found.trusted
        for number, at, claim in ((700211, 0, "iss"), (700213, 1, "sub"), (700212, 2, "aud")):
            what = {"iss": "issuer", "sub": "subject", "aud": "audience"}[claim]
            left = [one for one in left if one[at] == said.get(claim)]
            if not left or (claim == "aud" and said["aud"] != self.exchange):
                raise _entra(
                    number,
                    f"No matching federated identity record found for presented assertion {what} "
                    f"'{said.get(claim)}'. Check your federated identity credential Subject, "
                    "Audience and Issuer against the presented assertion.",
                )
        try:
            self.relying.checked(token, issuer=said["iss"], audiences=[said["aud"]])
        except NotAccepted as refused:
            number, text = _WORDS[refused.why]
            raise _entra(number, text.format(issuer=said["iss"])) from None

    def _exchange(self, form: dict[str, str]) -> dict[str, Any]:
        service = form.get("service", "")
        registry = self._registries.get(service)
        if registry is None:
            raise _acr(404, "NAME_UNKNOWN", "registry not found")
        if registry.firewall:
            raise _acr(
                403,
                "DENIED",
                "client with IP '203.0.113.7' is not allowed access. Refer "
                "https://aka.ms/acr/firewall to grant access.",
            )
        if form.get("grant_type") != "access_token":
            raise _acr(400, "UNSUPPORTED", "grant type is not supported")
        told = "authentication required, visit https://aka.ms/acr/authorization for more."
        try:
            claims = jwt.decode(
                form.get("access_token", ""), self._public, ["RS256"], audience=AUDIENCE
            )
        except jwt.InvalidTokenError:
            raise _acr(401, "UNAUTHORIZED", told) from None
        same = registry.tenant == claims["tid"] == form.get("tenant", claims["tid"])
        if not same or claims["appid"] not in registry.roles:
            raise _acr(401, "UNAUTHORIZED", told)
        now = int(time.time())
        login = {"iss": "Azure Container Registry", "aud": service, "jti": str(uuid.uuid4())}
        login |= {"iat": now, "grant_type": "refresh_token", "appid": claims["appid"]}
        if self.life is not None:
            login["exp"] = int(now + self.life)
        token = jwt.encode(login, self._key, "RS256", headers={"kid": "acr"})
        self.logins.add(token)
        if self.on_login is not None:
            self.on_login(service, token)
        return {"refresh_token": token}

    def _bearer(self, form: dict[str, str]) -> dict[str, Any]:
        """What a registry's own client has its login exchanged for."""
        if form.get("grant_type") != "refresh_token":
            raise _acr(400, "UNSUPPORTED", "grant type is not supported")
        try:
            jwt.decode(
                form.get("refresh_token", ""), self._public, ["RS256"], audience=form.get("service")
            )
        except jwt.InvalidTokenError:
            raise _acr(401, "UNAUTHORIZED", "authentication required") from None
        claims = {"aud": form["service"], "exp": int(time.time()) + 4500, "scope": form["scope"]}
        return {"access_token": jwt.encode(claims, self._key, "RS256")}

    def lists(self, authorization: str) -> list[str] | None:
        """The catalogue, for who bears a token for it; None for others."""
        try:
            claims = jwt.decode(
                authorization.removeprefix("Bearer "),
                self._public,
                ["RS256"],
                options={"verify_aud": False},
            )
        except jwt.InvalidTokenError:
            return None
        return ["team/train"] if "registry:catalog:*" in claims["scope"] else None


class _Handler(Handler):
    def do_GET(self) -> None:
        """What Microsoft's clients look up before they sign in, and a registry's catalogue."""
        url = urlsplit(self.path)
        base = f"https://{self.headers.get('X-Asked-Of', SIGN_INS[0])}"
        if url.path.endswith("/.well-known/openid-configuration"):
            tenant = url.path.split("/")[1]
            told: dict[str, Any] = {
                "issuer": f"{base}/{tenant}/v2.0",
                "authorization_endpoint": f"{base}/{tenant}/oauth2/v2.0/authorize",
                "token_endpoint": f"{base}/{tenant}/oauth2/v2.0/token",
                "device_authorization_endpoint": f"{base}/{tenant}/oauth2/v2.0/devicecode",
            }
        elif url.path == "/acr/v1/_catalog":
            names = cast(FakeAzure, self.server.provider).lists(
                self.headers.get("Authorization", "")
            )
            if names is None:
                host = self.headers.get("X-Asked-Of", "")
                where = f'Bearer realm="https://{host}/oauth2/token",service="{host}"'
                self.say(401, b"{}", {"WWW-Authenticate": f'{where},scope="registry:catalog:*"'})
                return
            told = {"repositories": names}
        else:
            self.say(404, b"{}")
            return
        self.say(200, json.dumps(told).encode())


FakeAzure.handler = _Handler
