"""What `deploy/` starts: the manifests hold to Kubernetes' schemas, all names of settings are
ones that there are, and the image's files are enough to serve, read-only and without rights."""

from __future__ import annotations

import json
import os
import re
import shutil
import socket
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

import kubernetes_validate
import pytest
import yaml

from tests.support import PROJECT_ROOT, require_program, skip_or_fail, tied_to_us

pytestmark = pytest.mark.once

DEPLOY = PROJECT_ROOT / "deploy"
MANIFESTS = sorted((DEPLOY / "kubernetes").glob("*.yml"))


def _objects() -> list[dict]:
    return [one for file in MANIFESTS for one in yaml.safe_load_all(file.read_text())]


@pytest.mark.parametrize("found", _objects(), ids=lambda o: o["kind"])
def test_manifests_hold_to_the_schema(found) -> None:
    kubernetes_validate.validate(found, "1.31", strict=True)


def test_what_keeps_logins_going_stands_in_them() -> None:
    by_kind = {found["kind"]: found for found in _objects()}
    deployment = by_kind["Deployment"]["spec"]
    assert deployment["replicas"] >= 2
    assert deployment["strategy"]["rollingUpdate"]["maxUnavailable"] == 0
    assert by_kind["PodDisruptionBudget"]["spec"]["minAvailable"] >= 1
    (server,) = deployment["template"]["spec"]["containers"]
    assert server["livenessProbe"]["httpGet"]["path"] == "/livez"
    assert server["readinessProbe"]["httpGet"]["path"] == "/healthz"
    grace = deployment["template"]["spec"]["terminationGracePeriodSeconds"]
    assert grace > 5 + 10  # the preStop's pause, and gunicorn's graceful_timeout


def test_nothing_runs_as_root_or_writes_but_to_memory() -> None:
    def pods(found):
        if isinstance(found, dict):
            if "containers" in found:
                yield found
            for value in found.values():
                yield from pods(value)

    some = [pod for found in _objects() for pod in pods(found)]
    assert len(some) == 3
    for pod in some:
        assert pod["securityContext"]["runAsNonRoot"] and not pod["automountServiceAccountToken"]
        for container in pod["containers"]:
            own = container["securityContext"]
            assert own["readOnlyRootFilesystem"] and own["capabilities"] == {"drop": ["ALL"]}


def test_settings_are_ones_that_there_are() -> None:
    known = set(re.findall(r"^\| (`[A-Z_`, ]+)", _guide(), re.MULTILINE))
    names = {name for cell in known for name in re.findall(r"[A-Z_]+", cell)}
    compose = yaml.safe_load((DEPLOY / "compose/compose.yml").read_text())
    given = {name.removesuffix("_FILE") for name in compose["x-server"]["environment"]}
    for found in _objects():
        given |= set(found.get("stringData", {}))
        for word in re.findall(r'"name": "([A-Z_]+)"', json.dumps(found)):
            given.add(word)
    assert len(given) >= 6 and given <= names, given - names


def _guide() -> str:
    return (PROJECT_ROOT / "docs/guide/operations.md").read_text()


def test_compose_serves_nginx_by_the_names_it_asks_for() -> None:
    compose = yaml.safe_load((DEPLOY / "compose/compose.yml").read_text())
    asked = re.findall(r"server (server-\d+):8000", (DEPLOY / "nginx/registries.conf").read_text())
    assert asked == ["server-1", "server-2"] and set(asked) <= set(compose["services"])
    for volume in compose["services"]["proxy"]["volumes"]:
        source = (DEPLOY / "compose" / volume.split(":")[0]).resolve()
        assert source.exists() or "secrets" in source.parts


def test_new_secrets_are_made_once(tmp_path) -> None:
    shutil.copy(DEPLOY / "compose/new_secrets.py", tmp_path)
    command = [sys.executable, str(tmp_path / "new_secrets.py")]
    assert subprocess.run(command, capture_output=True).returncode == 0
    made = {file.name: file.read_text() for file in (tmp_path / "secrets").iterdir()}
    compose = yaml.safe_load((DEPLOY / "compose/compose.yml").read_text())
    assert set(made) == set(compose["secrets"])
    again = subprocess.run(command, capture_output=True, text=True)
    assert again.returncode == 1 and "nothing was changed" in again.stderr
    assert {file.name: file.read_text() for file in (tmp_path / "secrets").iterdir()} == made


def _copied() -> list[tuple[str, str]]:
    """(source, target below the image's directory) of the Containerfile."""
    text = (DEPLOY / "Containerfile").read_text()
    found = []
    for line in re.findall(r"^COPY (?!--from)(.*)$", text, re.MULTILINE):
        *sources, target = line.split()
        for source in sources:
            name = f"{target}/{Path(source).name}" if target.endswith(("./", ".")) else target
            found.append((source, name))
    return found


def test_the_builder_is_given_what_the_image_copies() -> None:
    given = (PROJECT_ROOT / ".containerignore").read_text()
    allowed = set(re.findall(r"^!(.*)$", given, re.MULTILINE))
    assert {source for source, _ in _copied()} == allowed


def test_its_files_serve_read_only_and_without_rights(tmp_path) -> None:
    """As the container runs: those files alone and read-only, temporary ones in memory, no
    capability. The interpreter and its packages are this machine's, which an ordinary user may
    not be let read; so it's root without root's rights here."""
    if os.geteuid():
        skip_or_fail("needs root, to mount")
    image, memory = tmp_path / "image", tmp_path / "memory"
    image.mkdir()
    memory.mkdir()
    for source, target in _copied():
        there = image / target
        there.parent.mkdir(parents=True, exist_ok=True)
        copy = shutil.copytree if (PROJECT_ROOT / source).is_dir() else shutil.copy
        copy(PROJECT_ROOT / source, there)
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    own = {
        "PATH": os.environ["PATH"],
        "SECRET_KEY": "of-a-test-0123456789-abcdefghijklmnopqrstuvwxyz-0123",
        "FERNET_KEYS": "MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTIzNDU2Nzg5MDE=",
        # SQLite in that memory stands for the database.
        "DATABASE_URL": f"sqlite:///{memory}/db.sqlite3",
        "TMPDIR": str(memory),
        "PORT": str(port),
        "PYTHONDONTWRITEBYTECODE": "1",
    }
    python = sys.executable
    manage = [python, "manage.py", "collectstatic", "--noinput", "--verbosity", "0"]
    subprocess.run(manage, cwd=image, env=own, check=True)
    script = (
        f"mount --bind {image} {image} && mount -o remount,bind,ro {image} && "
        f"mount -t tmpfs -o mode=1777 none {memory} && cd {image} && "
        f"exec {require_program('setpriv')} --no-new-privs --inh-caps=-all "
        f"--bounding-set=-all sh -c '! touch manage.py 2>/dev/null && "
        f"{python} manage.py migrate --verbosity 0 && "
        f"exec {python} -m gunicorn valohai_registries.wsgi'"
    )
    command = [require_program("unshare"), "--mount", "sh", "-c", script]
    with subprocess.Popen(tied_to_us(command), env=own) as server:
        try:
            for address in ("healthz", "accounts/login/", "guide/", "metrics"):
                assert _answer(f"http://127.0.0.1:{port}/{address}", server)
        finally:
            server.terminate()


def _answer(address: str, server: subprocess.Popen) -> bytes:
    deadline = time.monotonic() + 60
    while True:
        try:
            with urllib.request.urlopen(address, timeout=10) as answer:
                return answer.read()
        except OSError:
            assert server.poll() is None and time.monotonic() < deadline
            time.sleep(0.2)
