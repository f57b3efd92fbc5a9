"""A real browser before a live server. Runs on SQLite only."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import unquote_plus

import pytest
from django.conf import settings
from django.test import Client
from playwright.sync_api import Browser, BrowserContext, Page, Request, sync_playwright

from orgs.models import User
from pictures.taking import ARGUMENTS, CHROMIUM
from tests.conftest import PASSWORD

# Playwright's own loop runs in this thread, and Django would refuse the database.
os.environ["DJANGO_ALLOW_ASYNC_UNSAFE"] = "1"


@pytest.fixture(scope="session")
def chromium() -> Iterator[Browser]:
    if not Path(CHROMIUM).exists():
        missing = "needs chromium: apt-get install chromium"
        if os.environ.get("CI") == "true":
            pytest.fail(missing)
        pytest.skip(missing)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=ARGUMENTS)
        yield browser
        browser.close()


@pytest.fixture(scope="session")
def live_server(django_db_setup: None, live_server: Any) -> Any:
    """Only once the test's database is chosen: before that, SQLite would seem to be in
    memory, and its one connection would be shared among threads."""
    return live_server


def _told(sent: str | None) -> str:
    return f"{sent} {unquote_plus(sent)}" if sent else ""


class Visitor:
    """Someone at a browser; every request and complaint of the browser is noted."""

    def __init__(self, context: BrowserContext, base: str) -> None:
        self.page: Page = context.new_page()
        self.base = base
        self.requests: list[Request] = []
        self.complaints: list[str] = []
        self.page.on("request", lambda request: self.requests.append(request))
        self.page.on("pageerror", lambda error: self.complaints.append(str(error)))
        self.page.on(
            "console",
            lambda message: (
                self.complaints.append(message.text)
                if message.type in {"error", "warning"}
                else None
            ),
        )

    def go(self, path: str) -> Page:
        self.page.goto(self.base + path)
        return self.page

    def sign_in(self, email: str) -> Page:
        """As one who has signed in already: two pages less to load than by the form."""
        client = Client()
        client.force_login(User.objects.get(email=email))
        session = client.cookies[settings.SESSION_COOKIE_NAME]
        cookie = {"name": session.key, "value": session.value, "url": self.base}
        self.page.context.add_cookies([cookie])  # type: ignore[list-item]
        return self.go("/")

    def sign_in_by_form(self, email: str) -> Page:
        page = self.go("/accounts/login/")
        page.get_by_label("E-mail").fill(email)
        page.get_by_label("Password").fill(PASSWORD)
        page.get_by_role("button", name="Sign in", exact=True).click()
        return page

    @property
    def sideways(self) -> int:
        """Pixels that one could scroll sideways, once the page has its styles."""
        self.page.wait_for_load_state()
        width: int = self.page.evaluate("document.documentElement.scrollWidth - innerWidth")
        return width

    def carrying(self, text: str) -> list[Request]:
        """The requests with this text in them, whichever way it is quoted."""
        return [r for r in self.requests if text in _told(r.url) or text in _told(r.post_data)]


@pytest.fixture
def visit(chromium: Browser, live_server: Any) -> Iterator[Callable[..., Visitor]]:
    """Opens browsers of one's own; afterwards nothing may have left the site or failed."""
    contexts: list[BrowserContext] = []
    visitors: list[Visitor] = []

    def open_one(**options: Any) -> Visitor:
        context = chromium.new_context(**options)
        context.set_default_timeout(5000)
        contexts.append(context)
        visitors.append(Visitor(context, live_server.url))
        return visitors[-1]

    yield open_one
    try:
        for visitor in visitors:
            assert visitor.complaints == []
            away = [
                request.url
                for request in visitor.requests
                if not request.url.startswith((live_server.url, "data:"))
            ]
            assert away == []
    finally:
        for context in contexts:
            context.close()
