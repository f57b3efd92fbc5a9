"""Access tokens of Google for a service account: google-auth signs and reads, and what goes
out goes out by `outbound`.

google-auth's own transports follow redirects, wait between tries as long as they like and
read proxies and `.netrc` around them; ours makes one request to one address by a deadline.
"""

from __future__ import annotations

import threading
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from functools import cache
from typing import Any
from urllib.parse import urlsplit

from . import outbound, provider_calls
from .google_key import TOKEN_URI, UNIVERSE, ServiceAccountKey
from .problems import Failed
from .provider_calls import Foreign

MAX_ANSWER = 100_000  # bytes; a token has some 1,000
MOST_LIFE = timedelta(hours=1)  # Google says an hour, and no more is believed


class Fault(provider_calls.Fault):
    """What Google refused: its `error` and `error_description` ("" where none was told),
    neither of which travels further, and the HTTP status. `ahead` is by how many seconds our
    clock is ahead of the answer's, 0.0 where that isn't known."""

    def __init__(self, error: str, text: str, status: int, ahead: float = 0.0) -> None:
        super().__init__(error)
        self.error = error
        self.text = text
        self.status = status
        self.ahead = ahead

    @property
    def throttled(self) -> bool:
        return super().throttled or self.error in {"rate_limit_exceeded", "quota_exceeded"}

    @property
    def broken(self) -> bool:
        """Whether it is trouble of Google's own (RFC 6749, 4.1.2.1)."""
        return super().broken or self.error in {
            *("internal_failure", "server_error", "temporarily_unavailable"),
        }


def access_token(
    key: ServiceAccountKey, scope: str, *, stand_in: str = "", deadline: float
) -> tuple[str, datetime]:
    """`(token, when it ends)` of a service account; blocking, until `deadline`
    (`time.monotonic()` seconds) at most. `stand_in` is an origin that answers for Google.

    An outage is tried once more. Raises `Fault`, `provider_calls.Foreign`,
    `outbound.Unreachable`.
    """
    return provider_calls.tried(lambda until: _attempt(key, scope, stand_in, until), deadline)


def prepare() -> None:
    """Load what a call needs, which takes its time the first time."""
    with _preparing:
        _library()


_preparing = threading.Lock()


def _attempt(
    key: ServiceAccountKey, scope: str, stand_in: str, deadline: float
) -> tuple[str, datetime]:
    credentials, transport = _library()
    # Nothing else of what was pasted gets there.
    info = {
        "type": "service_account",
        "client_email": key.email,
        "private_key": key.private_key,
        "private_key_id": key.key_id,
        "token_uri": TOKEN_URI,
        "universe_domain": UNIVERSE,
    }
    asked = credentials.from_service_account_info(info, scopes=[scope])
    try:
        asked.refresh(transport(stand_in, deadline))
    except (Fault, Foreign, outbound.Unreachable):
        raise
    except Exception:  # of an answer that google-auth can't read; its text may hold a token
        raise Foreign from None
    token = provider_calls.password(asked.token)
    ends = asked.expiry.replace(tzinfo=UTC) if asked.expiry else None
    return token, provider_calls.believed(ends, MOST_LIFE)


@cache
def _library() -> tuple[Any, Any]:
    """google-auth's credentials and our transport for it, imported late: most commands need
    none of it."""
    from google.auth import transport
    from google.oauth2.service_account import Credentials

    class Response(transport.Response):  # type: ignore[misc]
        def __init__(self, answer: outbound.Answer) -> None:
            self._answer = answer

        @property
        def status(self) -> int:
            return self._answer.status

        @property
        def headers(self) -> Mapping[str, str]:
            return dict(self._answer.headers.items())

        @property
        def data(self) -> bytes:
            return self._answer.body

    class Request(transport.Request):  # type: ignore[misc]
        """One request to Google's token endpoint, or to what stands in for it.

        Only a 200 is given back: on others google-auth would try again in its own time.
        """

        def __init__(self, stand_in: str, deadline: float) -> None:
            self._stand_in = stand_in.rstrip("/")
            self._deadline = deadline

        def __call__(
            self,
            url: str,
            method: str = "GET",
            body: bytes | None = None,
            headers: Mapping[str, str] | None = None,
            timeout: float | None = None,
            **rest: Any,
        ) -> Response:
            if (url, method) != (TOKEN_URI, "POST") or rest:
                raise AssertionError("A service account signs in at one place, in one way.")
            there = self._stand_in + urlsplit(url).path if self._stand_in else url
            answer = provider_calls.answered(
                there, body or b"", dict(headers or {}), self._deadline, MAX_ANSWER
            )
            if answer.status != 200:
                raise fault_of(answer)
            return Response(answer)

    return Credentials, Request


def clock_skew(fault: Fault) -> Failed:
    """That Google refuses what is of another time by its own clock."""
    return Failed(
        "clock_skew",
        f"This server's clock is {_off(fault.ahead)} Google's, so Google refuses its requests.",
        "Ask staff to set the server's clock (NTP).",
        retry_after=5,
    )


def _off(seconds: float) -> str:
    """How a clock that is so many seconds ahead stands to another."""
    minutes = round(abs(seconds) / 60)
    if minutes < 1:
        return "minutes away from"
    much = f"{minutes} minutes" if minutes < 120 else f"{round(minutes / 60):,} hours"
    return f"{much} {'ahead of' if seconds > 0 else 'behind'}"


def fault_of(answer: outbound.Answer) -> Fault:
    """What an answer of Google's refuses, as its sign-in or its other APIs tell it."""
    told = provider_calls.document(answer)
    if told is None:
        return Fault("", "", answer.status)
    error, text = told.get("error"), told.get("error_description")
    if isinstance(error, dict):  # as Google's other APIs tell it
        text, error = error.get("message"), error.get("status")
    return Fault(_short(error), _short(text), answer.status, _ahead(answer))


def _ahead(answer: outbound.Answer) -> float:
    try:
        then = parsedate_to_datetime(answer.headers.get("Date", ""))
        return (datetime.now(UTC) - then).total_seconds()
    except (TypeError, ValueError, IndexError):  # none, no date, or one without a zone
        return 0.0


def _short(text: Any) -> str:
    return text[:500] if isinstance(text, str) else ""
