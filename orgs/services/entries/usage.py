"""How an entry is used, for people: by which projects, last by whom, and what was refused."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta

from django.db.models import Case, Count, IntegerField, Q, Sum, Value, When
from django.db.models.fields.json import KT
from django.db.models.functions import Cast, Coalesce
from django.utils import timezone

from orgs.models import AuditEvent, RegistryEntry
from orgs.services.audit.login_events import LoginEvent, last_of, of_entry

WEEK, MONTH = timedelta(days=7), timedelta(days=30)
SHOWN = 10
_NAMED = 5  # projects
_TOGETHER = 500  # entries asked for at once; databases bound what a statement holds
_ACTIONS = ("login.issued", "login.refused")
# An event of repeats stands for as many refusals (services/audit/repeats.py).
_REPEATS = Coalesce(Cast(KT("properties__times"), IntegerField()), Value(1))
OFTEN = Case(When(action="login.refused", then=_REPEATS), default=Value(1))


@dataclass(frozen=True)
class Counted:
    """How many logins in the last 7 days, and in the last 30."""

    week: int = 0
    month: int = 0

    def __add__(self, other: Counted) -> Counted:
        return Counted(self.week + other.week, self.month + other.month)


@dataclass(frozen=True)
class EntryUsage:
    """Logins given, by project, most of them first; and those refused.

    `more` is how many projects there are beyond the first 10, and `rest` theirs.
    """

    projects: list[tuple[str, Counted]]
    more: int
    rest: Counted
    refused: Counted
    last_login: LoginEvent | None
    last_refused: LoginEvent | None


def usage_of(entry: RegistryEntry, *, private: bool) -> EntryUsage:
    """From the audit events, in three queries; `private` as in `refused_logins`.

    Refusals are those of the last 30 days that the entry itself came to (its key was
    refused, its secret unreadable), not of images that no entry serves.
    """
    now = timezone.now()
    counted = (
        of_entry(entry)
        .filter(action__in=_ACTIONS, at__gte=now - MONTH)
        .values_list("action", "project")
        .annotate(week=Sum(OFTEN, filter=Q(at__gte=now - WEEK), default=0), month=Sum(OFTEN))
        .order_by("-month", "project")
    )
    projects, refused = [], Counted()
    for action, project, week, month in counted:
        if action == "login.issued":
            projects.append((project, Counted(week, month)))
        else:
            refused += Counted(week, month)
    rest = projects[SHOWN:]
    return EntryUsage(
        projects=projects[:SHOWN],
        more=len(rest),
        rest=sum((logins for _, logins in rest), Counted()),
        refused=refused,
        last_login=last_of(entry, "login.issued", private=private),
        # Of an entry without any, every event would be read in search of one.
        last_refused=last_of(entry, "login.refused", private=private) if refused.month else None,
    )


@dataclass(frozen=True)
class Usage:
    """How often logins of one entry or several were given, and to which projects: the five
    that took most, and how many `more`."""

    count: int
    projects: list[str]
    days: int
    more: int = 0

    @property
    def used(self) -> str:
        """“Used 3 times in 7 days by train, evaluate and 2 more”"""
        if not self.count:
            return f"Not used in {self.days} days"
        times = "1 time" if self.count == 1 else f"{self.count:,} times"
        more = f" and {self.more:,} more" if self.more else ""
        by = f" by {', '.join(self.projects)}{more}" if self.projects else ""
        return f"Used {times} in {self.days} days{by}"

    @property
    def stops(self) -> str:
        """The same, and what that means to who takes the entry away."""
        whose = "their" if self.projects else "the"
        return f"{self.used}; {whose} next pull will fail." if self.count else f"{self.used}."


def entry_usage(entry: RegistryEntry, days: int) -> Usage:
    """Logins issued in the last `days`, from the audit events."""
    return entries_usage([entry], days)


def entries_usage(found: Sequence[RegistryEntry], days: int) -> Usage:
    """The same of several entries together, in a query for each 500 of them."""
    since, counted = timezone.now() - timedelta(days=days), Counter[str]()
    for start in range(0, len(found), _TOGETHER):
        some = found[start : start + _TOGETHER]
        issued = AuditEvent.objects.filter(
            organization_id__in={entry.organization_id for entry in some},
            subject_id__in=[str(entry.pk) for entry in some],
            action="login.issued",
            at__gte=since,
        )
        counted.update(dict(issued.values_list("project").annotate(n=Count("pk")).order_by()))
    first = sorted(counted.items(), key=lambda one: (-one[1], one[0]))[:_NAMED]
    named = [name for name, _ in first if name]
    return Usage(counted.total(), named, days, len(counted) - len(first))
