"""Taking every page at two widths and in two schemes, and weighing what it took to load."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit
from weakref import WeakKeyDictionary

from django.utils.html import format_html, format_html_join
from playwright.sync_api import (
    Browser,
    BrowserContext,
    CDPSession,
    Error,
    Page,
    sync_playwright,
)

from . import index
from .cast import Cast
from .stops import ADMIN, WEB, Stop, sign_in
from .tls import tls

CHROMIUM = "/usr/bin/chromium"
# What a browser has beside the page. The address bar is a page of its own, loaded into each
# new window, and cost twice what a page of ours does. The rest is off by Playwright's own wish,
# whose list ends where another begins.
FEATURES_OFF = (
    *("WebUIOmniboxPopup", "WebUIOmniboxAimPopup", "WebUIOmniboxFullPopup", "AimEnabled"),
    *("SpareRendererForSitePerProcess", "PreconnectToSearch", "NetworkTimeServiceQuerying"),
    *("HttpsUpgrades", "HttpsFirstBalancedModeAutoEnable", "ThirdPartyStoragePartitioning"),
    *("AvoidUnnecessaryBeforeUnloadCheckSync", "DestroyProfileOnBrowserClose", "PaintHolding"),
    *("LensOverlay", "MediaRouter", "OptimizationHints"),
)
ARGUMENTS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    f"--disable-features={','.join(FEATURES_OFF)}",
]
WIDTHS = (1280, 390)
SCHEMES = ("light", "dark")


# What pages call the server, so that they look the same whatever port it got.
BASE = "https://registries.example.com"
HOST = urlsplit(BASE).netloc


@contextmanager
def browser(address: str) -> Iterator[Browser]:
    """A browser for which `BASE` is the server at this address."""
    with tls(address, HOST) as secure, sync_playwright() as playwright:
        opened = playwright.chromium.launch(
            executable_path=CHROMIUM,
            args=[*ARGUMENTS, f"--host-resolver-rules=MAP {HOST} {secure}"],
        )
        yield opened
        opened.close()


def window(opened: Browser, **options: Any) -> BrowserContext:
    """One of a browser's windows, which takes our certificate, and says to the server what a
    proxy with TLS would."""
    proxy = {"X-Forwarded-Proto": "https"}
    return opened.new_context(
        ignore_https_errors=True, extra_http_headers=proxy, reduced_motion="reduce", **options
    )


@dataclass
class Weight:
    """What a page's first visit loads: requests, and bytes on the wire and unpacked."""

    requests: int = 0
    sent: int = 0
    raw: int = 0

    def watch(self, page: Page) -> None:
        """Count from now on; pictures inside a page (data:) are part of it already."""
        inside: set[str] = set()
        watching = page.context.new_cdp_session(page)
        watching.send("Network.enable")

        def began(event: dict[str, Any]) -> None:
            if event["request"]["url"].startswith("data:"):
                inside.add(event["requestId"])
            else:
                self.requests += 1

        def received(event: dict[str, Any]) -> None:
            if event["requestId"] not in inside:
                self.raw += event["dataLength"]

        def ended(event: dict[str, Any]) -> None:
            if event["requestId"] not in inside:
                self.sent += int(event["encodedDataLength"])

        watching.on("Network.requestWillBeSent", began)
        watching.on("Network.dataReceived", received)
        watching.on("Network.loadingFinished", ended)


# Of each page the one that says whether it is touched: so it is as long as that one lasts.
_emulating: WeakKeyDictionary[Page, CDPSession] = WeakKeyDictionary()


def fit(page: Page, width: int, scheme: str) -> None:
    """A window of this width; the narrow one is touched, as a phone is."""
    page.set_viewport_size({"width": width, "height": 900 if width > 600 else 844})
    touch = {"enabled": width < 600, "maxTouchPoints": 1}
    if page not in _emulating:
        _emulating[page] = page.context.new_cdp_session(page)
    _emulating[page].send("Emulation.setTouchEmulationEnabled", touch)
    page.emulate_media(color_scheme=scheme)  # type: ignore[arg-type]
    # The Django admin's colours fade from one to the other.
    page.evaluate(
        """() => document.getAnimations().forEach((fading) => {
          if (fading instanceof CSSTransition) fading.finish();
        })"""
    )


def take(address: str, cast: Cast, folder: Path, only: Sequence[str] = ()) -> dict[str, str]:
    """Each stop into `folder`, or those whose name begins with one of `only`; gives how each
    looks, as the index has it.

    Ends with `SystemExit`, naming them, where some couldn't be taken.
    """
    folder.mkdir(parents=True, exist_ok=True)
    stops = [s for s in (*WEB, *ADMIN) if not only or s.name.startswith(tuple(only))]
    if not only:
        for old in folder.glob("*.png"):
            old.unlink()
    weights, failed, looks = {}, [], {}
    with browser(address) as opened:
        for stop in stops:
            try:
                weights[stop.name] = _take(opened, cast, stop, folder)
            except (RuntimeError, Error) as error:
                failed.append(f"{stop.name}: {error}")
                continue
            taken = {name: folder / f"{name}.png" for name in names(stop)}
            looks |= index.looks(opened, taken)
    _write_index(folder, stops)
    sys.stdout.write(f"{'page':<28}{'requests':>9}{'on the wire':>13}{'unpacked':>11}\n")
    for name, weight in weights.items():
        sys.stdout.write(f"{name:<28}{weight.requests:>9}{weight.sent:>13,}{weight.raw:>11,}\n")
    sys.stdout.write(f"Look through {folder / 'index.html'}\n")
    if failed:
        raise SystemExit("\n".join(failed))
    return looks


def names(stop: Stop) -> list[str]:
    """What the pictures of a stop are called."""
    return [f"{stop.name}-{width}-{scheme}" for width in WIDTHS for scheme in SCHEMES]


def _take(opened: Browser, cast: Cast, stop: Stop, folder: Path) -> Weight:
    context = window(opened)
    context.set_default_timeout(10_000)
    sign_in(context, BASE, cast, stop.who)
    page = context.new_page()
    fit(page, WIDTHS[0], SCHEMES[0])
    weight = Weight()
    weight.watch(page)
    stop.go(page, BASE, cast)
    loaded = replace(weight)
    stop.act(page, cast)
    for width in WIDTHS:
        for scheme in SCHEMES:
            fit(page, width, scheme)
            # Nobody scrolls here, and each scheme has pictures of its own.
            page.evaluate(
                """async () => {
                  for (const image of document.images) image.loading = "eager";
                  await new Promise((go) => requestAnimationFrame(() => requestAnimationFrame(go)));
                  await Promise.all([...document.images].map((i) => i.decode().catch(() => {})));
                }"""
            )
            page.screenshot(path=folder / f"{stop.name}-{width}-{scheme}.png", full_page=True)
    context.close()
    return loaded


def _write_index(folder: Path, stops: Sequence[Stop]) -> None:
    shown = format_html_join(
        "\n",
        "<h2>{0}</h2><p>{1}</p>",
        (
            (
                stop.name,
                format_html_join(
                    " ",
                    '<a href="{0}"><img src="{0}" width="{1}" loading="lazy" alt="{0}"></a>',
                    (
                        (f"{stop.name}-{width}-{scheme}.png", width // 3)
                        for width in WIDTHS
                        for scheme in SCHEMES
                    ),
                ),
            )
            for stop in stops
        ),
    )
    page = format_html("<!DOCTYPE html><title>Pictures</title><h1>Every page</h1>{}", shown)
    (folder / "index.html").write_text(page, "utf-8")
