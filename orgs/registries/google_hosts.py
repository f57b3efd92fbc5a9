"""Which hosts are Google's registries: the one door that Google logins go through.

`<location>-docker.pkg.dev` is Artifact Registry; `gcr.io` and its three siblings are
Container Registry's names, which Artifact Registry serves today. A host counts only in full
and in ASCII.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

# cloud.google.com/artifact-registry/docs/repositories/repo-locations: three multi-regions,
# and regions, which begin with one of these.
_AREAS = "africa|asia|australia|europe|me|northamerica|southamerica|us"
_LOCATION = rf"(?:us|europe|asia|(?:{_AREAS})-[a-z]{{4,20}}[0-9]{{1,2}})"
_PKG_DEV = re.compile(rf"(?P<location>{_LOCATION})-docker\.pkg\.dev")
# cloud.google.com/artifact-registry/docs/transition/setup-gcr-repo: where the repository is
# that a host of Container Registry leads to. Its name there is the host.
GCR_LOCATIONS = {"gcr.io": "us", "us.gcr.io": "us", "eu.gcr.io": "europe", "asia.gcr.io": "asia"}
ANY_GCR = "*.gcr.io"

# Longer ones are nobody's slip.
_MOST = 100
_MEANT = re.compile(
    rf"(?<![a-z0-9-])(?P<location>{_LOCATION})(?:-docker\.|[.-]docker[.-]|\.)pkg[.-]dev"
    rf"|(?<![a-z0-9-])docker[.-](?P<after>{_LOCATION})\.pkg\.dev"
    rf"|(?<![a-z0-9-])(?P<old>{_LOCATION})-docker(?![a-z0-9])"
    r"|(?<![a-z0-9])(?:(?P<area>us|eu|asia)[.-])?gcr\.(?:io|com|dev)(?![a-z0-9])"
)


@dataclass(frozen=True)
class GoogleHost:
    """A host in its parts; `container_registry` where it is one of `gcr.io`'s."""

    location: str
    container_registry: bool


def parse_google_host(host: str) -> GoogleHost | None:
    """What a normalized host without port says, or None where it isn't one of Google's
    registries."""
    if host in GCR_LOCATIONS:
        return GoogleHost(GCR_LOCATIONS[host], container_registry=True)
    found = _PKG_DEV.fullmatch(host)
    return GoogleHost(found["location"], container_registry=False) if found else None


def hosts_of_pattern(host: str) -> tuple[str, ...]:
    """The hosts that a match pattern's covers; none where it isn't Google's."""
    if host == ANY_GCR:
        return tuple(name for name in GCR_LOCATIONS if name != "gcr.io")
    return (host,) if parse_google_host(host) else ()


def corrected_google_host(host: str) -> str | None:
    """The true host that a look-alike seems to mean, or None where that can't be told."""
    lowered = host.lower()
    if len(lowered) > _MOST:
        return None
    meant = list(dict.fromkeys(_meant(lowered)))
    return meant[0] if len(meant) == 1 and meant[0] != lowered else None


def _meant(host: str) -> Iterator[str]:
    for found in _MEANT.finditer(host):
        location = found["location"] or found["after"] or found["old"]
        if location:
            yield f"{location}-docker.pkg.dev"
        else:
            yield f"{found['area']}.gcr.io" if found["area"] else "gcr.io"
