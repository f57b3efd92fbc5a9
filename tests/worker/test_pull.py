"""skopeo, told only `credHelpers`, pulls from a real registry by what the helper gives it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.conftest import HOST
from tests.support import require_program
from tests.support.fake_aws import FakeAws
from tests.support.registry import Registry

from .conftest import HELPER, IMAGE, FakeServer, Worker, docker_login, refusal
from .fake_ec2 import FakeEc2, role_session
from .test_instance_role import ROLE, role_login

pytestmark = pytest.mark.once


@pytest.fixture(scope="module")
def shared_registry() -> Iterator[Registry]:
    require_program("skopeo")
    with Registry(HOST) as registry:
        registry.push("my-ml-image", "v1.0")
        yield registry


@pytest.fixture
def registry(shared_registry: Registry) -> Iterator[Registry]:
    yield shared_registry
    shared_registry.revoke_all()
    shared_registry.requests.clear()


def pull(registry: Registry, worker: Worker) -> subprocess.CompletedProcess[str]:
    config = worker.home / ".docker" / "config.json"
    config.parent.mkdir(exist_ok=True)
    config.write_text(json.dumps({"credHelpers": {HOST: "valohai"}}))
    # A Python that has botocore is the worker's; the helper is found by its name.
    path = os.pathsep.join(
        [str(Path(sys.executable).parent), str(HELPER.parent), os.environ["PATH"]]
    )
    return registry.skopeo(
        ["copy", f"docker://{IMAGE}", f"dir:{worker.home / 'pulled'}"],
        env={"VALOHAI_IMAGE": IMAGE}
        | worker.env
        | {"PATH": path, "DOCKER_CONFIG": str(config.parent)},
    )


def test_with_the_servers_login(registry: Registry, worker: Worker, server: FakeServer) -> None:
    registry.allow("AWS", "a login of the server's")
    server.replies = [docker_login(password="a login of the server's")]
    pulled = pull(registry, worker)
    assert pulled.returncode == 0, pulled.stderr
    assert (worker.home / "pulled" / "manifest.json").exists()
    assert ("GET", "/v2/my-ml-image/manifests/v1.0", True) in registry.requests


def test_with_the_workers_own_role(registry: Registry, worker: Worker, server: FakeServer) -> None:
    ec2 = FakeEc2()
    try:
        with FakeAws() as aws:
            aws.on_token(lambda password: registry.allow("AWS", password))
            ec2.roles = {ROLE: role_session(ROLE, aws.policy())}
            server.replies = [role_login()]
            worker.env["AWS_EC2_METADATA_SERVICE_ENDPOINT"] = ec2.url
            worker.env["AWS_ENDPOINT_URL"] = aws.url
            pulled = pull(registry, worker)
    finally:
        ec2.close()
    assert pulled.returncode == 0, pulled.stderr
    assert (worker.home / "pulled" / "manifest.json").exists()
    assert [asked.body["code"] for asked in server.outcomes] == ["ok"]


def test_unmatched_is_pulled_anonymously(
    registry: Registry, worker: Worker, server: FakeServer
) -> None:
    server.replies = [refusal(404, "no_match")]
    pulled = pull(registry, worker)
    assert pulled.returncode != 0 and "unauthorized" in pulled.stderr  # the registry's own word
    assert registry.requests and not any(seen.authenticated for seen in registry.requests)


def test_refused_is_told_and_not_pulled(
    registry: Registry, worker: Worker, server: FakeServer
) -> None:
    server.replies = [refusal(401, "token_revoked", "This worker token was revoked.")]
    pulled = pull(registry, worker)
    assert pulled.returncode != 0
    assert "token_revoked: This worker token was revoked." in pulled.stderr
    assert not any("/manifests/" in seen.path for seen in registry.requests)
    # Not known to be about this image: it goes on, and is told aside.
    worker.env["VALOHAI_IMAGE"] = ""
    pulled = pull(registry, worker)
    assert pulled.returncode != 0 and "unauthorized" in pulled.stderr
    assert "token_revoked: This worker token was revoked." in pulled.stderr
