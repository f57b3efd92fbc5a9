"""What the programs do with each code that the server may answer, as the table of codes says."""

from __future__ import annotations

import json
from collections.abc import Callable

import pytest

from orgs.registries import codes
from orgs.registries.codes import Worker as Does

from .conftest import IMAGE, FakeServer, Reply, Worker, refusal

# What it finds out by itself, and what breaks then.
ITS_OWN: dict[str, Callable[[FakeServer], None]] = {
    "server_unreachable": FakeServer.close,
    "answer_refused": lambda server: setattr(server, "replies", [Reply(200, b"<html>")]),
}
ANSWERED = {c: row for c, row in codes.table().items() if row.answered and row.worker != Does.NEVER}


@pytest.mark.once
@pytest.mark.parametrize("code", ANSWERED)
def test_what_a_worker_does_is_what_the_table_says(
    code: str, worker: Worker, server: FakeServer
) -> None:
    """With a login kept from before that has to be asked for again, but hasn't expired."""
    row = ANSWERED[code]
    assert row.status is not None
    assert worker.password(IMAGE) == "first"
    worker.outdate()
    server.replies = [refusal(row.status, code)]
    done = worker.get(IMAGE)
    if row.worker is Does.OLDER_COPY:
        assert json.loads(done.stdout)["Secret"] == "first"
    elif row.worker is Does.ANONYMOUS:
        # What Docker takes for «no login», and the kubelet.
        assert done.returncode == 1
        assert done.stdout.strip() == "credentials not found in native keychain"
        asked = worker.kubelet()
        assert asked.returncode == 0 and json.loads(asked.stdout)["auth"] is None
    else:
        assert done.returncode == 1 and done.stdout.startswith(f"{code}: ")
    keeps = row.worker in {Does.OLDER_COPY, Does.FAILS}
    assert bool(worker.kept()) == keeps


@pytest.mark.once
@pytest.mark.parametrize("code", ITS_OWN)
def test_and_of_what_it_finds_out_by_itself(code: str, worker: Worker, server: FakeServer) -> None:
    assert worker.password(IMAGE) == "first"
    worker.outdate()
    ITS_OWN[code](server)
    done = worker.get(IMAGE, VALOHAI_REGISTRIES_TIMEOUT="1")
    if codes.of(code).worker is Does.OLDER_COPY:
        assert json.loads(done.stdout)["Secret"] == "first"
    else:
        assert codes.of(code).worker is Does.FAILS
        assert done.returncode == 1 and done.stdout.startswith(f"{code}: ")
    assert len(worker.kept()) == 1
