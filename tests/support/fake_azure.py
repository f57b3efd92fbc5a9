"""A fake Azure on loopback: the sign-in of its clouds, and the login endpoints of registries.

A client secret is let in only for its own application of its own tenant, in time, for the
registries' audience; a registry gives a login of its own for an access token that this
sign-in signed, for that audience and tenant, by who has a role there. It answers and refuses
in Azure's words, collected from public reports. `tests/registries/test_azure_acr.py` holds it to
azure-identity and azure-containerregistry, which talk to it unchanged.
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

AUDIENCE = "https://containerregistry.azure.net"
TOKEN_SECONDS, LOGIN_SECONDS = 3599, 3 * 3600
SIGN_INS = ("login.microsoftonline.com", "login.chinacloudapi.cn", "login.microsoftonline.us")


@dataclass
class _Application:
    tenant: str
    # value → when it ends, in seconds since the epoch
    secrets: dict[str, float] = field(default_factory=dict)
    enabled: bool = True


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


class FakeAzure(Loopback):
    """`with FakeAzure() as azure`: no tenant has anything yet.

    `life` is that of a registry's login in seconds, None for a token that doesn't say.
    `on_login` is given (registry, login).
    """

    def __init__(self) -> None:
        super().__init__()
        self.calls: list[Call] = []
        self.logins: set[str] = set()
        self.life: float | None = LOGIN_SECONDS
        self.on_login: Callable[[str, str], object] | None = None
        self.conditional_access = False
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
        if form.get("grant_type") != "client_credentials" or not form.get("client_secret"):
            raise _entra(7000218, "The request body must contain: 'client_secret'.")
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
