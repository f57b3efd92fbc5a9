"""The guide's words, walked in Chromium: with scripts and without, by mouse and by keys."""

from __future__ import annotations

import re

import pytest
from playwright.sync_api import Page, expect

from orgs.models import RegistryEntry
from tests.conftest import CANARY, HOST

pytestmark = pytest.mark.once

KEY = "AKIAIOSFODNN7EXAMPLE"
NEW = "/organizations/acme/registries/new/"


def follow_the_guide(page: Page) -> None:
    """`Hi, <name>` → `Manage <organization>` → Registries → Add a new entry."""
    page.get_by_text("Hi, Alice").click()
    page.get_by_role("link", name="Manage Acme").click()
    page.get_by_role("link", name="Registries", exact=True).click()
    page.get_by_role("link", name="Add a new entry").first.click()
    expect(page.get_by_role("heading", level=1)).to_have_text("Add a new entry")


@pytest.mark.parametrize("scripts", [True, False], ids=["scripts", "no-scripts"])
def test_iam_credentials(scripts: bool, visit, alice) -> None:
    alices = visit(java_script_enabled=scripts)
    page = alices.sign_in_by_form("alice@example.com")
    follow_the_guide(page)
    page.get_by_label("Match pattern").fill(f"{HOST}/my-repo/*")
    page.get_by_label("Registry type").select_option(label="AWS ECR (IAM credentials)")
    page.get_by_label("Access Key ID").fill(KEY)
    page.get_by_label("Secret Access Key").fill(CANARY)
    page.get_by_label("Region").select_option("us-east-1")
    page.get_by_role("button", name="Save").click()
    expect(page.get_by_role("heading", level=1)).to_have_text(f"{HOST}/my-repo/*")
    expect(page.get_by_text("is saved.")).to_be_visible()
    expect(page.get_by_text(f"image: {HOST}/my-repo:v1.0")).to_be_visible()
    assert RegistryEntry.objects.get().config == {"access_key_id": KEY, "region": "us-east-1"}
    assert CANARY not in page.content()
    (saved,) = alices.carrying(CANARY[:20])
    assert saved.method == "POST" and "show_fields" not in (saved.post_data or "")


@pytest.mark.parametrize("scripts", [True, False], ids=["scripts", "no-scripts"])
def test_instance_role(scripts: bool, visit, alice) -> None:
    page = visit(java_script_enabled=scripts).sign_in("alice@example.com")
    follow_the_guide(page)
    page.get_by_label("Match pattern").fill(f"{HOST}/*")
    page.get_by_label("Registry type").select_option(label="AWS ECR (Instance Role)")
    if not scripts:
        page.get_by_role("button", name="Show its fields").click()
    page.get_by_label("Role name").fill("ValohaiWorkerRole")
    page.get_by_role("button", name="Save").click()
    expect(page.get_by_text("Checked on workers")).to_be_visible()
    wanted = {"role_name": "ValohaiWorkerRole", "region": "us-east-1"}
    assert RegistryEntry.objects.get().config == wanted


def test_another_type_keeps_what_was_typed_but_the_secret(visit, alice) -> None:
    alices = visit()
    page = alices.sign_in("alice@example.com")
    alices.go(NEW)
    expect(page.get_by_role("button", name="Show its fields")).to_be_hidden()
    page.get_by_label("Match pattern").fill(f"{HOST}/*")
    page.get_by_label("Access Key ID").fill(KEY)
    page.get_by_label("Secret Access Key").fill(CANARY)
    page.get_by_label("Region").select_option("eu-north-1")
    page.get_by_label("Registry type").select_option("aws-ecr-role")
    expect(page.get_by_label("Role name")).to_be_visible()
    expect(page.get_by_label("Access Key ID")).to_have_count(0)
    expect(page.get_by_label("Region")).to_have_value("eu-north-1")
    expect(page.get_by_role("status")).to_have_text("Fields of AWS ECR (Instance Role)")
    page.get_by_label("Registry type").select_option("aws-ecr")
    expect(page.get_by_label("Access Key ID")).to_have_value(KEY)
    expect(page.get_by_label("Secret Access Key")).to_have_value("")
    asked = [request for request in alices.requests if "fields=1" in request.url]
    assert [request.method for request in asked] == ["GET", "GET"]
    assert not alices.carrying(CANARY[:20]) and not alices.carrying(KEY)


def test_show_its_fields_without_scripts_keeps_and_drops(visit, alice) -> None:
    page = visit(java_script_enabled=False).sign_in("alice@example.com")
    page.goto(page.url.split("/organizations")[0] + NEW)
    page.get_by_label("Match pattern").fill(f"{HOST}/*")
    page.get_by_label("Secret Access Key").fill(CANARY)
    page.get_by_role("button", name="Show its fields").click()
    expect(page.get_by_label("Match pattern")).to_have_value(f"{HOST}/*")
    expect(page.get_by_label("Secret Access Key")).to_have_value("")
    expect(page.get_by_text("What you typed here wasn't kept.")).to_be_visible()
    assert not RegistryEntry.objects.exists()


def test_region_follows_the_pattern_until_touched(visit, alice) -> None:
    alices = visit()
    page = alices.sign_in("alice@example.com")
    alices.go(NEW)
    pattern, region = page.get_by_label("Match pattern"), page.get_by_label("Region")
    first = region.locator("option").first
    pattern.press_sequentially("123456789012.dkr.ecr.us-east-1")
    expect(region).to_have_value("")
    expect(first).to_have_text("From the pattern")
    pattern.press_sequentially(".amazonaws.com/*")
    expect(region).to_have_value("us-east-1")
    expect(first).to_have_text("From the pattern (us-east-1)")
    pattern.fill("123456789012.dkr-ecr-fips.us-west-2.on.aws/*")
    expect(region).to_have_value("us-west-2")
    pattern.fill(f"{HOST}/*\n{HOST.replace('us-east-1', 'eu-west-1')}/*")
    expect(region).to_have_value("")
    region.select_option("eu-north-1")
    pattern.fill(f"{HOST}/*")
    expect(region).to_have_value("eu-north-1")
    expect(first).to_have_text("From the pattern (us-east-1)")
    region.select_option("")
    pattern.fill(f"{HOST}/my-repo/*")
    expect(region).to_have_value("us-east-1")


@pytest.mark.parametrize("scripts", [True, False], ids=["scripts", "no-scripts"])
def test_by_keyboard(scripts: bool, visit, alice) -> None:
    alices = visit(java_script_enabled=scripts)
    page = alices.sign_in("alice@example.com")
    for path in ("/organizations/acme/", "/organizations/acme/registries/", NEW):
        alices.go(path)
        page.keyboard.press("Tab")
        expect(page.locator(":focus")).to_have_text("Skip to content")
        expect(page.locator(":focus")).to_be_in_viewport()
    page.keyboard.press("Enter")
    page.get_by_label("Match pattern").focus()
    page.keyboard.type(f"{HOST}/keys/*")
    page.keyboard.press("Tab")
    expect(page.get_by_label("Registry type")).to_be_focused()
    page.keyboard.press("Tab")
    if not scripts:
        expect(page.get_by_role("button", name="Show its fields")).to_be_focused()
        page.keyboard.press("Tab")
    expect(page.locator(":focus")).to_contain_text("Guide")
    page.keyboard.press("Tab")
    expect(page.locator(":focus")).to_have_text("Which one fits?")
    page.keyboard.press("Tab")
    page.keyboard.type(KEY)
    page.keyboard.press("Tab")
    page.keyboard.type(CANARY)
    page.keyboard.press("Enter")
    expect(page.get_by_role("heading", level=1)).to_have_text(f"{HOST}/keys/*")


def test_menu_by_keyboard(visit, alice) -> None:
    page = visit().sign_in("alice@example.com")
    summary = page.get_by_text("Hi, Alice")
    summary.focus()
    page.keyboard.press("Enter")
    page.keyboard.press("Tab")
    expect(page.get_by_role("link", name="Manage Acme")).to_be_focused()
    page.keyboard.press("Escape")
    expect(summary).to_be_focused()
    expect(page.get_by_role("link", name="Manage Acme")).to_be_hidden()
    summary.click()
    page.get_by_role("button", name="Sign out").click()
    expect(page.get_by_role("heading", level=1)).to_have_text("Sign in")


@pytest.mark.parametrize("scripts", [True, False], ids=["scripts", "no-scripts"])
def test_errors_are_focused_and_lead_to_their_field(scripts: bool, visit, alice) -> None:
    alices = visit(java_script_enabled=scripts)
    page = alices.sign_in("alice@example.com")
    alices.go(NEW)
    page.get_by_label("Match pattern").fill(f"{HOST}/my-repo:v1")
    page.get_by_label("Access Key ID").fill(KEY)
    page.get_by_label("Secret Access Key").fill(CANARY)
    page.get_by_role("button", name="Save").click()
    expect(page).to_have_title(re.compile("^Error: Add a new entry"))
    expect(page.locator("#errors")).to_be_focused()
    page.get_by_role("link", name="Match pattern: a tag in the pattern").click()
    expect(page.get_by_label("Match pattern")).to_be_focused()
    expect(page.get_by_label("Access Key ID")).to_have_value(KEY)
    expect(page.get_by_label("Secret Access Key")).to_have_value("")
    assert CANARY not in page.content()


@pytest.mark.parametrize("scripts", [True, False], ids=["scripts", "no-scripts"])
def test_replace_the_secret(scripts: bool, visit, alice, make_entry, aws) -> None:
    entry = make_entry()
    key_id, secret = aws.create_user("new", aws.policy())
    alices = visit(java_script_enabled=scripts)
    page = alices.sign_in("alice@example.com")
    alices.go(f"/organizations/acme/registries/{entry.pk}/edit/")
    expect(page.get_by_label("Secret Access Key")).to_have_count(0)
    page.get_by_label("Access Key ID").fill(key_id)
    page.get_by_role("button", name="Replace").click()
    expect(page.get_by_label("Access Key ID")).to_have_value(key_id)
    page.get_by_label("Secret Access Key").fill(secret)
    page.get_by_role("button", name="Save").click()
    expect(page.get_by_text("Access Key ID: AKIAIOSFODNN7EXAMPLE")).to_be_visible()
    assert RegistryEntry.objects.get().config["access_key_id"] == key_id


def test_copy(visit, alice, make_entry) -> None:
    entry = make_entry(f"{HOST}/my-repo/*")
    alices = visit(permissions=["clipboard-read", "clipboard-write"])
    page = alices.sign_in("alice@example.com")
    alices.go(f"/organizations/acme/registries/{entry.pk}/")
    page.get_by_role("button", name="Copy").click()
    expect(page.get_by_role("button", name="Copied")).to_be_visible()
    assert page.evaluate("navigator.clipboard.readText()") == f"image: {HOST}/my-repo:v1.0"
    # What people select and copy has no breaks in it, however it wraps.
    assert page.evaluate("document.querySelector('h1').innerText") == f"{HOST}/my-repo/*"


@pytest.mark.parametrize("width", [320, 390, 1280])
def test_nothing_is_wider_than_the_window(width, visit, alice, project, gpu, make_entry) -> None:
    wide = "123456789012.dkr.ecr.ap-southeast-1.amazonaws.com"
    entry = make_entry([f"{wide}/{'long-' * 20}name/*", f"{wide}/{'x' * 120}"], note="y" * 300)
    RegistryEntry.objects.update(status="failing", status_detail="z" * 400)
    alices = visit(viewport={"width": width, "height": 800})
    page = alices.sign_in("alice@example.com")
    organization = "/organizations/acme/"
    registries = f"{organization}registries/"
    one = f"{registries}{entry.pk}/"
    for path in (organization, registries, NEW, one, f"{one}edit/", f"{one}delete/"):
        alices.go(path)
        assert alices.sideways <= 0, path
    alices.go(NEW)
    page.get_by_label("Match pattern").fill(f"https://{wide}/{'x' * 150}")
    page.get_by_role("button", name="Save").click()
    expect(page.locator("#errors")).to_be_visible()
    assert alices.sideways <= 0
    page.get_by_text("Hi, Alice").click()
    assert alices.sideways <= 0
