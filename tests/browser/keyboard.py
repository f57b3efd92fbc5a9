"""A page by keyboard alone: all is reached, in the order of reading, and one sees where one is.

In the load that a walk has made already.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise
from typing import Any

from playwright.sync_api import Page

from pictures.stops import unfold

MOST_TABS = 250
SKIP = ("Skip to content", "skip-to-content-link")  # ours, and the Django admin's

# What the keyboard has to reach, each numbered; one of a group of radio buttons is enough.
NUMBER = """() => {
  const wanted = [...document.querySelectorAll(
    "a[href], button, input:not([type=hidden]), select, textarea, summary, [tabindex='0']"
  )].filter((node) => node.checkVisibility({visibilityProperty: true}) && !node.disabled
    && node.tabIndex >= 0
    && (node.type !== "radio" || node.checked)
    && !(node.closest("details:not([open])") && node.tagName !== "SUMMARY"));
  wanted.forEach((node, at) => { node.dataset.stop = at; });
  // Tab goes on from there, also where a field has the focus from the start.
  document.body.tabIndex = -1;
  document.body.focus();
  document.body.removeAttribute("tabindex");
  return wanted.map((node) => node.outerHTML.slice(0, 90));
}"""
# What stands side by side.
COLUMNS = (
    ".form-help, .guides, .on-page, .text, .form-fields, .by-code, .by-organization, "
    ".entry-main, .entry-side, #changelist-filter, #content-related, .object-tools"
)
FOCUSED = """() => {
  const node = document.activeElement;
  const style = getComputedStyle(node);
  const box = node.getBoundingClientRect();
  const column = node.closest(COLUMNS);
  return {
    at: node.dataset.stop === undefined ? null : Number(node.dataset.stop),
    html: node.outerHTML.slice(0, 90),
    body: node === document.body,
    seen: parseFloat(style.outlineWidth) >= 2 && style.outlineStyle !== "none",
    top: box.top + scrollY, left: box.left, bottom: box.bottom + scrollY,
    column: column ? column.id || column.className : "",
    row: node.closest("tr")?.rowIndex,
  };
}""".replace("COLUMNS", repr(COLUMNS))


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
    if not reached or not any(skip in reached[0]["html"] for skip in SKIP):
        yield "what skips to the content isn't first"
    missed = set(range(len(wanted))) - {focused["at"] for focused in reached}
    yield from (f"not reached: {wanted[at]}" for at in sorted(missed))
    # A date has stops within; one of them is a button that shows its own outline.
    seen = {focused["at"] for focused in reached if focused["seen"]}
    yield from (
        f"no outline: {focused['html']}" for focused in reached if focused["at"] not in seen
    )
    for before, after in pairwise(reached[1:]):
        same = before["column"] == after["column"]
        if before.get("row") is not None and before.get("row") == after.get("row"):
            same = after["left"] < before["left"]  # cells stand side by side, too
        if same and after["bottom"] <= before["top"]:
            yield f"out of order: {after['html']} after {before['html']}"
