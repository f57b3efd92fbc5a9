"""Time zones: which there are, and in whose zone a page tells times and asks for days.

What is no page (the API, files, mails, commands) has no reader: there it is UTC. Apart from
Django's current time zone, which would move what databases count by day, too.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from functools import cache
from zoneinfo import ZoneInfo, available_timezones

from django.core.exceptions import ValidationError

UTC = ZoneInfo("UTC")
# Those that people live in; the rest are former names, offsets and how systems are set up.
_REGIONS = {
    *("Africa", "America", "Antarctica", "Arctic", "Asia"),
    *("Atlantic", "Australia", "Europe", "Indian", "Pacific"),
}
# How to learn the reader's zone, and then that zone: a page without a time asks nobody.
_reader: ContextVar[list[Callable[[], str] | ZoneInfo] | None] = ContextVar("reader", default=None)


@cache
def names() -> frozenset[str]:
    """All that the system knows, former names too: a browser may still say one."""
    return frozenset(available_timezones())


def known(name: str) -> None:
    """A model field's validator: a time zone of the IANA's, "" for UTC."""
    if name and name not in names():
        what = "This server knows no such time zone. Choose one of the list."
        raise ValidationError(what, code="invalid")


@cache
def groups() -> tuple[tuple[str, tuple[tuple[str, str], ...]], ...]:
    """Those to choose from: (region, ((name, what it is called there), …)), by the alphabet."""
    found: dict[str, list[tuple[str, str]]] = {}
    for name in sorted(names()):
        region, _, place = name.partition("/")
        if region in _REGIONS and place:
            words = place.replace("_", " ").split("/")
            found.setdefault(region, []).append((name, ", ".join(reversed(words))))
    return tuple(
        (region, tuple(sorted(places, key=lambda place: place[1])))
        for region, places in found.items()
    )


def named(name: str) -> ZoneInfo:
    """The zone; UTC for "", and for one that this server doesn't know any more."""
    return ZoneInfo(name) if name and name in names() else UTC


@contextmanager
def read_in(name: Callable[[], str]) -> Iterator[None]:
    """Meanwhile the reader's zone is the one that `name` gives, asked where a time is told."""
    token = _reader.set([name])
    try:
        yield
    finally:
        _reader.reset(token)


def of_reader() -> ZoneInfo:
    """UTC where there is none."""
    held = _reader.get()
    if held is None:
        return UTC
    found = held[0]
    if not isinstance(found, ZoneInfo):
        found = held[0] = named(found())
    return found
