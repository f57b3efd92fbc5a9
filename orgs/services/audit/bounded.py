"""Reading across organizations: some rows, and how many more there are, counted so far only
as it costs little."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from django.db.models import QuerySet

from orgs.models import AuditEvent

Row = TypeVar("Row")
MOST = 10
COUNTED = 1000


@dataclass(frozen=True)
class Some(Generic[Row]):
    """The first rows; `more` is how many others there are, at least that many with
    `uncounted`."""

    rows: list[Row]
    more: int = 0
    uncounted: bool = False

    def __bool__(self) -> bool:
        return bool(self.rows)

    @property
    def count(self) -> int:
        return len(self.rows) + self.more


def some(found: QuerySet[Any], most: int = MOST) -> Some[Any]:
    """Two queries, however many there are."""
    rows = list(found[:most])
    beyond = found.order_by()[: most + COUNTED].count() - len(rows)
    return Some(rows, max(0, beyond), beyond >= COUNTED)


def newest(found: QuerySet[AuditEvent], most: int) -> tuple[QuerySet[AuditEvent], bool]:
    """The newest events of these, about so many that each may be looked at; and whether there
    are more. One query, which walks an index.

    By the time of the last of them: PostgreSQL joins with a limited subquery by reading the
    whole table.
    """
    found = found.order_by("-at", "-id")
    last = found.values_list("at", flat=True)[most : most + 1]
    begins = next(iter(last), None)
    return (found, False) if begins is None else (found.filter(at__gte=begins), True)
