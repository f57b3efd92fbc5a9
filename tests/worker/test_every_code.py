"""What the programs do with each code that the server may answer, as the table of codes says."""

from __future__ import annotations

import json

import pytest

from orgs.registries import codes
from orgs.registries.codes import Worker as Does

from .conftest import IMAGE, FakeServer, Worker, refusal

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
