"""Examples that tell the truth, and patterns that truly meet."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from orgs.registries.images import ImageReference
from orgs.registries.pattern_help import EXAMPLES, covers, meet
from orgs.registries.patterns import MatchPattern
from tests.conftest import HOST

from .test_properties import image, pattern

pytestmark = pytest.mark.once


def shown(text: str) -> tuple[list[str], list[str]]:
    found = covers(MatchPattern.parse(text))
    return [e.shown for e in found.yes], [e.shown for e in found.no]


@pytest.mark.parametrize(
    ("text", "yes", "no"),
    [
        ("my-repo", ["my-repo:v1", "my-repo:v2", "my-repo"],
         ["my-repo/train", "my-repository", "other"]),
        ("my-repo/*", ["my-repo:v1", "my-repo/train", "my-repo/a/b:v1"],
         ["my-repository", "other", "team/my-repo"]),
        ("my-*", ["my-train:v1", "my-base:v2", "my-x"], ["my-train/train", "other", "my-a/b"]),
        ("*-x/*", ["train-x:v1", "base-x/train", "x-x/a/b:v1"], ["train-x-old", "other", "a/b-x"]),
    ],
)  # fmt: skip
def test_covers(text: str, yes: list[str], no: list[str]) -> None:
    assert shown(f"{HOST}/{text}") == (yes, no)


def test_a_whole_registry_lets_others_out() -> None:
    yes, no = shown(f"{HOST}/*")
    assert yes == ["my-ml-image:v1.0", "team/train", "team/a/b:v1"]
    assert no[0].startswith("210987654321.dkr.ecr.us-east-1.") and ".eu-west-1." in no[1]


def test_of_every_account_the_host_is_shown() -> None:
    yes, no = shown("*.dkr.ecr.us-east-1.amazonaws.com/my-repo")
    assert [text.partition(".")[0] for text in yes] == [
        "123456789012",
        "210987654321",
        "000000000000",
    ]
    assert all(".dkr.ecr.us-east-1.amazonaws.com/my-repo" in text for text in yes)
    assert all("my-repo" not in text.split("/")[1:2] or text.count("/") > 1 for text in no)


def test_docker_hub() -> None:
    assert shown("me/*")[0] == ["me/train", "me/a/b:v1", "me/base:v2"]
    assert shown("docker.io/*")[1][0] == "quay.io/team/train"


def test_near_the_greatest_length_there_are_fewer() -> None:
    found = covers(MatchPattern.parse(f"{HOST}/{'a' * 254}*"))
    assert len(found.yes) == 1


@settings(max_examples=600, deadline=None)
@given(pattern())
def test_examples_tell_the_truth(pattern: MatchPattern) -> None:
    found = covers(pattern)
    for examples, wanted in ((found.yes, True), (found.no, False)):
        assert len({str(example.image) for example in examples}) == EXAMPLES, str(pattern)
        for example in examples:
            assert pattern.matches(example.image) is wanted
            assert str(example.image).endswith(example.shown) or pattern.host == "docker.io"


# --- which meet ------------------------------------------------------------------


@pytest.mark.parametrize(
    ("one", "other", "expected"),
    [
        ("h.io/*", "h.io/a/b", True),
        ("h.io/*", "i.io/a", False),
        ("h.io/*", "h.io:5000/*", False),
        ("h.io/a", "h.io/a", True),
        ("h.io/a", "h.io/a/*", True),
        ("h.io/a", "h.io/ab/*", False),
        ("h.io/a/b", "h.io/a", False),
        ("h.io/my-repo/*", "h.io/my-repository/*", False),
        ("h.io/my-*/*", "h.io/*-repo", True),
        ("h.io/my-*", "h.io/our-*", False),
        ("h.io/*-a", "h.io/*-b/*", False),
        ("h.io/a*b", "h.io/ab", True),
        ("h.io/a*a", "h.io/a", False),
        ("h.io/*/x", "h.io/team/*", True),
        ("h.io/*/x", "h.io/team", False),
        ("h.io/*/x/*", "h.io/team/*", True),
        ("*.a.com/*", "x.a.com/y", True),
        ("*.a.com/*", "*.a.com/y", True),
        ("*.a.com/*", "z.x.a.com/y", False),
        ("*.a.com/*", "*.x.a.com/y", False),
        ("*.a.com:5000/*", "x.a.com/y", False),
        ("*.a.com/*", "a.com/y", False),
    ],
)
def test_meet(one: str, other: str, expected: bool) -> None:
    first, second = MatchPattern.parse(one), MatchPattern.parse(other)
    assert meet(first, second) is meet(second, first) is expected


def met_in(one: MatchPattern, other: MatchPattern) -> ImageReference:
    """An image that both match, put together from the patterns that meet."""

    def base(pattern: MatchPattern) -> list[str]:
        return [*(pattern.segments[:-1] if pattern.segments[-1] == "*" else pattern.segments)]

    def segment(first: str, second: str) -> str:
        if "*" not in first or "*" not in second:
            return first if "*" not in first else second
        starts, *rest = first.split("*")
        other_start, *other_rest = second.split("*")
        start, end = max(starts, other_start, key=len), max(rest[-1], other_rest[-1], key=len)
        return start + "a".join(["", *rest[:-1], *other_rest[:-1], ""]) + "a" + end

    longer, shorter = sorted((base(one), base(other)), key=len, reverse=True)
    path = [segment(a, b) for a, b in zip(longer, shorter, strict=False)]
    path += longer[len(shorter) :]
    literal = other if one.host_is_wildcard else one
    host = literal.authority.replace("*", "x", 1)
    return ImageReference.parse(f"{host}/{'/'.join(path).replace('*', 'a') or 'a'}")


@settings(max_examples=800, deadline=None)
@given(pattern(), pattern())
def test_who_meets_has_an_image_in_common(one: MatchPattern, other: MatchPattern) -> None:
    if meet(one, other):
        common = met_in(one, other)
        if common.host != "docker.io" or common.path.startswith("library/") is False:
            assert one.matches(common), (str(one), str(other), str(common))
            assert other.matches(common), (str(one), str(other), str(common))


@settings(max_examples=800, deadline=None)
@given(pattern(), pattern(), image)
def test_who_has_an_image_in_common_meets(
    one: MatchPattern, other: MatchPattern, image: ImageReference
) -> None:
    if one.matches(image) and other.matches(image):
        assert meet(one, other)


@given(st.sampled_from(["h.io/a*", "h.io/*/b/*", "*.a.com/x"]))
def test_a_pattern_meets_itself(text: str) -> None:
    assert meet(MatchPattern.parse(text), MatchPattern.parse(text))
