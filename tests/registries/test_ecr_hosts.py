"""Which hosts are ECR: as many look-alikes as true ones."""

import subprocess
import sys

import pytest

from orgs.registries.ecr_hosts import (
    EcrHost,
    corrected_ecr_host,
    dns_suffix,
    fips_available,
    parse_ecr_host,
    parse_ecr_pattern_host,
    partition_of_region,
    partitions,
    region_choices,
    resembles_ecr,
)

pytestmark = pytest.mark.once

ACCOUNT = "123456789012"
ECR = f"{ACCOUNT}.dkr.ecr.us-east-1.amazonaws.com"

# What follows the account: region, partition, FIPS, dual-stack.
TRUE = [
    ("dkr.ecr.us-east-1.amazonaws.com", "us-east-1", "aws", False, False),
    ("dkr.ecr.eu-west-1.amazonaws.com", "eu-west-1", "aws", False, False),
    ("dkr.ecr-fips.us-east-1.amazonaws.com", "us-east-1", "aws", True, False),
    ("dkr-ecr.us-east-1.on.aws", "us-east-1", "aws", False, True),
    ("dkr-ecr-fips.us-west-2.on.aws", "us-west-2", "aws", True, True),
    ("dkr.ecr.us-gov-west-1.amazonaws.com", "us-gov-west-1", "aws-us-gov", False, False),
    ("dkr.ecr-fips.us-gov-west-1.amazonaws.com", "us-gov-west-1", "aws-us-gov", True, False),
    ("dkr-ecr-fips.us-gov-east-1.on.aws", "us-gov-east-1", "aws-us-gov", True, True),
    ("dkr.ecr.cn-north-1.amazonaws.com.cn", "cn-north-1", "aws-cn", False, False),
    ("dkr-ecr.cn-north-1.on.amazonwebservices.com.cn", "cn-north-1", "aws-cn", False, True),
    ("dkr.ecr.eusc-de-east-1.amazonaws.eu", "eusc-de-east-1", "aws-eusc", False, False),
    ("dkr.ecr.us-iso-east-1.c2s.ic.gov", "us-iso-east-1", "aws-iso", False, False),
    ("dkr.ecr.us-isob-east-1.sc2s.sgov.gov", "us-isob-east-1", "aws-iso-b", False, False),
    ("dkr.ecr.eu-isoe-west-1.cloud.adc-e.uk", "eu-isoe-west-1", "aws-iso-e", False, False),
    ("dkr.ecr.us-isof-south-1.csp.hci.ic.gov", "us-isof-south-1", "aws-iso-f", False, False),
    # Not yet known to botocore, but shaped like its partition's regions.
    ("dkr.ecr.eu-far-9.amazonaws.com", "eu-far-9", "aws", False, False),
    ("dkr.ecr.cn-far-1.amazonaws.com.cn", "cn-far-1", "aws-cn", False, False),
    ("dkr-ecr.me-west-1.on.aws", "me-west-1", "aws", False, True),
]


@pytest.mark.parametrize(("rest", "region", "partition", "fips", "dual_stack"), TRUE)
def test_true_hosts(rest: str, region: str, partition: str, fips: bool, dual_stack: bool) -> None:
    host = f"{ACCOUNT}.{rest}"
    expected = EcrHost(ACCOUNT, region, partition, fips, dual_stack)
    assert parse_ecr_host(host) == expected
    assert parse_ecr_host(host.upper()) == expected
    assert str(expected) == host
    assert corrected_ecr_host(host) == host
    assert not resembles_ecr(host)
    # A pattern may leave the account open, an image may not.
    assert parse_ecr_pattern_host(host) == expected
    wild = parse_ecr_pattern_host(f"*.{rest}")
    assert wild == EcrHost("*", region, partition, fips, dual_stack)
    assert parse_ecr_host(f"*.{rest}") is None
    assert not resembles_ecr(f"*.{rest}")


# Look-alike, and what it seems to mean.
LOOKALIKES = [
    # Something behind or before.
    (f"{ECR}.evil.com", ECR),
    (f"{ECR}.", ECR),
    (f"{ECR}\n", ECR),
    (f"{ECR}.cn", ECR),
    (f"{ECR}evil", ECR),
    (f"{ECR}:443", ECR),
    (f"{ECR}/x", ECR),
    (f"evil.{ECR}", ECR),
    (f"us-west-2.{ECR}", ECR),
    (f"https://{ECR}", None),
    (f"evil-{ECR}", None),
    (f"x{ECR}", None),
    (f" {ECR}", None),
    (f"evil.com/{ECR}", None),
    # The account.
    (ECR[1:], None),
    (f"0{ECR}", None),
    (f"a{ECR[1:]}", None),
    (f"-{ECR[1:]}", None),
    (ECR[12:], None),
    (ECR[13:], None),
    ("".join(chr(0xFF10 + int(c)) for c in ACCOUNT) + ECR[12:], None),
    ("".join(chr(0x0660 + int(c)) for c in ACCOUNT) + ECR[12:], None),
    # Letters that look alike, or become ASCII in lower case.
    (ECR.replace("k", "\u212a"), ECR),
    (ECR.replace("a", "\u0430"), None),
    (ECR.replace(".", "\u3002"), None),
    # The middle.
    (ECR.replace("dkr.ecr", "dkrxecr"), ECR),
    (ECR.replace("dkr.ecr", "dkr_ecr"), ECR),
    (ECR.replace("dkr.ecr", "dkr.ecr-public"), ECR),
    (ECR.replace("dkr.ecr", "dkr.ecr-fips-fips"), ECR),
    (ECR.replace("dkr.ecr", "ecr"), ECR),
    (ECR.replace("dkr.ecr", "api.ecr"), ECR),
    (ECR.replace("dkr.ecr", "dkr-ecr"), ECR),
    (ECR.replace("amazonaws.com", "on.aws"), f"{ACCOUNT}.dkr-ecr.us-east-1.on.aws"),
    # The region.
    (ECR.replace("us-east-1", "us-east"), None),
    (ECR.replace("us-east-1", "us-east-1a"), None),
    (ECR.replace("us-east-1", "xx-east-1"), None),
    (ECR.replace("us-east-1", "us-ea_st-1"), None),
    (ECR.replace("us-east-1", "aws-global"), None),
    (ECR.replace("us-east-1", "fips-us-east-1"), None),
    (ECR.replace("us-east-1", "dkr-us-east-1"), None),
    (ECR.replace("us-east-1", "us-east-\u0661"), None),
    (ECR.replace("us-east-1", "us-east-1.us-west-2"), ECR),
    (ECR.replace("us-east-1.", ""), None),
    # The suffix of another partition, or of none.
    (ECR.replace("us-east-1", "cn-north-1"), f"{ACCOUNT}.dkr.ecr.cn-north-1.amazonaws.com.cn"),
    (ECR.replace("us-east-1", "us-iso-east-1"), f"{ACCOUNT}.dkr.ecr.us-iso-east-1.c2s.ic.gov"),
    (ECR.replace("us-east-1", "eusc-de-east-1"), f"{ACCOUNT}.dkr.ecr.eusc-de-east-1.amazonaws.eu"),
    (ECR.replace(".com", ".eu"), ECR),
    (ECR.replace(".com", ".co"), ECR),
    (ECR.replace("amazonaws", "amazon-aws"), ECR),
    (ECR.replace("amazonaws", "amazonaws-evil"), ECR),
    (ECR.replace("amazonaws.com", "amazonaws"), ECR),
    (
        f"{ACCOUNT}.dkr-ecr.cn-north-1.on.aws",
        f"{ACCOUNT}.dkr-ecr.cn-north-1.on.amazonwebservices.com.cn",
    ),
    (f"{ACCOUNT}.dkr-ecr.us-east-1.api.aws", ECR),
    (
        f"{ACCOUNT}.dkr-ecr.eusc-de-east-1.on.amazonwebservices.eu",
        f"{ACCOUNT}.dkr.ecr.eusc-de-east-1.amazonaws.eu",
    ),
    # FIPS where botocore lists none.
    (
        f"{ACCOUNT}.dkr.ecr-fips.eu-west-1.amazonaws.com",
        f"{ACCOUNT}.dkr.ecr.eu-west-1.amazonaws.com",
    ),
    (
        f"{ACCOUNT}.dkr-ecr-fips.eu-west-1.on.aws",
        f"{ACCOUNT}.dkr-ecr.eu-west-1.on.aws",
    ),
    (
        f"{ACCOUNT}.dkr.ecr-fips.cn-north-1.amazonaws.com.cn",
        f"{ACCOUNT}.dkr.ecr.cn-north-1.amazonaws.com.cn",
    ),
    (f"{ACCOUNT}.dkr.ecr-fips.us-far-9.amazonaws.com", f"{ACCOUNT}.dkr.ecr.us-far-9.amazonaws.com"),
    # AWS's own, but not a registry.
    ("api.ecr.us-east-1.amazonaws.com", None),
    ("ecr.us-east-1.amazonaws.com", None),
    ("*.amazonaws.com", None),
    ("*.us-east-1.amazonaws.com", "*.dkr.ecr.us-east-1.amazonaws.com"),
    ("*.dkr.ecr.us-east-1.amazonaws.com.evil.com", "*.dkr.ecr.us-east-1.amazonaws.com"),
    ("12*.dkr.ecr.us-east-1.amazonaws.com", None),
]


@pytest.mark.parametrize(("host", "corrected"), LOOKALIKES)
def test_lookalikes(host: str, corrected: str | None) -> None:
    assert parse_ecr_host(host) is None
    assert parse_ecr_pattern_host(host) is None
    assert corrected_ecr_host(host) == corrected
    if corrected:
        assert parse_ecr_pattern_host(corrected)


@pytest.mark.parametrize(
    ("host", "expected"),
    [
        (f"{ECR}.evil.com", True),
        (ECR.replace("dkr.ecr", "dkr-ecr"), True),
        (f"{ACCOUNT}.dkr.ecr.us-east-1.evil.com", True),
        (f"{ACCOUNT}.DKR-ECR.us-east-1.evil.com", True),
        ("registry.ecr.evil.com", True),
        ("amazonaws.com", True),
        ("*.amazonaws.com", True),
        (f"{ACCOUNT}.dkr-ecr.cn-north-1.on.aws", True),
        (ECR, False),
        ("public.ecr.aws", False),
        ("ecr-public.aws.com", False),
        ("docker.io", False),
        ("ghcr.io", False),
        ("secret.example.com", False),
        ("python.awesome.com", False),
        ("", False),
    ],
)
def test_resembles(host: str, expected: bool) -> None:
    assert resembles_ecr(host) is expected


@pytest.mark.parametrize(
    "host", ["", ".", "docker.io", "public.ecr.aws", "ecr-public.aws.com", "localhost", ACCOUNT]
)
def test_others_are_neither_ecr_nor_mended(host: str) -> None:
    assert parse_ecr_host(host) is None
    assert corrected_ecr_host(host) is None


@pytest.mark.parametrize(
    ("region", "partition"),
    [
        ("us-east-1", "aws"),
        ("us-gov-west-1", "aws-us-gov"),
        ("cn-northwest-1", "aws-cn"),
        ("eusc-de-east-1", "aws-eusc"),
        ("us-isob-east-1", "aws-iso-b"),
        ("ap-far-9", "aws"),
        *(
            (region, None)
            for region in ("", "us-east", "us-east-1\n", "US-EAST-1", "fips-us-east-1")
        ),
        *((region, None) for region in ("aws-global", "xx-east-1", "us-e_st-1", "us-east-\u0661")),
    ],
)
def test_partition_of_region(region: str, partition: str | None) -> None:
    assert partition_of_region(region) == partition


def test_region_choices() -> None:
    choices = region_choices()
    regions = [region for region, _ in choices]
    assert choices == sorted(choices)
    assert ("us-east-1", "us-east-1 — US East (N. Virginia)") in choices
    assert {"eu-central-1", "cn-north-1", "us-gov-west-1", "eusc-de-east-1"} <= set(regions)
    assert len(set(regions)) == len(regions)
    for region in regions:
        assert partition_of_region(region)
        assert not region.startswith(("fips-", "dkr-", "aws-"))


def test_fips_and_suffixes() -> None:
    assert fips_available("us-east-1")
    assert fips_available("us-gov-west-1")
    for region in ("eu-west-1", "cn-north-1", "us-far-9", "dkr-us-east-1", ""):
        assert not fips_available(region)
    assert dns_suffix("aws") == dns_suffix("aws-us-gov") == "amazonaws.com"
    assert dns_suffix("aws-cn") == "amazonaws.com.cn"
    assert len(partitions()) == len({partition.name for partition in partitions()}) >= 8
    with pytest.raises(KeyError):
        dns_suffix("aws-moon")


def test_importing_needs_no_botocore() -> None:
    code = "import orgs.registries.ecr_hosts, sys; sys.exit('botocore' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
