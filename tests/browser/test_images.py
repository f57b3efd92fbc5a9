"""An entry's images in Chromium: taken into its page by a click, or by the link alone."""

from __future__ import annotations

import time

import pytest
from playwright.sync_api import expect

from tests.conftest import HOST

pytestmark = pytest.mark.once


@pytest.fixture
def entry(aws, make_entry):
    key_id, secret = aws.create_user("valohai", aws.policy(repository="*"))
    now = time.time()
    aws.push("team/train", "v1.0", "latest", pushed_at=now - 86400)
    aws.push("my-ml-image", *(f"v{n}" for n in range(6)), size=1_400_000_000)
    return make_entry(config={"access_key_id": key_id}, secrets={"secret_access_key": secret})


def address(entry, more=""):
    return f"/organizations/acme/registries/{entry.pk}/{more}"


def test_shown_in_place(visit, bob, entry) -> None:
    bobs = visit()
    page = bobs.sign_in("bob@example.com")
    page = bobs.go(address(entry))
    assert [r for r in bobs.requests if "/images/" in r.url] == []
    page.get_by_role("link", name="Show the images").focus()
    page.keyboard.press("Enter")
    table = page.get_by_role("table", name="Images, 5 tags")
    expect(table).to_be_visible()
    expect(page.locator("#images")).to_be_focused()
    expect(page.get_by_role("status").filter(has_text="Images, 5 tags")).to_be_attached()
    assert page.url.endswith(address(entry))
    (asked,) = [r for r in bobs.requests if "/images/" in r.url]
    assert asked.method == "GET"
    # What can be copied is the line as it stands in the file.
    line = table.locator("[data-copy]").first
    assert line.text_content() == f"image: {HOST}/my-ml-image:v5"
    expect(table.get_by_role("button", name="Copy")).to_have_count(5)
    page.get_by_role("link", name="More of my-ml-image").click()
    expect(page).to_have_url(
        f"{bobs.base}{address(entry, 'images/')}?repository=my-ml-image&host={HOST}"
    )
    expect(page.get_by_role("table", name="Images, 6 tags")).to_be_visible()
    expect(page.get_by_role("button", name="Copy")).to_have_count(6)


def test_a_failure_is_announced(visit, bob, entry, aws) -> None:
    bobs = visit(viewport={"width": 390, "height": 844})
    page = bobs.sign_in("bob@example.com")
    bobs.go(address(entry))
    aws.fault("throttle")
    page.get_by_role("link", name="Show the images").click()
    expect(page.locator("#images-list .callout-bad")).to_contain_text("too many requests")
    expect(page.get_by_role("status").filter(has_text="too many requests")).to_be_attached()
    assert bobs.sideways <= 0


def test_what_cant_be_taken_over_is_gone_to(visit, bob, entry) -> None:
    bobs = visit()
    page = bobs.sign_in("bob@example.com")
    bobs.go(address(entry))
    page.context.clear_cookies()
    page.get_by_role("link", name="Show the images").click()
    expect(page.get_by_label("E-mail")).to_be_visible()


def test_without_scripts(visit, bob, entry) -> None:
    bobs = visit(java_script_enabled=False)
    page = bobs.sign_in("bob@example.com")
    bobs.go(address(entry))
    page.get_by_role("link", name="Show the images").click()
    expect(page.get_by_role("heading", name="Images", exact=True)).to_be_visible()
    expect(page.get_by_role("row")).to_have_count(7)
    page.get_by_label("Repository").fill("team/train")
    page.get_by_role("button", name="Look").click()
    expect(page.get_by_role("table", name="Images, 2 tags")).to_be_visible()
    page.get_by_label("Repository").fill("../x")
    page.get_by_role("button", name="Look").click()
    expect(page.get_by_role("alert")).to_contain_text("Repository: not a repository's name")
    expect(page.get_by_text("This isn't the name of a repository.")).to_be_visible()


@pytest.mark.parametrize("width", [320, 390, 1280])
def test_nothing_is_cut_off(width, visit, bob, entry, aws) -> None:
    aws.push("team/" + "a-very-long-name-" * 10 + "x", "t" * 128)
    bobs = visit(viewport={"width": width, "height": 844})
    bobs.sign_in("bob@example.com")
    page = bobs.go(address(entry, "images/"))
    expect(page.locator("table.images")).to_be_visible()
    assert bobs.sideways <= 0
