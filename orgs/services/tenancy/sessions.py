"""Where somebody is signed in, and ending that."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from allauth.usersessions.models import UserSession
from django.contrib.sessions.models import Session
from django.db.models import F, QuerySet
from django.utils import timezone

from orgs.models import User

SHOWN = 50  # at most, the newest first
DROPPED = 100  # at most, with each new one
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


def of(person: User, this: str | None) -> tuple[list[Place], int]:
    """Those that live, the newest first, and how many more there are; `this` is the session
    that asks."""
    rows = UserSession.objects.filter(user=person, session_key__in=_alive())
    rows = rows.order_by("-created_at", "-pk")
    places = [
        Place(row.pk, browser(row.user_agent), row.ip, row.created_at, row.session_key == this)
        for row in rows[:SHOWN]
    ]
    return places, max(0, rows.count() - len(places)) if len(places) == SHOWN else 0


def _alive() -> QuerySet[Any]:
    return Session.objects.filter(expire_date__gt=timezone.now()).values("session_key")


def browser(agent: str) -> str:
    """What a browser says of itself, in a few words."""
    name = next((name for sign, name in _BROWSERS if re.search(rf"\b{sign}[A-Za-z]*/", agent)), "")
    system = next((name for sign, name in _SYSTEMS if sign in agent), "")
    known = " on ".join(filter(None, (name, system)))
    plain = "".join(filter(str.isprintable, agent))
    return known or plain[:60] or "Unknown browser"


def end(person: User, this: str | None, key: int | None = None) -> int:
    """End one, or all but `this`, also those that no list has; how many were on it. Who calls
    tells of it, and `this` is to learn of the new generation (`update_session_auth_hash`)."""
    rows = UserSession.objects.filter(user=person).exclude(session_key=this or "")
    if key is not None:
        rows = rows.filter(pk=key)
    else:
        User.objects.filter(pk=person.pk).update(session_generation=F("session_generation") + 1)
        person.refresh_from_db(fields=["session_generation"])
    keys = list(rows.values_list("session_key", flat=True))
    Session.objects.filter(session_key__in=keys).delete()
    return UserSession.objects.filter(session_key__in=keys).delete()[0]


def moved(before: str | None, after: str | None) -> None:
    """The same session has another key now."""
    UserSession.objects.filter(session_key=before or "").update(session_key=after)


def begin(request: Any) -> None:
    """Have somebody's new session on the list, and drop some that are over."""
    UserSession.objects.create_from_request(request)
    drop_over()
    listed = UserSession.objects.filter(user=request.user)
    gone = listed.exclude(session_key__in=_alive()).values_list("pk", flat=True)
    UserSession.objects.filter(pk__in=list(gone[:DROPPED])).delete()


def drop_over() -> None:
    """Drop some of the rows of sessions that are over, of anybody."""
    over = Session.objects.filter(expire_date__lte=timezone.now()).values_list("pk", flat=True)
    Session.objects.filter(pk__in=list(over[:DROPPED])).delete()
