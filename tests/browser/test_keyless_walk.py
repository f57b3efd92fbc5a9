"""From nothing to a verified entry without a key, in Chromium, by the page's own words: what it
shows is done at AWS, and nothing else."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Iterator

import pytest
from playwright.sync_api import Locator, Page, expect

from tests.conftest import HOST
from tests.registries.keyless_aws import ARN, granting_registry
from tests.support.fake_aws import FakeAws
from tests.support.registry import Registry

pytestmark = pytest.mark.once


class Person:
    """Who clicks and fills in, and how often."""

    def __init__(self) -> None:
        self.clicks, self.fields, self.began = 0, 0, time.monotonic()

    def click(self, what: Locator) -> None:
        what.click()
        self.clicks += 1

    def fill(self, what: Locator, text: str) -> None:
        what.fill(text)
        self.fields += 1

    def choose(self, what: Locator, label: str) -> None:
        what.select_option(label=label)
        self.fields += 1

    def __str__(self) -> str:
        seconds = time.monotonic() - self.began
        return f"{self.fields} fields, {self.clicks} clicks, {seconds:.1f} s"


@pytest.fixture
def registry(trusting_aws, internet, monkeypatch) -> Iterator[Registry]:
    with granting_registry(trusting_aws, internet, monkeypatch) as registry:
        yield registry


def facts(page: Page) -> dict[str, str]:
    """(label, value), as they are read."""
    told = page.locator("#set-up .facts")
    values = told.locator("dd code").all_inner_texts()
    return dict(zip(told.locator("dt").all_inner_texts(), values, strict=True))


def document(page: Page, title: str) -> dict[str, object]:
    told = json.loads(page.get_by_label(f"{title}, JSON").inner_text())
    assert isinstance(told, dict)
    return told


def do_at(aws: FakeAws, page: Page) -> None:
    """In the account that the page names: the provider, the role, its trust and permissions."""
    told = facts(page)
    account = page.locator("#set-up h3").first.inner_text().rpartition(" ")[2]
    assert told["Role ARN"].split(":")[4] == account
    aws.roles.providers[account, told["Issuer (provider URL)"]] = [told["Audience"]]
    trust = document(page, "Trust policy of the role")
    aws.role(told["Role ARN"], trust, document(page, "Permissions of the role"))


def test_from_nothing_to_verified(visit, alice, acme, trusting_aws, registry) -> None:
    page = visit().sign_in("alice@example.com")
    someone = Person()
    someone.click(page.get_by_role("link", name="Add a new entry"))
    someone.fill(page.get_by_label("Match pattern"), f"{HOST}/team/*")
    someone.choose(page.get_by_label("Registry type"), "AWS ECR (OIDC federation, no key)")
    someone.fill(page.get_by_label("Role ARN"), ARN)
    someone.click(page.get_by_role("button", name="Save"))
    expect(page.locator("#state")).to_contain_text("◌ Waiting for trust")
    someone.click(page.get_by_text("By hand, or to compare"))
    do_at(trusting_aws, page)
    someone.click(page.get_by_role("button", name="Verify"))
    expect(page.locator("#state")).to_contain_text("● Verified")
    sys.stdout.write(f"\nkeyless ECR, from nothing to verified: {someone}\n")
    assert someone.fields == 3
    assert (entry := acme.entries.get()).secrets is None and entry.status == "verified"
    # What is done is folded; what AWS no longer has is open again, and can be copied.
    folded = page.get_by_text("By hand, or to compare")
    expect(folded).to_be_hidden()
    trusting_aws.roles.providers.clear()
    page.get_by_role("button", name="Verify").click()
    expect(page.locator("#state")).to_contain_text("▲ Failing")
    expect(page.get_by_label("Trust policy of the role, JSON")).to_be_visible()
    expect(page.locator("#set-up .facts").get_by_role("button", name="Copy")).to_have_count(4)
