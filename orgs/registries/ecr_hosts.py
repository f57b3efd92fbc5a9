"""Which hosts are Amazon ECR: the one door that AWS logins go through.

Partitions, regions, DNS suffixes and FIPS come from botocore's own data, never
from a list here. A host counts only in full and in ASCII: logins were lost
elsewhere to `….amazonaws.com.evil.com`.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache

# The shape is that of amazon-ecr-credential-helper (ecr-login/api/client.go,
# ecrPattern: `dkr[.-]ecr(-fips)?`). It lets every suffix follow every form; we pair
# them as AWS does: `dkr.ecr` with the classic suffix, `dkr-ecr` with the dual-stack
# one (ECR user guide «Making requests»; kubernetes/cloud-provider-aws#1069).
_HOST = re.compile(
    r"(?P<account>[0-9]{12}|\*)\.dkr(?P<joint>[.-])ecr(?P<fips>-fips)?"
    r"\.(?P<region>[a-z0-9-]+)\.(?P<suffix>[a-z0-9.-]+)"
)
_REGION = re.compile(r"[a-z0-9-]{1,63}")

# The registry's dual-stack suffixes, same sources. botocore has only those of the
# service APIs (`api.aws`); for the eusc and iso partitions none is known.
DUAL_STACK_SUFFIXES: Mapping[str, str] = {
    "aws": "on.aws",
    "aws-us-gov": "on.aws",
    "aws-cn": "on.amazonwebservices.com.cn",
}

# ECR Public: true hosts, but of another service with other logins.
PUBLIC_HOSTS = frozenset({"public.ecr.aws", "ecr-public.aws.com"})

# What those are taken for, with anything before, behind or between.
_PUBLIC_MARKS = {
    "public.ecr.aws": re.compile(r"public[.-]?ecr[.-]?aws|ecr[.-]public[.-]aws(?!\.com)"),
    "ecr-public.aws.com": re.compile(r"ecr[.-]?public[.-]?aws[.-]?com"),
}

_RESEMBLING = ("dkr.ecr", "dkr-ecr", ".ecr.", "amazonaws", ".on.aws", "amazonwebservices")


@dataclass(frozen=True)
class EcrHost:
    """A private ECR registry's host in its parts; `str()` puts it together again.

    `account` has 12 digits, or is `*` in a match pattern.
    """

    account: str
    region: str
    partition: str
    fips: bool
    dual_stack: bool

    def __str__(self) -> str:
        form = "dkr-ecr" if self.dual_stack else "dkr.ecr"
        fips = "-fips" if self.fips else ""
        suffixes = DUAL_STACK_SUFFIXES if self.dual_stack else _classic_suffixes()
        return f"{self.account}.{form}{fips}.{self.region}.{suffixes[self.partition]}"


@dataclass(frozen=True)
class Partition:
    """One of AWS's separate clouds, as far as ECR is concerned.

    `regions` maps the names of ECR's regions to what people call them;
    `fips_regions` are those with a FIPS endpoint for ECR.
    """

    name: str
    dns_suffix: str
    region_pattern: re.Pattern[str]
    regions: Mapping[str, str]
    fips_regions: frozenset[str]


def parse_ecr_host(host: str) -> EcrHost | None:
    """Give the parts of a private ECR host without port, or None if it isn't one.

    The suffix must be that of the region's partition. FIPS hosts exist only where
    botocore lists one; for other regions it builds names that lead nowhere.
    """
    parsed = parse_ecr_pattern_host(host)
    return None if parsed is None or parsed.account == "*" else parsed


@lru_cache(maxsize=1024)  # an organization has few hosts, and imports ask for each row
def parse_ecr_pattern_host(host: str) -> EcrHost | None:
    """Like `parse_ecr_host`, for a pattern's host: its account may be `*`."""
    # Lower-casing turns some letters, such as the Kelvin sign, into ASCII ones.
    if not host.isascii():
        return None
    host = host.lower()
    match = _HOST.fullmatch(host)
    if not match:
        return None
    partition = partition_of_region(match["region"])
    if partition is None:
        return None
    fips, dual_stack = match["fips"] is not None, match["joint"] == "-"
    if fips and not fips_available(match["region"]):
        return None
    if dual_stack and partition not in DUAL_STACK_SUFFIXES:
        return None
    parsed = EcrHost(match["account"], match["region"], partition, fips, dual_stack)
    return parsed if str(parsed) == host else None


def resembles_ecr(host: str) -> bool:
    """Whether a host that isn't ECR could be taken for it, by a person or by us."""
    lowered = host.lower()
    return (
        lowered not in PUBLIC_HOSTS
        and any(mark in lowered for mark in _RESEMBLING)
        and parse_ecr_pattern_host(host) is None
    )


def corrected_public_host(host: str) -> str | None:
    """The host of ECR Public that a look-alike seems to mean; None where that can't be told."""
    lowered = host.lower()
    for true, mark in _PUBLIC_MARKS.items():
        if host not in PUBLIC_HOSTS and mark.search(lowered):
            return true
    return None


@lru_cache(maxsize=1024)
def corrected_ecr_host(host: str) -> str | None:
    """The true host a look-alike seems to mean, or None where that can't be told.

    Takes the first part that is an account, and the first after it that is a
    region; what they don't decide is put right.
    """
    labels = host.lower().split(".")
    # AWS's console writes an account with dashes.
    labels = [re.sub(r"^([0-9]{4})-([0-9]{4})-([0-9]{4})$", r"\1\2\3", part) for part in labels]
    accounts = (i for i, label in enumerate(labels) if re.fullmatch(r"[0-9]{12}|\*", label))
    start = next(accounts, None)
    if start is None:
        return None
    regions = (i for i, label in enumerate(labels) if i > start and partition_of_region(label))
    at = next(regions, None)
    if at is None:
        return None
    region = labels[at]
    partition = partition_of_region(region) or ""
    fips = any(label.endswith("ecr-fips") for label in labels[start:at])
    dual_stack = labels[at + 1 : at + 2] == ["on"]
    return str(
        EcrHost(
            account=labels[start],
            region=region,
            partition=partition,
            fips=fips and fips_available(region),
            dual_stack=dual_stack and partition in DUAL_STACK_SUFFIXES,
        )
    )


def partition_of_region(region: str) -> str | None:
    """The partition a region belongs to, known to botocore or only shaped like its regions."""
    # botocore's patterns say `\w`, which is wider than what a host can hold.
    if not _REGION.fullmatch(region):
        return None
    for partition in partitions():
        if region in partition.regions or partition.region_pattern.fullmatch(region):
            return partition.name
    return None


def dns_suffix(partition: str) -> str:
    """The classic suffix of a partition's hosts; KeyError for an unknown partition."""
    return _classic_suffixes()[partition]


def fips_available(region: str) -> bool:
    """Whether botocore lists a FIPS endpoint of ECR in this region."""
    return any(region in partition.fips_regions for partition in partitions())


def region_choices() -> list[tuple[str, str]]:
    """`(region, label)` of every region that has ECR, sorted by region."""
    return sorted(
        (region, f"{region} — {description}")
        for partition in partitions()
        for region, description in partition.regions.items()
    )


def region_meant(text: str) -> str:
    """The region that is written in another way: by what people call it, with or without its
    name beside it, or in capital letters; anything else as it is."""
    if len(text) > 100:
        return text
    words = " ".join(text.casefold().split())
    plain = words.replace("_", "-")
    for partition in partitions():
        for region, description in partition.regions.items():
            called = description.casefold()
            ways = {called, f"{region} — {called}", f"{called} {region}", f"{called} ({region})"}
            if (
                plain == region
                or words in ways
                or words.replace(" ", "") == called.replace(" ", "")
            ):
                return region
    return text


@lru_cache(maxsize=1)
def partitions() -> tuple[Partition, ...]:
    """What botocore's data tell of ECR, read once per process."""
    from botocore.loaders import Loader

    # Only what ships with botocore: ~/.aws/models must not be able to name hosts ours.
    loader = Loader(
        extra_search_paths=[Loader.BUILTIN_DATA_PATH], include_default_search_paths=False
    )
    model = loader.load_service_model("ecr", "service-2")
    service = model["metadata"]["endpointPrefix"]
    found = []
    for data in loader.load_data("endpoints")["partitions"]:
        # ECR's endpoints hold pseudo-regions too, such as `fips-dkr-us-east-1`.
        endpoints = data["services"].get(service, {}).get("endpoints", {})
        regions = {
            name: region["description"]
            for name, region in data["regions"].items()
            if name in endpoints
        }
        found.append(
            Partition(
                name=data["partition"],
                dns_suffix=data["dnsSuffix"],
                region_pattern=re.compile(data["regionRegex"]),
                regions=regions,
                fips_regions=frozenset(name for name in regions if f"fips-{name}" in endpoints),
            )
        )
    return tuple(found)


@lru_cache(maxsize=1)
def _classic_suffixes() -> dict[str, str]:
    return {partition.name: partition.dns_suffix for partition in partitions()}
