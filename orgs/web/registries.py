"""Registries of an organization: list, entry, add, edit, switch, delete.

Each view: gate, form, service, answer.
"""

from __future__ import annotations

from uuid import UUID

from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.core.paginator import Paginator
from django.db.models import Q
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.views.decorators.debug import sensitive_post_parameters
from django.views.decorators.http import require_POST

from orgs import access
from orgs.forms import EntryForm, form_for
from orgs.models import AuditEvent, Organization, RegistryEntry
from orgs.registries.base import Refused
from orgs.registries.catalogue import BY_SLUG, TYPES
from orgs.services import entries
from orgs.services.audit import Actor

PAGE_SIZE = 50


@login_required
def index(request: HttpRequest, slug: str) -> HttpResponse:
    organization = access.organization_for_member(request.user, slug)
    query = request.GET.get("q", "").strip()
    is_admin = access.is_admin(request.user, organization)
    found = _searched(RegistryEntry.objects.of(organization), query, is_admin)
    page = Paginator(found, PAGE_SIZE).get_page(request.GET.get("page"))
    context = {"organization": organization, "is_admin": is_admin, "page": page, "query": query}
    return render(request, "registries/index.html", context | {"here": "registries"})


def _searched(found, query: str, is_admin: bool):
    if not query:
        return found
    where = Q(patterns__text__icontains=query) | Q(note__icontains=query)
    if is_admin:
        where |= Q(config__access_key_id__icontains=query)
    return found.filter(pk__in=RegistryEntry.objects.filter(where).values("pk"))


@login_required
def entry(request: HttpRequest, slug: str, entry_id: UUID) -> HttpResponse:
    organization = access.organization_for_member(request.user, slug)
    found = access.entry_in(organization, entry_id)
    is_admin = access.is_admin(request.user, organization)
    history = AuditEvent.objects.filter(
        organization_id=organization.pk, subject_id=str(found.pk), action__startswith="entry."
    ).order_by("-at", "-pk")[:20]
    context = {"organization": organization, "entry": found, "is_admin": is_admin}
    details = _details(found, is_admin)
    return render(
        request,
        "registries/entry.html",
        context | {"history": history if is_admin else [], "details": details, "here": "registries"},
    )


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
@sensitive_post_parameters()
def new(request: HttpRequest, slug: str) -> HttpResponse:
    organization = access.organization_for_admin(request.user, slug)
    chosen = request.POST.get("registry_type") or request.GET.get("type")
    patterns = request.GET.get("pattern", "").split()
    form = _bound(request, form_for(chosen), organization, initial={"patterns": patterns})
    if request.method == "POST" and "show_fields" not in request.POST and form.is_valid():
        saved = form.write(_actor(request, organization))
        if saved is not None:
            messages.success(request, f"{saved} is saved.")
            return redirect("entry", slug, saved.pk)
    return _form_page(request, "registries/new.html", form)


@login_required
@sensitive_post_parameters()
def edit(request: HttpRequest, slug: str, entry_id: UUID) -> HttpResponse:
    organization = access.organization_for_admin(request.user, slug)
    found = access.entry_in(organization, entry_id)
    chosen = request.POST.get("registry_type") or request.GET.get("type") or found.registry_type
    form_class = form_for(chosen)
    other_type = form_class.type.slug != found.registry_type
    replacing = "replace" in request.GET or other_type or not found.secrets
    asks = replacing or _given_secret(request, form_class)
    form = _bound(request, form_class, organization, instance=found, show_secrets=asks)
    if request.method == "POST" and "show_fields" not in request.POST:
        if form.is_valid():
            saved = form.write(_actor(request, organization))
            if saved is not None:
                messages.success(request, f"{saved} is saved.")
                return redirect("entry", slug, saved.pk)
        if not asks and form.has_error("__all__", "secret_required"):
            # The change needs the secret after all: the same form, with its field.
            form = _bound(request, form_class, organization, instance=found, show_secrets=True)
    return _form_page(request, "registries/edit.html", form)


def _given_secret(request: HttpRequest, form_class: type[EntryForm]) -> bool:
    return any(f.name in request.POST for f in form_class.type.secret_fields)


def _bound(
    request: HttpRequest, form_class: type[EntryForm], organization: Organization, **kwargs: object
) -> EntryForm:
    """Bound on Save; «Show its fields» keeps what was typed, without errors or secrets."""
    if request.method != "POST":
        return form_class(organization=organization, **kwargs)
    if "show_fields" not in request.POST:
        return form_class(request.POST, organization=organization, **kwargs)
    form = form_class(organization=organization, **kwargs)
    secret = {f.name for t in TYPES for f in t.secret_fields}
    for name, field in form.fields.items():
        if name in request.POST and name not in secret:
            value = field.widget.value_from_datadict(request.POST, request.FILES, name)
            form.initial[name] = value
    return form


def _form_page(request: HttpRequest, template: str, form: EntryForm) -> HttpResponse:
    """The page, or with `?fields` only the type's own fields (asked without a secret)."""
    context = {
        "form": form,
        "organization": form.organization,
        "entry": form.entry,
        "types": TYPES,
        "is_admin": True,
        "here": "registries",
    }
    if request.method == "GET" and "fields" in request.GET:
        return render(request, "registries/_type_fields.html", context)
    return render(request, template, context, status=200)


@login_required
def delete(request: HttpRequest, slug: str, entry_id: UUID) -> HttpResponse:
    organization = access.organization_for_admin(request.user, slug)
    found = access.entry_in(organization, entry_id)
    if request.method == "POST":
        entries.entry_delete(entry=found, actor=_actor(request, organization))
        messages.success(request, f"{found} is deleted, and its secret erased.")
        return redirect("registries", slug)
    context = {"organization": organization, "entry": found, "is_admin": True}
    usage = entries.entry_usage(found, days=7)
    return render(
        request, "registries/delete.html", context | {"usage": usage, "here": "registries"}
    )


@login_required
@require_POST
def enable(request: HttpRequest, slug: str, entry_id: UUID) -> HttpResponse:
    return _switch(request, slug, entry_id, enabled=True)


@login_required
@require_POST
def disable(request: HttpRequest, slug: str, entry_id: UUID) -> HttpResponse:
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
    return Actor.person(request.user, organization, request.META.get("REMOTE_ADDR"))


