"""What is certain among a file's errors, put right for its person: on the server, seen
before it is imported; or as a file, where no secret is in it, since none is given back."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import PurePath

from django.http import HttpResponse
from django.utils.http import content_disposition_header

from orgs.models import ImportDraft
from orgs.services.bulk import drafts
from orgs.services.bulk.correcting import Corrections
from orgs.services.bulk.files import apart
from orgs.services.bulk.files.columns import secret_columns
from orgs.services.bulk.files.rows import BrokenFile, Row
from orgs.services.bulk.grouping import corrections_grouped
from orgs.services.bulk.importing import Report

NOT_CORRECTED = "What is wrong in this file can't be corrected here. Mend it in the file itself."
NOT_GIVEN = (
    "A corrected file isn't given here: not every correction is certain, or a secret is in "
    "the file, and none is ever written back. Correct it here, or in the file itself."
)
_TYPES = {"csv": "text/csv", "json": "application/json", "yaml": "application/yaml"}


@dataclass(frozen=True)
class Offer:
    """So many rows can be put right for certain; `every`: with them all errors. `file`: it
    may be given back, as `as_csv` in another format than it came."""

    rows: int
    every: bool
    file: bool
    as_csv: bool


def offer(
    draft: ImportDraft, rows: Iterable[Row], report: Report, found: Corrections
) -> Offer | None:
    """What to offer for a file with these errors; None where there is nothing."""
    every = bool(found.cells) and found.errors == len(report.errors) + report.untold
    as_csv = draft.format == "xlsx"
    # Of a workbook all is written as text: what is no text must not get lost among it.
    if not found.cells or (as_csv and not every):
        return None
    return Offer(len(found.cells), every, every and not _has_secrets(rows), as_csv)


def _has_secrets(rows: Iterable[Row]) -> bool:
    hidden = secret_columns()
    return any(row.cells.get(column) for row in rows for column in hidden)


def corrected_draft(draft: ImportDraft, found: Corrections) -> ImportDraft | None:
    """The file by its corrections, to be looked at again; None where it can't be written."""
    try:
        made = apart.corrected(draft.chosen, draft.format, found.cells)
    except BrokenFile:
        return None
    return drafts.draft_store(
        organization=draft.organization,
        user=draft.user,
        file_name=draft.file_name,
        format=made.format,
        content=made.content,
        update=draft.update,
        corrected=[*draft.corrected, *corrections_grouped(found.found)],
    )


def corrected_file(
    draft: ImportDraft, offered: Offer | None, found: Corrections
) -> HttpResponse | None:
    """The file by its corrections, for its person; None where it isn't given."""
    if offered is None or not offered.file:
        return None
    try:
        made = apart.corrected(draft.chosen, draft.format, found.cells)
    except BrokenFile:
        return None
    if made.secrets:
        return None
    name = f"{PurePath(draft.file_name).stem}-corrected.{made.format}"
    return HttpResponse(
        made.content,
        content_type=f"{_TYPES[made.format]}; charset=utf-8",
        headers={"Content-Disposition": content_disposition_header(True, name) or "attachment"},
    )
