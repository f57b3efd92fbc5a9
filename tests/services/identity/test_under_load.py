"""Keys rotate while many sign: a cloud that keeps what it fetched for as long as it may (300
seconds) never meets a token that it can't judge, however it fetches."""

from __future__ import annotations

import threading
import time
from collections import deque
from datetime import timedelta
from typing import Any

import pytest
from django.db import connection
from joserfc.errors import InvalidKeyIdError

from orgs.models import SigningKey
from orgs.services.identity import documents, keys, signing
from tests.support.identity import AUDIENCE, fetched, judged, later

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("issuing")]
SIGNERS = 4
STEP = 60  # seconds


class Clouds:
    """Each fetches at another second, and keeps it for as long as it may."""

    def __init__(self) -> None:
        self.now = 0.0
        self._kept: list[tuple[float, dict[str, Any]]] = []
        for _ in range(0, documents.MAX_AGE, STEP):
            self._kept.append((float("-inf"), {}))

    def judge(self, tokens: list[tuple[float, str]]) -> None:
        """All tokens that are still good, by what each of them has."""
        for at, (fetched_at, key_set) in enumerate(self._kept):
            if self.now - fetched_at >= documents.MAX_AGE:
                key_set = fetched()
                self._kept[at] = (self.now - at * STEP, key_set)
            for signed_at, token in tokens:
                if self.now - signed_at < keys.TOKEN_LIFE.total_seconds():
                    judged(token, key_set)


class Signing:
    """Threads that sign without end, until `with` it is over."""

    def __init__(self, entry) -> None:
        self._entry = entry
        self._over = threading.Event()
        self.errors: list[Exception] = []
        self.new: deque[str] = deque()

    def __enter__(self):
        self._threads = [threading.Thread(target=self._sign) for _ in range(SIGNERS)]
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *exc_info) -> None:
        self._over.set()
        for thread in self._threads:
            thread.join()

    def _sign(self) -> None:
        try:
            while not self._over.is_set():
                self.new.append(signing.signed(self._entry, AUDIENCE))
                time.sleep(0.002)
        except Exception as error:
            self.errors.append(error)
        finally:
            connection.close()

    def some(self) -> list[str]:
        """What was signed from now on, of each thread more than one."""
        self.new.clear()
        until = time.monotonic() + 30
        while len(self.new) < 2 * SIGNERS and not self.errors and time.monotonic() < until:
            time.sleep(0.002)
        assert not self.errors, self.errors
        return list(self.new)[: 2 * SIGNERS]


def rotated(entry, times: int) -> set[str]:
    """Rotate so many times under load; gives the keys that signed."""
    clouds, tokens = Clouds(), []

    def pass_by(seconds: float) -> None:
        later(seconds=seconds)
        clouds.now += seconds
        tokens.extend((clouds.now, token) for token in signers.some())
        tokens[:] = [one for one in tokens if clouds.now - one[0] < 600]
        clouds.judge(tokens)

    signed = set()
    with Signing(entry) as signers:
        pass_by(1)
        for _ in range(times):
            signed.add(SigningKey.objects.get(state="signing").kid)
            keys.rotate()
            pass_by(1)
            pass_by(keys.BEFORE.total_seconds() - 3)
            for _ in range(20):
                pass_by(STEP)
        signed.add(SigningKey.objects.get(state="signing").kid)
    return signed


def test_no_cloud_meets_a_token_that_it_can_not_judge(make_entry) -> None:
    assert len(rotated(make_entry(), times=1)) == 2
    assert SigningKey.objects.count() <= 2


# What the two times are for; and that the test above would see it.
@pytest.mark.parametrize("name", ["BEFORE", "AFTER"])
def test_without_the_time_before_and_after_they_would(name, make_entry, monkeypatch) -> None:
    monkeypatch.setattr(keys, name, timedelta(seconds=3 if name == "BEFORE" else 0))
    with pytest.raises(InvalidKeyIdError):
        rotated(make_entry(), times=1)
