"""AWS ECR, with an IAM user's key or with the worker's own role."""

from __future__ import annotations

import re
from collections.abc import Sequence

from . import aws
from .aws_denials import denial
from .aws_keys import KEY_ID_FIELD, SECRET_FIELD, given_twice, key_of
from .ecr_api import SERVICE, EcrApi
from .ecr_hosts import (
    corrected_ecr_host,
    parse_ecr_host,
    parse_ecr_pattern_host,
    partition_of_region,
    region_choices,
    region_meant,
    resembles_ecr,
)
from .ecr_policy import PULL_THROUGH_ACTIONS, role_policy, user_policy
from .fields import ON
from .lookalikes import lookalike, not_its_own
from .patterns import MatchPattern, not_a_registry
from .problems import Failed, Problem
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
    RegistryType,
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
_ZONE = (
    r"[a-z]{2,5}(?:-[a-z]{2,10}){1,3}-[0-9]{1,2}"
    r"(?:[a-z]|-[a-z]{2,5}-[0-9]{1,2}[a-z]|-wl[0-9]-[a-z]{2,5}-wlz-[0-9])"
)
REGION_FIELD = Field(
    name="region",
    label="Region",
    help="Where the registry is.",
    required=False,
    shape=Shape(
        r"[a-z]{2,5}(?:-[a-z]{2,10}){1,3}-[0-9]{1,2}",
        "region_shape",
        "This isn't an AWS region.",
        "Write it as in the pattern's host, such as us-east-1, or leave it out.",
        others=(
            Other(
                _ZONE,
                "This is a zone within a region, not the region.",
                "Write it without what follows its number, such as us-east-1 for us-east-1a.",
            ),
        ),
    ),
    max_length=40,
    choices=region_choices,
    from_pattern=r"^(?:[0-9]{12}|\*)\.dkr[.-]ecr(?:-fips)?\.([a-z0-9-]+)\.",
    echo=r"[a-z]{2,5}(-[a-z]{2,10}){1,3}-[0-9]{1,2}",
    pasted_as=("AWS_REGION", "AWS_DEFAULT_REGION", "region", "region_name"),
    reads=region_meant,
)


PULL_THROUGH = "pull_through"
PULL_THROUGH_FIELD = Field(
    name=PULL_THROUGH,
    label="Pull-through cache",
    help="The repositories are filled from another registry at their first pull, by a cache "
    "rule of ECR's. The policy then has the two actions that a first pull needs.",
    required=False,
    switch=True,
)


def _pulls_through(config: Config) -> bool:
    return config.get(PULL_THROUGH) == ON


class _Ecr(RegistryType):
    """What both ECR types share: true ECR hosts only, one region, one partition."""

    group = "AWS"
    private_addresses = True  # VPC endpoints
    example_pattern = "123456789012.dkr.ecr.us-east-1.amazonaws.com/*"
    denied_fixes = {
        "access_denied": "Attach the policy below to that user, wait a few seconds, and "
        "verify again.",
        "image_denied": "Attach the policy below to that user, wait a few seconds, and verify "
        "again; a repository of another account must allow it in its own policy too.",
    }

    def secret_scope(self, config: Config, patterns: Sequence[MatchPattern]) -> frozenset[str]:
        return frozenset({partition_of_region(config.get("region", "")) or ""})

    def login_scope(self, host: str) -> str:
        found = parse_ecr_host(host)
        if found is None:
            return ""
        flags = (("fips", found.fips), ("dual-stack", found.dual_stack))
        return " ".join(name for name, flag in flags if flag)

    def example_host(self, pattern: MatchPattern) -> str:
        return pattern.authority.replace("*", "123456789012", 1)

    def explained(self, config: Config, path: str, code: str, text: str) -> Failed | None:
        """ECR names the action that is missing, as all of AWS does."""
        found = denial(text)
        chosen = _pulls_through(config)
        if found.action.startswith("ecr:"):
            fix = found.fix(
                "Attach the policy that the entry shows to that user, wait a few seconds, and "
                "verify again."
            )
            elsewhere = not found.mended_by_allowing
            if found.action in PULL_THROUGH_ACTIONS and not chosen and not elsewhere:
                elsewhere = True
                fix = (
                    "Choose Pull-through cache in the entry, and attach the policy that it shows "
                    "then."
                )
            what = f"The login's user may not call {found.action} on {path}{found.why}."
            return Failed("image_denied", what, fix, mended_elsewhere=elsewhere)
        if code == "NAME_UNKNOWN" and chosen:
            return Failed(
                "image_not_found",
                f"There is no repository {path}, and none came through a cache.",
                "Correct the name; else see that a pull-through cache rule of the account has its "
                "first part as prefix, and that the policy of the entry is attached.",
            )
        return None

    def _with_region(
        self,
        config: dict[str, str],
        patterns: Sequence[MatchPattern],
    ) -> tuple[dict[str, str], list[Problem]]:
        """The config with the entry's region, from its field or the patterns, and what is
        wrong with that."""
        problems: list[Problem] = []
        given = region = config["region"]
        if given and REGION_FIELD.problem(given):  # there is nothing to compare it with
            return config, [*filter(None, [REGION_FIELD.problem(given)])]
        for pattern in patterns:
            host = parse_ecr_pattern_host(pattern.host) if pattern.port is None else None
            if host is None:
                site = not_a_registry(pattern)
                problems.append(self.fitting(site) if site else _not_ecr(pattern))
                continue
            region = region or host.region
            if host.region == region:
                continue
            if given:
                what = f"The pattern's host is in {host.region}, but Region says {region}."
                fix = f"Choose {host.region}, or correct the host."
            else:
                what = f"The patterns name two regions, {region} and {host.region}."
                fix = "Make an entry for each: a login works in one region."
            same = host.partition == partition_of_region(region)
            code = "region_mismatch" if same else "partition_mismatch"
            problems.append(Problem(code, what, fix, "region" if given else "patterns"))
        return {**config, "region": region}, problems

    def host_refusal(self, config: Config, host: str) -> Failed | None:
        found = parse_ecr_host(host)
        if found is not None and found.region == config.get("region"):
            return None
        return not_its_own(host, f"an ECR host in {config.get('region')}")


class AwsEcr(_Ecr):
    """An IAM user's key, kept here; the server obtains a login of 12 hours with it."""

    slug = "aws-ecr"
    label = "AWS ECR (IAM credentials)"
    short_label = "ECR, IAM key"
    summary = "An IAM user's access key, for workers anywhere, in any cloud."
    travel = Travel.MINTED
    login_life = "12 hours"
    provider = Provider.AWS
    fields = (KEY_ID_FIELD, SECRET_FIELD, REGION_FIELD, PULL_THROUGH_FIELD)

    def clean_own(
        self, config: dict[str, str], secrets: dict[str, str], patterns: Sequence[MatchPattern]
    ) -> tuple[dict[str, str], dict[str, str], list[Problem]]:
        twice = given_twice(config, secrets)
        config, problems = self._with_region(config, patterns)
        return config, secrets, twice + problems

    def policy(self, config: Config, patterns: Sequence[MatchPattern]) -> AccessPolicy:
        region = config.get("region", "")
        return user_policy(patterns, region, pull_through=_pulls_through(config))

    def prepare(self) -> None:
        aws.prepare(SERVICE)

    def login(self, config: Config, secrets: Config, ask: Ask) -> DockerLogin:
        return self.lister(config, secrets, ask).login()

    def lister(self, config: Config, secrets: Config, ask: Ask) -> EcrApi:
        if refusal := self.host_refusal(config, ask.host):
            raise refusal
        key_id, secret = key_of(config, secrets)
        found = parse_ecr_host(ask.host)
        return EcrApi(
            key_id,
            secret,
            config["region"],
            self.login_scope(ask.host),
            ask.endpoint_url,
            found.account if found else "",
            deadline=ask.deadline,
        )


class AwsEcrRole(_Ecr):
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
        config, problems = self._with_region(config, patterns)
        return config, secrets, problems

    def worker_role(self, config: Config) -> str:
        return config.get("role_name", "")

    def policy(self, config: Config, patterns: Sequence[MatchPattern]) -> AccessPolicy:
        role, region = config.get("role_name", ""), config.get("region", "")
        return role_policy(patterns, role, region, pull_through=_pulls_through(config))

    def login(self, config: Config, secrets: Config, ask: Ask) -> InstanceRoleLogin:
        if refusal := self.host_refusal(config, ask.host):
            raise refusal
        return InstanceRoleLogin(role_name=config["role_name"], region=config["region"])


def _not_ecr(pattern: MatchPattern) -> Problem:
    host = pattern.authority
    return lookalike(
        pattern,
        kind="an Amazon ECR host",
        login="AWS login",
        resembles=resembles_ecr(host),
        corrected=corrected_ecr_host(host),
        example="123456789012.dkr.ecr.us-east-1.amazonaws.com",
    )
