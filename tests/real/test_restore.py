"""The guide's backup, put back into a fresh server: logins go on, and sealed values open."""

from __future__ import annotations

import contextlib
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import psycopg2
import pytest
from django.db import connection

from orgs.services.tenancy import tokens
from tests.conftest import HOST
from tests.serving.test_connections import _status
from tests.support import PROJECT_ROOT
from tests.support.product import database_url, served

pytestmark = pytest.mark.django_db(transaction=True)


def _guides_backup() -> str:
    """The Python of its command for SQLite."""
    guide = (PROJECT_ROOT / "docs/guide/operations.md").read_text()
    (found,) = re.findall(r'-c "(import sqlite3; .*backup.*)"', guide)
    return found


@contextlib.contextmanager
def restored(directory: Path) -> Iterator[str]:
    """The address of a database made from a backup of the test's."""
    if connection.vendor == "sqlite":
        copy, back = directory / "backup.sqlite3", directory / "db.sqlite3"
        command = _guides_backup().replace("var/db.sqlite3", connection.settings_dict["NAME"])
        command = command.replace("backup.sqlite3", str(copy))
        subprocess.run([sys.executable, "-c", command], check=True)
        back.write_bytes(copy.read_bytes())
        yield f"sqlite:///{back}"
        return
    from tests.support.postgres import programs

    url = database_url()
    address, _, _ = url.rpartition("/")
    dump = subprocess.run([programs(url) / "pg_dump", url], check=True, capture_output=True).stdout
    with contextlib.closing(psycopg2.connect(url)) as other:
        other.autocommit = True
        other.cursor().execute("CREATE DATABASE restored")
        try:
            psql = [programs(url) / "psql", "-q", "-v", "ON_ERROR_STOP=1", f"{address}/restored"]
            subprocess.run(psql, input=dump, check=True, stdout=subprocess.DEVNULL)
            yield f"{address}/restored"
        finally:
            other.cursor().execute("DROP DATABASE restored WITH (FORCE)")


def test_a_backup_put_back_serves(tmp_path, aws, acme, actor, project, make_entry) -> None:
    key_id, secret = aws.create_user("valohai", aws.policy())
    given = {"config": {"access_key_id": key_id}, "secrets": {"secret_access_key": secret}}
    make_entry(f"{HOST}/warm/*", **given)
    make_entry(f"{HOST}/cold/*", **given)
    _, token = tokens.token_issue_worker(organization=acme, name="fleet", actor=actor)

    def login(address: str, name: str) -> int:
        body = {"project": str(project.pk), "image": f"{HOST}/{name}/x"}
        return _status(f"{address}/api/v0/docker-login/", body, token)

    with served() as address:
        assert login(address, "warm") == 200
    with restored(tmp_path) as database:
        with served(DATABASE_URL=database) as address:
            # What was cached opens, and so does the key that a new login is obtained with.
            calls = len(aws.calls)
            assert login(address, "warm") == 200 and len(aws.calls) == calls
            assert login(address, "cold") == 200 and len(aws.calls) == calls + 1
