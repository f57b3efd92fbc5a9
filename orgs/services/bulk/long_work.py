"""Imports and exports that take longer than a page, as runs.

An import is one transaction, and its run ends within that: it is imported and over, or
neither. What can be watched, and stopped, is the judging before it.
"""

from __future__ import annotations

import time
import zlib
from collections.abc import Iterable, Iterator
from datetime import timedelta
from typing import Any
from uuid import UUID

from django.db import DatabaseError, transaction
from django.db.models.functions import Now

from orgs.models import ImportDraft, Organization, RegistryEntry, Run, RunFile
from orgs.registries.turns import turns
from orgs.services.audit.events import Actor
from orgs.services.runs import going
from orgs.services.runs.going import Going, Lost

from . import drafts, importing
from .exporting import WRITERS
from .files import apart
from .files.rows import MAX_ROWS

EVERY = 1.0  # seconds from one sign of life to the next
FILE_KEPT = timedelta(days=1)
CHANGED = (
    "Registries were changed since you looked, so nothing was imported. "
    "This is what importing would do now."
)


def begin_import(
    *, draft: ImportDraft, count: int, fingerprint: str, actor: Actor
) -> tuple[Run, bool]:
    """Have the draft imported as its preview, with this fingerprint, told; it waits for its
    run from now on, and no longer for its person. `count` is how many rows it changes."""
    given = {
        "file": draft.file_name,
        "draft": str(draft.pk),
        "fingerprint": fingerprint[:64],
    }
    with transaction.atomic():
        run, new = going.begin(
            organization=draft.organization,
            kind=Run.Kind.IMPORT,
            actor=actor,
            total=count,
            given=given,
        )
        if new:
            drafts.hold(draft, run)
    return run, new


def work_import(held: Going) -> None:
    """Judge the file anew, then write it whole or not at all."""
    found = drafts.held_by(held.run)
    if found is None:
        held.end(Run.State.FAILED, told={"outcome": "Its file is gone, so nothing was imported."})
        return
    draft, content = found
    task: dict[str, Any] = {
        "organization": draft.organization,
        "rows": apart.ReadRows(content, draft.format),
        "update": draft.update,
        "limit": MAX_ROWS,
    }
    wanted = held.run.given.get("fingerprint", "")
    try:
        with apart.PLACES.taken(
            draft.organization_id, wait=60.0, organization=draft.organization_id
        ):
            beat = _Beats(held)
            report = importing.plan(**task, on_row=lambda outcome: beat.one(outcome.kind))
            as_told = report.fingerprint == wanted and not report.errors
            held.beat(told={"phase": "writing"} if as_told else {})
            if as_told and _written(held, draft, task, wanted):
                return
    except (Lost, DatabaseError):
        raise  # another process goes on with it
    except BaseException:
        drafts.let_go(draft)
        raise
    drafts.let_go(draft)
    held.end(Run.State.FAILED, told={"outcome": CHANGED, "draft": str(draft.pk)})


def _written(held: Going, draft: ImportDraft, task: dict[str, Any], wanted: str) -> bool:
    """Whether it was imported, and its draft dropped and its run ended with that."""
    with transaction.atomic():
        actor = going.actor_of(held.run)
        report = importing.apply(**task, actor=actor, expected=wanted)
        if report.written:
            drafts.draft_discard(draft)
            # Raises `Lost` where another process has it now: then nothing is written here.
            held.end(
                Run.State.DONE,
                done=held.run.total,
                told={"outcome": importing.counts(report)},
            )
    return report.written


def begin_export(
    *, organization: Organization, ids: Iterable[UUID], format: str, actor: Actor
) -> tuple[Run, bool]:
    """Have these entries of the organization written into a file."""
    found = list(ids)
    given = {"format": format if format in WRITERS else "csv", "ids": [str(each) for each in found]}
    kind = Run.Kind.EXPORT
    return going.begin(
        organization=organization, kind=kind, actor=actor, total=len(found), given=given
    )


def work_export(held: Going) -> None:
    """Write the file, which is kept for `FILE_KEPT`."""
    held.beat()  # it may be stopped before anything was begun
    beat = _Beats(held)
    packer = zlib.compressobj()
    packed = bytearray()
    format = held.run.given["format"]
    for piece in WRITERS[format](_counted(_entries(held.run), beat)):
        packed += packer.compress(piece.encode())
    packed += packer.flush()
    held.beat()
    name = f"{held.run.organization.slug}-registries.{format}"
    with transaction.atomic():
        RunFile.objects.update_or_create(
            run=held.run, defaults={"name": name, "packed": bytes(packed)}
        )
        # As many as there are still.
        held.end(Run.State.DONE, done=beat.count, given={"format": format})


def _entries(run: Run) -> Iterator[RegistryEntry]:
    """In the order of their ids as they were given, as far as they are there still."""
    ids = [UUID(each) for each in run.given["ids"]]
    found = RegistryEntry.objects.filter(organization=run.organization).defer("secrets")
    found = found.prefetch_related("patterns__environment")
    for begin in range(0, len(ids), 500):
        by_id = found.in_bulk(ids[begin : begin + 500])
        yield from (by_id[each] for each in ids[begin : begin + 500] if each in by_id)


def file_of(run: Run) -> tuple[str, Iterator[bytes]] | None:
    """Name and content of what an export made; None where it isn't kept any more."""
    fresh = RunFile.objects.filter(run=run, run__ended_at__gt=Now() - FILE_KEPT)
    found = fresh.values_list("name", "packed").first()
    if found is None:
        return None
    name, packed = found
    return name, _pieces(bytes(packed))


def _pieces(packed: bytes) -> Iterator[bytes]:
    opened = zlib.decompressobj()
    for begin in range(0, len(packed), 16_384):
        yield opened.decompress(packed[begin : begin + 16_384])
    yield opened.flush()


def expire_files() -> int:
    """Drop the files past their time; how many went."""
    late = RunFile.objects.filter(run__ended_at__lte=Now() - FILE_KEPT)
    return late.delete()[0] if late.exists() else 0


class _Beats:
    """Counts, and tells the run of it every second; raises what `Going.beat` does."""

    def __init__(self, held: Going) -> None:
        self.held, self.count, self._last = held, 0, time.monotonic()

    def one(self, kind: str = "") -> None:
        turns.breathe()
        self.count += kind not in {"unchanged", "refused"}
        if time.monotonic() - self._last > EVERY:
            self.held.beat(done=min(self.count, self.held.run.total))
            self._last = time.monotonic()


def _counted(entries: Iterator[RegistryEntry], beat: _Beats) -> Iterator[RegistryEntry]:
    for entry in entries:
        beat.one()
        yield entry
