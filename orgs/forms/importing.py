"""Bulk import as forms see it: the file, its preview, its errors; for the web and the admin.

Nothing is written before someone has seen what would happen. What is right is
decided by `services.importing`.
"""

from __future__ import annotations

import csv
import itertools
import re
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from io import StringIO
from typing import Any
from uuid import UUID

from django import forms
from django.core.paginator import Paginator
from django.http import HttpResponse, QueryDict, StreamingHttpResponse

from orgs.models import ImportDraft, Organization, User
from orgs.registries.catalogue import BY_SLUG
from orgs.registries.turns import turns
from orgs.services.audit.cells import escape
from orgs.services.bulk import drafts, files, importing
from orgs.services.bulk.correcting import Corrections
from orgs.services.bulk.files import apart
from orgs.services.bulk.files.columns import CellError, columns, columns_of
from orgs.services.bulk.files.rows import MAX_BYTES, MAX_ROWS, Row
from orgs.services.bulk.grouping import grouped
from orgs.services.bulk.importing import Outcome, Refusing, Report

from .correcting import corrected_draft, corrected_file, offer

PAGE_SIZE = 200
EXPIRED = "This preview has expired. Choose the file again."
_ENDINGS = ".csv, .json, .yaml or .xlsx"


class UploadForm(forms.Form):
    file = forms.FileField(
        widget=forms.FileInput(
            attrs={"accept": ".csv,.json,.yaml,.yml,.xlsx,.dockerconfigjson,.dockercfg"}
        ),
        help_text=f"CSV, JSON, YAML or XLSX, or Docker's own config.json; at most {MAX_ROWS:,} "
        f"rows and {MAX_BYTES // 10**6} MB.",
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
            update=self.cleaned_data.get("update", False),
        )


@contextmanager
def work(
    organization: Organization, user: User, draft_id: UUID
) -> Iterator[tuple[ImportDraft, dict[str, Any]] | None]:
    """The person's draft, and what `plan` and `apply` take of it; None if it is gone.

    An organization's place for reading files is held meanwhile; raises `Full`.
    """
    with apart.PLACES.taken(organization.pk, organization=organization.pk):
        found = drafts.draft_load(organization=organization, user=user, draft_id=draft_id)
        if found is None:
            yield None
            return
        draft, content = found
        draft.organization, draft.chosen = organization, content
        yield (
            draft,
            {
                "organization": organization,
                # Read before anything is locked.
                "rows": apart.ReadRows(content, draft.format),
                "update": draft.update,
                "limit": MAX_ROWS,
            },
        )


def previewed(draft: ImportDraft, told: dict[str, Any], page: str | None) -> dict[str, Any]:
    """What a preview's page shows of a draft's `work`: all errors, the same problem of many
    rows once; or else all changes."""
    rows: list[Outcome] = []
    found = Corrections()
    report = planned(told, _keep_changes(rows), found.look_at)
    listed: list[Any] = grouped(report.errors) or rows
    return {
        "draft": draft,
        "report": report,
        "mistakes": len(report.errors) + report.untold,
        "offer": offer(draft, told["rows"], report, found),
        "count": report.created + report.updated,
        "counts": importing.counts(report),
        "page": Paginator(listed, PAGE_SIZE).get_page(page),
        "minutes": drafts.LIFE.seconds // 60,
    }


def corrected(draft: ImportDraft, told: dict[str, Any]) -> ImportDraft | None:
    """A draft's `work` with what is certain put right, to be looked at again; None where
    nothing is."""
    found = Corrections()
    planned(told, on_refused=found.look_at)
    return corrected_draft(draft, found) if found.cells else None


def corrected_for_download(draft: ImportDraft, told: dict[str, Any]) -> HttpResponse | None:
    """The same as a file; None where it isn't given."""
    found = Corrections()
    report = planned(told, on_refused=found.look_at)
    return corrected_file(draft, offer(draft, told["rows"], report, found), found)


def planned(
    told: dict[str, Any],
    on_row: Callable[[Outcome], object] = lambda outcome: None,
    on_refused: Refusing | None = None,
) -> Report:
    """`plan`, with a pause every few rows of each of its passes.

    Whoever waits for the interpreter, or for a turn, gets it in a pause
    (docs/decisions/0011-reading-files.md). Importing itself doesn't pause: it holds a lock.
    """

    def pause(number: int) -> None:
        if number % 3 == 0:
            with turns.given_up():
                time.sleep(0.0005)

    def gently() -> Iterator[Row]:
        for number, row in enumerate(told["rows"]):
            pause(number)
            yield row

    judged = itertools.count()

    def pausing(outcome: Outcome) -> None:
        pause(next(judged))
        on_row(outcome)

    return importing.plan(**{**told, "rows": gently(), "on_row": pausing, "on_refused": on_refused})


def _keep_changes(rows: list[Outcome]) -> Callable[[Outcome], object]:
    """Only these are listed: what stays as it is needs nobody."""
    return lambda outcome: rows.append(outcome) if outcome.kind != "unchanged" else None


def changed_rows(sent: QueryDict) -> int:
    """How many rows the preview that is confirmed said it changes; as it was sent, so that it
    decides of nothing but how the import is watched."""
    text = sent.get("count", "")
    return min(int(text), MAX_ROWS) if re.fullmatch("[0-9]{1,6}", text) else 0


def errors_csv(organization: Organization, told: dict[str, Any]) -> StreamingHttpResponse:
    """The errors of a draft's `work`, as a file."""
    lines = _error_lines(planned(told).errors)
    return _csv(lines, f"{organization.slug}-import-errors.csv")


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


def template_csv(slug: str | None = None) -> StreamingHttpResponse:
    """A header to begin with, as a file: that of a type's entries, or of all."""
    kind = BY_SLUG.get(slug or "")
    header = ",".join(columns_of(kind) if kind else columns())
    name = f"{kind.slug}-template.csv" if kind else "registries-template.csv"
    return _csv(iter([f"{header}\r\n"]), name)


def _csv(lines: Iterator[str], name: str) -> StreamingHttpResponse:
    headers = {"Content-Disposition": f'attachment; filename="{name}"'}
    return StreamingHttpResponse(lines, content_type="text/csv; charset=utf-8", headers=headers)
