"""By what the list of registry entries can be narrowed."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from typing import Any

from django.contrib import admin
from django.db.models import Q, QuerySet
from django.http import HttpRequest
from django.utils import timezone

from orgs.models import Environment, IndexedPattern, Organization
from orgs.registries.catalogue import TYPES
from orgs.services.entries.attention import OLD, old_key, unused
from orgs.services.entries.status import STATUSES, of_status

from .base import is_id


class OrganizationFilter(admin.SimpleListFilter):
    """The one that the address names: there are hundreds, so they aren't listed.

    The way here is the organization's page; the search finds its name, too.
    """

    title = "organization"
    parameter_name = "organization"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        chosen = self.value()
        if not chosen:
            return []
        found = chosen_organization(chosen)
        return [(chosen, found.name if found else "unknown")]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        chosen = self.value()
        if not chosen:
            return queryset
        return queryset.filter(organization_id=chosen) if is_id(chosen) else queryset.none()


def chosen_organization(key: str | None) -> Organization | None:
    """The organization with this id, as text from an address."""
    return Organization.objects.filter(pk=key).first() if key and is_id(key) else None


class TypeFilter(admin.SimpleListFilter):
    title = "registry type"
    parameter_name = "registry_type"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        return [(registry_type.slug, registry_type.label) for registry_type in TYPES]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        return queryset.filter(registry_type=self.value()) if self.value() else queryset


class StatusFilter(admin.SimpleListFilter):
    """As lists show it, so that “Disabled” is one of them."""

    title = "status"
    parameter_name = "status"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        return list(STATUSES.items())

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        chosen = self.value()
        if not chosen:
            return queryset
        return queryset.filter(of_status(chosen)) if chosen in STATUSES else queryset.none()


class EnvironmentFilter(admin.SimpleListFilter):
    """The chosen organization's own."""

    title = "environment"
    parameter_name = "environment"

    def __init__(self, request: HttpRequest, params: Any, model: Any, model_admin: Any) -> None:
        # The filter before this one has taken it out of `params`.
        self.organization = chosen_organization(request.GET.get(OrganizationFilter.parameter_name))
        super().__init__(request, params, model, model_admin)

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        own = Environment.objects.filter(organization=self.organization)
        choices = {environment.slug: environment.name for environment in own}
        if asked := self.value():
            # A filter without choices would be left out, and with it what it holds back.
            choices.setdefault(asked, asked)
        return list(choices.items())

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        if not self.value():
            return queryset
        limited = IndexedPattern.objects.filter(environment__slug=self.value())
        return queryset.filter(pk__in=limited.values("entry"))


class _Since(admin.SimpleListFilter):
    """Yes or nothing, about the last 90 days."""

    about: Callable[[datetime], Q]

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        return [("yes", "90 days or more")]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        if self.value() != "yes":
            return queryset
        return queryset.filter(type(self).about(timezone.now() - OLD))


class UnusedFilter(_Since):
    title = "unused for"
    parameter_name = "unused"
    about = staticmethod(unused)


class OldKeyFilter(_Since):
    title = "key age"
    parameter_name = "old_key"
    about = staticmethod(old_key)
