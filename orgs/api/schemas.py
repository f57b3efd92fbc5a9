"""What goes in and out, as published in OpenAPI (CONTRACT «HTTP API»)."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from typing import Annotated, Any, Literal, TypeAlias
from uuid import UUID

from ninja import Schema
from pydantic import AwareDatetime, BaseModel, Field, PlainSerializer, RootModel, WithJsonSchema

from orgs.registries import codes
from orgs.services.verification.outcomes import CODES

from .errors import FIELDS, status_of

Format: TypeAlias = Literal["json", "docker-config", "containers-auth", "helper", "k8s-secret"]
# As far as databases count.
OwnerId: TypeAlias = Annotated[int, Field(ge=1, lt=2**63, description="The organization's id.")]
# With all its digits: it is given back to tell one moment from the next.
UpdatedAt: TypeAlias = Annotated[
    datetime,
    PlainSerializer(lambda at: f"{at:%Y-%m-%dT%H:%M:%S.%f}Z", return_type=str),
    WithJsonSchema({"type": "string", "format": "date-time"}),
]
Outcome: TypeAlias = Literal[CODES]  # type: ignore[valid-type]


def _listed(*, fields: bool) -> Callable[[dict[str, Any]], None]:
    """Tell what a code means, one by one; further ones may come, so it's no enum."""

    def listed(schema: dict[str, Any]) -> None:
        rows = codes.table().items()
        told = {code: row for code, row in rows if (row.field if fields else row.answered)}
        schema["x-extensible-enum"] = list(told)
        lines = (f"- `{code}`: {row.says}" for code, row in told.items())
        schema["description"] = "\n".join(lines)

    return listed


class Error(Schema):
    detail: Annotated[str, Field(description="What happened and what to do.")]
    code: Annotated[str, Field(json_schema_extra=_listed(fields=False))]


class LoginRefused(Error):
    help: Annotated[str, Field(description="The page that explains it: Check an image.")]


class FieldError(Schema):
    message: str
    code: Annotated[str, Field(json_schema_extra=_listed(fields=True))]


class FieldErrors(RootModel[dict[str, list[FieldError]]]):
    """By field; what belongs to none is in `non_field_errors`."""


def answers(success: dict[int, Any], refused: type[Error], *codes: str) -> dict[str, Any]:
    """Arguments of an operation: what it answers, each error naming its codes.

    Where codes of fields may come, beside `refused`, say so with `FIELDS`.
    """
    by_status: dict[int, list[str]] = {}
    for code in codes:
        by_status.setdefault(status_of(code), []).append(code)
    told: dict[int, Any] = dict.fromkeys(by_status, refused)
    if FIELDS in codes:
        told[status_of(FIELDS)] = FieldErrors | refused
    described = {status: {"description": ", ".join(c)} for status, c in by_status.items()}
    return {"response": success | told, "openapi_extra": {"responses": described}}


class Given(BaseModel):
    """A body; not ninja's `Schema`, which would read an array as an object without keys."""


class Asked(Given):
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
    """format=docker-config: a whole config.json, by host; containers-auth: by repository."""

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


class Reported(Given):
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


class CredentialsChange(Given):
    """What is left out stays as it is; so does a secret left out of `configuration`."""

    type: Annotated[str | None, Field(description="A type's slug.")] = None
    image_pattern: Annotated[
        str | None, Field(description="The only pattern, or the first of image_patterns.")
    ] = None
    image_patterns: list[str] | None = None
    owner: OwnerId | None = None
    enabled: bool | None = None
    environments: Annotated[list[str] | None, Field(description="Slugs; none: all.")] = None
    note: str | None = None
    configuration: Annotated[
        dict[str, str | None] | None, Field(description="The type's fields, as strings.")
    ] = None
    updated_at: Annotated[
        AwareDatetime | None,
        Field(description="As answered; refused where the entry changed since (not on POST)."),
    ] = None


class CredentialsInput(CredentialsChange):
    """`type`, a pattern and `configuration` with all that the type needs."""

    type: Annotated[str, Field(description="A type's slug.")]


class Credentials(Schema):
    """A registry entry; it never holds a secret."""

    id: UUID
    type: str
    image_pattern: str
    image_patterns: list[str]
    owner: int
    enabled: bool
    environments: list[str]
    note: str
    updated_at: Annotated[UpdatedAt, Field(description="When it was changed last, in UTC.")]
    configuration: dict[str, str]


class CredentialsPage(Schema):
    count: int
    next: str | None
    previous: str | None
    results: list[Credentials]
