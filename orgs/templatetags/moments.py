"""How times look: how long ago in lists, exact on the page of one thing (`registries` has
them as filters)."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime

from django.utils import timezone
from django.utils.html import format_html
from django.utils.safestring import SafeString, mark_safe

from orgs import zones
from orgs.models import Token

_NOTHING = mark_safe('<span class="muted">–</span>')
_UNITS = ((86400 * 365, "year"), (86400 * 30, "month"), (86400, "day"), (3600, "hour"))


def ago(moment: datetime | None, nothing: str = "") -> SafeString:
    """“3 days ago”, for lists; `nothing` where there is no time."""
    return _time(moment, lambda at: f"{_age(at)} ago", nothing, "just now")


def age(moment: datetime | None) -> SafeString:
    """“3 days”: how long it has been."""
    return _time(moment, _age, "", "new")


def exact(moment: datetime | None, nothing: str = "") -> SafeString:
    """“27 Nov 2026, 14:03:23 EET · 12:03:23 UTC”, for detail pages: in the reader's zone, and
    UTC beside it, with its day where that is another."""
    return _time(moment, _exact, nothing, None)


def ends(token: Token, verb: str = "") -> SafeString:
    """“in 3 days”, after a verb where there is one; “expired 3 days ago”; “Never”."""
    if token.expires_at is not None and token.expires_at <= timezone.now():
        return _time(token.expires_at, lambda at: f"expired {_age(at)} ago", "", "just expired")
    return _time(token.expires_at, lambda at: f"{verb} in {_age(at)}".strip(), "Never", None)


def _exact(at: datetime) -> str | SafeString:
    here = at.astimezone(zones.of_reader())
    name = here.tzname() or ""
    if name == "UTC":
        return f"{at:%-d %b %Y, %H:%M:%S} UTC"
    if not name.isalpha():  # zones without letters of their own say “+03”
        name = f"UTC{name}"
    utc = f"{at:%H:%M:%S} UTC" if here.date() == at.date() else f"{at:%-d %b, %H:%M:%S} UTC"
    return format_html(
        '<span class="nowrap">{}</span> <span class="muted nowrap">· {}</span>',
        f"{here:%-d %b %Y, %H:%M:%S} {name}",
        utc,
    )


def _time(
    moment: datetime | None,
    say: Callable[[datetime], str],
    nothing: str,
    new: str | None,
) -> SafeString:
    if moment is None:
        return format_html('<span class="muted">{}</span>', nothing) if nothing else _NOTHING
    at = moment.astimezone(UTC)
    fresh = new is not None and (timezone.now() - moment).total_seconds() < 60
    return format_html(
        '<time datetime="{}">{}</time>', f"{at:%Y-%m-%dT%H:%M:%SZ}", new if fresh else say(at)
    )


def _age(at: datetime) -> str:
    """How long ago; or until then, rounded, so that what ends in 90 days says so."""
    ahead = (at - timezone.now()).total_seconds()
    seconds = abs(ahead) + (30 if ahead > 0 else 0)
    length, unit = next(((n, u) for n, u in _UNITS if seconds >= n), (60, "minute"))
    count = max(1, round(seconds / length) if ahead > 0 else int(seconds // length))
    return f"{count} {unit}{'s' if count > 1 else ''}"
