"""Bulk import by staff: the web's form, preview and services in Django's look."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from django.contrib import admin, messages
from django.core.exceptions import PermissionDenied
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseBase
from django.shortcuts import redirect
from django.template.response import TemplateResponse
from django.urls import URLPattern, path, reverse

from orgs.forms.correcting import NOT_CORRECTED, NOT_GIVEN
from orgs.forms.importing import (
    EXPIRED,
    UploadForm,
    changed_rows,
    corrected,
    corrected_for_download,
    errors_csv,
    previewed,
    template_csv,
    work,
)
from orgs.models import ImportDraft, Organization, RegistryEntry, User
from orgs.registries.catalogue import TYPES
from orgs.services.bulk import drafts, importing, long_work
from orgs.services.runs import going

from .base import staff_actor
from .entry_filters import OrganizationFilter, chosen_organization

_UPLOAD = "admin:orgs_organization_import"
_PREVIEW = "admin:orgs_organization_import_preview"


def urls() -> list[URLPattern]:
    """The addresses below an organization's; never cached, and for staff only."""
    guarded = admin.site.admin_view
    below = "<int:organization_id>/import/"
    return [
        path(below, guarded(upload), name=_UPLOAD.removeprefix("admin:")),
        path(
            f"{below}<uuid:draft_id>/",
            guarded(preview),
            name=_PREVIEW.removeprefix("admin:"),
        ),
    ]


def upload(request: HttpRequest, organization_id: int) -> HttpResponseBase:
    user, organization = _gate(request, organization_id)
    if request.GET.get("template") == "csv":
        return template_csv(request.GET.get("type"))
    posted = request.POST if request.method == "POST" else None
    form = UploadForm(posted, request.FILES or None)
    if not _may_update(user):
        del form.fields["update"]
    if form.is_bound and (draft := form.store(organization, user)):
        return redirect(_PREVIEW, organization.pk, draft.pk)
    context = {"title": "Import entries", "form": form, "types": TYPES}
    return _page(request, organization, "import", context)


def preview(request: HttpRequest, organization_id: int, draft_id: UUID) -> HttpResponseBase:
    user, organization = _gate(request, organization_id)
    with work(organization, user, draft_id) as found:
        if found is None:
            messages.error(request, EXPIRED)
            return redirect(_UPLOAD, organization.pk)
        draft, told = found
        # Also where the permission was taken since, or the draft is from the person's web
        # pages.
        if draft.update and not _may_update(user):
            raise PermissionDenied
        if request.method == "POST":
            return (_correct if "correct" in request.POST else _import)(request, draft, told)
        if request.GET.get("corrected") == "file":
            return _corrected_file(request, draft, told)
        if request.GET.get("errors") == "csv":
            return errors_csv(organization, told)
        context = previewed(draft, told, request.GET.get("page"))
    context |= {
        "title": f"Import preview: {draft.file_name}",
        "errors": context["mistakes"],
    }
    return _page(request, organization, "import_preview", context)


def _import(request: HttpRequest, draft: ImportDraft, told: dict[str, Any]) -> HttpResponse:
    """Do what the preview told, or nothing; a preview of something else is shown again."""
    organization, actor = draft.organization, staff_actor(request)
    fingerprint = request.POST.get("fingerprint", "")
    if (count := changed_rows(request.POST)) > going.LONG:
        run, _ = long_work.begin_import(
            draft=draft, count=count, fingerprint=fingerprint, actor=actor
        )
        return redirect("run", organization.slug, run.pk)
    report = importing.apply(actor=actor, expected=fingerprint, **told)
    if not report.written:
        messages.error(request, long_work.CHANGED)
        return redirect(_PREVIEW, organization.pk, draft.pk)
    drafts.draft_discard(draft)
    messages.success(request, f"{draft.file_name} is imported: {importing.counts(report)}")
    return redirect(_list_of(organization))


def _correct(request: HttpRequest, draft: ImportDraft, told: dict[str, Any]) -> HttpResponse:
    """Put right what is certain, and look again; nothing is imported."""
    new = corrected(draft, told)
    if new is None:
        messages.error(request, NOT_CORRECTED)
    return redirect(_PREVIEW, draft.organization.pk, (new or draft).pk)


def _corrected_file(request: HttpRequest, draft: ImportDraft, told: dict[str, Any]) -> HttpResponse:
    file = corrected_for_download(draft, told)
    if file is None:
        messages.error(request, NOT_GIVEN)
        return redirect(_PREVIEW, draft.organization.pk, draft.pk)
    return file


def _gate(request: HttpRequest, organization_id: int) -> tuple[User, Organization]:
    """Who may add entries, and where. Raises PermissionDenied, Http404."""
    user = request.user
    if not (isinstance(user, User) and user.has_perm("orgs.add_registryentry")):
        raise PermissionDenied
    organization = chosen_organization(str(organization_id))
    if organization is None:
        raise Http404
    return user, organization


def _may_update(user: User) -> bool:
    return user.has_perm("orgs.change_registryentry")


def _list_of(organization: Organization) -> str:
    query = {OrganizationFilter.parameter_name: organization.pk}
    return reverse("admin:orgs_registryentry_changelist", query=query)


def _page(
    request: HttpRequest, organization: Organization, name: str, context: dict[str, Any]
) -> HttpResponse:
    shared = {
        **admin.site.each_context(request),
        "opts": RegistryEntry._meta,
        "organization": organization,
        "all": _list_of(organization),
    }
    template = f"admin/orgs/organization/{name}.html"
    return TemplateResponse(request, template, shared | context)
