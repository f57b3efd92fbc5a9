"""The life of a run: begun by a person, held by a lease, ended once.

One process at a time works on a run, and says so every few seconds; one that was killed
says nothing more, and after `LEASE` another goes on. Every time is the database's.
"""

from __future__ import annotations

import threading
import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from django.db import IntegrityError, transaction
from django.db.models import Count, F, Min, Q, QuerySet
from django.db.models.functions import Now

from orgs.models import Membership, Organization, Run, RunRow, User
from orgs.registries import codes
from orgs.services.audit.events import Actor, record

LEASE = timedelta(seconds=15)
BEAT = 2.0  # seconds between two signs of life
KEPT = timedelta(days=7)
MOST_ROWS = 10_000
# From so many entries on it is a run, whatever is done: fewer are done before somebody wonders.
LONG = 1000
_BATCH = 500

Result = RunRow.Result
WELL = (Result.OK, Result.ENABLED, Result.DISABLED)


class Lost(Exception):
    """Another process has the run now, or it's gone with its organization."""


class Stopped(Exception):
    """Somebody asked for it to stop."""


@dataclass(frozen=True)
class Subject:
    """What a row is about: the id and name of an entry, and whether its failing was told."""

    id: uuid.UUID
    name: str
    was_failing: bool = False


# --- by people ------------------------------------------------------------------


def begin(
    *,
    organization: Organization,
    kind: Run.Kind,
    actor: Actor,
    subjects: Sequence[Subject] = (),
    total: int | None = None,
    given: dict[str, Any] | None = None,
) -> tuple[Run, bool]:
    """A new run, or the one of this kind that is going on; and whether it's new.

    Of `MOST_ROWS` subjects at most. It is taken up once the transaction is committed.
    Raises IntegrityError where the organization is gone.
    """
    assert len(subjects) <= MOST_ROWS
    prune()
    run = Run(
        organization=organization,
        kind=kind,
        begun_by=actor.user,
        actor=actor.name[:200],
        as_staff=actor.staff,
        source_address=actor.source_address,
        total=len(subjects) if total is None else total,
        given=given or {},
    )
    rows = [
        RunRow(
            run=run, position=n, subject_id=one.id, subject=one.name, was_failing=one.was_failing
        )
        for n, one in enumerate(subjects)
    ]
    try:
        _write(run, rows, actor)
    except IntegrityError:
        if (standing := going_on(organization, kind)) is not None:
            return standing, False
        _write(run, rows, actor)  # it ended at this moment
    return run, True


def _write(run: Run, rows: Sequence[RunRow], actor: Actor) -> None:
    with transaction.atomic():
        run.save(force_insert=True)
        RunRow.objects.bulk_create(rows, batch_size=_BATCH)
        record(
            actor=actor,
            action="run.begun",
            organization=run.organization,
            subject_id=run.pk,
            subject=str(run),
            properties={"kind": run.kind, "total": run.total},
        )
        transaction.on_commit(wake.set)


def going_on(organization: Organization, kind: Run.Kind | None = None) -> Run | None:
    """The run that the organization has going on, of a kind or of any."""
    found = Run.objects.filter(organization=organization, state=Run.State.GOING)
    return (found.filter(kind=kind) if kind else found).first()


def stop(run: Run) -> None:
    """Have it end soon; what is done stays done."""
    Run.objects.filter(pk=run.pk, state=Run.State.GOING).update(stop_wanted=True)
    wake.set()


def prune() -> int:
    """Drop the runs that ended long ago, with what they hold; how many went."""
    late = Run.objects.exclude(state=Run.State.GOING).filter(ended_at__lte=Now() - KEPT)
    # Looked for first: a DELETE waits for SQLite's only writer even if it finds nothing.
    return late.delete()[0] if late.exists() else 0


def actor_of(run: Run) -> Actor:
    """Who began it, as events name them."""
    return Actor(run.actor, run.begun_by, run.as_staff, run.source_address)


def may_go_on(run: Run) -> bool:
    """Whether who began it still might: what one may do ends with the role or the account."""
    if run.begun_by_id is None:
        return True
    if run.as_staff:
        return User.objects.filter(pk=run.begun_by_id, is_active=True, is_staff=True).exists()
    return Membership.objects.filter(
        user=run.begun_by_id,
        user__is_active=True,
        organization=run.organization_id,
        role=Membership.Role.ADMIN,
    ).exists()


# --- by who does it ---------------------------------------------------------------

# Set when there may be something to do, so that it begins at once in this process.
wake = threading.Event()


class Going:
    """A run that this process holds. Its methods raise `Lost` once it doesn't any more."""

    def __init__(self, run: Run, lease: uuid.UUID) -> None:
        self.run = run
        self.lease = lease
        self._mine = Run.objects.filter(pk=run.pk, lease_id=lease, state=Run.State.GOING)

    def beat(self, **changes: Any) -> None:
        """Say that it goes on, and how far it is; raises `Stopped` where that is wanted."""
        if not self._mine.update(lease_until=Now() + LEASE, **changes):
            raise Lost
        if self._mine.filter(stop_wanted=True).exists() or not may_go_on(self.run):
            raise Stopped

    def rows_left(self) -> list[RunRow]:
        return list(self.run.rows.filter(at=None))

    def row_done(self, row: RunRow, result: RunRow.Result, code: str, detail: str) -> bool:
        """Store what came of a row, once, and count it; False where it is to stop. As part of
        the caller's transaction, if there is one."""
        waiting = RunRow.objects.filter(pk=row.pk, at=None)
        counted = {"lease_until": Now() + LEASE, "done": F("done") + 1}
        with transaction.atomic(savepoint=False):
            # The run's row first: it is the lock of all that is counted in it.
            goes_on = bool(self._mine.filter(stop_wanted=False).update(**counted))
            if not goes_on and not self._mine.update(**counted):
                raise Lost
            if not waiting.update(result=result, code=code, detail=detail, at=Now()):
                self._mine.update(done=F("done") - 1)
        return goes_on

    def end(self, state: Run.State, **changes: Any) -> None:
        """It is over; what `changes` says is stored with that, or raises `Lost`."""
        if not self._mine.update(
            state=state, ended_at=Now(), lease_id=None, lease_until=None, **changes
        ):
            raise Lost


def due() -> QuerySet[Run]:
    """The runs that nobody works on, the oldest first."""
    far = Q(lease_until__gt=Now() + 4 * LEASE)  # of a clock that was ahead
    free = Q(lease_id=None) | Q(lease_until__lt=Now()) | far
    return Run.objects.filter(free, state=Run.State.GOING).order_by("begun_at")


def take(run: Run) -> Going | None:
    """The run, if nobody else took it up meanwhile."""
    lease = uuid.uuid4()
    if not due().filter(pk=run.pk).order_by().update(lease_id=lease, lease_until=Now() + LEASE):
        return None
    fresh = Run.objects.select_related("organization", "begun_by").filter(pk=run.pk).first()
    return Going(fresh, lease) if fresh else None


# --- what is shown ------------------------------------------------------------------


@dataclass(frozen=True)
class Group:
    """Rows that came out alike."""

    result: RunRow.Result
    code: str
    count: int
    detail: str  # of one of them

    @property
    def told(self) -> str:
        """“42: unknown key”"""
        what = codes.phrase(self.code) or Result(self.result).label.lower()
        return f"{self.count:,}: {what}"


def groups(run: Run) -> list[Group]:
    """What came of the rows by cause, the most frequent first, what is well last."""
    alike = run.rows.exclude(at=None).order_by().values("result", "code")
    counted = alike.annotate(count=Count("id"), detail=Min("detail"))
    found = [
        Group(Result(one["result"]), one["code"], one["count"], one["detail"]) for one in counted
    ]
    return sorted(found, key=lambda group: (group.result in WELL, -group.count, group.code))
