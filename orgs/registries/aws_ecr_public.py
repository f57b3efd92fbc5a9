"""AWS ECR Public, with an IAM user's key: public images, by higher limits than without one."""

from __future__ import annotations

import json
import shlex
from collections.abc import Iterator, Sequence

from . import aws
from .aws_keys import KEY_ID_FIELD, SECRET_FIELD, given_twice, key_of
from .ecr_api import PUBLIC_SERVICE, EcrPublicApi
from .ecr_hosts import PUBLIC_HOSTS, corrected_public_host, parse_ecr_pattern_host
from .lookalikes import lookalike, not_its_own
from .patterns import MatchPattern, not_a_registry
from .problems import Failed, Problem
from .types import AccessPolicy, Ask, Config, DockerLogin, Provider, RegistryType, Travel

HOST = "public.ecr.aws"
_KIND = "a host of Amazon ECR Public"
# Both are asked of nothing in particular (service authorization reference of ECR Public; ECR
# Public user guide, «Registry authentication»). Reading an image needs no right.
ACTIONS = ("ecr-public:GetAuthorizationToken", "sts:GetServiceBearerToken")
USER_NAME = "<USER_NAME>"


class AwsEcrPublic(RegistryType):
    """An IAM user's key, kept here; the server obtains a login of 12 hours with it."""

    slug = "aws-ecr-public"
    label = "AWS ECR Public"
    short_label = "ECR Public"
    summary = (
        "Public images of public.ecr.aws by an IAM user's key, for higher limits; they pull "
        "without an entry, too."
    )
    group = "AWS"
    travel = Travel.MINTED
    login_life = "12 hours"
    provider = Provider.AWS
    example_pattern = f"{HOST}/your-alias/*"
    fields = (KEY_ID_FIELD, SECRET_FIELD)
    denied_fixes = {
        "access_denied": "Attach the policy below to that user, wait a few seconds, and verify "
        "again.",
    }

    def clean_own(
        self, config: dict[str, str], secrets: dict[str, str], patterns: Sequence[MatchPattern]
    ) -> tuple[dict[str, str], dict[str, str], list[Problem]]:
        return config, secrets, [*given_twice(config, secrets), *self._host_problems(patterns)]

    def secret_scope(self, config: Config, patterns: Sequence[MatchPattern]) -> frozenset[str]:
        return frozenset({"aws"})  # the key goes nowhere, and signs for one service

    def policy(self, config: Config, patterns: Sequence[MatchPattern]) -> AccessPolicy:
        statement = {
            "Sid": "GetECRPublicAuthToken",
            "Effect": "Allow",
            "Action": ACTIONS,
            "Resource": "*",
        }
        policy = {"Version": "2012-10-17", "Statement": [statement]}
        words = ["aws", "iam", "put-user-policy", "--user-name", USER_NAME]
        compact = json.dumps(policy, separators=(",", ":"))
        command = [*words, "--policy-name", EcrPublicApi.policy, "--policy-document", compact]
        return AccessPolicy(
            name=EcrPublicApi.policy,
            attach_to="the IAM user that the key belongs to",
            document=json.dumps(policy, indent=2),
            command=shlex.join(command),
            program="AWS CLI",
            again="Run it again as you like: it's the same for all patterns.",
            notes=(
                f"In the command, put the user's name in place of {USER_NAME}.",
                "Public images need no right of their own, so the policy names none.",
            ),
        )

    def prepare(self) -> None:
        aws.prepare(PUBLIC_SERVICE)

    def host_refusal(self, config: Config, host: str) -> Failed | None:
        return None if host in PUBLIC_HOSTS else not_its_own(host, _KIND)

    def login(self, config: Config, secrets: Config, ask: Ask) -> DockerLogin:
        if refusal := self.host_refusal(config, ask.host):
            raise refusal
        key = key_of(config, secrets)
        api = EcrPublicApi(key, ask.endpoint_url, deadline=ask.deadline)
        return api.login()

    def _host_problems(self, patterns: Sequence[MatchPattern]) -> Iterator[Problem]:
        for pattern in patterns:
            if pattern.port is None and pattern.host in PUBLIC_HOSTS:
                continue
            site = not_a_registry(pattern)
            yield self.fitting(site) if site else _not_public(pattern)


def _not_public(pattern: MatchPattern) -> Problem:
    host = pattern.authority
    if pattern.port is None and parse_ecr_pattern_host(pattern.host):
        return Problem(
            "ecr_host",
            f"{host} is a private registry of Amazon ECR, and logins of ECR Public don't open it.",
            "Choose AWS ECR (IAM credentials) as the registry type.",
            "patterns",
        )
    corrected = corrected_public_host(host)
    return lookalike(
        pattern,
        kind=_KIND,
        login="AWS login",
        resembles=corrected is not None,
        corrected=corrected,
        example=HOST,
    )
