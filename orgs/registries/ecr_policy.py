"""The guide's `valohai-ecr-policy`, filled in from match patterns.

IAM's `*` stands for any characters, `/` too; a pattern's stays within one part of the
path. So this is the rule, for what stands after `repository/`:

- Without a `*`, a pattern is itself. A last `/*` means the path and everything below:
  two resources, `my-repo` and `my-repo/*`.
- A pattern whose `*` begin where nothing literal follows says the same in IAM as here,
  if it ends in `/*`: `my-*/*` is `my-*`, `team/*/*` is `team/*`, `*` is `*`. Crossing
  `/` is what that end means anyway.
- Everything else becomes the narrowest superset that Allow can say, which is the same
  text, and `wider` names an image that this grants although no pattern matches it.
  (A Deny could cut that off, but would also take away what other policies grant.)

Sids, actions and the shape of the document are those of the guide.
"""

from __future__ import annotations

import json
import shlex
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from .ecr_hosts import EcrHost, parse_ecr_pattern_host, partition_of_region
from .images import ImageReference, InvalidImage
from .patterns import MatchPattern, segment_matches
from .types import AccessPolicy

NAME = "valohai-ecr-policy"
ACTIONS = tuple(
    f"ecr:{action}"
    for action in (
        "DescribeImageScanFindings",
        "GetLifecyclePolicyPreview",
        "GetDownloadUrlForLayer",
        "BatchGetImage",
        "DescribeImages",
        "DescribeRepositories",
        "ListTagsForResource",
        "ListImages",
        "BatchCheckLayerAvailability",
        "GetRepositoryPolicy",
        "GetLifecyclePolicy",
    )
)
# What the first pull of an image through a cache needs besides (ECR user guide, «IAM permissions
# required to sync an upstream registry»).
PULL_THROUGH_ACTIONS = ("ecr:BatchImportUpstreamImage", "ecr:CreateRepository")
# Characters, blanks not counted (IAM user guide, «IAM and AWS STS quotas»). The inline
# ones are for all inline policies of a user or role together.
MANAGED_LIMIT = 6144
USER_LIMIT = 2048
ROLE_LIMIT = 10240

USER_NAME = "<USER_NAME>"
ROLE_NAME = "<ROLE_NAME>"
_PLACES = ("<REGION>", "<ACCOUNT_ID>", "<REPOSITORY>")
_FILLED_IN = "What stands in <> is filled in from the match pattern."
# What a `*` is filled with to show what IAM's grants beyond ours; several, since another
# pattern of the entry may match the first.
_ACROSS = ("one/two", "one/two/three", "one/two/three/four")


def user_policy(
    patterns: Sequence[MatchPattern], region: str = "", *, pull_through: bool = False
) -> AccessPolicy:
    """For the IAM user whose key an entry holds; we don't know the user's name.

    `region` stands where no pattern names one; it may be empty. `pull_through` adds what
    filling a repository from another registry needs.
    """
    rights = _Rights.of(patterns, region, pull_through)
    attach_to = "the IAM user that the key belongs to"
    if rights.is_blank:
        return _policy(attach_to, rights, "", [_FILLED_IN])
    notes = [_across_accounts("user")]
    compact = rights.document(None)
    command = _command("user", USER_NAME, compact, rights.cli_region)
    if len(compact) > MANAGED_LIMIT:
        notes.append(_too_long(compact, "a managed policy", MANAGED_LIMIT))
        command = ""
    elif len(compact) > USER_LIMIT:
        notes.append(
            f"It has {len(compact):,} characters, and IAM allows {USER_LIMIT:,} for a user's "
            f"inline policies: create it in IAM as a managed policy (up to {MANAGED_LIMIT:,}) "
            "and attach that, or write fewer, wider patterns."
        )
        command = ""
    else:
        notes.insert(0, f"In the command, put the user's name in place of {USER_NAME}.")
    return _policy(attach_to, rights, command, notes)


def role_policy(
    patterns: Sequence[MatchPattern], role: str, region: str = "", *, pull_through: bool = False
) -> AccessPolicy:
    """For the workers' role; `role` and `region` may be empty."""
    rights = _Rights.of(patterns, region, pull_through)
    attach_to = f"the role {role}" if role else "the workers' role"
    if rights.is_blank:
        return _policy(attach_to, rights, "", [_FILLED_IN])
    notes = [_across_accounts("role")]
    compact = rights.document(None)
    command = _command("role", role or ROLE_NAME, compact, rights.cli_region)
    if len(compact) > ROLE_LIMIT:
        notes.append(_too_long(compact, "a role's inline policies", ROLE_LIMIT))
        command = ""
    elif not role:
        notes.insert(0, f"In the command, put the role's name in place of {ROLE_NAME}.")
    return _policy(attach_to, rights, command, notes)


def _policy(attach_to: str, rights: _Rights, command: str, notes: list[str]) -> AccessPolicy:
    return AccessPolicy(
        name=NAME,
        attach_to=attach_to,
        document=rights.document(2),
        command=command,
        program="AWS CLI",
        wider=rights.wider,
        notes=tuple(notes),
    )


def _command(kind: str, name: str, document: str, region: str) -> str:
    """One line for a shell; repeating it replaces the policy.

    IAM is one for a whole partition, but outside `aws` the CLI needs a region to
    find it.
    """
    where = ["--region", region] if region else []
    option = f"--{kind}-name"
    named = [f"{option}={name}"] if name.startswith("-") else [option, name]
    words = ["aws", "iam", f"put-{kind}-policy", *where, *named]
    return shlex.join([*words, "--policy-name", NAME, "--policy-document", document])


def _across_accounts(kind: str) -> str:
    return f"A repository in another account must also allow this {kind} in its own policy."


def _too_long(document: str, what: str, limit: int) -> str:
    return (
        f"It has {len(document):,} characters, and IAM allows {limit:,} for {what}: write "
        "fewer, wider patterns, or divide them among several managed policies."
    )


# --- resources ----------------------------------------------------------------


@dataclass(frozen=True)
class _Granted:
    """A pattern on ECR, and what it becomes: resources, in full."""

    pattern: MatchPattern
    host: EcrHost
    paths: tuple[str, ...]
    exact: bool

    @property
    def resources(self) -> tuple[str, ...]:
        host = self.host
        start = f"arn:{host.partition}:ecr:{host.region}:{host.account}:repository/"
        return tuple(start + path for path in self.paths)


@dataclass(frozen=True)
class _Rights:
    """What the policy grants; `cli_region` is empty where the CLI needs none."""

    resources: tuple[str, ...]
    wider: tuple[str, ...]
    cli_region: str
    is_blank: bool
    pull_through: bool

    @classmethod
    def of(cls, patterns: Sequence[MatchPattern], region: str, pull_through: bool) -> _Rights:
        """From the patterns on ECR hosts. Those in another partition than the first are
        left out: no key reaches both, and saving refuses them."""
        found = [granted for pattern in patterns for granted in _granted(pattern)]
        if not found:
            partition = partition_of_region(region) or "aws"
            place, account, repository = _PLACES
            blank = f"arn:{partition}:ecr:{region or place}:{account}:repository/{repository}"
            cli_region = region if partition != "aws" else ""
            return cls((blank,), (), cli_region, True, pull_through)
        first = found[0].host
        found = [granted for granted in found if granted.host.partition == first.partition]
        resources = _without_covered(r for granted in found for r in granted.resources)
        exact = {r for granted in found if granted.exact for r in granted.resources}
        wider = [
            sentence
            for granted in found
            if any(r in resources and r not in exact for r in granted.resources)
            for sentence in _wider(granted, [other.pattern for other in found])
        ]
        cli_region = "" if first.partition == "aws" else first.region
        return cls(resources, tuple(dict.fromkeys(wider)), cli_region, False, pull_through)

    def document(self, indent: int | None) -> str:
        """The policy as JSON; without blanks where `indent` is None, as IAM counts it."""
        only = self.resources[0] if len(self.resources) == 1 else None
        read = {
            "Sid": "ReadECRRepository",
            "Effect": "Allow",
            "Action": ACTIONS,
            "Resource": only or self.resources,
        }
        token = {
            "Sid": "GetECRAuthToken",
            "Effect": "Allow",
            "Action": "ecr:GetAuthorizationToken",
            "Resource": "*",
        }
        through = {
            "Sid": "PullThroughCache",
            "Effect": "Allow",
            "Action": PULL_THROUGH_ACTIONS,
            "Resource": only or self.resources,
        }
        statements = [read, token, through] if self.pull_through else [read, token]
        policy = {"Version": "2012-10-17", "Statement": statements}
        separators = (",", ":") if indent is None else None
        return json.dumps(policy, indent=indent, separators=separators)


def _granted(pattern: MatchPattern) -> Iterator[_Granted]:
    """Nothing for a pattern that isn't on ECR. FIPS and dual-stack hosts lead to the same
    repositories as the classic one."""
    host = parse_ecr_pattern_host(pattern.host) if pattern.port is None else None
    if host is None:
        return
    classic = replace(host, fips=False, dual_stack=False)
    yield _Granted(replace(pattern, host=str(classic)), host, *_paths(pattern.segments))


def _paths(segments: Sequence[str]) -> tuple[tuple[str, ...], bool]:
    """`(what stands after repository/, whether that grants exactly what matches)`."""
    whole = "/".join(segments)
    if "*" not in whole:
        return (whole,), True
    if segments[-1] != "*":
        return (whole,), False
    if len(segments) == 1:
        return (whole,), True
    path = "/".join(segments[:-1])
    # Only `*` and `/` after the first one: crossing `/` is what a last `/*` means.
    exact = not path[path.index("*") :].strip("*/") if "*" in path else True
    return ((path,) if path.endswith("*") else (path, f"{path}/*")), exact


def _without_covered(resources: Iterator[str]) -> tuple[str, ...]:
    """Each once, and only those that no other grants already."""
    found = list(dict.fromkeys(resources))
    # As a text, a `*` in the narrower one is matched by nothing but a `*`.
    return tuple(
        resource
        for resource in found
        if not any(other != resource and segment_matches(other, resource) for other in found)
    )


def _wider(granted: _Granted, patterns: Sequence[MatchPattern]) -> Iterator[str]:
    """The sentence on what is granted beyond the patterns; none where others match that."""
    for example in _examples(granted):
        if not any(pattern.matches(example) for pattern in patterns):
            yield (
                f"Wider than the pattern {granted.pattern.text}: IAM's “*” crosses “/”, so the "
                f"policy also grants {example.path}."
            )
            return


def _examples(granted: _Granted) -> Iterator[ImageReference]:
    """Repositories that IAM grants, one `*` after another reaching across `/`."""
    path = granted.paths[0]
    account = granted.host.account.replace("*", "000000000000")
    host = replace(granted.host, account=account, fips=False, dual_stack=False)
    pieces = path.split("*")
    for across in _ACROSS:
        for at in range(1, len(pieces)):
            filled = f"{'one'.join(pieces[:at])}{across}{'one'.join(pieces[at:])}"
            try:
                yield ImageReference.parse(f"{host}/{filled}")
            except InvalidImage:  # too long
                continue
