"""What holds of a page as it stands: its markup, and that phones needn't scroll sideways."""

from __future__ import annotations

from collections.abc import Iterator

from playwright.sync_api import Page

from pictures.taking import fit

MARKUP = """() => {
  const found = [];
  const all = (selector) => [...document.querySelectorAll(selector)];
  const ids = all("[id]").map((node) => node.id);
  const twice = ids.filter((id, at) => ids.indexOf(id) !== at);
  if (twice.length) found.push("ids twice: " + twice);
  if (all("h1").length !== 1) found.push(all("h1").length + " h1");
  if (!document.title.trim()) found.push("no title");
  if (document.documentElement.lang !== "en") found.push("no language");
  if (all("[style]").length) found.push("inline style");
  if (all("style").length) found.push("style element");
  if (all("script").some((script) => !script.src)) found.push("inline script");
  for (const node of all("*")) {
    for (const {name} of node.attributes) if (name.startsWith("on")) found.push(name);
  }
  for (const field of all(
    "input:not([type=hidden], [type=submit], [aria-hidden]), select, textarea"
  )) {
    const named = field.labels.length || field.ariaLabel || field.getAttribute("aria-labelledby");
    if (!named) found.push("no label: " + field.name);
  }
  if (all(".button.primary").filter((b) => b.checkVisibility()).length > 1) {
    found.push("more than one primary button");
  }
  return found;
}"""


def markup(page: Page) -> list[str]:
    return list(page.evaluate(MARKUP))


def sideways(page: Page) -> Iterator[str]:
    """How far it scrolls sideways on phones, wide and narrow."""
    for width in (390, 320):
        fit(page, width, "light")
        beyond = page.evaluate("document.documentElement.scrollWidth - innerWidth")
        if beyond > 0:
            yield f"{beyond} px sideways at {width}"


def standing(page: Page) -> list[str]:
    return [*markup(page), *sideways(page)]
