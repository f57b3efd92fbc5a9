"""The pages of notices: an address that is set, tested, and never shown; and each one's choice."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from django.conf import settings
from django.urls import reverse

from orgs.models import AuditEvent, Membership, NoticeAddress, User
from orgs.services.tenancy import notice_addresses, webhooks
from tests.support.internet import reply

pytestmark = pytest.mark.django_db

NOTICES, TEST, SECRET, REMOVE = (
    reverse(name, args=["acme"])
    for name in ("notices", "notices_test", "notices_secret", "notices_remove")
)
URL = "https://registry.example.com/in/CANARYcanaryCANARY0123"


@pytest.fixture
def me(client, alice):
    client.force_login(alice)
    return client


@pytest.fixture
def asked(me, send, alice):
    """What the form answers."""

    def asked(kind: str = "webhook", address: str = URL):
        return send(alice, NOTICES, {"kind": kind, "address": address})

    return asked


def test_set_tested_replaced_removed(asked, look, me, alice, internet) -> None:
    assert "None yet" in look(alice, NOTICES).text
    page = asked()
    secret = re.search(r"vhns_[\w-]{43}", page.html)[0]
    assert page.heading == "Signing secret" and "It won't be shown again." in page.text
    server = internet.serve(lambda request: reply(404, b"no_service"))
    told = look(None, me.post(TEST)["Location"])
    assert "registry.example.com answered 404: no_service" in told.text and "Failing" in told.text
    server = internet.serve(lambda request: reply(200, b"ok"))
    told = look(None, me.post(TEST)["Location"])
    assert "registry.example.com answered 200: ok" in told.text and "Failing" not in told.text
    assert server.requests[0].target == "/in/CANARYcanaryCANARY0123"
    assert "registry.example.com …0123" in told.text
    first = me.post(SECRET, {"generation": "1"})
    assert "vhns_" in first.content.decode() and secret not in first.content.decode()
    again = look(None, me.post(SECRET, {"generation": "1"})["Location"])  # a reload
    assert "was replaced already" in again.text
    for odd in ("", "x", "-1", "9" * 30, "\0"):
        assert me.post(SECRET, {"generation": odd}).status_code == 302
    assert "the signing secret are erased" in look(alice, REMOVE).text
    assert "any more" in look(None, me.post(REMOVE)["Location"]).text
    assert not NoticeAddress.objects.exists()
    for address in (TEST, SECRET, REMOVE):
        assert me.post(address)["Location"] == NOTICES  # another did it a moment ago
    log = look(alice, reverse("audit", args=["acme"]))
    assert "Address for notices removed" in log.text
    for page in (told, again, log):
        assert "CANARY" not in page.html and "vhns_" not in page.html


@pytest.mark.parametrize(
    ("kind", "address", "field"),
    [("slack", "", "address"), ("slack", "nowhere", "address"), ("carrier-pigeon", URL, "kind"),
     ("", URL, "kind"), ("slack", "http://a.io/CANARY", "address"),
     ("slack", "a" * 2000, "address"), ("slack", "https://a.io/\0CANARY", "address"),
     ("slack", "https://u:CANARY@a.io/", "address")],
)  # fmt: skip
def test_what_isnt_taken_isnt_shown_again(asked, kind, address, field) -> None:
    page = asked(kind, address)
    assert page.title.startswith("Error: ") and page.wrong == {field}
    assert "CANARY" not in page.html and not NoticeAddress.objects.exists()


def test_blanks_around_it_are_nobodys_meaning(asked) -> None:
    asked(address=f"  {URL}\n")
    assert webhooks.opened(NoticeAddress.objects.get()).url == URL


def test_a_page_of_errors_shows_neither(me, alice, acme, asked, settings, monkeypatch) -> None:
    """A fault of ours on the way, with DEBUG on."""
    settings.DEBUG = True
    me.raise_request_exception = False

    def broken(*args):
        raise RuntimeError("broken")

    monkeypatch.setattr(notice_addresses, "tell", broken)
    answer = me.post(NOTICES, {"kind": "webhook", "address": URL})
    assert answer.status_code == 500
    assert URL.rpartition("/")[2] not in answer.content.decode()
    assert not NoticeAddress.objects.exists()  # written with its event, or not


def test_nobody_who_wants_mails_is_told(look, alice, acme) -> None:
    acme.memberships.update(notices_by_mail=False)
    settings_page = look(alice, NOTICES)
    assert "No org admin wants e-mails." in settings_page.text


# --- by person ----------------------------------------------------------------------


@pytest.fixture(autouse=True)
def _mails_go_out(settings):
    settings.EMAIL_BACKEND = "django.core.mail.backends.locmem.EmailBackend"


def ticked(page) -> set[str]:
    return set(re.findall(r'name="mail" value="(\d+)"[^>]* checked', page.html))


def test_one_chooses_by_organization(look, me, alice, acme, umbrella) -> None:
    account, save = reverse("account"), reverse("account_notices")
    own, other = str(acme.pk), str(umbrella.pk)
    assert ticked(look(alice, account)) == {own}
    assert me.post(save, {"shown": own})["Location"].endswith("#notices")
    assert ticked(look(alice, account)) == set()
    event = AuditEvent.objects.get(action="notices.mail_chosen")
    assert event.properties["changes"] == {"e-mail": [True, False]}
    me.post(save, {"shown": own, "mail": own})
    assert ticked(look(alice, account)) == {own}
    # another's organization is no choice, and neither is what isn't one
    Membership.objects.create(organization=umbrella, user=alice, role="member")
    for odd in (other, "x", "\0", "9" * 30, "-1"):
        page = me.post(save, {"shown": [own, other], "mail": odd})
        assert page.status_code == 200 and b"<title>Error: " in page.content
    assert alice.memberships.filter(notices_by_mail=True).count() == 2


def test_who_administers_nothing_has_no_such_section(look, bob) -> None:
    assert "notices-title" not in look(bob, reverse("account")).html


def test_staff_from_outside_neither(look, staff: User, acme) -> None:
    assert look(staff, NOTICES).status == 403


# --- the guide ----------------------------------------------------------------------


def test_the_guides_check_of_a_signature(monkeypatch) -> None:
    guide = (Path(settings.BASE_DIR) / "docs/guide/people.md").read_text()
    (code,) = re.findall(r"```python\n(.*?)```", guide, re.S)
    names: dict = {}
    exec(code, names)
    is_genuine, body = names["is_genuine"], b'{"event": "test"}'
    now = int(names["time"].time())
    signed = webhooks.signature("vhns_x", now, body)
    assert is_genuine("vhns_x", signed, body)
    assert not is_genuine("vhns_y", signed, body) and not is_genuine("vhns_x", signed, b"{}")
    assert not is_genuine("vhns_x", webhooks.signature("vhns_x", now - 301, body), body)
    assert f"`{webhooks.SIGNATURE}: t=" in guide
