"""The page on how clouds know this server: what it says, to whom, and that looking changes
nothing."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.utils import timezone

from orgs.models import Issuer, RegistryEntry, SigningKey
from orgs.services.identity import documents, keys, standing
from tests.support.identity import DISCOVERY, JWKS, URL, issuing, later, trusting_type

from .conftest import look

__all__ = ["issuing", "look", "trusting_type"]
pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("issuing")]
PAGE, STAFF = "/organizations/acme/identity/", "/staff/identity/"
OF_BOTH = pytest.mark.parametrize("address", [PAGE, STAFF])


@pytest.fixture
def trusting(make_entry, trusting_type):
    make_entry()
    return make_entry("a.example/*", registry_type=trusting_type, config={}, secrets={})


@OF_BOTH
def test_what_clouds_must_reach_and_be_told(address, look, alice, staff) -> None:
    page = look(staff if address == STAFF else alice, address)
    assert {URL, "registries.example.com", URL + DISCOVERY, URL + JWKS} <= set(page.texts["code"])
    assert "sts.amazonaws.com" in page.texts["code"]
    assert "can't be seen from here" in page.text and "Not known: from outside" in page.text
    assert "The first is made as soon as it's wanted." in page.text
    # Looking made none.
    assert not SigningKey.objects.exists() and not Issuer.objects.exists()


def test_only_of_clouds_that_there_is_a_type_for(monkeypatch) -> None:
    assert {told.cloud for told in standing._told()} <= {"AWS", "Google", "Azure"}
    monkeypatch.setattr(standing, "TYPES", [])
    assert standing._told() == []


def test_the_keys_and_their_turns(look, alice) -> None:
    first = keys.signing().kid
    coming = keys.rotate()
    page = look(alice, PAGE)
    terms = page.texts["dt"]
    assert terms.index("Signs") < terms.index("Signs next") and "Signed before" not in terms
    assert first in page.text and coming.kid in page.text
    later(days=1, seconds=1)
    keys.signing()
    page = look(alice, PAGE)
    assert "Signed before" in page.texts["dt"] and "Published until" in page.text
    assert "Signs next" not in page.texts["dt"]
    later(seconds=keys.AFTER.total_seconds())
    assert first not in look(alice, PAGE).text


def test_dropped_ones_are_not_there(look, alice, settings) -> None:
    first = keys.signing().kid
    (dropped,), new = keys.drop_all()
    assert dropped == first and first not in look(alice, PAGE).text
    settings.OIDC_DROPPED_KEYS = [new.kid]
    assert new.kid not in look(alice, PAGE).text


def test_who_fetched_them_last(look, alice, staff) -> None:
    seen = timezone.now() - timedelta(hours=3)
    agent = "<script>x</script>"
    Issuer.objects.create(url=URL, fetched_at=seen, fetched_from="52.94.76.1", fetched_by=agent)
    page = look(alice, PAGE)
    assert f"{seen:%H:%M}" in page.text and "script" not in page.text
    assert "52.94.76.1" not in page.html, "another organization's admin's, maybe"
    page = look(staff, STAFF)
    assert (
        "from 52.94.76.1" in page.text and f"as “{agent}”" in page.text and agent not in page.html
    )


def test_where_clouds_read_a_copy_nobody_is_seen(look, alice, settings) -> None:
    settings.OIDC_ISSUER = "https://keys.example.com/acme"
    Issuer.objects.create(
        url=settings.OIDC_ISSUER, fetched_at=timezone.now(), fetched_from="52.94.76.1"
    )
    documents.key_set()
    page = look(alice, PAGE)
    assert "clouds read a copy" in page.text and "52.94.76.1" not in page.text
    assert f"{settings.OIDC_ISSUER}{JWKS}" in page.texts["code"]
    assert "keys.example.com/acme" in page.texts["code"]
    assert "once the copy has it" in page.text


@pytest.mark.parametrize("url", ["http://127.0.0.1:8000", "https://registries.example.com:8443"])
@OF_BOTH
def test_a_server_that_is_no_issuer_says_so(address, url, look, alice, staff, settings) -> None:
    settings.BASE_URL = url
    page = look(staff if address == STAFF else alice, address)
    assert f"Clouds can't trust this server: its address, {url}," in page.text
    assert ("Set BASE_URL" in page.text) is (address == STAFF)
    assert JWKS not in page.text and "Signing keys" not in page.text


def test_another_name_than_clouds_know(look, alice, staff) -> None:
    Issuer.objects.create(url="https://former.example.com")
    for who, address in ((alice, PAGE), (staff, STAFF)):
        page = look(who, address)
        assert "Clouds know this server as https://former.example.com" in page.text
        assert "change_issuer" in page.texts["code"]


# --- whose entries --------------------------------------------------------------------


def test_the_entries_that_rest_on_it_and_their_last_answers(look, alice, trusting) -> None:
    page = look(alice, PAGE)
    assert (
        "a.example/*" in page.text
        and "Not known" in page.text
        and "amazonaws.com/" not in page.text
    )
    RegistryEntry.objects.filter(pk=trusting.pk).update(status="failing", status_at=timezone.now())
    assert "Failing" in look(alice, PAGE).text
    RegistryEntry.objects.filter(pk=trusting.pk).update(enabled=False)
    assert "a.example/*" not in look(alice, PAGE).text


def test_an_organization_sees_its_own_only_and_staff_all(
    look, alice, staff, trusting, make_entry, umbrella, trusting_type
) -> None:
    make_entry("b.example/*", registry_type=trusting_type, config={}, secrets={},
        organization=umbrella)  # fmt: skip
    for who in (alice, staff):
        page = look(who, PAGE)
        assert "a.example/*" in page.text and "b.example" not in page.text
    page = look(staff, STAFF)
    assert {"a.example/*", "b.example/*"} <= set(page.text.split()) and "Umbrella" in page.text
    umbrella.made_up = True
    umbrella.save()
    assert "b.example" not in look(staff, STAFF).text


def test_it_lists_so_many_and_says_how_many_more(trusting, make_entry, trusting_type, look, alice):
    for number in range(standing.MOST + 1):
        make_entry(f"x{number}.example/*", registry_type=trusting_type, config={}, secrets={})
    assert "and 2 more" in look(alice, PAGE).text


def test_the_ways_to_it(look, alice, bob, staff) -> None:
    listed = "/organizations/acme/registries/"
    assert look(alice, listed).links["Identity"] == PAGE
    assert look(staff, listed).links["Identity"] == PAGE
    assert "Identity" not in look(bob, listed).links
    assert look(staff, "/staff/").links["Identity"] == STAFF
