"""Verifying many: a run, some entries at a time, and one mail about all that changed."""

from __future__ import annotations

import threading
from collections.abc import Iterable, Iterator
from concurrent.futures import FIRST_EXCEPTION, Future, ThreadPoolExecutor, wait
from contextvars import copy_context
from dataclasses import dataclass

from django.db import connection
from django.db.models import QuerySet
from django.urls import reverse

from orgs.models import Organization, RegistryEntry, Run, RunRow
from orgs.outside import write_without_waiting_for_the_disk
from orgs.registries.problems import Failed, Refused
from orgs.registries.turns import turns
from orgs.services.audit.events import Actor
from orgs.services.entries import notices
from orgs.services.runs import going
from orgs.services.runs.going import Going, Stopped, Subject

from .verifying import Report, verify_for_many

THREADS = 4  # entries of a run that are asked about at once
_BATCH = 100
Outcome = Report | Failed | Refused
Result = RunRow.Result


@dataclass(frozen=True)
class Told:
    """What came of verifying one of many; sentences for who sees private parts."""

    result: RunRow.Result
    code: str = ""
    detail: str = ""


def begin(
    *, organization: Organization, entries: QuerySet[RegistryEntry], actor: Actor
) -> tuple[Run, bool]:
    """Have these entries of the organization verified, `going.MOST_ROWS` of them at most; the
    run that is going on already, and False, where there is one."""
    found = entries.filter(organization=organization)[: going.MOST_ROWS]
    subjects = [Subject(e.pk, str(e), e.failure_told_at is not None) for e in found]
    kind = Run.Kind.VERIFY
    return going.begin(organization=organization, kind=kind, actor=actor, subjects=subjects)


def again(run: Run, actor: Actor) -> tuple[Run, bool] | None:
    """A new run of those that didn't work in this one, as far as they are there still; None
    where none is."""
    failed = run.rows.filter(result__in=[Result.FAILED, Result.UNREACHABLE])
    entries = RegistryEntry.objects.of(run.organization).filter(
        pk__in=failed.values("subject_id"), enabled=True
    )
    if not entries.exists():
        return None
    return begin(organization=run.organization, entries=entries, actor=actor)


def work(held: Going) -> None:
    """Verify what is left of a run, store each result as it comes, and tell of them all."""
    rest = _Rest(held)
    with notices.together(), ThreadPoolExecutor(THREADS, thread_name_prefix="verify") as pool:
        try:
            held.beat()  # it may be stopped before anything was begun
            each = [pool.submit(copy_context().run, _each, held, rest) for _ in range(THREADS)]
            while not _all_done(each):
                held.beat()
        except Stopped:
            pass
        finally:
            rest.stopping.set()
            with turns.given_up():
                pool.shutdown()
    stopped = held.run.rows.filter(at=None).exists()
    held.end(Run.State.STOPPED if stopped else Run.State.DONE)
    was_failing = dict(held.run.rows.exclude(at=None).values_list("subject_id", "was_failing"))
    address = reverse("run", args=[held.run.organization.slug, held.run.pk])
    notices.many_changed(held.run.organization, was_failing, address)


def _all_done(each: list[Future[None]]) -> bool:
    """Whether they are, a beat later at most; raises what one of them met."""
    with turns.given_up():
        ended, rest = wait(each, timeout=going.BEAT, return_when=FIRST_EXCEPTION)
    for future in ended:
        future.result()
    return not rest


def _each(held: Going, rest: _Rest) -> None:
    """A thread of the run: one row after another, each stored with what was found."""
    actor = going.actor_of(held.run)
    try:
        write_without_waiting_for_the_disk()
        with turns.taken(long=True):
            while (pair := rest.next()) is not None:
                if not _row(held, actor, *pair):
                    rest.stopping.set()
    finally:
        connection.close()


def _row(held: Going, actor: Actor, row: RunRow, entry: RegistryEntry | None) -> bool:
    """Whether there may be another."""
    if entry is None:
        return _store(held, row, Failed("entry_not_found", "It was deleted meanwhile.", ""))
    goes_on: list[bool] = []
    outcome = verify_for_many(
        entry, actor, lambda report: goes_on.append(_store(held, row, report))
    )
    stored = isinstance(outcome, Report) and goes_on
    return goes_on[-1] if stored else _store(held, row, outcome)


class _Rest:
    """What is left of a run, for its threads to share, until it is `stopping`."""

    def __init__(self, held: Going) -> None:
        self.stopping = threading.Event()
        self._left = _left(held)
        self._lock = threading.Lock()

    def next(self) -> tuple[RunRow, RegistryEntry | None] | None:
        # No turn is kept while another thread has the lock, and may wait for the turn.
        with turns.given_up(), self._lock:
            return None if self.stopping.is_set() else next(self._left, None)


def _left(held: Going) -> Iterator[tuple[RunRow, RegistryEntry | None]]:
    rows = held.rows_left()
    for begin in range(0, len(rows), _BATCH):
        batch = rows[begin : begin + _BATCH]
        found = RegistryEntry.objects.filter(organization=held.run.organization)
        found = found.select_related("organization").prefetch_related("patterns__environment")
        by_id = found.in_bulk([row.subject_id for row in batch])
        yield from ((row, by_id.get(row.subject_id)) for row in batch)


def _store(held: Going, row: RunRow, outcome: Outcome) -> bool:
    told = told_of(outcome)
    return held.row_done(row, told.result, told.code, told.detail)


def verify_in_turn(
    entries: Iterable[RegistryEntry], actor: Actor
) -> Iterator[tuple[RegistryEntry, Outcome]]:
    """Verify entries of whatever organizations, some at a time; each with what came of it, in
    the order given. One mail an organization, once all are done."""
    given = list(entries)
    with notices.together(), ThreadPoolExecutor(THREADS, thread_name_prefix="verify") as pool:
        asked = [pool.submit(copy_context().run, _by_itself, e, actor) for e in given]
        for entry, future in zip(given, asked, strict=True):
            yield entry, future.result()
    for organization in {entry.organization for entry in given}:
        own = (entry for entry in given if entry.organization_id == organization.pk)
        was_failing = {entry.pk: entry.failure_told_at is not None for entry in own}
        address = f"{reverse('registries', args=[organization.slug])}?status=failing"
        notices.many_changed(organization, was_failing, address)


def _by_itself(entry: RegistryEntry, actor: Actor) -> Outcome:
    try:
        return verify_for_many(entry, actor)
    finally:
        connection.close()


def told_of(outcome: Outcome) -> Told:
    """`ok`, `failed`, `unreachable` where the login works and the registry doesn't answer
    this server, or `not_checked`: where only a worker can, what was to be seen can't be
    from here, or its other side doesn't trust the entry yet."""
    if isinstance(outcome, Report):
        failed = outcome.failed
        code = failed.code if failed else ""
        detail = f"{failed.what} {failed.fix}".strip() if failed else ""
        return Told(_result(outcome), code, detail)
    if isinstance(outcome, Refused):
        not_checked = outcome.code in {"checked_on_workers", "disabled", "made_up"}
        return Told(
            Result.NOT_CHECKED if not_checked else Result.FAILED, outcome.code, str(outcome)
        )
    gone = outcome.code == "entry_not_found"
    return Told(Result.NOT_CHECKED if gone else Result.FAILED, outcome.code, outcome.in_full)


def _result(report: Report) -> RunRow.Result:
    if report.holds:
        return Result.OK
    failed = report.failed
    if report.waits:
        return Result.NOT_CHECKED
    broken = report.status in (RegistryEntry.Status.FAILING, RegistryEntry.Status.UNREADABLE)
    if broken or failed is None or failed.name == "login":
        return Result.FAILED
    unreachable = report.status == RegistryEntry.Status.UNREACHABLE
    return Result.UNREACHABLE if unreachable else Result.NOT_CHECKED
