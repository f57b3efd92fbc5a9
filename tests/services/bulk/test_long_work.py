"""Imports and exports as runs: whole or not at all, whatever comes between."""

from __future__ import annotations

import pytest
from django.db import DataError, OperationalError
from django.db.models.functions import Now

from orgs.models import ImportDraft, RegistryEntry, Run, RunFile
from orgs.services.bulk import drafts, importing, long_work
from orgs.services.runs import going, runner
from tests.conftest import CANARY, HOST, run_all
from valohai_registries.long_work import WORK

pytestmark = pytest.mark.django_db(transaction=True)
ROWS = 5
FILE = "image_pattern,type,access_key_id,secret_access_key\n" + "".join(
    f"{HOST}/r{n}/*,aws-ecr,AKIAIOSFODNN7EXAMPLE,{CANARY}\n" for n in range(ROWS)
)


@pytest.fixture
def draft(acme, alice) -> ImportDraft:
    return drafts.draft_store(
        organization=acme, user=alice, file_name="r.csv", format="csv",
        content=FILE.encode(), update=False,
    )  # fmt: skip


@pytest.fixture
def begin(acme, alice, actor, draft):
    def begin(fingerprint: str | None = None) -> Run:
        from orgs.services.bulk.files import apart

        _, content = drafts.draft_load(organization=acme, user=alice, draft_id=draft.pk)
        rows = apart.ReadRows(content, "csv")
        wanted = importing.plan(organization=acme, rows=rows).fingerprint
        return long_work.begin_import(
            draft=draft, count=ROWS, fingerprint=fingerprint or wanted, actor=actor
        )[0]

    return begin


def test_imported(begin, acme) -> None:
    run = begin()
    run_all()
    run.refresh_from_db()
    assert (run.state, run.done, run.told["outcome"]) == (
        "done", ROWS, "5 new, 0 changed, 0 unchanged.",
    )  # fmt: skip
    assert acme.entries.count() == ROWS and not ImportDraft.objects.exists()


def test_not_what_the_preview_told(begin, acme, alice, draft) -> None:
    run = begin("another")
    run_all()
    run.refresh_from_db()
    assert run.state == "failed" and run.told["outcome"] == long_work.CHANGED
    assert not acme.entries.exists()
    # Back with its person, to look at.
    assert drafts.draft_load(organization=acme, user=alice, draft_id=draft.pk)


def test_the_draft_waits_for_its_run(begin, acme, alice, draft) -> None:
    begin()
    ImportDraft.objects.update(created_at=Now() - 2 * drafts.LIFE)
    assert drafts.expire() == 0
    assert drafts.draft_load(organization=acme, user=alice, draft_id=draft.pk) is None
    drafts.draft_store(
        organization=acme,
        user=alice,
        file_name="other.csv",
        format="csv",
        content=b"",
        update=False,
    )
    run_all()
    assert acme.entries.count() == ROWS
    assert [each.file_name for each in ImportDraft.objects.all()] == ["other.csv"]


def test_stopped_before_it_writes(begin, acme, draft, monkeypatch) -> None:
    run = begin()
    going.stop(run)
    run_all()
    run.refresh_from_db()
    assert run.state == "stopped" and not acme.entries.exists()
    assert ImportDraft.objects.get().run is None


@pytest.mark.parametrize("error", [OperationalError, KeyboardInterrupt])
def test_killed_before_its_end_nothing_is_there_and_another_does_it(
    error, begin, acme, monkeypatch
) -> None:
    """What is written and the run's end are one transaction."""
    run = begin()
    with monkeypatch.context() as patch:

        def die(*args, **kwargs):
            assert RegistryEntry.objects.count() == ROWS  # written, not committed
            raise error

        patch.setattr(going.Going, "end", die)
        if error is KeyboardInterrupt:
            with pytest.raises(KeyboardInterrupt):
                runner.do(going.take(run), WORK)
            # As a process that is killed leaves it: the draft with the run.
            ImportDraft.objects.update(run=run)
        else:
            runner.do(going.take(run), WORK)
    assert not acme.entries.exists()
    run.refresh_from_db()
    assert run.is_going
    Run.objects.update(lease_until=Now() - going.LEASE)
    run_all()
    assert acme.entries.count() == ROWS and Run.objects.get().state == "done"


def test_who_lost_it_imports_nothing(begin, acme, monkeypatch) -> None:
    """Its lease ran out while it wrote, and another has the run: one of them imports."""
    run = begin()
    apply = importing.apply

    def slow(**given):
        report = apply(**given)
        Run.objects.update(lease_id="00000000-0000-4000-8000-000000000000")
        return report

    with monkeypatch.context() as patch:
        patch.setattr(importing, "apply", slow)
        runner.do(going.take(run), WORK)
    assert not acme.entries.exists() and ImportDraft.objects.get().run == run


def test_exported(begin, acme, actor, make_entry) -> None:
    entries = [make_entry(f"{HOST}/{n}/*") for n in range(3)]
    gone = make_entry(f"{HOST}/gone/*")
    run, _ = long_work.begin_export(
        organization=acme, ids=[e.pk for e in [*entries, gone]], format="csv", actor=actor
    )
    RegistryEntry.objects.filter(pk=gone.pk).delete()
    run_all()
    run.refresh_from_db()
    assert run.state == "done" and run.done == 3 and "ids" not in run.given
    name, pieces = long_work.file_of(run)
    text = b"".join(pieces).decode()
    assert name == "acme-registries.csv" and text.count("\n") == 4 and CANARY not in text
    assert [str(e) for e in entries] == [line.split(",")[0] for line in text.split()[1:]]
    Run.objects.update(ended_at=Now() - long_work.FILE_KEPT)
    assert long_work.file_of(run) is None
    assert long_work.expire_files() == 1 and not RunFile.objects.exists()


def test_nobody_elses_entries(acme, umbrella, actor, make_entry) -> None:
    theirs = make_entry(organization=umbrella)
    run, _ = long_work.begin_export(organization=acme, ids=[theirs.pk], format="xml", actor=actor)
    run_all()
    _, pieces = long_work.file_of(run)
    assert HOST not in b"".join(pieces).decode()


def test_an_export_that_is_stopped_before_it_begins(acme, actor, make_entry) -> None:
    ids = [make_entry().pk]
    run, _ = long_work.begin_export(organization=acme, ids=ids, format="csv", actor=actor)
    going.stop(run)
    run_all()
    run.refresh_from_db()
    assert run.state == "stopped" and not RunFile.objects.exists()


def test_what_no_other_try_would_change_ends_it(begin) -> None:
    """A database that is away comes back; a value that it doesn't take stays one."""
    run = begin()

    def broken(held):
        raise DataError("value too long")

    held = going.take(run)
    runner.do(held, dict.fromkeys(WORK, broken))
    assert Run.objects.get().state == "failed"
