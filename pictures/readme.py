"""README's pictures: the list, an entry, and the form of a new one being filled in."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from django.db import connection
from playwright.sync_api import Page

from orgs.models import RegistryEntry

from . import cast as making
from .cast import Cast
from .hosts import HOST, SECRET
from .palette import moving, small
from .stops import WEB, sign_in
from .taking import BASE, SCHEMES, browser, window

MOST_BYTES = 1_000_000  # all of them together
SIZE = {"width": 1160, "height": 800}
STILLS = {"list": ("registries", 620), "entry": ("entry", 760)}  # stop, height
MOVING = "adding"
PATTERN = f"{HOST}/vision/*"


def take(address: str, cast: Cast, folder: Path) -> None:
    """Take all of them into `folder`; raises RuntimeError where they are too heavy."""
    folder.mkdir(parents=True, exist_ok=True)
    made = {}
    with browser(address) as opened:
        for name, (stop, height) in STILLS.items():
            context = window(opened, viewport=SIZE | {"height": height})
            sign_in(context, BASE, cast, "alice")
            page = context.new_page()
            next(s for s in WEB if s.name == stop).go(page, BASE, cast)
            for scheme in SCHEMES:
                page.emulate_media(color_scheme=scheme)  # type: ignore[arg-type]
                dark = "-dark" if scheme == "dark" else ""
                made[f"{name}{dark}.png"] = small(page, page.screenshot())
            context.close()
        context = window(opened, viewport=SIZE)
        sign_in(context, BASE, cast, "alice")
        page = context.new_page()
        frames = list(_adding(page, cast))
        made[f"{MOVING}.png"] = moving(page, frames)
        made[f"{MOVING}-still.png"] = small(page, frames[-1][0])
        context.close()
    for name, content in made.items():
        (folder / name).write_bytes(content)
    if (whole := sum(map(len, made.values()))) > MOST_BYTES:
        raise RuntimeError(f"README's pictures have {whole:,} bytes")


def _adding(page: Page, cast: Cast) -> Iterator[tuple[bytes, int]]:
    """The form as somebody fills it in, and the entry's page once it's verified; each with
    the milliseconds for which it stands."""
    page.goto(BASE + cast.address("entry_new"))
    # As it is here, no registry answers: what its page says in the end is the cast's.
    page.get_by_label("Verify after saving").uncheck()
    page.evaluate("scrollTo(0, 0)")
    yield page.screenshot(), 1200
    pattern = page.get_by_label("Match pattern")
    for end in (12, 20, 30, len(HOST), len(PATTERN) - 1):
        with page.expect_response("**/registries/help/"):
            pattern.fill(PATTERN[:end])
        yield page.screenshot(), 250
    with page.expect_response("**/registries/help/"):
        pattern.fill(PATTERN)
    page.locator("#help-policy summary, #help-policy pre").first.wait_for()
    yield page.screenshot(), 1800
    page.get_by_label("Access Key ID").fill(cast.named["key-id"])
    yield page.screenshot(), 900
    page.get_by_label("Secret Access Key").fill(SECRET)
    yield page.screenshot(), 1100
    page.get_by_role("button", name="Save").last.hover()
    yield page.screenshot(), 500
    page.get_by_role("button", name="Save").last.click()
    page.locator("#verification").wait_for()
    with ThreadPoolExecutor(1) as apart:  # Django asks no database where a browser is steered
        made = apart.submit(_verified).result()
        page.goto(BASE + cast.address("entry", entry_id=str(made.pk)))
        yield page.screenshot(), 4000
        apart.submit(made.delete).result()


def _verified() -> RegistryEntry:
    made = RegistryEntry.objects.filter(patterns__text=PATTERN).latest("created_at")
    making.verified(made, f"{HOST}/vision/train:v1.0")
    connection.close()
    return made
