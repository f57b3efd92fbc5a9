"""A walk past every stop of `pictures.stops`, for what has to hold on each page."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from playwright.sync_api import Browser, Page

from orgs.services.logins import minting
from orgs.services.tenancy import mails
from pictures.cast import Cast, fill
from pictures.stops import Stop, sign_in
from pictures.taking import fit
from tests.support.fake_aws import AwsControl

Findings = list[str]
Look = Callable[[Page], Iterable[str]]


class Walk:
    """Goes from stop to stop, each person in a browser of their own; keeps what was found.

    Each goes on in one window, wide and light again at each stop: a new one would cost more
    than most pages do.

    Nothing of what a page asks for may lead away from the site.
    """

    def __init__(self, browser: Browser, base: str, aws: AwsControl, **options: Any) -> None:
        self.browser, self.base, self.options = browser, base, options
        self.cast: Cast = fill(aws)
        minting.background.drain()
        mails.drain()
        self.findings: Findings = []
        self._pages: dict[str, Page] = {}
        self._at = ""

    def past(
        self,
        stops: Iterable[Stop],
        look: Look,
        *,
        act: bool = True,
        first: Look | None = None,
    ) -> Findings:
        """What `look` finds at each stop but those that are alike to another, named by it;
        `act` False leaves undone what is done there. `first` looks at each address once, as one
        comes to it, before that; it may open and focus what there is."""
        seen: set[str] = set()
        try:
            for stop in stops:
                if stop.alike:
                    continue
                page = self._page(stop.who)
                self._at = stop.name
                fit(page, 1280, "light")
                stop.go(page, self.base, self.cast)
                if first is not None and stop.address not in seen:
                    self._find(stop, first(page))
                    if stop.do is not None:
                        stop.go(page, self.base, self.cast)
                seen.add(stop.address)
                if act:
                    stop.act(page, self.cast)
                page.wait_for_load_state()
                self._find(stop, look(page))
        finally:
            for page in self._pages.values():
                page.context.close()
        return self.findings

    def _find(self, stop: Stop, found: Iterable[str]) -> None:
        self.findings += [f"{stop.name}: {text}" for text in found]

    def _page(self, who: str) -> Page:
        if who not in self._pages:
            context = self.browser.new_context(reduced_motion="reduce", **self.options)
            context.set_default_timeout(5000)
            sign_in(context, self.base, self.cast, who)
            self._pages[who] = context.new_page()
            self._pages[who].on("request", lambda request: self._noted(request.url))
        return self._pages[who]

    def _noted(self, address: str) -> None:
        if not address.startswith((self.base, "data:")):
            self.findings.append(f"{self._at}: asks for {address}")
