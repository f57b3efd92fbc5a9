"""Groups, to be read by superusers: what is in them is the product's own (`powers`), and who is
in them is chosen on each person's page."""

from __future__ import annotations

from typing import Any

from django.contrib import admin
from django.contrib.auth.models import Group
from django.db.models import Count, QuerySet
from django.http import HttpRequest
from django.urls import reverse
from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString

from .base import ReadOnly

_LISTED = 50

admin.site.unregister(Group)


@admin.register(Group)
class GroupAdmin(ReadOnly):
    list_display = ["name", "people"]
    fields = ["name", "may", "who"]

    def has_view_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """Who is in them is who has which powers."""
        return bool(request.user.is_superuser)

    def has_module_permission(self, request: HttpRequest) -> bool:
        return self.has_view_permission(request)

    def get_queryset(self, request: HttpRequest) -> QuerySet[Group]:
        return super().get_queryset(request).annotate(count=Count("user"))

    @admin.display
    def people(self, group: Any) -> int:
        return group.count

    @admin.display(description="Its people may")
    def may(self, group: Group) -> SafeString:
        permissions = group.permissions.order_by("content_type__model", "codename")
        return format_html_join("", "<div>{}</div>", ((one.name,) for one in permissions))

    @admin.display(description="People")
    def who(self, group: Group) -> SafeString | str:
        """Some of them; chosen on their own pages."""
        people = group.user_set.order_by("email")[:_LISTED]
        lines = [
            (format_html('<a href="{}">{}</a>', reverse("admin:orgs_user_change", args=[p.pk]), p),)
            for p in people
        ]
        return format_html_join("", "<div>{}</div>", lines) if lines else "Nobody yet"
