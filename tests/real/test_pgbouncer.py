"""Behind a real pgbouncer in transaction mode: logins, pages and exports."""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from django.test import Client

from orgs.services.tenancy import tokens
from tests.conftest import HOST
from tests.serving.test_connections import _status
from tests.support import require_program
from tests.support.product import database_url, served

pytestmark = [
    pytest.mark.postgresql,
    pytest.mark.django_db(transaction=True),
]


@contextlib.contextmanager
def pooled() -> Iterator[str]:
    """The address of the test's database behind a pgbouncer of few connections."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    whole = re.fullmatch(r"postgresql://(.*):(.*)@(.*):(\d+)/(.*)", database_url())
    user, password, host, at, name = whole.groups()
    # Not in the test's own place, which nobody else may read.
    directory = Path(tempfile.mkdtemp(prefix="pgbouncer-"))
    settings = directory / "pgbouncer.ini"
    settings.write_text(
        f"[databases]\ntest = host={host} port={at} dbname={name} user={user} "
        f"password='{password}'\n[pgbouncer]\nlisten_addr = 127.0.0.1\nlisten_port = {port}\n"
        "auth_type = any\npool_mode = transaction\ndefault_pool_size = 3\nunix_socket_dir =\n"
    )
    directory.chmod(0o755)
    # It refuses to be root.
    own = {"user": "nobody"} if os.geteuid() == 0 else {}
    with subprocess.Popen([require_program("pgbouncer"), "-q", str(settings)], **own) as bouncer:
        try:
            deadline = time.monotonic() + 10
            while True:
                with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port)):
                    break
                assert bouncer.poll() is None and time.monotonic() < deadline
                time.sleep(0.05)
            yield f"postgresql://{user}:any@127.0.0.1:{port}/test"
        finally:
            bouncer.terminate()
            shutil.rmtree(directory)


def test_behind_a_pooler(aws, acme, alice, actor, project, make_entry) -> None:
    key_id, secret = aws.create_user("valohai", aws.policy())
    for name in ("a", "b", "c"):
        make_entry(
            f"{HOST}/{name}/*",
            config={"access_key_id": key_id},
            secrets={"secret_access_key": secret},
        )
    _, token = tokens.token_issue_worker(organization=acme, name="fleet", actor=actor)

    def login(number: int) -> int:
        image = f"{HOST}/{'abc'[number % 3]}/x"
        body = {"project": str(project.pk), "image": image}
        return _status(f"{address}/api/v0/docker-login/", body, token)

    client = Client()
    client.force_login(alice)
    cookie = client.cookies["sessionid"].value
    with (
        pooled() as database,
        served(DATABASE_URL=f"{database}?disable_server_side_cursors=true") as address,
        ThreadPoolExecutor(16) as threads,
    ):
        assert [login(number) for number in range(3)] == [200] * 3
        assert set(threads.map(login, range(300))) == {200}
        for page in ("registries/", "registries/export/?format=csv", "audit/", "audit/export.csv"):
            command = ["curl", "-sf", "-b", f"sessionid={cookie}"]
            found = subprocess.run(
                [*command, f"{address}/organizations/acme/{page}"], capture_output=True, text=True
            )
            assert found.returncode == 0, page
            assert f"{HOST}/a" in found.stdout, page
        assert _status(f"{address}/healthz") == 200
