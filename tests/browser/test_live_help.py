"""Help that follows what one types, in Chromium: it sends four fields, and never a secret."""

from __future__ import annotations

import re
from urllib.parse import parse_qs

import pytest
from playwright.sync_api import expect

from orgs.models import RegistryEntry
from tests.conftest import CANARY, HOST
from tests.support.fake_google import key_file

pytestmark = pytest.mark.once

NEW = "/organizations/acme/registries/new/"
HELP = "/organizations/acme/registries/help/"
ORDER = ("#id_patterns", "#help-covers", "#id_registry_type", "#help-policy", ".actions")


@pytest.fixture
def alices(visit, alice):
    visitor = visit()
    visitor.sign_in("alice@example.com")
    visitor.go(NEW)
    return visitor


def asked(visitor) -> list[dict[str, list[str]]]:
    sent = [r for r in visitor.requests if r.url.endswith(HELP)]
    assert all(request.method == "POST" for request in sent)
    return [parse_qs(request.post_data or "", keep_blank_values=True) for request in sent]


def test_covers_policy_and_neighbours_follow(alices, make_entry) -> None:
    make_entry(f"{HOST}/my-repo/train")
    page = alices.page
    covers, policy = page.locator("#help-covers"), page.locator("#help-policy")
    expect(covers.locator("dt")).to_have_text(["…/my-repo", "…/my-repo/*", "…/my-*/*"])
    pattern = page.get_by_label("Match pattern")
    pattern.press_sequentially(f"{HOST}/my-repo/*")
    expect(covers.locator("dt")).to_have_text([f"{HOST}/my-repo/*"])
    expect(covers.locator("dd.no").first).to_have_text("my-repository")
    expect(covers).to_contain_text(f"{HOST}/my-repo/train is more specific and keeps its images.")
    expect(pattern).to_be_focused()
    expect(page.locator("#help-told")).to_have_text("Other entries meet this pattern.")
    policy.get_by_text("JSON").click()
    expect(policy).to_contain_text("123456789012:repository/my-repo/*")
    # Each stop asked once at most, though each key was an input.
    assert 0 < len(asked(alices)) < 8
    pattern.fill(f"{HOST}/my-*")
    expect(policy).to_contain_text("so the policy also grants my-one/two.")
    # What was unfolded stays so, and can be copied.
    expect(policy.locator("#policy-json")).to_have_attribute("open", "")
    expect(policy.locator("#policy-json").get_by_role("button", name="Copy")).to_have_count(1)
    page.get_by_label("Registry type").select_option("aws-ecr-role")
    expect(policy).to_contain_text("the workers' role")
    page.get_by_label("Region").select_option("eu-north-1")
    expect(covers).to_contain_text("Choose us-east-1, or correct the host.")
    expect(page.locator("#help-told")).to_contain_text("Choose us-east-1")
    pattern.fill(HOST)
    expect(covers).to_contain_text(f"Write {HOST}/* to cover everything in it.")
    expect(covers.locator("dt")).to_have_count(3)


def test_a_secret_never_leaves_with_it(alices, gpu, make_entry) -> None:
    page = alices.page
    page.reload()
    page.get_by_label("Access Key ID").fill("AKIAI44QH8DHBEXAMPLE")
    page.get_by_label("Secret Access Key").fill(CANARY)
    with page.expect_response(f"**{HELP}"):
        page.get_by_label("Match pattern").fill(f"{HOST}/my-repo/*")
    page.get_by_text("environments, Note").click()
    with page.expect_response(f"**{HELP}"):
        page.get_by_label("GPU").check()
    with page.expect_response(f"**{HELP}"):
        page.get_by_label("Registry type").select_option("docker")
    page.get_by_label("Password", exact=True).fill(CANARY)
    expect(page.locator("#pattern-example")).to_have_text("Example: docker.io/your-team/*")
    expect(page.locator("#image-example")).to_contain_text("Example: docker.io/your-team/")
    with page.expect_response(f"**{HELP}"):
        page.get_by_label("Match pattern").fill("quay.io/my-repo/*")
    expect(page.locator("#help-policy")).to_be_empty()
    for fields in asked(alices):
        assert fields.keys() <= {"patterns", "registry_type", "region", "environments", "told"}
        # What the fields say already: fields and codes, never what was typed.
        assert re.fullmatch(r"([a-z_]+:[a-z_]+ ?)*", " ".join(fields.get("told", [])))
    assert asked(alices)[-1]["environments"] == [str(gpu.pk)]
    for part in (CANARY, CANARY[:12], "CANARY", "AKIAI44QH8DHBEXAMPLE"):
        assert not alices.carrying(part)
    assert page.get_by_label("Password", exact=True).input_value() == CANARY
    # A file that is chosen, of a type whose fields came later, goes with Save alone.
    with page.expect_response(f"**{HELP}"):
        page.get_by_label("Registry type").select_option("gcp-cr")
    key = {"name": "k.json", "mimeType": "application/json", "buffer": key_file().encode()}
    page.get_by_label("or choose the file").set_input_files(files=key)
    with page.expect_response(f"**{HELP}"):
        page.get_by_label("Match pattern").fill("gcr.io/my-project/*")
    assert not alices.carrying("PRIVATE KEY")
    page.get_by_label("Verify after saving").uncheck()
    page.get_by_role("button", name="Save").last.click()
    expect(page.get_by_text("gcr.io/my-project/* is saved.")).to_be_visible()
    assert RegistryEntry.objects.get(registry_type="gcp-cr").config["project_id"] == "my-project"


def test_an_entry_is_not_its_own_neighbour(alices, make_entry) -> None:
    entry = make_entry(f"{HOST}/my-repo/*")
    make_entry(f"{HOST}/*")
    page = alices.go(f"/organizations/acme/registries/{entry.pk}/edit/")
    covers = page.locator("#help-covers")
    # filled in from the start
    expect(covers.locator("dt")).to_have_text([f"{HOST}/my-repo/*"])
    expect(covers).to_contain_text("is wider; this entry takes the images that both match.")
    with page.expect_response(f"**{HELP}"):
        page.get_by_label("Match pattern").fill(f"{HOST}/my-repo")
    expect(covers.locator(".neighbours li")).to_have_count(1)
    expect(covers).not_to_contain_text("has this pattern already")
    assert asked(alices)[-1]["entry"] == [str(entry.pk)]


def test_the_latest_wins(alices) -> None:
    page = alices.page
    held = []

    def hold_the_first(route) -> None:
        held.append(route)
        if len(held) > 1:
            route.continue_()

    page.route(f"**{HELP}", hold_the_first)
    with page.expect_request(f"**{HELP}"):
        page.get_by_label("Match pattern").fill(f"{HOST}/first")
    page.get_by_label("Match pattern").fill(f"{HOST}/second")
    page.wait_for_timeout(400)
    page.get_by_label("Match pattern").fill(f"{HOST}/third")
    page.wait_for_timeout(400)
    # One at a time, and of those that wait only the last is asked.
    assert len(held) == 1
    held[0].continue_()
    expect(page.locator("#help-covers dt")).to_have_text([f"{HOST}/third"])
    assert [fields["patterns"] for fields in asked(alices)] == [
        [f"{HOST}/first"],
        [f"{HOST}/third"],
    ]


def test_leaving_meanwhile_is_no_error(alices) -> None:
    page = alices.page
    page.route(f"**{HELP}", lambda route: None)
    with page.expect_request(f"**{HELP}"):
        page.get_by_label("Match pattern").fill(f"{HOST}/first")
    page.get_by_role("link", name="Cancel").click()
    expect(page.get_by_role("heading", level=1)).to_have_text("Registries")


def test_where_the_network_fails_the_help_stays(alices) -> None:
    page = alices.page
    page.get_by_label("Match pattern").fill(f"{HOST}/my-repo")
    expect(page.locator("#help-covers dt")).to_have_text([f"{HOST}/my-repo"])
    page.route(f"**{HELP}", lambda route: route.abort())
    with page.expect_event("requestfailed"):
        page.get_by_label("Match pattern").fill(f"{HOST}/other")
    expect(page.locator("#help-covers dt")).to_have_text([f"{HOST}/my-repo"])
    expect(page).to_have_title("Add a new entry · Acme · Valohai Registries")
    # What the browser itself says of a failed request; nobody sees it.
    assert alices.complaints
    alices.complaints.clear()


def test_signed_out_meanwhile_the_help_stays(alices) -> None:
    page = alices.page
    page.context.clear_cookies(name="sessionid")
    with page.expect_response("**/accounts/login/**"):
        page.get_by_label("Match pattern").fill(f"{HOST}/my-repo")
    expect(page.locator("#help-covers dt")).to_have_count(3)
    expect(page).to_have_title("Add a new entry · Acme · Valohai Registries")
    alices.complaints.clear()


def test_without_scripts_show_its_fields_fills_it_in(visit, alice, make_entry) -> None:
    make_entry(f"{HOST}/*")
    visitor = visit(java_script_enabled=False)
    visitor.sign_in("alice@example.com")
    page = visitor.go(NEW)
    page.get_by_label("Match pattern").fill(f"{HOST}/my-repo/*")
    page.get_by_label("Secret Access Key").fill(CANARY)
    page.get_by_role("button", name="Show its fields").click()
    covers = page.locator("#help-covers")
    expect(covers.locator("dt")).to_have_text([f"{HOST}/my-repo/*"])
    expect(covers).to_contain_text("is wider; this entry takes")
    page.get_by_text("AWS CLI").click()
    expect(page.locator("#policy-command pre")).to_contain_text("put-user-policy")
    assert CANARY not in page.content() and not RegistryEntry.objects.filter(note=CANARY)


@pytest.mark.parametrize("width", [390, 1280])
def test_each_help_is_beside_or_after_its_field(visit, alice, make_entry, width) -> None:
    make_entry([f"{HOST}/my-repo/train", f"{HOST}/my-repo/{'long-' * 20}name"])
    visitor = visit(viewport={"width": width, "height": 800})
    visitor.sign_in("alice@example.com")
    page = visitor.go(NEW)

    def tops() -> dict[str, float]:
        found = {}
        for name in ORDER:
            box = page.locator(name).first.bounding_box()
            assert box is not None
            found[name] = box["y"]
        return found

    before = tops()
    page.get_by_label("Match pattern").fill(f"{HOST}/my-*\n{HOST}/my-repo/*")
    expect(page.locator(".neighbours li")).to_have_count(2)
    after = tops()
    assert visitor.sideways == 0
    if width == 390:
        assert list(after.values()) == sorted(after.values())
    else:
        assert abs(after["#help-covers"] - after["#id_patterns"]) < 80
        # No field moves while one types.
        assert after["#id_registry_type"] - before["#id_registry_type"] < 40
