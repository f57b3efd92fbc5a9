"""The guide's nginx, word for word but for its port and TLS, before the served product."""

from __future__ import annotations

import http.client
import re
import socket
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from orgs.models import AuditEvent
from orgs.services.tenancy import tokens
from tests.support import PROJECT_ROOT, require_program, tied_to_us
from tests.support.product import served

from .waiting import KINDS, login, waiting

pytestmark = pytest.mark.django_db(transaction=True)

AROUND = """
daemon off; master_process off; pid {directory}/pid; error_log stderr error;
events {{ worker_connections 2000; }}
http {{
    access_log off;
    client_body_temp_path {directory}/bodies;
    proxy_temp_path {directory}/answers;
    fastcgi_temp_path {directory}/x; uwsgi_temp_path {directory}/y; scgi_temp_path {directory}/z;
    {block}
}}
"""


def guides_block() -> str:
    guide = (PROJECT_ROOT / "docs/guide/operations.md").read_text()
    (found,) = re.findall(r"```nginx\n(.*?)```", guide, re.DOTALL)
    return found


@pytest.fixture
def product(aws, make_entry) -> Iterator[str]:
    key_id, secret = aws.create_user("valohai", aws.policy())
    make_entry(config={"access_key_id": key_id}, secrets={"secret_access_key": secret})
    with served(TRUSTED_PROXIES="127.0.0.1", ALLOWED_HOSTS="127.0.0.1") as address:
        yield address


@pytest.fixture
def proxy(product: str, tmp_path: Path) -> Iterator[str]:
    """Its address; what it would write to a file, it can't."""
    program = require_program("nginx")
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    block = guides_block().replace("listen 443 ssl", f"listen 127.0.0.1:{port}")
    block = block.replace("127.0.0.1:8000", product.removeprefix("http://"))
    block = re.sub(r"\n\s*ssl_[^\n]*", "", block)
    config = tmp_path / "nginx.conf"
    config.write_text(AROUND.format(directory=tmp_path, block=block))
    command = tied_to_us([program, "-p", str(tmp_path), "-c", str(config), "-e", "stderr"])
    with subprocess.Popen(command) as server:
        try:
            _wait_for(port)
            for made in ("bodies", "answers"):
                (tmp_path / made).rmdir()
            yield f"http://127.0.0.1:{port}"
        finally:
            server.terminate()
            server.wait(10)


def _wait_for(port: int) -> None:
    deadline = time.monotonic() + 10
    while time.monotonic() < deadline:
        try:
            socket.create_connection(("127.0.0.1", port), 1).close()
            return
        except OSError:
            time.sleep(0.05)
    raise RuntimeError("nginx didn't start")


def test_logins_answer_through_it_beside_another_address_that_waits(proxy, acme, project, actor):
    token = tokens.token_issue_worker(organization=acme, name="workers", actor=actor)[1]
    assert login(proxy, token, project.pk, timeout=20) == 200
    for kind, sent in KINDS.items():
        with waiting(proxy, sent, 200, source="127.0.0.9"):
            found = [login(proxy, token, project.pk) for _ in range(10)]
        assert found == [200] * 10, kind
    event = AuditEvent.objects.filter(action="login.issued").latest("pk")
    assert event.source_address == "127.0.0.1"


@pytest.mark.once
def test_one_address_has_so_many_connections_and_no_more(proxy):
    with waiting(proxy, KINDS["a body of one byte"], 100):
        assert _post(proxy, b"") == (503, False)


@pytest.mark.once
def test_bodies_come_whole_and_no_file_keeps_them(proxy):
    status, ours = _post(proxy, b"x" * 20_000_000)
    assert status in (403, 413) and ours  # nginx, which can't write it to a file, says 500
    status, ours = _post(proxy, b"x" * 23_000_000)
    assert status == 413 and not ours


def _post(address: str, body: bytes) -> tuple[int, bool]:
    """To the sign-in form, as nobody; the status, and whether the product told it."""
    connection = http.client.HTTPConnection(address.removeprefix("http://"), timeout=20)
    form = "multipart/form-data; boundary=x"
    try:
        connection.request("POST", "/accounts/login/", body, {"Content-Type": form})
        response = connection.getresponse()
        response.read()
        return response.status, "Content-Security-Policy" in response.headers
    finally:
        connection.close()
