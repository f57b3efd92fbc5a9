"""A registry whose certificate is from an authority that nobody knows: the entry has it, so
that verifying works, and the script for workers puts it where real clients look for it."""

from __future__ import annotations

import base64
import html
import json
import os
import re
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from orgs.models import RegistryEntry
from orgs.registries.images import ImageReference
from orgs.services.verification import verifying
from tests.conftest import CANARY
from tests.real.test_worker_scripts import SCRIPT
from tests.support import product, require_program
from tests.support.internet import Internet
from tests.support.registry import Registry

pytestmark = [pytest.mark.once, pytest.mark.django_db(transaction=True)]

HOST = "registry.example.com"
IMAGE = f"{HOST}/team/train:v1.0"
# Root's places are the machine's own, so the client gets an /etc that is dropped with it.
OWN_ETC = """
cp /etc/hosts "$HOME/hosts" && mount -t tmpfs tmpfs "$HOME/../etc" &&
mkdir "$HOME/../etc/up" "$HOME/../etc/work" &&
own="lowerdir=/etc,upperdir=$HOME/../etc/up,workdir=$HOME/../etc/work" &&
mount -t overlay overlay -o "$own" /etc &&
cp "$HOME/hosts" /etc/hosts || exit 77
"""
# Docker's daemon doesn't run here; skopeo looks for certificates in Docker's place, too.
DOCKER = """#!/bin/sh
exec skopeo --insecure-policy inspect --authfile "${DOCKER_CONFIG:-$HOME/.docker}/config.json" "docker://$3"
"""
PODMAN = """#!/bin/sh
exec skopeo --insecure-policy inspect --authfile "$4" "docker://$5"
"""
TRUSTS = re.compile(r"^  trust registry.example.com <<'END'\n.*?^END\n", re.M | re.S)
SNIPPET = re.compile(r"<pre data-copy><code>(.*?)</code>", re.S)
Run = Callable[[str], subprocess.CompletedProcess[str]]


@pytest.fixture
def registry(internet: Internet) -> Iterator[Registry]:
    require_program("skopeo")
    require_program("curl")
    with Registry(HOST) as registry:
        registry.push("team/train", "v1.0")
        registry.allow("robot", CANARY)
        internet.name(HOST, ["8.8.8.8"])
        internet.route("8.8.8.8", 443, (registry.address, 443))
        yield registry


@pytest.fixture
def entry(registry: Registry, make_entry) -> RegistryEntry:
    return make_entry(
        f"{HOST}/team/train",
        registry_type="docker",
        config={"username": "robot", "ca_certificate": registry.ca_file.read_text()},
        secrets={"password": CANARY},
    )


@pytest.fixture
def machine(registry: Registry, tmp_path: Path) -> Run:
    """A machine that knows no authority but those of its system."""
    for name in ("home", "programs", "etc"):
        (tmp_path / name).mkdir()
    for name, text in (("docker", DOCKER), ("podman", PODMAN)):
        (tmp_path / "programs" / name).write_text(text)
        (tmp_path / "programs" / name).chmod(0o755)

    def run(script: str) -> subprocess.CompletedProcess[str]:
        own = {
            "HOME": str(tmp_path / "home"),
            "PATH": f"{tmp_path}/bin:{tmp_path}/programs:{os.environ['PATH']}",
            "VALOHAI_BIN": str(tmp_path / "bin"),
            "SSL_CERT_FILE": "/etc/ssl/certs/ca-certificates.crt",
        }
        ran = registry.run(["sh"], own, input=f"{OWN_ETC}\n{script}\nexit $?\n")
        if ran.returncode == 77:
            pytest.fail(f"no /etc of its own: {ran.stderr}")
        return ran

    return run


def test_verified_and_pulled(
    registry, entry, machine, project, alice, actor, client, settings
) -> None:
    image = ImageReference.parse(IMAGE)
    report = verifying.entry_verify(entry=entry, actor=actor, image=image)
    assert report.failed is None, report
    client.force_login(alice)
    with product.served() as address:
        settings.BASE_URL = str(address)
        issued = client.post(
            "/organizations/acme/workers/issue/", {"name": "w", "environment": "", "expires_in": ""}
        ).content.decode()
        scripts = {name: html.unescape(text) for name, text in SCRIPT.findall(issued)}
        for name, where in (
            ("Docker", "/etc/docker/certs.d"),
            ("Podman and skopeo", "/etc/containers/certs.d"),
        ):
            mode = f"stat -c %a {where}/{HOST} {where}/{HOST}/valohai.crt"
            ran = machine(f"{scripts[name]}\n[ $? = 0 ] && {mode}")
            assert ran.returncode == 0, ran.stderr + ran.stdout
            assert ran.stdout.endswith(f"It works: {IMAGE}.\n755\n644\n"), ran.stdout
            # Without it the same clients refuse the same registry.
            ran = machine(TRUSTS.sub("", scripts[name]))
            assert ran.returncode == 1 and "x509" in ran.stderr, ran.stderr
        assert "/etc/containerd/certs.d" in scripts["containerd (nerdctl)"]
        assert '"$root/etc/containerd/certs.d/$1/valohai.crt"' in scripts["Kubernetes"]
        # The page that is for looking things up has commands that do the same.
        page = client.get("/organizations/acme/workers/setup/").content.decode()
        told = map(html.unescape, SNIPPET.findall(page))
        (by_hand,) = [text for text in told if "$HOME/.config/containers/certs.d" in text]
        basic = base64.b64encode(f"robot:{CANARY}".encode()).decode()
        auth = json.dumps({"auths": {HOST: {"auth": basic}}})
        pull = f"skopeo --insecure-policy inspect --authfile $HOME/a.json docker://{IMAGE}"
        asked = f"printf '%s' '{auth}' >$HOME/a.json\n{pull}"
        assert machine(asked).returncode != 0
        # Who isn't root has them at home; root's clients look in the machine's place.
        ran = machine(by_hand.replace("$HOME/.config", "/etc") + f"\n{asked}")
        assert ran.returncode == 0, ran.stderr
