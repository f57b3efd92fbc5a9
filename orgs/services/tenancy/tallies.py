"""Limits: how often something may happen in a while, counted in the database.

Every process counts in the same rows, each with one conditional UPDATE, so that no
more get through than the limit, however many ask at once. All times are the database's.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta

from django.db import transaction
from django.db.models import Case, DateTimeField, F, PositiveIntegerField, Q, When
from django.db.models.functions import Now

from orgs.models import Tally

# How long earlier pauses make the next one longer.
REMEMBERED = timedelta(days=1)
# How many outdated rows go with each one that is written.
DROPPED = 20


@dataclass(frozen=True)
class Limit:
    """So many within a window, then a pause: the first, the second, and from then on the
    last of `pauses`. None is shorter than the window."""

    name: str
    most: int
    window: timedelta
    pauses: tuple[timedelta, ...]

    def key(self, whose: str) -> str:
        return f"{self.name}:{whose}"


@dataclass(frozen=True)
class Pause:
    """Until when nothing is taken, and how long that is from now."""

    until: datetime
    left: timedelta

    @property
    def seconds(self) -> int:
        """When to come again, in whole ones."""
        return max(1, math.ceil(self.left.total_seconds()))


def prepare(keys: Iterable[str]) -> None:
    """Have a row for each key, so that `take` and `count` are one UPDATE; drop old ones."""
    _drop_outdated()
    forget_at = Now() + timedelta(hours=1)
    rows = [Tally(key=key, forget_at=forget_at) for key in keys]
    Tally.objects.bulk_create(rows, ignore_conflicts=True)


def take(limit: Limit, whose: str) -> Pause | None:
    """Count one more, before it is done; else the pause, and nothing is counted."""
    row = Tally.objects.filter(key=limit.key(whose))
    running = _running(limit.window)
    # The one that fills the window is let through, and the pause begins behind it.
    last = running & Q(count__gte=limit.most - 1)
    longest = limit.pauses[-1]
    lengths = [When(last & Q(pauses=n), then=Now() + p) for n, p in enumerate(limit.pauses)]
    taken = row.exclude(_paused(longest)).update(
        count=_number(When(running, then=F("count") + 1), default=1),
        window_until=_time(When(running, then=F("window_until")), default=Now() + limit.window),
        paused_until=_time(*lengths, When(last, then=Now() + longest), default=None),
        pauses=_number(When(last, then=F("pauses") + 1), default=F("pauses")),
        forget_at=_time(
            When(last | Q(pauses__gt=0), then=Now() + REMEMBERED), default=Now() + limit.window
        ),
    )
    if taken:
        return None
    found = row.filter(_paused(longest)).values_list("paused_until", Now()).first()
    return Pause(found[0], found[0] - found[1]) if found else None


def give_back(limit: Limit, whose: str) -> None:
    """Uncount one that `take` counted, and the pause if it began one."""
    Tally.objects.filter(key=limit.key(whose), count__gt=0).update(
        count=F("count") - 1,
        paused_until=None,
        pauses=_number(
            When(paused_until__isnull=False, pauses__gt=0, then=F("pauses") - 1),
            default=F("pauses"),
        ),
    )


def clear(limit: Limit, whose: str) -> None:
    """Forget what was counted, and end the pause."""
    Tally.objects.filter(key=limit.key(whose)).delete()


def count(key: str, window: timedelta, more: int = 1) -> int:
    """Count one more, or several; how many there are in this window, with them."""
    row = Tally.objects.filter(key=key)
    running = _running(window)
    with transaction.atomic():
        prepare([key])
        row.update(
            count=_number(When(running, then=F("count") + more), default=more),
            window_until=_time(When(running, then=F("window_until")), default=Now() + window),
            forget_at=Now() + window,
        )
        return row.values_list("count", flat=True).get()


def _running(window: timedelta) -> Q:
    """A window that ends too far ahead was begun by a clock that has been set right since."""
    return Q(window_until__gt=Now(), window_until__lte=Now() + window)


def _paused(longest: timedelta) -> Q:
    return Q(paused_until__gt=Now(), paused_until__lte=Now() + longest)


def _time(*cases: When, default: object) -> Case:
    return Case(*cases, default=default, output_field=DateTimeField())


def _number(*cases: When, default: object) -> Case:
    return Case(*cases, default=default, output_field=PositiveIntegerField())


def _drop_outdated() -> None:
    outdated = Q(forget_at__lte=Now()) | Q(forget_at__gt=Now() + 2 * REMEMBERED)
    with transaction.atomic():
        # Those that someone else drops just now aren't waited for.
        rows = Tally.objects.filter(outdated).select_for_update(skip_locked=True)
        keys = list(rows.values_list("pk", flat=True)[:DROPPED])
        if keys:
            Tally.objects.filter(outdated, pk__in=keys).delete()
