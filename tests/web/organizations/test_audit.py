"""What the audit log's page says of results."""

from __future__ import annotations

import re

import pytest

from orgs.registries import codes
from orgs.services.audit.events import Actor, record

pytestmark = pytest.mark.django_db

AUDIT = "/organizations/acme/audit/"


@pytest.fixture
def happened(acme):
    def happened(action: str, code: str, **properties: str) -> None:
        record(
            actor=Actor("a worker"), action=action, organization=acme, code=code,
            properties=properties,
        )  # fmt: skip

    return happened


def test_results_to_look_for_are_those_of_the_table(look, alice, acme) -> None:
    page = look(alice, AUDIT)
    offered = dict(re.findall(r'<option value="([a-z0-9_]+)">([^<]+)</option>', page.html))
    assert offered["no_match"] == codes.of("no_match").says
    in_its_log = {codes.LOGIN, codes.TOKEN, codes.REPORT, codes.VERIFIED}
    logged = {code for code, row in codes.table().items() if row.event in in_its_log}
    assert "ok" in offered and logged <= set(offered)
    assert not {"wrong_password", "busy", "bare_host"} & set(offered)


def test_a_result_without_a_reason_is_told_in_words(look, alice, happened) -> None:
    happened("login.reported", "not_on_ec2")
    happened("login.refused", "no_match", reason="Nothing serves it.")
    happened("login.refused", "code_of_old")
    page = look(alice, AUDIT)
    listed = page.html.partition('class="rows audit"')[2]
    assert codes.of("not_on_ec2").says.replace("'", "&#x27;") in listed
    assert "Nothing serves it." in listed and codes.of("no_match").says not in listed
    assert "code_of_old" in listed


def test_what_is_looked_for_is_told_in_words(look, alice, happened) -> None:
    happened("login.refused", "no_match")
    page = look(alice, AUDIT)
    assert "Filters" in page.texts["summary"] and "Clear filters" not in page.links
    query = {"action": "login.refused", "subject": "123", "since": "2026-01-31", "until": "x"}
    page = look(alice, AUDIT, **query)
    assert "Filters (3)" in page.texts["summary"]
    assert "Login refused · 123… · from 2026-01-31 Clear filters" in page.text
    assert page.links["Clear filters"] == AUDIT
    assert "No event fits these filters." in page.text
    page = look(alice, AUDIT, until="nonsense")
    assert "Filters" in page.texts["summary"] and "No event fits" not in page.text
