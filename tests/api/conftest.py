"""A worker of Acme that speaks to the API, and a key that works at the fake AWS."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from django.http import HttpResponse
from django.test import Client

from orgs.api import limits
from orgs.models import Organization, Project, RegistryEntry
from orgs.services.audit.events import Actor
from orgs.services.tenancy import tokens
from tests.conftest import HOST

IMAGE = f"{HOST}/my-ml-image:v1.0"
LOGIN = "/api/v0/docker-login/"


@pytest.fixture(autouse=True)
def full_buckets(monkeypatch) -> None:
    monkeypatch.setattr(limits, "buckets", limits.Buckets())


class Api:
    """A client with a token; `post` and the like take and give JSON."""

    def __init__(self, text: str | None) -> None:
        self.client = Client(raise_request_exception=False)
        self.headers = {"Authorization": f"Token {text}"} if text else {}

    def send(self, method: str, path: str, body: Any = None, **headers: str) -> HttpResponse:
        content = body if isinstance(body, bytes) else json.dumps(body).encode()
        content = b"" if body is None else content
        return self.client.generic(
            method, path, content, "application/json", headers=self.headers | headers
        )

    def get(self, path: str) -> HttpResponse:
        return self.send("GET", path)

    def post(self, path: str, body: Any = None, **headers: str) -> HttpResponse:
        return self.send("POST", path, body, **headers)


@pytest.fixture
def issue(acme: Organization, actor: Actor) -> Callable[..., str]:
    """The text of a new worker token of Acme's."""

    def issue(name: str = "gpu workers", organization: Organization = acme, **rest: Any) -> str:
        return tokens.token_issue_worker(organization=organization, name=name, actor=actor, **rest)[
            1
        ]

    return issue


@pytest.fixture
def worker(issue: Callable[..., str]) -> Api:
    return Api(issue())


@pytest.fixture
def ask(worker: Api, project: Project) -> Callable[..., HttpResponse]:
    """Ask for a login as the worker, for IMAGE of Acme's project unless told otherwise."""

    def ask(
        image: str | None = IMAGE, *, api: Api = worker, path: str = LOGIN, **body: Any
    ) -> HttpResponse:
        asked = {"project": str(project.pk), "image": image} | body
        return api.post(path, {name: value for name, value in asked.items() if value is not None})

    return ask


@pytest.fixture
def entry(aws, make_entry) -> Iterator[RegistryEntry]:
    """Serves all of HOST, with a key that works."""
    key_id, secret = aws.create_user("valohai", aws.policy())
    return make_entry(config={"access_key_id": key_id}, secrets={"secret_access_key": secret})


def refused(response: HttpResponse, status: int, code: str) -> dict[str, Any]:
    """The refusal's document, once it is what the contract says."""
    assert response.headers["Content-Type"].startswith("application/json")
    told = response.json()
    assert (response.status_code, told["code"]) == (status, code), told
    assert set(told) - {"help"} == {"detail", "code"}
    assert told["detail"].strip()
    assert response["Cache-Control"] == "no-store"
    return told
