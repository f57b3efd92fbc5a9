"""A registry's login for an application of Microsoft Entra: two calls, by one deadline.

What proves the application, a secret of its own or a JWT that it trusts, goes to its cloud's
sign-in alone; what comes back goes to the one registry that is asked for, which gives a login
of its own for it (a «refresh token»).
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import quote, urlencode

from . import provider_calls
from .azure_hosts import AzureHost
from .provider_calls import Foreign
from .short_lived import end_of_jwt

MAX_ANSWER = 100_000  # bytes; tokens have a few thousand
# azure-containerregistry's own for all clouds; those for Azure's management can be switched
# off in a registry.
SCOPE = "https://containerregistry.azure.net/.default"
MOST_LIFE = timedelta(hours=3)  # Azure says about as much, and no more is believed

_HEADERS = {"Content-Type": "application/x-www-form-urlencoded", "Accept": "application/json"}
_AADSTS = re.compile(r"AADSTS([0-9]{4,9})(?![0-9])", re.ASCII)


# RFC 7523, 2.2.
_JWT_BEARER = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"


@dataclass(frozen=True)
class Application:
    """An application of a tenant, and the `proof` of it that the sign-in's form has, which is
    shown nowhere: `by_secret` or `by_assertion`."""

    tenant: str
    client: str
    proof: Mapping[str, str] = field(repr=False)


def by_secret(secret: str) -> Mapping[str, str]:
    """Proof by a secret of the application's own."""
    return {"client_secret": secret}


def by_assertion(token: str) -> Mapping[str, str]:
    """Proof by a JWT of an issuer that the application trusts (a federated credential)."""
    return {"client_assertion_type": _JWT_BEARER, "client_assertion": token}


class Fault(provider_calls.Fault):
    """What was refused: by the sign-in (`at` "entra") or the registry ("registry"), its reason
    and text ("" where none was told), neither of which travels further, and the status."""

    def __init__(self, at: str, reason: str, text: str, status: int) -> None:
        super().__init__(at, reason)
        self.at = at
        self.reason = reason
        self.text = text
        self.status = status

    @property
    def throttled(self) -> bool:
        return super().throttled or self.reason in {"90055", "50196"}

    @property
    def broken(self) -> bool:
        """Whether it is trouble of Azure's own."""
        return super().broken or self.reason in {"90033", "90006", "90012", "90024"}


class NotAzure(Foreign):
    """`at` as of `Fault`."""

    def __init__(self, at: str) -> None:
        super().__init__(at)
        self.at = at


def refresh_token(
    application: Application, host: AzureHost, authority: str, *, stand_in: str, deadline: float
) -> tuple[str, datetime]:
    """`(token, when it ends)` of a registry, for which `authority` is its host; blocking,
    until `deadline` (`time.monotonic()` seconds) at most. `stand_in` is an origin that
    answers for Azure.

    An outage is tried once more. Raises `Fault`, `NotAzure`, `outbound.Unreachable`.
    """
    sign_in = stand_in.rstrip("/") or f"https://{host.sign_in_host}"
    access_token = _token(
        "entra",
        f"{sign_in}/{quote(application.tenant)}/oauth2/v2.0/token",
        {
            "grant_type": "client_credentials",
            "client_id": application.client,
            "scope": SCOPE,
            **application.proof,
        },
        "access_token",
        deadline,
    )
    registry = stand_in.rstrip("/") or f"https://{authority}"
    token = _token(
        "registry",
        f"{registry}/oauth2/exchange",
        {
            "grant_type": "access_token",
            "service": authority,
            "tenant": application.tenant,
            "access_token": access_token,
        },
        "refresh_token",
        deadline,
    )
    ends = end_of_jwt(token)
    said = datetime.fromtimestamp(ends, UTC) if ends else None
    return token, provider_calls.believed(said, MOST_LIFE)


def _token(at: str, url: str, form: dict[str, str], name: str, deadline: float) -> str:
    """The token of this name that is given for a form."""
    content = urlencode(form).encode()

    def attempt(until: float) -> str:
        answer = provider_calls.answered(url, content, _HEADERS, until, MAX_ANSWER)
        told = provider_calls.document(answer)
        if answer.status != 200:
            raise _fault(at, told, answer.status)
        return provider_calls.password((told or {}).get(name))

    try:
        return provider_calls.tried(attempt, deadline)
    except Foreign:
        raise NotAzure(at) from None


def _fault(at: str, told: dict[str, Any] | None, status: int) -> Fault:
    """Entra tells numbers, and a sentence that begins with one; a registry a list of errors."""
    if told is None:
        return Fault(at, "", "", status)
    errors = told.get("errors")
    if isinstance(errors, list) and errors and isinstance(errors[0], dict):
        return Fault(at, _short(errors[0].get("code")), _short(errors[0].get("message")), status)
    text = _short(told.get("error_description"))
    numbers = told.get("error_codes")
    if (
        isinstance(numbers, list)
        and numbers
        and type(numbers[0]) is int
        and (0 < numbers[0] < 10**9)
    ):
        return Fault(at, str(numbers[0]), text, status)
    found = _AADSTS.search(text)
    return Fault(at, found[1] if found else _short(told.get("error")), text, status)


def _short(text: Any) -> str:
    return text[:1000] if isinstance(text, str) else ""
