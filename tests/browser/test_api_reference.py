"""The API's page in Chromium: on a phone, by its list of calls, with and without scripts."""

from __future__ import annotations

import pytest
from playwright.sync_api import expect

pytestmark = pytest.mark.once


@pytest.mark.parametrize("scripts", [True, False], ids=["scripts", "no-scripts"])
@pytest.mark.parametrize("width", [390, 1280])
def test_nothing_scrolls_sideways_and_calls_are_reached(scripts, width, visit, db) -> None:
    visitor = visit(java_script_enabled=scripts, viewport={"width": width, "height": 800})
    page = visitor.go("/api/")
    assert visitor.sideways <= 0
    page.get_by_text("Codes of pages, files and verifying").click()
    expect(page.locator("#other-too_many_rows")).to_be_visible()
    assert visitor.sideways <= 0
    for inner in page.locator("main pre, main table, main dl").all():
        assert inner.evaluate("(it) => it.scrollWidth - it.clientWidth") <= 0
    page.get_by_role("link", name="Replace an entry").click()
    expect(page.get_by_role("heading", name="Replace an entry")).to_be_in_viewport()
    expect(page.get_by_role("button", name="Copy")).to_have_count(9 if scripts else 0)
    assert not visitor.complaints


def test_the_whole_command_is_copied(visit, db) -> None:
    visitor = visit(permissions=["clipboard-read", "clipboard-write"])
    page = visitor.go("/api/")
    call = page.locator("section", has=page.get_by_role("heading", name="The Docker login"))
    call.get_by_role("button", name="Copy").click()
    expect(call.get_by_role("button", name="Copied")).to_be_visible()
    copied = page.evaluate("navigator.clipboard.readText()")
    assert copied.startswith("curl ") and copied.endswith("}\nEND")
    assert copied == call.locator("pre[data-copy]").text_content().strip()
