"""The generated policy before an IAM that judges: what a pattern matches may be read, its
look-alikes not; in every partition.

The fake really checks signature and policy of each call, on the repository's ARN as AWS
does. An allowed call to a repository that doesn't exist is answered with exactly that.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pytest
from botocore.config import Config
from botocore.exceptions import ClientError
from botocore.session import Session

from orgs.registries.ecr_hosts import partitions
from orgs.registries.ecr_policy import ACTIONS, user_policy
from orgs.registries.images import ImageReference
from orgs.registries.patterns import MatchPattern
from tests.support.fake_aws import FakeAws

pytestmark = pytest.mark.once

ACCOUNT, OTHER = "123456789012", "210987654321"
PARTITIONS = {
    "aws": ("us-east-1", "eu-west-1", "amazonaws.com"),
    "aws-cn": ("cn-north-1", "cn-northwest-1", "amazonaws.com.cn"),
    "aws-us-gov": ("us-gov-west-1", "us-gov-east-1", "amazonaws.com"),
    "aws-iso": ("us-iso-east-1", "us-iso-west-1", "c2s.ic.gov"),
    "aws-iso-b": ("us-isob-east-1", "us-isob-west-1", "sc2s.sgov.gov"),
    "aws-eusc": ("eusc-de-east-1", "eusc-de-east-2", "amazonaws.eu"),
    "aws-iso-e": ("eu-isoe-west-1", "eu-isoe-west-2", "cloud.adc-e.uk"),
    "aws-iso-f": ("us-isof-east-1", "us-isof-south-1", "csp.hci.ic.gov"),
}


@dataclass(frozen=True)
class Shape:
    """Patterns' paths, and repositories: to be read, not to be read, and those that IAM
    can't leave out although no pattern matches them."""

    paths: tuple[str, ...]
    granted: tuple[str, ...]
    denied: tuple[str, ...]
    beyond: tuple[str, ...] = ()


SHAPES = {
    "everything": Shape(("*",), ("my-repo", "team/my-repo"), ()),
    "literal": Shape(
        ("my-repo",), ("my-repo",), ("my-repository", "my-repo/train", "team/my-repo", "my-rep")
    ),
    "below": Shape(
        ("my-repo/*",),
        ("my-repo", "my-repo/train", "my-repo/a/b"),
        ("my-repository", "my-repository/train", "team/my-repo", "other"),
    ),
    "nested": Shape(
        ("team/my-repo/*",),
        ("team/my-repo", "team/my-repo/train"),
        ("team", "my-repo", "team/my-repository", "team-b/my-repo"),
    ),
    "partial": Shape(
        ("my-*",), ("my-repo", "my-tools"), ("our-repo", "team/my-repo", "my"), ("my-repo/train",)
    ),
    "any-then-literal": Shape(
        ("*/app",), ("team/app", "a/app"), ("app", "team/apps", "team/app/x"), ("team/a/app",)
    ),
    "partial-below": Shape(
        ("my-*/*",), ("my-repo", "my-repo/train", "my-x/a/b"), ("our-repo", "team/my-repo")
    ),
    "ending-below": Shape(
        ("*-x/*",), ("a-x", "a-x/train"), ("a-xy", "xx", "a-y/x"), ("team/a-x", "team/a-x/train")
    ),
    "any-below": Shape(
        ("team/*/*",), ("team/x", "team/x/y"), ("team", "team-b/x", "teams/x", "a/team/x")
    ),
    "several": Shape(
        ("my-repo", "team/*", "a-*"),
        ("my-repo", "team", "team/x", "a-b"),
        ("my-repository", "my-repo/train", "teams", "b-a"),
        ("a-b/c",),
    ),
}


SESSION = Session()  # has read AWS's data once


@pytest.fixture(scope="module")
def iam() -> Iterator[FakeAws]:
    with FakeAws() as fake:
        yield fake


class Reader:
    """An IAM user with the policy for some patterns, and nothing else."""

    made = 0

    def __init__(self, iam: FakeAws, partition: str, paths: tuple[str, ...], account: str) -> None:
        region, _, suffix = PARTITIONS[partition]
        host = f"{account}.dkr.ecr.{region}.{suffix}"
        self.policy = user_policy([MatchPattern.parse(f"{host}/{path}") for path in paths])
        Reader.made += 1
        name = f"reader-{Reader.made}"
        document = json.loads(self.policy.document)
        self.key = iam.create_user(name, document, account=ACCOUNT, partition=partition)
        self.url, self.region = iam.url, region
        self._clients: dict[str, Any] = {}

    def client(self, region: str = "") -> Any:
        region = region or self.region
        if region not in self._clients:
            self._clients[region] = SESSION.create_client(
                "ecr",
                region_name=region,
                aws_access_key_id=self.key[0],
                aws_secret_access_key=self.key[1],
                endpoint_url=self.url,
                config=Config(retries={"total_max_attempts": 1}),
            )
        return self._clients[region]

    def may_read(self, repository: str, region: str = "", account: str = ACCOUNT) -> bool:
        client = self.client(region)
        asked = {"registryId": account, "repositoryName": repository}
        calls = (
            lambda: client.describe_images(**asked),
            lambda: client.list_images(**asked),
            lambda: client.batch_get_image(**asked, imageIds=[{"imageTag": "v1"}]),
        )
        codes = set()
        for call in calls:
            try:
                call()
            except ClientError as error:
                codes.add(error.response["Error"]["Code"])
        assert codes in ({"RepositoryNotFoundException"}, {"AccessDeniedException"}), codes
        return codes == {"RepositoryNotFoundException"}


@pytest.mark.parametrize("partition", PARTITIONS)
@pytest.mark.parametrize("shape", SHAPES.values(), ids=SHAPES)
def test_what_a_policy_grants(iam: FakeAws, partition: str, shape: Shape) -> None:
    reader = Reader(iam, partition, shape.paths, ACCOUNT)
    assert reader.client().get_authorization_token()["authorizationData"]
    assert {name: reader.may_read(name) for name in shape.granted + shape.beyond} == dict.fromkeys(
        shape.granted + shape.beyond, True
    )
    assert {name: reader.may_read(name) for name in shape.denied} == dict.fromkeys(
        shape.denied, False
    )
    first = shape.granted[0]
    assert not reader.may_read(first, region=PARTITIONS[partition][1])
    assert not reader.may_read(first, account=OTHER)
    assert bool(reader.policy.wider) is bool(shape.beyond)


@pytest.mark.parametrize("partition", PARTITIONS)
def test_any_account(iam: FakeAws, partition: str) -> None:
    reader = Reader(iam, partition, ("my-repo/*",), "*")
    assert reader.may_read("my-repo") and reader.may_read("my-repo/train", account=OTHER)
    assert not reader.may_read("my-repository", account=OTHER)
    assert not reader.may_read("my-repo", region=PARTITIONS[partition][1])


def test_what_no_pattern_matches_is_true_of_the_shapes() -> None:
    """The table itself: granted ones match, denied and beyond ones don't."""
    for shape in SHAPES.values():
        patterns = [MatchPattern.parse(f"h.example.com/{path}") for path in shape.paths]
        for names, wanted in ((shape.granted, True), (shape.denied + shape.beyond, False)):
            for name in names:
                image = ImageReference.parse(f"h.example.com/{name}")
                assert any(p.matches(image) for p in patterns) is wanted, name


def test_these_are_all_partitions() -> None:
    assert set(PARTITIONS) == {partition.name for partition in partitions()}


@pytest.mark.parametrize("action", ACTIONS)
def test_reading_only(action: str) -> None:
    verb = action.removeprefix("ecr:")
    assert verb.startswith(("Describe", "Get", "BatchGet", "BatchCheck", "List"))


def test_without_the_policy_nothing_is_granted(iam: FakeAws) -> None:
    reader = Reader(iam, "aws", ("*",), ACCOUNT)
    iam.remove_policy(f"reader-{Reader.made}")
    assert not reader.may_read("my-repo")
    with pytest.raises(ClientError, match="AccessDenied"):
        reader.client().get_authorization_token()
