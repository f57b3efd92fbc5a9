"""Access tokens of Google for what this server says of an entry: Google's Security Token
Service, and a service account's token from IAM Credentials.

Two calls by one deadline. Neither the JWT nor a token gets into anything that is told.
"""

from __future__ import annotations

import json
import re
import time
from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import urlencode, urlsplit

from . import google_oauth, outbound, provider_calls
from .google_oauth import MAX_ANSWER, MOST_LIFE, Fault
from .google_pools import PoolProvider
from .private import private
from .problems import Failed
from .provider_calls import Foreign

# cloud.google.com/iam/docs/reference/sts/rest/v1/TopLevel/token
EXCHANGE = "https://sts.googleapis.com/v1/token"
# cloud.google.com/iam/docs/reference/credentials/rest/v1/projects.serviceAccounts
ACT_AS = "https://iamcredentials.googleapis.com/v1/projects/-/serviceAccounts/{email}:generateAccessToken"
# What generateAccessToken asks for, and nothing that opens data; google-auth asks for it too.
ACTING = "https://www.googleapis.com/auth/iam"
_LIFE = f"{int(MOST_LIFE.total_seconds())}s"

_GRANT = "urn:ietf:params:oauth:grant-type:token-exchange"
_JWT = "urn:ietf:params:oauth:token-type:jwt"
_ACCESS = "urn:ietf:params:oauth:token-type:access_token"
_STS, _IAM = "Google's Security Token Service", "Google's IAM Credentials"
# As Google writes what it keeps time by: protobuf's Timestamp in JSON.
_TIME = re.compile(r"[0-9]{4}-[01][0-9]-[0-3][0-9]T[0-9:]{8}(?:\.[0-9]{1,9})?(?:Z|[+-][0-9:]{5})")

Token = tuple[str, datetime]


def federated(
    provider: PoolProvider, jwt: str, scope: str, *, stand_in: str, deadline: float
) -> Token:
    """`(token, when it ends)` for the identity that `jwt` proves to the provider; blocking,
    until `deadline` (`time.monotonic()` seconds) at most. Raises `Failed`."""
    form = {
        "grant_type": _GRANT,
        "audience": provider.target,
        "scope": scope,
        "requested_token_type": _ACCESS,
        "subject_token": jwt,
        "subject_token_type": _JWT,
    }
    headers = {"Content-Type": "application/x-www-form-urlencoded"}

    def told(fault: Fault) -> Failed:
        return _not_exchanged(fault, provider)

    call = _Call(_STS, EXCHANGE, urlencode(form).encode(), headers, told)
    return call.token(_exchanged, stand_in, deadline)


def acting_as(email: str, token: str, scope: str, *, stand_in: str, deadline: float) -> Token:
    """The same for a service account that a federated token may act as."""
    content = json.dumps({"scope": [scope], "lifetime": _LIFE}).encode()
    headers = {"Content-Type": "application/json", "Authorization": f"Bearer {token}"}

    def told(fault: Fault) -> Failed:
        return _not_acting(fault, email)

    call = _Call(_IAM, ACT_AS.format(email=email), content, headers, told)
    return call.token(_generated, stand_in, deadline)


class _Call:
    """One POST to one host of Google's, tried once more after an outage."""

    def __init__(
        self,
        who: str,
        url: str,
        content: bytes,
        headers: Mapping[str, str],
        told: Callable[[Fault], Failed],
    ) -> None:
        self._who, self._url, self._told = who, url, told
        self._content, self._headers = content, headers

    def token(
        self, read: Callable[[dict[str, Any]], Token], stand_in: str, deadline: float
    ) -> Token:
        url = stand_in.rstrip("/") + urlsplit(self._url).path if stand_in else self._url
        began = time.monotonic()
        try:
            return provider_calls.tried(lambda until: read(self._answered(url, until)), deadline)
        except Fault as fault:
            raise self._refused(fault) from None
        except Foreign:
            raise self._unreachable(f"{self._who} answered what isn't its language.") from None
        except outbound.Unreachable as error:
            what = provider_calls.unanswered(error, self._who, began)
            raise self._unreachable(what) from None

    def _answered(self, url: str, until: float) -> dict[str, Any]:
        answer = provider_calls.answered(url, self._content, self._headers, until, MAX_ANSWER)
        if answer.status != 200:
            raise google_oauth.fault_of(answer)
        found = provider_calls.document(answer)
        if found is None:
            raise Foreign
        return found

    def _refused(self, fault: Fault) -> Failed:
        text = fault.text.lower()
        if fault.throttled:
            return provider_calls.throttled(self._who)
        if fault.broken:
            return self._unreachable(f"{self._who} has trouble of its own.")
        if "has not been used" in text or "service_disabled" in text:
            return Failed(
                "access_denied",
                f"{self._who} is switched off in the project, so it gives no login.",
                "Enable the APIs as the entry's page shows it, wait a few minutes, and try again.",
            )
        return self._told(fault)

    def _unreachable(self, what: str) -> Failed:
        return provider_calls.unreachable(what, urlsplit(self._url).netloc)


# --- answers --------------------------------------------------------------------------------


def _exchanged(told: dict[str, Any]) -> Token:
    seconds = told.get("expires_in")
    if isinstance(seconds, str) and re.fullmatch(r"[0-9]{1,9}", seconds):
        seconds = int(seconds)
    if seconds is not None and (isinstance(seconds, bool) or not isinstance(seconds, int)):
        raise Foreign
    life = timedelta(seconds=min(seconds, 10**6)) if seconds and seconds > 0 else None
    ends = datetime.now(UTC) + life if life else None
    return _token(told.get("access_token"), ends)


def _generated(told: dict[str, Any]) -> Token:
    said = told.get("expireTime")
    if not isinstance(said, str) or not _TIME.fullmatch(said):
        raise Foreign
    try:
        ends = datetime.fromisoformat(said)
    except ValueError:
        raise Foreign from None
    return _token(told.get("accessToken"), ends)


def _token(given: Any, ends: datetime | None) -> Token:
    return provider_calls.password(given), provider_calls.believed(ends, MOST_LIFE)


# --- refusals, in our words; Google's own never travel ---------------------------------------

_WAIT = "wait a minute or two, and try again."
_AGAIN = f"Compare pool and provider with the entry's page, {_WAIT}"


def _not_exchanged(fault: Fault, provider: PoolProvider) -> Failed:
    why = next((why for why, fits in _WHY.items() if fits(f"{fault.error}: {fault.text}")), "")
    known = f"Google knows the provider{private(f' {provider.name}')}, but"
    if why == "late":
        return google_oauth.clock_skew(fault)
    if why == "keys":
        return Failed(
            "issuer_unreachable",
            "Google couldn't read this server's keys, or doesn't have the one that signs now.",
            "Wait: it is asked again by itself. If it lasts, ask staff whether the issuer can be "
            "reached from outside; keys that were uploaded to the provider have to be uploaded "
            "anew.",
            retry_after=5,
        )
    if why == "unknown":
        return _identity(
            f"Google doesn't know the provider{private(f' {provider.name}')}: the pool or the "
            "provider isn't there, or is disabled or deleted.",
            "Set both up as the entry's page shows it. If they are there, compare the project's "
            f"number and both IDs; {_WAIT}",
        )
    if why == "condition":
        return _identity(
            f"{known} its attribute condition doesn't let this entry in.",
            f"Set the condition to the entry's subject, as the entry's page shows it; {_WAIT}",
        )
    if why == "mapping":
        return _identity(
            f"{known} its attribute mapping makes no subject of what this server says.",
            f"Set the mapping to google.subject=assertion.sub; {_WAIT}",
        )
    if why == "issuer":
        return _identity(
            f"{known} it's for another issuer than this server.",
            f"Set its issuer to the one that the entry's page shows; {_WAIT}",
        )
    if why == "audience":
        return _identity(
            f"{known} it allows other audiences only.",
            "Take its allowed audiences out, or add the audience that the entry's page shows; "
            f"{_WAIT}",
        )
    if fault.status in {400, 401, 403}:
        return _identity("Google doesn't accept what this server says of the entry.", _AGAIN)
    what = f"{_STS} refused the request ({fault.status})."
    return provider_calls.unreachable(what, urlsplit(EXCHANGE).netloc)


def _says(expression: str) -> Callable[[str], object]:
    return re.compile(expression, re.IGNORECASE | re.DOTALL).match


# By what public reports agree on. In this order, and from a sentence's beginning: what it
# quotes, such as the name of a provider, may have any word in it.
_WHY: Mapping[str, Callable[[str], object]] = {
    "unknown": _says(r"invalid_target|invalid_request: .{0,40}\baudience\b"),
    "audience": _says(r"[a-z_]*: (?:the )?audience\b"),
    "issuer": _says(r"[a-z_]*: (?:the )?issuer\b"),
    "condition": _says(r".*\battribute condition\b"),
    "mapping": _says(r".*(?:\bmapped attribute\b|\battribute mapping\b|\bgoogle\.subject\b)"),
    "late": _says(
        r".*\b(?:stale|expired|not yet valid|in the future|timeframe|issued at|used too)\b"
    ),
    "keys": _says(r".*\b(?:connecting to|signature|public keys?|jwks?|key id|verify)\b"),
}


def _identity(what: str, fix: str) -> Failed:
    return Failed("identity_refused", what, fix)


def _not_acting(fault: Fault, email: str) -> Failed:
    text, whose = fault.text.lower(), private(f" {email}")
    if fault.error == "UNAUTHENTICATED" or fault.status == 401:
        what = f"{_IAM} doesn't take yet what {_STS} gave."
        return provider_calls.unreachable(what, urlsplit(ACT_AS).netloc)
    if "disabled" in text:
        return Failed(
            "access_denied",
            f"Google accepts this entry, but the service account{whose} is disabled.",
            "Enable it in IAM & Admin, Service accounts, or enter another in the entry.",
            mended_elsewhere=True,
        )
    if fault.status == 404 or "not found" in text:
        return Failed(
            "access_denied",
            f"Google accepts this entry, but there is no service account{whose}.",
            "Create it as the entry's page shows it, or correct its e-mail in the entry.",
            mended_elsewhere=True,
        )
    if fault.status == 403:
        return Failed(
            "access_denied",
            f"Google accepts this entry, but doesn't let it act as the service account{whose}: the "
            "account isn't there, or the entry isn't a Workload Identity User of it.",
            "Grant roles/iam.workloadIdentityUser on the account as the entry's page shows it; "
            f"{_WAIT}",
        )
    if fault.status == 400:
        return Failed(
            "entry_unusable",
            f"Google doesn't take the service account's e-mail{whose} as it is.",
            "Compare it with IAM & Admin, Service accounts, and correct it in the entry.",
        )
    what = f"{_IAM} refused the request ({fault.status})."
    return provider_calls.unreachable(what, urlsplit(ACT_AS).netloc)
