"""Sign-in by OpenID Connect: at a real provider, and at one that lies."""

from __future__ import annotations

import json
import logging
import time

import jwt
import pytest
from allauth.mfa.models import Authenticator
from allauth.mfa.totp.internal.auth import generate_totp_secret
from allauth.socialaccount.models import SocialAccount, SocialToken
from django.contrib.sessions.models import Session
from django.test import Client

from orgs.models import AuditEvent, Membership, User
from orgs.registries import codes
from orgs.registries.problems import Refused
from orgs.services.audit import repeats
from orgs.services.audit.events import Actor
from orgs.services.tenancy import invitations, second_steps, sso
from orgs.web.accounts import oidc
from tests.conftest import CANARY, make_user
from tests.support.oidc import (
    CALLBACK,
    CLIENT,
    DISCOVERY,
    OTHERS_KEY,
    START,
    Real,
    Scripted,
    begin,
    query,
    real,
    scripted,
    signed,
    told,
)  # fmt: skip
from tests.web.conftest import Page

pytestmark = [pytest.mark.once, pytest.mark.django_db(transaction=True)]
SECRET = f"client-{CANARY}"
WRONG = "can't be believed"


@pytest.fixture(scope="session")
def at_work() -> Real:
    with real() as provider:
        yield provider


@pytest.fixture
def liar() -> Scripted:
    with scripted() as provider:
        yield provider


@pytest.fixture(autouse=True)
def _nothing_remembered():
    oidc._discovered.clear()


def use(settings, issuer):
    settings.SSO_OIDC_ISSUER = issuer
    settings.SSO_OIDC_CLIENT_ID = CLIENT
    settings.SSO_OIDC_CLIENT_SECRET = SECRET
    settings.SSO_OIDC_NAME = "Example Inc"


@pytest.fixture
def work(settings, at_work) -> Real:
    use(settings, at_work.issuer)
    return at_work


@pytest.fixture
def lies(settings, liar, acme) -> Scripted:
    use(settings, liar.issuer)
    settings.SSO_ORGANIZATIONS = ["example.com=acme"]
    return liar


def who(client: Client) -> str | None:
    key = client.session.get("_auth_user_id")
    return User.objects.get(pk=key).email if key else None


def come(client, provider, *args, **typed):
    """Through the provider and back."""
    return client.get(provider.let_in(begin(client, **typed), *args))


def refused(answer, says, code="company_wrong_answer"):
    """Nobody is in, the page says why, and so does the log."""
    status = codes.of(code).status
    page = Page(answer)
    assert (answer.status_code, page.heading) == (status, "You aren't signed in")
    assert says in page.text
    assert who(answer.client) is None
    assert SECRET not in page.html and "the-access-token" not in page.html
    repeats.before_reading()
    assert (
        code == "address_paused"
        or AuditEvent.objects.filter(
            action="user.sign_in_refused", code=code, properties__by="sign-in at Example Inc"
        ).exists()
    ), code
    return page


# --- at a real provider ---------------------------------------------------------


def test_who_has_an_account_is_connected_and_told(client, work, alice, settings, mailoutbox):
    settings.EMAIL_BACKEND = "django.core.mail.backends.locmem.EmailBackend"
    work.person("alice-1", email="Alice@Example.com", email_verified=True, name="A.")
    answer = come(client, work, "alice-1", next="/accounts/")
    assert (answer.status_code, answer["Location"]) == (302, "/accounts/")
    assert who(client) == "alice@example.com"
    account = SocialAccount.objects.get()
    assert (account.provider, account.uid, account.user) == (
        f"oidc {work.issuer}",
        "alice-1",
        alice,
    )
    assert account.extra_data == {} and not SocialToken.objects.exists()
    events = {event.action: event for event in AuditEvent.objects.all()}
    assert events["user.signed_in"].properties["by"] == ["sign-in at Example Inc"]
    assert events["user.company_connected"].properties["at"] == "Example Inc"
    assert {event.organization_id for event in events.values()} == {
        alice.memberships.get().organization_id
    }
    (mail,) = mailoutbox
    assert mail.to == ["alice@example.com"] and "Example Inc" in mail.subject


def test_from_then_on_the_subject_counts_and_not_the_address(client, work, alice, mailoutbox):
    work.person("alice-2", email="alice@example.com", email_verified=True)
    come(client, work, "alice-2")
    work.person("alice-2", email="bob@example.com", email_verified=False)
    client.logout()
    assert come(client, work, "alice-2").status_code == 302
    assert who(client) == "alice@example.com"
    alice.refresh_from_db()
    assert (alice.name, alice.email) == ("Alice", "alice@example.com")


def test_a_rule_makes_an_account_and_a_member(client, work, acme, umbrella, settings):
    settings.SSO_ORGANIZATIONS = ["example.com=acme", "group:gone=nowhere"]
    work.person("new-1", email="new@example.com", email_verified=True, name="New One")
    assert come(client, work, "new-1").status_code == 302
    person = User.objects.get(email="new@example.com")
    assert (person.name, person.email_verified, person.has_usable_password()) == (
        "New One", True, False,
    )  # fmt: skip
    membership = person.memberships.get()
    assert (membership.organization, membership.role) == (acme, "member")
    added = AuditEvent.objects.get(action="member.added")
    assert added.properties["by"] == "sign-in at Example Inc"
    assert added.actor == "new@example.com"


def test_nobody_else_comes_in(client, work, acme):
    work.person("eve-1", email="eve@elsewhere.com", email_verified=True)
    answer = come(client, work, "eve-1")
    refused(
        answer,
        "nobody here has invited eve@elsewhere.com. Ask an org admin.",
        "company_not_invited",
    )
    assert not User.objects.filter(email="eve@elsewhere.com").exists()
    assert AuditEvent.objects.get(action="user.sign_in_refused").subject == ""


def with_a_second_step(person):
    with second_steps.of(person):
        secret = second_steps.sealed(generate_totp_secret())
    Authenticator.objects.create(user=person, type="totp", data={"secret": secret})


def test_the_second_step_comes_after(client, work, alice):
    with_a_second_step(alice)
    work.person("alice-3", email="alice@example.com", email_verified=True)
    answer = come(client, work, "alice-3")
    assert answer["Location"] == "/accounts/two-step/code/" and who(client) is None
    assert not AuditEvent.objects.filter(action="user.signed_in").exists()
    for session in Session.objects.all():
        kept = json.dumps(session.get_decoded(), default=str)
        assert "token" not in kept and alice.password not in kept


def test_what_is_asked_of_the_provider(client, work):
    address = begin(client)
    asked = query(address)
    assert asked["redirect_uri"] == "http://127.0.0.1:8000/accounts/company/oidc/callback/"
    assert (asked["response_type"], asked["code_challenge_method"]) == ("code", "S256")
    assert set(asked["scope"].split()) == {"openid", "profile", "email"}
    assert len(asked["state"]) >= 16 and len(asked["nonce"]) >= 32 and asked["code_challenge"]


def test_the_visitor_has_no_say_in_it(client, work, alice):
    """Neither its name, its scopes nor what it's for come from what was sent."""
    typed = {"process": "connect", "scope": "admin", "auth_params": "prompt=none"}
    for address, data in ((START, typed), (f"{START}?process=connect&scope=admin", {})):
        page = client.post(address, data, HTTP_HOST="evil.example").content.decode()
        assert "evil" not in page.split("<body")[1] or "evil" not in page
        assert "scope=admin" not in page and "prompt" not in page
        assert "redirect_uri=http%3A%2F%2F127.0.0.1%3A8000%2F" in page
    states = client.session["socialaccount_states"]
    assert {state["process"] for state, *_ in states.values()} == {"login"}


def test_who_breaks_it_off_is_told_so(client, work):
    answer = client.get(work.deny(begin(client)))
    refused(answer, "You broke off the sign-in at Example Inc", "company_cancelled")


@pytest.mark.parametrize("then", ["https://evil.example/", "//evil.example", "/\\evil.example",
                                  "javascript:alert(1)"])  # fmt: skip
def test_no_way_leads_elsewhere(client, work, alice, then):
    work.person("alice-4", email="alice@example.com", email_verified=True)
    assert come(client, work, "alice-4", next=then)["Location"] == "/"


def test_a_code_is_good_once_and_in_its_own_browser_only(client, work, alice):
    work.person("alice-5", email="alice@example.com", email_verified=True)
    back = work.let_in(begin(client), "alice-5")
    other = Client()
    refused(other.get(back), WRONG)
    begin(other)
    refused(other.get(back), WRONG)
    assert client.get(back).status_code == 302
    client.logout()
    refused(client.get(back), WRONG)


def test_who_is_signed_in_already_connects_nothing(client, work, bob):
    work.person("alice-6", email="alice@example.com", email_verified=True)
    client.force_login(bob)
    assert client.post(START, {"next": "/accounts/"})["Location"] == "/accounts/"
    assert not SocialAccount.objects.exists() and who(client) == "bob@example.com"


@pytest.mark.parametrize("steps", [1, 2])
def test_who_signed_in_meanwhile_is_out_again(client, work, alice, bob, steps):
    """The one who comes back is the provider's, and nothing of the other's goes with it."""
    if steps == 2:
        with_a_second_step(alice)
    work.person("alice-7", email="alice@example.com", email_verified=True)
    back = work.let_in(begin(client), "alice-7")
    states = client.session["socialaccount_states"]
    client.force_login(bob)
    session = client.session
    session["socialaccount_states"] = states
    session.save()
    assert client.get(back).status_code == 302
    assert who(client) == ("alice@example.com" if steps == 1 else None)
    assert SocialAccount.objects.get().user == alice


def test_only_a_form_of_ours_begins_it(work, alice):
    assert Client(enforce_csrf_checks=True).post(START).status_code == 403
    assert Client().get(START).status_code == 405


# --- whose account it is -----------------------------------------------------------


@pytest.mark.parametrize("word", [False, "true", 1, None, "yes", [True]])
def test_an_unverified_address_leads_to_nobody(client, lies, alice, word):
    lies.claims = {"email": "alice@example.com", "email_verified": word}
    answer = come(client, lies)
    says = "doesn't say that alice@example.com was verified"
    known = refused(answer, says, "company_unverified").text
    lies.claims["email"] = "nobody@example.com"
    unknown = refused(
        come(Client(), lies), says.replace("alice", "nobody"), "company_unverified"
    ).text
    assert known.replace("alice", "nobody") == unknown
    assert not SocialAccount.objects.exists() and not User.objects.filter(name="Ada").exists()
    assert not AuditEvent.objects.filter(subject="alice@example.com").exists()


def test_a_claim_that_is_missing_is_the_operators_to_vouch_for(client, lies, alice, settings):
    lies.sign = lambda claims: signed({**claims, "email_verified": None})
    lies.claims = {"email": "alice@example.com"}
    refused(come(client, lies), "doesn't say that", "company_unverified")
    settings.SSO_VERIFIED_DOMAINS = ["example.com"]
    assert come(client, lies).status_code == 302
    lies.claims = {"email": "x@sub.example.com", "sub": "other"}
    refused(come(Client(), lies), "doesn't say that", "company_unverified")


def test_no_word_of_the_operators_outweighs_the_providers(client, lies, alice, settings):
    settings.SSO_VERIFIED_DOMAINS = ["example.com"]
    lies.claims = {"email": "alice@example.com", "email_verified": False}
    refused(come(client, lies), "doesn't say that", "company_unverified")


def test_an_account_of_an_unverified_address_is_left_alone(client, lies, acme):
    person = make_user("ada@example.com", "Mallory", email_verified=False)
    refused(
        come(client, lies), "never showed that the address is theirs", "company_account_unverified"
    )
    person.refresh_from_db()
    assert not SocialAccount.objects.exists() and person.has_usable_password()
    assert not person.email_verified
    assert AuditEvent.objects.get(action="user.sign_in_refused").subject == person.email


def test_who_was_switched_off_is_told_what_nobody_is(client, lies, settings):
    settings.SSO_ORGANIZATIONS = []
    nobody = refused(
        come(client, lies), "nobody here has invited ada@example.com", "company_not_invited"
    ).text
    person = make_user("ada@example.com", "Ada", is_active=False)
    assert refused(come(client, lies), "nobody here", "company_not_invited").text == nobody
    SocialAccount.objects.create(user=person, provider=lies.issuer, uid="ada-1")
    assert refused(come(client, lies), "nobody here", "company_not_invited").text == nobody


def test_an_address_given_to_somebody_else_isnt_the_account(client, lies):
    """A new person at the company with the address of one who left."""
    assert come(client, lies).status_code == 302
    lies.claims = {"sub": "ada-2"}
    refused(come(Client(), lies), "belongs to another one at Example Inc", "company_other_account")
    assert SocialAccount.objects.get().uid == "ada-1"


@pytest.mark.parametrize("email", ["\u212aalice@example.com", "alice@example.com\0", "", "alice",
                                   "alice@example.com\nbcc:x@example.com", 5, None, ["a@b.com"],
                                   "a" * 300 + "@example.com"])  # fmt: skip
def test_addresses_that_are_none(client, lies, alice, email):
    lies.claims = {"email": email}
    refused(come(client, lies), "names no e-mail address of yours", "company_no_email")


@pytest.mark.parametrize("subject", ["", "x" * 192, "a\0b", "a\nb", 5, None, ["a"]])
def test_subjects_that_are_none(client, lies, subject):
    lies.claims = {"sub": subject}
    refused(come(client, lies), WRONG)


# --- what can't be believed ----------------------------------------------------------


def _unsigned(claims):
    return jwt.encode(claims, None, algorithm="none", headers={"kid": "one"})


def _by_our_secret(claims):
    return jwt.encode(claims, SECRET, algorithm="HS256", headers={"kid": "one"})


@pytest.mark.parametrize(
    ("change", "why"),
    [
        ({"aud": "another-client"}, "InvalidAudienceError"),
        ({"aud": [CLIENT, "another-client"]}, "azp"),
        ({"aud": [CLIENT, "another-client"], "azp": "another-client"}, "azp"),
        ({"azp": "another-client"}, "azp"),
        ({"aud": None}, "MissingRequiredClaimError"),
        ({"iss": "https://another.example"}, "InvalidIssuerError"),
        ({"iss": None}, "MissingRequiredClaimError"),
        ({"exp": 1_600_000_000}, "ExpiredSignatureError"),
        ({"exp": None}, "MissingRequiredClaimError"),
        ({"iat": 4_000_000_000}, "ImmatureSignatureError"),
        ({"nonce": "another"}, "another session's nonce"),
        ({"nonce": None}, "another session's nonce"),
        ({"nonce": 5}, "another session's nonce"),
    ],
    ids=str,
)
def test_claims_of_somebody_elses(client, lies, change, why):
    lies.sign = lambda claims: signed(claims | change)
    refused(come(client, lies), WRONG)
    event = AuditEvent.objects.get(action="user.sign_in_refused")
    assert why in event.properties["why"]
    assert not User.objects.filter(email="ada@example.com").exists()


@pytest.mark.parametrize(
    "sign",
    [
        _unsigned,
        _by_our_secret,
        lambda claims: signed(claims, OTHERS_KEY),
        lambda claims: signed(claims, kid="two"),
        lambda claims: signed(claims)[:-6],
        lambda claims: signed(claims).rpartition(".")[0] + ".",
        lambda claims: "not.a.token",
        lambda claims: None,
        lambda claims: ["a", "list"],
        lambda claims: "x" * 200_000,
    ],
    ids=["none", "our secret", "another key", "another kid", "cut", "bare", "no token", "null",
         "list", "long"],
)  # fmt: skip
def test_signatures_that_are_none(client, lies, sign):
    lies.sign = sign
    refused(come(client, lies), WRONG)
    assert not User.objects.filter(email="ada@example.com").exists()


def test_an_id_token_of_another_session_is_refused(client, lies):
    """Replayed: it was made for another nonce than this session's."""
    first = begin(client)
    lies.let_in(first)
    replayed = signed(lies.honest())
    lies.sign = lambda claims: replayed
    refused(come(Client(), lies), WRONG)
    assert not User.objects.filter(email="ada@example.com").exists()


def test_user_info_of_another_person_is_refused(client, lies):
    lies.userinfo = {"sub": "somebody-else", "email": "alice@example.com"}
    refused(come(client, lies), WRONG)


def test_an_address_and_the_word_on_it_are_of_one_answer(client, lies, alice):
    lies.sign = lambda claims: signed({**claims, "email_verified": None, "email": None})
    lies.claims = {"email_verified": None}
    lies.userinfo = {"email": "ada@example.com", "email_verified": True}
    assert come(client, lies).status_code == 302
    other = Client()
    lies.sign = lambda claims: signed({**claims, "email_verified": True, "email": None})
    lies.userinfo = {"email": "alice@example.com"}
    lies.claims = {"sub": "ada-3"}
    lies.userinfo["sub"] = "ada-3"
    refused(come(other, lies), "doesn't say that alice@example.com", "company_unverified")


@pytest.mark.parametrize(
    "change",
    [
        {"issuer": "https://another.example"},
        {"issuer": None},
        {"token_endpoint": "http://169.254.169.254/latest"},
        {"token_endpoint": "file:///etc/passwd"},
        {"authorization_endpoint": "javascript:alert(1)"},
        {"authorization_endpoint": "http://elsewhere.example/"},
        {"jwks_uri": None},
        {"userinfo_endpoint": ["x"]},
    ],
    ids=str,
)
def test_a_discovery_document_of_another_kind(client, lies, change):
    lies.discovery = change
    refused(client.post(START), WRONG)


@pytest.mark.parametrize("path", [DISCOVERY, "/token", "/keys"])
@pytest.mark.parametrize(
    "answer",
    [
        lambda: (200, {"Content-Type": "application/json"}, b"x" * 2_000_000),
        lambda: (200, {"Content-Type": "application/json"}, b"[" * 100_000),
        lambda: told([1, 2]),
        lambda: told({"keys": "x", "access_token": ["x"]}),
        lambda: (200, {}, b""),
        lambda: (200, {"Content-Type": "text/html"}, b"<p>\xff"),
        lambda: (302, {"Location": "http://127.0.0.1:1/"}, b""),
        lambda: told({"error": "invalid_grant"}, 400),
        lambda: told({"error": "invalid_client"}, 401),
    ],
    ids=["huge", "deep", "list", "shape", "empty", "html", "redirect", "400", "401"],
)  # fmt: skip
def test_answers_that_are_none(client, lies, path, answer):
    if path == DISCOVERY:
        lies.answers[path] = answer
        refused(client.post(START), WRONG)
    else:
        back = lies.let_in(begin(client))
        lies.answers[path] = answer
        refused(client.get(back), WRONG)


def test_what_is_right_but_too_long_is_refused(client, lies):
    """Not cut at the bound, and then taken."""
    right = json.dumps(lies._well_known_openid_configuration()).encode()
    lies.answers[DISCOVERY] = lambda: (200, {}, right + b" " * 400_000)
    refused(client.post(START), WRONG)
    lies.answers[DISCOVERY] = lambda: (200, {}, right + b" " * 1000)
    assert client.post(START).status_code == 200


@pytest.mark.parametrize("extra", [{}, {"code": ""}, {"error": "server_error"},
                                   {"error_description": "<script>alert(1)</script>"}])  # fmt: skip
def test_callbacks_that_nobody_asked_for(client, lies, extra):
    begin(client)
    page = refused(client.get(CALLBACK, {"state": "made-up", "code": "x"} | extra), WRONG)
    assert "<script>alert" not in page.html


# --- one that is away -------------------------------------------------------------


def test_a_provider_that_is_away_is_told(client, lies, caplog):
    back = lies.let_in(begin(client))
    lies.server.shutdown()
    lies.server.server_close()
    answer = client.get(back)
    refused(answer, "The sign-in of Example Inc doesn't answer", "company_away")
    assert answer["Retry-After"] == "60"
    oidc._discovered.clear()
    refused(client.post(START), "doesn't answer", "company_away")


def test_a_provider_that_fails_is_told(client, lies):
    lies.answers[DISCOVERY] = lambda: told({}, 502)
    refused(client.post(START), "doesn't answer", "company_away")


def test_one_that_drips_is_given_up_and_holds_no_turn(client, lies, monkeypatch):
    from orgs.registries.turns import turns

    monkeypatch.setattr(oidc, "CALL_SECONDS", 0.5)
    free = []

    def slowly():
        free.append(turns._pages.free.acquire(blocking=False))
        if free[-1]:
            turns._pages.free.release()
        time.sleep(1)
        return told({})

    lies.answers[DISCOVERY] = slowly
    refused(client.post(START), "doesn't answer", "company_away")
    assert free == [True]


def test_places_are_few(client, lies):
    with oidc.PLACES.taken("a"), oidc.PLACES.taken("b"), oidc.PLACES.taken("127.0.0.1"):
        with oidc.PLACES.taken("127.0.0.1x"), oidc.PLACES.taken("c"), oidc.PLACES.taken("d"):
            assert client.post(START).status_code == 503
    assert client.post(START).status_code == 200


def test_beginning_without_end_is_paused(client, lies, monkeypatch):
    few = sso.Limit("company", 2, sso.BEGUN.window, sso.BEGUN.pauses)
    monkeypatch.setattr(sso, "BEGUN", few)
    for _ in range(2):
        assert client.post(START).status_code == 200
    answer = client.post(START)
    assert answer.status_code == 429 and int(answer["Retry-After"]) > 800
    refused(answer, "Too many sign-ins were begun from your address", "address_paused")


# --- where nothing is set -----------------------------------------------------------


@pytest.mark.parametrize("method", ["get", "post"])
def test_nothing_is_there_where_nothing_is_set(client, db, method):
    for end in ("oidc/", "saml/", "oidc/callback/", "saml/acs/", "saml/finish/", "saml/metadata/"):
        assert getattr(client, method)(f"/accounts/company/{end}").status_code in {404, 405}
    assert "Sign in with" not in client.get("/accounts/login/").content.decode().replace(
        "Sign in with a passkey", ""
    )


def test_the_button_is_there_where_it_is_set(client, lies):
    page = Page(client.get("/accounts/login/?next=/accounts/"))
    assert "Sign in with Example Inc" in page.text
    assert f'action="{START}"' in page.html


def test_who_is_invited_may_come_by_it(client, lies, acme, alice, settings):
    settings.SSO_ORGANIZATIONS = []
    actor = Actor(alice.email, alice)
    (one,) = invitations.invite(
        organization=acme, emails=["ada@example.com"], role="admin", actor=actor
    )
    page = Page(client.get(f"/invitations/{invitations.token(one)}/"))
    assert "Sign in with Example Inc" in page.text and f'action="{START}"' in page.html
    assert come(client, lies)["Location"] == "/"
    assert User.objects.get(email="ada@example.com").memberships.get().role == "admin"


# --- secrets ------------------------------------------------------------------------


def test_the_secret_goes_to_the_provider_and_nowhere_else(client, lies, caplog, settings):
    caplog.set_level(logging.DEBUG)
    assert come(client, lies).status_code == 302
    lies.answers["/token"] = lambda: told({"error": SECRET}, 400)
    refused(come(Client(), lies), WRONG)
    asked = [(path, body, str(headers)) for _, path, headers, body in lies.asked]
    token, _ = [one for one in asked if one[0] == "/token"]
    assert "code_verifier=" in token[1] and SECRET not in token[1]
    assert "Basic " in token[2]
    assert all("Basic " not in headers for path, _, headers in asked if path != "/token")
    assert SECRET not in caplog.text and "the-access-token" not in caplog.text
    for session in Session.objects.all():
        assert SECRET not in str(session.get_decoded())
        assert "the-access-token" not in str(session.get_decoded())


def test_an_error_page_shows_no_secret(client, lies, settings, monkeypatch):
    settings.DEBUG = True
    client.raise_request_exception = False
    monkeypatch.setattr(sso, "enter", lambda **_: 1 / 0)
    answer = client.get(lies.let_in(begin(client)))
    page = answer.content.decode()
    assert answer.status_code == 500 and "ZeroDivisionError" in page
    assert CANARY not in page and "the-access-token-CAN" + "ARY" not in page


# --- one's account --------------------------------------------------------------------


def test_ones_account_has_it_and_may_end_it(client, lies, acme):
    come(client, lies)
    person = User.objects.get(email="ada@example.com")
    page = Page(client.get("/accounts/"))
    assert page.by_id["company"] == "Company sign-in Example Inc"
    key = SocialAccount.objects.get().pk
    address = f"/accounts/company/{key}/disconnect/"
    assert "only way in" in client.post(address, follow=True).content.decode()
    with pytest.raises(Refused) as only:
        sso.disconnect(person=person, actor=Actor("x", person), key=key)
    assert only.value.code == "only_way_in"
    person.set_password("correct horse battery")
    person.save()
    client.force_login(person)
    assert "Disconnect" in Page(client.get("/accounts/")).by_id["company"]
    assert client.post(address).url.startswith("/accounts/again/")  # who it is, first
    client.post("/accounts/again/", {"password": "correct horse battery"})
    assert client.post(f"/accounts/company/{key + 1}/disconnect/").status_code == 404
    other = make_user("other@example.com", "Other")
    theirs = SocialAccount.objects.create(user=other, provider=f"oidc {lies.issuer}", uid="o")
    assert client.post(f"/accounts/company/{theirs.pk}/disconnect/").status_code == 404
    client.post(address)
    assert list(SocialAccount.objects.all()) == [theirs]
    assert AuditEvent.objects.filter(action="user.company_disconnected").count() == 1
    assert Membership.objects.filter(user=person).exists()
