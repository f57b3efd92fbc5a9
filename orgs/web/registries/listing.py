"""The list of an organization's entries: filtered and sorted by its address, and exported;
what is done with many of them is in selected.py."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from django.contrib.auth.decorators import login_required
from django.core.paginator import Paginator
from django.db.models import F, OuterRef, Q, QuerySet, Subquery
from django.http import HttpResponse, HttpResponseBase, QueryDict, StreamingHttpResponse
from django.shortcuts import render
from django.utils import timezone
from django.views.decorators.http import require_POST

from orgs import access
from orgs.models import Environment, IndexedPattern, Organization, RegistryEntry
from orgs.registries.catalogue import BY_SLUG, TYPES
from orgs.services.bulk.exporting import WRITERS, Held
from orgs.services.bulk.exporting import export as exported
from orgs.services.entries.attention import OLD, old_key, unused
from orgs.services.entries.status import STATUSES, of_status
from orgs.services.runs import going
from orgs.web.context import SignedIn, inside

from .runs import begin_exporting

PAGE_SIZE = 50
_MOST_SEARCHED = 200  # characters; databases bound what they compare with
_FIRST_PATTERN = IndexedPattern.objects.filter(entry=OuterRef("pk")).order_by("position", "pk")
SORTS = {
    "": "Failing first",
    "pattern": "Pattern, A to Z",
    "-pattern": "Pattern, Z to A",
    "used": "Longest unused first",
    "-used": "Last used first",
    "key": "Oldest key first",
    "-key": "Newest key first",
}
# What may be done with those that are ticked (selected.py).
ACTIONS = {
    "verify": "Verify",
    "enable": "Enable",
    "disable": "Disable",
    "export": "Export",
    "delete": "Delete",
}


@dataclass(frozen=True)
class Filters:
    """What the address asks for; what it doesn't know, it leaves out."""

    q: str = ""
    type: str = ""
    status: str = ""
    environment: str = ""
    unused: bool = False
    old_key: bool = False
    sort: str = ""

    @classmethod
    def of(cls, query: QueryDict) -> Filters:
        def known(name: str, values: Any) -> str:
            return query.get(name, "") if query.get(name) in values else ""

        return cls(
            q=query.get("q", "").strip()[:_MOST_SEARCHED],
            type=known("type", BY_SLUG),
            status=known("status", STATUSES),
            environment=query.get("environment", ""),
            unused=query.get("unused") == "1",
            old_key=query.get("old_key") == "1",
            sort=known("sort", SORTS),
        )

    @property
    def narrows(self) -> bool:
        return bool(self.q or self.chosen)

    @property
    def chosen(self) -> int:
        """How many are set beside the search."""
        every = (self.type, self.status, self.environment, self.unused, self.old_key)
        return sum(map(bool, every))

    def told(self, environments: Sequence[Environment]) -> list[str]:
        """In words what is set beside the search, and the order where it's another."""
        names = {one.slug: one.name for one in environments}
        words = (
            BY_SLUG[self.type].short_label if self.type else "",
            STATUSES.get(self.status, ""),
            names.get(self.environment, "Unknown environment") if self.environment else "",
            "Unused for 90 days" if self.unused else "",
            "Key over 90 days" if self.old_key else "",
            SORTS[self.sort] if self.sort else "",
        )
        return [word for word in words if word]

    def narrowed(self, found: QuerySet[RegistryEntry], *, private: bool) -> QuerySet[RegistryEntry]:
        """Those that fit; `private` also by what members don't see."""
        before = timezone.now() - OLD
        if self.q:
            found = found.filter(pk__in=_searched(self.q, private))
        if self.type:
            found = found.filter(registry_type=self.type)
        if self.status:
            found = found.filter(of_status(self.status))
        if self.environment:
            limited = IndexedPattern.objects.filter(environment__slug=self.environment)
            found = found.filter(pk__in=limited.values("entry"))
        if self.unused:
            found = found.filter(unused(before))
        if self.old_key:
            found = found.filter(old_key(before))
        return found

    def sorted(self, found: QuerySet[RegistryEntry]) -> QuerySet[RegistryEntry]:
        name, down = self.sort.removeprefix("-"), self.sort.startswith("-")
        if name == "pattern":
            found = found.alias(first=Subquery(_FIRST_PATTERN.values("normalized")[:1]))
            by = F("first").desc() if down else F("first").asc()
        elif name == "used":
            last = F("last_used_at")
            by = last.desc(nulls_last=True) if down else last.asc(nulls_first=True)
        elif name == "key":
            changed = F("secrets_changed_at")
            by = changed.desc(nulls_last=True) if down else changed.asc(nulls_last=True)
        else:
            return found
        return found.order_by(by, "-created_at", "id")


def _searched(words: str, private: bool) -> QuerySet[Any]:
    where = Q(patterns__text__icontains=words) | Q(note__icontains=words)
    if private:
        hidden = {f.name for kind in TYPES for f in kind.told_fields if f.hidden_from_members}
        for name in sorted(hidden):
            where |= Q(**{f"config__{name}__icontains": words})
    return RegistryEntry.objects.filter(where).values("pk")


@login_required
def index(request: SignedIn, slug: str) -> HttpResponse:
    organization = access.organization_for_member(request.user, slug)
    context = inside(request, organization, "registries")
    filters = Filters.of(request.GET)
    every = RegistryEntry.objects.of(organization)
    found = filters.narrowed(every, private=context["is_admin"])
    page = Paginator(filters.sorted(found), PAGE_SIZE).get_page(request.GET.get("page"))
    environments = list(organization.environments.all())
    context |= {
        "page": page,
        "total": every.count() if filters.narrows else page.paginator.count,
        "filters": filters,
        "told": filters.told(environments),
        "environments": environments,
        "types": TYPES,
        "statuses": STATUSES.items(),
        "sorts": SORTS.items(),
        "columns": _columns(filters.sort),
        "actions": ACTIONS.items(),
        "running": going.going_on(organization) if context["is_admin"] else None,
        "long": going.LONG,
    }
    return render(request, "registries/index.html", context)


@dataclass(frozen=True)
class Column:
    """A heading that sorts: where it leads, how the list stands now, and what it's called
    where that says so."""

    sort: str | None
    aria: str
    says: str = ""

    @property
    def arrow(self) -> str:
        return {"ascending": "▲", "descending": "▼", "other": "▼"}.get(self.aria, "")


def _columns(sort: str) -> dict[str, Column]:
    """What a press on each heading sorts by: the other way round, once it does."""

    def column(name: str) -> Column:
        if sort == name:
            return Column(f"-{name}", "ascending")
        return Column(name, "descending" if sort == f"-{name}" else "none")

    # by default, and by its heading again
    by_status = ("other", "Status, failing first") if not sort else ("none", "Status")
    found = {name: column(name) for name in ("pattern", "used", "key")}
    return found | {"status": Column(None, *by_status)}


@login_required
def export(request: SignedIn, slug: str) -> HttpResponseBase:
    organization = access.organization_for_admin(request.user, slug)
    found = RegistryEntry.objects.of(organization)
    narrowed = Filters.of(request.GET).narrowed(found, private=True)
    return file_of(organization, narrowed, request.GET.get("format", ""))


@login_required
@require_POST
def export_run(request: SignedIn, slug: str) -> HttpResponse:
    """The same of many, as a run that makes the file."""
    organization = access.organization_for_admin(request.user, slug)
    found = RegistryEntry.objects.of(organization)
    narrowed = Filters.of(request.GET).narrowed(found, private=True)
    return begin_exporting(request, organization, narrowed, request.POST.get("format", ""))


def file_of(
    organization: Organization, found: QuerySet[RegistryEntry], format: str
) -> StreamingHttpResponse:
    """What import reads back, enabled entries first as it wants them; no secrets."""
    format = format if format in WRITERS else "csv"
    types = {"csv": "text/csv", "json": "application/json", "yaml": "application/yaml"}
    chosen = found.order_by("-enabled", "created_at", "id").iterator(chunk_size=500)
    name = f"{organization.slug}-registries.{format}"
    return StreamingHttpResponse(
        Held(exported(chosen, format), organization.pk),
        content_type=f"{types[format]}; charset=utf-8",
        headers={"Content-Disposition": f'attachment; filename="{name}"'},
    )
