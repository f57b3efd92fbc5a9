"""A walk past every stop of `pictures.stops`, for what has to hold on each page."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from playwright.sync_api import Browser, BrowserContext, Page

from orgs.services.entries import notices
from orgs.services.logins import minting
from pictures.cast import Cast, fill
from pictures.stops import Stop, sign_in
from tests.support.fake_aws import AwsControl

Findings = list[str]
Look = Callable[[Page], Iterable[str]]


class Walk:
    """Goes from stop to stop, each person in a browser of their own; keeps what was found.

    Nothing of what a page asks for may lead away from the site.
    """

    def __init__(self, browser: Browser, base: str, aws: AwsControl, **options: Any) -> None:
        self.browser, self.base, self.options = browser, base, options
        self.cast: Cast = fill(aws)
        minting.background.drain()
        notices.drain()
        self.findings: Findings = []
        self._contexts: dict[str, BrowserContext] = {}

    def past(self, stops: Iterable[Stop], look: Look, *, act: bool = True) -> Findings:
        """What `look` finds at each stop, named by it; `act` False leaves undone what is
        done there."""
        try:
            for stop in stops:
                page = self._context(stop.who).new_page()
                page.on("request", lambda request, at=stop: self._noted(at, request.url))
                stop.go(page, self.base, self.cast)
                if act:
                    stop.act(page, self.cast)
                page.wait_for_load_state()
                self.findings += [f"{stop.name}: {found}" for found in look(page)]
                page.close()
        finally:
            for context in self._contexts.values():
                context.close()
        return self.findings

    def _context(self, who: str) -> BrowserContext:
        if who not in self._contexts:
            context = self.browser.new_context(reduced_motion="reduce", **self.options)
            context.set_default_timeout(5000)
            sign_in(context, self.base, self.cast, who)
            self._contexts[who] = context
        return self._contexts[who]

    def _noted(self, stop: Stop, address: str) -> None:
        if not address.startswith((self.base, "data:")):
            self.findings.append(f"{stop.name}: asks for {address}")
