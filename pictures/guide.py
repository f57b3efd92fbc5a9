"""The guide's pictures of the real pages, cut to what matters, light and dark."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from playwright.sync_api import Page

from .cast import Cast
from .palette import small
from .stops import WEB, sign_in
from .taking import BASE, SCHEMES, browser, window

MOST_BYTES = 80_000
MARGIN = 8
STOPS = {stop.name: stop for stop in WEB}


@dataclass(frozen=True)
class Picture:
    """Cut around all that `around` selects, `most` pixels high at most."""

    name: str
    stop: str
    around: str
    most: int = 900
    width: int = 1000


PICTURES = (
    Picture("registries-menu", "overview-menu", "header.top, .menu-items, .tabs", width=760),
    Picture("entry-form", "new-filled", "main h1, main .entry-form", 1100, 1100),
    Picture("entry", "entry", "main .head, #verification", width=820),
    Picture("entry-failing", "entry-denied", "main .head, #wrong, #verification", width=820),
    Picture("policy", "entry", "#policy", width=820),
    Picture("import-preview", "import-preview", "main h1, main table", width=900),
    Picture("worker-setup", "worker-setup", "main h1, main form, main .recipes", 736, 820),
    Picture("check", "check-served", "main h1, main h1 + .check-form, #result", width=900),
)


def take(address: str, cast: Cast, folder: Path) -> None:
    """Take all of them into `folder`; raises RuntimeError for one that is too heavy."""
    with browser(address) as opened:
        for picture in PICTURES:
            stop = STOPS[picture.stop]
            context = window(opened, viewport={"width": picture.width, "height": 900})
            sign_in(context, BASE, cast, stop.who)
            page = context.new_page()
            stop.open(page, BASE, cast)
            clip = _around(page, picture)
            for scheme in SCHEMES:
                page.emulate_media(color_scheme=scheme)  # type: ignore[arg-type]
                dark = "-dark" if scheme == "dark" else ""
                path = folder / f"{picture.name}{dark}.png"
                taken = page.screenshot(clip=clip, full_page=True)  # type: ignore[arg-type]
                path.write_bytes(small(page, taken))
                if path.stat().st_size > MOST_BYTES:
                    raise RuntimeError(f"{path.name} has {path.stat().st_size:,} bytes")
            context.close()


def _around(page: Page, picture: Picture) -> dict[str, float]:
    """The part of the page to show: all that was asked for, and a margin."""
    page.evaluate("scrollTo(0, 0)")  # boxes are told from where one looks
    boxes = [found.bounding_box() for found in page.locator(picture.around).all()]
    seen = [box for box in boxes if box is not None]
    left = max(0, min(box["x"] for box in seen) - MARGIN)
    top = max(0, min(box["y"] for box in seen) - MARGIN)
    right = min(picture.width, max(box["x"] + box["width"] for box in seen) + MARGIN)
    bottom = max(box["y"] + box["height"] for box in seen) + MARGIN
    height = min(bottom - top, picture.most)
    return {"x": left, "y": top, "width": right - left, "height": height}
