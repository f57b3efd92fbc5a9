"""What *Set up a worker* gives to copy, run as copied: the clients' programs log in."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path

import pytest
from playwright.sync_api import Page

from orgs.services.tenancy import tokens
from tests.conftest import CANARY
from tests.support import require_program

pytestmark = pytest.mark.once

REGISTRY = "registry.example.com"
SETUP = "/organizations/acme/workers/setup/"


class Machine:
    """A home and a root of one's own; `sudo` only runs what follows it."""

    def __init__(self, directory: Path, token: str) -> None:
        self.directory = directory
        self.token = token
        self.home = directory / "home"
        for name in ("home", "bin", "usr/local/bin", "etc/kubernetes"):
            (directory / name).mkdir(parents=True)
        sudo = directory / "bin" / "sudo"
        sudo.write_text('#!/bin/sh\nexec "$@"\n')
        sudo.chmod(0o755)

    def here(self, text: str) -> str:
        for root in ("/usr/local/", "/etc/"):
            text = text.replace(root, f"{self.directory}{root}")
        return text

    def run(self, command: str, typed: str = "") -> subprocess.CompletedProcess[str]:
        path = [f"{self.directory}/bin", f"{self.directory}/usr/local/bin", os.environ["PATH"]]
        return subprocess.run(
            ["sh", "-ec", self.here(command)],
            input=typed,
            env={"HOME": str(self.home), "PATH": os.pathsep.join(path)},
            capture_output=True,
            text=True,
            timeout=30,
        )

    def follow(self, recipe: list[str]) -> None:
        """All but files to be written by hand and the test at the end."""
        for command in recipe:
            if command.startswith(("sudo", "mkdir", "(umask")):
                ran = self.run(command, f"{self.token}\n" if "cat >" in command else "")
                assert ran.returncode == 0, ran.stderr


def recipe(page: Page, name: str) -> list[str]:
    """The texts that the copy buttons of one recipe copy."""
    details = page.locator("details[name=recipe]").filter(has=page.get_by_text(name, exact=True))
    return [text.strip() for text in details.locator("pre").all_text_contents()]


@pytest.fixture
def setup_page(visit, live_server, settings, alice, project, make_entry) -> Page:
    settings.BASE_URL = live_server.url
    config, secrets = {"username": "robot"}, {"password": CANARY}
    make_entry(f"{REGISTRY}/*", registry_type="docker", config=config, secrets=secrets)
    visitor = visit()
    visitor.sign_in("alice@example.com")
    return visitor.go(SETUP)


@pytest.fixture
def machine(acme, actor, tmp_path) -> Machine:
    require_program("curl")
    _, text = tokens.token_issue_worker(organization=acme, name="w", actor=actor)
    return Machine(tmp_path, text)


@pytest.mark.parametrize("name", ["Docker", "Podman and skopeo", "containerd (nerdctl)"])
def test_credential_helper(name: str, setup_page: Page, machine: Machine) -> None:
    copied = recipe(setup_page, name)
    machine.follow(copied[:3])
    kept = machine.home / ".config/valohai-registries/token"
    assert kept.stat().st_mode & 0o777 == 0o600
    helpers = json.loads(copied[3])["credHelpers"]
    assert helpers == {REGISTRY: "valohai"}
    asked = machine.run(f"docker-credential-{helpers[REGISTRY]} get", REGISTRY)
    assert asked.returncode == 0, asked.stderr
    assert json.loads(asked.stdout)["Secret"] == CANARY
    assert f"{REGISTRY}/my-ml-image:v1.0" in copied[4]
    assert machine.token not in setup_page.content()


def test_kubelet_provider(setup_page: Page, machine: Machine) -> None:
    yaml = pytest.importorskip("yaml")
    install, token, config, flags, attempt = recipe(setup_page, "Kubernetes")
    machine.follow([install, token])
    (provider,) = yaml.safe_load(config)["providers"]
    assert provider["matchImages"] == [REGISTRY]
    directory = flags.splitlines()[1].partition("=")[2]
    assert Path(machine.here(f"{directory}/{provider['name']}")).exists()
    named = {variable["name"]: variable["value"] for variable in provider["env"]}
    assert named["VALOHAI_REGISTRIES_URL"] in attempt
    ran = machine.run(attempt)
    assert ran.stdout == "It works.\n", ran.stderr
    # As the kubelet runs it, by that file.
    image = f"{REGISTRY}/my-ml-image:v1.0"
    request = {
        "apiVersion": provider["apiVersion"],
        "kind": "CredentialProviderRequest",
        "image": image,
    }
    variables = " ".join(f"{name}='{value}'" for name, value in named.items())
    told = machine.run(f"{variables} {directory}/{provider['name']}", json.dumps(request))
    answer = json.loads(told.stdout)
    assert answer["auth"] == {f"{REGISTRY}/my-ml-image": {"username": "robot", "password": CANARY}}
    # An image that no entry serves doesn't «work».
    ran = machine.run(attempt.replace(image, "ghcr.io/me/x"))
    assert "It works." not in ran.stdout
