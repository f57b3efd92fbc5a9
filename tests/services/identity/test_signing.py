"""A token: for one entry, one audience and five minutes, as another library reads it."""

from __future__ import annotations

import base64
import json
import re
from datetime import UTC, datetime, timedelta

import pytest
from joserfc.errors import JoseError
from joserfc.jwt import JWTClaimsRegistry

from orgs.services.audit.clock import database_now
from orgs.services.identity import documents, signing
from tests.support.identity import AUDIENCE, URL, fetched, judged

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("issuing")]


def test_a_cloud_takes_it_by_the_published_keys(make_entry, acme) -> None:
    entry = make_entry()
    claims = judged(signing.signed(entry, AUDIENCE), fetched())
    JWTClaimsRegistry(
        iss={"essential": True, "value": URL},
        aud={"essential": True, "value": AUDIENCE},
        sub={"essential": True, "value": f"organization:{acme.uuid}:entry:{entry.pk}"},
        exp={"essential": True},
        nbf={"essential": True},
        iat={"essential": True},
        jti={"essential": True},
    ).validate(claims)
    assert set(claims) == set(documents.discovery()["claims_supported"])


def test_it_lives_five_minutes_from_thirty_seconds_ago_by_the_databases_clock(
    make_entry, monkeypatch
) -> None:
    now = datetime(2031, 5, 6, 7, 8, 9, 999_999, UTC)  # not this server's, which is off
    monkeypatch.setattr(signing, "database_now", lambda: now)
    claims = judged(signing.signed(make_entry(), AUDIENCE), fetched())
    whole = now.replace(microsecond=0)
    assert claims["exp"] == (whole + timedelta(minutes=5)).timestamp()
    assert claims["iat"] == claims["nbf"] == (whole - timedelta(seconds=30)).timestamp()


def test_it_is_the_databases_clock(make_entry) -> None:
    claims = judged(signing.signed(make_entry(), AUDIENCE), fetched())
    left = datetime.fromtimestamp(claims["exp"], UTC) - database_now()
    assert timedelta(minutes=4, seconds=50) < left <= timedelta(minutes=5)


def test_no_two_are_alike(make_entry) -> None:
    entry = make_entry()
    key_set = fetched()
    ids = {judged(signing.signed(entry, AUDIENCE), key_set)["jti"] for _ in range(20)}
    assert len(ids) == 20


def test_its_head_names_the_key_and_nothing_that_leads_elsewhere(make_entry) -> None:
    token = signing.signed(make_entry(), AUDIENCE)
    head = token.partition(".")[0]
    (key,) = fetched()["keys"]
    told = json.loads(base64.urlsafe_b64decode(head + "=="))
    assert told == {"alg": "RS256", "typ": "JWT", "kid": key["kid"]}


def test_one_for_another_audience_is_worthless_here(make_entry) -> None:
    claims = judged(signing.signed(make_entry(), "api://AzureADTokenExchange"), fetched())
    with pytest.raises(JoseError):
        JWTClaimsRegistry(aud={"essential": True, "value": AUDIENCE}).validate(claims)


@pytest.mark.parametrize("part", [0, 1, 2])
def test_what_is_changed_in_it_is_seen(part, make_entry) -> None:
    parts = signing.signed(make_entry(), AUDIENCE).split(".")
    at = len(parts[part]) // 2
    letter = "B" if parts[part][at] != "B" else "C"
    parts[part] = parts[part][:at] + letter + parts[part][at + 1 :]
    with pytest.raises((JoseError, ValueError)):
        judged(".".join(parts), fetched())


def test_the_subject_is_an_entrys_of_an_organization_and_never_anothers(
    make_entry, acme, umbrella, actor
) -> None:
    one = make_entry()
    before = signing.who(one).subject
    assert re.fullmatch(r"organization:[0-9a-f-]{36}:entry:[0-9a-f-]{36}", before)
    assert len(before) <= 127  # google.subject
    acme.name = "Other"
    acme.slug = "other"
    acme.save()
    assert signing.who(one).subject == before
    two = make_entry("quay.io/x/*", organization=umbrella, registry_type="docker",
        config={"username": "u"}, secrets={"password": "p"})  # fmt: skip
    assert signing.who(two).subject.split(":")[1] != before.split(":")[1]


def test_a_recreated_organization_of_the_same_name_inherits_nothing(umbrella, actor) -> None:
    name, slug, uuid = umbrella.name, umbrella.slug, umbrella.uuid
    umbrella.delete()
    again = type(umbrella).objects.create(name=name, slug=slug)
    assert again.uuid != uuid
