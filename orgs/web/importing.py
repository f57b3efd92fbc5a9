"""Bulk import: choose a file, see what would happen, confirm. Nothing is written before."""

from __future__ import annotations

import csv
from collections.abc import Iterator
from io import BytesIO, StringIO
from typing import Any
from uuid import UUID

from django import forms
from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.core.paginator import Paginator
from django.http import HttpResponse, HttpResponseBase, StreamingHttpResponse
from django.shortcuts import redirect, render
from django.views.decorators.cache import never_cache

from orgs import access
from orgs.models import ImportDraft, Organization, User
from orgs.registries.catalogue import TYPES
from orgs.services import drafts, files, importing
from orgs.services.drafts import MAX_BYTES, MAX_ROWS
from orgs.services.files.columns import COLUMNS, FIELDS, CellError, escape
from orgs.services.importing import Outcome, Report

from .context import SignedIn, acting, inside, posted

PAGE_SIZE = 200
EXPIRED = "This preview has expired. Choose the file again."
CHANGED = (
    "Registries were changed since you looked, so nothing was imported. "
    "This is what importing would do now."
)
_ENDINGS = ".csv, .json, .yaml or .xlsx"


class UploadForm(forms.Form):
    file = forms.FileField(
        widget=forms.FileInput(attrs={"accept": ".csv,.json,.yaml,.yml,.xlsx"}),
        help_text=f"CSV, JSON, YAML or XLSX; at most {MAX_ROWS:,} rows and "
        f"{MAX_BYTES // 10**6} MB.",
        error_messages={
            "required": "There is no file. Choose one.",
            "missing": "There is no file. Choose one.",
            "invalid": "There is no file. Choose one.",
            "empty": "The file is empty. Choose another.",
        },
    )
    update = forms.BooleanField(
        label="Update entries that differ",
        required=False,
        help_text="Else a row that differs from the entry with its pattern is an error.",
    )

    def clean_file(self) -> Any:
        chosen = self.cleaned_data["file"]
        if chosen.size > MAX_BYTES:
            raise forms.ValidationError(
                f"The file has more than {MAX_BYTES // 10**6} MB. Split it.", code="too_large"
            )
        if files.format_of(chosen.name) is None:
            raise forms.ValidationError(
                f"The file's name ends in none of {_ENDINGS}. Save it as one of these.",
                code="unknown_format",
            )
        return chosen

    def store(self, organization: Organization, user: User) -> ImportDraft | None:
        """The draft to preview; None, with errors, where the file can't be one."""
        if not self.is_valid():
            return None
        chosen = self.cleaned_data["file"]
        return drafts.draft_store(
            organization=organization,
            user=user,
            file_name=chosen.name,
            format=files.format_of(chosen.name) or "",
            content=chosen.read(),
            update=self.cleaned_data["update"],
        )


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
    work = _work(request, organization, draft_id)
    if work is None:
        return _expired(request, slug)
    draft, told = work
    if request.method == "POST":
        return _import(request, draft, told)
    rows: list[Outcome] = []
    report = importing.plan(on_row=_keep_changes(rows), **told)
    listed: list[Any] = list(report.errors) or rows
    context = {
        "draft": draft,
        "report": report,
        "mistakes": len(report.errors) + report.untold,
        "count": report.created + report.updated,
        "counts": _counts(report),
        "page": Paginator(listed, PAGE_SIZE).get_page(request.GET.get("page")),
        "minutes": drafts.LIFE.seconds // 60,
    }
    return render(
        request,
        "registries/import_preview.html",
        inside(request, organization, "registries") | context,
    )


def _import(request: SignedIn, draft: ImportDraft, told: dict[str, Any]) -> HttpResponse:
    """Do what the preview told, or nothing; a preview of something else is shown again."""
    slug = draft.organization.slug
    report = importing.apply(
        actor=acting(request, draft.organization),
        expected=request.POST.get("fingerprint", ""),
        **told,
    )
    if not report.written:
        messages.error(request, CHANGED)
        return redirect("import_preview", slug, draft.pk)
    drafts.draft_discard(draft)
    messages.success(request, f"{draft.file_name} is imported: {_counts(report)}")
    return redirect("registries", slug)


@login_required
@never_cache
def errors(request: SignedIn, slug: str, draft_id: UUID) -> HttpResponseBase:
    organization = access.organization_for_admin(request.user, slug)
    work = _work(request, organization, draft_id)
    if work is None:
        return _expired(request, slug)
    lines = _error_lines(importing.plan(**work[1]).errors)
    return _csv(lines, f"{slug}-import-errors.csv")


@login_required
def template(request: SignedIn, slug: str) -> HttpResponseBase:
    access.organization_for_admin(request.user, slug)
    own = {declared.name for registry_type in TYPES for declared in registry_type.fields}
    columns = [name for name in COLUMNS if name in own or name not in FIELDS]
    return _csv(iter([",".join(columns) + "\r\n"]), "registries-template.csv")


def _work(
    request: SignedIn, organization: Organization, draft_id: UUID
) -> tuple[ImportDraft, dict[str, Any]] | None:
    """The person's draft, and what `plan` and `apply` take of it; None if it is gone."""
    found = drafts.draft_load(organization=organization, user=request.user, draft_id=draft_id)
    if found is None:
        return None
    draft, content = found
    draft.organization = organization
    return draft, {
        "organization": organization,
        "file": BytesIO(content),
        "format": draft.format,
        "update": draft.update,
        "limit": MAX_ROWS,
    }


def _expired(request: SignedIn, slug: str) -> HttpResponse:
    messages.error(request, EXPIRED)
    return redirect("import", slug)


def _keep_changes(rows: list[Outcome]) -> Any:
    """Only these are listed: what stays as it is needs nobody."""
    return lambda outcome: rows.append(outcome) if outcome.kind != "unchanged" else None


def _counts(report: Report) -> str:
    return f"{report.created:,} new, {report.updated:,} changed, {report.unchanged:,} unchanged."


def _error_lines(found: list[CellError]) -> Iterator[str]:
    """What the preview tells of errors; cells that are safe to open in a spreadsheet."""
    yield "Row,Column,Value,Problem,Fix\r\n"
    for error in found:
        row = "" if error.row is None else str(error.row)
        line = StringIO()
        csv.writer(line).writerow(
            [row, *map(escape, (error.column, error.value, error.what, error.fix))]
        )
        yield line.getvalue()


def _csv(lines: Iterator[str], name: str) -> StreamingHttpResponse:
    headers = {"Content-Disposition": f'attachment; filename="{name}"'}
    return StreamingHttpResponse(lines, content_type="text/csv; charset=utf-8", headers=headers)
