"""The day on which a secret ends, as its provider made it: read, and told of."""

from __future__ import annotations

import re
from datetime import date

from .problems import Problem, Refused

NAME, LABEL = "secret_expires_on", "Secret expires on"
# Days before the end on which org admins are reminded.
REMINDED = (30, 14, 7, 1)
_DAY = re.compile(r"(\d{4})-(\d{2})-(\d{2})", re.ASCII)
_LAST_YEAR = 2199


def day_of(text: str, *, today: date, standing: date | None = None) -> date | None:
    """The day that a text names as YYYY-MM-DD, None for an empty one; raises `Refused`.

    One that is over isn't taken, but for the one that is `standing`.
    """
    if not text:
        return None
    found = _read(text)
    if found is None or found.year > _LAST_YEAR:
        what = f"{LABEL} isn't a day."
        raise Refused(Problem("invalid_day", what, f"Write it as {today:%Y-%m-%d}.", NAME))
    if found < today and found != standing:
        what = f"{found:%Y-%m-%d} is over, and so would be the secret."
        fix = "Enter the day on which the secret ends, or leave it empty."
        raise Refused(Problem("day_over", what, fix, NAME))
    return found


def _read(text: str) -> date | None:
    if not (parts := _DAY.fullmatch(text)):
        return None
    try:
        return date(*map(int, parts.groups()))
    except ValueError:
        return None


def written(day: date) -> str:
    """“6 Dec 2026”."""
    return f"{day.day} {day:%b %Y}"


def sentence(day: date, today: date) -> str:
    """When a secret ends or ended, and what to do about it."""
    left = (day - today).days
    if left < 0:
        return f"Its secret ended on {written(day)}. Replace it with a new one."
    return f"Its secret ends {_when(left)}, on {written(day)}. Replace it with a new one before."


def short(day: date, today: date) -> str:
    """The same in three or four words."""
    left = (day - today).days
    return f"Secret ends {_when(left)}" if left >= 0 else "Secret ended"


def _when(left: int) -> str:
    return {0: "today", 1: "tomorrow"}.get(left, f"in {left} days")


def reminder(day: date, today: date) -> int | None:
    """The nearest of `REMINDED` that has come; None while none has."""
    left = (day - today).days
    return min((days for days in REMINDED if left <= days), default=None)
