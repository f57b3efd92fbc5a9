"""What holds on every page: without scripts, by keyboard, with secrets typed.

Where the walk goes: `pictures.stops`, which has every address (`test_axe`).
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise
from typing import Any

import pytest
from playwright.sync_api import Page

from pictures.stops import NO_PAGES, WEB, unfold
from tests.conftest import CANARY

from .walking import Walk

pytestmark = [pytest.mark.once, pytest.mark.timeout(300)]

MOST_TABS = 250

# Of each page the first stop: the state that one comes to.
PAGES = list({stop.address: stop for stop in reversed(WEB)}.values())[::-1]

# What the keyboard has to reach, each numbered; one of a group of radio buttons is enough.
NUMBER = """() => {
  const wanted = [...document.querySelectorAll(
    "a[href], button, input:not([type=hidden]), select, textarea, summary, [tabindex='0']"
  )].filter((node) => node.checkVisibility({visibilityProperty: true}) && !node.disabled
    && node.tabIndex >= 0
    && (node.type !== "radio" || node.checked)
    && !(node.closest("details:not([open])") && node.tagName !== "SUMMARY"));
  wanted.forEach((node, at) => { node.dataset.stop = at; });
  document.activeElement.blur();
  return wanted.map((node) => node.outerHTML.slice(0, 90));
}"""
FOCUSED = """() => {
  const node = document.activeElement;
  const style = getComputedStyle(node);
  const box = node.getBoundingClientRect();
  return {
    at: node.dataset.stop === undefined ? null : Number(node.dataset.stop),
    html: node.outerHTML.slice(0, 90),
    body: node === document.body,
    seen: parseFloat(style.outlineWidth) >= 2 && style.outlineStyle !== "none",
    top: box.top + scrollY, left: box.left, bottom: box.bottom + scrollY,
    column: node.closest(
      ".form-help, .guides, .on-page, .text, .form-fields, .by-code, .by-organization, " +
      ".entry-main, .entry-side"
    )?.className || "",
  };
}"""


def by_keyboard(page: Page) -> Iterator[str]:
    """What Tab doesn't reach, reaches against the order of reading, or shows no focus on."""
    unfold(page)
    wanted: list[str] = page.evaluate(NUMBER)
    reached: list[dict[str, Any]] = []
    for _ in range(MOST_TABS):
        page.keyboard.press("Tab")
        focused = page.evaluate(FOCUSED)
        if focused["body"]:
            break
        reached.append(focused)
        if focused["at"] is not None and focused["at"] == len(wanted) - 1:
            break
    if not reached or "Skip to content" not in reached[0]["html"]:
        yield "Skip to content isn't first"
    missed = set(range(len(wanted))) - {focused["at"] for focused in reached}
    yield from (f"not reached: {wanted[at]}" for at in sorted(missed))
    # A date has stops within; one of them is a button that shows its own outline.
    seen = {focused["at"] for focused in reached if focused["seen"]}
    yield from (
        f"no outline: {focused['html']}" for focused in reached if focused["at"] not in seen
    )
    for before, after in pairwise(reached[1:]):
        same = before["column"] == after["column"]
        if same and after["bottom"] <= before["top"]:
            yield f"out of order: {after['html']} after {before['html']}"


def plain(page: Page) -> Iterator[str]:
    """What is missing where scripts don't run."""
    if page.locator("h1").count() != 1 or not page.locator("main").inner_text().strip():
        yield "nothing to see"
    for button in page.locator("main .button.primary:visible").all():
        works = button.evaluate(
            "(it) => it.tagName === 'A' ? it.href !== '' : it.type === 'submit' && it.form !== null"
        )
        if not works:
            yield f"needs scripts: {button.inner_text()}"
    for button in page.locator("main button[type=button]:visible").all():
        yield f"does nothing without scripts: {button.inner_text()}"


def test_by_keyboard(chromium, live_server, aws) -> None:
    viewport = {"width": 1280, "height": 900}
    found = Walk(chromium, live_server.url, aws, viewport=viewport).past(
        PAGES, by_keyboard, act=False
    )
    assert not found, "\n".join(found)


def test_without_scripts(chromium, live_server, aws) -> None:
    walk = Walk(chromium, live_server.url, aws, java_script_enabled=False)
    found = walk.past(PAGES, plain, act=False)
    assert not found, "\n".join(found)


def test_typed_secrets_stay(chromium, live_server, aws) -> None:
    """Nothing that a page does by itself carries what was typed into a password field."""
    carried: list[str] = []

    def type_secrets(page: Page) -> Iterator[str]:
        page.on("request", lambda r: carried.append(r.url + (r.post_data or "")))
        fields = page.locator("input[type=password]:visible")
        for field in fields.all():
            field.fill(CANARY)
        if fields.count() and page.locator("#id_patterns").count():
            with page.expect_response("**/registries/help/"):
                page.locator("#id_patterns").fill("quay.io/acme/*")
            page.get_by_label("Registry type").select_option("docker")
            page.get_by_label("Password", exact=True).fill(CANARY)
            page.get_by_label("Registry type").select_option("gcp-cr")
            page.get_by_label("Service account JSON").fill(CANARY)
            file = {"name": "key.json", "mimeType": "application/json", "buffer": CANARY.encode()}
            page.get_by_label("or choose the file").set_input_files(files=file)
            with page.expect_response("**/registries/help/"):
                page.locator("#id_patterns").fill("gcr.io/acme/*")
            page.get_by_label("Registry type").select_option("aws-ecr-role")
            page.get_by_label("Role name").wait_for()
        yield from (f"sent: {text[:80]}" for text in carried if CANARY[:12] in text)

    names = {"account_login", "set_password", "account", "account_reauthenticate"}
    names |= {"entry_new", "entry_edit"}
    stops = [stop for stop in WEB if stop.address in names and stop.do is None]
    assert {stop.address for stop in stops} == names and not names & NO_PAGES
    found = Walk(chromium, live_server.url, aws).past(stops, type_secrets)
    assert not found and carried, "\n".join(found)
