"""What goes in and out, as published in OpenAPI (CONTRACT «HTTP API»)."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable
from datetime import date, datetime
from typing import Annotated, Any, Literal, TypeAlias
from uuid import UUID

from ninja import Schema
from pydantic import (
    AwareDatetime,
    BaseModel,
    ConfigDict,
    Field,
    PlainSerializer,
    RootModel,
    SerializerFunctionWrapHandler,
    WithJsonSchema,
    model_serializer,
)

from orgs.registries import codes
from orgs.services.verification.outcomes import CODES

from .errors import FIELDS, status_of

Format: TypeAlias = Literal["json", "docker-config", "containers-auth", "helper", "k8s-secret"]
# Of the examples, which the page for people shows: what is sent in them is taken as it is.
PATTERN, IMAGE = "ghcr.io/acme/*", "ghcr.io/acme/train:v1"
ECR_HOST = "123456789012.dkr.ecr.us-east-1.amazonaws.com"
PASSWORD = "an access token that may read packages"  # noqa: S105
CONFIGURATION: dict[str, Any] = {"username": "acme-bot", "password": PASSWORD}
AUTHS: dict[str, Any] = {
    "ghcr.io": {"auth": base64.b64encode(":".join(CONFIGURATION.values()).encode()).decode()}
}
AUTHS_ENCODED = base64.b64encode(json.dumps({"auths": AUTHS}).encode()).decode()
ENTRY_ID = "0b6d3a52-6c1e-4a57-9a3d-2f1f6a1c7e90"
ROLE_ENTRY: dict[str, Any] = {
    "id": ENTRY_ID,
    "type": "aws-ecr-role",
    "image_pattern": f"{ECR_HOST}/*",
}
CHANGED, LATER = "2026-01-31T12:00:00.000000Z", "2026-01-31T18:00:00Z"
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
    help: Annotated[
        str,
        Field(
            description="The page that explains it: Check an image.",
            examples=["https://registries.example.com/organizations/acme/registries/check/"],
        ),
    ]


class FieldError(Schema):
    message: Annotated[str, Field(description="What is wrong with the field and what to do.")]
    code: Annotated[str, Field(json_schema_extra=_listed(fields=True))]


class FieldErrors(RootModel[dict[str, list[FieldError]]]):
    """By field, all at once, and nothing is written; what belongs to none is in
    `non_field_errors`. A new key that is tried and refused is told at its field, by the code
    that a login would have."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "image_pattern": [
                        {
                            "message": "ghcr.io names a registry but no images. "
                            "Write ghcr.io/* to cover everything in it.",
                            "code": "bare_host",
                        }
                    ]
                }
            ]
        }
    )


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

    project: Annotated[UUID, Field(description="The project's id, which *Projects* has.")]
    image: Annotated[str | None, Field(description="As in `docker pull`.", examples=[IMAGE])] = None
    server: Annotated[str | None, Field(description="`host[:port]`, instead of `image`.")] = None
    environment: Annotated[str | None, Field(description="An environment's slug.")] = None


class ServedBy(Schema):
    """The entry that serves an image."""

    id: Annotated[UUID, Field(description="The entry's id.", examples=[ENTRY_ID])]
    type: Annotated[str, Field(description="Its type's slug.", examples=["docker"])]
    image_pattern: Annotated[
        str, Field(description="The pattern that serves it.", examples=[PATTERN])
    ]


class DockerLoginAnswer(Schema):
    """`format=json`, the usual one: what `docker login` takes."""

    kind: Annotated[Literal["docker"], Field(description="Tells it from an instance role's.")]
    server: Annotated[
        str, Field(description="The host as the client wrote it.", examples=["ghcr.io"])
    ]
    username: Annotated[str, Field(description="For this server.", examples=["acme-bot"])]
    password: Annotated[str, Field(description="For this server.", examples=[PASSWORD])]
    expires_at: Annotated[
        datetime | None, Field(description="Null for static passwords.", examples=[None])
    ]
    refresh_at: Annotated[
        datetime, Field(description="When a cache must ask again.", examples=[LATER])
    ]
    entry: Annotated[ServedBy, Field(description="The entry that serves it.")]


class InstanceRoleAnswer(Schema):
    """`format=json` for an instance role: the worker completes it with its own role."""

    kind: Annotated[Literal["instance-role"], Field(description="Tells it from other logins.")]
    server: Annotated[
        str, Field(description="The host as the client wrote it.", examples=[ECR_HOST])
    ]
    role_name: Annotated[
        str, Field(description="The role to complete it with.", examples=["ValohaiWorker"])
    ]
    region: Annotated[str, Field(description="Where to ask.", examples=["us-east-1"])]
    refresh_at: Annotated[
        datetime, Field(description="When a cache must ask again.", examples=[LATER])
    ]
    entry: Annotated[
        ServedBy,
        Field(description="The entry that serves it.", examples=[ROLE_ENTRY]),
    ]


class DockerConfig(Schema):
    """`format=docker-config`: a whole config.json, by host; `containers-auth`: by repository."""

    auths: Annotated[
        dict[str, dict[str, str]],
        Field(description="As in Docker's own file.", examples=[AUTHS]),
    ]


class HelperAnswer(Schema):
    """`format=helper`: what a credential helper prints."""

    ServerURL: Annotated[str, Field(description="As asked.", examples=["ghcr.io"])]
    Username: Annotated[str, Field(description="For this server.", examples=["acme-bot"])]
    Secret: Annotated[str, Field(description="The password.", examples=[PASSWORD])]


class K8sSecret(Schema):
    """`format=k8s-secret`: a manifest for `kubectl apply`."""

    apiVersion: Annotated[Literal["v1"], Field(description="Of Kubernetes.")]
    kind: Annotated[Literal["Secret"], Field(description="Of Kubernetes.")]
    metadata: Annotated[
        dict[str, str],
        Field(description="The secret's name.", examples=[{"name": "ghcr-io"}]),
    ]
    type: Annotated[
        Literal["kubernetes.io/dockerconfigjson"], Field(description="What pods pull with.")
    ]
    data: Annotated[
        dict[str, str],
        Field(
            description="A config.json, encoded.", examples=[{".dockerconfigjson": AUTHS_ENCODED}]
        ),
    ]


LoginAnswer: TypeAlias = (
    DockerLoginAnswer | InstanceRoleAnswer | DockerConfig | HelperAnswer | K8sSecret
)


class Reported(Given):
    entry: Annotated[UUID, Field(description="The entry's id, as the login named it.")]
    project: Annotated[UUID, Field(description="The project's id, as in the login.")]
    image: Annotated[
        str,
        Field(description="The image that was asked for.", examples=[f"{ECR_HOST}/train:v1"]),
    ]
    code: Annotated[Outcome, Field(description="What it met, `ok` where it got the login.")]


class OrganizationOfMine(Schema):
    """An organization that the token reaches."""

    id: Annotated[int, Field(description="What entries have as `owner`.", examples=[1])]
    slug: Annotated[str, Field(description="As in its addresses.", examples=["acme"])]
    name: Annotated[str, Field(description="As people see it.", examples=["Acme"])]
    role: Annotated[
        Literal["admin", "member", "worker"], Field(description="Only admins manage entries.")
    ]


class Me(Schema):
    """What the token is."""

    kind: Annotated[Literal["user", "worker"], Field(description="Whose token it is.")]
    name: Annotated[
        str, Field(description="The person's name, or the token's.", examples=["Alice"])
    ]
    organizations: Annotated[list[OrganizationOfMine], Field(description="Those it reaches.")]


class CredentialsChange(Given):
    """What is left out stays as it is; so does a secret left out of `configuration`."""

    model_config = ConfigDict(
        json_schema_extra={"examples": [{"enabled": True, "note": "of the ML team"}]}
    )

    type: Annotated[str | None, Field(description="A type's slug.")] = None
    image_pattern: Annotated[
        str | None, Field(description="The only pattern, or the first of `image_patterns`.")
    ] = None
    image_patterns: Annotated[
        list[str] | None, Field(description="All of them, where there are several.")
    ] = None
    owner: OwnerId | None = None
    enabled: Annotated[bool | None, Field(description="A new entry is, unless told.")] = None
    environments: Annotated[
        list[str] | None, Field(description="Slugs of those it is for; none: all.")
    ] = None
    note: Annotated[str | None, Field(description="For people.")] = None
    secret_expires_on: Annotated[
        str | None,
        Field(
            description="The day on which the secret ends, as YYYY-MM-DD; empty: none. Org admins "
            "are reminded before. A new secret without it has none."
        ),
    ] = None
    configuration: Annotated[
        dict[str, str | None] | None, Field(description="The type's fields, as strings.")
    ] = None
    updated_at: Annotated[
        AwareDatetime | None,
        Field(description="As answered; refused where the entry changed since (not on POST)."),
    ] = None


class CredentialsInput(CredentialsChange):
    """`type`, a pattern and `configuration` with all that the type needs."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {"type": "docker", "image_pattern": PATTERN, "configuration": CONFIGURATION}
            ]
        }
    )

    type: Annotated[str, Field(description="A type's slug.")]


class Credentials(Schema):
    """A registry entry; it never holds a secret."""

    id: Annotated[UUID, Field(description="Never changes.", examples=[ENTRY_ID])]
    type: Annotated[str, Field(description="A type's slug.", examples=["docker"])]
    image_pattern: Annotated[str, Field(description="The first pattern.", examples=[PATTERN])]
    image_patterns: Annotated[
        list[str], Field(description="All of them, as given.", examples=[[PATTERN]])
    ]
    owner: Annotated[int, Field(description="The organization's id.", examples=[1])]
    enabled: Annotated[bool, Field(description="Whether it serves logins.", examples=[True])]
    environments: Annotated[
        list[str], Field(description="Slugs of those it is for; none: all.", examples=[[]])
    ]
    note: Annotated[str, Field(description="For people.", examples=["of the ML team"])]
    secret_expires_on: Annotated[
        date | None,
        Field(
            description="The day on which the secret ends; left out where nobody said one.",
            examples=["2027-06-30"],
        ),
    ] = None
    updated_at: Annotated[
        UpdatedAt, Field(description="When it was changed last, in UTC.", examples=[CHANGED])
    ]
    configuration: Annotated[
        dict[str, str],
        Field(
            description="The type's fields, without the secret.",
            examples=[{"version": "1", "username": CONFIGURATION["username"]}],
        ),
    ]

    trust: Annotated[
        dict[str, str] | None,
        Field(
            description="Of an entry without a key: what its cloud has to be told to trust, "
            "`issuer`, `audience` and `subject`; left out for others.",
            examples=[
                {
                    "issuer": "https://registries.example.com",
                    "audience": "sts.amazonaws.com",
                    "subject": f"organization:{ENTRY_ID}:entry:{ENTRY_ID}",
                }
            ],
        ),
    ] = None

    @model_serializer(mode="wrap")
    def _without_what_it_hasnt(self, told: SerializerFunctionWrapHandler) -> Any:
        found = told(self)
        left_out = [n for n in ("secret_expires_on", "trust") if getattr(self, n) is None]
        return {name: value for name, value in found.items() if name not in left_out}


class CredentialsPage(Schema):
    """Some of the entries, newest first."""

    count: Annotated[int, Field(description="How many there are in all.", examples=[1])]
    next: Annotated[str | None, Field(description="The next page's address.", examples=[None])]
    previous: Annotated[str | None, Field(description="The page before.", examples=[None])]
    results: Annotated[list[Credentials], Field(description="Those of this page.")]
