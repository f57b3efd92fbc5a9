"""Enabling and disabling more entries than a request has the time for, as a run.

Each through the door, in one transaction with its row of the run; what is refused holds up
no other. It goes on as the request that began it, so that it can be undone as that.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TypeVar
from uuid import UUID

from django.db import transaction

from orgs.models import Organization, RegistryEntry, Run, RunRow
from orgs.registries.problems import Refused
from orgs.seen import logs
from orgs.services.audit.events import Actor
from orgs.services.runs import going
from orgs.services.runs.going import Going, Stopped, Subject

from . import door

_BATCH = 100
T = TypeVar("T")
Result = RunRow.Result
KINDS = {Run.Kind.ENABLE.value: True, Run.Kind.DISABLE.value: False}


def begin(
    *, organization: Organization, keys: Sequence[UUID], actor: Actor, enabled: bool
) -> tuple[Run, bool]:
    """Have those of these entries that are the organization's enabled or disabled, in the
    order given, `going.MOST_ROWS` of them at most; the run of this kind that is going on
    already, and False, where there is one."""
    subjects = [
        Subject(entry.pk, str(entry))
        for batch in _batches(keys[: going.MOST_ROWS])
        for entry in _found(organization, batch)
    ]
    kind = Run.Kind.ENABLE if enabled else Run.Kind.DISABLE
    given = {"request": logs.request_id()}
    return going.begin(
        organization=organization, kind=kind, actor=actor, subjects=subjects, given=given
    )


def work(held: Going) -> None:
    """Switch what is left of a run, one after another."""
    actor, enabled = going.actor_of(held.run), KINDS[held.run.kind]
    with logs.on_behalf_of(str(held.run.given.get("request", ""))):
        for batch in _batches(held.rows_left()):
            held.beat()  # it may be stopped before anything was begun
            keys = [row.subject_id for row in batch]
            found = {entry.pk: entry for entry in _found(held.run.organization, keys)}
            for row in batch:
                if not _switched(held, row, found.get(row.subject_id), actor, enabled=enabled):
                    raise Stopped
    held.end(Run.State.DONE)


def _switched(
    held: Going, row: RunRow, entry: RegistryEntry | None, actor: Actor, *, enabled: bool
) -> bool:
    """Whether there may be another."""
    if entry is None:
        return held.row_done(row, Result.GONE, "", "It was deleted meanwhile.")
    became = Result.ENABLED if enabled else Result.DISABLED
    try:
        with transaction.atomic():
            # What it was when it was read may be over: the door knows, behind its lock.
            _, switched = door.entry_switch(entry=entry, actor=actor, enabled=enabled)
            return held.row_done(row, became if switched else Result.SAME, "", "")
    except Refused as error:
        return held.row_done(row, Result.REFUSED, error.code, str(error))
    except RegistryEntry.DoesNotExist:
        return held.row_done(row, Result.GONE, "", "It was deleted meanwhile.")


def _found(organization: Organization, keys: Sequence[UUID]) -> list[RegistryEntry]:
    """In the order given."""
    by_id = (
        RegistryEntry.objects.of(organization).select_related("organization").in_bulk(list(keys))
    )
    return [by_id[key] for key in keys if key in by_id]


def _batches(all: Sequence[T]) -> Iterator[Sequence[T]]:
    for start in range(0, len(all), _BATCH):
        yield all[start : start + _BATCH]
