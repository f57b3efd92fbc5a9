"""What a customer's account needs so that a role of it trusts one entry here: as JSON, as AWS CLI
commands and as Terraform, filled in.
"""

from __future__ import annotations

import json
import shlex
from collections.abc import Sequence
from typing import Any

from .aws_roles import ROLE_ARN, Role, parse_role
from .aws_sts import AUDIENCE
from .ecr_policy import NAME, role_policy
from .ecr_type import pulls_through
from .patterns import MatchPattern
from .terraform import Expression, resource
from .types import AccessPolicy, Config, Part, SetUp, Who

ACCOUNT, ROLE = "<ACCOUNT_ID>", "ValohaiRegistries"
ISSUER = "<ISSUER>"
OWN_ACCOUNT = "<ACCOUNT_OF_THIS_SERVER>"
_REGISTERED = (
    "The first command registers this server, once an account: “EntityAlreadyExists” says that it "
    "is registered already."
)
_TAKEN = (
    "Each entry is best given a role of its own: where create-role says “EntityAlreadyExists”, the "
    "role is there, its trust isn't for this entry, and the last command would replace the "
    "permissions that it has under this name. Take another role's name then, in the entry, too."
)
_READY = {"aws": "CloudShell, in the AWS console, has the AWS CLI ready."}
_SECONDS = "A new trust takes a few seconds until all of AWS knows it."


def by_identity(config: Config, patterns: Sequence[MatchPattern], who: Who) -> SetUp:
    """For a role that is taken by what this server says of the entry."""
    role, region = _role(config), config.get("region", "")
    issuer = who.issuer or ISSUER
    name = issuer.removeprefix("https://")
    provider = f"arn:{role.partition}:iam::{role.account}:oidc-provider/{name}"
    trust = _document(
        {
            "Effect": "Allow",
            "Principal": {"Federated": provider},
            "Action": "sts:AssumeRoleWithWebIdentity",
            "Condition": {"StringEquals": {f"{name}:aud": AUDIENCE, f"{name}:sub": who.subject}},
        }
    )
    register = ["aws", "iam", "create-open-id-connect-provider", *_where(role, region)]
    register += ["--url", issuer, "--client-id-list", AUDIENCE]
    rights = role_policy(patterns, role.name, region, pull_through=pulls_through(config))
    return SetUp(
        provider="AWS",
        facts=(
            ("Issuer (provider URL)", issuer),
            ("Audience", AUDIENCE),
            ("Subject", who.subject),
            ("Role ARN", role.arn),
        ),
        parts=_parts(
            role,
            region,
            rights,
            trust,
            who,
            commands=[register],
            resources="# Once an account: leave it out where another entry's module has it.\n"
            + resource(
                "aws_iam_openid_connect_provider",
                _ANY,
                {"url": issuer, "client_id_list": [AUDIENCE]},
            ),
        ),
        notes=(_REGISTERED, _TAKEN, *_wanting(rights)),
        **_where_and_when(role),
    )


def by_external_id(
    config: Config, patterns: Sequence[MatchPattern], who: Who, own_account: str
) -> SetUp:
    """For a role that is taken by this server's own identity, of `own_account`, "" where that
    isn't known."""
    role, region = _role(config), config.get("region", "")
    own = own_account or OWN_ACCOUNT
    trust = _document(
        {
            "Effect": "Allow",
            "Principal": {"AWS": f"arn:{role.partition}:iam::{own}:root"},
            "Action": "sts:AssumeRole",
            "Condition": {"StringEquals": {"sts:ExternalId": who.subject}},
        }
    )
    rights = role_policy(patterns, role.name, region, pull_through=pulls_through(config))
    unknown = "" if own_account else f"Ask staff what to write for {OWN_ACCOUNT}."
    notes = (
        "The condition is what keeps others out: without it, or with another External ID, this "
        "server refuses to use the role.",
        unknown,
        _TAKEN,
        *_wanting(rights),
    )
    return SetUp(
        provider="AWS",
        facts=(
            ("Account of this server", own),
            ("External ID", who.subject),
            ("Role ARN", role.arn),
        ),
        parts=_parts(role, region, rights, trust, who, commands=[], resources=""),
        notes=tuple(filter(None, notes)),
        **_where_and_when(role),
    )


def _role(config: Config) -> Role:
    given = parse_role(config.get(ROLE_ARN, ""))
    return given or Role(f"arn:aws:iam::{ACCOUNT}:role/{ROLE}", "aws", ACCOUNT, "/", ROLE)


def _where_and_when(role: Role) -> dict[str, str]:
    account = f"AWS account {role.account}"
    return {"account": account, "ready": _READY.get(role.partition, ""), "takes": _SECONDS}


def _wanting(rights: AccessPolicy) -> tuple[str, ...]:
    """Why no command gives the role its permissions, where none can."""
    return () if rights.command else rights.notes


def _document(statement: dict[str, Any]) -> dict[str, Any]:
    return {"Version": "2012-10-17", "Statement": [statement]}


def _where(role: Role, region: str) -> list[str]:
    """Outside `aws` the CLI needs a region to find IAM."""
    return ["--region", region] if region and role.partition != "aws" else []


def _parts(
    role: Role,
    region: str,
    rights: AccessPolicy,
    trust: dict[str, Any],
    who: Who,
    *,
    commands: list[list[str]],
    resources: str,
) -> tuple[Part, ...]:
    make = ["aws", "iam", "create-role", *_where(role, region), "--role-name", role.name]
    if role.path != "/":
        make += ["--path", role.path]
    make += ["--assume-role-policy-document", json.dumps(trust, separators=(",", ":"))]
    commands = [*commands, make, *filter(None, [shlex.split(rights.command)])]
    script = "\n".join(map(_command, commands))
    return (
        Part("Trust policy of the role", "JSON", json.dumps(trust, indent=2)),
        Part("Permissions of the role", "JSON", rights.document),
        Part("All of it", "AWS CLI", script),
        Part("All of it", "Terraform", _terraform(role, trust, rights.document, who, resources)),
    )


def _command(words: Sequence[str]) -> str:
    """For a shell, an option a line; a value that looks like an option is bound to its own."""
    lines: list[list[str]] = [[]]
    for word in words:
        last = lines[-1]
        if len(last) == 1 and last[0].startswith("--") and "=" not in last[0]:
            last[:] = [f"{last[0]}={word}"] if word.startswith("-") else [last[0], word]
        elif word.startswith("--"):
            lines.append([word])
        else:
            last.append(word)
    return " \\\n  ".join(map(shlex.join, lines))


# --- Terraform ---------------------------------------------------------------------------------

_ANY = "valohai_registries"


def _terraform(role: Role, trust: dict[str, Any], rights: str, who: Who, resources: str) -> str:
    """JSON's objects are Terraform's, too, so nothing is written twice. Named by the entry, so
    that several stand in one module."""
    own = f"valohai_{who.subject.rpartition(':')[2][:8]}"
    path = {} if role.path == "/" else {"path": role.path}
    made = [
        resources,
        resource("aws_iam_role", own, {"name": role.name, **path, "assume_role_policy": trust}),
        resource(
            "aws_iam_role_policy",
            own,
            {"name": NAME, "role": Expression(f"aws_iam_role.{own}.name")}
            | {"policy": json.loads(rights)},
        ),
    ]
    return "\n\n".join(filter(None, made))
