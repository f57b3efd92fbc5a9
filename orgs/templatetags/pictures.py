"""Pictures drawn by the server: sizes as attributes, colours by class."""

from __future__ import annotations

from dataclasses import dataclass

from django import template

from orgs.services.entries.daily import Day, Month

register = template.Library()

WIDTH, HEIGHT = 20, 96  # of a day, of the highest bar
_LEAST = 2  # so that one login among thousands is seen


@dataclass(frozen=True)
class Bar:
    """A day's two bars, the refused on top of the given."""

    day: Day
    x: int
    issued: int
    refused: int

    @property
    def issued_y(self) -> int:
        return HEIGHT - self.issued

    @property
    def refused_y(self) -> int:
        return HEIGHT - self.issued - self.refused


@register.filter
def bars(month: Month) -> list[Bar]:
    most = month.most or 1

    def high(count: int) -> int:
        return max(_LEAST, round(count * (HEIGHT - _LEAST) / most)) if count else 0

    return [
        Bar(day, n * WIDTH + 2, high(day.issued), high(day.refused))
        for n, day in enumerate(month.days)
    ]
