"""What the calls of every cloud's own service have in common: an outage is tried once more,
and no more is believed of an answer than that it can be used.
"""

from __future__ import annotations

import json
import random
import time
from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any, TypeVar

from . import outbound
from .problems import NO_LOGIN, Failed

ATTEMPTS = 2
FIRST_ATTEMPT = 3.2  # seconds; the second has what is left
UNSTATED_LIFE = timedelta(minutes=15)  # counted on where a login doesn't say how long it lasts

_Given = TypeVar("_Given")


class Fault(Exception):
    """What a provider refused, with the HTTP status: its own kinds say why."""

    status: int

    @property
    def throttled(self) -> bool:
        return self.status == 429

    @property
    def broken(self) -> bool:
        """Whether it is trouble of the provider's own."""
        return self.status >= 500


class Foreign(Exception):
    """An answer came, and isn't in the provider's language."""


def tried(attempt: Callable[[float], _Given], deadline: float) -> _Given:
    """What `attempt(until)` gives, tried once more after an outage; blocking, until
    `deadline` (`time.monotonic()` seconds) at most."""
    for number in range(1, ATTEMPTS + 1):
        last = number == ATTEMPTS
        until = deadline if last else min(deadline, time.monotonic() + FIRST_ATTEMPT)
        try:
            return attempt(until)
        except (outbound.Unreachable, Fault) as error:
            passing = not isinstance(error, Fault) or error.throttled or error.broken
            pause = random.uniform(0.1, 0.4)  # noqa: S311
            if last or not passing or time.monotonic() + pause >= deadline:
                raise
            time.sleep(pause)
    raise AssertionError("unreachable")


def answered(
    url: str, content: bytes, headers: Mapping[str, str], deadline: float, most: int
) -> outbound.Answer:
    """One answer, of `most` bytes; raises `Foreign`, `outbound.Unreachable`."""
    try:
        return outbound.ask_provider(url, content, headers, deadline, most)
    except outbound.Unreachable:
        raise
    except Failed:
        raise Foreign from None


def document(answer: outbound.Answer) -> dict[str, Any] | None:
    """The object in an answer; None where there is none."""
    try:
        told = json.loads(answer.body)
    except (ValueError, RecursionError):
        return None
    return told if isinstance(told, dict) else None


def password(token: Any) -> str:
    """A token that can be a password, which goes through headers, environments and files;
    raises `Foreign`."""
    if not isinstance(token, str) or not token or not token.isascii() or not token.isprintable():
        raise Foreign
    return token


def believed(ends: datetime | None, most: timedelta) -> datetime:
    """When a login ends that says so, or doesn't; within `most` from now."""
    now = datetime.now(UTC)
    return now + min(ends - now if ends and ends > now else UNSTATED_LIFE, most)


def unreachable(what: str, where: str) -> Failed:
    """That no login came, for a reason that may pass; `where` is what was asked."""
    return Failed(
        "registry_unreachable",
        what,
        f"Wait: {NO_LOGIN}; if it lasts, check this server's way to {where}.",
        retry_after=5,
    )


def unanswered(error: outbound.Unreachable, who: str, began: float) -> str:
    """Why no answer came from a provider that was asked at `began` (`time.monotonic()`)."""
    if error.kind != "timeout":
        return error.what
    return f"{who} didn’t answer within {max(1.0, time.monotonic() - began):.0f} seconds."


def throttled(who: str, whose: str = "") -> Failed:
    """That a provider is asked too often."""
    what = f"{who} answers too many requests{whose} already."
    return Failed("throttled", what, "Wait: it is asked again by itself.", retry_after=5)
