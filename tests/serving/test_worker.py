"""The worker: nobody who keeps it waiting holds its only thread."""

from __future__ import annotations

import threading
import time

import pytest

from orgs.services.bulk.drafts import MAX_BYTES
from valohai_registries.serving import connection, worker

pytestmark = pytest.mark.once

GET = b"GET /%s HTTP/1.1\r\nHost: x\r\n\r\n"
POST = b"POST /%s HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n"


def big(environ, start_response):
    """Ten megabytes for whoever asks for them, in one piece or in many."""
    path = environ["PATH_INFO"]
    if not path.startswith("/big"):
        start_response("200 OK", [("Content-Length", "2")])
        return [b"ok"]
    start_response("200 OK", [("Content-Length", str(10_000_000))])
    return [b"x" * 10_000_000] if path == "/big" else iter([b"x" * 10_000] * 1000)


def test_half_open_heads_hold_no_thread(run):
    running = run()
    for count in range(200):
        running.client().send(GET[: count % len(GET)])
    assert running.client().send(GET % b"me").answer().endswith(b"/me ")


def test_pages_that_hang_hold_no_thread_of_logins(run):
    end = threading.Event()

    def hang(environ, start_response):
        if environ["PATH_INFO"] == "/page" or "also" in environ["QUERY_STRING"]:
            end.wait(30)
        start_response("200 OK", [("Content-Length", "2")])
        return [b"ok"]

    running = run(hang)
    for _ in range(50):
        running.client().send(GET % b"page")
        # what only resembles the addresses that have threads of their own
        for path in ("healthz/page?also", "healthzX?also", "api/v0/docker-login/?also"):
            running.client().send(GET % path.encode())
        running.client().send(POST % (b"healthz?also", 0))
    for path in worker.LOGINS:
        assert running.client().send(POST % (path[1:].encode(), 0)).answer().endswith(b"ok")
    assert running.client().send(GET % b"healthz").answer().endswith(b"ok")
    end.set()


def test_half_sent_bodies_hold_no_thread(run):
    running = run()
    for _ in range(200):
        running.client().send(POST % (b"slow", 10_000_000) + b"a")
    assert running.client().send(POST % (b"me", 3) + b"abc").answer().endswith(b"/me abc")


def test_clients_that_take_nothing_hold_no_thread(run):
    running = run(big)
    for _ in range(5):
        running.client(receive=2048).send(GET % b"big")
    assert running.client().send(GET % b"me").answer().endswith(b"ok")


def test_an_export_isnt_made_faster_than_it_is_taken(run):
    made = []

    def export(environ, start_response):
        start_response("200 OK", [])
        for number in range(10_000):
            made.append(number)
            yield b"x" * 10_000

    run(export).client(receive=2048).send(GET % b"x")
    time.sleep(1.5)
    assert len(made) * 10_000 < connection.MOST_UNSENT + 8_000_000  # what the kernel keeps


def test_exports_taken_slowly_hold_as_many_threads_as_there_are_places(run, monkeypatch):
    monkeypatch.setattr(connection, "slow_readers", threading.BoundedSemaphore(1))
    running = run(big, threads=6)
    once = GET.replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n")
    begun = [running.client(receive=2048).send(once % b"big/pieces") for _ in range(4)]
    assert running.client().send(GET % b"me").answer().endswith(b"ok")
    whole = [len(client.rest()) > 10_000_000 for client in begun]
    assert sum(whole) < 4  # who found no place is cut off, which its length tells


def test_an_export_is_taken_in_time_or_not_at_all(run, monkeypatch):
    monkeypatch.setattr(connection, "PATIENCE", 1.0)
    monkeypatch.setattr(connection, "SLOWEST", 10**9)
    running = run(big)
    for _ in range(3):
        running.client(receive=2048).send(GET % b"big/pieces")
    began = time.monotonic()
    assert running.client().send(GET % b"me").answer().endswith(b"ok")
    assert time.monotonic() - began < 8  # each of the three waited a second, in turn


def test_who_takes_it_slowly_gets_all_of_it(run):
    running = run(big)
    for path in (b"big", b"big/pieces"):
        client = running.client(receive=4096).send(GET % path)
        time.sleep(0.2)
        assert len(client.answer()) > 10_000_000


def test_idle_connections_cost_no_thread_and_still_serve(run):
    running = run()
    idle = [running.client() for _ in range(300)]
    for client in idle:
        client.send(GET % b"one").answer()
    assert idle[0].send(GET % b"two").answer().endswith(b"/two ")


def test_requests_sent_together_are_answered_in_turn(run):
    client = run().client()
    client.send((POST % (b"a", 2) + b"12") + GET % b"b" + b"GET /c HTTP/1.1\r\nConnection: close")
    client.send(b"\r\n\r\n")
    told = client.rest()
    assert told.count(b"200 OK") == 3
    assert told.index(b"/a 12") < told.index(b"/b ") < told.index(b"/c ")


def test_a_short_answer_goes_as_one(run, monkeypatch):
    """Killed between its head and its body, a process would leave half a login."""
    sent, send = [], connection.Connection._send
    monkeypatch.setattr(
        connection.Connection,
        "_send",
        lambda conn, data: sent.append(bytes(data)) or send(conn, data),
    )
    client = run().client()
    told = [client.send(GET % path).answer() for path in (b"one", b"two")]
    client.send(b"HEAD /three HTTP/1.1\r\nConnection: close\r\n\r\n")
    assert client.rest().startswith(b"HTTP/1.1 200 OK")
    assert sent[:2] == told and len(sent) == 3


def test_a_request_in_single_bytes(run):
    client = run().client()
    for byte in POST % (b"me", 3) + b"abc":
        client.send(bytes([byte]))
    assert client.answer().endswith(b"/me abc")


@pytest.mark.parametrize("begun", [b"GET /x", POST % (b"x", 100) + b"a"])
def test_who_drips_is_told_after_the_time_in_all(run, monkeypatch, begun):
    monkeypatch.setattr(worker, "HEAD_SECONDS", 1.0)
    monkeypatch.setattr(connection, "HEAD_SECONDS", 1.0)
    monkeypatch.setattr(connection, "PATIENCE", 1.0)
    client = run().client().send(begun)
    began = time.monotonic()
    client.socket.setblocking(False)
    told = b""
    while time.monotonic() - began < 8 and not told:
        time.sleep(0.1)
        try:
            client.send(b"a")
            told = client.socket.recv(65536)
        except BlockingIOError:
            continue
    assert told.startswith(b"HTTP/1.1 408 ")
    assert time.monotonic() - began >= 1


def test_who_says_nothing_is_closed_without_a_word(run, monkeypatch):
    monkeypatch.setattr(connection, "HEAD_SECONDS", 0.5)
    assert run().client().rest() == b""


def test_with_all_connections_taken_the_longest_wait_makes_room(run):
    running = run(worker_connections=20)
    half = [running.client().send(b"G") for _ in range(60)]
    assert running.client().send(GET % b"me").answer().endswith(b"/me ")
    assert half[0].rest() == b""


@pytest.mark.parametrize(
    ("request_bytes", "status"),
    [
        (b"GET / HTTP/1.1\r\nHost: x\r\nX: " + b"y" * 8000 + b"\r\nY: " + b"z" * 2000, 200),
        (b"GET / HTTP/1.1\r\nHost: x\r\nX: " + b"y" * 10_000, 431),
        (b"GET / HTTP/1.1\r\nHost: x\r\n" + b"X: y\r\n" * 200, 431),
        (b"GET / HTTP/1.1\r\nHost: x\r\nX: " + b"y" * 100_000, 431),
        (b"GET /" + b"y" * 5000 + b" HTTP/1.1\r\nHost: x", 414),
        (b"nonsense", 400),
        (b"\r\n", 400),
        (b"GET / HTTP/1.1\nHost: x", 400),
        (b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\nContent-Length: 2", 400),
        (b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\nTransfer-Encoding: chunked", 400),
        (b"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: gzip", 400),
        (b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: -1", 400),
        (b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: +1", 400),
        (b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 1_0", 400),
        (b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length : 1", 400),
        (b"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked", 411),
        (b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 30000000", 413),
        (b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: " + b"9" * 400, 413),
    ],
)
def test_heads(run, request_bytes, status):
    """What is refused ends the connection: a request hidden behind it is none."""
    client = run().client().send(request_bytes + b"\r\n\r\n")
    if status == 200:
        told = client.answer()
    else:
        told = client.send(GET % b"smuggled").rest()
        assert b"smuggled" not in told
    assert told.startswith(b"HTTP/1.1 %d " % status), told


def test_a_client_that_goes_on_sending_still_finds_why_not(run):
    client = run().client().send(POST % (b"x", 30_000_000))
    for _ in range(20):  # the answer has long come
        client.send(b"x" * 500_000)
        time.sleep(0.05)
    told = client.rest()
    assert told.startswith(b"HTTP/1.1 413 ") and b"files have 10 MB at most" in told


def test_the_api_refuses_a_body_in_its_own_words(run):
    """It looks at the length in the head; the body isn't read."""

    def api(environ, start_response):
        assert environ["wsgi.input"].read() == b""
        start_response("413 Content Too Large", [("Content-Length", "2")])
        return [environ["CONTENT_LENGTH"][:2].encode()]

    client = run(api).client().send(POST % (b"api/v0/x/", 30_000_000) + b"x" * 100_000)
    told = client.rest()
    assert told.startswith(b"HTTP/1.1 413 ") and told.endswith(b"30")


def test_where_too_much_is_held_whoever_kept_us_waiting_longest_is_refused(run, monkeypatch):
    monkeypatch.setattr(worker, "MOST_HELD", 1_000_000)
    running = run()
    slow = running.client().send(POST % (b"x", 600_001) + b"x" * 600_000)
    while running.worker.held < 600_000:
        time.sleep(0.01)
    second = running.client().send(POST % (b"x", 600_001) + b"x" * 600_000)
    assert slow.rest().startswith(b"HTTP/1.1 503 ")
    assert second.send(b"y").answer().endswith(b"xy")


def test_half_open_heads_that_fill_the_memory_refuse_nobody_elses_body(run, monkeypatch):
    monkeypatch.setattr(worker, "MOST_HELD", 1_000_000)
    running = run()
    for _ in range(60):
        running.client().send(b"GET / HTTP/1.1\r\nX: " + b"y" * 30_000)
    while running.worker.held < 900_000:
        time.sleep(0.01)
    late = running.client().send(POST % (b"me", 3) + b"a")
    time.sleep(0.2)
    assert late.send(b"bc").answer().endswith(b"/me abc")
    assert running.worker.held <= 1_000_000


def test_the_largest_file_of_a_form_fits():
    assert connection.MOST_BODY >= MAX_BYTES + 500_000


def test_who_expects_to_be_asked_is(run):
    client = (
        run()
        .client()
        .send(b"POST /x HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\nContent-Length: 3\r\n\r\n")
    )
    assert client.socket.recv(100) == b"HTTP/1.1 100 Continue\r\n\r\n"
    assert client.send(b"abc").answer().endswith(b"/x abc")


def test_a_crash_is_a_500_and_its_own_end_only(run):
    def crash(environ, start_response):
        raise ValueError("no")

    running = run(crash)
    for _ in range(2):
        assert running.client().send(GET % b"x").rest().startswith(b"HTTP/1.1 500 ")


def test_who_goes_meanwhile_disturbs_nobody(run):
    running = run(big)
    for request in (b"GET", GET % b"big", GET % b"big/pieces", POST % (b"x", 10) + b"a"):
        running.client(receive=2048).send(request).socket.close()
    assert running.client().send(GET % b"me").answer().endswith(b"ok")


def test_who_has_given_up_before_there_was_a_thread_is_nobodys_work(run):
    asked = []

    def slow(environ, start_response):
        asked.append(environ["PATH_INFO"])
        time.sleep(1.5)
        start_response("200 OK", [("Content-Length", "0")])
        return []

    running = run(slow)
    running.client().send(GET % b"first")
    time.sleep(0.3)
    running.client().send(GET % b"gone").socket.close()
    patient = running.client().send(GET % b"patient")
    patient.answer()
    assert asked == ["/first", "/patient"]


def test_a_stopping_worker_answers_what_it_has_begun(run):
    def slow(environ, start_response):
        time.sleep(1)
        start_response("200 OK", [("Content-Length", "4")])
        return [b"done"]

    running = run(slow)
    idle = running.client()
    client = running.client().send(GET % b"x")
    time.sleep(0.3)
    running.worker.handle_exit(15, None)
    told = client.rest()
    assert told.endswith(b"done")
    assert idle.rest() == b""
