"""People from before django-allauth (tests/former/build_people.py) after the upgrade."""

from __future__ import annotations

import json
from datetime import timedelta
from pathlib import Path

import pytest
from django.core import serializers
from django.db.models.functions import Now
from django.test import Client
from django.urls import get_resolver, resolve, reverse

from orgs.models import Invitation, Organization, User
from tests.former.build_people import PASSWORD, SECRET_KEY
from tests.test_access import own

pytestmark = pytest.mark.django_db
FORMER = json.loads((Path(__file__).parents[2] / "former" / "people.json").read_text())
ACCOUNT, LOGIN = reverse("account"), reverse("account_login")


@pytest.fixture
def held(settings) -> dict:
    """What the former version's people hold, once their rows are here."""
    settings.SECRET_KEY = SECRET_KEY
    settings.SECRET_KEY_FALLBACKS = []
    settings.PASSWORD_HASHERS = ["orgs.services.tenancy.passwords.Scrypt"]
    settings.PASSWORD_RESET_TIMEOUT = 10**9
    settings.SESSION_COOKIE_AGE = 10**9
    # as a migration renames it
    rows = json.dumps(FORMER["rows"]).replace('"proven"', '"email_verified"')
    for made in serializers.deserialize("json", rows):
        made.save()
    Invitation.objects.update(expires_at=Now() + timedelta(days=1))
    return FORMER["held"]


def is_in(client: Client) -> bool:
    return client.get(ACCOUNT).status_code == 200


def test_they_sign_in(held):
    client = Client()
    client.post(LOGIN, {"username": "alice@example.com", "password": PASSWORD})
    assert is_in(client)
    wrong = Client()
    wrong.post(LOGIN, {"username": "alice@example.com", "password": "wrong"})
    assert not is_in(wrong)


def test_who_is_signed_in_stays_so(held, settings):
    client = Client()
    client.cookies[settings.SESSION_COOKIE_NAME] = held["session"]
    page = client.get(ACCOUNT)
    assert page.status_code == 200 and "this one" in page.content.decode()


def test_a_password_link_works(held):
    client = Client()
    page = client.get(held["password_link"], follow=True)
    fresh = "another long password"
    client.post(page.request["PATH_INFO"], {"new_password1": fresh, "new_password2": fresh})
    assert is_in(client) and User.objects.get(email="bob@example.com").check_password(fresh)


def test_invitations_work(held):
    client = Client()
    typed = {"name": "Dan", "new_password1": PASSWORD, "new_password2": PASSWORD}
    client.post(held["invitations"]["dan@example.com"], typed)
    assert is_in(client) and client.get("/organizations/former/").status_code == 200
    assert not User.objects.get(email="carol@example.com").email_verified
    carol = Client()
    carol.post(LOGIN, {"username": "carol@example.com", "password": PASSWORD})
    carol.post(held["invitations"]["carol@example.com"])
    assert carol.get("/organizations/former/").status_code == 200


def test_an_api_token_works(held):
    headers = {"authorization": f"Token {held['api_token']}"}
    answer = Client().get("/api/v0/me/", headers=headers)
    assert answer.json()["organizations"][0]["slug"] == "former"


def test_nothing_is_asked_of_them_that_wasnt(held):
    former = Organization.objects.get()
    assert not former.admins_need_mfa and not former.no_personal_projects


@pytest.mark.parametrize(
    ("address", "name"),
    [
        ("/accounts/login/", "account_login"),
        ("/accounts/logout/", "account_logout"),
        ("/accounts/tokens/", "api_tokens"),
        ("/accounts/tokens/7/revoke/", "api_token_revoke"),
        ("/accounts/password/Mg/dioyuq-e913051753bec76b11d55e8647e2cf43/", "set_password"),
        ("/accounts/password/Mg/set-password/", "set_password"),
        ("/accounts/password/reset/done/", "set_password"),  # allauth's own isn't in the way
        ("/accounts/projects/c56a4180-65aa-42ec-a945-5fd21dec0538/move/", "own_project_move"),
        ("/invitations/abc-0-def/", "invitation"),
    ],
)
def test_addresses_from_before_are_ours(address, name):
    assert resolve(address).url_name == name


def test_no_address_has_two_meanings():
    """Each address that our table makes leads back to its own name."""
    values = {"slug": "x", "token": "t", "uidb64": "MQ", "page": "p"}
    ids = "c56a4180-65aa-42ec-a945-5fd21dec0538"
    numbers = ("pk", "key", "token_id", "api_token_id", "environment_id", "membership_id")
    for name in own():
        wanted = get_resolver().reverse_dict.getlist(name)[0][0][0][1]
        given = {key: values.get(key, 1 if key in numbers else ids) for key in wanted}
        assert resolve(reverse(name, kwargs=given)).url_name == name


@pytest.mark.parametrize("page", ["signup/", "password/reset/", "social/signup/", "3rdparty/"])
def test_no_page_of_allauth_stands_beside_ours(client, page):
    assert client.get(f"/accounts/{page}").status_code == 404
