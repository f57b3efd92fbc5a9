"""Where somebody is signed in, and ending that."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import datetime

from allauth.usersessions.models import UserSession
from django.contrib.sessions.models import Session
from django.utils import timezone

from orgs.models import User

SHOWN = 50  # at most, the newest first
_BROWSERS = (
    ("Edg", "Edge"),
    ("OPR", "Opera"),
    ("Firefox", "Firefox"),
    ("Chrome", "Chrome"),
    ("HeadlessChrome", "Chrome"),
    ("Safari", "Safari"),
)
_SYSTEMS = (
    ("iPhone", "iPhone"),
    ("iPad", "iPad"),
    ("Android", "Android"),
    ("Windows", "Windows"),
    ("Mac OS X", "macOS"),
    ("Linux", "Linux"),
)


@dataclass(frozen=True)
class Place:
    """A session as its person sees it; `key` is the row's number, not the session's."""

    key: int
    browser: str
    address: str
    since: datetime
    is_this: bool


def of(person: User, this: str | None) -> list[Place]:
    """Those that live, the newest first; `this` is the session that asks."""
    rows = list(UserSession.objects.filter(user=person).order_by("-created_at", "-pk")[:SHOWN])
    keys = [row.session_key for row in rows]
    alive = Session.objects.filter(session_key__in=keys, expire_date__gt=timezone.now())
    living = set(alive.values_list("session_key", flat=True))
    return [
        Place(row.pk, browser(row.user_agent), row.ip, row.created_at, row.session_key == this)
        for row in rows
        if row.session_key in living
    ]


def browser(agent: str) -> str:
    """What a browser says of itself, in a few words."""
    name = next((name for sign, name in _BROWSERS if re.search(rf"\b{sign}[A-Za-z]*/", agent)), "")
    system = next((name for sign, name in _SYSTEMS if sign in agent), "")
    known = " on ".join(filter(None, (name, system)))
    plain = "".join(filter(str.isprintable, agent))
    return known or plain[:60] or "Unknown browser"


def end(person: User, this: str | None, key: int | None = None) -> int:
    """End one, or all but `this`; how many there were. Who calls tells of it."""
    rows = UserSession.objects.filter(user=person).exclude(session_key=this or "")
    if key is not None:
        rows = rows.filter(pk=key)
    keys = list(rows.values_list("session_key", flat=True))
    Session.objects.filter(session_key__in=keys).delete()
    return UserSession.objects.filter(session_key__in=keys).delete()[0]


def moved(before: str | None, after: str | None) -> None:
    """The same session has another key now."""
    UserSession.objects.filter(session_key=before or "").update(session_key=after)
