"""What a former version let in, and what today's rules say of it: nothing, or a code."""

from __future__ import annotations

import base64
import json
from dataclasses import dataclass

KEY = "Il_UAWlwmUHGJR6KzQIxYfP0mVXTqMT8x0WYPHcLpXQ="  # opens what stands here, and no more
SECRET = "CANARYcanary0123456789/+canaryCANARY9876"
KEY_ID = "AKIAIOSFODNN7EXAMPLE"
ECR = "123456789012.dkr.ecr.us-east-1.amazonaws.com"


@dataclass(frozen=True)
class Case:
    """An entry as it was sent to the former version; `told` are today's (field, code)."""

    type: str
    pattern: str
    config: dict[str, str]
    secrets: dict[str, str]
    told: tuple[tuple[str, str], ...] = ()

    @property
    def image(self) -> str:
        return self.pattern.replace("*", "train") + ":v1"


def _key(name: str, *told: tuple[str, str], key_id: str = KEY_ID, secret: str = SECRET) -> Case:
    return Case(
        "aws-ecr",
        f"{ECR}/{name}/*",
        {"access_key_id": key_id, "region": "us-east-1"},
        {"secret_access_key": secret},
        told,
    )


def _docker(
    pattern: str, *told: tuple[str, str], username: str = "robot", password: str = SECRET
) -> Case:
    return Case("docker", pattern, {"username": username}, {"password": password}, told)


def _role(name: str, *told: tuple[str, str], role: str) -> Case:
    return Case(
        "aws-ecr-role", f"{ECR}/{name}/*", {"role_name": role, "region": "us-east-1"}, {}, told
    )


def _base64(told: dict[str, object]) -> str:
    return base64.urlsafe_b64encode(json.dumps(told).encode()).decode().rstrip("=")


def token(**claims: object) -> str:
    """A JSON web token with these claims, signed by nobody."""
    return f"{_base64({'alg': 'RS256'})}.{_base64(claims)}.{SECRET.replace('/', '_')}"


ECR_LOGIN = base64.b64encode(
    json.dumps(
        {"payload": SECRET, "datakey": SECRET, "version": "2", "expiration": 1_700_000_000}
    ).encode()
).decode()

_BAD_SECRET = ("secret_access_key", "secret_shape")
_BAD_ID = ("access_key_id", "key_id_shape")
_SHORT_USER = ("username", "short_lived_password")
_SHORT = ("password", "short_lived_password")
_HIDDEN = ("password", "secret_shape")

CASES = {
    "right": _key("right"),
    "43 characters": _key("long", _BAD_SECRET, secret=SECRET + "abc"),
    "39 characters": _key("short", _BAD_SECRET, secret=SECRET[:-1]),
    "an SES password": _key("ses", _BAD_SECRET, secret=SECRET + "abcd"),
    # Today these would be mended as they come in; here they stand.
    "quotation marks": _key("quotes", _BAD_SECRET, secret=f'"{SECRET}"'),
    "a name before it": _key("named", _BAD_SECRET, secret=f"AWS_SECRET_ACCESS_KEY={SECRET}"),
    "percent-encoded": _key("percent", _BAD_SECRET, secret=SECRET.replace("/", "%2F")),
    "a user's id": _key("aida", _BAD_ID, key_id="AIDAIOSFODNN7EXAMPLEX"),
    "a role's id": _key("aroa", _BAD_ID, key_id="AROAIOSFODNN7EXAMPLEX"),
    "small letters": _key("lower", _BAD_ID, key_id=KEY_ID.lower()),
    "one short": _key("id-short", _BAD_ID, key_id=KEY_ID[:-1]),
    "both": _key("both", _BAD_ID, _BAD_SECRET, key_id=KEY_ID.lower(), secret=SECRET[:-1]),
    "a role": _role("role", role="ValohaiWorkerRole"),
    "an id as a role": _role(
        "role-id", ("role_name", "role_name_shape"), role="AROAIOSFODNN7EXAMPLEX"
    ),
    "a password": _docker("registry.example.com:5000/team/*"),
    "Google's": _docker("us-docker.pkg.dev/p/*", _SHORT_USER, username="oauth2accesstoken"),
    "Google's by its looks": _docker("gcr.io/p/*", _SHORT, password=f"ya29.{SECRET}"),
    "Azure's": _docker(
        "acme.azurecr.io/*", _SHORT_USER, username="00000000-0000-0000-0000-000000000000"
    ),
    "GitHub's": _docker(
        "ghcr.io/acme/*", _SHORT, username="x-access-token", password=f"ghs_{SECRET}"
    ),
    "a job's": _docker("registry.gitlab.com/acme/*", _SHORT_USER, username="gitlab-ci-token"),
    "ECR's": _docker("mirror.example.com/ecr/*", _SHORT, username="AWS", password=ECR_LOGIN),
    "a token that ended": _docker(
        "registry.example.com/jwt/*", _SHORT, password=token(exp=1_700_000_000)
    ),
    "what can't be seen": _docker(
        "registry.example.com/bom/*", _HIDDEN, password=f"\ufeff{SECRET}"
    ),
    # Of hosts and paths: what is told of these is another test's.
    "a web site": _docker("hub.docker.com/r/*"),
    "another": _docker("registry.hub.docker.com/acme/*"),
    "a page": _docker("quay.io/repository/acme/*"),
    "a high port": _docker("registry.example.com:65535/*"),
}
