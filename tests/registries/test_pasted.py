"""What is pasted with something around it is told so, with the reference in it."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from orgs.registries.images import ImageReference, InvalidImage
from orgs.registries.pasted import MAX_LENGTH, texts, typed, unwrapped
from orgs.registries.patterns import InvalidPattern, MatchPattern
from tests.support import effort

from .pasted_texts import COMMANDS, ECR, PASTED, SETTINGS

pytestmark = pytest.mark.once


@pytest.mark.parametrize(("text", "pattern", "image"), PASTED)
def test_the_reference_in_it_is_suggested(text: str, pattern: str, image: str) -> None:
    with pytest.raises(InvalidPattern) as caught:
        MatchPattern.parse(text)
    problem = caught.value.problem
    assert (problem.suggestion or "") == pattern, problem
    assert problem.field == "patterns" and pattern in problem.fix
    with pytest.raises(InvalidImage) as of_image:
        ImageReference.parse(text)
    assert (of_image.value.problem.suggestion or "") == image, of_image.value.problem
    assert image in of_image.value.problem.fix
    for told in (str(caught.value), str(of_image.value)):
        assert "pa55" not in told and "w0rd" not in told and "hunter2" not in told


@pytest.mark.parametrize(
    "text",
    [
        *("image:v1", "server:5000/x", "docker", "pull", "me/docker", "docker.example.com/pull"),
        *("registry:5000/team/x", "image/x", "from/x", "host.example.com/v2/x", "a.com/v1/y"),
        *("podman/stable", "quay.io/podman/stable", "ghcr.io/acme/image", "arn/aws", "url/x"),
        *("projects/x", "subscriptions/x", "localhost:5000/harbor/x", "a.com/artifactory/x"),
        *("gitlab.example.com/group/project", "git.example.com/r/me/train", "hub.example.com/x"),
    ],
)
def test_a_reference_is_read_as_one(text: str) -> None:
    assert str(ImageReference.parse(text)).endswith(text)
    if ":v1" not in text:
        assert str(MatchPattern.parse(text)).endswith(text)


@pytest.mark.parametrize(
    ("text", "meant"),
    [
        ("a.com/*", "a.com/*"),
        (" a.com/* \n", "a.com/*"),
        ("\ufeff\u200ba.com/\u200b*", "a.com/*"),
        ('"a.com/*",', "a.com/*"),
        ("“a.com/*”;", "a.com/*"),
        ("a.com/x.", "a.com/x."),  # seen, and maybe a part of it that isn't finished
        ("a.com/é", "a.com/é"),
        ("", ""),
    ],
)
def test_what_is_typed_is_mended_where_there_is_no_doubt(text: str, meant: str) -> None:
    assert typed(text) == meant


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a.com/* b.com/*\nc.com/*", ["a.com/*", "b.com/*", "c.com/*"]),
        ("a.com/*, b.com/*;c.com/*", ["a.com/*", "b.com/*", "c.com/*"]),
        ('"a.com/*",\n"b.com/*"\n', ["a.com/*", "b.com/*"]),
        ("\ufeffa.com/*\u00a0b.com/*\u200b", ["a.com/*", "b.com/*"]),
        ("docker pull a.com/x\nb.com/*", ["docker pull a.com/x", "b.com/*"]),
        ("FROM a.com/x AS y", ["FROM a.com/x AS y"]),
        ("- image: a.com/x", ["- image: a.com/x"]),
        ("docker me/x", ["docker me/x"]),
        ("me/docker pull", ["me/docker", "pull"]),
        (" , ;\n\n\u200b", []),
    ],
)
def test_several_in_a_field(text: str, expected: list[str]) -> None:
    assert texts(text) == expected


@pytest.mark.parametrize("text", [t for t, _, _ in [*COMMANDS, *SETTINGS] if "\n" not in t])
def test_the_words_of_a_command_become_no_patterns(text: str) -> None:
    """`docker pull me/x` once was saved as three patterns, two of them Docker Hub's images."""
    assert len(texts(text)) == 1


ALPHABET = "aA0.:/*@-_[]%?#=&\"'`<>{}$ \n\t\u200b\ufeff,;|\\"


@settings(max_examples=500, deadline=None)
@given(
    st.one_of(
        st.text(ALPHABET, max_size=60),
        st.lists(st.sampled_from([t for t, _, _ in PASTED]), max_size=3).map(" ".join),
        st.tuples(st.sampled_from([t for t, _, _ in PASTED]), st.text(ALPHABET, max_size=8)).map(
            "".join
        ),
    )
)
def test_any_text_comes_through(text: str) -> None:
    for parse in (ImageReference.parse, MatchPattern.parse):
        try:
            parse(text)
        except (InvalidImage, InvalidPattern) as refused:
            if refused.problem.suggestion:
                assert parse(refused.problem.suggestion)
                assert refused.problem.suggestion in refused.problem.fix
    assert all(texts(text))


@pytest.mark.parametrize(
    "piece",
    [
        *("image: ", "docker pull ", "docker run -", '"', "- ", "`", "<", "[", "FROM ", "a=", "| "),
        *("https://", "a.com/%2F", "arn:aws:ecr:", "\u200b", "\u2013", "&", "a/", "{{", "${", "; "),
        *("hub.docker.com/r/", "https://gitlab.com/a/", "/v2/", "manifests/", "blobs/", "x@", "!["),
        *(
            "projects/",
            "/subscriptions/",
            "docker pull \\\n",
            "'",
            "$ ",
            "sudo ",
            "A=b ",
            "](",
            "_/",
        ),
        f"https://us-east-1.console.aws.amazon.com/ecr/repositories/private/{ECR[:12]}/x/",
        "microsoft.containerregistry/registries/aaaaa",
    ],
)
def test_hostile_text_costs_little(piece: str) -> None:
    with effort.at_most(1000):
        for text in (
            piece * 100_000,
            (piece * MAX_LENGTH)[:MAX_LENGTH],
            (piece * 500)[:1000] + "!",
        ):
            unwrapped(text)
            typed(text[:10_000])
            texts(text[:60_000])
            for parse in (ImageReference.parse, MatchPattern.parse):
                try:
                    parse(text)
                except (InvalidImage, InvalidPattern):
                    continue
