"""Two at one entry in Chromium: the slower is told who was faster, and loses nothing typed."""

from __future__ import annotations

import os

import pytest
from playwright.sync_api import expect

from orgs.models import AuditEvent, RegistryEntry
from orgs.services.audit.events import Actor
from orgs.services.entries import door
from orgs.services.entries.changing import EntryChange
from tests.conftest import HOST
from tests.web.conftest import url

pytestmark = pytest.mark.once


@pytest.mark.parametrize("width", [1280, 390])
def test_the_slower_one(width, visit, alice, bob, gpu, make_entry) -> None:
    entry = make_entry([f"{HOST}/a/*", f"{HOST}/b/*"], environments=[gpu], note="ours")
    alices = visit(viewport={"width": width, "height": 900})
    alices.sign_in("alice@example.com")
    page = alices.go(url("entry_edit", entry))
    page.get_by_label("Note").fill("typed")
    theirs = EntryChange(enabled=False, patterns=[f"{HOST}/c/*"])
    door.entry_update(entry=entry, actor=Actor("bob", bob), change=theirs)
    page.get_by_role("button", name="Save").click()
    told = "bob@example.com changed this entry since you opened it: Match pattern, Enabled."
    expect(page.get_by_role("alert")).to_contain_text(told)
    if shots := os.environ.get("SHOTS"):
        page.screenshot(path=f"{shots}/meanwhile-{width}.png", full_page=True)
    expect(page.get_by_label("Note")).to_have_value("typed")
    expect(page.get_by_label("Match pattern")).to_have_value(f"{HOST}/c/*")
    expect(page.get_by_label("Enabled")).not_to_be_checked()
    assert alices.sideways <= 0
    page.get_by_role("button", name="Save").click()
    expect(page.get_by_text("is saved.")).to_be_visible()
    found = RegistryEntry.objects.get()
    assert (found.note, found.enabled, found.pattern_texts) == ("typed", False, [f"{HOST}/c/*"])
    (mine,) = AuditEvent.objects.filter(action="entry.updated", actor="alice@example.com")
    assert mine.properties["changes"] == {"note": ["ours", "typed"]}
