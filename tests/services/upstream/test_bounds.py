"""The bounds that docstrings promise, by a clock of the test's own; and that they fit in
one another."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from orgs.registries.docker import DockerRegistry
from orgs.registries.problems import Failed
from orgs.services.logins import minting
from orgs.services.upstream import calls
from orgs.services.verification import images, verifying


@pytest.fixture
def clock(monkeypatch):
    clock = SimpleNamespace(now=1000.0, tries=0)

    def sleep(seconds: float) -> None:
        clock.now += seconds

    monkeypatch.setattr(calls, "time", SimpleNamespace(monotonic=lambda: clock.now, sleep=sleep))
    return clock


@pytest.mark.parametrize("code", ["invalid_key", "access_denied", "registry_unreachable"])
@pytest.mark.parametrize("takes", [0.0, 1.0, 3.5, 6.9, 7.0])
@pytest.mark.parametrize("new", [True, False])
def test_all_tries_of_a_key_end_in_time(code, takes, new, clock, monkeypatch) -> None:
    """Each call takes as long as it may at most: that it ends by then is outbound's."""

    def refuse(kind, config, secrets, ask) -> None:
        clock.tries += 1
        clock.now = min(clock.now + takes, ask.deadline)
        raise Failed(code, "No.")

    monkeypatch.setattr(calls, "ask_for_login", refuse)
    began = clock.now
    with pytest.raises(Failed):
        calls.obtain(DockerRegistry(), {}, {}, "", new=new)
    most = calls.NEW_KEY_SECONDS if new else calls.CALL_SECONDS
    assert clock.now - began <= most
    assert clock.tries == 1 or new


def test_what_waits_for_another_waits_longer_than_that_may_take() -> None:
    claim = verifying.CLAIM.total_seconds()
    assert claim > calls.NEW_KEY_SECONDS + verifying.REGISTRY_SECONDS
    lease = minting.LEASE.total_seconds()
    assert calls.CALL_SECONDS < lease < minting.WAIT
    assert claim > images.SECONDS
