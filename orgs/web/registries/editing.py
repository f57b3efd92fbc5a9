"""Registries of an organization: add, edit, switch, delete; the list is in listing.py, an
entry's page in entry.py.

Each view: gate, form, service, answer.
"""

from __future__ import annotations

from uuid import UUID

from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.http import Http404, HttpResponse
from django.shortcuts import redirect, render
from django.views.decorators.cache import never_cache
from django.views.decorators.debug import sensitive_post_parameters

from orgs import access
from orgs.forms.entry import EntryForm, requested_form
from orgs.forms.verifying import AfterForm
from orgs.models import Organization, RegistryEntry
from orgs.registries.catalogue import BY_SLUG, TYPES
from orgs.services.entries import door
from orgs.services.entries.usage import entry_usage
from orgs.web.context import SignedIn, acting, inside

from .help import help_beside


@login_required
@never_cache
@sensitive_post_parameters()
def new(request: SignedIn, slug: str) -> HttpResponse:
    organization = access.organization_for_admin(request.user, slug)
    copied = _copied(request, organization)
    form = requested_form(request, organization, copy=copied)
    if form.is_bound and (saved := form.write(acting(request, organization))):
        AfterForm(request.POST).remember(request, saved, new=True)
        messages.success(request, f"{saved} is saved.")
        return redirect("entry", slug, saved.pk)
    return _form_page(request, "registries/new.html", form, copied)


def _copied(request: SignedIn, organization: Organization) -> RegistryEntry | None:
    """The entry that the address names to be copied; raises Http404."""
    if "copy" not in request.GET:
        return None
    try:
        return access.entry_in(organization, UUID(request.GET["copy"]))
    except ValueError:
        raise Http404 from None


@login_required
@never_cache
@sensitive_post_parameters()
def edit(request: SignedIn, slug: str, entry_id: UUID) -> HttpResponse:
    organization = access.organization_for_admin(request.user, slug)
    found = access.entry_in(organization, entry_id)
    form = requested_form(request, organization, found)
    if form.is_bound and (saved := form.write(acting(request, organization))):
        AfterForm(request.POST).remember(request, saved, new=False)
        messages.success(request, f"{saved} is saved.")
        return redirect("entry", slug, saved.pk)
    return _form_page(request, "registries/edit.html", form)


def _form_page(
    request: SignedIn, template: str, form: EntryForm, copied: RegistryEntry | None = None
) -> HttpResponse:
    """The page, or with `?fields` only the type's own fields (asked without a secret)."""
    context = {
        "form": form,
        "after": AfterForm.of(request),
        "entry": form.entry,
        "types": TYPES,
        "copied": copied,
    }
    if request.method == "GET" and "fields" in request.GET:
        return render(request, "registries/_type_fields.html", context)
    context["help"] = help_beside(form)
    return render(request, template, inside(request, form.organization, "registries") | context)


@login_required
def delete(request: SignedIn, slug: str, entry_id: UUID) -> HttpResponse:
    organization = access.organization_for_admin(request.user, slug)
    found = access.entry_in(organization, entry_id)
    if request.method == "POST":
        door.entry_delete(entry=found, actor=acting(request, organization))
        messages.success(request, f"{found} is deleted.")
        return redirect("registries", slug)
    registry_type = BY_SLUG.get(found.registry_type)
    context = {
        "entry": found,
        "usage": entry_usage(found, days=7),
        "run_out": registry_type.login_life if registry_type else "",
    }
    return render(
        request, "registries/delete.html", inside(request, organization, "registries") | context
    )
