"""Images in their colours, times in words, and examples that hold."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from django.utils import timezone
from django.utils.html import strip_tags

from orgs.registries.images import ImageReference
from orgs.registries.patterns import MatchPattern
from orgs.templatetags import registries as tags
from tests.conftest import HOST
from tests.web.conftest import NEW


@pytest.mark.parametrize(
    "text", [f"{HOST}/*", f"{HOST}/my-*/x:v1", "*.dkr.ecr.eu-west-1.amazonaws.com/a", "me/*", "a"]
)
def test_image_loses_no_character(text: str) -> None:
    assert strip_tags(tags.image(text)) == text


def test_image_colours() -> None:
    shown = tags.image("h.io/a/b-*:v1")
    assert '<span class="part host">h.<wbr>io/</span>' in shown
    assert '<span class="part path">a/</span>' in shown
    assert '<span class="part path">b-<span class="wild">*</span></span>' in shown
    assert '<span class="part tag">:v1</span>' in shown
    assert "host" not in tags.image("me/*")


def test_image_escapes() -> None:
    assert "<b>" not in tags.image("<b>x</b>/<i>:<u>")


@pytest.mark.parametrize(
    "pattern",
    [f"{HOST}/*", f"{HOST}/my-repo/*", f"{HOST}/a-*/b/*", f"{HOST}/*/x", f"{HOST}/ab", "me/*",
     "*.dkr.ecr.eu-west-1.amazonaws.com/*"],
)  # fmt: skip
def test_example_image_is_served_by_its_pattern(pattern: str) -> None:
    example = ImageReference.parse(tags.example_image(pattern))
    assert MatchPattern.parse(pattern).matches(example)


def test_the_help_tells_the_truth(look, alice) -> None:
    page = look(alice, NEW)
    patterns = [text.removeprefix("…/") for text in page.texts["dt"]]
    examples = page.texts["dd"]
    assert patterns == ["my-repo", "my-repo/*", "my-*/*"]
    for index, text in enumerate(patterns):
        pattern = MatchPattern.parse(f"{HOST}/{text}")
        covered, not_covered = examples[2 * index], examples[2 * index + 1]
        for names, wanted in ((covered, True), (not_covered, False)):
            assert len(names.split(", ")) == 3
            for name in names.split(", "):
                assert pattern.matches(ImageReference.parse(f"{HOST}/{name}")) is wanted, name


@pytest.mark.parametrize(
    ("seconds", "words"),
    [(5, "just now"), (61, "1 minute ago"), (7200, "2 hours ago"), (86400 * 45, "1 month ago"),
     (86400 * 800, "2 years ago")],
)  # fmt: skip
def test_ago(seconds: int, words: str) -> None:
    shown = tags.ago(timezone.now() - timedelta(seconds=seconds))
    assert strip_tags(shown) == words and shown.startswith('<time datetime="')


def test_exact() -> None:
    at = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
    wanted = '<time datetime="2026-01-02T03:04:05Z">2 Jan 2026, 03:04:05 UTC</time>'
    assert tags.exact(at) == wanted
    assert strip_tags(tags.exact(None, "Never")) == "Never"
