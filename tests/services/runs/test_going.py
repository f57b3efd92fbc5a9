"""A run's life: one of a kind, one who does it, taken up by another, ended once."""

from __future__ import annotations

from datetime import timedelta
from uuid import uuid4

import pytest
from django.db.models.functions import Now

from orgs.models import AuditEvent, Run, RunRow
from orgs.services.runs import going, runner
from orgs.services.runs.going import Lost, Stopped, Subject

pytestmark = pytest.mark.django_db(transaction=True)
VERIFY, EXPORT = Run.Kind.VERIFY, Run.Kind.EXPORT


@pytest.fixture
def begin(acme, actor):
    def begin(kind=VERIFY, organization=acme, count=3):
        subjects = [Subject(uuid4(), f"host/{n}/*") for n in range(count)]
        return going.begin(organization=organization, kind=kind, actor=actor, subjects=subjects)

    return begin


def test_one_of_a_kind_an_organization(begin, acme, umbrella) -> None:
    run, new = begin()
    assert new and run.total == 3 and run.rows.count() == 3
    assert begin() == (run, False)
    assert begin(EXPORT)[1] and begin(organization=umbrella)[1]
    assert going.going_on(acme, VERIFY) == run and going.going_on(acme) is not None
    going.take(run).end(Run.State.DONE)
    assert begin()[1]


def test_it_is_told_once(begin, acme) -> None:
    begin()
    begin()
    event = AuditEvent.objects.get(action="run.begun")
    assert event.organization_id == acme.pk and event.properties["total"] == 3


def test_one_does_it(begin) -> None:
    run, _ = begin()
    held = going.take(run)
    assert held is not None and going.take(run) is None and not going.due().exists()
    held.row_done(held.rows_left()[1], RunRow.Result.OK, "", "")
    run.refresh_from_db()
    assert run.done == 1 and [row.position for row in held.rows_left()] == [0, 2]


@pytest.mark.parametrize("off", [timedelta(seconds=-1), 9 * going.LEASE])
def test_who_died_holding_it_is_followed(begin, off) -> None:
    """Also where their clock was ahead; what they did stays, what they do then doesn't count."""
    run, _ = begin()
    dead = going.take(run)
    dead.row_done(dead.rows_left()[0], RunRow.Result.OK, "", "")
    Run.objects.update(lease_until=Now() + off)
    heir = going.take(run)
    assert heir is not None and len(heir.rows_left()) == 2
    late = heir.rows_left()[0]
    with pytest.raises(Lost):
        dead.beat()
    with pytest.raises(Lost):
        dead.row_done(late, RunRow.Result.FAILED, "busy", "")
    with pytest.raises(Lost):
        dead.end(Run.State.DONE)
    assert len(heir.rows_left()) == 2
    heir.beat()
    heir.end(Run.State.DONE)
    assert Run.objects.get().state == "done"


def test_a_row_counts_once(begin) -> None:
    run, _ = begin()
    held = going.take(run)
    row = held.rows_left()[0]
    held.row_done(row, RunRow.Result.OK, "", "")
    held.row_done(row, RunRow.Result.FAILED, "busy", "Later.")
    run.refresh_from_db()
    assert run.done == 1 and run.rows.first().result == "ok"


def test_stopped(begin) -> None:
    run, _ = begin()
    held = going.take(run)
    held.beat()
    first, second, _ = held.rows_left()
    assert held.row_done(first, RunRow.Result.OK, "", "")
    going.stop(run)
    with pytest.raises(Stopped):
        held.beat()
    assert not held.row_done(second, RunRow.Result.OK, "", "")  # stored, and the last
    assert len(held.rows_left()) == 1
    held.end(Run.State.STOPPED)
    going.stop(run)
    assert Run.objects.get().ended_at is not None


def test_what_breaks_ends_it_and_says_nothing_of_what_it_held(begin, caplog) -> None:
    run, _ = begin()

    def stumble(held):
        raise ZeroDivisionError("what it was working on")

    runner.do(going.take(run), {"verify": stumble})
    assert Run.objects.get().state == "failed"
    assert "ZeroDivisionError" in caplog.text and "what it was working on" not in caplog.text


def test_an_ended_one_is_dropped_after_a_week(begin) -> None:
    run, _ = begin()
    going.take(run).end(Run.State.DONE)
    standing, _ = begin()
    Run.objects.update(ended_at=Now() - going.KEPT, begun_at=Now() - 2 * going.KEPT)
    Run.objects.filter(pk=standing.pk).update(ended_at=None)
    assert going.prune() and list(Run.objects.all()) == [standing]
    assert going.prune() == 0


def test_by_cause(begin) -> None:
    run, _ = begin(count=4)
    held = going.take(run)
    told = [("ok", "", ""), ("failed", "invalid_key", "AWS doesn't."), ("failed", "busy", "No.")]
    for row, (result, code, detail) in zip(
        held.rows_left(), [told[0], told[1], told[1], told[2]], strict=True
    ):
        held.row_done(row, RunRow.Result(result), code, detail)
    assert [(g.count, g.code, g.detail) for g in going.groups(run)] == [
        (2, "invalid_key", "AWS doesn't."), (1, "busy", "No."), (1, "", "")
    ]  # fmt: skip
