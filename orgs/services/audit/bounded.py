"""Reading across organizations: some rows, and how many more there are, counted so far only
as it costs little."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from django.db.models import QuerySet

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
