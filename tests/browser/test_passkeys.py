"""Passkeys in Chromium, by an authenticator that the browser itself plays."""

from __future__ import annotations

import pytest
from allauth.mfa.models import Authenticator
from playwright.sync_api import expect

from tests.conftest import PASSWORD

pytestmark = pytest.mark.once


@pytest.fixture
def here(settings, live_server) -> str:
    settings.BASE_URL = live_server.url
    assert live_server.url.startswith("http://localhost:")
    return live_server.url


def with_authenticator(visitor, **options):
    """A page whose browser has one; its number, to change what the person does."""
    session = visitor.page.context.new_cdp_session(visitor.page)
    session.send("WebAuthn.enable")
    chosen = {
        "protocol": "ctap2",
        "transport": "internal",
        "hasResidentKey": True,
        "hasUserVerification": True,
        "isUserVerified": True,
        **options,
    }
    made = session.send("WebAuthn.addVirtualAuthenticator", {"options": chosen})
    return session, made["authenticatorId"]


def add(page) -> None:
    page.get_by_role("link", name="Add a passkey").click()
    page.get_by_label("Password").fill(PASSWORD)
    page.get_by_role("button", name="Go on").click()
    page.get_by_label("Name").fill("Laptop")
    page.get_by_role("button", name="Add it").click()


def test_added_and_used_instead_of_the_password(here, visit, alice) -> None:
    alices = visit()
    with_authenticator(alices)
    page = alices.sign_in(alice.email)
    alices.go("/accounts/")
    add(page)
    expect(page.get_by_role("heading", name="Recovery codes")).to_be_visible()
    page.get_by_role("link", name="I've kept them").click()
    expect(page.get_by_text("Laptop").first).to_be_visible()
    page.get_by_text("Hi, ").click()
    page.get_by_role("button", name="Sign out").click()
    page.get_by_role("button", name="Sign in with a passkey").click()
    expect(page.get_by_text("Hi, ")).to_be_visible()
    assert Authenticator.objects.filter(user=alice, type="webauthn").count() == 1


def test_after_the_password(here, visit, alice) -> None:
    alices = visit()
    with_authenticator(alices)
    page = alices.sign_in(alice.email)
    alices.go("/accounts/")
    add(page)
    expect(page.get_by_role("heading", name="Recovery codes")).to_be_visible()
    page.context.clear_cookies()
    alices.sign_in_by_form(alice.email)
    page.get_by_role("button", name="Use a passkey").click()
    expect(page.get_by_text("Hi, ")).to_be_visible()


def test_who_refuses_is_told(here, visit, alice) -> None:
    alices = visit()
    session, key = with_authenticator(alices)
    page = alices.sign_in(alice.email)
    alices.go("/accounts/")
    session.send("WebAuthn.setUserVerified", {"authenticatorId": key, "isUserVerified": False})
    add(page)
    expect(page.get_by_role("alert")).to_contain_text("Try again")
    assert not Authenticator.objects.exists()


def test_without_scripts_it_says_why_not(here, visit, alice) -> None:
    alices = visit(java_script_enabled=False)
    page = alices.sign_in(alice.email)
    page.goto(f"{here}/accounts/passkeys/new/")
    page.get_by_label("Password").fill(PASSWORD)
    page.get_by_role("button", name="Go on").click()
    expect(page.get_by_text("with JavaScript on")).to_be_visible()
    page.goto(f"{here}/accounts/login/")
    expect(page.get_by_role("button", name="Sign in with a passkey")).to_have_count(0)
