"""AWS ECR, with an IAM user's key or with the worker's own role."""

from __future__ import annotations

import re
from collections.abc import Sequence

from . import aws
from .ecr_api import SERVICE, EcrApi
from .ecr_hosts import (
    corrected_ecr_host,
    parse_ecr_host,
    parse_ecr_pattern_host,
    partition_of_region,
    region_choices,
    resembles_ecr,
)
from .ecr_policy import role_policy, user_policy
from .patterns import MatchPattern, not_a_registry
from .problems import Failed, Problem, Refused
from .types import (
    AccessPolicy,
    Ask,
    Blanks,
    Config,
    DockerLogin,
    Field,
    InstanceRoleLogin,
    Provider,
    RegistryType,
    Shape,
    Travel,
)

_SECRET_LOOK = re.compile(r"(?=.*[/+a-z])[A-Za-z0-9/+]{40}")
_ROLE_ARN = re.compile(r"arn:aws[a-z-]*:iam::[0-9]{12}:role/(?:[!-~]+/)?([^/]+)")

_NO_SECRET = Shape(
    r"[!-~]{16,128}",
    "secret_shape",
    "This isn't a Secret Access Key.",
    "Copy the 40 characters that AWS showed when the key was made.",
)
REGION_FIELD = Field(
    name="region",
    label="Region",
    help="Where the registry is.",
    required=False,
    max_length=40,
    choices=region_choices,
    from_pattern=r"^(?:[0-9]{12}|\*)\.dkr[.-]ecr(?:-fips)?\.([a-z0-9-]+)\.",
    echo=r"[a-z]{2,5}(-[a-z]{2,10}){1,3}-[0-9]{1,2}",
)


class _Ecr(RegistryType):
    """What both ECR types share: true ECR hosts only, one region, one partition."""

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

    def _with_region(
        self,
        config: dict[str, str],
        patterns: Sequence[MatchPattern],
        problems: Sequence[Problem] = (),
    ) -> dict[str, str]:
        """The config with the entry's region, from its field or the patterns; raises
        `Refused` for what is wrong with that, and for `problems`."""
        problems = list(problems)
        given = region = config["region"]
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
        if problems:
            raise Refused(*problems)
        return {**config, "region": region}

    def _refuse_login_elsewhere(self, config: Config, host: str) -> None:
        """The rule of save time, held again when the login is about to leave."""
        found = parse_ecr_host(host)
        if found is None or found.region != config.get("region"):
            raise Failed(
                "entry_unusable",
                f"{host} isn't an ECR host in {config.get('region')}, so no login goes there.",
                "Correct the entry's match pattern.",
            )


class AwsEcr(_Ecr):
    """An IAM user's key, kept here; the server obtains a login of 12 hours with it."""

    slug = "aws-ecr"
    label = "AWS ECR (IAM credentials)"
    summary = "An IAM user's access key. Works on workers anywhere, in any cloud."
    travel = Travel.MINTED
    provider = Provider.AWS
    fields = (
        Field(
            name="access_key_id",
            label="Access Key ID",
            help="Of an IAM user who may read the repositories; begins with AKIA.",
            example="AKIAIOSFODNN7EXAMPLE",
            hidden_from_members=True,
            missing="Enter the IAM user's key ID.",
            shape=Shape(
                r"[A-Za-z0-9_]{16,128}",
                "key_id_shape",
                "An Access Key ID has 16 to 128 letters, digits or underscores.",
                "Copy it from the IAM user's Security credentials; it begins with AKIA.",
            ),
            max_length=128,
            blanks=Blanks.DROPPED,
            echo=r"A[A-Z]{3}[A-Z0-9]{12,28}",
        ),
        Field(
            name="secret_access_key",
            label="Secret Access Key",
            help="Shown by AWS once, when the key is made. It's stored sealed and never shown.",
            secret=True,
            shape=_NO_SECRET,
            max_length=200,
            paired_with="access_key_id",
            blanks=Blanks.DROPPED,
        ),
        REGION_FIELD,
    )

    def clean_own(
        self, config: dict[str, str], secrets: dict[str, str], patterns: Sequence[MatchPattern]
    ) -> tuple[dict[str, str], dict[str, str]]:
        key_id, secret = config["access_key_id"], secrets.get("secret_access_key")
        problems = _key_id_problems(key_id)
        if secret and secret == key_id:
            shape = _NO_SECRET
            problems.append(Problem(shape.code, shape.what, shape.fix, "secret_access_key"))
        return self._with_region(config, patterns, problems), secrets

    def policy(self, config: Config, patterns: Sequence[MatchPattern]) -> AccessPolicy:
        return user_policy(patterns, config.get("region", ""))

    def prepare(self) -> None:
        aws.prepare(SERVICE)

    def login(self, config: Config, secrets: Config, ask: Ask) -> DockerLogin:
        return self.lister(config, secrets, ask).login()

    def lister(self, config: Config, secrets: Config, ask: Ask) -> EcrApi:
        self._refuse_login_elsewhere(config, ask.host)
        key_id, secret = config.get("access_key_id"), secrets.get("secret_access_key")
        if not key_id or not secret:
            raise Failed(
                "entry_unusable", "The entry has no complete key.", "Enter key and secret again."
            )
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
    summary = "The role attached to your EC2 workers. No key to keep; for AWS-only workers."
    travel = Travel.ON_WORKER
    fields = (
        Field(
            name="role_name",
            label="Role name",
            help="The role attached to the workers, not its instance profile.",
            example="ValohaiWorkerRole",
            missing="Enter the worker role.",
            shape=Shape(
                r"[A-Za-z0-9_+=,.@-]{1,64}",
                "role_name_shape",
                "{value} isn't the name of a role.",
                "Write the role's name or its ARN (arn:aws:iam::…:role/ValohaiWorkerRole), "
                "not that of an instance profile, a session or a user.",
            ),
            max_length=200,
            blanks=Blanks.DROPPED,
            echo=r"arn:aws[a-z-]*:[a-z]+::[0-9]{12}:[!-~]{1,100}",
        ),
        REGION_FIELD,
    )

    def clean_own(
        self, config: dict[str, str], secrets: dict[str, str], patterns: Sequence[MatchPattern]
    ) -> tuple[dict[str, str], dict[str, str]]:
        if arn := _ROLE_ARN.fullmatch(config["role_name"]):
            config = {**config, "role_name": arn[1]}
        return self._with_region(config, patterns), secrets

    def worker_role(self, config: Config) -> str:
        return config.get("role_name", "")

    def policy(self, config: Config, patterns: Sequence[MatchPattern]) -> AccessPolicy:
        return role_policy(patterns, config.get("role_name", ""), config.get("region", ""))

    def login(self, config: Config, secrets: Config, ask: Ask) -> InstanceRoleLogin:
        self._refuse_login_elsewhere(config, ask.host)
        return InstanceRoleLogin(role_name=config["role_name"], region=config["region"])


def _not_ecr(pattern: MatchPattern) -> Problem:
    host = pattern.authority
    path = str(pattern).removeprefix(host)
    corrected = corrected_ecr_host(host)
    write = f"{corrected or '123456789012.dkr.ecr.us-east-1.amazonaws.com'}{path}"
    what = (
        "resembles an Amazon ECR host but isn't one"
        if resembles_ecr(host)
        else ("isn't an Amazon ECR host")
    )
    return Problem(
        "lookalike_host",
        f"{host} {what}, so no AWS login will go there.",
        f"Write {write}, or choose the type of the registry that really runs there."
        if corrected
        else f"Write a host like {write}, or choose the type of the registry that runs there.",
        "patterns",
        suggestion=f"{corrected}{path}" if corrected else None,
    )


def _key_id_problems(key_id: str) -> list[Problem]:
    """What it was meant to be, where that is no key ID."""

    def problem(code: str, what: str, fix: str) -> list[Problem]:
        return [Problem(code, what, fix, "access_key_id")]

    if _SECRET_LOOK.fullmatch(key_id):
        return problem(
            "key_id_shape",
            "This looks like a Secret Access Key.",
            "Enter the Access Key ID here, which begins with AKIA, and the secret below.",
        )
    if key_id.upper().startswith("ASIA"):
        return problem(
            "temporary_key",
            "This key is temporary and will expire.",
            "Use one that begins with AKIA.",
        )
    return []
