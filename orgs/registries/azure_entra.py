"""A registry's login for an application of Microsoft Entra: two calls, by one deadline.

The application's secret goes to its cloud's sign-in alone; what comes back goes to the one
registry that is asked for, which gives a login of its own for it (a «refresh token»).
"""

from __future__ import annotations

import base64
import json
import random
import re
import time
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import quote, urlencode

from . import outbound
from .azure_hosts import AzureHost
from .problems import Failed

ATTEMPTS = 2
FIRST_ATTEMPT = 3.0  # seconds, of either call; a second has what is left
MAX_ANSWER = 100_000  # bytes; tokens have a few thousand
# azure-containerregistry's own for all clouds; those for Azure's management can be switched
# off in a registry.
SCOPE = "https://containerregistry.azure.net/.default"
# Azure says about three hours, and no more is believed. What isn't said is counted on for no
# longer than this.
MOST_LIFE = timedelta(hours=3)
UNSTATED_LIFE = timedelta(minutes=15)

_AADSTS = re.compile(r"AADSTS([0-9]{4,9})(?![0-9])", re.ASCII)


@dataclass(frozen=True)
class Application:
    """An application of a tenant; `secret` is shown nowhere."""

    tenant: str
    client: str
    secret: str = field(repr=False)


class Fault(Exception):
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
        return self.status == 429 or self.reason in {"90055", "50196"}

    @property
    def broken(self) -> bool:
        """Whether it is trouble of Azure's own."""
        return self.status >= 500 or self.reason in {"90033", "90006", "90012", "90024"}


class NotAzure(Exception):
    """An answer came, and isn't in Azure's language; `at` as of `Fault`."""

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
    entra = _tried(
        "entra",
        f"{sign_in}/{quote(application.tenant)}/oauth2/v2.0/token",
        {
            "grant_type": "client_credentials",
            "client_id": application.client,
            "client_secret": application.secret,
            "scope": SCOPE,
        },
        deadline,
    )
    registry = stand_in.rstrip("/") or f"https://{authority}"
    given = _tried(
        "registry",
        f"{registry}/oauth2/exchange",
        {
            "grant_type": "access_token",
            "service": authority,
            "tenant": application.tenant,
            "access_token": _token(entra, "access_token", "entra"),
        },
        deadline,
    )
    token = _token(given, "refresh_token", "registry")
    now = datetime.now(UTC)
    ends = _end(token)
    life = ends - now if ends and ends > now else UNSTATED_LIFE
    return token, now + min(life, MOST_LIFE)


def _tried(at: str, url: str, form: dict[str, str], deadline: float) -> dict[str, Any]:
    for attempt in range(1, ATTEMPTS + 1):
        last = attempt == ATTEMPTS
        until = deadline if last else min(deadline, time.monotonic() + FIRST_ATTEMPT)
        try:
            return _attempt(at, url, form, until)
        except (outbound.Unreachable, Fault) as error:
            passing = not isinstance(error, Fault) or error.throttled or error.broken
            pause = random.uniform(0.1, 0.4)  # noqa: S311
            if last or not passing or time.monotonic() + pause >= deadline:
                raise
            time.sleep(pause)
    raise AssertionError("unreachable")


def _attempt(at: str, url: str, form: dict[str, str], deadline: float) -> dict[str, Any]:
    headers = {
        "Content-Type": "application/x-www-form-urlencoded",
        "Accept": "application/json",
    }
    try:
        answer = outbound.ask_provider(url, urlencode(form).encode(), headers, deadline, MAX_ANSWER)
    except outbound.Unreachable:
        raise
    except Failed:
        raise NotAzure(at) from None
    try:
        told = json.loads(answer.body)
    except (ValueError, RecursionError):
        told = None
    if answer.status == 200:
        if not isinstance(told, dict):
            raise NotAzure(at)
        return told
    raise _fault(at, told, answer.status)


def _fault(at: str, told: Any, status: int) -> Fault:
    """Entra tells numbers, and a sentence that begins with one; a registry a list of errors."""
    if not isinstance(told, dict):
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


def _token(told: dict[str, Any], name: str, at: str) -> str:
    token = told.get(name)
    # As a password it goes through headers, environments and files.
    if not isinstance(token, str) or not token or not token.isascii() or not token.isprintable():
        raise NotAzure(at)
    return token


def _end(token: str) -> datetime | None:
    """When a JWT says that it ends; None where it doesn't say. It isn't ours to verify."""
    try:
        payload = token.split(".")[1]
        told = json.loads(base64.urlsafe_b64decode(payload + "=" * (-len(payload) % 4)))
        return datetime.fromtimestamp(told["exp"], UTC)
    except (IndexError, ValueError, TypeError, KeyError, OverflowError, OSError, RecursionError):
        return None
