"""The guide's policy, filled in: exact where IAM can say it, else wider, and saying so."""

from __future__ import annotations

import json
import re
import shlex
from fnmatch import fnmatchcase

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from orgs.registries.catalogue import BY_SLUG
from orgs.registries.ecr_hosts import parse_ecr_pattern_host
from orgs.registries.ecr_policy import (
    MANAGED_LIMIT,
    NAME,
    ROLE_LIMIT,
    USER_LIMIT,
    role_policy,
    user_policy,
)
from orgs.registries.images import ImageReference
from orgs.registries.patterns import MatchPattern
from orgs.registries.types import AccessPolicy
from tests.conftest import HOST

pytestmark = pytest.mark.once

START = "arn:aws:ecr:us-east-1:123456789012:repository/"


def parsed(*texts: str) -> list[MatchPattern]:
    return [MatchPattern.parse(text if ".dkr" in text else f"{HOST}/{text}") for text in texts]


def resources(policy: AccessPolicy) -> list[str]:
    found = json.loads(policy.document)["Statement"][0]["Resource"]
    return [found] if isinstance(found, str) else found


def paths(*texts: str) -> list[str]:
    return [r.removeprefix(START) for r in resources(user_policy(parsed(*texts)))]


def test_it_is_the_guides() -> None:
    (pattern,) = parsed("my-ml-image")
    document = json.loads(user_policy([pattern]).document)
    assert document == {
        "Version": "2012-10-17",
        "Statement": [
            {
                "Sid": "ReadECRRepository",
                "Effect": "Allow",
                "Action": [
                    "ecr:DescribeImageScanFindings",
                    "ecr:GetLifecyclePolicyPreview",
                    "ecr:GetDownloadUrlForLayer",
                    "ecr:BatchGetImage",
                    "ecr:DescribeImages",
                    "ecr:DescribeRepositories",
                    "ecr:ListTagsForResource",
                    "ecr:ListImages",
                    "ecr:BatchCheckLayerAvailability",
                    "ecr:GetRepositoryPolicy",
                    "ecr:GetLifecyclePolicy",
                ],
                "Resource": f"{START}my-ml-image",
            },
            {
                "Sid": "GetECRAuthToken",
                "Effect": "Allow",
                "Action": "ecr:GetAuthorizationToken",
                "Resource": "*",
            },
        ],
    }


@pytest.mark.parametrize(
    ("pattern", "expected"),
    [
        ("*", ["*"]),
        ("*/*", ["*"]),
        ("my-repo", ["my-repo"]),
        ("my-repo:*", ["my-repo"]),
        ("my-repo/*", ["my-repo", "my-repo/*"]),
        ("team/my-repo/*", ["team/my-repo", "team/my-repo/*"]),
        ("my-*/*", ["my-*"]),
        ("team/my-*/*", ["team/my-*"]),
        ("team/*/*", ["team/*"]),
        ("*/*/*", ["*/*"]),
        ("a*/*/*", ["a*/*"]),
    ],
)
def test_exact(pattern: str, expected: list[str]) -> None:
    assert paths(pattern) == expected
    assert user_policy(parsed(pattern)).wider == ()


@pytest.mark.parametrize(
    ("pattern", "expected", "example"),
    [
        ("my-*", ["my-*"], "my-one/two"),
        ("*/x", ["*/x"], "one/two/x"),
        ("a*b", ["a*b"], "aone/twob"),
        ("*-x/*", ["*-x", "*-x/*"], "one/two-x"),
        ("a*b*/*", ["a*b*"], "aone/twobone"),
        ("*/x/*", ["*/x", "*/x/*"], "one/two/x"),
        ("*/my-*/*", ["*/my-*"], "one/two/my-one"),
        ("team/*/x", ["team/*/x"], "team/one/two/x"),
    ],
)
def test_wider_and_says_so(pattern: str, expected: list[str], example: str) -> None:
    assert paths(pattern) == expected
    (sentence,) = user_policy(parsed(pattern)).wider
    assert sentence == (
        f"Wider than the pattern {HOST}/{pattern}: IAM's “*” crosses “/”, so the policy also "
        f"grants {example}."
    )


@pytest.mark.parametrize(
    ("patterns", "expected", "sentences"),
    [
        (["my-repo", "my-repo/*"], ["my-repo", "my-repo/*"], 0),
        (["*", "my-repo/*", "my-*"], ["*"], 0),
        (["my-*", "my-*/*"], ["my-*"], 0),  # together they say what IAM says
        (["my-*", "my-x*"], ["my-*"], 1),
        (["my-*", "team/*-x"], ["my-*", "team/*-x"], 2),
        (["team/*/*", "team/a/b"], ["team/*"], 0),
        (["my-repo", "my-repository"], ["my-repo", "my-repository"], 0),
    ],
)
def test_several_patterns(patterns: list[str], expected: list[str], sentences: int) -> None:
    assert paths(*patterns) == expected
    assert len(user_policy(parsed(*patterns)).wider) == sentences


@pytest.mark.parametrize(
    ("host", "start"),
    [
        (HOST, START),
        ("*.dkr.ecr.us-east-1.amazonaws.com", "arn:aws:ecr:us-east-1:*:repository/"),
        (
            "123456789012.dkr.ecr.cn-north-1.amazonaws.com.cn",
            "arn:aws-cn:ecr:cn-north-1:123456789012:repository/",
        ),
        (
            "123456789012.dkr-ecr-fips.us-gov-west-1.on.aws",
            "arn:aws-us-gov:ecr:us-gov-west-1:123456789012:repository/",
        ),
        (
            "123456789012.dkr.ecr.eusc-de-east-1.amazonaws.eu",
            "arn:aws-eusc:ecr:eusc-de-east-1:123456789012:repository/",
        ),
        (
            "123456789012.dkr.ecr.us-iso-east-1.c2s.ic.gov",
            "arn:aws-iso:ecr:us-iso-east-1:123456789012:repository/",
        ),
    ],
)
def test_partition_region_and_account(host: str, start: str) -> None:
    policy = user_policy(parsed(f"{host}/my-repo/*"))
    assert resources(policy) == [f"{start}my-repo", f"{start}my-repo/*"]
    words = shlex.split(policy.command)
    region = start.split(":")[3]
    if start.startswith("arn:aws:"):
        assert "--region" not in words
    else:
        assert words[words.index("--region") + 1] == region


def test_fips_and_dual_stack_are_the_same_repositories() -> None:
    fips = "123456789012.dkr-ecr-fips.us-east-1.on.aws/my-repo"
    assert paths("my-repo", fips) == ["my-repo"]


def test_of_another_partition_or_no_ecr_host_nothing_is_granted() -> None:
    china = "123456789012.dkr.ecr.cn-north-1.amazonaws.com.cn/x"
    elsewhere = [MatchPattern.parse(text) for text in ("quay.io/x", f"{HOST}:5000/x")]
    assert resources(user_policy([*parsed("my-repo", china), *elsewhere])) == [f"{START}my-repo"]


@pytest.mark.parametrize(
    ("region", "resource"),
    [
        ("", "arn:aws:ecr:<REGION>:<ACCOUNT_ID>:repository/<REPOSITORY>"),
        ("cn-north-1", "arn:aws-cn:ecr:cn-north-1:<ACCOUNT_ID>:repository/<REPOSITORY>"),
    ],
)
def test_before_a_pattern_it_is_as_in_the_guide(region: str, resource: str) -> None:
    for policy in (user_policy([], region), role_policy([], "", region)):
        assert resources(policy) == [resource]
        assert policy.command == "" and policy.wider == ()
        (sentence,) = policy.notes
        assert "filled in from the match pattern" in sentence


def test_the_command_puts_this_very_policy() -> None:
    patterns = parsed("my-repo/*")
    user, role = user_policy(patterns), role_policy(patterns, "Worker+Role@1")
    words = shlex.split(user.command)
    assert words[:-1] == [
        *("aws", "iam", "put-user-policy", "--user-name", "<USER_NAME>"),
        *("--policy-name", NAME, "--policy-document"),
    ]
    assert json.loads(words[-1]) == json.loads(user.document)
    assert "\n" not in user.command and " " not in words[-1]
    assert "put-role-policy --role-name Worker+Role@1 " in role.command
    assert json.loads(shlex.split(role.command)[-1]) == json.loads(role.document)


def test_whom_it_is_attached_to() -> None:
    patterns = parsed("my-repo")
    user, role, unnamed = user_policy(patterns), role_policy(patterns, "W"), role_policy([], "")
    assert user.attach_to == "the IAM user that the key belongs to"
    assert (role.attach_to, unnamed.attach_to) == ("the role W", "the workers' role")
    assert user.notes[0] == "In the command, put the user's name in place of <USER_NAME>."
    assert not any("put the role's name" in note for note in role.notes)
    assert any("another account" in note for note in user.notes + role.notes)


def test_the_types_give_theirs() -> None:
    patterns = parsed("my-repo")
    user = BY_SLUG["aws-ecr"].policy({"access_key_id": "AKIAIOSFODNN7EXAMPLE"}, patterns)
    role = BY_SLUG["aws-ecr-role"].policy({"role_name": "W"}, patterns)
    assert user is not None and "put-user-policy" in user.command
    assert "AKIA" not in repr(user)
    assert role is not None and "--role-name W " in role.command
    assert BY_SLUG["docker"].policy({}, patterns) is None


@pytest.mark.parametrize(
    ("count", "user_fits", "user_says", "role_fits"),
    [(1, True, "", True), (30, False, "as a managed policy (up to 6,144)", True),
     (100, False, f"allows {MANAGED_LIMIT:,} for a managed policy", True),
     (200, False, f"allows {MANAGED_LIMIT:,}", False)],
)  # fmt: skip
def test_iams_limits(count: int, user_fits: bool, user_says: str, role_fits: bool) -> None:
    patterns = parsed(*(f"a-repository/{i}" for i in range(count)))
    user, role = user_policy(patterns), role_policy(patterns, "W")
    size = len(re.sub(r"\s", "", user.document))
    assert (size <= USER_LIMIT) is user_fits is bool(user.command)
    assert (size <= ROLE_LIMIT) is role_fits is bool(role.command)
    assert user_says in " ".join(user.notes)
    assert ("fewer, wider patterns" in " ".join(user.notes)) is not user_fits
    assert ("fewer, wider patterns" in " ".join(role.notes)) is not role_fits


# --- what must hold for every pattern ------------------------------------------

component = st.from_regex(r"[ab]{1,2}([._-][ab])?", fullmatch=True)
wild = st.one_of(
    component, st.just("*"), st.from_regex(r"\*?[ab](-?\*?[ab]){0,2}\*?", fullmatch=True)
)
below = st.sampled_from([[], ["*"]])
pattern = st.builds(
    lambda account, segments, end: MatchPattern.parse(
        f"{account}.dkr.ecr.us-east-1.amazonaws.com/{'/'.join([*segments, *(end or ['ab'])])}"
    ),
    st.sampled_from(["123456789012", "*"]),
    st.lists(wild, max_size=3),
    below,
)
image = st.builds(
    lambda account, path: ImageReference.parse(
        f"{account}.dkr.ecr.us-east-1.amazonaws.com/{'/'.join(path)}"
    ),
    st.sampled_from(["123456789012", "210987654321"]),
    st.lists(component, min_size=1, max_size=4),
)


def granted(policy: AccessPolicy, image: ImageReference) -> bool:
    host = parse_ecr_pattern_host(image.host)
    assert host is not None
    arn = f"arn:{host.partition}:ecr:{host.region}:{host.account}:repository/{image.path}"
    return any(fnmatchcase(arn, resource) for resource in resources(policy))


@settings(max_examples=600, deadline=None)
@given(st.lists(pattern, min_size=1, max_size=3), image)
def test_what_matches_is_granted(patterns: list[MatchPattern], image: ImageReference) -> None:
    policy = user_policy(patterns)
    matches = any(pattern.matches(image) for pattern in patterns)
    if matches:
        assert granted(policy, image)
    elif not policy.wider:
        assert not granted(policy, image)
    for sentence in policy.wider:
        path = re.fullmatch(r".* also grants (\S+)\.", sentence)
        assert path is not None
        beyond = [
            ImageReference.parse(f"{account}.dkr.ecr.us-east-1.amazonaws.com/{path[1]}")
            for account in ("123456789012", "000000000000")
        ]
        assert any(
            granted(policy, one) and not any(p.matches(one) for p in patterns) for one in beyond
        )
