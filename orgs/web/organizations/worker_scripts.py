"""The set-up of a worker as one script to paste, with its new token in it, for each client.

Made for the one answer that shows the token. Each is read whole by the shell before anything
runs, so that half a paste does nothing; the token stands in a quoted here-document, and so is
never an argument of a process.
"""

from __future__ import annotations

import shlex
from dataclasses import dataclass

from django.conf import settings
from django.template.loader import render_to_string
from django.urls import reverse

from orgs.models import WorkerToken
from orgs.registries.images import HUB

HUB_KEY = "https://index.docker.io/v1/"  # what Docker looks Docker Hub up by (FACTS «Docker»)
_DOCKER_FILE = "${DOCKER_CONFIG:-$HOME/.docker}/config.json"
_PODMAN_FILE = "${REGISTRY_AUTH_FILE:-$HOME/.config/containers/auth.json}"
# Where each client looks for a registry's authority: of all users, and of who runs it without
# root (containers-certs.d(5); Docker's, nerdctl's and containerd's documentation).
CERTIFICATES = {
    "docker": ("/etc/docker/certs.d", "/etc/docker/certs.d"),  # its daemon is root's
    "podman": ("/etc/containers/certs.d", "$HOME/.config/containers/certs.d"),
    "nerdctl": ("/etc/containerd/certs.d", "$HOME/.config/containerd/certs.d"),
    "kubernetes": ("/etc/containerd/certs.d", "/etc/containerd/certs.d"),
}


@dataclass(frozen=True)
class Script:
    """`client` is its slug, `name` what people call it, `text` what is pasted."""

    client: str
    name: str
    text: str


def scripts(
    *,
    token: WorkerToken,
    text: str,
    project: str,
    hosts: list[str],
    certificates: dict[str, str],
    image: str,
) -> list[Script]:
    """One for each client. `text` is the token's own, `hosts` the registries it is asked
    for, `certificates` those of their authorities by host, `image` one that an entry of
    theirs serves."""
    filled: dict[str, object] = {
        "token": text,
        "url": shlex.quote(settings.BASE_URL),
        "project": shlex.quote(project),
        "environment": "  # this worker's, if it has one" if token.any_environment else "",
        "image": shlex.quote(image),
        "match_images": hosts,
        "certificates": [(shlex.quote(host), pem) for host, pem in certificates.items()],
        "setup": f"{reverse('worker_setup', args=[token.organization.slug])}?worker={token.pk}",
    }
    keys = [docker_key(host) for host in hosts]
    return [
        _by_helper("docker", "Docker", _DOCKER_FILE, keys, filled),
        _by_helper("podman", "Podman and skopeo", _PODMAN_FILE, hosts, filled),
        _by_helper("nerdctl", "containerd (nerdctl)", _DOCKER_FILE, keys, filled),
        _script(
            "kubernetes",
            "Kubernetes",
            "kubernetes.sh",
            filled | {"program": reverse("valohai-credential-provider")},
        ),
    ]


def docker_key(host: str) -> str:
    return HUB_KEY if host == HUB else host


def _by_helper(
    client: str, name: str, file: str, hosts: list[str], filled: dict[str, object]
) -> Script:
    own = {
        "file": file,
        "hosts": shlex.join(hosts),
        "program": reverse("docker-credential-valohai"),
    }
    return _script(client, name, "client.sh", filled | own)


def _script(client: str, name: str, template: str, filled: dict[str, object]) -> Script:
    everyones, own = CERTIFICATES[client]
    told = filled | {"client": client, "name": name}
    told |= {"certificates_of_all": everyones, "certificates_of_own": own}
    return Script(client, name, render_to_string(f"workers/scripts/{template}", told).strip())
