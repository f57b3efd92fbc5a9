"""Servers that start together on an empty database; and what SQLite keeps of the deleted."""

from __future__ import annotations

import secrets
import subprocess
import sys
from contextlib import closing

import psycopg2
import pytest
from django.db import connection

from orgs.models import ImportDraft
from tests.support import PROJECT_ROOT
from tests.support.product import database_url, environment
from tests.test_canary import database_bytes


@pytest.fixture
def empty_database(tmp_path):
    """The address of a database that has nothing in it, of the kind that the tests run on."""
    if connection.vendor == "sqlite":
        yield f"sqlite:///{tmp_path}/db.sqlite3"
        return
    name = f"empty_{secrets.token_hex(4)}"
    server = database_url().rpartition("/")[0]
    with closing(psycopg2.connect(f"{server}/postgres")) as admin:
        admin.autocommit = True
        with admin.cursor() as cursor:
            cursor.execute(f"CREATE DATABASE {name}")
            yield f"{server}/{name}"
            cursor.execute(f"DROP DATABASE {name} WITH (FORCE)")


def run_together(number: int, address: str, *command: str) -> list[tuple[int, str, str]]:
    """So many processes of one command at once; (exit code, output, errors) of each."""
    own = environment(DATABASE_URL=address, PORT="0", BASE_URL="http://127.0.0.1:1")
    started = [
        subprocess.Popen(
            [sys.executable, "manage.py", *command],
            env=own,
            cwd=PROJECT_ROOT,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for _ in range(number)
    ]
    return [(p.wait(120), *p.communicate()) for p in started]


@pytest.mark.django_db
@pytest.mark.parametrize("number", [2, 4])
def test_all_of_them_migrate_and_one_makes_the_first_people(number, empty_database):
    migrated = run_together(number, empty_database, "migrate", "--verbosity", "0")
    assert migrated == [(0, "", "")] * number
    first = run_together(number, empty_database, "first_start")
    assert [code for code, *_ in first] == [0] * number, first
    assert sorted("Password:" in out for _, out, _ in first) == [False] * (number - 1) + [True]
    (checked,) = run_together(1, empty_database, "migrate", "--check")
    assert checked[0] == 0


@pytest.mark.once
def test_first_keys_are_made_once(tmp_path, monkeypatch):
    from concurrent.futures import ThreadPoolExecutor

    from valohai_registries import first_env

    monkeypatch.setattr(first_env, "ENV_FILE", tmp_path / ".env")
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda _: first_env.main(), range(8)))
    assert [path.name for path in tmp_path.iterdir()] == [".env"]
    assert (tmp_path / ".env").stat().st_mode & 0o777 == 0o600
    assert (tmp_path / ".env").read_text().count("FERNET_KEYS=") == 1


@pytest.mark.once
@pytest.mark.django_db(transaction=True)
def test_sqlite_overwrites_what_is_deleted(acme, alice):
    from orgs.services.bulk import drafts

    with connection.cursor() as cursor:
        assert cursor.execute("PRAGMA secure_delete").fetchone() == (1,)
    # some builds of SQLite have it by themselves
    assert "secure_delete=ON" in connection.settings_dict["OPTIONS"]["init_command"]
    draft = drafts.draft_store(
        organization=acme,
        user=alice,
        file_name="f.csv",
        format="csv",
        content=secrets.token_bytes(20_000),  # so that packing it changes nothing
        update=False,
    )
    with connection.cursor() as cursor:
        (sealed,) = cursor.execute("SELECT content FROM orgs_importdraft").fetchone()
    parts = [sealed[at : at + 60] for at in range(0, len(sealed) - 60, 3000)]
    # but for those that lie across two pages of the file
    kept = database_bytes()
    assert sum(part in kept for part in parts) > 5
    ImportDraft.objects.filter(pk=draft.pk).delete()
    with connection.cursor() as cursor:
        cursor.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    kept = database_bytes()
    assert [part for part in parts if part in kept] == []
