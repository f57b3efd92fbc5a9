"""Registries that many share: whose an image is stands in its path, and how deep.

A pattern for all of such a host would hand a login to images of strangers, and a name of
too few parts is no image's there. Collected from the registries' own documentation.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache


@dataclass(frozen=True)
class Depth:
    """In parts of a path: how many say whose an image is, 0 where the host does; and how
    many an image has at least."""

    owner: int
    shortest: int


_OWNER = Depth(1, 2)
_PROJECT = Depth(1, 3)
_UNSHARED = Depth(0, 1)

_EXACT = {
    **dict.fromkeys(
        (
            "docker.io",
            "registry-1.docker.io",
            "ghcr.io",
            "docker.pkg.github.com",
            "quay.io",
            "registry.gitlab.com",
            "gcr.io",
            "public.ecr.aws",
            "ecr-public.aws.com",
            "registry.digitalocean.com",
            "registry.heroku.com",
            "nvcr.io",
            "cr.yandex",
            "icr.io",
            "cgr.dev",
            "ccr.ccs.tencentyun.com",
            "codeberg.org",
            "mcr.microsoft.com",
            "registry.access.redhat.com",
            "registry.redhat.io",
        ),
        _OWNER,
    ),
    # owner/repository/image
    "docker.cloudsmith.io": Depth(2, 3),
}
_ALIKE = (
    (re.compile(r"[a-z0-9-]+\.gcr\.io"), _OWNER),
    (re.compile(r"[a-z0-9-]+-docker\.pkg\.dev"), _PROJECT),  # project/repository/image
    (re.compile(r"[a-z0-9-]+\.icr\.io"), _OWNER),
    (re.compile(r"[a-z0-9-]+\.ocir\.io|ocir\.[a-z0-9-]+\.oci\.oraclecloud\.com"), _OWNER),
    (re.compile(r"rg\.[a-z0-9-]+\.scw\.cloud"), _OWNER),
    (re.compile(r"registry(-intl|-vpc)?\.[a-z0-9-]+\.aliyuncs\.com"), _OWNER),
    (re.compile(r"swr\.[a-z0-9-]+\.myhuaweicloud\.com"), _OWNER),
    # Its owner's host, but images lie in repositories of it.
    (re.compile(r"[a-z0-9-]+\.jfrog\.io"), Depth(0, 2)),
)
_DOMAINS = re.compile(r"([a-z0-9-]+\.)?gcr\.io|[a-z0-9-]+-docker\.pkg\.dev")


@lru_cache(maxsize=1024)
def depth(authority: str) -> Depth:
    """How deep the images of `host[:port]`, normalized, lie."""
    if (known := _EXACT.get(authority)) is not None:
        return known
    return next((deep for host, deep in _ALIKE if host.fullmatch(authority)), _UNSHARED)


def is_shared(authority: str) -> bool:
    return depth(authority).owner > 0


def owner_of(authority: str, segments: Sequence[str]) -> tuple[str, ...]:
    """The first parts of an image's path, which say whose it is; none where the host does."""
    count = depth(authority).owner
    # Google's old projects of a domain are named `example.com/project`.
    if _DOMAINS.fullmatch(authority) and "." in segments[0]:
        count += 1
    return tuple(segments[:count])
