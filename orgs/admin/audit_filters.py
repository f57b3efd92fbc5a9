"""By what the audit log of all organizations is narrowed: the web's filters, and whose."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, fields
from datetime import timedelta
from typing import Any

from django.contrib import admin
from django.db.models import Q, QuerySet
from django.http import HttpRequest
from django.utils import timezone

from orgs import zones
from orgs.models import Organization
from orgs.registries.text import storable
from orgs.services.audit import asked, log
from orgs.services.audit.log import Filters

OWN = ("organization", "organization_id", "staff")
NAMES = (*(f.name for f in fields(Filters)), *OWN)
_LISTED = 500


@dataclass(frozen=True)
class Preset:
    label: str
    address: str
    selected: bool


class Asked(admin.ListFilter):
    """All of them at once, as a form above the list (change_list.html of this model)."""

    title = "what is asked"
    parameter_name = "asked"

    def __init__(
        self, request: HttpRequest, params: dict[str, Any], model: Any, model_admin: Any
    ) -> None:
        super().__init__(request, params, model, model_admin)
        for name in NAMES:
            if name in params:
                self.used_parameters[name] = storable(params.pop(name)[-1]).strip()[:200]
        self.filters = Filters.of(self.used_parameters)
        self.staff = self.used_parameters.get("staff") == "1"
        self.named = self._value("organization")
        self.organization = _organization(self.named) if self.named else None
        number = asked.number(self._value("organization_id"))
        self.organization_id = self.organization.pk if self.organization else number

    def _value(self, name: str) -> str:
        return str(self.used_parameters.get(name, ""))

    @property
    def organization_text(self) -> str:
        return self.organization.slug if self.organization else self.named

    @property
    def unknown(self) -> bool:
        """Whether an organization was asked for that isn't there."""
        return bool(self.named) and self.organization is None

    @property
    def narrows(self) -> bool:
        return bool(self.filters or self.named or self.organization_id) or self.staff

    @property
    def slow(self) -> bool:
        """Whether it is looked for among the newest only."""
        unindexed = self.organization_id is None and bool(
            self.filters.actor
            or self.filters.subject
            or self.filters.project
            or self.filters.source
        )
        return self.staff or unindexed

    def has_output(self) -> bool:
        return True

    def expected_parameters(self) -> list[str | None]:
        return list(NAMES)

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        if self.unknown or (self._value("organization_id") and self.organization_id is None):
            return queryset.none()
        return log.events_everywhere(self.filters, self.organization_id, staff=self.staff)

    # --- for the form -----------------------------------------------------------

    def choices(self, changelist: Any) -> Iterator[Mapping[str, object]]:
        """None in Django's own list: the form has them."""
        return iter(())

    def presets(self, changelist: Any) -> list[Preset]:
        today = timezone.now().astimezone(zones.of_reader()).date()
        days = (("Today", 0, 0), ("Yesterday", 1, 1), ("7 days", 6, 0), ("30 days", 29, 0))
        told = []
        for label, first, last in days:
            since = (today - timedelta(days=first)).isoformat()
            until = (today - timedelta(days=last)).isoformat() if last else ""
            days_asked = {"since": since, "until": until or None}
            address = changelist.get_query_string(days_asked)
            now = (self.filters.since, self.filters.until) == (since, until)
            told.append(Preset(label, address, now))
        return told

    def lists(self) -> dict[str, Any]:
        """What the form's fields propose."""
        return {
            "actions": log.ACTIONS.items(),
            "results": log.results().items(),
            "slugs": Organization.objects.order_by("slug").values_list("slug", "name")[:_LISTED],
        }


def _organization(text: str) -> Organization | None:
    """By its short name, also a former one, or its name."""
    slug = text.lower()
    named = Q(slug=slug) | Q(name=text) | Q(former_slugs__slug=slug)
    return Organization.objects.filter(named).first()
