"""What machines ask: `/livez`, `/healthz`, `/metrics`; who may, and what they're told."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import threading
import time
import urllib.error
import urllib.request
from pathlib import Path

import pytest
from cryptography.fernet import Fernet
from django.db import connection, transaction
from django.test import override_settings
from prometheus_client.parser import text_string_to_metric_families

from orgs.models import Heartbeat
from orgs.registries import codes
from orgs.registries.catalogue import TYPES
from orgs.seen import room
from orgs.services.bulk.rotation import rotate_secrets
from orgs.services.logins import health
from tests.support.product import served

from .conftest import Api

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture(autouse=True)
def look_again():
    health.forget()
    yield
    health.forget()


def figures(text: str) -> dict[tuple[str, ...], float]:
    """(name, label values in the labels' order …) → value."""
    found = {}
    for family in text_string_to_metric_families(text):
        for sample in family.samples:
            found[(sample.name, *(v for _, v in sorted(sample.labels.items())))] = sample.value
    return found


@pytest.fixture
def now(client):
    return lambda: figures(client.get("/metrics").content.decode())


# --- whether it lives, and can answer -------------------------------------------------


def test_livez_asks_nobody(client, django_assert_num_queries) -> None:
    with django_assert_num_queries(0):
        answer = client.get("/livez")
    assert (answer.status_code, answer.json()) == (200, {"detail": "ok"})


def test_healthz_is_well_where_the_database_was_written_and_the_keys_open(client) -> None:
    for _ in range(2):
        health.forget()
        answer = client.get("/healthz")
        assert (answer.status_code, answer.json()) == (200, {"detail": "ok"})
    assert Heartbeat.objects.get().at is not None


def test_healthz_asks_once_a_second_at_most(client, django_assert_num_queries) -> None:
    client.get("/healthz")
    with django_assert_num_queries(0):
        client.get("/healthz")


@contextlib.contextmanager
def read_only():
    on, off = (
        ("PRAGMA query_only = ON", "PRAGMA query_only = OFF")
        if connection.vendor == "sqlite"
        else ("SET default_transaction_read_only = on", "SET default_transaction_read_only = off")
    )
    with connection.cursor() as cursor:
        cursor.execute(on)
        try:
            yield
        finally:
            cursor.execute(off)


@pytest.mark.parametrize("first", [True, False])
def test_healthz_is_unwell_where_nothing_can_be_written(client, first) -> None:
    if not first:
        client.get("/healthz")
        health.forget()
    with read_only():
        answer = client.get("/healthz")
    assert answer.status_code == 503
    assert answer.json() == {"detail": "The database can't be reached, or takes no writes."}
    assert client.get("/healthz").status_code == 200


def test_healthz_is_unwell_where_the_keys_do_not_open_what_is_stored(client, settings) -> None:
    client.get("/healthz")
    old, settings.FERNET_KEYS = settings.FERNET_KEYS, [Fernet.generate_key().decode()]
    health.forget()
    answer = client.get("/healthz")
    assert answer.status_code == 503 and "a key is missing" in answer.json()["detail"]
    settings.FERNET_KEYS = [*settings.FERNET_KEYS, *old]
    assert client.get("/healthz").status_code == 200
    # As the guide has it: re-sealed, the old key is needed no more.
    rotate_secrets()
    settings.FERNET_KEYS = settings.FERNET_KEYS[:1]
    health.forget()
    assert client.get("/healthz").status_code == 200


@override_settings(ALLOWED_HOSTS=["registries.example.com"], SECURE_SSL_REDIRECT=True)
@pytest.mark.parametrize("address", ["/livez", "/healthz", "/metrics"])
def test_they_are_asked_by_any_name_and_without_tls(client, address) -> None:
    answer = client.get(address, HTTP_HOST="10.1.2.3:8000")
    assert answer.status_code == 200
    assert int(answer["Content-Length"]) == len(answer.content)
    assert client.get("/", HTTP_HOST="10.1.2.3:8000").status_code == 400


# --- figures: who may ---------------------------------------------------------------------


@pytest.mark.parametrize("address", ["127.0.0.1", "127.8.9.1", "::1"])
def test_this_machine_may_ask(client, address) -> None:
    assert client.get("/metrics", REMOTE_ADDR=address).status_code == 200


@pytest.mark.parametrize(
    "more",
    [
        *({"REMOTE_ADDR": address} for address in ("10.0.0.1", "93.184.216.34", "2001:db8::1", "")),
        {"HTTP_X_FORWARDED_FOR": "127.0.0.1"},
        {"HTTP_X_FORWARDED_FOR": ""},
        {"HTTP_X_FORWARDED_HOST": "localhost"},
        {"HTTP_X_FORWARDED_PROTO": "https"},
        {"HTTP_X_REAL_IP": "127.0.0.1"},
        {"HTTP_FORWARDED": "for=127.0.0.1"},
        {"HTTP_VIA": "1.1 nginx"},
    ],
    ids=str,
)
def test_without_a_token_nobody_else_may(client, more) -> None:
    answer = client.get("/metrics", **more)
    assert answer.status_code == 403 and "set METRICS_TOKEN" in answer.content.decode()
    assert "registries_" not in answer.content.decode()


def test_with_a_token_only_who_bears_it_may(client, settings) -> None:
    settings.METRICS_TOKEN = "of-prometheus"
    for given in ("", "of-prometheus", "Bearer", "Bearer of-prometheu", "Bearer ü", "Token x"):
        answer = client.get("/metrics", HTTP_AUTHORIZATION=given)
        assert answer.status_code == 401 and answer["WWW-Authenticate"] == "Bearer"
        assert "of-prometheus" not in answer.content.decode()
    allowed = {"HTTP_AUTHORIZATION": "Bearer of-prometheus", "HTTP_X_FORWARDED_FOR": "9.9.9.9"}
    assert client.get("/metrics", REMOTE_ADDR="10.0.0.1", **allowed).status_code == 200
    allowed["HTTP_AUTHORIZATION"] = "bearer  of-prometheus"
    assert client.get("/metrics", REMOTE_ADDR="10.0.0.1", **allowed).status_code == 200
    # As WSGI gives a header's bytes.
    settings.METRICS_TOKEN = "geheimnißü"
    allowed["HTTP_AUTHORIZATION"] = "Bearer geheimnißü".encode().decode("latin-1")
    assert client.get("/metrics", REMOTE_ADDR="10.0.0.1", **allowed).status_code == 200


@pytest.mark.postgresql
def test_a_heartbeat_that_another_holds_is_told_of_in_time(client) -> None:
    assert client.get("/healthz").status_code == 200
    health.forget()
    held, done = threading.Event(), threading.Event()

    def hold() -> None:
        with transaction.atomic():
            list(Heartbeat.objects.select_for_update())
            held.set()
            done.wait(20)
        connection.close()

    holder = threading.Thread(target=hold)
    holder.start()
    held.wait(10)
    begun = time.monotonic()
    try:
        answers = [client.get(path).status_code for path in ("/healthz", "/metrics", "/livez")]
    finally:
        done.set()
        holder.join()
    assert answers == [503, 200, 200] and time.monotonic() - begun < 8
    assert client.get("/healthz").status_code == 200


# --- what they say ------------------------------------------------------------------------


def test_logins_are_counted_by_type_result_and_whether_cached(client, entry, ask, now) -> None:
    before = now()
    given = [ask(), ask(), ask(), ask("registry.example.com/x"), ask(api=Api("vrw_no_no"))]
    assert [answer.status_code for answer in given] == [200, 200, 200, 404, 401]
    after = now()

    def more(*key):
        return after.get(key, 0) - before.get(key, 0)

    # Labels in their own order: cached, result, type.
    assert more("registries_logins_total", "no", "ok", "aws-ecr") == 1
    assert more("registries_logins_total", "yes", "ok", "aws-ecr") == 2
    assert more("registries_logins_total", "no", "no_match", "") == 1
    assert more("registries_cloud_call_seconds_count", "ok", "aws-ecr") == 1
    assert more("registries_refused_attempts_total", "not_authenticated") == 1
    assert more("registries_events_written_total") == 4
    assert more("registries_request_seconds_count", "login", "200") == 3
    assert more("registries_database_seconds_count", "no", "SELECT") > 3
    assert after[("registries_waiting_callers",)] == 0
    assert after[("registries_database_up",)] == 1
    assert after[("registries_oldest_due_renewal_seconds",)] == 0


def test_labels_take_nobodys_words(client, now, ask) -> None:
    word = "SuperSecretWord"
    for path in (f"/{word}", f"/api/v0/{word}", f"/organizations/{word}/", f"/?q={word}"):
        client.get(path, HTTP_USER_AGENT=word, HTTP_AUTHORIZATION=f"Token {word}")
        client.generic(word.upper()[:12], path)
    assert ask(f"{word.lower()}.example.com/x").status_code == 404
    found = now()
    assert word.lower() not in repr(found).lower()
    known = {t.slug for t in TYPES} | set(codes.table()) | {"ok", "yes", "no", "", "unknown"}
    logins = [key[1:] for key in found if key[0] == "registries_logins_total"]
    assert logins and {value for key in logins for value in key} <= known


def test_without_the_database_there_are_the_other_figures(client, monkeypatch) -> None:
    from django.db import OperationalError

    def gone(*_):
        raise OperationalError

    monkeypatch.setattr("orgs.services.logins.health._figures", gone)
    answer = client.get("/metrics")
    found = figures(answer.content.decode())
    assert answer.status_code == 200 and found[("registries_database_up",)] == 0
    assert ("registries_failing_entries",) not in found


def _get(address: str) -> str:
    with urllib.request.urlopen(address, timeout=20) as answer:
        return answer.read().decode()


def test_processes_are_added_up_and_one_that_is_killed_takes_nothing_away() -> None:
    with served() as address:

        def pages() -> float:
            name = "registries_request_seconds_count"
            return figures(_get(f"{address}/metrics")).get((name, "page", "200"), 0)

        children = _children(address.process.pid)
        assert len(children) == 2
        for count in range(1, 21):
            _get(f"{address}/accounts/login/")
            assert pages() == count
        _dies(address, children[0])
        assert pages() == 20


def _dies(address, child: int) -> None:
    os.kill(child, signal.SIGKILL)
    deadline = time.monotonic() + 20
    while True:
        now = _children(address.process.pid)
        if len(now) == 2 and child not in now:
            return
        assert time.monotonic() < deadline
        time.sleep(0.1)


def test_a_place_of_figures_that_is_taken_away_fails_nobody(tmp_path) -> None:
    place = tmp_path / "figures"
    with served(PROMETHEUS_MULTIPROC_DIR=str(place)) as address:
        assert figures(_get(f"{address}/metrics"))
        shutil.rmtree(place)
        for _ in range(6):
            assert _get(f"{address}/accounts/login/") and _get(f"{address}/guide/")
            assert ("registries_database_up",) in figures(_get(f"{address}/metrics"))
        _dies(address, _children(address.process.pid)[0])
        for _ in range(6):
            assert _get(f"{address}/accounts/login/") and _get(f"{address}/metrics")


def test_without_room_for_figures_it_serves(tmp_path) -> None:
    """As on a full disk: the room is taken at the start, so nothing is short of it later."""
    place = tmp_path / "figures"
    place.write_text("in the way")
    with served(PROMETHEUS_MULTIPROC_DIR=str(place)) as address:
        for _ in range(4):
            assert _get(f"{address}/guide/") and figures(_get(f"{address}/metrics"))
    assert place.read_text() == "in the way"


def test_the_room_is_taken_whole(tmp_path) -> None:
    assert room.make_room(str(tmp_path), 7)
    sizes = {f.name: f.stat().st_blocks * 512 for f in tmp_path.iterdir()}
    assert set(sizes) == {"counter_7.db", "histogram_7.db", "gauge_livesum_7.db"}
    assert all(size >= room.ROOM for size in sizes.values())


def _children(pid: int) -> list[int]:
    with Path(f"/proc/{pid}/task/{pid}/children").open() as file:
        found = [int(word) for word in file.read().split()]
    if len(found) == 1:  # what ties it to us stands between
        return _children(found[0])
    return found
