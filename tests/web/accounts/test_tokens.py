"""A person's API tokens: shown once, their own only, never more than they may."""

from __future__ import annotations

import re

import pytest

from orgs.models import ApiToken, AuditEvent, Membership
from orgs.services.tenancy import tokens
from tests.web.conftest import Page

TOKENS = "/accounts/tokens/"
TEXT = re.compile(r"vra_[0-9a-f]{16}_[0-9a-f]{64}")


def form(look, who, **typed: str) -> dict[str, str]:
    once = look(who, TOKENS).fields["once"]["value"]
    return {"name": "terraform", "organization": "", "expires_in": "", "once": once, **typed}


def test_issue_use_and_revoke(client, look, send, alice, acme) -> None:
    assert look(alice, "/organizations/acme/").links["API tokens"] == TOKENS
    typed = form(look, alice, organization="acme", expires_in="90")
    page = send(alice, TOKENS, typed)
    assert page.heading == "Token issued"
    assert "Copy this token now. It won't be shown again." in page.text
    (text,) = TEXT.findall(page.html)
    token = tokens.authenticate(text)
    assert (token.user, token.organization, token.name) == (alice, acme, "terraform")
    assert AuditEvent.objects.get(action="token.issued").organization == "Acme"
    again = send(alice, TOKENS, typed)
    assert "Already issued as terraform." in again.text and not TEXT.search(again.html)
    listed = look(alice, TOKENS)
    row = listed.texts["tr"][1]
    assert row == f"terraform Acme {token.begins_with} Never in 3 months Revoke terraform"
    assert text not in listed.html
    address = listed.links["Revoke terraform"]
    assert "It was never used." in look(alice, address).text
    after = Page(client.post(address, follow=True))
    assert "terraform is revoked." in after.text and "tr" not in after.texts
    with pytest.raises(tokens.TokenEnded):
        tokens.authenticate(text)
    assert "was revoked" in look(alice, address).text


def test_only_one_s_own(client, look, alice, bob, staff, actor) -> None:
    token, _ = tokens.token_issue_api(user=alice, name="mine", actor=actor)
    for other in (bob, staff):
        assert "mine" not in look(other, TOKENS).texts["main"][0]
        assert client.post(f"{TOKENS}{token.pk}/revoke/").status_code == 404
    assert ApiToken.objects.get().revoked_at is None


def test_organizations_offered_are_those_administered(look, send, alice, bob, umbrella) -> None:
    Membership.objects.create(organization=umbrella, user=alice, role="member")
    page = look(alice, TOKENS)
    assert page.texts["option"] == ["All that I administer", "Acme"]
    refused = send(alice, TOKENS, form(look, alice, organization="umbrella"))
    assert refused.wrong == {"organization"} and refused.title.startswith("Error: API tokens")
    page = look(bob, TOKENS)
    assert "a token of yours can't change anything" in page.text
    assert "organization" not in page.fields
    assert not ApiToken.objects.exists()


@pytest.mark.parametrize(
    ("typed", "field"), [({"name": ""}, "name"), ({"expires_in": "never"}, "expires_in")]
)
def test_bad_input(typed, field, look, send, alice) -> None:
    page = send(alice, TOKENS, form(look, alice, **typed))
    assert page.wrong == {field} and not ApiToken.objects.exists()


def test_two_people_may_send_the_same_form(look, send, alice, bob) -> None:
    typed = form(look, alice)
    assert TEXT.search(send(alice, TOKENS, typed).html)
    assert TEXT.search(send(bob, TOKENS, typed).html)
