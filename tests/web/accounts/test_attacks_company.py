"""What a second attacker tried: on a company's sign-in, and on what the first one's mends left."""

from __future__ import annotations

import os
import re
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest
from allauth.mfa.models import Authenticator
from allauth.socialaccount.models import SocialAccount
from django.contrib.auth.models import Permission
from django.contrib.contenttypes.models import ContentType
from django.db import connection
from django.db.models.functions import Now
from django.test import Client
from django.urls import reverse
from lxml import etree

from orgs import company
from orgs.models import AuditEvent, Membership, Repeat, User
from orgs.services.audit import repeats
from orgs.services.audit.events import COMMAND_LINE, Actor
from orgs.services.demo import organization as demo
from orgs.services.tenancy import invitations, links, mails, people, powers, signing_in, sso
from orgs.web.accounts import oidc, saml
from orgs.web.accounts.oidc import WrongAnswer
from tests.conftest import PASSWORD, make_user
from tests.support.oidc import DISCOVERY, START
from tests.support.oidc import told as oidc_told
from tests.support.saml import SPACES

from .test_oidc import liar, lies  # noqa: F401  (fixtures)
from .test_saml import begin, bring, idp  # noqa: F401
from .test_second_steps import CODE, _clock, is_in, later, set_up  # noqa: F401

pytestmark = [pytest.mark.once, pytest.mark.django_db]
DS = SPACES["ds"]
FRESH = "another long password"
DIGEST = (
    '<ds:DigestMethod Algorithm="http://www.w3.org/2001/04/xmlenc#sha256"/>'
    "<ds:DigestValue>AAAA</ds:DigestValue>"
)
XPATH = (
    f'<ds:Transform xmlns:ds="{DS}" Algorithm="http://www.w3.org/TR/1999/REC-xpath-19991116">'
    "<ds:XPath>count(//*[count(//*)&gt;0])&gt;0</ds:XPath></ds:Transform>"
)


# --- SAML: nothing is done that an unproven signature says ------------------------------------


def _object(inside: str):
    def after(root):
        signature = root.find(".//ds:Signature", SPACES)
        signature.append(etree.fromstring(f'<ds:Object xmlns:ds="{DS}">{inside}</ds:Object>'))

    return after


def _transform(text: str):
    def after(root):
        root = etree.fromstring(etree.tostring(root))  # what signing added is in it now
        root.find(".//ds:Transforms", SPACES).insert(0, etree.fromstring(text))
        return root

    return after


def _second_reference(root):
    info = root.find(".//ds:SignedInfo", SPACES)
    info.append(etree.fromstring(etree.tostring(info.find("ds:Reference", SPACES))))


def _address(uri: str):
    def after(root):
        root.find(".//ds:Reference", SPACES).set("URI", uri)

    return after


def _key_from(root):
    info = root.find(".//ds:Signature", SPACES)
    info.append(
        etree.fromstring(
            f'<ds:KeyInfo xmlns:ds="{DS}"><ds:RetrievalMethod URI="file:///etc/hostname"/>'
            "</ds:KeyInfo>"
        )
    )


UNUSUAL = {
    "a manifest": _object(
        f'<ds:Manifest><ds:Reference URI="file:///etc/hostname">{DIGEST}</ds:Reference></ds:Manifest>'
    ),
    "an object": _object("<a/>" * 300),
    "xpath": _transform(XPATH),
    "xslt": _transform(
        f'<ds:Transform xmlns:ds="{DS}" Algorithm="http://www.w3.org/TR/1999/REC-xslt-19991116"/>'
    ),
    "two references": _second_reference,
    "a file": _address("file:///etc/hostname"),
    "another element": _address("#somewhere-else"),
    "a pointer": _address("#xpointer(/)"),
    "a key from elsewhere": _key_from,
}


@pytest.mark.parametrize("name", UNUSUAL)
def test_unusual_signatures_arent_tried(idp, monkeypatch, name):  # noqa: F811
    """Also where the session waits for the answer."""
    monkeypatch.setattr(saml, "_judged", lambda response: pytest.fail("it was tried"))
    client = Client()
    made = idp.changed(begin(client), key=idp.others, after=UNUSUAL[name])
    assert bring(client, made).status_code == 403


def test_nothing_is_tried_for_who_began_nothing(idp, monkeypatch):  # noqa: F811
    monkeypatch.setattr(saml, "_judged", lambda response: pytest.fail("it was tried"))
    made = idp.changed(begin(Client()), key=idp.others)
    assert bring(Client(), made).status_code == 403


def test_no_file_is_opened(idp, tmp_path):  # noqa: F811
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    opened: list[int] = []

    def wait() -> None:
        with pipe.open("wb"):
            opened.append(1)

    threading.Thread(target=wait, daemon=True).start()
    inside = f'<ds:Manifest><ds:Reference URI="file://{pipe}">{DIGEST}</ds:Reference></ds:Manifest>'
    client = Client()
    bring(client, idp.changed(begin(client), key=idp.others, after=_object(inside)))
    assert not opened
    with pipe.open("rb"):
        pass  # let the thread end


@pytest.mark.parametrize(
    "text",
    [
        "",
        "!!",
        "PGE+",
        "PCFET0NUWVBFIGEgWzwhRU5USVRZIGIgImMiPl0+PGE+JmI7PC9hPg==",
        "PGE+" + "PGE+" * 9,
    ],
)
def test_what_is_no_response(text):
    with pytest.raises(WrongAnswer):
        saml.plain(text)


# --- OpenID Connect -----------------------------------------------------------------------------


@pytest.mark.django_db(transaction=True)
def test_who_waits_for_a_place_holds_no_turn(lies, monkeypatch):  # noqa: F811
    """Five people at once, a provider that takes a moment: all get on, and no page waits."""
    oidc._discovered.clear()

    def slow():
        time.sleep(0.2)
        return oidc_told(lies._well_known_openid_configuration())

    lies.answers[DISCOVERY] = slow

    def go(_: int) -> int:
        try:
            return Client().post(START).status_code
        finally:
            connection.close()

    with ThreadPoolExecutor(5) as pool:
        answers = list(pool.map(go, range(5)))
    assert answers == [200] * 5, answers


def test_the_two_kinds_of_one_provider_name_people_apart(settings, acme):
    realm = "https://kc.example/realms/x"
    settings.SSO_OIDC_ISSUER = settings.SSO_SAML_ENTITY_ID = realm
    settings.SSO_OIDC_CLIENT_ID = settings.SSO_OIDC_CLIENT_SECRET = "x"
    settings.SSO_VERIFIED_DOMAINS = ["example.com"]
    settings.SSO_ORGANIZATIONS = ["example.com=acme"]
    by_oidc, by_saml = company.provider("oidc"), company.provider("saml")
    ada = sso.enter(said=sso.Said(by_oidc, "1", "ada@example.com", True, "Ada"), address=None)
    mallory = sso.enter(said=sso.Said(by_saml, "1", "m@example.com", None, "M"), address=None)
    assert ada != mallory and SocialAccount.objects.count() == 2


@pytest.fixture
def ada(settings, acme) -> User:
    settings.BASE_URL = "https://registries.example.com"
    settings.SSO_OIDC_ISSUER = "https://issuer.example"
    settings.SSO_OIDC_CLIENT_ID = settings.SSO_OIDC_CLIENT_SECRET = "x"
    settings.SSO_ORGANIZATIONS = ["example.com=acme"]
    said = sso.Said(company.provider("oidc"), "ada-1", "ada@example.com", True, "Ada")
    return sso.enter(said=said, address=None)


@pytest.mark.parametrize("name", ["mfa_activate_totp", "mfa_add_webauthn"])
def test_an_old_session_of_a_company_only_account_changes_nothing(client, ada, name):
    client.force_login(ada)
    answer = client.get(reverse(name))
    assert answer.status_code == 403 and b"come in by it again" in answer.content
    assert client.post(reverse(name)).status_code == 403
    row = SocialAccount.objects.get()
    assert client.post(reverse("company_disconnect", args=[row.pk])).status_code == 403
    session = client.session
    record = {"method": "sign-in at X", "at": time.time()}
    session["account_authentication_methods"] = [record]
    session["account_authentication_methods_user"] = str(ada.pk)
    session.save()
    assert client.get(reverse(name)).status_code == 200


def test_a_second_step_is_no_other_way_in(ada):
    kept = {"id": "x", "clientExtensionResults": {"credProps": {"rk": False}}}
    passkey = Authenticator.objects.create(user=ada, type="webauthn", data={"credential": kept})
    assert not sso.has_other_way(ada)
    kept["clientExtensionResults"]["credProps"]["rk"] = True
    passkey.save()
    assert sso.has_other_way(ada)


# --- whose address it is -----------------------------------------------------------------------


@pytest.fixture
def invited(acme, alice, settings, monkeypatch) -> User:
    settings.EMAIL_BACKEND = "django.core.mail.backends.locmem.EmailBackend"
    monkeypatch.setattr(mails, "LATER", 0)
    (found,) = invitations.invite(
        organization=acme, emails=["v@example.net"], role="admin", actor=Actor("a", alice)
    )
    return invitations.accept_as_new(invitation=found, name="V", password=PASSWORD, address=None)


@pytest.mark.parametrize("name", ["mfa_activate_totp", "mfa_add_webauthn"])
def test_a_step_needs_an_address_that_is_ones_own(client, invited, name):
    client.force_login(invited)
    for ask in (client.get, client.post):
        answer = ask(reverse(name))
        assert answer.url.startswith(reverse("account"))
    assert b"First show that v@example.net is yours" in client.get(reverse("account")).content


def test_showing_it_and_then_the_mailbox_alone_is_not_enough(client, invited, mailoutbox):
    client.force_login(invited)
    client.post(reverse("account_email_show"))
    mails.drain()
    link = re.search(r"https?://\S+", mailoutbox[-1].body)[0]
    assert b"Is v@example.net yours?" in client.get(link).content
    client.post(link)
    assert User.objects.get(pk=invited.pk).email_verified
    set_up(client)
    later(90)
    thief = Client()
    thief.post(reverse("password_forgotten"), {"email": invited.email})
    mails.drain()
    page = thief.get(re.search(r"https?://\S+", mailoutbox[-1].body)[0], follow=True)
    typed = {"new_password1": FRESH, "new_password2": FRESH}
    assert thief.post(page.request["PATH_INFO"], typed).url == CODE
    assert not is_in(thief)


def test_another_persons_link_shows_nothing(client, invited, bob, mailoutbox):
    client.force_login(invited)
    client.post(reverse("account_email_show"))
    mails.drain()
    other = Client()
    other.force_login(bob)
    other.post(re.search(r"https?://\S+", mailoutbox[-1].body)[0])
    assert not User.objects.get(pk=invited.pk).email_verified


def test_without_mail_steps_need_no_such_thing(client, invited, settings):
    settings.EMAIL_BACKEND = "django.core.mail.backends.console.EmailBackend"
    client.force_login(invited)
    set_up(client)
    assert Authenticator.objects.filter(user=invited, type="totp").exists()


# --- limits, counts, powers ---------------------------------------------------------------------


def test_who_asks_too_much_takes_nobodys_links(alice, settings, mailoutbox, monkeypatch):
    settings.EMAIL_BACKEND = "django.core.mail.backends.locmem.EmailBackend"
    monkeypatch.setattr(mails, "LATER", 0)
    for n in range(links.FROM_ONE):
        links.password_link_ask(email=f"n{n}@example.net", address="198.51.100.7")
    for _ in range(9):
        links.password_link_ask(email=alice.email, address="198.51.100.7")
    mails.drain()
    assert not mailoutbox
    links.password_link_ask(email=alice.email, address="203.0.113.9")
    mails.drain()
    assert [mail.to for mail in mailoutbox] == [[alice.email]]


@pytest.mark.django_db(transaction=True)
def test_the_demo_takes_nobody_elses_counts_along(staff, umbrella):
    Membership.objects.create(organization=umbrella, user=staff, role="admin")
    demo.demo_create(admin=staff, actor=COMMAND_LINE)
    for _ in range(7):
        signing_in.tell_refused(staff, "account", "192.0.2.1", "wrong_password")
    demo.demo_remove(actor=COMMAND_LINE)
    Repeat.objects.update(until=Now())
    repeats.before_reading()
    told = AuditEvent.objects.filter(organization_id=umbrella.pk, code="wrong_password")
    assert sum(event.properties.get("times", 1) for event in told) == 7


def test_powers_that_rest_are_powers(acme):
    plain = make_user("plain@example.com", "P", is_staff=True)
    may = Permission.objects.get(codename="change_user", content_type__app_label="orgs")
    plain.user_permissions.add(may)
    resting = make_user("was@example.com", "W")
    assert powers.may_change(plain, resting)
    resting.user_permissions.add(Permission.objects.get(codename="add_membership"))
    assert not powers.may_change(User.objects.get(pk=plain.pk), resting)


def test_a_password_alone_ends_no_pause_of_codes(client, alice, actor):
    client.force_login(alice)
    set_up(client)
    client.logout()
    login = reverse("account_login")
    for _ in range(11):
        client.post(login, {"username": alice.email, "password": PASSWORD})
        client.post(CODE, {"code": "000000"})
    people.password_set(person=alice, password=PASSWORD, actor=actor)
    client.post(login, {"username": alice.email, "password": PASSWORD})
    assert client.post(CODE, {"code": "000000"}).status_code == 429


def test_the_admin_leads_on_to_no_row(client, staff):
    client.force_login(staff)
    for kind in ContentType.objects.all():
        for key in ("abc", "1", "9" * 30):
            assert client.get(f"/admin/r/{kind.pk}/{key}/").status_code in {302, 404}


def test_a_company_behind_one_address_isnt_paused(settings):
    for _ in range(sso.BEGUN.most + 20):
        assert not sso.pause(sso.BEGUN, "192.0.2.1")
        sso.was_good("192.0.2.1")
