"""Through a real gunicorn: a cold fleet that honours Retry-After costs one call to AWS."""

from __future__ import annotations

import http.client
import json
import os
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from django.conf import settings

from tests.support import PROJECT_ROOT, tied_to_us
from tests.support.product import database_url

from .conftest import IMAGE, LOGIN

pytestmark = pytest.mark.django_db(transaction=True)

ASKERS = 64
PATIENCE = 30.0  # seconds


@pytest.fixture
def port(aws) -> Iterator[int]:
    """Where the product answers: gunicorn as configured, on this test's database."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        free = probe.getsockname()[1]
    environment = os.environ | {
        "DJANGO_SETTINGS_MODULE": "valohai_registries.settings",
        "DATABASE_URL": database_url(),
        "FERNET_KEYS": ",".join(settings.FERNET_KEYS),
        "AWS_ENDPOINT_URL": aws.url,
        "PORT": str(free),
    }
    command = [sys.executable, "-m", "gunicorn", "valohai_registries.wsgi"]
    with subprocess.Popen(tied_to_us(command), env=environment, cwd=PROJECT_ROOT) as server:
        try:
            _wait_until_healthy(free, server)
            yield free
        finally:
            server.terminate()
            server.wait(20)


def _wait_until_healthy(port: int, server: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + 30
    while server.poll() is None and time.monotonic() < deadline:
        try:
            if _send(port, "GET", "/healthz")[0] == 200:
                return
        except OSError:
            time.sleep(0.1)
    raise RuntimeError("gunicorn didn't start")


def _send(port: int, method: str, path: str, body: Any = b"", **headers: str):
    """(status, headers, document) over a connection of its own."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=20)
    try:
        connection.request(method, path, body, headers)
        response = connection.getresponse()
        return response.status, response.headers, json.loads(response.read())
    finally:
        connection.close()


def test_64_cold_askers_cost_one_call(aws, entry, issue, project, port):
    token = {"Authorization": f"Token {issue()}"}
    body = json.dumps({"project": str(project.pk), "image": IMAGE}).encode()
    aws.fault("slow", seconds=1.5, times=1)
    start = threading.Barrier(ASKERS)
    busy: list[int] = []

    def ask(_: int) -> tuple[str, float]:
        start.wait(30)
        began = time.monotonic()
        while time.monotonic() - began < PATIENCE:
            status, headers, told = _send(port, "POST", LOGIN, body, **token)
            if status == 200:
                return told["password"], time.monotonic() - began
            assert (status, told["code"]) == (503, "busy"), told
            busy.append(1)
            time.sleep(int(headers["Retry-After"]))
        raise AssertionError("out of patience")

    with ThreadPoolExecutor(ASKERS) as askers:
        found = list(askers.map(ask, range(ASKERS)))
    assert len(aws.calls) == 1
    assert {password for password, _ in found} <= aws.tokens
    slowest = max(took for _, took in found)
    print(f"slowest {slowest:.2f} s, told busy {len(busy)} times")
    assert slowest < 15


@pytest.mark.parametrize(
    ("body", "status", "code"),
    [
        (iter([b"{", b"}"]), 400, "invalid_request"),  # chunked: no length is no body
        (b" " * 1_000_000, 413, "too_large"),
    ],
)
def test_bodies_that_only_a_real_server_sees(issue, port, body, status, code):
    token = {"Authorization": f"Token {issue()}"}
    found, _, told = _send(port, "POST", LOGIN, body, **token)
    assert (found, told["code"]) == (status, code)
