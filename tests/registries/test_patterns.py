"""Match patterns: what they mean, what they match, which wins, what is refused."""

import pytest

from orgs.registries.images import ImageReference
from orgs.registries.patterns import InvalidPattern, MatchPattern, index_keys
from orgs.registries.problems import Refused
from tests.support import effort

pytestmark = pytest.mark.once

HEX = "0123456789abcdef" * 4
ECR = "123456789012.dkr.ecr.us-east-1.amazonaws.com"
ANY_ECR = "*.dkr.ecr.us-east-1.amazonaws.com"


@pytest.mark.parametrize(
    ("text", "normalized"),
    [
        (f"{ECR}/*", f"{ECR}/*"),
        (f"{ECR.upper()}:443/my-repo/*", f"{ECR}/my-repo/*"),
        (f"{ANY_ECR}/*", f"{ANY_ECR}/*"),
        ("*.Example.com:443/*", "*.example.com/*"),
        ("*.example.com:5000/x", "*.example.com:5000/x"),
        ("a.com/x:*", "a.com/x"),
        ("gcr.io/project/repo:*", "gcr.io/project/repo"),
        ("a.com/*:*", "a.com/*"),
        ("a.com/a*b/*/c-*", "a.com/a*b/*/c-*"),
        ("HOST:5000/x", "host:5000/x"),
        ("h:443/*", "h:443/*"),
        ("localhost:443/*", "localhost/*"),
        ("[::1]:5000/*", "[::1]:5000/*"),
        # Docker Hub.
        ("me/*", "docker.io/me/*"),
        ("me/app*", "docker.io/me/app*"),
        ("ubuntu", "docker.io/library/ubuntu"),
        ("ubuntu:*", "docker.io/library/ubuntu"),
        ("ubuntu/*", "docker.io/ubuntu/*"),
        ("docker.io/ubuntu", "docker.io/library/ubuntu"),
        ("docker.io/u*", "docker.io/library/u*"),
        ("docker.io/*", "docker.io/*"),
        ("index.docker.io:443/*", "docker.io/*"),
        ("*.index.docker.io/*", "*.index.docker.io/*"),
        ("docker.io:5000/ubuntu", "docker.io:5000/ubuntu"),
    ],
)
def test_normalized(text: str, normalized: str) -> None:
    pattern = MatchPattern.parse(text)
    assert str(pattern) == normalized
    assert pattern.text == text
    assert pattern == MatchPattern.parse(normalized)
    assert hash(pattern) == hash(MatchPattern.parse(normalized))


REFUSED = [
    ("bare_host", "registry.example.com", "registry.example.com/*"),
    ("bare_host", "registry.example.com/", "registry.example.com/*"),
    ("bare_host", "registry.example.com:5000", "registry.example.com:5000/*"),
    ("bare_host", "registry.example.com:*", "registry.example.com/*"),
    ("bare_host", "*.example.com", "*.example.com/*"),
    ("bare_host", "localhost", "localhost/*"),
    ("bare_host", "host:5000/", "host:5000/*"),
    ("bare_host", "[::1]", "[::1]/*"),
    ("scheme_in_pattern", "https://a.com/x/*", "a.com/x/*"),
    ("scheme_in_pattern", "https://a.com", "a.com/*"),
    ("scheme_in_pattern", "https://a.com/x:v1", "a.com/x"),
    ("scheme_in_pattern", "docker://docker://a.com/App", "a.com/app"),
    ("scheme_in_pattern", "https://", None),
    ("scheme_in_pattern", "https://*.com/*", None),
    ("tag_in_pattern", "a.com/x:v1", "a.com/x"),
    ("tag_in_pattern", "a.com/x/*:v1", "a.com/x/*"),
    ("tag_in_pattern", "a.com/x:v*", "a.com/x"),
    ("tag_in_pattern", "a.com/x:", "a.com/x"),
    ("tag_in_pattern", "a.com/X:v1", "a.com/x"),
    ("tag_in_pattern", "ubuntu:22.04", "ubuntu"),
    ("tag_in_pattern", f"a.com/x@sha256:{HEX}", "a.com/x"),
    ("tag_in_pattern", f"a.com/x:v1@sha256:{HEX}", "a.com/x"),
    ("tag_in_pattern", "a.com/x:*:*", "a.com/x"),
    ("tag_in_pattern", "a.com/:v1", "a.com/*"),
    ("invalid_pattern", "a.com/**", "a.com/*"),
    ("invalid_pattern", "a.com/**/x", "a.com/*/x"),
    ("invalid_pattern", "a.com/a**b", "a.com/a*b"),
    ("invalid_pattern", "a.com/x/", "a.com/x/*"),
    ("invalid_pattern", "a.com/X/*", "a.com/x/*"),
    ("invalid_pattern", " a.com/*", "a.com/*"),
    ("invalid_pattern", "a.com/*\n", "a.com/*"),
    # What can't be mended by rule, or may be a secret in the wrong field.
    *(
        ("invalid_pattern", text, None)
        for text in [
            # Blanks, line ends, other scripts.
            *("", "a.com/x y", "\u00e4.com/*", "\u0430.com/*"),
            # Nothing named.
            *("*", "*/*", "*/x", "m*/x", "*:*", ":*", "**", "/", "/x"),
            # A `*` that could name strangers, or isn't the whole first label.
            *("*.com/*", "*.com", "*.localhost/*", "*.0.0.1/*", "*.[::1]/*", "*:5000/*"),
            *("a.com:*/x", "*.*.example.com/*", "**.example.com/*", "a*.example.com/*"),
            *(f"12*{ECR[12:]}/*", f"{ECR[:21]}*.amazonaws.com/*"),
            # Hosts.
            *("a.com:65536/*", "a.com:99999", "*.a.com:65536/*"),
            *("HOST/*", "a.com:0/*", "a..com/*", "a_b.com/*"),
            # Paths.
            *("me/App", "AbCdEfGhIjKlMnOpQrStUvWxYz0123456789AbCd", "a.com//x", "a.com/../x"),
            *("a.com/-*", "a.com/*_", "a.com/a..*", "a.com/[ab]", "a.com/a?", f"a.com/{'a' * 256}"),
        ]
    ),
]


@pytest.mark.parametrize(("code", "text", "suggestion"), REFUSED)
def test_refused(code: str, text: str, suggestion: str | None) -> None:
    with pytest.raises(InvalidPattern) as caught:
        MatchPattern.parse(text)
    problem = caught.value.problem
    assert (problem.code, problem.suggestion, problem.field) == (code, suggestion, "patterns")
    assert isinstance(caught.value, Refused)
    assert problem.fix.endswith(".")
    if suggestion:
        MatchPattern.parse(suggestion)
        assert suggestion in problem.fix


@pytest.mark.parametrize(
    ("text", "what", "fix"),
    [
        (
            "a.com",
            "a.com names a registry but no images.",
            "Write a.com/* to cover everything in it.",
        ),
        (
            "a.com/x:v1",
            "Patterns match repositories, not tags, so “:v1” can't be part of one.",
            "Write a.com/x; it covers every tag.",
        ),
        (
            "a.com/x:pa$$w0rd",
            "Patterns match repositories, not tags, so “:…” can't be part of one.",
            "Write a.com/x; it covers every tag.",
        ),
    ],
)
def test_wording(text: str, what: str, fix: str) -> None:
    with pytest.raises(InvalidPattern) as caught:
        MatchPattern.parse(text)
    assert (caught.value.problem.what, caught.value.problem.fix) == (what, fix)


# Pattern, image, whether it matches.
MATCHES = [
    (f"{ECR}/*", f"{ECR}/app:v1", True),
    (f"{ECR}/*", f"{ECR}/a/b/c@sha256:{HEX}", True),
    (f"{ECR}/*", f"{ECR}:443/app", True),
    (f"{ECR}/*", f"{ECR.upper()}/app", True),
    (f"{ECR}/*", f"{ECR}:5000/app", False),
    (f"{ECR}/*", f"{ECR}.evil.com/app", False),
    (f"{ECR}/*", f"evil.{ECR}/app", False),
    (f"{ECR}/*", f"2{ECR[1:]}/app", False),
    (f"{ECR}/*", f"evil.com/{ECR}/app", False),
    (f"{ECR}/*", f"{ECR}", False),
    (f"{ECR}/my-repo/*", f"{ECR}/my-repo:v1", True),
    (f"{ECR}/my-repo/*", f"{ECR}/my-repo/train:v1", True),
    (f"{ECR}/my-repo/*", f"{ECR}/my-repo/a/b", True),
    (f"{ECR}/my-repo/*", f"{ECR}/my-repository", False),
    (f"{ECR}/my-repo/*", f"{ECR}/my-repo-evil/train", False),
    (f"{ECR}/my-repo/*", f"{ECR}/my", False),
    (f"{ECR}/my-repo/*", f"{ECR}/other/my-repo", False),
    (f"{ECR}/my-repo", f"{ECR}/my-repo:v1", True),
    (f"{ECR}/my-repo", f"{ECR}/my-repo/train", False),
    (f"{ECR}/my-repo:*", f"{ECR}/my-repo:v1", True),
    (f"{ANY_ECR}/*", f"{ECR}/app", True),
    (f"{ANY_ECR}/*", f"a.{ECR}/app", False),
    (f"{ANY_ECR}/*", f"{ANY_ECR[2:]}/app", False),
    (f"{ANY_ECR}/*", f"x{ANY_ECR[2:]}/app", False),
    (f"{ANY_ECR}/*", f"{ECR}.evil.com/app", False),
    ("a.com/team-*", "a.com/team-x", True),
    ("a.com/team-*", "a.com/team", False),
    ("a.com/team-*", "a.com/team-x/y", False),
    ("a.com/team-*/*", "a.com/team-x/y", True),
    ("a.com/team-*/*", "a.com/team-x", True),
    ("a.com/a*b/c", "a.com/ab/c", True),
    ("a.com/a*b/c", "a.com/a/b/c", False),
    ("a.com/a*a", "a.com/a", False),
    ("a.com/*b*b*", "a.com/abab", True),
    ("a.com/*b*b*", "a.com/ab", False),
    ("a.com/ab*ba", "a.com/aba", False),
    ("a.com/a*b*b", "a.com/abb", True),
    ("a.com/a*b*b", "a.com/ab", False),
    ("a.com/*-x", "a.com/a-xy", False),
    ("a.com/*/x", "a.com/a/x", True),
    ("a.com/*/x", "a.com/x", False),
    ("a.com/*/x", "a.com/a/b/x", False),
    ("a.com/*/*", "a.com/x", True),
    ("me/*", "me/app:v1", True),
    ("me/*", "docker.io/me/app", True),
    ("me/*", "index.docker.io/me/app", True),
    ("me/*", "me", False),
    ("me/*", "meme/app", False),
    ("me/*", "quay.io/me/app", False),
    ("ubuntu", "ubuntu:22.04", True),
    ("ubuntu", "docker.io/library/ubuntu", True),
    ("ubuntu", "ubuntu/x", False),
    ("ubuntu/*", "ubuntu", False),
    ("docker.io/*", "ubuntu", True),
    ("docker.io/u*", "ubuntu", True),
    ("docker.io/u*", "u/ubuntu", False),
    ("*.docker.io/*", "ubuntu", False),
    ("host:5000/*", "HOST:5000/x", True),
    ("host:5000/*", "host/x", False),
]


@pytest.mark.parametrize(("pattern", "image", "expected"), MATCHES)
def test_matches(pattern: str, image: str, expected: bool) -> None:
    assert MatchPattern.parse(pattern).matches(ImageReference.parse(image)) is expected


def test_most_specific_first() -> None:
    ordered = [
        "x.a.com/a",
        "x.a.com/a/b/c",
        "x.a.com/a/b/c*",
        "x.a.com/a/b/*/d",
        "x.a.com/a/b/*",
        "x.a.com/a/bb*b",
        "x.a.com/a/b*",
        "x.a.com/a/b*/c",
        "x.a.com/a/*/c",
        "x.a.com/a/*",
        "x.a.com/a*",
        "x.a.com/*/a",
        "x.a.com/*",
        "*.a.com/a/b",
        "*.a.com/*",
    ]
    patterns = [MatchPattern.parse(text) for text in ordered]
    assert sorted(patterns, key=lambda p: p.specificity, reverse=True) == patterns
    assert sorted(patterns, key=lambda p: p.rank, reverse=True) == patterns


def test_same_rank_is_decided_by_text() -> None:
    one, other = MatchPattern.parse("a.com/a*b"), MatchPattern.parse("a.com/ab*")
    assert one.rank == other.rank
    assert one.specificity != other.specificity


def test_case_and_tag_make_no_other_pattern() -> None:
    one, other = MatchPattern.parse("A.com:443/x:*"), MatchPattern.parse("a.com/x")
    assert one == other
    assert one.specificity == other.specificity


@pytest.mark.parametrize(
    ("text", "authority", "prefix", "wild_host", "wild_path"),
    [
        ("a.com/*", "a.com", "", False, True),
        ("a.com/x/*", "a.com", "x", False, True),
        ("a.com/x/y", "a.com", "x/y", False, False),
        ("a.com/x/y*/z", "a.com", "x", False, True),
        ("*.a.com:5000/x*", "*.a.com:5000", "", True, True),
        ("me/*", "docker.io", "me", False, True),
    ],
)
def test_index_parts(
    text: str, authority: str, prefix: str, wild_host: bool, wild_path: bool
) -> None:
    pattern = MatchPattern.parse(text)
    assert (pattern.authority, pattern.literal_prefix) == (authority, prefix)
    assert (pattern.host_is_wildcard, pattern.has_wildcard_path) == (wild_host, wild_path)


def test_index_keys() -> None:
    image = ImageReference.parse("r.a.com:5000/x/y/z:v1")
    authorities, prefixes = index_keys(image)
    assert authorities == ["r.a.com:5000", "*.a.com:5000"]
    assert prefixes == ["", "x", "x/y", "x/y/z"]
    assert index_keys(ImageReference.parse("h:1/x")) == (["h:1"], ["", "x"])


def test_hostile_wildcards_cost_little() -> None:
    pattern = MatchPattern.parse("a.com/" + "a*" * 100 + "b")
    image = ImageReference.parse("a.com/" + "a" * 255)
    with effort.at_most(500):
        for _ in range(100):
            assert not pattern.matches(image)
        for text in (
            "a.com/" + "**" * 500,
            "a.com" + "/" * 1000,
            "a://" * 255,
            "a.com/x" + ":*" * 400,
        ):
            with pytest.raises(InvalidPattern):
                MatchPattern.parse(text)


@pytest.mark.parametrize(
    "text",
    ["user:Hunter2@backup", "user:Hunter2@acme/app", "app:x@Hunter2", "app@Hunter2", "a:b:Hunter2"],
)
def test_what_is_no_tag_may_be_a_password(text: str) -> None:
    with pytest.raises(InvalidPattern) as refused:
        MatchPattern.parse(text)
    assert "Hunter2" not in str(refused.value)


@pytest.mark.parametrize("tag", [":v1.0", ":*", ":v1-*", f"@sha256:{'a' * 64}", ":v1@sha256:abc"])
def test_a_tag_is_named(tag: str) -> None:
    with pytest.raises(InvalidPattern, match="not tags") as refused:
        MatchPattern.parse(f"a.com/app/x{tag}" if tag != ":*" else "a.com/app/x:*-y")
    assert tag.strip("*") in str(refused.value)
