"""What holds on every page: without scripts, with secrets typed.

Where the walk goes: `pictures.stops`, which has every address (`test_axe`).
"""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from playwright.sync_api import Page

from pictures.stops import NO_PAGES, WEB
from tests.conftest import CANARY

from .walking import Walk

pytestmark = [pytest.mark.once, pytest.mark.timeout(300)]

# Of each page the first stop: the state that one comes to.
PAGES = list({stop.address: stop for stop in reversed(WEB)}.values())[::-1]


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
