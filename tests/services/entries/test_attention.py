"""No more is told than a page holds, the broken and the nearest first."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.utils import timezone

from orgs.models import RegistryEntry
from orgs.services.entries.attention import MOST, entries_needing_attention, tokens_ending
from orgs.services.tenancy import tokens
from tests.conftest import HOST

pytestmark = pytest.mark.django_db


def test_the_first_twenty_entries(acme, make_entry) -> None:
    assert MOST == 20
    for n in range(MOST + 2):
        make_entry(f"{HOST}/a{n}/*")
    RegistryEntry.objects.update(secrets_changed_at=timezone.now() - timedelta(days=91))
    oldest = RegistryEntry.objects.order_by("created_at", "pk").first()
    RegistryEntry.objects.filter(pk=oldest.pk).update(status="failing")
    told = entries_needing_attention(acme, private=True)
    assert len(told) == MOST and told[0].entry == oldest


def test_tokens_that_end_within_two_weeks(acme, actor) -> None:
    now = timezone.now()
    for days in (-15, -13, 1, 13, 15):
        token, _ = tokens.token_issue_worker(organization=acme, name=f"{days}", actor=actor)
        type(token).objects.filter(pk=token.pk).update(expires_at=now + timedelta(days=days))
    assert [token.name for token in tokens_ending(acme)] == ["-13", "1", "13"]
