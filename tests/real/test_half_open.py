"""The product as `make run` serves it, beside clients that keep it waiting.

It has 64 threads in two processes. Under gunicorn's own threads, logins failed beside five of
these kinds: all but the idle ones.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from orgs.services.tenancy import tokens
from tests.support.product import served

from .waiting import KINDS, login, waiting

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def token(aws, make_entry, acme, actor) -> str:
    key_id, secret = aws.create_user("valohai", aws.policy())
    make_entry(config={"access_key_id": key_id}, secrets={"secret_access_key": secret})
    return tokens.token_issue_worker(organization=acme, name="workers", actor=actor)[1]


def test_logins_answer_beside_every_kind(token, project):
    with served() as address:
        assert login(address, token, project.pk, timeout=20) == 200  # the cold one
        for kind, sent in KINDS.items():
            with waiting(address, sent, 1000 if kind == "idle" else 200):
                found = [login(address, token, project.pk) for _ in range(10)]
            assert found == [200] * 10, kind


@pytest.mark.once
def test_it_stops_in_time_beside_all_of_them(token, project):
    with served() as address:
        with waiting(address, KINDS["one byte"], 50), waiting(address, KINDS["idle"], 50):
            began = time.monotonic()
            address.process.terminate()
            address.process.wait(20)
        assert time.monotonic() - began < 12


@pytest.mark.once
def test_an_interrupt_leaves_no_process(token):
    with served() as address:
        pid = address.process.pid
        family = _children(pid)
        assert len(family) == 2
        os.kill(pid, signal.SIGINT)
        address.process.wait(20)
        assert not [child for child in family if _runs(child)]


@pytest.mark.once
def test_a_taken_port_is_told_before_a_server_is_tried():
    """`make run` asks first_start, before it prints the password."""
    with served() as address:
        told = subprocess.run(
            [sys.executable, "manage.py", "first_start"],
            env=os.environ | {"PORT": address.rpartition(":")[2]},
            capture_output=True,
            text=True,
        )
    assert told.returncode == 1 and told.stdout == ""
    assert "is taken" in told.stderr


def _children(pid: int) -> list[int]:
    return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def _runs(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except FileNotFoundError:
        return False
    return state != "Z"
