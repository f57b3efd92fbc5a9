"""Values that an address names: a day, a moment, a number, as far as databases count.

What can't be one is None, for the asker to leave out: an address is anybody's to write.
"""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta

from orgs import zones

# A day of the Gregorian calendar, and moments, are moved by time zones and compared:
# both ends of what Python can count have no room for that.
FIRST, LAST = 1000, 9000

# All 64-bit numbers of so many digits are what every database takes.
_NUMBER = re.compile(r"[0-9]{1,18}")


def number(text: str) -> int | None:
    """A whole number from 0 on, in ASCII digits; at most 18 of them."""
    return int(text) if _NUMBER.fullmatch(text) else None


def day(text: str, later: int = 0) -> datetime | None:
    """When a day begins, YYYY-MM-DD, in the reader's zone; given in UTC. `later` is that many
    days on: where clocks are changed meanwhile, that isn't so many times 24 hours."""
    try:
        found = datetime.strptime(text, "%Y-%m-%d")
    except ValueError:
        return None
    if not FIRST <= found.year <= LAST:
        return None
    # What isn't there, an hour that is left out at midnight, is when it ends.
    return (found + timedelta(days=later)).replace(tzinfo=zones.of_reader()).astimezone(UTC)


def moment(text: str) -> datetime | None:
    """A moment in ISO 8601 with its offset from UTC; given in UTC."""
    try:
        found = datetime.fromisoformat(text)
    except ValueError:
        return None
    if found.tzinfo is None or not FIRST <= found.year <= LAST:
        return None
    return found.astimezone(UTC)
