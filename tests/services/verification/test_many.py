"""Verifying many as a run: results as they come, one mail, stopped, killed and taken up."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time

import pytest
from django.core.management import call_command
from django.db import connection
from django.db.backends.signals import connection_created
from django.db.models.functions import Now

from orgs.models import AuditEvent, RegistryEntry, Run, Verification
from orgs.services.entries import door
from orgs.services.runs import going, runner
from orgs.services.tenancy import mails
from orgs.services.upstream import calls
from orgs.services.verification import many, verifying
from tests.conftest import HOST, run_all
from tests.support.product import PROJECT_ROOT, environment
from valohai_registries.long_work import WORK

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture(autouse=True)
def no_pauses(monkeypatch) -> None:
    monkeypatch.setattr(calls, "PAUSES", {})


@pytest.fixture
def good(aws, make_entry) -> RegistryEntry:
    key_id, secret = aws.create_user("valohai", aws.policy())
    return make_entry(config={"access_key_id": key_id}, secrets={"secret_access_key": secret})


@pytest.fixture
def begin(acme, actor):
    def begin() -> Run:
        entries = RegistryEntry.objects.of(acme)
        return many.begin(organization=acme, entries=entries, actor=actor)[0]

    return begin


def results(run: Run) -> dict[str, str]:
    return dict(run.rows.values_list("subject", "result"))


def test_each_result_and_one_mail(ecr, good, make_entry, begin, alice, mailoutbox) -> None:
    for n in range(7):
        make_entry(f"{HOST}/wrong-{n}/*")
    role = make_entry(f"{HOST}/role/*", registry_type="aws-ecr-role")
    gone = make_entry(f"{HOST}/gone/*")
    run = begin()
    name = str(gone)
    door.entry_delete(entry=gone, actor=going.actor_of(run))
    run_all()
    run.refresh_from_db()
    assert run.state == "done" and run.done == run.total == 10
    told = results(run)
    assert told[str(good)] == "ok" and told[str(role)] == told[name] == "not_checked"
    assert [group.count for group in going.groups(run)] == [7, 1, 1, 1]
    mails.drain()
    (mail,) = mailoutbox
    assert mail.subject == "7 entries stopped working in Acme" and mail.to == [alice.email]
    assert "7: " in mail.body and "and 2 more" in mail.body and f"/runs/{run.pk}/" in mail.body


def test_the_mail_of_what_changed_only(ecr, good, make_entry, begin, alice, mailoutbox) -> None:
    wrong = make_entry(f"{HOST}/wrong/*")
    begin()
    run_all()
    begin()
    run_all()
    mails.drain()
    assert [mail.subject for mail in mailoutbox] == [f"{wrong} stopped working in Acme"]
    RegistryEntry.objects.filter(pk=good.pk).update(failure_told_at=Now(), status="failing")
    with pytest.raises(SystemExit):
        call_command("check_registries")
    mails.drain()
    assert mailoutbox[-1].subject == f"{good} working again in Acme" and len(mailoutbox) == 2


def test_one_by_itself_tells_by_itself_still(aws, make_entry, actor, alice, mailoutbox) -> None:
    wrong = make_entry(f"{HOST}/wrong/*")
    verifying.entry_verify(entry=wrong, actor=actor)
    mails.drain()
    assert [mail.subject for mail in mailoutbox] == [f"{wrong} stopped working"]


@pytest.fixture
def written(monkeypatch):
    """What the run's threads have had to wait for the writer and the disk for: the beginnings
    of their transactions, and what they write outside of any."""
    found: list[str] = []

    def note(execute, sql, params, many, context):
        writes = sql.startswith(("INSERT", "UPDATE", "DELETE"))
        if sql.startswith("BEGIN") or (writes and not context["connection"].in_atomic_block):
            found.append(sql)
        return execute(sql, params, many, context)

    def watch(*, connection, **_):
        if threading.current_thread() is not threading.main_thread():
            connection.execute_wrappers.append(note)

    connection_created.connect(watch)
    yield found
    connection_created.disconnect(watch)


@pytest.mark.skipif(connection.vendor != "sqlite", reason="BEGIN is sent by SQLite's backend")
def test_two_transactions_a_row(aws, make_entry, begin, written) -> None:
    """The claim; then what was found, the event, the entry's state and the row at once."""
    for n in range(12):
        make_entry(f"{HOST}/wrong-{n}/*")
    run = begin()
    run_all()
    run.refresh_from_db()
    assert run.done == 12 and len(written) == 24, written


def test_stopped_before_it_began(aws, make_entry, begin) -> None:
    make_entry(f"{HOST}/wrong/*")
    run = begin()
    going.stop(run)
    run_all()
    run.refresh_from_db()
    assert run.state == "stopped" and run.done == 0


def test_a_result_and_its_row_are_stored_together(aws, make_entry, begin, monkeypatch) -> None:
    """Where the row can't be, the entry says nothing of it either, and is free again."""
    entry = make_entry(f"{HOST}/wrong/*")
    run = begin()
    held = going.take(run)
    steps = verifying._steps

    def then_lost(*given):
        Run.objects.update(lease_id=None)
        return steps(*given)

    with monkeypatch.context() as lost:
        lost.setattr(verifying, "_steps", then_lost)
        with pytest.raises(going.Lost):
            many.work(held)
    assert not AuditEvent.objects.filter(action="entry.verified").exists()
    assert Verification.objects.get(entry=entry).claim_id is None
    entry.refresh_from_db()
    assert entry.status == "unverified" and results(run) == {str(entry): ""}
    run_all()
    assert results(run) == {str(entry): "failed"}


def test_stopped_between_two(aws, make_entry, begin, monkeypatch) -> None:
    for n in range(12):
        make_entry(f"{HOST}/wrong-{n}/*")
    run = begin()
    verify = verifying.entry_verify

    def then_stop(**given):
        try:
            return verify(**given)
        finally:
            going.stop(run)

    monkeypatch.setattr(verifying, "entry_verify", then_stop)
    run_all()
    run.refresh_from_db()
    assert run.state == "stopped" and 0 < run.done <= 2 * many.THREADS < run.total
    assert run.rows.filter(at=None).count() == run.total - run.done


def test_again_are_those_that_failed(ecr, good, make_entry, begin, actor) -> None:
    wrong = make_entry(f"{HOST}/wrong/*")
    off = make_entry(f"{HOST}/off/*")
    run = begin()
    run_all()
    door.entry_set_enabled(entry=off, actor=actor, enabled=False)
    again, new = many.again(run, actor)
    assert new and results(again) == {str(wrong): ""}
    run_all()
    door.entry_delete(entry=wrong, actor=actor)
    assert many.again(run, actor) is None


DO_ALL = """
import sys, django
django.setup()
from orgs.models import Run
from orgs.services.runs import going, runner
from orgs.services.upstream import calls
from orgs.services.verification import verifying
from valohai_registries.long_work import WORK
calls.PAUSES = {}
steps, done = verifying._steps, []
def slow(*given):  # the entry is claimed already
    done.append(1)
    if len(done) > 5:
        if len(done) == 6:
            print("held", flush=True)
        __import__("time").sleep(60)
    yield from steps(*given)
verifying._steps = slow
runner.do(going.take(Run.objects.get()), WORK)
"""


def test_killed_in_the_middle(aws, make_entry, begin, monkeypatch) -> None:
    """By SIGKILL; who comes after does what is left, and every entry has one result."""
    for n in range(10):
        make_entry(f"{HOST}/wrong-{n}/*")
    run = begin()
    command = [sys.executable, "-c", DO_ALL]
    with subprocess.Popen(
        command, cwd=PROJECT_ROOT, env=environment(), stdout=subprocess.PIPE
    ) as killed:
        assert killed.stdout is not None and killed.stdout.readline() == b"held\n"
        until = time.monotonic() + 20
        while not run.rows.exclude(at=None).exists() and time.monotonic() < until:
            time.sleep(0.05)
        os.kill(killed.pid, signal.SIGKILL)
    done = set(run.rows.exclude(at=None).values_list("pk", "at"))
    assert done and going.take(run) is None  # its lease isn't over
    Run.objects.update(lease_until=Now() - going.LEASE)
    # What it was verifying is its own for a while yet: that is waited for, and no result.
    claimed = Verification.objects.exclude(claim_id=None)
    assert claimed.exists()
    later = threading.Timer(1.5, lambda: (claimed.update(claim_until=Now()), connection.close()))
    later.start()
    runner.do(going.take(run), WORK)
    later.join()
    run.refresh_from_db()
    assert run.state == "done" and run.done == 10
    assert not run.rows.filter(code="busy").exists()
    assert done <= set(run.rows.values_list("pk", "at"))
    assert set(results(run).values()) == {"failed"}
