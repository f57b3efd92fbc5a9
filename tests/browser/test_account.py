"""The account's flows in Chromium: with and without scripts, wide and narrow."""

from __future__ import annotations

import re
import time

import pytest
from allauth.mfa.totp.internal import auth as totp
from django.core import mail
from playwright.sync_api import expect

from orgs.services.tenancy import mails
from tests.conftest import PASSWORD

pytestmark = pytest.mark.once
WIDTHS = [
    pytest.param({}, id="wide"),
    pytest.param({"viewport": {"width": 390, "height": 844}}, id="narrow"),
    pytest.param({"java_script_enabled": False}, id="without scripts"),
]
FRESH = "another long password"


@pytest.fixture(autouse=True)
def _mails_go_out(settings, live_server, monkeypatch):
    settings.BASE_URL = live_server.url
    settings.EMAIL_BACKEND = "django.core.mail.backends.locmem.EmailBackend"
    monkeypatch.setattr(mails, "LATER", 0)
    monkeypatch.setattr(totp, "cache", Forgetful())


class Forgetful:
    """Codes that were used are in our own database; the rest would outlive a test."""

    def add(self, *args, **kwargs) -> bool:
        return True


def code_of(secret: str, ahead: int = 0) -> str:
    return totp.format_hotp_value(totp.hotp_value(secret, int(time.time()) // 30 + ahead))


def link() -> str:
    mails.drain()
    return re.search(r"https?://\S+", mail.outbox[-1].body)[0]


@pytest.mark.parametrize("how", WIDTHS)
def test_an_app_is_set_up_used_and_removed(visit, alice, how) -> None:
    someone = visit(**how)
    page = someone.sign_in(alice.email)
    someone.go("/accounts/")
    page.get_by_role("link", name="Set up an app").click()
    page.get_by_label("Password").fill(PASSWORD)
    page.get_by_role("button", name="Go on").click()
    secret = page.locator("code").inner_text()
    page.get_by_label("Code").fill("000000")
    page.get_by_role("button", name="Turn it on").click()
    expect(page.get_by_role("alert")).to_contain_text("not right, or used")
    assert page.locator("code").inner_text() == secret and someone.sideways == 0
    page.get_by_label("Code").fill(code_of(secret, -1))
    page.get_by_role("button", name="Turn it on").click()
    expect(page.get_by_role("heading", name="Recovery codes")).to_be_visible()
    recovery = page.locator("pre").inner_text().split()
    assert len(recovery) == 10 and someone.sideways == 0
    page.get_by_role("link", name="I've kept them").click()

    page.context.clear_cookies()
    someone.sign_in_by_form(alice.email)
    page.get_by_label("Code").fill(code_of(secret))
    page.get_by_role("button", name="Sign in", exact=True).click()
    expect(page.get_by_text("Hi, Alice")).to_be_visible()
    page.context.clear_cookies()
    someone.sign_in_by_form(alice.email)
    page.get_by_label("Code").fill(recovery[0])
    page.get_by_role("button", name="Sign in", exact=True).click()
    expect(page.get_by_text("Hi, Alice")).to_be_visible()

    someone.go("/accounts/")
    page.get_by_role("link", name="Remove the app").click()
    page.get_by_label("Password").fill(PASSWORD)
    page.get_by_role("button", name="Go on").click()
    page.get_by_role("button", name="Remove the app").click()
    expect(page.get_by_text("The app for codes was removed.")).to_be_visible()
    expect(page.get_by_role("link", name="Set up an app")).to_be_visible()


@pytest.mark.parametrize("how", WIDTHS)
def test_a_forgotten_password(visit, alice, how) -> None:
    someone = visit(**how)
    page = someone.go("/accounts/login/")
    page.get_by_role("link", name="Forgot your password?").click()
    page.get_by_label("E-mail").fill(alice.email)
    page.get_by_role("button", name="Send the link").click()
    expect(page.get_by_role("heading", name="Look into your mail")).to_be_visible()
    page.goto(link())
    page.get_by_label("New password", exact=True).fill(FRESH)
    page.get_by_label("New password, again").fill(FRESH)
    page.get_by_role("button", name="Set password").click()
    expect(page.get_by_text("Hi, Alice")).to_be_visible()


@pytest.mark.parametrize("how", WIDTHS)
def test_name_email_password_sessions(visit, alice, how) -> None:
    someone, other = visit(timezone_id="Europe/Helsinki", **how), visit()
    other.sign_in_by_form(alice.email)
    page = someone.sign_in_by_form(alice.email)
    someone.go("/accounts/")
    page.get_by_role("textbox", name="Name").fill("Alice Liddell")
    page.get_by_role("button", name="Save the name").click()
    expect(page.get_by_text("Hi, Alice Liddell")).to_be_visible()

    section = page.get_by_role("region", name="Time zone")
    expect(section.get_by_label("Zone")).to_have_value("")  # never by itself
    if how.get("java_script_enabled", True):
        section.get_by_role("button", name="Use this browser's: Europe/Helsinki").click()
    else:
        expect(section.get_by_text("Use this browser's")).to_be_hidden()
        section.get_by_label("Zone").select_option(label="Helsinki")
        section.get_by_role("button", name="Save the time zone").click()
    expect(page.get_by_text("Times are shown in Europe/Helsinki.")).to_be_visible()
    expect(section.get_by_text(re.compile("EES?T ?·")).first).to_be_visible()
    expect(section.get_by_text("Use this browser's")).to_be_hidden()

    section = page.get_by_role("region", name="Notices")
    section.get_by_label("Acme", exact=True).uncheck()
    section.get_by_role("button", name="Save the notices").click()
    expect(page.get_by_text("What you are told by e-mail is saved.")).to_be_visible()
    expect(section.get_by_label("Acme", exact=True)).not_to_be_checked()

    section = page.get_by_role("region", name="E-mail")
    section.get_by_label("New e-mail").fill("liddell@example.com")
    section.get_by_label("Current password").fill(PASSWORD)
    section.get_by_role("button", name="Send a link").click()
    expect(page.get_by_text("A link is on its way to liddell@example.com")).to_be_visible()
    page.goto(link())
    page.get_by_role("button", name="Use liddell@example.com").click()
    expect(page.get_by_text("You sign in as liddell@example.com from now on.")).to_be_visible()

    section = page.get_by_role("region", name="Sessions")
    expect(section.get_by_text("– this one")).to_be_visible()
    section.get_by_role("button", name=re.compile("^End Chrome")).click()
    expect(page.get_by_text("1 session ended.")).to_be_visible()
    other.go("/accounts/")
    expect(other.page.get_by_role("heading", name="Sign in")).to_be_visible()

    section = page.get_by_role("region", name="Password")
    section.get_by_label("Current password").fill(PASSWORD)
    section.get_by_label("New password", exact=True).fill(FRESH)
    section.get_by_label("New password, again").fill(FRESH)
    section.get_by_role("button", name="Change the password").click()
    expect(page.get_by_text("Your password is changed.")).to_be_visible()
    assert someone.sideways == 0


@pytest.mark.parametrize("how", WIDTHS)
def test_an_admin_whose_organization_asks_for_it(visit, acme, alice, how) -> None:
    acme.admins_need_mfa = True
    acme.save()
    someone = visit(**how)
    page = someone.sign_in(alice.email)
    expect(page.get_by_role("heading", name="Acme needs your second step")).to_be_visible()
    someone.complaints.clear()  # of the 403 that this page has
    page.get_by_role("link", name="Set up an app").click()
    page.get_by_label("Password").fill(PASSWORD)
    page.get_by_role("button", name="Go on").click()
    page.get_by_label("Code").fill(code_of(page.locator("code").inner_text()))
    page.get_by_role("button", name="Turn it on").click()
    expect(page.get_by_role("heading", name="Recovery codes")).to_be_visible()
    someone.go("/organizations/acme/")
    expect(page.get_by_role("heading", name="Acme", exact=True)).to_be_visible()
