"""What was done, to be read: nobody adds, changes or deletes it here."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any, cast

from django.contrib import admin
from django.core.paginator import Paginator
from django.db.models import Q, QuerySet
from django.http import HttpRequest, HttpResponse
from django.template.response import TemplateResponse
from django.urls import reverse
from django.utils.functional import cached_property
from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString

from orgs.models import AuditEvent
from orgs.services.audit import log, repeats
from orgs.services.entries.history import changes_of
from orgs.templatetags import registries as shown

from .audit_filters import NAMES, Asked
from .base import ReadOnly, is_id, words_of

MOST_COUNTED = 10_000


class BoundedPaginator(Paginator):
    """Counts no further than anyone turns pages: there may be tens of millions."""

    @cached_property
    def count(self) -> int:
        return cast(QuerySet, self.object_list)[:MOST_COUNTED].count()


@admin.register(AuditEvent)
class AuditEventAdmin(ReadOnly):
    list_display = ["time", "what", "about", "result", "who", "whose", "project"]
    list_filter = [Asked]
    search_fields = ["actor"]
    ordering = ["-at", "-id"]
    sortable_by = ["time"]
    paginator = BoundedPaginator
    change_list_template = "admin/orgs/auditevent/change_list.html"
    fields = [
        *("time", "who", "source", "what", "result", "whose", "project"),
        *("about", "subject_id", "details"),
    ]

    def lookup_allowed(self, lookup: str, value: Any, request: HttpRequest | None = None) -> bool:  # type: ignore[override]
        """What has an index, or is looked for within bounds; no other column."""
        return lookup in NAMES

    def changelist_view(self, request: HttpRequest, extra_context: Any = None) -> HttpResponse:
        repeats.before_reading()
        context = {"title": "Audit log", **(extra_context or {})}
        response = super().changelist_view(request, context)
        if isinstance(response, TemplateResponse) and response.context_data:
            response.context_data |= self._form(response.context_data["cl"])
        return response

    def _form(self, changelist: Any) -> dict[str, Any]:
        """What the form above the list shows, as `Asked` has understood it."""
        (asked,) = changelist.filter_specs
        return {
            "asked": asked,
            "presets": asked.presets(changelist),
            "looked_at": log.LOOKED_AT if asked.slow or changelist.query else 0,
        }

    def get_search_results(
        self, request: HttpRequest, queryset: QuerySet[Any], search_term: str
    ) -> tuple[QuerySet[Any], bool]:
        """Every word somewhere, among the newest of what the filters leave."""
        words = words_of(search_term)
        if words:
            queryset = log.among_newest(queryset)
        for word in words:
            called = [a for a, label in log.ACTIONS.items() if word.lower() in label.lower()]
            queryset = queryset.filter(
                Q(actor__icontains=word)
                | Q(action__startswith=word)
                | Q(action__in=called)
                | Q(subject__icontains=word)
                | Q(organization__icontains=word)
                | Q(subject_id=word)
            )
        return queryset, False

    # --- columns, and the page of one -----------------------------------------

    @admin.display(ordering="at")
    def time(self, event: AuditEvent) -> str:
        return shown.exact(event.at)

    @admin.display
    def who(self, event: AuditEvent) -> str:
        return f"{event.actor} (staff)" if event.staff else event.actor

    @admin.display
    def what(self, event: AuditEvent) -> str:
        return shown.happened(event.action)

    @admin.display(description="Subject")
    def about(self, event: AuditEvent) -> SafeString | str:
        if not event.subject:
            return "–"
        told = shown.image(event.subject) if _is_of_images(event) else event.subject
        address = _page_of(event)
        return format_html('<a href="{}">{}</a>', address, told) if address else told

    @admin.display(description="Organization")
    def whose(self, event: AuditEvent) -> SafeString | str:
        if not event.organization_id:
            return "–"
        address = reverse("admin:orgs_organization_change", args=[event.organization_id])
        return format_html('<a href="{}">{}</a>', address, event.organization or "?")

    @admin.display
    def result(self, event: AuditEvent) -> SafeString | str:
        """The code, why, and how often it was repeated."""
        code = "" if event.code in {"", "ok"} else event.code
        reason = log.told(event).get("reason") or (shown.says(code) if code else "")
        times = event.properties.get("times")
        parts = [
            format_html("<code>{}</code>", code) if code else "",
            str(reason),
            f"and {times} times more" if times else "",
        ]
        told = [(part,) for part in parts if part]
        return format_html_join(" ", "{}", told) if told else event.code or "–"

    @admin.display
    def source(self, event: AuditEvent) -> str:
        return event.source_address or "This server"

    @admin.display(description="Details")
    def details(self, event: AuditEvent) -> SafeString | str:
        lines = list(_lines(event))
        return format_html_join("", "<div>{}: {}</div>", lines) if lines else "–"


def _is_of_images(event: AuditEvent) -> bool:
    return event.action.partition(".")[0] in {"entry", "login"}


def _page_of(event: AuditEvent) -> str:
    """Where the subject is looked after; "" where it has no page or is unknown."""
    kind, key = event.action.partition(".")[0], event.subject_id
    if kind in {"entry", "login"} and len(key) == 36:
        return reverse("admin:orgs_registryentry_change", args=[key])
    if kind == "user" and is_id(key):
        return reverse("admin:orgs_user_change", args=[key])
    return ""


def _lines(event: AuditEvent) -> Iterator[tuple[str, str]]:
    """What else is known of it, in words."""
    properties = log.told(event)
    for change in changes_of(event):
        told = "changed" if change.after is None else f"{change.before} → {change.after}"
        yield change.label, told
    for name, value in properties.items():
        if name not in {"changes", "reason"}:
            told = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
            yield name.replace("_", " ").capitalize(), told
