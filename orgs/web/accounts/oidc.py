"""OpenID Connect: django-allauth's flow, with what it leaves to others to check.

It doesn't judge the issuer of a discovery document, an ID token's signature or nonce, nor
whether the user info is of the same person, and reads answers of any length.
"""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from typing import Any
from urllib.parse import urlencode

import jwt
import requests
from allauth.socialaccount.models import SocialAccount, SocialApp, SocialLogin, SocialToken
from allauth.socialaccount.providers.openid_connect.provider import OpenIDConnectProvider
from allauth.socialaccount.providers.openid_connect.views import OpenIDConnectOAuth2Adapter
from django.conf import settings
from django.http import HttpRequest, HttpResponse
from django.urls import reverse
from django.utils.crypto import constant_time_compare, get_random_string

from orgs import company
from orgs.outside import outside
from orgs.proxies import source_address
from orgs.registries import outbound
from orgs.registries.places import Places
from orgs.registries.problems import Failed
from orgs.registries.turns import turns
from orgs.services.tenancy import attempts
from orgs.services.tenancy.sso import Said

CALL_SECONDS = 5.0  # for one answer of the provider, however the bytes drip
MOST = 300_000  # bytes of an answer
REMEMBERED = 300.0  # seconds that a discovery document is good for
LEEWAY = 60  # seconds that its clock may be off
# Signed by a key that only the provider has; "none" and those of a shared secret aren't here.
ALGORITHMS = frozenset(
    f"{kind}{size}" for kind in ("RS", "PS", "ES") for size in (256, 384, 512)
) | {"EdDSA"}
_DISCOVERY = "/.well-known/openid-configuration"
_ENDPOINTS = ("authorization_endpoint", "token_endpoint", "jwks_uri")

PLACES = Places(6, "Many people are coming by their company's sign-in right now.", retry_after=3)
_discovered: dict[str, tuple[float, dict[str, Any]]] = {}


class WrongAnswer(requests.RequestException):
    """What a provider answered can't be believed; allauth takes it for a failed call. `why` is
    for who runs this server, in words of ours: what came stands nowhere."""

    def __init__(self, why: str) -> None:
        super().__init__(why)
        self.why = why


class Away(requests.RequestException):
    """A provider doesn't answer."""


class Calls:
    """What allauth uses of `requests`' sessions: one answer in all of a deadline, of a bounded
    length, no redirect; meanwhile neither a turn nor a connection is kept."""

    def __init__(self, request: HttpRequest | None) -> None:
        self._owner = attempts.source_of(source_address(request)) if request else "nobody"

    def __enter__(self) -> Calls:
        return self

    def __exit__(self, *_: object) -> None:
        """Nothing is kept open."""

    def get(self, url: str, headers: Mapping[str, str] | None = None) -> requests.Response:
        return self.request("GET", url, headers=headers)

    def request(
        self,
        method: str,
        url: str,
        params: Mapping[str, str] | None = None,
        data: Mapping[str, str] | None = None,
        headers: Mapping[str, str] | None = None,
        auth: Any = None,
    ) -> requests.Response:
        """Raises `Away`, `WrongAnswer` and `places.Full`."""
        if params or not company.is_address(url):
            raise WrongAnswer("an address that isn't asked")
        asked = requests.Request(method, url, headers=dict(headers or {}), auth=auth).prepare()
        sent = {"Accept": "application/json"} | {k: str(v) for k, v in asked.headers.items()}
        sent.pop("Content-Length", None)
        content = urlencode(data).encode() if data else b""
        if content:
            sent["Content-Type"] = "application/x-www-form-urlencoded"
        # The turn is given up before a place is waited for, or who has one couldn't go on.
        with turns.given_up(), PLACES.taken(self._owner, wait=2.0), outside():
            deadline = time.monotonic() + CALL_SECONDS
            try:
                answer = outbound.ask_provider(url, content, sent, deadline, MOST + 1, method)
            except Failed:
                raise Away from None
        if answer.status >= 500:
            raise Away
        if len(answer.body) > MOST or 300 <= answer.status < 400:
            raise WrongAnswer("an answer that is too long, or leads elsewhere")
        response = requests.Response()
        response.status_code = answer.status
        response.headers["content-type"] = answer.headers.get("Content-Type", "")
        response._content = answer.body
        return response


def fetched(calls: Calls, url: str, headers: Mapping[str, str] | None = None) -> dict[str, Any]:
    """A JSON object; raises `Away`, `WrongAnswer`."""
    response = calls.get(url, headers)
    try:
        content = json.loads(response.content) if response.status_code == 200 else None
    except (ValueError, RecursionError):
        content = None
    if not isinstance(content, dict):
        raise WrongAnswer(f"status {response.status_code}, or no JSON object")
    return content


def discovered(calls: Calls, issuer: str) -> dict[str, Any]:
    """What the issuer says of itself, and of no other; raises `Away`, `WrongAnswer`."""
    since, content = _discovered.get(issuer, (0.0, {}))
    if content and time.monotonic() - since < REMEMBERED:
        return content
    content = fetched(calls, issuer.removesuffix("/") + _DISCOVERY)
    if content.get("issuer") != issuer:
        raise WrongAnswer("the discovery document is another issuer's than SSO_OIDC_ISSUER")
    further = [content["userinfo_endpoint"]] if content.get("userinfo_endpoint") else []
    if not all(map(company.is_address, [*map(content.get, _ENDPOINTS), *further])):
        raise WrongAnswer("the discovery document lacks an address, or has one that isn't asked")
    _discovered.clear()  # there is one issuer
    _discovered[issuer] = (time.monotonic(), content)
    return content


class Oidc(OpenIDConnectProvider):
    """The one that the operator set."""

    def __init__(self, request: HttpRequest | None, app: SocialApp) -> None:
        super().__init__(request, app=app)
        found = company.provider(company.OIDC)
        assert found is not None
        self.company = found

    @classmethod
    def of(cls, request: HttpRequest | None) -> Oidc:
        app = SocialApp(
            provider=cls.id,
            provider_id=settings.SSO_OIDC_ISSUER,
            name=settings.SSO_OIDC_NAME,
            client_id=settings.SSO_OIDC_CLIENT_ID,
            secret=settings.SSO_OIDC_CLIENT_SECRET,
            settings={
                "server_url": settings.SSO_OIDC_ISSUER,
                "oauth_pkce_enabled": True,
                "scope": settings.SSO_OIDC_SCOPES,
            },
        )
        return cls(request, app)

    def begin(self, request: HttpRequest, then: str) -> HttpResponse:
        """On to the provider; nothing of how is the visitor's to say. Raises as `Calls`."""
        nonce = get_random_string(32)
        return self.redirect(
            request, "login", next_url=then, auth_params={"nonce": nonce}, nonce=nonce
        )

    def get_oauth2_adapter(self, request: HttpRequest) -> Answers:
        return Answers(request)

    def sociallogin_from_response(
        self, request: HttpRequest, response: Mapping[str, Any]
    ) -> SocialLogin:
        """Of claims that were judged. Nothing of them is stored but whose they are."""
        login = SocialLogin(
            account=SocialAccount(provider=self.company.key, uid=subject(response.get("sub"))),
            provider=self,
        )
        login.said = Said(
            provider=self.company,
            subject=login.account.uid,
            email=_text(response.get("email")),
            verified=_verified(response),
            name=_text(response.get("name")),
            groups=groups(response.get(settings.SSO_OIDC_GROUPS_CLAIM)),
        )
        login.nonce = response.get("nonce")
        return login


class Answers(OpenIDConnectOAuth2Adapter):
    """What comes back from the provider."""

    def __init__(self, request: HttpRequest) -> None:
        super().__init__(request, settings.SSO_OIDC_ISSUER)
        self.calls = Calls(request)

    @property
    def openid_config(self) -> dict[str, Any]:
        return discovered(self.calls, settings.SSO_OIDC_ISSUER)

    @property
    def basic_auth(self) -> bool:
        """How the secret is sent; a document without a word on it means this (Discovery, 3)."""
        methods = self.openid_config.get("token_endpoint_auth_methods_supported")
        return "client_secret_post" not in (methods or [])

    def get_callback_url(self, request: HttpRequest, app: SocialApp) -> str:
        """By our own name, never by what a Host header says."""
        return settings.BASE_URL + reverse("company_callback")

    def parse_token(self, data: Mapping[str, Any]) -> SocialToken:
        if not isinstance(data["access_token"], str):
            raise WrongAnswer("an access token that isn't text")
        return SocialToken(token=data["access_token"])

    def complete_login(
        self, request: HttpRequest, app: SocialApp, token: SocialToken, **given: Any
    ) -> SocialLogin:
        claims = self._judged(given["response"].get("id_token"))
        if endpoint := self.openid_config.get("userinfo_endpoint"):
            bearer = {"Authorization": f"Bearer {token.token}"}
            further = fetched(self.calls, endpoint, bearer)
            if further.get("sub") != claims["sub"]:
                raise WrongAnswer("the user info is another person's")
            # An address and the word on it belong together: of one answer, not of two.
            if "email_verified" in claims and "email" in claims:
                further.pop("email", None)
                further.pop("email_verified", None)
            elif "email" in further:
                claims.pop("email", None)
                claims.pop("email_verified", None)
            claims = further | claims
        return self.get_provider().sociallogin_from_response(request, claims)

    def _judged(self, token: Any) -> dict[str, Any]:
        """The claims of an ID token: signed by the issuer, for us, now. Raises `WrongAnswer`."""
        try:
            algorithm = jwt.get_unverified_header(token)["alg"]
            if algorithm not in ALGORITHMS:
                raise WrongAnswer("the ID token isn't signed by a key of the provider's alone")
            claims = jwt.decode(
                token,
                key=self._key(token).key,
                algorithms=[algorithm],
                issuer=settings.SSO_OIDC_ISSUER,
                audience=settings.SSO_OIDC_CLIENT_ID,
                leeway=LEEWAY,
                options={"require": ["iss", "sub", "aud", "exp", "iat"]},
            )
        except jwt.PyJWTError as error:
            # «InvalidAudienceError», «ExpiredSignatureError»: its text may quote what came
            raise WrongAnswer(f"the ID token: {type(error).__name__}") from None
        except (ValueError, TypeError, KeyError, AttributeError, RecursionError):
            raise WrongAnswer("the ID token or the keys can't be read") from None
        several = isinstance(claims["aud"], list) and len(claims["aud"]) > 1
        if claims.get("azp", None if several else settings.SSO_OIDC_CLIENT_ID) != (
            settings.SSO_OIDC_CLIENT_ID
        ):
            raise WrongAnswer("the ID token was made for another client (azp)")
        return claims

    def _key(self, token: str) -> jwt.PyJWK:
        header = jwt.get_unverified_header(token)
        keys = fetched(self.calls, self.openid_config["jwks_uri"])["keys"]
        fitting = [key for key in keys if header.get("kid") in (None, key.get("kid"))]
        (key,) = fitting if header.get("kid") is None else fitting[:1]
        return jwt.PyJWK(key, algorithm=header["alg"])


def is_ours(login: SocialLogin) -> bool:
    """Whether the answer is to what this very session asked."""
    if login.said.provider.kind == company.SAML:  # its answer names the request itself
        return "nonce" not in login.state
    asked = login.state.get("nonce")
    return (
        isinstance(asked, str)
        and isinstance(login.nonce, str)
        and constant_time_compare(asked, login.nonce)
    )


def subject(given: Any) -> str:
    """How a provider names somebody, as it is stored; raises `WrongAnswer`."""
    if not isinstance(given, str) or not 1 <= len(given) <= 191 or not given.isprintable():
        raise WrongAnswer("the subject isn't text of 1 to 191 characters")
    return given


def groups(given: Any) -> tuple[str, ...]:
    """What a provider names as somebody's groups; what isn't text is left out."""
    listed = given if isinstance(given, list) else [given]
    return tuple(one for one in listed if isinstance(one, str))[:10_000]


def _text(given: Any) -> str:
    return given if isinstance(given, str) else ""


def _verified(claims: Mapping[str, Any]) -> bool | None:
    """Exactly true is its word that it is; anything else that stands there is that it isn't."""
    return claims["email_verified"] is True if "email_verified" in claims else None
