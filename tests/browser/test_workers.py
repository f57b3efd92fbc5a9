"""The workers' part in Chromium: a token, set up and seen to log in; images checked."""

from __future__ import annotations

import re

import pytest
from playwright.sync_api import Dialog, Page, expect

from orgs.models import WorkerToken
from orgs.services.audit.events import Actor, record
from orgs.services.tenancy import tokens
from tests.conftest import CANARY, HOST

pytestmark = pytest.mark.once

WORKERS = "/organizations/acme/workers/"
CHECK = "/organizations/acme/registries/check/"
TEXT = re.compile(r"vrw_[0-9a-f]{16}_[0-9a-f]{64}")


@pytest.mark.parametrize("scripts", [True, False], ids=["scripts", "no-scripts"])
def test_issue_a_token(scripts: bool, visit, alice, gpu, project, make_entry) -> None:
    """From *Workers* to the first login: four clicks and one paste."""
    make_entry()
    permissions = ["clipboard-read", "clipboard-write"] if scripts else []
    alices = visit(java_script_enabled=scripts, permissions=permissions)
    page = alices.sign_in("alice@example.com")
    clicks = []

    def click(role: str, name: str) -> None:
        clicks.append(name)
        page.get_by_role(role, name=name, exact=True).first.click()  # type: ignore[arg-type]

    page.clock.install()
    click("link", "Workers")
    click("link", "Issue a worker token")
    page.get_by_label("Name").fill("gpu workers")
    page.get_by_label("Environment").select_option(label="GPU")
    click("button", "Issue")
    expect(page.get_by_text("Copy this token now. It won't be shown again.")).to_be_visible()
    shown = page.locator("pre:visible")
    expect(shown).to_have_count(1)  # of the chosen client only
    expect(shown).to_contain_text("Docker logs in by itself")
    text = page.locator("code", has_text=re.compile(f"^{TEXT.pattern}$")).inner_text()
    token = WorkerToken.objects.get()
    waiting = page.get_by_text("Waiting for the first login")
    expect(waiting).to_be_visible()
    if scripts:
        leave_uncopied(page)
        clicks.append("Copy")
        page.locator(".script:visible .copy").click()
        expect(page.get_by_text("Copied. It stays here until you leave")).to_be_visible()
        assert page.evaluate("navigator.clipboard.readText()") == shown.text_content()
        logged_in(token, project)
        page.clock.run_for(5100)
        expect(page.get_by_text("from 10.0.0.7, for")).to_be_visible()
        assert clicks == ["Workers", "Issue a worker token", "Issue", "Copy"]
        expect(page.get_by_text(text, exact=True)).to_be_visible()
    else:
        page.get_by_text("Podman and skopeo", exact=True).click()
        expect(page.locator("pre:visible")).to_contain_text("Podman and skopeo logs in by itself")
        logged_in(token, project)
        with page.expect_popup() as popup:
            page.get_by_role("link", name="Look again").click()
        expect(popup.value.get_by_text("from 10.0.0.7, for")).to_be_visible()
    # Copied, it may be left; and then it's gone.
    page.reload()
    expect(page.get_by_text("Already issued as gpu workers.")).to_be_visible()
    expect(page.get_by_text(TEXT)).to_have_count(0)
    assert tokens.authenticate(text) == token
    page.get_by_role("link", name="Revoke it").click()
    page.get_by_role("button", name="Revoke").click()
    expect(page.get_by_text("gpu workers is revoked.")).to_be_visible()
    assert [r for r in alices.requests if text in r.url or text in (r.post_data or "")] == []
    assert [r for r in alices.requests if text in str(r.headers)] == []


def leave_uncopied(page: Page) -> None:
    asked = []

    def stay(dialog: Dialog) -> None:
        asked.append(dialog.type)
        dialog.dismiss()

    page.on("dialog", stay)
    page.get_by_role("link", name="All worker tokens").click(no_wait_after=True)
    expect(page.get_by_role("heading", name="Token issued")).to_be_visible()
    page.remove_listener("dialog", stay)
    assert asked == ["beforeunload"]


def logged_in(token: WorkerToken, project) -> None:
    actor = Actor(f"worker {token.name}", source_address="10.0.0.7", token=token.begins_with)
    record(
        actor=actor,
        action="login.issued",
        organization=token.organization,
        project=project,
        subject=f"{HOST}/my-ml-image:v1.0",
        code="ok",
    )
    tokens.mark_used(token, "10.0.0.7")


@pytest.mark.parametrize("scripts", [True, False], ids=["scripts", "no-scripts"])
def test_the_first_login_appears(scripts: bool, visit, alice, acme, project, actor) -> None:
    token, _ = tokens.token_issue_worker(organization=acme, name="w", actor=actor)
    alices = visit(java_script_enabled=scripts)
    page = alices.sign_in("alice@example.com")
    page.clock.install()
    alices.go(f"{WORKERS}setup/?worker={token.pk}")
    waiting = page.get_by_text("Waiting for the first login")
    expect(waiting).to_be_visible()
    logged_in(token, project)
    if scripts:
        page.clock.run_for(5100)
    else:
        page.get_by_role("link", name="Look again").click()
    expect(page.get_by_text("from 10.0.0.7, for")).to_be_visible()
    expect(waiting).to_have_count(0)
    asked = len(alices.requests)
    page.clock.run_for(30_000)
    assert len(alices.requests) == asked


def test_the_page_stops_asking(visit, alice, acme, actor) -> None:
    tokens.token_issue_worker(organization=acme, name="w", actor=actor)
    alices = visit()
    page = alices.sign_in("alice@example.com")
    page.clock.install()
    alices.go(f"{WORKERS}setup/")
    polls = lambda: [r for r in alices.requests if "first_login" in r.url]  # noqa: E731
    with page.expect_response(lambda answer: "first_login" in answer.url):
        page.clock.run_for(5100)
    assert len(polls()) == 1
    page.clock.fast_forward(601_000)
    page.wait_for_timeout(300)
    before = len(polls())
    page.clock.run_for(60_000)
    assert len(polls()) == before <= 2


def test_recipes_open_by_keyboard(visit, alice, project, make_entry) -> None:
    make_entry()
    alices = visit()
    page = alices.sign_in("alice@example.com")
    alices.go(f"{WORKERS}setup/")
    kubelet = page.get_by_text("kind: CredentialProviderConfig")
    expect(page.get_by_text(f"docker pull {HOST}/my-ml-image:v1.0")).to_be_visible()
    expect(kubelet).to_be_hidden()
    page.locator("summary", has_text="Kubernetes").focus()
    page.keyboard.press("Enter")
    expect(kubelet).to_be_visible()
    expect(page.get_by_text(f'- "{HOST}"')).to_be_visible()


@pytest.mark.parametrize("scripts", [True, False], ids=["scripts", "no-scripts"])
def test_check_an_image_and_a_file(scripts: bool, visit, bob, make_entry, tmp_path) -> None:
    make_entry()
    bobs = visit(java_script_enabled=scripts)
    page = bobs.sign_in("bob@example.com")
    page.get_by_role("link", name="Registries", exact=True).click()
    page.get_by_role("link", name="Check an image").click()
    page.get_by_label("Image").fill(f"{HOST}/my-ml-image:v1.0")
    page.keyboard.press("Enter")
    expect(page.get_by_text("is served by")).to_be_visible()
    shared = page.url
    page.goto(shared)
    expect(page.get_by_text("is served by")).to_be_visible()
    page.get_by_label("Image").fill(f"https://{HOST}/a")
    page.get_by_role("button", name="Check", exact=True).click()
    expect(page.locator("#errors")).to_be_focused()
    file = tmp_path / "valohai.yaml"
    file.write_text(f"- step:\n    name: train\n    image: {HOST}/a\n")
    page.get_by_label("valohai.yaml").set_input_files(file)
    page.get_by_role("button", name="Check the file").click()
    expect(page.get_by_role("heading", name="1 image: 1 served.")).to_be_visible()


@pytest.mark.parametrize("width", [320, 390, 1280])
def test_nothing_is_wider_than_the_window(width, visit, alice, acme, gpu, project, actor) -> None:
    name = f"workers-{'x' * 90}"
    token, _ = tokens.token_issue_worker(organization=acme, name=name, actor=actor, environment=gpu)
    mine, _ = tokens.token_issue_api(user=alice, name=name, actor=actor)
    type(gpu).objects.filter(pk=gpu.pk).update(name=name, slug="y" * 60)
    type(project).objects.filter(pk=project.pk).update(name=name)
    image = f"{HOST}/{'long-' * 30}name:{'t' * 120}"
    actor = Actor("worker w", token=token.begins_with)
    record(
        actor=actor,
        action="login.refused",
        organization=acme,
        subject=image,
        properties={"reason": f"No enabled entry of Acme serves {image}."},
    )
    alices = visit(viewport={"width": width, "height": 800})
    page = alices.sign_in("alice@example.com")
    base = "/organizations/acme/"
    for path in (
        base,
        f"{base}projects/",
        f"{base}members/",
        WORKERS,
        f"{WORKERS}issue/",
        f"{WORKERS}setup/",
        f"{WORKERS}{token.pk}/revoke/",
        f"{base}environments/",
        f"{base}environments/new/",
        f"{base}environments/{gpu.pk}/edit/",
        f"{base}environments/{gpu.pk}/delete/",
        f"{CHECK}?image={image}",
        f"{CHECK}?image=https://{image}",
        "/accounts/tokens/",
        f"/accounts/tokens/{mine.pk}/revoke/",
    ):
        alices.go(path)
        assert alices.sideways <= 0, path
    alices.go(f"{WORKERS}setup/")
    for summary in page.locator("details[name=recipe] summary").all():
        summary.click()
        assert alices.sideways <= 0
    alices.go(CHECK)
    page.get_by_label("Or paste it").fill(f"- step: {{name: {'n' * 99}, image: '{image}'}}")
    page.get_by_role("button", name="Check the file").click()
    assert alices.sideways <= 0
    assert CANARY not in page.content()
