"""For 24 s what `python -m bench.faults.soak` does for an hour."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import pytest

from tests.support import PROJECT_ROOT, require_program

pytestmark = [pytest.mark.once, pytest.mark.timeout(180)]

OURS = ("DATABASE_URL", "FERNET_KEYS", "SECRET_KEY", "DJANGO_SETTINGS_MODULE", "TEST_DATABASE")


def test_two_servers_under_load_hold_no_more_as_time_goes_by() -> None:
    require_program("nginx")
    own = {name: value for name, value in os.environ.items() if name not in OURS}
    command = [sys.executable, "-m", "bench.faults.soak", "--minutes", "0.4", "--json"]
    ended = subprocess.run(
        command, env=own, cwd=PROJECT_ROOT, stdout=subprocess.PIPE, text=True, timeout=150
    )
    assert ended.returncode == 0
    told = json.loads(ended.stdout.splitlines()[-1])
    assert told["asked"] > 300 and told["plain"] == told["helped"] == 0
    held = told["held"]
    half = len(held) // 2
    # A leak of one thing a login would be hundreds of them.
    for what, room in (("descriptors", 40), ("threads", 20), ("connections", 12)):
        before, after = (max(one[what] for one in part) for part in (held[:half], held[half:]))
        assert after <= before + room, (what, held)
    assert held[-1]["memory"] <= held[0]["memory"] * 1.1, held
