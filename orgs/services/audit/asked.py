"""Values that an address names: a day, a moment, a number, as far as databases count.

What can't be one is None, for the asker to leave out: an address is anybody's to write.
"""

from __future__ import annotations

import re
from datetime import UTC, datetime

# A day of the Gregorian calendar, and moments, are moved by time zones and compared:
# both ends of what Python can count have no room for that.
FIRST, LAST = 1000, 9000

# All 64-bit numbers of so many digits are what every database takes.
_NUMBER = re.compile(r"[0-9]{1,18}")


def number(text: str) -> int | None:
    """A whole number from 0 on, in ASCII digits; at most 18 of them."""
    return int(text) if _NUMBER.fullmatch(text) else None


def day(text: str) -> datetime | None:
    """Midnight (UTC) at the beginning of a day, YYYY-MM-DD."""
    try:
        found = datetime.strptime(text, "%Y-%m-%d").replace(tzinfo=UTC)
    except ValueError:
        return None
    return found if FIRST <= found.year <= LAST else None


def moment(text: str) -> datetime | None:
    """A moment in ISO 8601 with its offset from UTC; given in UTC."""
    try:
        found = datetime.fromisoformat(text)
    except ValueError:
        return None
    if found.tzinfo is None or not FIRST <= found.year <= LAST:
        return None
    return found.astimezone(UTC)
