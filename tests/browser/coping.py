"""What a page has to cope with: large print, forced colours, and that nothing moves.

Looked at in the load that a walk has made already; afterwards the window is as it was.
"""

from __future__ import annotations

from collections.abc import Iterator

from playwright.sync_api import Page

from pictures.taking import fit

# Tables scroll within themselves, and what is in them is reached by scrolling there.
NARROW = """() => {
  const found = [];
  const beyond = document.scrollingElement.scrollWidth - innerWidth;
  if (beyond > 0) found.push(beyond + " px sideways");
  for (const body of document.querySelectorAll("main tbody, #content tbody")) {
    const rows = [...body.rows].filter((row) => row.textContent.trim());
    const seen = (node) => {
      const box = node.getBoundingClientRect();
      return box.width > 1 && box.height > 1 && box.left < innerWidth && box.right > 0;
    };
    const shown = body.parentElement.checkVisibility();
    if (shown && rows.length && !rows.some((row) => [...row.cells].some(
      (cell) => cell.innerText.trim() && cell.checkVisibility() && seen(cell)
    ))) found.push("a list without a row");
  }
  for (const node of document.querySelectorAll("a[href], button, input, select, textarea")) {
    if (!node.checkVisibility({visibilityProperty: true}) || node.tabIndex < 0) continue;
    if (node.matches(".skip, .skip-to-content-link, .visually-hidden")) continue;
    const box = node.getBoundingClientRect();
    let scrolls = node.parentElement;
    while (scrolls && !["auto", "scroll"].includes(getComputedStyle(scrolls).overflowX)) {
      scrolls = scrolls.parentElement;
    }
    if (!scrolls && box.width && (box.left < -1 || box.left >= innerWidth)) {
      found.push("off the screen: " + node.outerHTML.slice(0, 80));
    }
  }
  return found;
}"""
FORCED = """() => {
  const found = [];
  const seen = (selector) => [...document.querySelectorAll(selector)]
    .filter((node) => node.checkVisibility());
  for (const node of seen(".button.primary, .submit-row input.default")) {
    const {borderTopWidth, borderTopStyle, fontWeight} = getComputedStyle(node);
    if (parseFloat(borderTopWidth) < 2 || borderTopStyle === "none" || fontWeight < 700) {
      found.push("primary like any other: " + node.outerHTML.slice(0, 80));
    }
  }
  for (const node of seen(".tabs-links a[aria-current]")) {
    const {borderBottomWidth, borderBottomColor} = getComputedStyle(node);
    if (parseFloat(borderBottomWidth) < 3
        || borderBottomColor === getComputedStyle(document.body).backgroundColor) {
      found.push("no bar under the current tab");
    }
  }
  for (const node of seen(".state")) {
    if (!/\\S\\s+\\S/.test(node.textContent)) found.push("no mark and word: " + node.textContent);
  }
  const first = seen("main a[href], main button, #content a[href]")[0];
  if (first) {
    first.focus({focusVisible: true, preventScroll: true});
    const {outlineStyle, outlineWidth} = getComputedStyle(first);
    if (outlineStyle === "none" || parseFloat(outlineWidth) < 2) found.push("no outline");
    first.blur();
  }
  return found;
}"""
MOVING = """() => {
  const found = document.getAnimations().filter((it) => it.playState === "running")
    .map((it) => "moves: " + (it.effect.target?.outerHTML || "").slice(0, 80));
  for (const node of document.querySelectorAll("*")) {
    const {transitionDuration, transitionProperty} = getComputedStyle(node);
    if (transitionProperty !== "none" && parseFloat(transitionDuration) > 0.01) {
      found.push("fades: " + node.outerHTML.slice(0, 80));
      break;
    }
  }
  return found;
}"""


def coping(page: Page) -> Iterator[str]:
    """What is wrong on phones, at twice the size, in forced colours, with motion reduced."""
    page.emulate_media(reduced_motion="reduce")
    yield from page.evaluate(MOVING)
    page.emulate_media(forced_colors="active")
    yield from (f"forced colours: {text}" for text in page.evaluate(FORCED))
    page.emulate_media(forced_colors="none")
    for width, height in ((390, 844), (320, 844), (640, 400)):
        fit(page, width, "light")
        page.set_viewport_size({"width": width, "height": height})
        yield from (f"{text} at {width}" for text in page.evaluate(NARROW))
