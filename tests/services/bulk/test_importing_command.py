"""import_registries and export_registries as commands: codes, streams, kills."""

from __future__ import annotations

import io
import os
import signal
import stat
import subprocess
import sys

import pytest
from django.conf import settings
from django.core.management import CommandError, call_command

from orgs.models import AuditEvent, IndexedPattern, RegistryEntry
from orgs.services.bulk import importing
from tests.conftest import CANARY, HOST
from tests.services.bulk.test_importing import csv_file, csv_row
from tests.support import PROJECT_ROOT
from tests.support.product import database_url

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def run(capsys):
    def run(*arguments):
        code = 0
        try:
            call_command(*arguments)
        except SystemExit as stopped:
            code = stopped.code
        except CommandError:
            code = 2
        captured = capsys.readouterr()
        assert CANARY not in captured.out + captured.err
        return code, captured.out, captured.err

    return run


@pytest.fixture
def file(tmp_path):
    def file(*rows, name="entries.csv"):
        path = tmp_path / name
        path.write_bytes(csv_file(*rows).getvalue())
        return str(path)

    return file


def test_import_dry_run_and_update(run, file, acme):
    path = file(csv_row(f"{HOST}/a"), csv_row(f"{HOST}/b"))
    here = ("--organization", "acme")
    code, out, err = run("import_registries", path, *here, "--dry-run")
    assert (code, err) == (0, "")
    assert f"row 3 created  {HOST}/b\n" in out
    assert "Nothing was written, as asked. It would be: 2 created" in out
    assert not RegistryEntry.objects.exists()
    code, out, err = run("import_registries", path, *here)
    assert (code, err) == (0, "")
    assert out.startswith("2 created, 0 updated, 0 unchanged, 0 refused. 2 rows in ")
    assert run("import_registries", path, *here)[1].startswith("0 created, 0 updated, 2 unchanged")
    path = file(csv_row(f"{HOST}/a", note="x"))
    code, out, err = run("import_registries", path, *here)
    assert code == 1
    assert "needs_update" in err
    code, out, _ = run("import_registries", path, *here, "--dry-run", "--update")
    assert (code, f"row 2 updated: note  {HOST}/a\n" in out) == (0, True)
    assert not RegistryEntry.objects.filter(note="x").exists()
    assert run("import_registries", path, *here, "--update")[0] == 0
    assert RegistryEntry.objects.filter(note="x").count() == 1
    assert {event.actor for event in AuditEvent.objects.all()} == {"command line"}


def test_errors_go_to_standard_error_and_nothing_is_written(run, file, acme):
    path = file(csv_row(f"{HOST}/a"), csv_row(HOST), csv_row(f"{HOST}/c", region=CANARY))
    code, out, err = run("import_registries", path, "--organization", "acme")
    assert (code, out) == (1, "")
    first, second, last = err.splitlines()
    assert first == (
        f"row 3, image_pattern {HOST}: {HOST} names a registry but no images. "
        f"Write {HOST}/* to cover everything in it. [bare_host]"
    )
    assert second.startswith("row 4, region ‹40 characters›: ")
    assert last.startswith("Nothing was imported. 1 created, 0 updated, 0 unchanged, 2 refused")
    assert not RegistryEntry.objects.exists()


def test_wrong_usage(run, file, acme, tmp_path):
    path = file(csv_row())
    assert run("import_registries", path)[0] == 2
    assert run("import_registries", path, "--organization", "nothing")[0] == 2
    assert run("import_registries", str(tmp_path / "no.csv"), "--organization", "acme")[0] == 2
    assert run("import_registries", str(tmp_path), "--organization", "acme")[0] == 2
    code, _, err = run(
        "import_registries", str(tmp_path), "--organization", "acme", "--format", "csv"
    )
    assert (code, "Is a directory" in err) == (2, True)
    plain = file(csv_row(), name="entries.txt")
    assert "--format" in run("import_registries", plain, "--organization", "acme")[2]
    assert run("import_registries", plain, "--organization", "acme", "--format", "ods")[0] == 2
    assert run("import_registries", plain, "--organization", "acme", "--format", "csv")[0] == 0
    assert run("export_registries", "--organization", "nothing")[0] == 2
    assert run("export_registries", "--organization", "acme", "--format", "xlsx")[0] == 2
    nowhere = str(tmp_path / "no" / "x.csv")
    assert run("export_registries", "--organization", "acme", "--output", nowhere)[0] == 2


def test_a_bar_on_a_terminal_only(acme, file, monkeypatch):
    class Terminal(io.StringIO):
        def isatty(self):
            return True

    for stream, shown in ((Terminal(), True), (io.StringIO(), False)):
        monkeypatch.setattr(sys, "stderr", stream)
        path = file(*[csv_row(f"{HOST}/{shown}-{number}".lower()) for number in range(3)])
        call_command("import_registries", path, "--organization", "acme", stdout=io.StringIO())
        assert ("Importing" in stream.getvalue()) is shown


def test_ctrl_c_leaves_nothing(run, file, acme, monkeypatch):
    monkeypatch.setattr(importing, "CHUNK", 1)
    write, written = importing._write, []

    def interrupt(*arguments):
        if written:
            raise KeyboardInterrupt
        written.append(write(*arguments))

    monkeypatch.setattr(importing, "_write", interrupt)
    path = file(csv_row(f"{HOST}/a"), csv_row(f"{HOST}/b"))
    code, _, err = run("import_registries", path, "--organization", "acme")
    assert (code, err) == (130, "Interrupted. Nothing was imported.\n")
    assert not RegistryEntry.objects.exists()


@pytest.mark.parametrize("blow", [signal.SIGKILL, signal.SIGINT])
def test_a_killed_import_leaves_nothing_and_can_be_repeated(run, file, acme, blow):
    path = file(*[csv_row(f"{HOST}/r{number}") for number in range(35)])
    process = subprocess.Popen(
        [sys.executable, "-m", "tests.services.bulk.import_in_steps", path, "acme"],
        env=os.environ
        | {
            "DJANGO_SETTINGS_MODULE": "valohai_registries.settings",
            "DATABASE_URL": database_url(),
            "FERNET_KEYS": ",".join(settings.FERNET_KEYS),
        },
        cwd=PROJECT_ROOT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    for _ in range(2):
        assert process.stdout.readline() == "written\n"
        process.stdin.write("\n")
        process.stdin.flush()
    assert process.stdout.readline() == "written\n"
    process.send_signal(blow)
    _, err = process.communicate(timeout=30)
    assert process.returncode == (-9 if blow == signal.SIGKILL else 130)
    assert "Traceback" not in err
    assert not RegistryEntry.objects.exists()
    assert not IndexedPattern.objects.exists()
    assert not AuditEvent.objects.exists()
    assert run("import_registries", path, "--organization", "acme")[0] == 0
    assert RegistryEntry.objects.count() == 35


def test_export_to_a_file_only_its_owner_reads(run, make_entry, tmp_path):
    make_entry(note="=1+1")
    path = tmp_path / "out.csv"
    path.write_text("what was there")
    path.chmod(0o644)
    code, out, err = run("export_registries", "--organization", "acme", "--output", str(path))
    assert (code, out, err) == (0, "", "")
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert "'=1+1" in path.read_text()
    assert [found.name for found in tmp_path.iterdir()] == ["out.csv"]
    assert run("export_registries", "--organization", "acme")[1] == path.read_bytes().decode()


def test_an_export_that_fails_leaves_the_file_as_it_was(acme, make_entry, tmp_path, monkeypatch):
    from orgs.services.bulk import exporting

    def fail(entries):
        yield "half"
        raise RuntimeError

    monkeypatch.setitem(exporting.WRITERS, "csv", fail)
    path = tmp_path / "out.csv"
    path.write_text("what was there")
    with pytest.raises(RuntimeError):
        call_command("export_registries", "--organization", "acme", "--output", str(path))
    assert path.read_text() == "what was there"
    assert [found.name for found in tmp_path.iterdir()] == ["out.csv"]


def test_what_is_remarked_of_a_file_is_said(run, acme, tmp_path):
    path = tmp_path / ".dockerconfigjson"
    path.write_text(f'{{"auths": {{"ghcr.io": {{"username": "a", "password": "{CANARY}"}}}}}}')
    code, out, err = run("import_registries", str(path), "--organization", "acme")
    assert code == 0 and out.startswith("1 created")
    assert err.startswith("Row 1: The login is for all of ghcr.io")
    path.write_text('{"auths": {"ghcr.io": {}}, "credsStore": "desktop"}')
    code, out, err = run("import_registries", str(path), "--organization", "acme")
    assert code == 1 and err.startswith("row 1, auths ghcr.io: Its password isn't in the file")
