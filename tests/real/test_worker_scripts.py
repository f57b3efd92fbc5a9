"""The script that stands under a new worker token, pasted as it stands in the page: it sets a
clean machine up, twice, and says whether pulling works. The product, gunicorn, a TLS registry.
"""

from __future__ import annotations

import html
import json
import os
import re
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from orgs.models import AuditEvent, WorkerToken
from orgs.services.tenancy import tokens
from tests.conftest import CANARY
from tests.support import product, require_program
from tests.support.registry import Registry

pytestmark = [pytest.mark.once, pytest.mark.django_db(transaction=True)]

ISSUE = "/organizations/acme/workers/issue/"
REGISTRY = "registry.example.com"
IMAGE = f"{REGISTRY}/my-ml-image:v1.0"
PODMAN_FILE = ".config/containers/auth.json"
SCRIPT = re.compile(r'<pre data-copy[^>]*aria-label="Script for ([^"]+)"><code>(.*?)</code>', re.S)
# Docker's and nerdctl's daemons don't run here; skopeo reads the same file in the same way.
STAND_IN = """#!/bin/sh
[ "$1 $2" = "pull -q" ] || exit 64
exec skopeo --insecure-policy inspect --authfile "${DOCKER_CONFIG:-$HOME/.docker}/config.json" "docker://$3"
"""
PODMAN = """#!/bin/sh
[ "$1 $2 $3" = "pull -q --authfile" ] || exit 64
exec skopeo --insecure-policy inspect --authfile "$4" "docker://$5"
"""
Paste = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture(scope="module")
def registry() -> Iterator[Registry]:
    require_program("skopeo")
    require_program("curl")
    with Registry(REGISTRY) as registry:
        registry.push("my-ml-image", "v1.0")
        registry.allow("robot", CANARY)
        yield registry


@pytest.fixture
def scripts(registry, make_entry, project, alice, client, settings) -> Iterator[dict[str, str]]:
    """Client → its script, out of the page that shows the token."""
    make_entry(
        f"{REGISTRY}/my-ml-image",
        registry_type="docker",
        config={"username": "robot"},
        secrets={"password": CANARY},
    )
    client.force_login(alice)
    with product.served() as address:
        settings.BASE_URL = str(address)
        answer = client.post(ISSUE, {"name": "w", "environment": "", "expires_in": ""})
        assert "no-store" in answer["Cache-Control"]
        page = answer.content.decode()
        yield {name: html.unescape(text) for name, text in SCRIPT.findall(page)}


@pytest.fixture
def home(tmp_path: Path) -> Path:
    (tmp_path / "programs").mkdir()
    for name, text in (("docker", STAND_IN), ("nerdctl", STAND_IN), ("podman", PODMAN)):
        (tmp_path / "programs" / name).write_text(text)
    (tmp_path / "programs" / "sudo").write_text('#!/bin/sh\nexec "$@"\n')
    for program in (tmp_path / "programs").iterdir():
        program.chmod(0o755)
    (tmp_path / "home").mkdir()
    return tmp_path / "home"


@pytest.fixture
def paste(registry: Registry, home: Path) -> Paste:
    """Pasted into a shell of a machine that has nothing of ours."""

    def paste(script: str, shell: str = "sh", **more: str) -> subprocess.CompletedProcess[str]:
        machine = home.parent
        path = [machine / "bin", machine / "programs", os.environ["PATH"]]
        own = {
            "HOME": str(home),
            "PATH": os.pathsep.join(map(str, path)),
            "VALOHAI_BIN": str(machine / "bin"),
            "VALOHAI_ROOT": str(machine / "root"),
        }
        return registry.run([shell], own | more, input=f"{script}\nexit $?\n")

    return paste


CLIENTS = {
    "Docker": ".docker/config.json",
    "Podman and skopeo": PODMAN_FILE,
    "containerd (nerdctl)": ".docker/config.json",
}


# Serving takes longest, so each test tells a whole story.
def test_pasted_twice_it_works(scripts, paste, home) -> None:
    for name, file in CLIENTS.items():
        works(home / file, scripts[name], paste, home)


def works(file: Path, script: str, paste: Paste, home: Path) -> None:
    theirs = {"auths": {"ghcr.io": {"auth": "bWU6bWluZQ=="}}, "credHelpers": {"gcr.io": "gcloud"}}
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(json.dumps(theirs))
    file.chmod(0o640)
    for shell in ("sh", "bash"):
        ran = paste(script, shell)
        assert ran.returncode == 0, ran.stderr + ran.stdout
        assert ran.stdout.endswith(f"It works: {IMAGE}.\n"), ran.stdout
        assert CANARY not in ran.stdout + ran.stderr
    merged = json.loads(file.read_text())
    assert merged == theirs | {"credHelpers": {"gcr.io": "gcloud", REGISTRY: "valohai"}}
    assert file.stat().st_mode & 0o777 == 0o640
    token = home / ".config/valohai-registries/token"
    assert token.stat().st_mode & 0o777 == 0o600
    assert tokens.authenticate(token.read_text().strip()) == WorkerToken.objects.get()
    left = [path.name for path in home.rglob("*") if path.name.endswith("new")]
    assert left == []
    # Whoever lists processes sees no token: it's in no command, only in a here-document.
    (line,) = [line for line in script.splitlines() if "vrw_" in line]
    assert line == token.read_text().strip()
    issued = AuditEvent.objects.filter(action="login.issued")
    assert issued.exists() and token.read_text().strip() not in str(list(issued.values()))


def test_it_says_what_went_wrong(scripts, paste, home) -> None:
    docker = scripts["Docker"]
    # A file that it doesn't understand stays, and nothing is set up by halves.
    (home / ".docker").mkdir()
    file = home / ".docker/config.json"
    for text in ("{broken", "[]", '{"credHelpers": []}'):
        file.write_text(text)
        ran = paste(docker)
        assert ran.returncode != 0 and "it was left as it is" in ran.stderr
        assert file.read_text() == text
        assert not (home / ".config/valohai-registries/token").exists()
    file.unlink()
    other = f"{REGISTRY}/other:v1"
    ran = paste(docker, VALOHAI_IMAGE=other)
    assert ran.returncode == 1 and f"no login for {other}" in ran.stderr
    assert "no_match" in ran.stderr
    gone = f"{REGISTRY}/my-ml-image:gone"
    ran = paste(docker, VALOHAI_IMAGE=gone)
    assert ran.returncode == 1 and f"The login works, but {gone} couldn't be pulled" in ran.stderr
    (home.parent / "programs/nerdctl").unlink()
    ran = paste(scripts["containerd (nerdctl)"])
    assert ran.returncode == 1 and "nerdctl isn't installed here" in ran.stderr
    # Half a paste does nothing.
    fresh = home.parent / "fresh"
    half = docker.partition("main </dev/null")[0] + "\nVALOHAI_SETUP"
    assert paste(half, HOME=str(fresh)).returncode == 0
    assert not fresh.exists()
    # Nothing else than what a revoked token gives.
    WorkerToken.objects.update(revoked_at=WorkerToken.objects.get().created_at)
    ran = paste(docker)
    assert ran.returncode == 1 and "token_revoked" in ran.stderr
    assert "It works" not in ran.stdout


def test_kubernetes(scripts, paste, home) -> None:
    yaml = pytest.importorskip("yaml")
    root = home.parent / "root"
    config = root / "etc/kubernetes/credential-providers.yaml"
    for _ in range(2):
        ran = paste(scripts["Kubernetes"])
        assert ran.returncode == 0, ran.stderr
        assert f"It works: the provider has a login for {IMAGE}." in ran.stdout
    (provider,) = yaml.safe_load(config.read_text())["providers"]
    assert provider["matchImages"] == [REGISTRY]
    assert f"--image-credential-provider-config={config}" in ran.stdout
    assert (root / "etc/valohai-registries/token").stat().st_mode & 0o777 == 0o600
    assert config.stat().st_mode & 0o777 == 0o644
    # Another's file stays.
    config.write_text("kind: CredentialProviderConfig\n")
    ran = paste(scripts["Kubernetes"])
    assert ran.returncode == 1 and "was left as it is" in ran.stderr
    assert config.read_text() == "kind: CredentialProviderConfig\n"
    # An image that nothing serves doesn't «work».
    config.unlink()
    ran = paste(scripts["Kubernetes"], VALOHAI_IMAGE="ghcr.io/me/x")
    assert ran.returncode == 1 and "It works" not in ran.stdout
