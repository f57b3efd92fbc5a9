"""Many verified in Chromium: begun from the list, seen as it comes, stopped; without scripts,
too."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from playwright.sync_api import expect

from orgs.models import Run
from orgs.services.runs import going
from orgs.services.runs.runner import Runner
from orgs.services.upstream import calls
from tests.conftest import HOST
from valohai_registries.long_work import WORK

pytestmark = pytest.mark.once
LIST = "/organizations/acme/registries/"


@pytest.fixture
def runner(monkeypatch) -> Iterator[Runner]:
    monkeypatch.setattr(calls, "PAUSES", {})
    going.wake.clear()
    running = Runner(WORK, every=0.2)
    yield running
    running.stop()


@pytest.mark.parametrize("scripts", [True, False], ids=["scripts", "no-scripts"])
def test_many_are_verified(scripts: bool, visit, alice, aws, make_entry, runner) -> None:
    for n in range(3):
        make_entry(f"{HOST}/wrong-{n}/*")
    alices = visit(java_script_enabled=scripts, viewport={"width": 390, "height": 844})
    page = alices.sign_in("alice@example.com")
    alices.go(LIST)
    for box in page.get_by_role("checkbox", name=f"Select {HOST}").all():
        box.check()
    page.get_by_role("button", name="Verify", exact=True).click()
    expect(page.get_by_role("heading", name="Verifying 3 entries")).to_be_visible()
    expect(page.get_by_text("0 of 3", exact=True)).to_be_visible()
    expect(page).to_have_title("0 of 3 · Verifying 3 entries · Acme · Valohai Registries")
    stop = page.get_by_role("button", name="Stop")
    stop.focus()
    assert alices.sideways <= 0
    runner.start()
    expect(page.get_by_text("0 of 3 verified.")).to_be_visible(timeout=15_000)
    expect(page.get_by_role("button", name="Verify the failed again")).to_be_visible()
    expect(page.get_by_text(f"{HOST}/wrong-0/*").first).to_be_visible()
    asked = len(alices.requests)
    page.wait_for_timeout(1500)
    assert len(alices.requests) == asked  # it's over: nothing is asked any more


def test_stopped_by_its_button(visit, alice, make_entry, runner) -> None:
    make_entry(f"{HOST}/wrong/*")
    alices = visit()
    page = alices.sign_in("alice@example.com")
    alices.go(LIST)
    page.get_by_role("checkbox", name=f"Select {HOST}").check()
    page.get_by_role("button", name="Verify", exact=True).click()
    page.get_by_role("button", name="Stop").click()
    expect(page.get_by_role("button", name="Stopping…")).to_be_visible()
    alices.go(LIST)
    expect(page.get_by_text("Verifying: 0 of 1.")).to_be_visible()
    page.get_by_role("link", name="See how far it is").click()
    runner.start()
    expect(page.get_by_text("Stopped after")).to_be_visible(timeout=15_000)
    assert Run.objects.get().state == "stopped"
