"""Staff walk the admin in Chromium, under the product's own content security policy."""

from __future__ import annotations

import pytest
from playwright.sync_api import Page, expect

from orgs.models import AuditEvent, RegistryEntry
from orgs.registries.catalogue import BY_SLUG
from tests.conftest import CANARY, HOST, PASSWORD

pytestmark = pytest.mark.once

KEY = "AKIAIOSFODNN7EXAMPLE"
DOCKER = "registry.example.com/team/*"
with_and_without = pytest.mark.parametrize("scripts", [True, False], ids=["scripts", "no-scripts"])


def to_the_form(staffs) -> Page:
    """Organization's page → *Registries* → *Add a new entry*."""
    page = staffs.go("/admin/")
    page.get_by_label("E-mail").fill("staff@example.com")
    page.get_by_label("Password").fill(PASSWORD)
    page.get_by_role("button", name="Sign in", exact=True).click()
    page.get_by_role("link", name="Organizations", exact=True).click()
    page.get_by_role("link", name="Acme").click()
    page.get_by_role("link", name="Registries", exact=True).click()
    expect(page.get_by_role("heading", level=1)).to_have_text("Registries of Acme")
    page.get_by_role("link", name="Add a new entry").click()
    expect(page.get_by_role("heading", level=1)).to_have_text("Add a new entry")
    expect(page.get_by_text("You act as staff; Acme's audit log shows it.")).to_be_visible()
    return page


def choose(page: Page, label: str, scripts: bool) -> None:
    page.get_by_label("Registry type").select_option(label=label)
    if not scripts:
        page.get_by_role("button", name="Show its fields").click()


def saved(page: Page, pattern: str) -> RegistryEntry:
    after = page.get_by_label("Verify after saving")
    if after.is_visible():
        after.uncheck()  # which tests/browser/test_verify.py is about
    page.get_by_role("button", name="Save").last.click()
    expect(page.get_by_text(f"{pattern} is saved.")).to_be_visible()
    expect(page.get_by_role("heading", level=1)).to_have_text(pattern)
    expect(page.get_by_text("staff@example.com (staff)")).to_be_visible()
    assert CANARY not in page.content()
    event = AuditEvent.objects.get(action="entry.created")
    assert event.staff and event.organization == "Acme"
    return RegistryEntry.objects.get()


@with_and_without
def test_iam_credentials(scripts: bool, visit, staff, acme) -> None:
    staffs = visit(java_script_enabled=scripts)
    page = to_the_form(staffs)
    page.get_by_label("Match pattern").fill(f"{HOST}/my-repo/*")
    page.get_by_label("Access Key ID").fill(KEY)
    page.get_by_label("Secret Access Key").fill(CANARY)
    page.get_by_label("Region").select_option("us-east-1")
    entry = saved(page, f"{HOST}/my-repo/*")
    assert entry.config == {"access_key_id": KEY, "region": "us-east-1"}
    (carrying,) = staffs.carrying(CANARY[:20])
    assert carrying.method == "POST"


@with_and_without
def test_instance_role(scripts: bool, visit, staff, acme) -> None:
    page = to_the_form(visit(java_script_enabled=scripts))
    page.get_by_label("Match pattern").fill(f"{HOST}/*")
    choose(page, "AWS ECR (Instance Role)", scripts)
    page.get_by_label("Role name").fill("ValohaiWorkerRole")
    entry = saved(page, f"{HOST}/*")
    assert entry.config == {"role_name": "ValohaiWorkerRole", "region": "us-east-1"}
    expect(page.get_by_text("Checked on workers").first).to_be_visible()


@pytest.mark.skipif("docker" not in BY_SLUG, reason="the catalogue has no such type yet")
@with_and_without
def test_docker(scripts: bool, visit, staff, acme) -> None:
    page = to_the_form(visit(java_script_enabled=scripts))
    page.get_by_label("Match pattern").fill(DOCKER)
    choose(page, "Docker registry (username and password)", scripts)
    for example in ("#pattern-example", "#image-example"):
        expect(page.locator(example)).to_contain_text("Example: docker.io/your-team/")
    page.get_by_label("Username").fill("puller")
    page.get_by_label("Password").fill(CANARY)
    assert saved(page, DOCKER).config == {"username": "puller"}


@with_and_without
def test_replace_and_errors(scripts: bool, visit, staff, make_entry, aws) -> None:
    entry = make_entry()
    key_id, secret = aws.create_user("new", aws.policy())
    staffs = visit(java_script_enabled=scripts)
    page = staffs.sign_in("staff@example.com")
    staffs.go(f"/admin/orgs/registryentry/{entry.pk}/change/")
    expect(page.get_by_label("Secret Access Key")).to_have_count(0)
    page.get_by_label("Access Key ID").fill(key_id)
    page.get_by_role("button", name="Replace").click()
    expect(page.get_by_label("Access Key ID")).to_have_value(key_id)
    page.get_by_label("Match pattern").fill(f"{HOST}/a:v1")
    page.get_by_label("Secret Access Key").fill(CANARY)
    page.get_by_role("button", name="Save").last.click()
    expect(page.locator("#errors")).to_be_focused()
    page.locator("#errors").get_by_role("link").click()
    expect(page.get_by_label("Match pattern")).to_be_focused()
    expect(page.get_by_label("Secret Access Key")).to_have_value("")
    page.get_by_label("Match pattern").fill(f"{HOST}/a/*")
    page.get_by_label("Secret Access Key").fill(secret)
    page.get_by_role("button", name="Save").last.click()
    expect(page.get_by_text(f"{HOST}/a/* is saved.")).to_be_visible()
    assert RegistryEntry.objects.get().config["access_key_id"] == key_id


def test_another_type_swaps_the_fields_without_a_secret(visit, staff, acme) -> None:
    staffs = visit()
    page = to_the_form(staffs)
    page.get_by_label("Access Key ID").fill(KEY)
    page.get_by_label("Secret Access Key").fill(CANARY)
    choose(page, "AWS ECR (Instance Role)", True)
    expect(page.get_by_label("Role name")).to_be_visible()
    expect(page.get_by_label("Access Key ID")).to_have_count(0)
    choose(page, "AWS ECR (IAM credentials)", True)
    expect(page.get_by_label("Access Key ID")).to_have_value(KEY)
    expect(page.get_by_label("Secret Access Key")).to_have_value("")
    assert not staffs.carrying(CANARY[:20])


def test_autocomplete(visit, staff, acme, charlie) -> None:
    staffs = visit()
    page = staffs.sign_in("staff@example.com")
    staffs.go("/admin/orgs/registryentry/add/")
    page.get_by_role("combobox").click()
    page.get_by_role("searchbox").fill("acm")
    page.get_by_role("option", name="Acme").click()
    page.get_by_role("button", name="Continue").click()
    expect(page.get_by_label("Match pattern")).to_be_visible()
    staffs.go(f"/admin/orgs/membership/add/?organization={acme.pk}")
    page.get_by_role("combobox").nth(1).click()
    page.get_by_role("searchbox").fill("char")
    page.get_by_role("option", name="charlie@example.com").click()
    page.get_by_role("button", name="Save").click()
    expect(page.get_by_text("was added successfully")).to_be_visible()
    assert acme.memberships.get().user == charlie


def test_disable_all_of_a_list(visit, staff, make_entry) -> None:
    make_entry()
    make_entry(f"{HOST}/a/*")
    staffs = visit()
    page = staffs.sign_in("staff@example.com")
    staffs.go("/admin/orgs/registryentry/")
    page.locator("#action-toggle").check()
    page.locator("select[name=action]").select_option("disable")
    page.get_by_role("button", name="Go").click()
    page.get_by_role("button", name="Disable").click()
    expect(page.get_by_text("2 entries are disabled.")).to_be_visible()
    assert not RegistryEntry.objects.filter(enabled=True).exists()


@pytest.mark.parametrize("width", [390, 1280])
def test_nothing_is_wider_than_the_window(width, visit, staff, acme, alice, gpu, make_entry):
    wide = "123456789012.dkr.ecr.ap-southeast-1.amazonaws.com"
    entry = make_entry([f"{wide}/{'long-' * 20}name/*", f"{wide}/{'x' * 120}"], note="y" * 300)
    RegistryEntry.objects.update(status="failing", status_detail="z" * 400)
    staffs = visit(viewport={"width": width, "height": 800})
    page = staffs.sign_in("staff@example.com")
    for path in (
        "",
        "orgs/organization/",
        f"orgs/organization/{acme.pk}/change/",
        f"orgs/organization/{acme.pk}/delete/",
        "orgs/registryentry/",
        f"orgs/registryentry/add/?organization={acme.pk}",
        f"orgs/registryentry/{entry.pk}/change/",
        f"orgs/registryentry/{entry.pk}/delete/",
        f"orgs/user/{alice.pk}/change/",
        "orgs/auditevent/",
    ):
        staffs.go(f"/admin/{path}")
        assert staffs.sideways <= 0, path
    staffs.go(f"/admin/orgs/registryentry/add/?organization={acme.pk}")
    page.get_by_label("Match pattern").fill(f"https://{wide}/{'x' * 150}")
    page.get_by_role("button", name="Save").last.click()
    assert staffs.sideways <= 0
