"""What must hold for every image, pattern and host, tried on generated ones."""

import re
from collections.abc import Callable
from itertools import pairwise
from random import Random
from typing import Any

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from orgs.registries.ecr_hosts import (
    DUAL_STACK_SUFFIXES,
    EcrHost,
    corrected_ecr_host,
    fips_available,
    parse_ecr_host,
    parse_ecr_pattern_host,
    partitions,
    region_choices,
)
from orgs.registries.images import ImageReference, InvalidImage, parse_server
from orgs.registries.patterns import InvalidPattern, MatchPattern, index_keys

pytestmark = pytest.mark.once


def holds_for(*strategies: st.SearchStrategy[Any]) -> Callable[[Callable[..., None]], Any]:
    """`given`, with more examples; no deadline, as the first one reads botocore's data."""
    return lambda test: settings(max_examples=300, deadline=None)(given(*strategies)(test))


HOSTS = [
    "a.com",
    "x.a.com",
    "y.a.com",
    "z.x.a.com",
    "docker.io",
    "localhost",
    "h:443",
    "x.a.com:5000",
]
WILD_HOSTS = ["*.a.com", "*.x.a.com", "*.a.com:5000"]

# Few letters, so that patterns and images meet often.
component = st.from_regex(r"[ab]{1,3}([._-][ab]{1,2})?", fullmatch=True)
wild_component = st.one_of(
    component,
    st.just("*"),
    st.from_regex(r"\*?[ab]{1,2}((-?\*?|\*-)[ab]){0,3}(-?\*)?", fullmatch=True),
)
host = st.sampled_from(HOSTS)
tail = st.sampled_from(["", ":v1", f"@sha256:{'0' * 64}", f":v1@sha256:{'f' * 64}"])
image = st.builds(
    lambda host, path, tail: ImageReference.parse(f"{host}/{'/'.join(path)}{tail}"),
    host,
    st.lists(component, min_size=1, max_size=4),
    tail,
)


@st.composite
def pattern(draw: st.DrawFn) -> MatchPattern:
    authority = draw(st.sampled_from(HOSTS + WILD_HOSTS))
    segments = draw(st.lists(wild_component, max_size=3))
    segments += draw(st.sampled_from([["*"], []])) if segments else ["*"]
    return MatchPattern.parse(f"{authority}/{'/'.join(segments)}")


@st.composite
def pattern_for(draw: st.DrawFn, image: ImageReference) -> MatchPattern:
    """A pattern made from an image, by putting wildcards into it: it matches."""
    authority = draw(st.sampled_from(index_keys(image)[0]))
    if authority.startswith("*.") and authority.count(".") < 2:  # `*.io`: too wide
        authority = image.authority
    keep = draw(st.integers(0, len(image.segments)))
    segments = []
    for segment in image.segments[:keep]:
        start = draw(st.integers(0, len(segment)))
        end = draw(st.integers(start, len(segment)))
        whole = draw(st.booleans())
        segments.append(segment if whole else f"{segment[:start]}*{segment[end:]}")
    if keep < len(image.segments) or draw(st.booleans()):
        segments.append("*")
    return MatchPattern.parse(f"{authority}/{'/'.join(segments)}")


def reference_matches(pattern: MatchPattern, image: ImageReference) -> bool:
    """The rules again, as a regular expression over the normalized texts."""
    text = str(pattern)
    below = text.endswith("/*")
    authority, _, path = text.partition("/")
    expression = re.escape(authority).replace(r"\*", "[^./:]+", 1)
    segments = path.split("/")[: -1 if below else None]
    expression += "".join("/" + re.escape(s).replace(r"\*", "[^/]*") for s in segments)
    expression += "(/.*)?" if below else ""
    return re.fullmatch(expression, image.repository) is not None


def reference_is_more_specific(one: MatchPattern, other: MatchPattern) -> bool | None:
    """Rule 4 again, word for word; None where host and path don't decide."""
    if one.host_is_wildcard != other.host_is_wildcard:
        return other.host_is_wildcard

    def kind(segments: tuple[str, ...], at: int) -> tuple[int, int]:
        if at >= len(segments):
            return (0, 0)
        if "*" not in segments[at]:
            return (1, 0)
        if segments[at] != "*":
            return (2, -len(segments[at].replace("*", "")))
        return (4, 0) if at == len(segments) - 1 else (3, 0)

    for at in range(max(len(one.segments), len(other.segments)) + 1):
        first, second = kind(one.segments, at), kind(other.segments, at)
        if first != second:
            return first < second
    return None


anything = st.one_of(st.text(max_size=60), st.text("aA0.:/*@-_[]", max_size=16))


@holds_for(anything)
def test_any_text_parses_or_is_refused(text: str) -> None:
    for parse in (ImageReference.parse, MatchPattern.parse):
        try:
            parsed = parse(text)
        except (InvalidImage, InvalidPattern) as refused:
            if refused.problem.suggestion:
                parse(refused.problem.suggestion)
        else:
            assert parse(str(parsed)) == parsed
            assert str(parse(str(parsed))) == str(parsed)
            assert text.isascii()
            assert text.split() == [text]


@holds_for(anything)
def test_a_server_is_the_authority_of_its_images(text: str) -> None:
    try:
        authority, written = parse_server(text)
    except InvalidImage:
        return
    image = ImageReference.parse(f"{written}/x/y")
    assert (image.authority, image.written_server) == (authority, written)


@holds_for(image)
def test_images_round_trip(image: ImageReference) -> None:
    assert ImageReference.parse(str(image)) == image


@holds_for(pattern())
def test_patterns_round_trip(pattern: MatchPattern) -> None:
    again = MatchPattern.parse(str(pattern))
    assert (again, again.specificity) == (pattern, pattern.specificity)
    assert MatchPattern.parse(f"{pattern}:*") == pattern


@holds_for(pattern(), image)
def test_matching_agrees_with_the_reference(pattern: MatchPattern, image: ImageReference) -> None:
    assert pattern.matches(image) is reference_matches(pattern, image)


@holds_for(wild_component, component)
def test_one_segment_agrees_with_the_reference(wild: str, segment: str) -> None:
    pattern = MatchPattern.parse(f"a.com/x/{wild}")
    image = ImageReference.parse(f"a.com/x/{segment}")
    assert pattern.matches(image) is reference_matches(pattern, image)


@holds_for(st.data(), image)
def test_what_is_made_from_an_image_matches_it(data: st.DataObject, image: ImageReference) -> None:
    pattern = data.draw(pattern_for(image))
    assert pattern.matches(image)
    assert reference_matches(pattern, image)
    authorities, prefixes = index_keys(image)
    assert pattern.authority in authorities
    assert pattern.literal_prefix in prefixes


@holds_for(pattern(), image)
def test_index_keys_miss_nothing(pattern: MatchPattern, image: ImageReference) -> None:
    authorities, prefixes = index_keys(image)
    if pattern.matches(image):
        assert pattern.authority in authorities
        assert pattern.literal_prefix in prefixes


@holds_for(host, st.lists(component, min_size=1, max_size=3), component)
def test_a_sibling_never_matches(host: str, path: list[str], more: str) -> None:
    prefix = f"{host}/{'/'.join(path)}"
    for pattern in (MatchPattern.parse(prefix), MatchPattern.parse(f"{prefix}/*")):
        for sibling in (f"{prefix}{more}", f"{prefix}-{more}", f"{prefix}.{more}/{more}"):
            assert not pattern.matches(ImageReference.parse(sibling))
        assert not pattern.matches(ImageReference.parse(f"evil.com/{prefix.partition('/')[2]}"))


@holds_for(pattern(), image, tail)
def test_tags_never_matter(pattern: MatchPattern, image: ImageReference, tail: str) -> None:
    other = ImageReference.parse(f"{image.repository}{tail}")
    assert pattern.matches(image) is pattern.matches(other)


@holds_for(pattern(), pattern())
def test_order_agrees_with_the_reference(one: MatchPattern, other: MatchPattern) -> None:
    expected = reference_is_more_specific(one, other)
    if expected is None:
        assert one.rank == other.rank
    else:
        assert (one.rank > other.rank) is expected
        assert (one.specificity > other.specificity) is expected


@holds_for(st.lists(pattern(), max_size=8), st.randoms(use_true_random=False))
def test_order_is_total(patterns: list[MatchPattern], random: Random) -> None:
    ordered = sorted(patterns, key=lambda p: p.specificity)
    random.shuffle(patterns)
    assert sorted(patterns, key=lambda p: p.specificity) == ordered
    for lower, higher in pairwise(ordered):
        assert (lower.specificity == higher.specificity) is (lower == higher)
        assert lower.specificity <= higher.specificity


@st.composite
def ecr_host(draw: st.DrawFn) -> EcrHost:
    region = draw(st.sampled_from([region for region, _ in region_choices()]))
    partition = next(p.name for p in partitions() if region in p.regions)
    return EcrHost(
        account=draw(st.from_regex("[0-9]{12}", fullmatch=True)),
        region=region,
        partition=partition,
        fips=fips_available(region) and draw(st.booleans()),
        dual_stack=partition in DUAL_STACK_SUFFIXES and draw(st.booleans()),
    )


@holds_for(ecr_host())
def test_true_hosts_round_trip(host: EcrHost) -> None:
    assert parse_ecr_host(str(host)) == host
    assert ImageReference.parse(f"{str(host).upper()}:443/x").host == str(host)


@holds_for(ecr_host(), st.text(min_size=1, max_size=8), st.integers(0, 60))
def test_lookalikes_are_never_ecr(host: EcrHost, extra: str, at: int) -> None:
    true = str(host)
    assert parse_ecr_host(extra + true) is None
    assert parse_ecr_host(f"{true}.{extra}") is None
    # Anywhere within, only another region of the same partition could come out.
    assume(at < len(true))
    found = parse_ecr_pattern_host(true[:at] + extra + true[at:])
    if found is not None:
        assert (found.account, found.partition) == (host.account, host.partition)
        assert found.region != host.region


@holds_for(ecr_host(), st.from_regex(r"[a-z]{1,5}\.(com|net|cn|aws)", fullmatch=True))
def test_lookalikes_are_mended(host: EcrHost, extra: str) -> None:
    assert corrected_ecr_host(f"{host}.{extra}") == str(host)
    assert corrected_ecr_host(f"{extra}.{str(host).upper()}.") == str(host)


@holds_for(anything)
def test_what_is_mended_is_true(text: str) -> None:
    corrected = corrected_ecr_host(f"*.{text}.us-east-1.{text}")
    assert corrected is not None
    assert parse_ecr_pattern_host(corrected)
