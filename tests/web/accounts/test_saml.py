"""Sign-in by SAML: by a real provider's answers, and by such as it never gave."""

from __future__ import annotations

import base64
import copy
import logging

import pytest
from allauth.socialaccount.models import SocialAccount
from django.contrib.sessions.models import Session
from django.test import Client
from lxml import etree
from saml2.xmldsig import SIG_RSA_SHA1

from orgs.models import AuditEvent, User
from orgs.services.tenancy import sso
from tests.conftest import make_user
from tests.support.oidc import leads_to, query
from tests.support.saml import SAML, SPACES, Idp
from tests.web.accounts.test_oidc import WRONG, refused, who
from tests.web.conftest import Page

pytestmark = [pytest.mark.once, pytest.mark.django_db(transaction=True)]
START = "/accounts/company/saml/"
ACS = "/accounts/company/saml/acs/"
FINISH = "/accounts/company/saml/finish/"
METADATA = "/accounts/company/saml/metadata/"
OURS = f"http://127.0.0.1:8000{ACS}"
TRANSIENT = "urn:oasis:names:tc:SAML:2.0:nameid-format:transient"
AS_EMAIL = "urn:oasis:names:tc:SAML:1.1:nameid-format:emailAddress"
ATTRIBUTES = ("SUBJECT", "EMAIL", "NAME")


UNASKED = "not what this session asked for"


@pytest.fixture
def idp(settings, client, acme, tmp_path) -> Idp:
    settings.SSO_SAML_ENTITY_ID = "http://127.0.0.1:9/idp"
    settings.SSO_SAML_URL = "http://127.0.0.1:9/sso"
    settings.SSO_SAML_CERTIFICATE = "MA=="
    settings.SSO_SAML_NAME = "Example Inc"
    settings.SSO_VERIFIED_DOMAINS = ["example.com"]
    settings.SSO_ORGANIZATIONS = ["example.com=acme"]
    ours = client.get(METADATA)
    assert ours.status_code == 200
    idp = Idp(tmp_path, "http://127.0.0.1:9", ours.content.decode())
    settings.SSO_SAML_CERTIFICATE = idp.certificate.read_text()
    return idp


def begin(client, **typed) -> str:
    page = client.post(START, typed)
    assert page.status_code == 200
    return leads_to(page.content.decode())


def bring(client, response):
    """What the provider's page has the browser post, without a session; and the way on."""
    session = client.cookies.pop("sessionid", None)
    answer = client.post(ACS, {"SAMLResponse": response, "RelayState": "https://evil.example/"})
    if session is not None:
        client.cookies["sessionid"] = session.value
    if answer.status_code != 302:
        return answer
    assert answer["Location"] == FINISH
    return client.get(FINISH)


def come(client, idp, *args, **said):
    return bring(client, idp.answer(begin(client), *args, **said))


def nobody(answer, why, says=WRONG):
    refused(answer, says)
    assert not User.objects.filter(email="ada@example.com").exists()
    event = AuditEvent.objects.filter(action="user.sign_in_refused").latest("pk")
    assert why in event.properties["why"]


# --- what is right --------------------------------------------------------------


@pytest.mark.parametrize("whole", [False, True], ids=["assertion signed", "response signed"])
def test_who_the_company_lets_in(client, idp, acme, whole):
    address = begin(client, next="/accounts/")
    asked = idp.asked(address)
    assert asked.assertion_consumer_service_url == OURS
    assert asked.issuer.text == f"http://127.0.0.1:8000{METADATA}"
    answer = bring(client, idp.answer(address, whole=whole))
    assert (answer.status_code, answer["Location"]) == (302, "/accounts/")
    assert who(client) == "ada@example.com"
    account = SocialAccount.objects.get()
    assert (account.provider, account.uid, account.extra_data) == (
        f"saml {idp.entity}",
        "ada-1",
        {},
    )
    person = account.user
    assert (person.name, person.email_verified) == ("Ada Lovelace", True)
    assert person.memberships.get().organization == acme
    signed_in = AuditEvent.objects.get(action="user.signed_in")
    assert signed_in.properties["by"] == ["sign-in at Example Inc"]


def test_metadata_of_the_provider_in_place_of_address_and_certificate(client, idp, settings):
    settings.SSO_SAML_URL = settings.SSO_SAML_CERTIFICATE = ""
    settings.SSO_SAML_METADATA = idp.metadata()
    assert come(client, idp).status_code == 302 and who(client) == "ada@example.com"


def test_two_certificates_while_one_takes_over(client, idp, settings):
    both = idp.others[1].read_text() + idp.certificate.read_text()
    settings.SSO_SAML_CERTIFICATE = both
    assert come(client, idp).status_code == 302


def test_groups_give_organizations(client, idp, umbrella, settings):
    settings.SSO_ORGANIZATIONS = ["group:ml-admins=acme:admin", "group:ml=acme",
                                  "group:others=umbrella"]  # fmt: skip
    assert come(client, idp, groups=["ml", "ml-admins", "x"]).status_code == 302
    memberships = User.objects.get(email="ada@example.com").memberships
    assert list(memberships.values_list("organization__slug", "role")) == [("acme", "admin")]


def test_the_address_may_be_the_name_id(client, idp):
    assert come(client, idp, "ada@example.com", format=AS_EMAIL, mail=None).status_code == 302
    assert SocialAccount.objects.get().uid == "ada@example.com"


def test_attributes_by_other_names(client, idp, settings):
    for name in ATTRIBUTES:
        setattr(settings, f"SSO_SAML_{name}_ATTRIBUTE", f"x{name}")
    said = {"xSUBJECT": "s-1", "xEMAIL": "b@example.com", "xNAME": "B", "mail": "c@example.com"}
    assert come(client, idp, "t-1", format=TRANSIENT, **said).status_code == 302
    person = User.objects.get(email="b@example.com")
    assert (person.name, SocialAccount.objects.get().uid) == ("B", "s-1")


def test_a_name_that_changes_each_time_is_none(client, idp):
    nobody(come(client, idp, "t-1", format=TRANSIENT), "transient NameID")


# --- whose address it is -----------------------------------------------------------


@pytest.mark.parametrize("email", ["ada@elsewhere.com", "ada@sub.example.com",
                                   "ada@example.com@elsewhere.com"])  # fmt: skip
def test_an_address_that_isnt_the_companys_leads_to_nobody(client, idp, alice, email):
    if email.count("@") == 1:
        make_user(email, "Ada Elsewhere")
    code = "company_unverified" if email.count("@") == 1 else "company_no_email"
    refused(come(client, idp, mail=email), "Your sign-in at Example Inc worked, but", code)
    assert not SocialAccount.objects.exists()


def test_an_account_of_an_unverified_address_is_left_alone(client, idp):
    make_user("ada@example.com", "Mallory", email_verified=False)
    refused(
        come(client, idp), "never showed that the address is theirs", "company_account_unverified"
    )
    assert not SocialAccount.objects.exists()


# --- what can't be believed ----------------------------------------------------------


def _assertion(root):
    return root.find("saml:Assertion", SPACES)


def _set(path, name, value):
    def change(root):
        element = root if path == "." else root.find(path, SPACES)
        if value is None:
            element.attrib.pop(name, None)
        else:
            element.set(name, value)

    return change


def _write(path, text):
    def change(root):
        root.find(path, SPACES).text = text

    return change


def _drop(path):
    def change(root):
        element = root.find(path, SPACES)
        element.getparent().remove(element)

    return change


CONFIRMED = "saml:Assertion/saml:Subject/saml:SubjectConfirmation"
DATA = f"{CONFIRMED}/saml:SubjectConfirmationData"
CONDITIONS = "saml:Assertion/saml:Conditions"
AUDIENCE = f"{CONDITIONS}/saml:AudienceRestriction/saml:Audience"
PAST, FUTURE = "2020-01-01T00:00:00Z", "2099-01-01T00:00:00Z"


@pytest.mark.parametrize(
    ("change", "why"),
    [
        (_write(AUDIENCE, "http://another.example/"), "WRONG_AUDIENCE"),
        (_drop(f"{CONDITIONS}/saml:AudienceRestriction"), "no audience"),
        (_write("saml:Assertion/saml:Issuer", "http://another.example/"), "WRONG_ISSUER"),
        (_set(CONDITIONS, "NotOnOrAfter", PAST), "ASSERTION_EXPIRED"),
        (_set(CONDITIONS, "NotBefore", FUTURE), "ASSERTION_TOO_EARLY"),
        (_set(DATA, "NotOnOrAfter", PAST), "WRONG_SUBJECTCONFIRMATION"),
        (_set(DATA, "NotOnOrAfter", None), "no request, recipient or end"),
        (_set(DATA, "Recipient", "http://another.example/"), "WRONG_SUBJECTCONFIRMATION"),
        (_set(DATA, "Recipient", f"http://evil.example/?{OURS}"), "no request, recipient or end"),
        (_set(DATA, "Recipient", None), "no request, recipient or end"),
        (_set(DATA, "InResponseTo", None), "no request, recipient or end"),
        (_set(DATA, "InResponseTo", "another"), UNASKED),
        (
            _set(CONFIRMED, "Method", "urn:oasis:names:tc:SAML:2.0:cm:sender-vouches"),
            "WRONG_SUBJECT",
        ),
        (_set(".", "Destination", "http://another.example/"), "WRONG_DESTINATION"),
        (_set(".", "Destination", f"{OURS}?to=evil"), "another destination"),
        (_set(".", "Destination", ""), "EMPTY_DESTINATION"),
        (_set(".", "InResponseTo", "another"), "WRONG_SUBJECTCONFIRMATION"),
        (_drop("saml:Assertion"), "WRONG_NUMBER_OF_ASSERTIONS"),
        (_drop("saml:Assertion/saml:Subject/saml:NameID"), ""),
    ],
)
def test_answers_for_others_or_of_another_time(client, idp, change, why):
    """Signed by the provider, all of them: by its key, but not for us, or not now."""
    nobody(bring(client, idp.changed(begin(client), change)), why)
    nobody(bring(client, idp.changed(begin(client), change, sign_response=True)), why)


def test_the_ones_that_may_be_left_out(client, idp):
    """So that those above fail of what was changed."""
    assert bring(client, idp.changed(begin(client))).status_code == 302
    change = _set(".", "Destination", None)
    assert bring(Client(), idp.changed(begin(c := Client()), change)).status_code == 403
    assert bring(c, idp.changed(begin(c), change)).status_code == 302


def test_unsigned(client, idp):
    nobody(bring(client, idp.changed(begin(client), sign_assertion=False)), "NO_SIGNATURE_FOUND")


def test_signed_weakly(client, idp):
    nobody(bring(client, idp.answer(begin(client), by=SIG_RSA_SHA1)), "DEPRECATED_SIGNATURE_METHOD")


def test_signed_by_another(client, idp):
    response = idp.changed(begin(client), key=idp.others)
    nobody(bring(client, response), "INVALID_SIGNATURE")


AFTER_SIGNING = [
    _write("saml:Assertion/saml:Subject/saml:NameID", "somebody-else"),
    _set(DATA, "InResponseTo", "another"),
    lambda root: root.find("saml:Assertion", SPACES).append(
        etree.Element(f"{{{SAML}}}AttributeStatement")
    ),
    _drop("saml:Assertion/ds:Signature"),
    _write("saml:Assertion/ds:Signature/ds:SignatureValue", "AAAA"),
]


@pytest.mark.parametrize(
    "after",
    AFTER_SIGNING,
    ids=["name", "request", "more", "stripped", "value"],
)
def test_changed_after_it_was_signed(client, idp, after):
    answer = bring(client, idp.changed(begin(client), after=after))
    asked_by_another = after is AFTER_SIGNING[1]
    nobody(answer, UNASKED if asked_by_another else "the response: ")


# --- a signature around something else (XSW, Somorovsky and others 2012) --------------


def _evil(root):
    """A copy of the assertion, of somebody else and without a signature."""
    evil = copy.deepcopy(_assertion(root))
    evil.remove(evil.find("ds:Signature", SPACES))
    evil.find("saml:Subject/saml:NameID", SPACES).text = "mallory"
    evil.set("ID", "_evil")
    return evil


def _beside_before(root):
    root.insert(list(root).index(_assertion(root)), _evil(root))


def _beside_after(root):
    root.append(_evil(root))


def _around(root):
    evil, good = _evil(root), _assertion(root)
    root.replace(good, evil)
    evil.append(good)


def _in_its_signature(root):
    """The signed one within the signature of the other, which has its place."""
    evil, good = _evil(root), _assertion(root)
    signature = good.find("ds:Signature", SPACES)
    good.remove(signature)
    root.replace(good, evil)
    evil.insert(1, signature)
    held = etree.SubElement(signature, f"{{{SPACES['ds']}}}Object")
    held.append(good)


def _same_id(root):
    evil = _evil(root)
    evil.set("ID", _assertion(root).get("ID"))
    root.insert(list(root).index(_assertion(root)), evil)


def _in_extensions(root):
    evil, good = _evil(root), _assertion(root)
    root.replace(good, evil)
    held = etree.Element(f"{{{SPACES['samlp']}}}Extensions")
    root.insert(1, held)
    held.append(good)


def _whole_in_another(root):
    """The signed response within another's object, with an assertion of its own."""
    outer = copy.deepcopy(root)
    signature = outer.find("ds:Signature", SPACES)
    if signature is not None:
        outer.remove(signature)
    outer.set("ID", "_outer")
    evil = _assertion(outer)
    for one in evil.findall("ds:Signature", SPACES):
        evil.remove(one)
    evil.find("saml:Subject/saml:NameID", SPACES).text = "mallory"
    held = etree.Element(f"{{{SPACES['samlp']}}}Extensions")
    outer.insert(1, held)
    held.append(root)
    return outer


@pytest.mark.parametrize("whole", [False, True], ids=["assertion", "both"])
@pytest.mark.parametrize(
    "wrap",
    [_beside_before, _beside_after, _around, _in_its_signature, _same_id, _in_extensions,
     _whole_in_another],
)  # fmt: skip
def test_wrapped_signatures(client, idp, wrap, whole):
    response = idp.changed(begin(client), after=wrap, sign_response=whole)
    unusual = wrap is _in_its_signature
    nobody(bring(client, response), "a signature of another kind" if unusual else "the response: ")
    assert not SocialAccount.objects.exists()


def test_a_comment_cuts_no_name(client, idp):
    """What a comment parts is read whole, so that nobody becomes the part before it."""

    def split(root):
        name = root.find("saml:Assertion/saml:Subject/saml:NameID", SPACES)
        name.text = "ada-1"
        comment = etree.Comment("x")
        comment.tail = ".evil"
        name.append(comment)

    assert bring(client, idp.changed(begin(client), split)).status_code == 302
    assert SocialAccount.objects.get().uid == "ada-1.evil"


# --- again, and unasked ------------------------------------------------------------------


def test_an_answer_is_good_once(client, idp):
    address = begin(client)
    response = idp.answer(address)
    assert bring(client, response).status_code == 302
    client.logout()
    refused(bring(client, response), WRONG)
    other = Client()
    begin(other)
    refused(bring(other, response), WRONG)


def test_an_assertion_is_good_once_whatever_is_around_it(client, idp):
    """Even where the state is there again: what was used is in the database."""
    address = begin(client)
    states = client.session["socialaccount_states"]
    response = idp.answer(address)
    assert bring(client, response).status_code == 302
    other = Client()
    begin(other)
    session = other.session
    session["socialaccount_states"] = states
    session.save()
    refused(bring(other, response), WRONG)
    event = AuditEvent.objects.filter(action="user.sign_in_refused").latest("pk")
    assert event.properties["why"] == "an assertion that was used"


def _unasked(root):
    del root.attrib["InResponseTo"], root.find(DATA, SPACES).attrib["InResponseTo"]


def test_what_nobody_asked_for_is_refused(client, idp):
    """A provider's own beginning, and another browser's answer."""
    response = idp.answer(begin(Client()))
    nobody(bring(client, response), "")
    unasked = idp.changed(begin(Client()), _unasked)
    nobody(bring(client, unasked), UNASKED)


def test_finishing_without_an_answer(client, idp):
    nobody(client.get(FINISH), "no response waits")


# --- what is no answer at all ---------------------------------------------------------------


def _xml(text: str) -> str:
    return base64.b64encode(text.encode()).decode()


BOMB = "<!DOCTYPE r [<!ENTITY a 'aaaaaaaaaa'>" + "".join(
    f"<!ENTITY {name} '{f'&{before};' * 10}'>"
    for before, name in zip("abcdefgh", "bcdefghi", strict=True)
) + "]><r>&i;</r>"  # fmt: skip
FILE = "<!DOCTYPE r [<!ENTITY a SYSTEM 'file:///etc/passwd'>]><r>&a;</r>"
ELSEWHERE = "<!DOCTYPE r SYSTEM 'http://127.0.0.1:9/dtd'><r/>"


@pytest.mark.parametrize(
    "response",
    ["", "%", "AAAA", _xml("no xml"), _xml("<r/>"), _xml(BOMB), _xml(FILE), _xml(ELSEWHERE),
     _xml("<a>" * 15_000), "A" * 100_001, "ä", _xml("\0"),
     _xml(f"<samlp:Response xmlns:samlp='{SPACES['samlp']}' Version='2.0' ID='x'/>")],
    ids=["empty", "percent", "bytes", "text", "xml", "bomb", "file", "elsewhere", "deep", "long",
         "letters", "nul", "bare"],
)  # fmt: skip
def test_what_is_no_answer(client, idp, response):
    begin(client)
    nobody(bring(client, response), "")


def test_a_document_type_around_a_true_answer(client, idp):
    true = base64.b64decode(idp.answer(begin(client))).decode().split("?>", 1)[-1]
    response = _xml(f"<!DOCTYPE r [<!ENTITY a 'x'>]>{true}")
    nobody(bring(client, response), "")


def test_more_than_any_answer_is_refused_unread(client, idp):
    assert client.post(ACS, {"SAMLResponse": "A" * 300_000}).status_code == 413


def test_an_answer_with_many_groups_is_none_too_many(client, idp):
    groups = [f"{number:08}-0000-4000-8000-000000000000" for number in range(350)]
    response = idp.changed(begin(client), groups=groups)
    assert len(response) > 64 * 1024
    assert bring(client, response).status_code == 302


def test_answers_without_end_are_paused(client, idp, monkeypatch):
    monkeypatch.setattr(sso, "ANSWERS", sso.Limit("a", 2, sso.BEGUN.window, sso.BEGUN.pauses))
    for _ in range(2):
        assert client.post(ACS, {"SAMLResponse": "AAAA"}).status_code == 302
    answer = client.post(ACS, {"SAMLResponse": "AAAA"})
    assert answer.status_code == 429 and "Retry-After" in answer
    assert Session.objects.count() <= 3


def test_a_waiting_answer_is_gone_soon(client, idp):
    client.post(ACS, {"SAMLResponse": "AAAA"})
    from django.utils import timezone

    left = Session.objects.get().expire_date - timezone.now()
    assert left.total_seconds() <= 300


# --- nothing of a Host header, and nothing told ----------------------------------------------


def test_names_are_our_own(client, idp, caplog):
    caplog.set_level(logging.DEBUG)
    page = client.post(START, HTTP_HOST="evil.example").content.decode()
    asked = idp.asked(leads_to(page))
    assert asked.assertion_consumer_service_url == OURS
    assert "RelayState" not in query(leads_to(page)) or not query(leads_to(page))["RelayState"]
    metadata = client.get(METADATA, HTTP_HOST="evil.example").content.decode()
    assert OURS in metadata and "evil" not in metadata
    answer = bring(client, idp.answer(leads_to(page)))
    assert answer.status_code == 302 and answer["Location"] == "/"
    assert "ada" not in caplog.text.replace("adapter", "").replace("adata", "").lower()


def test_the_button(client, idp):
    page = Page(client.get("/accounts/login/"))
    assert "Sign in with Example Inc" in page.text and f'action="{START}"' in page.html
