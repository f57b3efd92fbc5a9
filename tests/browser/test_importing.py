"""Bulk import, many at once and a failing new key, walked in Chromium."""

from __future__ import annotations

from pathlib import Path

import pytest
from playwright.sync_api import expect

from orgs.models import AuditEvent, ImportDraft, RegistryEntry
from orgs.services.entries import door
from orgs.services.upstream import calls
from tests.conftest import CANARY, HOST

pytestmark = pytest.mark.once

KEY = "AKIAIOSFODNN7EXAMPLE"
LIST = "/organizations/acme/registries/"
HEADER = "image_pattern,type,access_key_id,secret_access_key,note"
with_and_without = pytest.mark.parametrize("scripts", [True, False], ids=["scripts", "no-scripts"])


@pytest.fixture
def write(tmp_path):
    def write(*patterns: str) -> Path:
        file = tmp_path / "entries.csv"
        rows = [f"{HOST}/{pattern},aws-ecr,{KEY},{CANARY}," for pattern in patterns]
        file.write_text("\n".join([HEADER, *rows, ""]))
        return file

    return write


@with_and_without
def test_mend_preview_import(scripts, visit, alice, write, tmp_path) -> None:
    alices = visit(java_script_enabled=scripts)
    page = alices.sign_in("alice@example.com")
    alices.go(LIST)
    page.get_by_role("link", name="Import").click()
    page.get_by_label("File").set_input_files(write("a", "b:v1"))
    page.get_by_role("button", name="Preview").click()
    expect(page.get_by_role("heading", level=1)).to_have_text("Import preview: entries.csv")
    expect(page.get_by_role("alert")).to_contain_text(
        "Mend this one and choose the file again, or have it corrected"
    )
    with page.expect_download() as download:
        page.get_by_role("link", name="Download errors").click()
    told = Path(download.value.path()).read_text()
    assert f"3,image_pattern,{HOST}/b:v1," in told and CANARY not in told
    page.get_by_role("button", name="Correct 1 row and look again").click()
    expect(page.get_by_text("1 row: a tag in the pattern; row 3")).to_be_visible()
    expect(page.get_by_text("2 new, 0 changed, 0 unchanged.")).to_be_visible()
    assert CANARY not in page.content() and not RegistryEntry.objects.exists()
    page.get_by_role("button", name="Import 2 entries").click()
    expect(page.get_by_role("status").first).to_contain_text("entries.csv is imported: 2 new")
    assert RegistryEntry.objects.count() == 2 and not ImportDraft.objects.exists()
    assert all(CANARY not in request.url for request in alices.requests)


@with_and_without
def test_many_at_once(scripts, visit, alice, make_entry) -> None:
    for n in range(3):
        make_entry(f"{HOST}/a{n}")
    alices = visit(java_script_enabled=scripts)
    page = alices.sign_in("alice@example.com")
    alices.go(f"{LIST}?sort=pattern")
    bar = page.get_by_role("group", name="With the selected entries")
    expect(bar).to_be_hidden()
    if scripts:
        every = page.get_by_label("Select all on this page")
        every.check()
        page.get_by_label(f"Select {HOST}/a0").uncheck()
        assert every.evaluate("box => box.indeterminate")
    else:
        for n in (1, 2):
            page.get_by_label(f"Select {HOST}/a{n}").check()
    expect(bar).to_be_in_viewport()
    if scripts:
        whole = page.get_by_label("Select all 3")
        whole.check()
        expect(page.get_by_label(f"Select {HOST}/a0")).to_be_checked()
        expect(page.locator("#told")).to_have_text("3 selected")
        page.get_by_label(f"Select {HOST}/a0").uncheck()
        expect(whole).not_to_be_checked()
    with page.expect_download() as download:
        page.get_by_role("button", name="Export").click()
    exported = Path(download.value.path()).read_text()
    assert exported.count(HOST) == 2 and CANARY not in exported
    page.get_by_role("button", name="Disable").click()
    page.get_by_role("button", name="Disable 2 entries").click()
    expect(page.get_by_text("2 entries are disabled.")).to_be_visible()
    page.get_by_role("button", name="Undo").click()
    expect(page.get_by_text("2 entries are enabled again, as before.")).to_be_visible()
    for n in (1, 2):
        page.get_by_label(f"Select {HOST}/a{n}").check()
    page.get_by_role("button", name="Disable").click()
    page.get_by_role("button", name="Disable 2 entries").click()
    assert "/registries/" in page.url
    assert RegistryEntry.objects.get(enabled=True).pattern_texts == [f"{HOST}/a0"]
    page.get_by_label(f"Select {HOST}/a0").check()
    page.get_by_label("Select all 3").check()
    expect(bar.get_by_text("3 selected", exact=True)).to_be_visible()
    page.get_by_role("button", name="Delete").click()
    page.get_by_role("button", name="Delete 3 entries").click()
    expect(page.get_by_text("3 entries are deleted.")).to_be_visible()
    assert not RegistryEntry.objects.exists()


def test_narrow_and_many(visit, alice, make_entry, write) -> None:
    for n in range(3):
        make_entry(f"{HOST}/a-long-team-name/with-a-long-repository-name-{n}/*")
    alices = visit(viewport={"width": 320, "height": 844}, has_touch=True, is_mobile=True)
    page = alices.sign_in("alice@example.com")
    alices.go(LIST)
    assert alices.sideways <= 0
    tick = page.get_by_label(f"Select {HOST}").first
    box = tick.bounding_box()
    assert box is not None and min(box["width"], box["height"]) >= 44
    # all else of the row leads to the entry, and the line of pages scrolls to this one
    tick.tap()
    expect(tick).to_be_checked()
    row = page.locator("tbody tr").first.bounding_box()
    assert row is not None and page.url.endswith("/registries/")
    page.touchscreen.tap(row["x"] + row["width"] - 8, row["y"] + row["height"] - 8)
    expect(page.get_by_role("heading", level=1)).to_contain_text(HOST)
    alices.go("/organizations/acme/audit/")
    expect(page.get_by_role("link", name="Audit log")).to_be_in_viewport(ratio=1)
    assert alices.sideways <= 0
    alices.go(LIST)
    page.get_by_label("More").tap()
    page.get_by_role("link", name="Import").tap()
    expect(page.get_by_role("heading", level=1)).to_have_text("Import entries")
    assert alices.sideways <= 0
    page.get_by_label("File").set_input_files(write("a" * 100, f"{'b' * 100}:v1"))
    page.get_by_role("button", name="Preview").click()
    expect(page.get_by_role("heading", level=1)).to_contain_text("Import preview")
    assert alices.sideways <= 0


@with_and_without
def test_a_failing_new_key(scripts, visit, alice, make_entry, aws, monkeypatch) -> None:
    monkeypatch.setattr(calls, "PAUSES", {})
    entry = make_entry()
    alices = visit(java_script_enabled=scripts)
    page = alices.sign_in("alice@example.com")
    alices.go(f"{LIST}{entry.pk}/")
    page.get_by_role("link", name="Replace").click()
    secret = page.get_by_label("Secret Access Key")
    secret.fill("b" * 40)
    page.get_by_role("button", name="Save").last.click()
    told = "Secret Access Key: the key isn't known, or is inactive"
    expect(page.get_by_role("alert")).to_contain_text(told)
    expect(page.locator("#id_secret_access_key_error")).to_contain_text(
        "so the old one stays in use"
    )
    expect(secret).to_have_value("")
    assert door.revealed(RegistryEntry.objects.get()) == {"secret_access_key": CANARY}
    secret.fill("b" * 40)
    page.get_by_label("Use it anyway").check()
    page.get_by_role("button", name="Try again").click()
    expect(page.get_by_text("is saved.")).to_be_visible()
    assert door.revealed(RegistryEntry.objects.get()) == {"secret_access_key": "b" * 40}


@pytest.mark.parametrize("width", [1280, 390])
def test_staff_import_in_the_admin(width, visit, acme, staff, write, make_entry) -> None:
    make_entry(f"{HOST}/a", note="before")
    staffs = visit(viewport={"width": width, "height": 900})
    page = staffs.sign_in("staff@example.com")
    staffs.go(f"/admin/orgs/organization/{acme.pk}/change/")
    page.get_by_role("link", name="Import", exact=True).click()
    expect(page.get_by_text("You act as staff; Acme's audit log shows it.")).to_be_visible()
    assert staffs.sideways <= 0
    page.get_by_label("File").set_input_files(write("a", "b:v1", "long/" * 40))
    page.get_by_role("button", name="Preview").click()
    expect(page.get_by_role("alert")).to_contain_text("and choose the file again.")
    assert staffs.sideways <= 0
    with page.expect_download() as download:
        page.get_by_role("link", name="Download errors").click()
    assert CANARY not in Path(download.value.path()).read_text()
    page.get_by_role("link", name="Choose the file again").click()
    page.get_by_label("File").set_input_files(write("a", "b"))
    page.get_by_label("Update entries that differ").check()
    page.get_by_role("button", name="Preview").click()
    expect(page.get_by_text("1 new, 1 changed, 0 unchanged.")).to_be_visible()
    assert staffs.sideways <= 0 and CANARY not in page.content()
    page.get_by_role("button", name="Import 2 entries").click()
    expect(page.get_by_role("heading", level=1)).to_have_text("Registries of Acme")
    expect(page.get_by_text("entries.csv is imported: 1 new, 1 changed")).to_be_visible()
    assert AuditEvent.objects.filter(staff=True, actor=staff.email).count() == 2
