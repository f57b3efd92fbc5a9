"""AWS ECR, with an IAM user's key or with the worker's own role."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace

from . import aws, aws_sts
from .aws_keys import KEY_ID_FIELD, SECRET_FIELD, given_twice, key_of
from .aws_roles import (
    NARROW,
    NARROW_FIELD,
    ROLE_ARN,
    ROLE_ARN_FIELD,
    parse_role,
    role_problems,
)
from .aws_sessions import ending_with, narrowing, taken_by_user, taken_with
from .ecr_api import SERVICE, EcrApi
from .ecr_policy import role_policy, user_policy
from .ecr_type import PULL_THROUGH_FIELD, REGION_FIELD, EcrType, pulls_through
from .fields import ON
from .patterns import MatchPattern
from .problems import Problem
from .types import (
    AccessPolicy,
    Ask,
    Blanks,
    Config,
    DockerLogin,
    Field,
    InstanceRoleLogin,
    Other,
    Provider,
    Shape,
    Travel,
)

_ROLE_ARN = re.compile(r"arn:aws[a-z-]*:iam::[0-9]{12}:role/(?:[!-~]+/)?([^/]+)")


def _role_of(text: str) -> str:
    """A role's name out of its ARN."""
    arn = _ROLE_ARN.fullmatch(text)
    return arn[1] if arn else text


_NAME_OR_ARN = "Write the role's name or its ARN (arn:aws:iam::…:role/ValohaiWorkerRole)"
_ROLE_SHAPE = Shape(
    r"[A-Za-z0-9_+=,.@-]{1,64}",
    "role_name_shape",
    "{value} isn't the name of a role.",
    f"{_NAME_OR_ARN}, not that of an instance profile, a session or a user.",
    others=(
        Other(
            r"AROA[A-Z0-9]{17}",
            "This is the ID of a role, not its name.",
            f"{_NAME_OR_ARN}; both stand on the role's page in IAM.",
        ),
        Other(
            r"AI[DP]A[A-Z0-9]{17}",
            "This is the ID of something else in IAM, not a role's name.",
            f"{_NAME_OR_ARN}; both stand on the role's page in IAM.",
        ),
        Other(
            r"A[KS]IA[A-Z0-9]{16}",
            "This is an Access Key ID, not the name of a role.",
            f"{_NAME_OR_ARN}; for a key choose AWS ECR (IAM credentials).",
        ),
        Other(
            r"arn:aws[a-z-]{0,20}:iam::[0-9]{12}:instance-profile/[!-~]{1,400}",
            "This is the ARN of an instance profile, not of the role in it.",
            f"{_NAME_OR_ARN}; the profile's page in EC2 or IAM names its role.",
        ),
        Other(
            r"arn:aws[a-z-]{0,20}:sts::[0-9]{12}:assumed-role/[!-~]{1,400}",
            "This is the ARN of a session of a role, not of the role.",
            f"{_NAME_OR_ARN}; it's what stands between “assumed-role/” and the next “/”.",
        ),
        Other(
            r"arn:aws[a-z-]{0,20}:iam::[0-9]{12}:user/[!-~]{1,400}",
            "This is the ARN of a user, not of a role.",
            f"{_NAME_OR_ARN}; for a user's key choose AWS ECR (IAM credentials).",
        ),
    ),
)


class AwsEcr(EcrType):
    """An IAM user's key, kept here; the server obtains a login of 12 hours with it."""

    slug = "aws-ecr"
    label = "AWS ECR (IAM credentials)"
    short_label = "ECR, IAM key"
    summary = "An IAM user's access key, for workers anywhere, in any cloud."
    travel = Travel.MINTED
    login_life = "12 hours"
    provider = Provider.AWS
    fields = (
        KEY_ID_FIELD,
        SECRET_FIELD,
        REGION_FIELD,
        replace(
            ROLE_ARN_FIELD,
            required=False,
            help="A role that is taken with the key, where the key's user may not pull itself.",
        ),
        NARROW_FIELD,
        PULL_THROUGH_FIELD,
    )

    def clean_own(
        self, config: dict[str, str], secrets: dict[str, str], patterns: Sequence[MatchPattern]
    ) -> tuple[dict[str, str], dict[str, str], list[Problem]]:
        problems = given_twice(config, secrets)
        config, wrong = self.with_region(config, patterns)
        problems += wrong + role_problems(config, config["region"])
        if config.get(NARROW) == ON and not config.get(ROLE_ARN):
            what = "Narrowed logins need a role, whose sessions can be limited to a repository."
            problems.append(Problem("needs_role", what, "Enter a Role ARN, or untick it.", NARROW))
        return config, secrets, problems

    def secret_scope(self, config: Config, patterns: Sequence[MatchPattern]) -> frozenset[str]:
        """A key that is kept takes no other role than the one that it was given for."""
        role = config.get(ROLE_ARN, "")
        return frozenset(f"{place} {role}" for place in super().secret_scope(config, patterns))

    def policy(self, config: Config, patterns: Sequence[MatchPattern]) -> AccessPolicy:
        region, chosen = config.get("region", ""), pulls_through(config)
        role = parse_role(config.get(ROLE_ARN, ""))
        if role is None:
            return user_policy(patterns, region, pull_through=chosen)
        found = role_policy(patterns, role.name, region, pull_through=chosen)
        return replace(found, notes=(*found.notes, taken_by_user(role)))

    def prepare(self) -> None:
        aws.prepare(SERVICE)
        aws.prepare(aws_sts.SERVICE)

    def login(self, config: Config, secrets: Config, ask: Ask) -> DockerLogin:
        host = self.require_own_host(config, ask.host)
        key = key_of(config, secrets)
        if not config.get(ROLE_ARN):
            return self.api(key, config, ask).login()
        session = taken_with(key, config, ask, policy=narrowing(config, host, ask))
        return ending_with(session, self.api(session.key, config, ask).login())

    def lister(self, config: Config, secrets: Config, ask: Ask) -> EcrApi:
        if refusal := self.host_refusal(config, ask.host):
            raise refusal
        key = key_of(config, secrets)
        if config.get(ROLE_ARN):
            key = taken_with(key, config, ask, policy="").key
        return self.api(key, config, ask)


class AwsEcrRole(EcrType):
    """The role of the worker itself; the server holds no secret and calls nothing."""

    slug = "aws-ecr-role"
    label = "AWS ECR (Instance Role)"
    short_label = "ECR, instance role"
    summary = "The role attached to your EC2 workers: no key to keep, for AWS-only workers."
    travel = Travel.ON_WORKER
    fields = (
        Field(
            name="role_name",
            label="Role name",
            help="The role attached to the workers, not its instance profile.",
            example="ValohaiWorkerRole",
            missing="Enter the worker role.",
            shape=_ROLE_SHAPE,
            max_length=200,
            blanks=Blanks.DROPPED,
            echo=r"arn:aws[a-z-]*:[a-z]+::[0-9]{12}:[!-~]{1,100}",
            pasted_as=("RoleName", "role", "Arn", "RoleArn", "AWS_ROLE_ARN"),
            reads=_role_of,
        ),
        REGION_FIELD,
        PULL_THROUGH_FIELD,
    )

    def clean_own(
        self, config: dict[str, str], secrets: dict[str, str], patterns: Sequence[MatchPattern]
    ) -> tuple[dict[str, str], dict[str, str], list[Problem]]:
        config, problems = self.with_region(config, patterns)
        return config, secrets, problems

    def worker_role(self, config: Config) -> str:
        return config.get("role_name", "")

    def policy(self, config: Config, patterns: Sequence[MatchPattern]) -> AccessPolicy:
        role, region = config.get("role_name", ""), config.get("region", "")
        return role_policy(patterns, role, region, pull_through=pulls_through(config))

    def login(self, config: Config, secrets: Config, ask: Ask) -> InstanceRoleLogin:
        if refusal := self.host_refusal(config, ask.host):
            raise refusal
        return InstanceRoleLogin(role_name=config["role_name"], region=config["region"])
