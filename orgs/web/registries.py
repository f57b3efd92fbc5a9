"""Registries of an organization: list, entry, add, edit, switch, delete.

Each view: gate, form, service, answer.
"""

from __future__ import annotations

from uuid import UUID

from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.core.paginator import Paginator
from django.db.models import Q, QuerySet
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.views.decorators.cache import never_cache
from django.views.decorators.debug import sensitive_post_parameters
from django.views.decorators.http import require_POST

from orgs import access
from orgs.forms import EntryForm, requested_form
from orgs.models import Environment, Organization, RegistryEntry
from orgs.registries.base import Refused
from orgs.registries.catalogue import BY_SLUG, TYPES
from orgs.services import entries
from orgs.services.attention import broken_sentence
from orgs.services.audit import Actor
from orgs.services.history import history_of

from .context import SignedIn, inside

PAGE_SIZE = 50


@login_required
def index(request: SignedIn, slug: str) -> HttpResponse:
    organization = access.organization_for_member(request.user, slug)
    context = inside(request, organization, "registries")
    query = request.GET.get("q", "").strip()
    found = _searched(RegistryEntry.objects.of(organization), query, context["is_admin"])
    page = Paginator(found, PAGE_SIZE).get_page(request.GET.get("page"))
    context |= {
        "page": page,
        "query": query,
        "environments": Environment.objects.filter(organization=organization).exists(),
    }
    return render(request, "registries/index.html", context)


def _searched(
    found: QuerySet[RegistryEntry], query: str, is_admin: bool
) -> QuerySet[RegistryEntry]:
    """Those whose pattern or note has the words; admins may also look for a key ID."""
    if not query:
        return found
    where = Q(patterns__text__icontains=query) | Q(note__icontains=query)
    if is_admin:
        where |= Q(config__access_key_id__icontains=query)
    return found.filter(pk__in=RegistryEntry.objects.filter(where).values("pk"))


@login_required
def entry(request: SignedIn, slug: str, entry_id: UUID) -> HttpResponse:
    organization = access.organization_for_member(request.user, slug)
    found = access.entry_in(organization, entry_id)
    context = inside(request, organization, "registries")
    is_admin = context["is_admin"]
    context |= {
        "entry": found,
        "broken": broken_sentence(found, key_ids=is_admin),
        "details": _details(found, is_admin),
        "history": history_of(found) if is_admin else [],
    }
    return render(request, "registries/entry.html", context)


def _details(found: RegistryEntry, is_admin: bool) -> list[tuple[str, str]]:
    """(label, value) of what may be shown; members don't see key ids."""
    registry_type = BY_SLUG.get(found.registry_type)
    if registry_type is None:
        return []
    return [
        (f.label, found.config.get(f.name, ""))
        for f in registry_type.config_fields
        if is_admin or not f.name.endswith("key_id")
    ]


@login_required
@never_cache
@sensitive_post_parameters()
def new(request: SignedIn, slug: str) -> HttpResponse:
    organization = access.organization_for_admin(request.user, slug)
    form = requested_form(request, organization)
    if form.is_bound and (saved := form.write(_actor(request, organization))):
        messages.success(request, f"{saved} is saved.")
        return redirect("entry", slug, saved.pk)
    return _form_page(request, "registries/new.html", form)


@login_required
@never_cache
@sensitive_post_parameters()
def edit(request: SignedIn, slug: str, entry_id: UUID) -> HttpResponse:
    organization = access.organization_for_admin(request.user, slug)
    found = access.entry_in(organization, entry_id)
    form = requested_form(request, organization, found)
    if form.is_bound and (saved := form.write(_actor(request, organization))):
        messages.success(request, f"{saved} is saved.")
        return redirect("entry", slug, saved.pk)
    return _form_page(request, "registries/edit.html", form)


def _form_page(request: SignedIn, template: str, form: EntryForm) -> HttpResponse:
    """The page, or with `?fields` only the type's own fields (asked without a secret)."""
    context = {"form": form, "entry": form.entry, "types": TYPES}
    if request.method == "GET" and "fields" in request.GET:
        return render(request, "registries/_type_fields.html", context)
    return render(request, template, inside(request, form.organization, "registries") | context)


@login_required
def delete(request: SignedIn, slug: str, entry_id: UUID) -> HttpResponse:
    organization = access.organization_for_admin(request.user, slug)
    found = access.entry_in(organization, entry_id)
    if request.method == "POST":
        entries.entry_delete(entry=found, actor=_actor(request, organization))
        messages.success(request, f"{found} is deleted.")
        return redirect("registries", slug)
    registry_type = BY_SLUG.get(found.registry_type)
    context = {
        "entry": found,
        "usage": entries.entry_usage(found, days=7),
        "run_out": registry_type is not None and registry_type.minted,
    }
    return render(
        request, "registries/delete.html", inside(request, organization, "registries") | context
    )


@login_required
@require_POST
def enable(request: SignedIn, slug: str, entry_id: UUID) -> HttpResponse:
    return _switch(request, slug, entry_id, enabled=True)


@login_required
@require_POST
def disable(request: SignedIn, slug: str, entry_id: UUID) -> HttpResponse:
    return _switch(request, slug, entry_id, enabled=False)


def _switch(request: HttpRequest, slug: str, entry_id: UUID, *, enabled: bool) -> HttpResponse:
    organization = access.organization_for_admin(request.user, slug)
    found = access.entry_in(organization, entry_id)
    try:
        actor = _actor(request, organization)
        entries.entry_set_enabled(entry=found, actor=actor, enabled=enabled)
        messages.success(request, f"{found} is {'enabled' if enabled else 'disabled'}.")
    except Refused as refused:
        messages.error(request, str(refused))
    return redirect("entry", slug, entry_id)


def _actor(request: HttpRequest, organization: Organization) -> Actor:
    return Actor.person(request.user, organization, request.META.get("REMOTE_ADDR"))  # type: ignore[arg-type]
