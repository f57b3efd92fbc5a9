"""Bulk import: choose a file, see what would happen, confirm. Nothing is written before."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.http import HttpResponse, HttpResponseBase
from django.shortcuts import redirect, render
from django.views.decorators.cache import never_cache

from orgs import access
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
from orgs.models import ImportDraft
from orgs.registries.catalogue import TYPES
from orgs.services.bulk import drafts, importing, long_work
from orgs.services.runs import going
from orgs.web.context import SignedIn, acting, inside, posted

from .runs import begin_importing


@login_required
@never_cache
def upload(request: SignedIn, slug: str) -> HttpResponse:
    organization = access.organization_for_admin(request.user, slug)
    form = UploadForm(posted(request), request.FILES or None)
    if form.is_bound and (draft := form.store(organization, request.user)):
        return redirect("import_preview", slug, draft.pk)
    context = {"form": form, "types": TYPES}
    return render(
        request, "registries/import.html", inside(request, organization, "registries") | context
    )


@login_required
@never_cache
def preview(request: SignedIn, slug: str, draft_id: UUID) -> HttpResponse:
    organization = access.organization_for_admin(request.user, slug)
    with work(organization, request.user, draft_id) as found:
        if found is None:
            return _expired(request, slug)
        if request.method == "POST":
            return (_correct if "correct" in request.POST else _import)(request, *found)
        if request.GET.get("corrected") == "file":
            return _corrected_file(request, *found)
        context = previewed(*found, request.GET.get("page"))
    return render(
        request,
        "registries/import_preview.html",
        inside(request, organization, "registries") | context,
    )


def _import(request: SignedIn, draft: ImportDraft, told: dict[str, Any]) -> HttpResponse:
    """Do what the preview told, or nothing; a preview of something else is shown again."""
    slug, actor = draft.organization.slug, acting(request, draft.organization)
    if (count := changed_rows(request.POST)) > going.LONG:
        return begin_importing(request, draft, count)
    report = importing.apply(
        actor=actor,
        expected=request.POST.get("fingerprint", ""),
        **told,
    )
    if not report.written:
        messages.error(request, long_work.CHANGED)
        return redirect("import_preview", slug, draft.pk)
    drafts.draft_discard(draft)
    messages.success(request, f"{draft.file_name} is imported: {importing.counts(report)}")
    return redirect("registries", slug)


def _correct(request: SignedIn, draft: ImportDraft, told: dict[str, Any]) -> HttpResponse:
    """Put right what is certain, and look again; nothing is imported."""
    new = corrected(draft, told)
    if new is None:
        messages.error(request, NOT_CORRECTED)
    return redirect("import_preview", draft.organization.slug, (new or draft).pk)


def _corrected_file(request: SignedIn, draft: ImportDraft, told: dict[str, Any]) -> HttpResponse:
    file = corrected_for_download(draft, told)
    if file is None:
        messages.error(request, NOT_GIVEN)
        return redirect("import_preview", draft.organization.slug, draft.pk)
    return file


@login_required
@never_cache
def errors(request: SignedIn, slug: str, draft_id: UUID) -> HttpResponseBase:
    organization = access.organization_for_admin(request.user, slug)
    with work(organization, request.user, draft_id) as found:
        return _expired(request, slug) if found is None else errors_csv(organization, found[1])


@login_required
def template(request: SignedIn, slug: str) -> HttpResponseBase:
    access.organization_for_admin(request.user, slug)
    return template_csv(request.GET.get("type"))


def _expired(request: SignedIn, slug: str) -> HttpResponse:
    messages.error(request, EXPIRED)
    return redirect("import", slug)
