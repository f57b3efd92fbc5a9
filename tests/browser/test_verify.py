"""Verify in Chromium: by itself after saving, and again by button, without leaving the page."""

from __future__ import annotations

import pytest
from playwright.sync_api import expect

from orgs.models import RegistryEntry
from orgs.services.upstream import calls
from tests.conftest import HOST

pytestmark = pytest.mark.once

NEW = "/organizations/acme/registries/new/"
IMAGE = f"{HOST}/my-ml-image:v1.0"


@pytest.fixture(autouse=True)
def no_pauses(monkeypatch):
    monkeypatch.setattr(calls, "PAUSES", {})


def add(page, key_id, secret):
    page.get_by_label("Match pattern").fill(f"{HOST}/*")
    page.get_by_label("Access Key ID").fill(key_id)
    page.get_by_label("Secret Access Key").fill(secret)
    page.get_by_label("Image to check").fill(IMAGE)
    page.get_by_role("button", name="Save").click()


def test_saved_and_verified(visit, alice, aws, ecr) -> None:
    key_id, secret = aws.create_user("valohai", aws.policy())
    alices = visit()
    page = alices.sign_in("alice@example.com")
    alices.go(NEW)
    add(page, key_id, secret)
    expect(page.locator("#state")).to_contain_text("Verified")
    expect(page.get_by_text(f"{IMAGE} can be pulled.")).to_be_visible()
    expect(page.get_by_role("status").filter(has_text="Checked. ● Verified")).to_be_attached()
    assert [r.method for r in alices.requests if "/verify/" in r.url] == ["POST"]
    (saved,) = alices.carrying(secret[:20])
    assert saved.url.endswith("/new/")
    page.reload()
    expect(page.get_by_text(f"{IMAGE} can be pulled.")).to_be_visible()
    assert len([r for r in alices.requests if "/verify/" in r.url]) == 1


def test_failing_then_mended_by_keyboard(visit, alice, aws, ecr) -> None:
    key_id, secret = aws.create_user("valohai")
    alices = visit(viewport={"width": 390, "height": 844})
    page = alices.sign_in("alice@example.com")
    alices.go(NEW)
    add(page, key_id, secret)
    expect(page.locator("#state")).to_contain_text("Failing")
    expect(page.locator("#verification").get_by_text("Attach the policy below")).to_be_visible()
    assert alices.sideways <= 0
    aws.put_policy("valohai", aws.policy())
    page.get_by_role("button", name="Verify").focus()
    page.keyboard.press("Enter")
    expect(page.locator("#state")).to_contain_text("Verified")
    field = page.get_by_label("Image to check")
    field.fill(f"{HOST}/my-ml-image:v2")
    field.press("Enter")
    expect(page.get_by_text("can be pulled.")).to_have_count(0)
    expect(page.locator("#verification")).to_be_focused()
    assert RegistryEntry.objects.get().status == "unverified"  # there is no such image


def test_without_scripts(visit, alice, aws, ecr) -> None:
    key_id, secret = aws.create_user("valohai", aws.policy())
    alices = visit(java_script_enabled=False)
    page = alices.sign_in("alice@example.com")
    alices.go(NEW)
    add(page, key_id, secret)
    expect(page.get_by_text("Press Verify to see that it works.")).to_be_visible()
    page.get_by_role("button", name="Verify").click()
    expect(page.get_by_text(f"{IMAGE} can be pulled.")).to_be_visible()
    expect(page.locator("#state")).to_contain_text("Verified")


def test_staff_in_the_admin(visit, staff, acme, aws, ecr) -> None:
    """The same form, saved in the admin; and what is said beside the steps is said too."""
    key_id, secret = aws.create_user("valohai", aws.policy())
    staffs = visit()
    page = staffs.sign_in("staff@example.com")
    staffs.go(f"/admin/orgs/registryentry/add/?organization={acme.pk}")
    expect(page.get_by_label("Verify after saving")).to_be_checked()
    page.get_by_label("Match pattern").fill(f"{HOST}/*")
    page.get_by_label("Access Key ID").fill(key_id)
    page.get_by_label("Secret Access Key").fill(secret)
    page.get_by_label("Image to check").fill(IMAGE)
    page.get_by_role("button", name="Save").last.click()
    expect(page.locator("#state")).to_contain_text("Verified")
    expect(page.get_by_text(f"{IMAGE} can be pulled.")).to_be_visible()
    expect(page.locator("#history")).to_contain_text("Checked: it works.")
    assert [r.method for r in staffs.requests if "/verify/" in r.url] == ["POST"]
    page.locator("#verification").get_by_label("Image to check").fill("python:3")
    page.get_by_role("button", name="Verify").click()
    expect(page.get_by_text("isn't among the images that this entry serves.")).to_be_visible()
    (saved,) = staffs.carrying(secret[:20])
    assert "/add/" in saved.url
