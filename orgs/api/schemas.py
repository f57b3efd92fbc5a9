"""What goes in and out, as published in OpenAPI (CONTRACT «HTTP API»)."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any, Literal, TypeAlias
from uuid import UUID

from ninja import Schema
from pydantic import Field

from orgs.services.outcomes import CODES

from .errors import STATUS

Format: TypeAlias = Literal["json", "docker-config", "helper", "k8s-secret"]
Outcome: TypeAlias = Literal[CODES]  # type: ignore[valid-type]


class Error(Schema):
    detail: Annotated[str, Field(description="What happened and what to do.")]
    code: str


class LoginRefused(Error):
    help: Annotated[str, Field(description="The page that explains it: Check an image.")]


def refusals(schema: type[Error], *codes: str) -> dict[str, Any]:
    """Arguments of an operation: its errors by status, each naming its codes."""
    by_status: dict[int, list[str]] = {}
    for code in codes:
        by_status.setdefault(STATUS[code], []).append(code)
    return {
        "response": dict.fromkeys(by_status, schema),
        "openapi_extra": {
            "responses": {s: {"description": ", ".join(c)} for s, c in by_status.items()}
        },
    }


class Asked(Schema):
    """An image, or the server alone where the client knows no more."""

    project: UUID
    image: Annotated[str | None, Field(description="As in docker pull.")] = None
    server: Annotated[str | None, Field(description="host[:port]; instead of image.")] = None
    environment: Annotated[str | None, Field(description="Its slug.")] = None


class ServedBy(Schema):
    id: UUID
    type: str
    image_pattern: str


class DockerLoginAnswer(Schema):
    kind: Literal["docker"]
    server: Annotated[str, Field(description="The host as the client wrote it.")]
    username: str
    password: str
    expires_at: Annotated[datetime | None, Field(description="Null for static passwords.")]
    refresh_at: Annotated[datetime, Field(description="When a cache must ask again.")]
    entry: ServedBy


class InstanceRoleAnswer(Schema):
    """The worker completes it with its own role."""

    kind: Literal["instance-role"]
    server: str
    role_name: str
    region: str
    refresh_at: datetime
    entry: ServedBy


class DockerConfig(Schema):
    """format=docker-config: a whole config.json."""

    auths: dict[str, dict[str, str]]


class HelperAnswer(Schema):
    """format=helper: what a credential helper prints."""

    ServerURL: str
    Username: str
    Secret: str


class K8sSecret(Schema):
    """format=k8s-secret: a manifest for kubectl apply."""

    apiVersion: Literal["v1"]
    kind: Literal["Secret"]
    metadata: dict[str, str]
    type: Literal["kubernetes.io/dockerconfigjson"]
    data: dict[str, str]


LoginAnswer: TypeAlias = (
    DockerLoginAnswer | InstanceRoleAnswer | DockerConfig | HelperAnswer | K8sSecret
)


class Reported(Schema):
    entry: Annotated[UUID, Field(description="As the login named it.")]
    project: UUID
    image: str
    code: Outcome


class OrganizationOfMine(Schema):
    id: int
    slug: str
    name: str
    role: Literal["admin", "member", "worker"]


class Me(Schema):
    kind: Literal["user", "worker"]
    name: str
    organizations: list[OrganizationOfMine]
