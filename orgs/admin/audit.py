"""What was done, to be read: nobody adds, changes or deletes it here."""

from __future__ import annotations

import json
from typing import Any, cast

from django.contrib import admin
from django.core.paginator import Paginator
from django.db.models import Q, QuerySet
from django.http import HttpRequest, HttpResponse
from django.utils.functional import cached_property

from orgs.models import AuditEvent
from orgs.services.audit import log, repeats
from orgs.templatetags.registries import exact

from .base import BoundedList, words_of

MOST_COUNTED = 10_000


class BoundedPaginator(Paginator):
    """Counts no further than anyone turns pages: there may be tens of millions."""

    @cached_property
    def count(self) -> int:
        return cast(QuerySet, self.object_list)[:MOST_COUNTED].count()


@admin.register(AuditEvent)
class AuditEventAdmin(BoundedList):
    list_display = ["time", "who", "action", "subject", "organization", "project", "code", "more"]
    list_filter = ["staff"]
    search_fields = ["actor"]
    search_help_text = "Who, what (as entry.created), subject, organization, or an id"
    ordering = ["-at", "-id"]
    paginator = BoundedPaginator
    actions = None
    fields = [
        *("time", "who", "source_address", "action", "code", "organization", "project"),
        *("subject", "subject_id", "details"),
    ]

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def changelist_view(self, request: HttpRequest, extra_context: Any = None) -> HttpResponse:
        repeats.before_reading()
        return super().changelist_view(request, {"title": "Audit log", **(extra_context or {})})

    @admin.display(ordering="at")
    def time(self, event: AuditEvent) -> str:
        return exact(event.at)

    @admin.display(ordering="actor")
    def who(self, event: AuditEvent) -> str:
        return f"{event.actor} (staff)" if event.staff else event.actor

    @admin.display(description="Properties")
    def details(self, event: AuditEvent) -> str:
        return json.dumps(log.told(event), ensure_ascii=False)

    @admin.display(description="Times more")
    def more(self, event: AuditEvent) -> str:
        return str(event.properties.get("times", ""))

    def get_search_results(
        self, request: HttpRequest, queryset: QuerySet[Any], search_term: str
    ) -> tuple[QuerySet[Any], bool]:
        for word in words_of(search_term):
            queryset = queryset.filter(
                Q(actor__icontains=word)
                | Q(action__startswith=word)
                | Q(subject__icontains=word)
                | Q(organization__icontains=word)
                | Q(subject_id=word)
            )
        return queryset, False
