"""A role of a customer's at AWS: how it's named, and a session of it that opens one repository."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass

from .ecr_hosts import EcrHost, partition_of_region
from .ecr_policy import PULL_THROUGH_ACTIONS
from .fields import ON, Blanks, Field, Other, Shape
from .problems import Failed, Problem
from .types import Config

# IAM user guide, «IAM and AWS STS quotas»: a path of 512 characters, a name of 64.
_ROLE_ARN = re.compile(
    r"arn:(?P<partition>aws(?:-[a-z]{1,10}){0,3}):iam::(?P<account>[0-9]{12}):role"
    r"(?P<path>/(?:[!-~]{1,510}/)?)(?P<name>[A-Za-z0-9_+=,.@-]{1,64})"
)
# The most that STS takes for an inline session policy (AssumeRole, «Policy»).
MOST_POLICY = 2048
# What a client asks of ECR for one pull.
PULL_ACTIONS = (
    "ecr:BatchCheckLayerAvailability",
    "ecr:BatchGetImage",
    "ecr:GetDownloadUrlForLayer",
)


@dataclass(frozen=True)
class Role:
    """A role's ARN, taken apart; `path` begins and ends with a slash."""

    arn: str
    partition: str
    account: str
    path: str
    name: str


def parse_role(arn: str) -> Role | None:
    """The role of an ARN; None for anything else."""
    found = _ROLE_ARN.fullmatch(arn)
    return Role(arn, *found.group("partition", "account", "path", "name")) if found else None


_ON_ITS_PAGE = "Copy the ARN from the role's page in IAM (arn:aws:iam::…:role/…)."
ROLE_ARN = "role_arn"
ROLE_ARN_FIELD = Field(
    name=ROLE_ARN,
    label="Role ARN",
    help="The role in your AWS account that may read the repositories. It may be made later.",
    example="arn:aws:iam::123456789012:role/ValohaiRegistries",
    hidden_from_members=True,
    missing="Enter the ARN of the role; it needn't be there yet.",
    shape=Shape(
        _ROLE_ARN.pattern,
        "role_arn_shape",
        "This isn't the ARN of a role.",
        _ON_ITS_PAGE,
        others=(
            Other(
                r"arn:aws[a-z-]{0,20}:iam::[0-9]{12}:instance-profile/[!-~]{1,400}",
                "This is the ARN of an instance profile, not of the role in it.",
                _ON_ITS_PAGE,
            ),
            Other(
                r"arn:aws[a-z-]{0,20}:sts::[0-9]{12}:assumed-role/[!-~]{1,400}",
                "This is the ARN of a session of a role, not of the role.",
                _ON_ITS_PAGE,
            ),
            Other(
                r"arn:aws[a-z-]{0,20}:iam::[0-9]{12}:(?:user|group|policy)/[!-~]{1,400}",
                "This is the ARN of something else in IAM, not of a role.",
                _ON_ITS_PAGE,
            ),
            Other(
                r"arn:aws[a-z-]{0,20}:iam::[0-9]{12}:role/aws-service-role/[!-~]{1,400}",
                "This is a role of one of AWS's own services, which nobody else can take.",
                "Make a role for this entry, and copy its ARN.",
            ),
            Other(
                r"(?!arn:)[A-Za-z0-9_+=,.@-]{1,64}",
                "This is a name, and the role's account has to be known too.",
                _ON_ITS_PAGE,
            ),
        ),
    ),
    max_length=650,
    blanks=Blanks.DROPPED,
    echo=r"arn:aws[a-z-]{0,20}:iam::[0-9]{12}:role/[A-Za-z0-9_+=,.@/-]{1,100}",
    pasted_as=("RoleArn", "Arn", "AWS_ROLE_ARN", "role_arn"),
)

NARROW = "narrow"
NARROW_FIELD = Field(
    name=NARROW,
    label="Narrowed logins",
    help="Each image's repository gets a login of its own, made by a session that may pull nothing "
    "else. Not yet proven on AWS. Clients that ask with the host alone get none.",
    required=False,
    switch=True,
)


def narrows(config: Config) -> bool:
    """Whether logins are for one repository each."""
    return config.get(NARROW) == ON and bool(config.get(ROLE_ARN))


def role_problems(config: Config, region: str) -> list[Problem]:
    """What is wrong with a role's ARN beside the region."""
    role, partition = parse_role(config.get(ROLE_ARN, "")), partition_of_region(region)
    if role is None or not partition or role.partition == partition:
        return []
    what = f"The role is in the partition {role.partition}, and the region in {partition}."
    fix = "Enter a role of the registry's partition, or correct the region."
    return [Problem("partition_mismatch", what, fix, ROLE_ARN)]


def role_of(config: Config) -> Role:
    """The role of a stored entry; raises `Failed` entry_unusable."""
    role = parse_role(config.get(ROLE_ARN, ""))
    if role is None:
        raise Failed(
            "entry_unusable", "The entry has no role's ARN.", "Edit the entry, and enter it again."
        )
    return role


def session_policy(host: EcrHost, repository: str, *, pull_through: bool) -> str:
    """What a session may do at most: have a login, and pull from one repository. Raises `Failed`
    entry_unusable where it's longer than STS takes."""
    arn = f"arn:{host.partition}:ecr:{host.region}:{host.account}:repository/{repository}"
    actions = [*PULL_ACTIONS, *(PULL_THROUGH_ACTIONS if pull_through else ())]
    statements = [
        {"Effect": "Allow", "Action": "ecr:GetAuthorizationToken", "Resource": "*"},
        {"Effect": "Allow", "Action": actions, "Resource": arn},
    ]
    text = json.dumps({"Version": "2012-10-17", "Statement": statements}, separators=(",", ":"))
    if len(text) > MOST_POLICY:
        raise Failed(
            "entry_unusable",
            f"The policy that narrows a login to {repository} is longer than AWS takes.",
            "Switch Narrowed logins off in the entry, or give the repository a shorter name.",
        )
    return text
