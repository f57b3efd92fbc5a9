"""Logins given and refused, day by day, for the picture of the last 30 days."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from typing import Any

from django.db.models import Count, DateField, Func, QuerySet, Sum
from django.utils import timezone

from orgs.models import AuditEvent, AuditEventQuerySet, Organization, RegistryEntry
from orgs.services.audit.login_events import of_entry

from .usage import OFTEN

DAYS = 30


class _Day(Func):
    """The UTC day of a time. Not `TruncDay`, which SQLite does in Python, row by row."""

    output_field = DateField()

    def as_sqlite(self, compiler: Any, connection: Any, **_: Any) -> Any:
        return super().as_sql(compiler, connection, template="SUBSTR(%(expressions)s, 1, 10)")

    def as_postgresql(self, compiler: Any, connection: Any, **_: Any) -> Any:
        return super().as_sql(
            compiler, connection, template="(%(expressions)s AT TIME ZONE 'UTC')::date"
        )


@dataclass(frozen=True)
class Day:
    """How many logins were given and refused on a UTC day."""

    day: date
    issued: int = 0
    refused: int = 0


@dataclass(frozen=True)
class Month:
    """The last 30 UTC days, today last."""

    days: list[Day]

    @property
    def issued(self) -> int:
        return sum(day.issued for day in self.days)

    @property
    def refused(self) -> int:
        return sum(day.refused for day in self.days)

    @property
    def most(self) -> int:
        """Of both together, on any day."""
        return max(day.issued + day.refused for day in self.days)


def month_of(entry: RegistryEntry) -> Month:
    """Of an entry; two queries, in the index of its events."""
    return _month(f"entry {entry.pk}", of_entry(entry))


def month_of_all(organization: Organization) -> Month:
    """Of all entries, and of what none serves; two queries, the one that counts what was
    given within its index alone."""
    events = AuditEvent.objects.filter(organization_id=organization.pk)
    return _month(f"organization {organization.pk}", events)


# Days that are over, by whose they are: events aren't changed, and repeats are written within
# minutes. So a page counts two days of a busy organization, and not thirty each time.
_OVER: dict[tuple[str, date], Day] = {}
_MOST_KEPT = 50_000


def forget() -> None:
    """Count anew (tests)."""
    _OVER.clear()


def _month(whose: str, events: AuditEventQuerySet) -> Month:
    today = timezone.now().astimezone(UTC).date()
    days = [today - timedelta(days=back) for back in reversed(range(DAYS))]
    known = {day: found for day in days if (found := _OVER.get((whose, day)))}
    first = next(day for day in days if day not in known)  # today never is
    events = events.filter(at__gte=datetime.combine(first, time(), UTC)).order_by()
    issued = _by_day(events.filter(action="login.issued"), Count("pk"))
    refused = _by_day(events.filter(action="login.refused"), Sum(OFTEN))
    month = Month([known.get(day) or Day(day, issued[day], refused[day]) for day in days])
    if len(_OVER) + DAYS > _MOST_KEPT:
        _OVER.clear()
    # Yesterday's last minutes may still be on their way.
    _OVER.update({(whose, day.day): day for day in month.days[:-2]})
    return month


def _by_day(events: QuerySet[AuditEvent], how_often: Any) -> Counter[date]:
    counted = events.values(day=_Day("at")).annotate(n=how_often)
    return Counter({row["day"]: row["n"] for row in counted})
