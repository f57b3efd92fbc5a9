"""Which logins were refused of late, in all organizations that aren't made up: by code and by
organization."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from django.db.models import IntegerField, Max, QuerySet, Sum, Value
from django.db.models.fields.json import KeyTextTransform
from django.db.models.functions import Cast, Coalesce
from django.utils import timezone

from orgs.models import AuditEvent, Organization
from orgs.models.audit import RARE_ACTION

from .bounded import MOST, newest

WITHIN = timedelta(days=1)
# Events looked at, the newest: what repeats is one event a minute, so it takes much for more.
LOOKED_AT = 10_000
# Of one that was repeated, how often; every other is one.
_TIMES = Coalesce(Cast(KeyTextTransform("times", "properties"), IntegerField()), Value(1))


@dataclass(frozen=True)
class Refused:
    """So many logins refused for one code, or in one organization; the last of them at `last`."""

    times: int
    last: datetime
    code: str = ""
    organization: Organization | None = None


@dataclass(frozen=True)
class Refusals:
    """Of the last 24 hours, most first; `partly` where there were too many to look at all."""

    since: datetime
    by_code: list[Refused]
    more_codes: int
    by_organization: list[Refused]
    more_organizations: int
    partly: bool

    def __bool__(self) -> bool:
        return bool(self.by_code)


def refusals(now: datetime | None = None) -> Refusals:
    """What was refused in the last 24 hours."""
    since = (now or timezone.now()) - WITHIN
    refused = AuditEvent.objects.filter(RARE_ACTION, action="login.refused", at__gte=since)
    made_up = Organization.objects.filter(made_up=True).values("pk")
    refused = refused.exclude(organization_id__in=made_up)
    looked_at, partly = newest(refused, LOOKED_AT)
    codes = _most(looked_at, "code")
    organizations = _most(looked_at.exclude(organization_id=None), "organization_id")
    found = Organization.objects.in_bulk([row["organization_id"] for row in organizations[0]])
    return Refusals(
        since,
        [Refused(row["times"], row["last"], code=row["code"]) for row in codes[0]],
        codes[1],
        [
            Refused(row["times"], row["last"], organization=found[row["organization_id"]])
            for row in organizations[0]
            if row["organization_id"] in found
        ],
        organizations[1],
        partly,
    )


def _most(events: QuerySet[AuditEvent], by: str) -> tuple[list[dict[str, Any]], int]:
    """Those with most, and how many others there are, counted up to 500."""
    grouped = events.order_by().values(by)
    counted = grouped.annotate(times=Sum(_TIMES), last=Max("at"))
    rows = list(counted.order_by("-times", by)[:500])
    return rows[:MOST], len(rows[MOST:])
