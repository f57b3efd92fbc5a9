"""What a pattern covers, by example, and which other patterns it meets: help while typing."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import islice

from .ecr_hosts import parse_ecr_pattern_host
from .images import HUB, ImageReference, InvalidImage, looks_like_host
from .patterns import MatchPattern, segment_matches
from .shared_hosts import depth
from .types import RegistryType
from .web_sites import site_of

EXAMPLES = 3
# The registry of a `*` in the host: an account, or any name.
_ACCOUNTS = ("123456789012", "210987654321", "000000000000")
_LABELS = ("registry", "eu", "test")
# What a `*` in the path is filled with, and what comes below the path or after it.
_FILLS = ("train", "base", "x")
_BELOW = (":v1", "/train", "/a/b:v1")
_TAGS = (":v1", ":v2", "")
_FURTHER = ("/base:v2", "/train/base:v2", "/a/b/c", "/train:v1")
_WHOLE_REGISTRY = ("my-ml-image:v1.0", "team/train", "team/a/b:v1", "team/base:v2", "team/a/c")
# What an example image is called, the parts above it too where there must be some.
_NAMES = ("my-ml-image", "my-repo/my-ml-image", "my-team/my-repo/my-ml-image")
_TAG = ":v1.0"
_ELSEWHERE = (
    "docker.io/library/python",
    "quay.io/team/train",
    "ghcr.io/team/train",
    "public.ecr.aws/team/train",
)


@dataclass(frozen=True)
class Example:
    """An image; `shown` lacks the host where that is the pattern's own."""

    image: ImageReference
    shown: str


@dataclass(frozen=True)
class Covers:
    """Images that a pattern matches, and some that one could think it does."""

    pattern: MatchPattern
    yes: tuple[Example, ...]
    no: tuple[Example, ...]


def covers(pattern: MatchPattern) -> Covers:
    """`EXAMPLES` of each, all different; fewer only where the path is near its greatest
    length."""
    own = "" if pattern.host_is_wildcard else f"{pattern.authority}/"

    def some(texts: Iterator[str], matching: bool) -> tuple[Example, ...]:
        found = {
            image: Example(image, text.removeprefix(own))
            for text in texts
            if (image := _image(text)) is not None
            and pattern.matches(image) is matching
            and can_exist(image)
        }
        return tuple(islice(found.values(), EXAMPLES))

    return Covers(pattern, some(_matching(pattern), True), some(_near_misses(pattern), False))


def can_exist(image: ImageReference) -> bool:
    """Whether its registry could have such an image, as far as is known of its host."""
    if len(image.segments) < depth(image.authority).shortest:
        return False
    if image.port is None and site_of(image.host, image.path):
        return False
    # ECR's names have at least two characters.
    return len(image.path) > 1 or parse_ecr_pattern_host(image.host) is None


def example_image(pattern: MatchPattern, host: str = "") -> str:
    """An image that the pattern serves, as people write it; on `host` (`host[:port]`) where
    the pattern leaves its own open. "" where none of the usual names fits."""
    base, below = _base(pattern)
    authority = host or _hosts(pattern)[0]
    texts = (
        f"{authority}/{path}{_TAG}"
        for fill in ("my-ml-image", "image", "x", "")
        for path in _example_paths(base, below, fill, depth(authority).shortest)
    )
    found = (
        text
        for text in texts
        if (image := _image(text)) is not None and pattern.matches(image) and can_exist(image)
    )
    text = next(found, "")
    named = looks_like_host(pattern.text.partition("/")[0])
    return text if named else text.removeprefix(f"{HUB}/").removeprefix("library/")


def example_of(kind: RegistryType) -> str:
    """An image as those of a type are called; "" where it declares no pattern."""
    pattern = kind.example_pattern
    return example_image(MatchPattern.parse(pattern)) if pattern else ""


def _example_paths(base: list[str], below: bool, fill: str, shortest: int) -> Iterator[str]:
    """The pattern's path with its `*` filled, and what may come below it."""
    partial = "image" if fill == "my-ml-image" else fill
    filled = [fill if part == "*" else part.replace("*", partial) for part in base]
    if filled:
        yield "/".join(filled)
    for name in _NAMES[0 if filled else shortest - 1 :] if below else ():
        yield "/".join([*filled, name])


def _image(text: str) -> ImageReference | None:
    try:
        return ImageReference.parse(text)
    except InvalidImage:  # too long once it's filled in
        return None


def _base(pattern: MatchPattern) -> tuple[list[str], bool]:
    """`(the path without its last /*, whether it had one)`."""
    segments = list(pattern.segments)
    return (segments[:-1], True) if segments[-1] == "*" else (segments, False)


def _hosts(pattern: MatchPattern) -> list[str]:
    """Three hosts that the pattern's host covers, the same where it's literal."""
    is_ecr = parse_ecr_pattern_host(pattern.host) is not None
    labels = _ACCOUNTS if is_ecr else _LABELS
    return [pattern.authority.replace("*", label, 1) for label in labels]


def _matching(pattern: MatchPattern) -> Iterator[str]:
    base, below = _base(pattern)
    path, ends = "/".join(base), _BELOW if below else _TAGS
    filled = [path.replace("*", fill) + end for fill, end in zip(_FILLS, ends, strict=True)]
    # One part alone would read as `library/…` on Docker Hub, whose images are nobody's.
    whole = _WHOLE_REGISTRY if depth(pattern.authority).shortest == 1 else _WHOLE_REGISTRY[1:]
    rests = filled if base else whole
    hosts = _hosts(pattern)
    for host, rest in zip(hosts, rests, strict=False):
        yield f"{host}/{rest}"
    for rest in whole if not base else ():
        yield f"{hosts[0]}/{rest}"
    # On many hosts no image has as few parts: on Docker Hub `me/*` begins with `me/train`.
    for end in _FURTHER:
        yield f"{hosts[0]}/{path.replace('*', _FILLS[0])}{end}"


def _near_misses(pattern: MatchPattern) -> Iterator[str]:
    """Images that differ from a covered one in one thing, the most telling first."""
    base, _ = _base(pattern)
    host = _hosts(pattern)[0]
    filled = [segment.replace("*", _FILLS[0]) for segment in base]
    path = "/".join(filled)
    if base:
        yield f"{host}/{path}/train"
        # Look-alikes: a name that goes on, another name, one `/` more.
        yield f"{host}/{path}sitory" if path.endswith("repo") else f"{host}/{path}-old"
        for at in range(len(base) - 1, -1, -1):
            if base[at] != "*":
                yield f"{host}/{'/'.join([*filled[:at], 'other', *filled[at + 1 :]])}"
            if "*" in base[at]:
                split = base[at].replace("*", "a/b")
                yield f"{host}/{'/'.join([*filled[:at], split, *filled[at + 1 :]])}"
        yield f"{host}/team/{path}"
        if len(base) > 1:
            yield f"{host}/{'/'.join(filled[:-1])}"
        yield f"{host}/{filled[0]}-x/y/z"
    yield from _other_registries(host, path or _WHOLE_REGISTRY[0])
    yield from _ELSEWHERE


def _other_registries(host: str, path: str) -> Iterator[str]:
    """The same path in another account or region, where the host is ECR's."""
    found = parse_ecr_pattern_host(host)
    if found is None:
        return
    account = next(other for other in _ACCOUNTS if other != found.account)
    yield f"{replace(found, account=account)}/{path}"
    region = "eu-west-1" if found.region == "us-east-1" else "us-east-1"
    if found.partition == "aws" and not found.fips:
        yield f"{replace(found, region=region)}/{path}"


# --- which patterns meet -------------------------------------------------------


def meet(one: MatchPattern, other: MatchPattern) -> bool:
    """Whether some image matches both, leaving aside the greatest length of a path."""
    if one.port != other.port or not _hosts_meet(one.host, other.host):
        return False
    (first, below_first), (second, below_second) = _base(one), _base(other)
    if len(first) < len(second) and not below_first:
        return False
    if len(second) < len(first) and not below_second:
        return False
    return all(map(_segments_meet, first, second))


def _hosts_meet(one: str, other: str) -> bool:
    if one.startswith("*.") == other.startswith("*."):
        return one == other
    wild, literal = (one, other) if one.startswith("*.") else (other, one)
    return literal.partition(".")[2] == wild.removeprefix("*.")


def _segments_meet(one: str, other: str) -> bool:
    """Where both have a `*`, only their ends can be at odds: what is between fits in a row."""
    if "*" not in one:
        return segment_matches(other, one)
    if "*" not in other:
        return segment_matches(one, other)
    start, start_other = one.partition("*")[0], other.partition("*")[0]
    end, end_other = one.rpartition("*")[2], other.rpartition("*")[2]
    return (start.startswith(start_other) or start_other.startswith(start)) and (
        end.endswith(end_other) or end_other.endswith(end)
    )
