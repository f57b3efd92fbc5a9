"""AWS ECR without a stored key: by a role that trusts what this server says of one entry, or by
one that this server's own identity takes with the entry's External ID.
"""

from __future__ import annotations

import time
import uuid
from collections.abc import Sequence
from dataclasses import replace

from . import aws, aws_server, aws_sts
from .aws_roles import (
    NARROW_FIELD,
    ROLE_ARN,
    ROLE_ARN_FIELD,
    Role,
    parse_role,
    role_of,
    role_problems,
)
from .aws_sessions import ending_with, narrowing, session_name, sts
from .aws_sts import Denied, Session
from .aws_trust import by_external_id, by_identity
from .ecr_api import SERVICE, EcrApi
from .ecr_policy import role_policy
from .ecr_type import PULL_THROUGH_FIELD, REGION_FIELD, EcrType, pulls_through
from .patterns import MatchPattern
from .private import private
from .problems import Failed, Problem
from .types import AccessPolicy, Ask, Config, DockerLogin, Provider, SetUp, Travel, Who

_LEAST = 1.0  # second that the login itself needs after what was tried before


class _ByRole(EcrType):
    """A role in the customer's account, whose session obtains the login."""

    travel = Travel.MINTED
    login_life = "an hour"
    provider = Provider.AWS
    holder = "role"
    fields = (ROLE_ARN_FIELD, REGION_FIELD, NARROW_FIELD, PULL_THROUGH_FIELD)
    denied_fixes = {
        "access_denied": "Set the role up as shown below, wait a few seconds, and verify again.",
        "image_denied": "Attach the policy below to that role, wait a few seconds, and verify "
        "again; a repository of another account must allow it in its own policy too.",
    }

    def clean_own(
        self, config: dict[str, str], secrets: dict[str, str], patterns: Sequence[MatchPattern]
    ) -> tuple[dict[str, str], dict[str, str], list[Problem]]:
        config, problems = self.with_region(config, patterns)
        return config, secrets, problems + role_problems(config, config["region"])

    def policy(self, config: Config, patterns: Sequence[MatchPattern]) -> AccessPolicy:
        role = parse_role(config.get(ROLE_ARN, ""))
        name, region = role.name if role else "", config.get("region", "")
        policy = role_policy(patterns, name, region, pull_through=pulls_through(config))
        return policy if role else replace(policy, attach_to="the entry's role")

    def prepare(self) -> None:
        aws.prepare(SERVICE)
        aws.prepare(aws_sts.SERVICE)

    def login(self, config: Config, secrets: Config, ask: Ask) -> DockerLogin:
        host = self.require_own_host(config, ask.host)
        session = self.session(config, ask, policy=narrowing(config, host, ask))
        return ending_with(session, self.api(session.key, config, ask).login())

    def lister(self, config: Config, secrets: Config, ask: Ask) -> EcrApi:
        self.require_own_host(config, ask.host)
        return self.api(self.session(config, ask, policy="").key, config, ask)

    def session(self, config: Config, ask: Ask, *, policy: str) -> Session:
        """A session of the role; raises `Failed`."""
        raise NotImplementedError


class AwsEcrOidc(_ByRole):
    """A role that trusts what this server signs of one entry."""

    slug = "aws-ecr-oidc"
    label = "AWS ECR (OIDC federation, no key)"
    short_label = "ECR, no key"
    summary = (
        "A role of yours that trusts this entry: no key to keep, hand out or rotate, for workers "
        "anywhere."
    )
    trusts_issuer = True

    def set_up(self, config: Config, patterns: Sequence[MatchPattern], who: Who) -> SetUp:
        return by_identity(config, patterns, who)

    def session(self, config: Config, ask: Ask, *, policy: str) -> Session:
        assert ask.identity is not None, "only an entry has an identity"
        role = role_of(config)
        token = ask.identity(aws_sts.AUDIENCE)
        return sts(None, config, ask).with_identity(role, session_name(ask), token, policy=policy)


class AwsEcrAssumeRole(_ByRole):
    """A role that this server's own AWS identity takes, with the entry's External ID."""

    slug = "aws-ecr-assume-role"
    label = "AWS ECR (Cross-account role)"
    short_label = "ECR, role"
    summary = (
        "A role of yours that this server takes by its own AWS identity and the entry's External "
        "ID: no key to keep, where this server runs inside AWS."
    )
    uses_own_identity = True

    def assigned(self, who: Who) -> dict[str, str]:
        return {"external_id": who.subject}

    def set_up(self, config: Config, patterns: Sequence[MatchPattern], who: Who) -> SetUp:
        return by_external_id(config, patterns, who, who.own_account)

    def session(self, config: Config, ask: Ask, *, policy: str) -> Session:
        assert ask.who is not None, "only an entry has an External ID"
        if not ask.own:
            raise Failed(
                "entry_unusable",
                "This server's own AWS identity isn't switched on, so it takes no roles.",
                "Ask staff to set AWS_SERVER_IDENTITY, or choose another registry type.",
            )
        role, external_id = role_of(config), ask.who.subject
        api = sts(aws_server.key(ask.deadline), config, ask)
        if ask.proving:
            _prove(api, role, ask)
        return api.with_key(role, session_name(ask), external_id=external_id, policy=policy)


def _prove(api: aws_sts.StsApi, role: Role, ask: Ask) -> None:
    """See that the role is refused to whoever asks without the entry's External ID, or with
    another one; raises `Failed`. A time-out is no refusal, and a role of the server's own
    account is what no tenant may reach."""
    whose = parse_caller(api.caller())
    if whose == role.account:
        raise Failed(
            "identity_refused",
            f"The role{private(f' {role.arn}')} is in this server's own account, which no entry "
            "reaches.",
            "Enter the ARN of a role in the account of the registry.",
        )
    for external_id, how in (("", "without an External ID"), (_other(), "with any External ID")):
        try:
            api.with_key(role, session_name(ask), external_id=external_id)
        except Denied:
            continue
        raise Failed(
            "external_id_not_enforced",
            f"The role{private(f' {role.arn}')} can be taken {how}, so an entry of somebody else's "
            "could reach it, too.",
            "Put the condition on sts:ExternalId into the role's trust policy, as shown below, "
            "wait a few seconds, and verify again.",
        )
    if time.monotonic() + _LEAST > ask.deadline:
        raise Failed(
            "registry_unreachable",
            "AWS STS took too long to say whom the role refuses.",
            "Wait: it is asked again by itself.",
            retry_after=5,
        )


def _other() -> str:
    """An External ID that nobody has."""
    return f"organization:{uuid.uuid4()}:entry:{uuid.uuid4()}"


def parse_caller(arn: str) -> str:
    """The account of a caller's ARN; "" where there is none."""
    parts = arn.split(":")
    return parts[4] if len(parts) > 5 else ""
