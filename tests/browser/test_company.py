"""A company's sign-in in a real browser: cookies, content policy and other origins as they are."""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Page, Route

from orgs.models import User
from orgs.web.accounts import oidc
from pictures.taking import fit
from tests.support.oidc import Real, real
from tests.support.saml import Idp, served

from .test_axe import ours

pytestmark = [pytest.mark.once, pytest.mark.django_db(transaction=True)]
# Where to put pictures of its pages, for who wants to look at them.
PICTURES = os.environ.get("COMPANY_PICTURES")


@pytest.fixture
def work(settings, live_server, acme) -> Iterator[Real]:
    settings.BASE_URL = live_server.url
    settings.SSO_VERIFIED_DOMAINS = ["example.com"]
    settings.SSO_ORGANIZATIONS = ["example.com=acme"]
    settings.SSO_OIDC_NAME = "Example Inc"
    settings.SSO_OIDC_CLIENT_ID, settings.SSO_OIDC_CLIENT_SECRET = "registries", "secret"
    oidc._discovered.clear()
    with real() as provider:
        settings.SSO_OIDC_ISSUER = provider.issuer
        provider.person("ada-1", email="ada@example.com", email_verified=True, name="Ada")
        yield provider


@pytest.fixture
def idp(settings, live_server, acme, client, tmp_path) -> Iterator[Idp]:
    settings.BASE_URL = live_server.url
    settings.SSO_VERIFIED_DOMAINS = ["example.com"]
    settings.SSO_ORGANIZATIONS = ["example.com=acme"]
    settings.SSO_SAML_NAME = "Example Inc"
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    address = f"http://127.0.0.1:{port}"
    settings.SSO_SAML_ENTITY_ID, settings.SSO_SAML_URL = f"{address}/idp", f"{address}/sso"
    settings.SSO_SAML_CERTIFICATE = "MA=="
    ours = client.get("/accounts/company/saml/metadata/").content.decode()
    idp = Idp(tmp_path, address, ours)
    settings.SSO_SAML_CERTIFICATE = idp.certificate.read_text()
    with served(idp, port):
        yield idp


@pytest.fixture
def browse(chromium) -> Iterator[Any]:
    contexts = []

    def open_one(**options: Any) -> tuple[Page, list[str]]:
        contexts.append(chromium.new_context(**options))
        contexts[-1].set_default_timeout(10_000)
        page = contexts[-1].new_page()
        complaints: list[str] = []
        page.on("console", lambda told: complaints.append(told.text))
        return page, complaints

    yield open_one
    for context in contexts:
        context.close()


def picture(page: Page, name: str) -> None:
    if PICTURES:
        for width in (1280, 390):
            for scheme in ("light", "dark"):
                fit(page, width, scheme)
                file = Path(PICTURES) / f"{name}-{width}-{scheme}.png"
                page.screenshot(path=str(file), full_page=True)


@pytest.mark.parametrize("scripts", [True, False], ids=["scripts", "no scripts"])
def test_by_openid_connect(browse, live_server, work, scripts):
    page, complaints = browse(java_script_enabled=scripts)
    page.goto(f"{live_server.url}/accounts/login/?next=/accounts/")
    page.get_by_role("button", name="Sign in with Example Inc").click()
    page.wait_for_url(f"{work.issuer}/**")
    page.locator("input[name=sub]").first.fill("ada-1")
    page.locator("input[name=sub]").first.press("Enter")
    page.wait_for_url(f"{live_server.url}/**")
    assert page.url == f"{live_server.url}/accounts/"
    assert page.locator("#company").inner_text().split("\n")[-1].strip() == "Example Inc"
    assert User.objects.get(email="ada@example.com").memberships.exists()
    assert [told for told in complaints if "Security Policy" in told] == []


@pytest.mark.parametrize("scripts", [True, False], ids=["scripts", "no scripts"])
def test_by_saml(browse, live_server, idp, scripts):
    """Its page is another site's, and posts to us without a session of ours."""
    page, complaints = browse(java_script_enabled=scripts)
    page.goto(f"{live_server.url}/accounts/login/?next=/accounts/")
    page.get_by_role("button", name="Sign in with Example Inc").click()
    page.wait_for_url(f"{idp.sso}**")
    page.get_by_role("button", name="Sign in as Ada").click()
    page.wait_for_url(f"{live_server.url}/**")
    assert page.url == f"{live_server.url}/accounts/"
    assert User.objects.get(email="ada@example.com").memberships.exists()
    assert [told for told in complaints if "Security Policy" in told] == []


def test_its_pages(browse, live_server, work, settings):
    page, _ = browse()
    found = {}
    page.goto(f"{live_server.url}/accounts/login/")
    found["sign in"] = ours(page)
    picture(page, "login")

    def stay(route: Route) -> None:
        answer = route.fetch()
        text = answer.text()
        assert 'http-equiv="refresh"' in text
        route.fulfill(response=answer, body=text.replace('http-equiv="refresh"', ""))

    page.route("**/accounts/company/oidc/", stay)
    page.get_by_role("button", name="Sign in with Example Inc").click()
    page.get_by_role("link", name="Go on to Example Inc").wait_for()
    found["leaving"] = ours(page)
    picture(page, "leaving")
    page.get_by_role("link", name="Go on to Example Inc").click()
    page.locator("input[name=sub]").first.fill("eve@elsewhere.com")
    page.locator("input[name=sub]").first.press("Enter")
    page.get_by_role("heading", name="You aren't signed in").wait_for()
    found["over"] = ours(page)
    picture(page, "over")
    person = User.objects.create_user("ada@example.com", "correct horse battery", name="Ada")
    page.goto(f"{live_server.url}/accounts/login/?next=/accounts/")
    page.get_by_role("button", name="Sign in with Example Inc").click()
    page.get_by_role("link", name="Go on to Example Inc").click()
    page.locator("input[name=sub]").first.fill("ada-1")
    page.locator("input[name=sub]").first.press("Enter")
    page.get_by_role("heading", name="Company sign-in").wait_for()
    found["account"] = ours(page)
    picture(page, "account")
    page.get_by_role("button", name="Disconnect").click()
    page.get_by_label("Password").fill("correct horse battery")
    page.get_by_role("button", name="Go on").click()
    page.get_by_role("button", name="Disconnect").click()
    page.get_by_text("no longer connected").wait_for()
    assert person.has_usable_password()
    assert not any(found.values()), found
