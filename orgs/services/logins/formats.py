"""The shapes a login is answered in: JSON, configs of Docker and podman, helper, k8s
secret, shell."""

from __future__ import annotations

import base64
import json
import shlex
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

from orgs.registries.images import HUB, HUB_ALIAS
from orgs.registries.problems import Failed
from orgs.registries.types import DockerLogin

from .issuing import Answer

# Docker files logins of Docker Hub under this key, whatever the image said.
HUB_KEY = "https://index.docker.io/v1/"


def as_json(answer: Answer) -> dict[str, Any]:
    """CONTRACT «Docker login»; for instance roles too."""
    login = answer.login
    shape: dict[str, Any] = {"kind": answer.kind, "server": answer.server}
    if isinstance(login, DockerLogin):
        shape |= {
            "username": login.username,
            "password": login.password,
            "expires_at": _utc(login.expires_at) if login.expires_at else None,
        }
    else:
        shape |= {"role_name": login.role_name, "region": login.region}
    served = answer.served
    return shape | {
        "refresh_at": _utc(answer.refresh_at),
        "entry": {
            "id": str(served.entry_id),
            "type": served.registry_type,
            "image_pattern": served.pattern,
        },
    }


def as_docker_config(answer: Answer) -> dict[str, Any]:
    """A whole config.json with this one login."""
    return {"auths": {_config_key(answer.server): _auth(answer)}}


def as_containers_auth(answer: Answer) -> dict[str, Any]:
    """An auth.json of podman, skopeo and buildah, which look for the repository first."""
    host = HUB if answer.server.lower() in {HUB, HUB_ALIAS} else answer.server
    return {"auths": {f"{host}/{answer.path}".rstrip("/"): _auth(answer)}}


def as_helper(answer: Answer) -> dict[str, Any]:
    """What a Docker credential helper prints for `get`."""
    login = _docker_login(answer)
    return {
        "ServerURL": _config_key(answer.server),
        "Username": login.username,
        "Secret": login.password,
    }


def as_k8s_secret(answer: Answer) -> dict[str, Any]:
    """A manifest for `kubectl apply -f -`, to be named in imagePullSecrets."""
    auths = {_kubelet_key(answer): _auth(answer)}
    config = json.dumps({"auths": auths}).encode()
    return {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": {"name": "valohai-registry-login"},
        "type": "kubernetes.io/dockerconfigjson",
        "data": {".dockerconfigjson": base64.b64encode(config).decode()},
    }


def as_shell(answer: Answer) -> str:
    """The `docker login` command; the password goes in by standard input, since
    arguments can be seen by everyone on the machine."""
    login = _docker_login(answer)
    server = _config_key(answer.server)
    command = shlex.join(["docker", "login", "--username", login.username, "--password-stdin"])
    end = "PASSWORD"
    while end == login.password:  # a static one can be any text
        end += "_"
    return f"{command} {shlex.quote(server)} <<'{end}'\n{login.password}\n{end}"


FORMATS: dict[str, Callable[[Answer], dict[str, Any]]] = {
    "json": as_json,
    "docker-config": as_docker_config,
    "containers-auth": as_containers_auth,
    "helper": as_helper,
    "k8s-secret": as_k8s_secret,
}


def _auth(answer: Answer) -> dict[str, str]:
    login = _docker_login(answer)
    text = f"{login.username}:{login.password}"
    return {"auth": base64.b64encode(text.encode()).decode()}


def _docker_login(answer: Answer) -> DockerLogin:
    if isinstance(answer.login, DockerLogin):
        return answer.login
    raise Failed(
        "instance_role_format",
        f"{answer.served.pattern} is served by the worker's own role {answer.login.role_name}, "
        "and only a worker can log in with that.",
        "Use the helper docker-credential-valohai on the worker, or ask for the format json.",
    )


def _config_key(server: str) -> str:
    return HUB_KEY if server.lower() in {HUB, HUB_ALIAS} else server


def _kubelet_key(answer: Answer) -> str:
    """Host and path. The kubelet takes a `v1/` or `v2/` that begins the path for the
    registry's API and drops it (pkg/credentialprovider/keyring.go): a repository that begins
    so keeps its own where there are two."""
    if not answer.path:
        return _config_key(answer.server)
    host = HUB if answer.server.lower() in {HUB, HUB_ALIAS} else answer.server
    first, slash, _ = answer.path.partition("/")
    twice = f"{first}/" if slash and first in {"v1", "v2"} else ""
    return f"{host}/{twice}{answer.path}"


def _utc(at: datetime) -> str:
    return at.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
