"""axe-core finds nothing on any page: light and dark, wide and narrow. Markup and phones too.

Each page is loaded once, and by keyboard, in large print, in forced colours and at rest
(`coping.py`) it is looked at in the same load.
"""

from __future__ import annotations

from collections.abc import Iterator
from importlib.resources import files
from typing import Any

import pytest
from playwright.sync_api import Page

from pictures.cast import address_names, fill
from pictures.stops import ADMIN, ALIKE, NO_ADMIN_PAGES, NO_PAGES, WEB
from pictures.taking import BASE, fit

from .coping import coping
from .keyboard import by_keyboard
from .standing import markup
from .walking import Walk

pytestmark = [pytest.mark.once, pytest.mark.timeout(600)]

AXE = (files("axe_playwright_python") / "axe.min.js").read_text("utf-8")
RUN = """async (only) => {
  // Nothing of ours needs what axe would load once more by itself: styles and media.
  const options = {preload: false, ...(only ? {runOnly: only} : {})};
  const {violations} = await axe.run(document, {...options, resultTypes: ["violations"]});
  return violations.map(({id, help, nodes}) => ({id, help, nodes: nodes.map(
    (node) => node.target.join(" ") + " " + (node.any[0] || node.all[0] || {message: ""}).message
  )}));
}"""
# What differs between schemes is contrast only, and of that nothing between widths.
LOOKS = ((1280, "light", None), (1280, "dark", ["color-contrast"]), (390, "light", None))


@pytest.fixture(autouse=True)
def known_to_clouds(settings) -> None:
    """Else no entry without a key could be set up, and its steps weren't seen open."""
    settings.OIDC_ISSUER = BASE


def violations(page: Page) -> Iterator[tuple[str, str]]:
    """(rule, what is wrong where) in each look of the page."""
    page.evaluate(AXE)
    for width, scheme, only in LOOKS:
        fit(page, width, scheme)
        found: list[dict[str, Any]] = page.evaluate(RUN, only)
        for rule in found:
            yield rule["id"], f"{width} {scheme}: {rule['id']}, {rule['help']}: {rule['nodes'][:3]}"


def ours(page: Page) -> list[str]:
    """All that holds of each of our pages, once they are walked in all their states."""
    return [*markup(page), *coping(page), *(text for _, text in violations(page))]


def in_admin(page: Page) -> list[str]:
    return [*coping(page), *(text for _, text in violations(page))]


def test_every_page_has_a_stop() -> None:
    names = {name for name in address_names() if not name.startswith(("admin:", "api:"))}
    assert names == {stop.address for stop in WEB if stop.address[0] != "/"} | NO_PAGES


def test_every_page_of_the_admin_has_a_stop() -> None:
    found = {name.partition(":")[2] for name in address_names() if name.startswith("admin:")}
    stops = {stop.address.partition(":")[2] for stop in ADMIN if stop.address[0] != "/"}
    assert found - {"app_list"} == stops | NO_ADMIN_PAGES | ALIKE.keys()
    assert set(ALIKE.values()) <= stops and "/admin/orgs/" in {stop.address for stop in ADMIN}


@pytest.mark.django_db(transaction=True)
def test_what_has_no_stop_has_no_page(client, aws) -> None:
    """Or one that is another's, with other rows."""
    cast = fill(aws)
    client.cookies["sessionid"] = cast.sessions["staff"]
    client.raise_request_exception = False
    for name in sorted(NO_ADMIN_PAGES - {"None", "logout"}):
        of_what = {"object_id": "event-id" if "audit" in name else "support-id"}
        answer = client.get(cast.address(f"admin:{name}", **of_what))
        assert answer.status_code in {302, 403, 405} or name == "jsi18n", name


def test_web(chromium, live_server, aws) -> None:
    found = Walk(chromium, live_server.url, aws).past(WEB, ours, first=by_keyboard)
    assert not found, "\n".join(found)


def test_admin(chromium, live_server, aws) -> None:
    found = Walk(chromium, live_server.url, aws).past(ADMIN, in_admin, first=by_keyboard)
    assert not found, "\n".join(found)
