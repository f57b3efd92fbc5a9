"""What all types of private ECR share: true ECR hosts only, one region, one partition."""

from __future__ import annotations

from collections.abc import Sequence

from .aws import Key
from .aws_denials import denial
from .aws_roles import narrows
from .ecr_api import EcrApi
from .ecr_hosts import (
    EcrHost,
    corrected_ecr_host,
    parse_ecr_host,
    parse_ecr_pattern_host,
    partition_of_region,
    region_choices,
    region_meant,
    resembles_ecr,
)
from .ecr_policy import PULL_THROUGH_ACTIONS
from .fields import ON
from .lookalikes import lookalike, not_its_own
from .patterns import MatchPattern, not_a_registry
from .problems import Failed, Problem
from .types import Ask, Config, Field, Other, RegistryType, Shape

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


def pulls_through(config: Config) -> bool:
    """Whether the policy is to have what a cache's first pull needs."""
    return config.get(PULL_THROUGH) == ON


class EcrType(RegistryType):
    """A type of private ECR, whoever's the login is."""

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

    holder = "user"
    """Who has the rights, as refusals name it."""

    def login_scope(self, config: Config, host: str, repository: str = "") -> str:
        if not self.narrowed(config):
            return _endpoint_of(host)
        if not repository:
            raise Failed(
                "ambiguous_server",
                f"The entry gives {host} a login for one repository at a time.",
                "Ask with the image; on a worker, name it in VALOHAI_IMAGE.",
            )
        return f"{host}/{repository}"

    def narrowed(self, config: Config) -> bool:
        return narrows(config)

    def api(self, key: Key, config: Config, ask: Ask) -> EcrApi:
        """ECR as a key sees it, where the ask's host is."""
        found = parse_ecr_host(ask.host)
        return EcrApi(
            key,
            config["region"],
            _endpoint_of(ask.host),
            ask.endpoint_url,
            found.account if found else "",
            deadline=ask.deadline,
        )

    def require_own_host(self, config: Config, host: str) -> EcrHost:
        """What the host is; raises `Failed` where no login goes there."""
        if refusal := self.host_refusal(config, host):
            raise refusal
        found = parse_ecr_host(host)
        assert found is not None, "host_refusal lets no other host through"
        return found

    def example_host(self, pattern: MatchPattern) -> str:
        return pattern.authority.replace("*", "123456789012", 1)

    def explained(self, config: Config, path: str, code: str, text: str) -> Failed | None:
        """ECR names the action that is missing, as all of AWS does."""
        found = denial(text)
        chosen = pulls_through(config)
        if found.action.startswith("ecr:"):
            fix = found.fix(
                f"Attach the policy that the entry shows to that {self.holder}, wait a few "
                "seconds, and verify again."
            )
            elsewhere = not found.mended_by_allowing
            if found.action in PULL_THROUGH_ACTIONS and not chosen and not elsewhere:
                elsewhere = True
                fix = (
                    "Choose Pull-through cache in the entry, and attach the policy that it shows "
                    "then."
                )
            what = f"The login's {self.holder} may not call {found.action} on {path}{found.why}."
            return Failed("image_denied", what, fix, mended_elsewhere=elsewhere)
        if code == "NAME_UNKNOWN" and chosen:
            return Failed(
                "image_not_found",
                f"There is no repository {path}, and none came through a cache.",
                "Correct the name; else see that a pull-through cache rule of the account has its "
                "first part as prefix, and that the policy of the entry is attached.",
            )
        return None

    def with_region(
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


def _endpoint_of(host: str) -> str:
    """Which of a region's endpoints gives logins for a host: “fips”, “dual-stack” or ""."""
    found = parse_ecr_host(host)
    if found is None:
        return ""
    flags = (("fips", found.fips), ("dual-stack", found.dual_stack))
    return " ".join(name for name, flag in flags if flag)


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
