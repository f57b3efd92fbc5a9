"""valohai-credential-provider by the kubelet's v1 schema."""

from __future__ import annotations

import json
import re
import time
from typing import Any

import pytest

from tests.conftest import HOST

from .conftest import (
    HELP,
    IMAGE,
    PROJECT,
    FakeServer,
    Reply,
    Worker,
    docker_login,
    kubelet_request,
    refusal,
)

pytestmark = pytest.mark.once
API = "credentialprovider.kubelet.k8s.io/v1"
LOGIN = {"username": "AWS", "password": "first"}


def seconds(duration: str) -> int:
    """Of a Go duration in whole seconds."""
    match = re.fullmatch(r"([0-9]+)s", duration)
    assert match, duration
    return int(match[1])


def test_the_response(worker: Worker, server: FakeServer) -> None:
    done = worker.kubelet()
    assert (done.returncode, done.stderr) == (0, "")
    response = json.loads(done.stdout)
    assert 290 <= seconds(response.pop("cacheDuration")) <= 300
    assert response == {
        "apiVersion": API,
        "kind": "CredentialProviderResponse",
        "cacheKeyType": "Image",
        "auth": {f"{HOST}/my-ml-image": LOGIN},
    }
    assert server.asked[0].body == {"project": PROJECT, "image": IMAGE}


@pytest.mark.parametrize(
    ("image", "server_name", "key"),
    [
        (f"{HOST}/team/app:v1", HOST, f"{HOST}/team/app"),
        (f"{HOST}/app@sha256:{'0' * 64}", HOST, f"{HOST}/app"),
        (f"{HOST}/app:v1@sha256:{'0' * 64}", HOST, f"{HOST}/app"),
        (f"{HOST}:443/app:v1", f"{HOST}:443", f"{HOST}:443/app"),
        ("registry:5000/a/b/c:v1", "registry:5000", "registry:5000/a/b/c"),
        ("localhost:5000/app", "localhost:5000", "localhost:5000/app"),
        ("docker.io/me/app:v1", "docker.io", "docker.io/me/app"),
        ("docker.io/library/ubuntu:22.04", "docker.io", "docker.io/library/ubuntu"),
        ("ubuntu", "docker.io", "docker.io/library/ubuntu"),
        # The kubelet drops one `v1/` or `v2/` of a key, and none of an image.
        (f"{HOST}/v1/app:v1", HOST, f"{HOST}/v1/v1/app"),
        (f"{HOST}/v2/team/app", HOST, f"{HOST}/v2/v2/team/app"),
        ("v2/app", "docker.io", "docker.io/v2/v2/app"),
        (f"{HOST}/v2:v1", HOST, f"{HOST}/v2"),
        (f"{HOST}/v3/app", HOST, f"{HOST}/v3/app"),
        (f"{HOST}/v22/app", HOST, f"{HOST}/v22/app"),
        (f"{HOST}/app/v2/x", HOST, f"{HOST}/app/v2/x"),
    ],
)
def test_the_key_is_the_images_repository(
    worker: Worker, server: FakeServer, image: str, server_name: str, key: str
) -> None:
    server.replies = [docker_login(server_name)]
    response = json.loads(worker.kubelet(image=image).stdout)
    assert response["auth"] == {key: LOGIN}
    assert server.asked[0].body["image"] == image


def test_it_is_kept_no_longer_than_it_lives(worker: Worker, server: FakeServer) -> None:
    def duration(**times: Any) -> int:
        server.replies = [docker_login(**times)]
        for path in worker.kept():
            path.unlink()
        return seconds(json.loads(worker.kubelet().stdout)["cacheDuration"])

    assert 595 <= duration(refresh=7200, expires=7200) <= 600
    assert 25 <= duration(refresh=300, expires=30) <= 30
    assert duration(refresh=-30, expires=None) == 0
    # Kept here already: what is left, not the whole again.
    worker.age(fresh_until=time.time() + 20)
    assert seconds(json.loads(worker.kubelet().stdout)["cacheDuration"]) <= 20


def test_an_older_login_is_not_kept_at_all(worker: Worker, server: FakeServer) -> None:
    worker.kubelet()
    worker.outdate()
    server.close()
    response = json.loads(worker.kubelet().stdout)
    assert response["cacheDuration"] == "0s"
    assert response["auth"] == {f"{HOST}/my-ml-image": LOGIN}


def test_no_match(worker: Worker, server: FakeServer) -> None:
    server.replies = [refusal(404, "no_match")]
    done = worker.kubelet()
    assert (done.returncode, done.stderr) == (0, "")
    assert json.loads(done.stdout) == {
        "apiVersion": API,
        "kind": "CredentialProviderResponse",
        "cacheKeyType": "Image",
        "cacheDuration": "0s",
        "auth": None,
    }


@pytest.mark.parametrize(
    "reply",
    [
        refusal(401, "token_revoked"),
        refusal(403, "personal_project"),
        refusal(404, "project_not_found"),
        refusal(422, "access_denied"),
        refusal(503, "busy", Retry_After="60"),
    ],
)
def test_faults(worker: Worker, server: FakeServer, reply: Reply) -> None:
    server.replies = [reply]
    done = worker.kubelet()
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == f"{reply.body['code']}: That didn't work.\n{HELP}\n"


@pytest.mark.parametrize(
    "request_",
    [
        "",
        "junk",
        "[]",
        "null",
        b"\xff\xfe",
        {},
        {"apiVersion": API},
        kubelet_request() | {"apiVersion": "credentialprovider.kubelet.k8s.io/v1beta1"},
        kubelet_request() | {"apiVersion": "credentialprovider.kubelet.k8s.io/v2"},
        kubelet_request() | {"kind": "CredentialProviderResponse"},
        kubelet_request(""),
        kubelet_request() | {"image": None},
        kubelet_request() | {"image": [IMAGE]},
        kubelet_request("host/*"),
        kubelet_request("example.com/a b"),
        kubelet_request(f"https://{IMAGE}"),
        kubelet_request("example.com/"),
        kubelet_request(serviceAccountAnnotations={"valohai.com/project": 1}),
    ],
)
def test_what_is_no_request(worker: Worker, server: FakeServer, request_: Any) -> None:
    done = worker.kubelet(request_)
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.startswith(("invalid_request: ", "invalid_image: "))
    assert not server.asked


@pytest.mark.parametrize(
    ("annotations", "project"),
    [
        ({"valohai.com/project": "from-the-annotation"}, "from-the-annotation"),
        ({"valohai.com/project": " "}, PROJECT),
        ({"something.else": "x"}, PROJECT),
        ({}, PROJECT),
        (None, PROJECT),
    ],
)
def test_the_project(
    worker: Worker, server: FakeServer, annotations: dict[str, str] | None, project: str
) -> None:
    request = kubelet_request(serviceAccountAnnotations=annotations, serviceAccountToken="x.y.z")
    assert worker.kubelet(request).returncode == 0
    assert server.asked[0].body["project"] == project


def test_without_any_project_it_is_a_fault(worker: Worker, server: FakeServer) -> None:
    done = worker.kubelet(VALOHAI_PROJECT=None)
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.startswith("not_configured: VALOHAI_PROJECT isn't set.\n")
    annotated = kubelet_request(serviceAccountAnnotations={"valohai.com/project": "theirs"})
    assert worker.kubelet(annotated, VALOHAI_PROJECT=None).returncode == 0
    assert len(server.asked) == 1


def test_two_projects_on_one_node_are_kept_apart(worker: Worker, server: FakeServer) -> None:
    server.replies = [docker_login(), docker_login(password="second")]
    passwords = []
    for project in ("one", "two", "one", "two"):
        request = kubelet_request(serviceAccountAnnotations={"valohai.com/project": project})
        auth = json.loads(worker.kubelet(request).stdout)["auth"]
        passwords.append(auth[f"{HOST}/my-ml-image"]["password"])
    assert passwords == ["first", "second", "first", "second"]


def test_the_jobs_image_of_docker_means_nothing_here(worker: Worker, server: FakeServer) -> None:
    worker.kubelet(VALOHAI_IMAGE=f"{HOST}/another", VALOHAI_ENVIRONMENT="gpu")
    assert server.asked[0].body == {"project": PROJECT, "image": IMAGE, "environment": "gpu"}
