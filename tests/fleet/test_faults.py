"""What breaks while logins go on, through nginx and by the worker's helper (bench/faults)."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import pytest

from tests.support import PROJECT_ROOT, require_program

pytestmark = [pytest.mark.once, pytest.mark.timeout(300)]

# What breaks a process costs nobody a login; what breaks the database is told.
PROCESSES = ("killed-refreshing", "terminated", "hung-up")
DATABASES = ("postgres-restarted", "sqlite-locked")


@pytest.fixture(scope="module")
def found() -> dict[str, dict]:
    require_program("nginx")
    ours = ("DATABASE_URL", "FERNET_KEYS", "SECRET_KEY", "DJANGO_SETTINGS_MODULE", "TEST_DATABASE")
    own = {name: value for name, value in os.environ.items() if name not in ours}
    command = [sys.executable, "-m", "bench.faults", "--short", "--json", *PROCESSES, *DATABASES]
    ended = subprocess.run(
        command, env=own, cwd=PROJECT_ROOT, stdout=subprocess.PIPE, text=True, timeout=280
    )
    assert ended.returncode == 0
    told = [json.loads(line) for line in ended.stdout.splitlines() if line.startswith("{")]
    return {one["name"]: one for one in told if "name" in one}


@pytest.mark.parametrize("name", [*PROCESSES, *DATABASES])
def test_with_an_unexpired_login_the_helper_never_fails(found, name) -> None:
    assert found[name]["helped"] > 5 and found[name]["helper_failures"] == {}


@pytest.mark.parametrize("name", PROCESSES)
def test_while_the_database_takes_writes_no_login_fails(found, name) -> None:
    assert found[name]["asked"] > 50 and found[name]["failures"] == {}


@pytest.mark.parametrize("name", DATABASES)
def test_else_no_login_is_given_and_all_are_told(found, name) -> None:
    assert found[name]["failures"] and set(found[name]["failures"]) == {"503 audit_unavailable"}
    # Bounds of patience, with a busy machine's time on top.
    assert found[name]["slowest"] < 5 and found[name]["back"] < 5


@pytest.mark.parametrize("name", [*PROCESSES, *DATABASES])
def test_no_login_is_without_its_event_and_none_has_two(found, name) -> None:
    assert found[name]["lost"] == 0
    # A process that is killed may have written one for a login that nobody got.
    assert found[name]["doubled"] <= (2 if name == "killed-refreshing" else 0)
