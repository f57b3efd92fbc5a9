"""What to do where no entry serves an image: the entry to add, or what is wrong with the image.

What is suggested can be saved, and then serves what was asked.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import TypeAlias

from orgs.registries.catalogue import BY_SLUG, TYPES
from orgs.registries.ecr_hosts import PUBLIC_HOSTS, corrected_ecr_host, resembles_ecr
from orgs.registries.images import ImageReference, Server
from orgs.registries.patterns import MatchPattern
from orgs.registries.problems import Refused
from orgs.registries.shared_hosts import is_shared, owner_of
from orgs.registries.types import RegistryType
from orgs.registries.web_sites import site_of

# What a login is asked for.
Wanted: TypeAlias = ImageReference | Server


@dataclass(frozen=True)
class Advice:
    """`pattern` is that of an entry to add, of the type `registry_type` (its slug), both ""
    where there is none to suggest; then `otherwise` says what to do, in a sentence."""

    pattern: str = ""
    registry_type: str = ""
    otherwise: str = ""

    def __str__(self) -> str:
        if not self.pattern:
            return self.otherwise
        return f"If it's private, add an entry with {self.pattern}; public images need none."


def advice_on(wanted: Wanted) -> Advice:
    if mistaken := _mistaken(wanted):
        return Advice(otherwise=mistaken)
    authority = wanted.authority
    if wanted.host in PUBLIC_HOSTS:
        told = f"Images of {authority} are public and need no entry"
        if taken := _taken(f"{authority}/*"):
            told += f"; one of the type {BY_SLUG[taken].label} pulls them by higher limits"
        return Advice(otherwise=f"{told}.")
    if not isinstance(wanted, ImageReference) and is_shared(authority):
        return Advice(
            otherwise="If its images are private, add an entry for those of their owner, such as "
            f"{authority}/your-team/*; public images need none."
        )
    owner = owner_of(authority, wanted.segments) if isinstance(wanted, ImageReference) else ()
    pattern = "/".join([authority, *owner, "*"])
    if taken := _taken(pattern):
        return Advice(pattern, taken)
    return Advice(otherwise="If its host is mistyped, correct it; public images need no entry.")


def _taken(text: str) -> str:
    """The slug of the first type that takes the pattern; "" for none."""
    return _taken_by(text, tuple(TYPES))


@lru_cache(maxsize=1024)  # a fleet that pulls public images is told the same all day
def _taken_by(text: str, kinds: tuple[RegistryType, ...]) -> str:
    try:
        pattern = MatchPattern.parse(text)
    except Refused:
        return ""
    return next((kind.slug for kind in kinds if not kind.refused_patterns([pattern])), "")


def _mistaken(wanted: Wanted) -> str:
    """What was meant by an image whose host is a web site's, or looks like ECR's and isn't;
    "" where nothing is known to be wrong with it."""
    path, tag = "", ""
    if isinstance(wanted, ImageReference):
        path, tag = wanted.path, f":{wanted.tag}" if wanted.tag else ""
    if wanted.port is None and (site := site_of(wanted.host, f"{path}{tag}")):
        meant = _image(site.meant) if path else ""
        then = f"ask for {meant}" if meant else "name the host that images are pulled from"
        shown = f"{wanted.host}/{path.partition('/')[0]}" if site.is_page else wanted.host
        return f"{shown} is {site.name}: {then}."
    corrected = corrected_ecr_host(wanted.host)
    if corrected is None or not resembles_ecr(wanted.host):
        return ""
    meant = _image(f"{corrected}/{path}{tag}") if path else corrected
    if not meant:
        return ""
    return f"{wanted.host} resembles an Amazon ECR host but isn't one; that would be {meant}."


def _image(text: str) -> str:
    """The text where it is an image, or what its refusal suggests; "" for neither."""
    try:
        ImageReference.parse(text)
    except Refused as refused:
        return refused.problem.suggestion or ""
    return text
