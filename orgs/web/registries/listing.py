"""The list of an organization's entries: filtered and sorted by its address, exported,
and switched many at a time."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.core.paginator import Paginator
from django.db.models import F, OuterRef, Q, QuerySet, Subquery
from django.http import HttpResponse, HttpResponseBase, QueryDict, StreamingHttpResponse
from django.shortcuts import redirect, render
from django.urls import reverse
from django.utils import timezone
from django.views.decorators.http import require_POST

from orgs import access
from orgs.forms.verifying import verify_many
from orgs.models import IndexedPattern, Organization, RegistryEntry
from orgs.registries.catalogue import BY_SLUG, TYPES
from orgs.registries.problems import Refused
from orgs.services.bulk.exporting import WRITERS, Held
from orgs.services.bulk.exporting import export as exported
from orgs.services.entries import door
from orgs.services.entries.attention import OLD, old_key, unused
from orgs.web.context import SignedIn, acting, inside

PAGE_SIZE = 50
_MOST_TOLD = 5
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
STATUSES = {
    **{str(status.value): str(status.label) for status in RegistryEntry.Status},
    "on-workers": "Checked on workers",
    "disabled": "Disabled",
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
        return bool(self.q or self._chosen)

    @property
    def folded(self) -> bool:
        """Whether anything below the search is set."""
        return bool(self._chosen or self.sort)

    @property
    def _chosen(self) -> bool:
        return bool(self.type or self.status or self.environment or self.unused or self.old_key)

    def narrowed(self, found: QuerySet[RegistryEntry], *, private: bool) -> QuerySet[RegistryEntry]:
        """Those that fit; `private` also by what members don't see."""
        before = timezone.now() - OLD
        if self.q:
            found = found.filter(pk__in=_searched(self.q, private))
        if self.type:
            found = found.filter(registry_type=self.type)
        if self.status:
            found = found.filter(self._status())
        if self.environment:
            limited = IndexedPattern.objects.filter(environment__slug=self.environment)
            found = found.filter(pk__in=limited.values("entry"))
        if self.unused:
            found = found.filter(unused(before))
        if self.old_key:
            found = found.filter(old_key(before))
        return found

    def _status(self) -> Q:
        """As lists show it: an entry that is disabled is nothing else."""
        on_workers = [kind.slug for kind in TYPES if kind.completed_on_worker]
        if self.status == "disabled":
            return Q(enabled=False)
        unverified = RegistryEntry.Status.UNVERIFIED
        if self.status == "on-workers":
            return Q(enabled=True, status=unverified, registry_type__in=on_workers)
        wanted = Q(enabled=True, status=self.status)
        return wanted & ~Q(status=unverified, registry_type__in=on_workers)

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
        hidden = {f.name for kind in TYPES for f in kind.fields if f.hidden_from_members}
        for name in sorted(hidden):
            where |= Q(**{f"config__{name}__icontains": words})
    return RegistryEntry.objects.filter(where).values("pk")


@login_required
def index(request: SignedIn, slug: str) -> HttpResponse:
    organization = access.organization_for_member(request.user, slug)
    context = inside(request, organization, "registries")
    filters = Filters.of(request.GET)
    found = filters.narrowed(RegistryEntry.objects.of(organization), private=context["is_admin"])
    context |= {
        "page": Paginator(filters.sorted(found), PAGE_SIZE).get_page(request.GET.get("page")),
        "filters": filters,
        "environments": list(organization.environments.all()),
        "types": TYPES,
        "statuses": STATUSES.items(),
        "sorts": SORTS.items(),
        "columns": _columns(filters.sort),
    }
    return render(request, "registries/index.html", context)


@dataclass(frozen=True)
class Column:
    """A heading that sorts: where it leads, and how the list stands now."""

    sort: str
    aria: str

    @property
    def arrow(self) -> str:
        return {"ascending": "↑", "descending": "↓"}.get(self.aria, "")


def _columns(sort: str) -> dict[str, Column]:
    """What a press on each heading sorts by: the other way round, once it does."""
    now = {"": "none", "-": "descending"}
    return {
        name: Column(
            f"-{name}" if sort == name else name,
            "ascending" if sort == name else now["-"] if sort == f"-{name}" else now[""],
        )
        for name in ("pattern", "used", "key")
    }


@login_required
def export(request: SignedIn, slug: str) -> HttpResponseBase:
    organization = access.organization_for_admin(request.user, slug)
    found = RegistryEntry.objects.of(organization)
    narrowed = Filters.of(request.GET).narrowed(found, private=True)
    return _file(organization, narrowed, request.GET.get("format", ""))


def _file(
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


@login_required
@require_POST
def selected(request: SignedIn, slug: str) -> HttpResponseBase:
    """Verify, enable, disable or export those that are ticked; back to the list as it was."""
    organization = access.organization_for_admin(request.user, slug)
    action = request.POST.get("action")
    chosen = RegistryEntry.objects.of(organization).filter(
        pk__in=_ids(request.POST.getlist("entry"))
    )
    if not chosen.exists():
        messages.error(request, "No entry is selected. Tick some, then choose what to do.")
    elif action == "export":
        return _file(organization, chosen, request.POST.get("format", ""))
    elif action in {"enable", "disable"}:
        _switch(request, organization, list(chosen), enabled=action == "enable")
    elif action == "verify":
        _verify(request, organization, list(chosen))
    return redirect(f"{reverse('registries', args=[slug])}?{request.GET.urlencode()}")


def _ids(texts: Sequence[str]) -> list[UUID]:
    """At most a page of them; what isn't an id is nobody's."""
    found = []
    for text in texts[:PAGE_SIZE]:
        try:
            found.append(UUID(text))
        except ValueError:
            continue
    return found


def _switch(
    request: SignedIn, organization: Organization, chosen: list[RegistryEntry], *, enabled: bool
) -> None:
    """Each in a transaction of its own, so that one that is refused holds up no other."""
    actor, done, same, refused = acting(request, organization), 0, 0, []
    for entry in chosen:
        if entry.enabled == enabled:
            same += 1
            continue
        try:
            door.entry_set_enabled(entry=entry, actor=actor, enabled=enabled)
            done += 1
        except Refused as error:
            refused.append(f"{entry}: {error}")
        except RegistryEntry.DoesNotExist:
            refused.append(f"{entry} was deleted meanwhile.")
    word = "enabled" if enabled else "disabled"
    sentences = [f"{_number(done)} {word}."] if done or not refused else []
    if same:
        sentences.append(f"{_number(same)} {word} already.")
    if sentences:
        messages.success(request, " ".join(sentences))
    _tell(request, refused, "more were refused.")


def _verify(request: SignedIn, organization: Organization, chosen: list[RegistryEntry]) -> None:
    level, done, failed = verify_many(chosen, acting(request, organization))
    messages.add_message(request, level, done)
    _tell(request, failed, "more weren't verified.")


def _tell(request: SignedIn, sentences: list[str], rest: str) -> None:
    for sentence in sentences[:_MOST_TOLD]:
        messages.error(request, sentence)
    if len(sentences) > _MOST_TOLD:
        messages.error(request, f"And {len(sentences) - _MOST_TOLD} {rest}")


def _number(count: int) -> str:
    return "1 entry is" if count == 1 else f"{count} entries are"
