"""The whole way: a worker with a token, gunicorn, the fake AWS, skopeo, a TLS registry.

skopeo knows no login, only `credHelpers`; the helper knows the server and its token.
"""

from __future__ import annotations

import base64
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from orgs.models import Project
from orgs.services.audit.events import Actor
from orgs.services.tenancy import tokens
from tests.conftest import HOST
from tests.support import PROJECT_ROOT, product, require_program
from tests.support.registry import Registry

pytestmark = [pytest.mark.once, pytest.mark.django_db(transaction=True)]

IMAGE = f"{HOST}/my-ml-image:v1.0"
Pull = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture
def registry(aws) -> Iterator[Registry]:
    with Registry() as registry:
        registry.push("my-ml-image", "v1.0")
        aws.on_token(lambda password: registry.allow("AWS", password))
        yield registry


@pytest.fixture
def address(aws, make_entry) -> Iterator[str]:
    key_id, secret = aws.create_user("valohai", aws.policy())
    make_entry(
        f"{HOST}/my-ml-image/*",
        config={"access_key_id": key_id},
        secrets={"secret_access_key": secret},
    )
    with product.served() as address:
        yield address


@pytest.fixture
def pull(registry: Registry, address: str, tmp_path: Path) -> Pull:
    """What skopeo says when a worker with this token and project pulls an image."""
    config = tmp_path / "docker" / "config.json"
    config.parent.mkdir()
    config.write_text(json.dumps({"credHelpers": {HOST: "valohai"}}))
    path = [str(Path(sys.executable).parent), str(PROJECT_ROOT / "worker"), os.environ["PATH"]]

    def pull(token: str, project: object, image: str = IMAGE, **more: str):
        return registry.skopeo(
            ["copy", f"docker://{image}", f"dir:{tmp_path / 'pulled'}"],
            env={
                "PATH": os.pathsep.join(path),
                "DOCKER_CONFIG": str(config.parent),
                "VALOHAI_REGISTRIES_URL": address,
                "VALOHAI_REGISTRIES_TOKEN": token,
                "VALOHAI_PROJECT": str(project),
                "VALOHAI_IMAGE": image,
                **more,
            },
        )

    return pull


@pytest.fixture
def token(acme, actor) -> tuple[object, str]:
    return tokens.token_issue_worker(organization=acme, name="gpu", actor=actor)


def test_a_worker_pulls_with_nothing_but_its_token(pull, token, project, aws, tmp_path):
    pulled = pull(token[1], project.pk)
    assert pulled.returncode == 0, pulled.stderr
    assert (tmp_path / "pulled" / "manifest.json").exists()
    assert len(aws.calls) == 1


@pytest.fixture
def podman(tmp_path) -> Iterator[list[str]]:
    """podman with a store of its own, where it can run here at all."""
    program = require_program("podman")
    # podman takes no runroot of more than 50 characters.
    with tempfile.TemporaryDirectory(prefix="podman-") as store:
        own = ["--root", f"{store}/root", "--runroot", f"{store}/run", "--storage-driver", "vfs"]
        works = subprocess.run([program, *own, "info"], capture_output=True, text=True)
        if works.returncode != 0:
            pytest.skip(f"podman doesn't run here: {works.stderr[-200:]}")
        yield [program, *own]


def worker_environment(auth: Path, address: str, token: str, project: object) -> dict[str, str]:
    path = [str(Path(sys.executable).parent), str(PROJECT_ROOT / "worker"), os.environ["PATH"]]
    return {
        "PATH": os.pathsep.join(path),
        "REGISTRY_AUTH_FILE": str(auth),
        "VALOHAI_REGISTRIES_URL": address,
        "VALOHAI_REGISTRIES_TOKEN": token,
        "VALOHAI_PROJECT": str(project),
    }


@pytest.mark.once
def test_podman_pulls_too(registry, address, token, project, podman, tmp_path):
    auth = tmp_path / "auth.json"
    auth.write_text(json.dumps({"credHelpers": {HOST: "valohai"}}))
    environment = worker_environment(auth, address, token[1], project.pk)
    pulled = registry.run([*podman, "pull", IMAGE], environment | {"VALOHAI_IMAGE": IMAGE})
    assert pulled.returncode == 0, pulled.stderr


@pytest.mark.once
def test_podman_pulls_by_what_config_wrote(registry, address, token, project, podman, tmp_path):
    auth = tmp_path / "auth.json"
    environment = worker_environment(auth, address, token[1], project.pk)
    helper = PROJECT_ROOT / "worker" / "docker-credential-valohai"
    written = registry.run([str(helper), "config", IMAGE], environment)
    auth.write_text(written.stdout)
    # nobody is asked any more
    del environment["VALOHAI_REGISTRIES_TOKEN"]
    pulled = registry.run([*podman, "pull", IMAGE], environment)
    assert pulled.returncode == 0, pulled.stderr


REMOTE = """
"$@" system service --time 60 "unix://$SOCKET" & service=$!
until [ -S "$SOCKET" ]; do kill -0 $service || exit 9; sleep 0.1; done
"$1" --remote --url "unix://$SOCKET" pull "$PULLED"; pulled=$?
kill $service; wait $service; exit $pulled
"""


@pytest.fixture
def elsewhere() -> Iterator[Registry]:
    with Registry("registry.example.com") as registry:
        registry.push("theirs", "v1")
        registry.allow("me", "mine")
        yield registry


@pytest.mark.once
def test_another_registrys_image_is_pulled_whatever_ours_says(
    elsewhere, address, token, project, podman, acme, actor, tmp_path
):
    """podman's remote client asks every helper, by host alone, before each pull."""
    mine = {"auth": base64.b64encode(b"me:mine").decode()}
    auth = tmp_path / "auth.json"
    auths = {"auths": {elsewhere.host: mine}, "credHelpers": {HOST: "valohai"}}
    auth.write_text(json.dumps(auths))
    old, old_text = tokens.token_issue_worker(organization=acme, name="old", actor=actor)
    tokens.token_revoke(token=old, actor=actor)
    for says, asked, text in (
        ("ambiguous_server", address, token[1]),  # a narrow entry stands on the host
        ("token_revoked", address, old_text),
        ("server_unreachable", "http://127.0.0.1:9", token[1]),
    ):
        environment = worker_environment(auth, asked, text, project.pk)
        with tempfile.TemporaryDirectory(prefix="podman-") as directory:
            own = {"SOCKET": f"{directory}/s", "PULLED": f"{elsewhere.host}/theirs:v1"}
            pulled = elsewhere.run(["sh", "-c", REMOTE, "sh", *podman], environment | own)
        assert pulled.returncode == 0, pulled.stderr
        assert f"{says}: " in pulled.stderr


@pytest.mark.once
def test_each_refusal_is_told_by_the_client(
    pull, token, project, acme, umbrella, gpu, bob, alice, actor: Actor
):
    theirs = Project.objects.create(name="theirs", organization=umbrella)
    personal = Project.objects.create(name="mine", user=bob)
    old, old_text = tokens.token_issue_worker(organization=acme, name="old", actor=actor)
    tokens.token_revoke(token=old, actor=actor)
    for asked, says in (
        ((old_text, project.pk), "token_revoked"),
        ((token[1], theirs.pk), "project_not_found"),
        ((token[1], personal.pk), "personal_project"),
        ((token[1], "nonsense"), "invalid_request"),
    ):
        refused = pull(*asked)
        assert refused.returncode != 0
        # skopeo shows what the helper wrote to its standard output.
        assert f"{says}: " in refused.stderr, refused.stderr
    limited = pull(token[1], project.pk, VALOHAI_ENVIRONMENT="gpu")
    assert "environment_not_allowed: " in limited.stderr
    # Nothing serves it: pulled anonymously, and the registry itself refuses.
    unmatched = pull(token[1], project.pk, f"{HOST}/other:v1")
    assert unmatched.returncode != 0
    assert "unauthorized" in unmatched.stderr or "authentication required" in unmatched.stderr
