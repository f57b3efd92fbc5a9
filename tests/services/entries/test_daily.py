"""Logins a day: by UTC days, of one entry and of all, repeats counted as often as they were."""

from __future__ import annotations

from datetime import UTC, datetime, time, timedelta

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from orgs.services.audit.events import event, insert_all
from orgs.services.entries.daily import DAYS, month_of, month_of_all
from orgs.templatetags.pictures import HEIGHT, bars
from tests.conftest import HOST

pytestmark = pytest.mark.django_db


@pytest.fixture
def happened(acme, umbrella, actor, make_entry):
    entry, other = make_entry(), make_entry(f"{HOST}/other/*")
    today = datetime.combine(timezone.now().astimezone(UTC).date(), time(), UTC)

    def add(action, at, subject=entry, organization=acme, **properties):
        made = event(
            actor=actor, action=action, organization=organization, subject_id=subject.pk,
            subject=str(subject), code="ok", properties=properties,
        )  # fmt: skip
        made.at = at
        insert_all([made])

    add("login.issued", today)
    add("login.issued", today - timedelta(microseconds=1000))
    add("login.refused", today - timedelta(days=1), times=40)
    add("login.refused", today - timedelta(hours=1))
    add("login.issued", today - timedelta(days=DAYS - 1))
    add("login.issued", today - timedelta(days=DAYS - 1, seconds=1))  # too long ago
    add("login.issued", today, other)
    add("entry.verified", today)
    add("login.issued", today, organization=umbrella)
    return entry


def counted(month):
    return [(n, day.issued, day.refused) for n, day in enumerate(month.days) if day != empty(day)]


def empty(day):
    return type(day)(day.day)


def test_by_day(happened, acme) -> None:
    month = month_of(happened)
    assert counted(month) == [(0, 1, 0), (DAYS - 2, 1, 41), (DAYS - 1, 1, 0)]
    assert (month.issued, month.refused, month.most) == (3, 41, 42)
    assert counted(month_of_all(acme))[-1] == (DAYS - 1, 2, 0)


def test_two_queries_and_the_given_by_their_index(happened, acme) -> None:
    with CaptureQueriesContext(connection) as asked:
        month_of_all(acme)
    assert len(asked) == 2
    if connection.vendor == "sqlite":
        with connection.cursor() as cursor:
            cursor.execute(f"EXPLAIN QUERY PLAN {asked[0]['sql']}")
            told = " ".join(row[3] for row in cursor.fetchall())
        assert "COVERING INDEX audit_by_action" in told, told


def test_days_that_are_over_are_counted_once(happened, acme) -> None:
    first = month_of_all(acme)
    with CaptureQueriesContext(connection) as asked:
        again = month_of_all(acme)
    assert again == first
    yesterday = str(first.days[-2].day)
    assert len(asked) == 2 and all(yesterday in one["sql"] for one in asked)


def test_bars(happened) -> None:
    month = month_of(happened)
    drawn = bars(month)
    assert len(drawn) == DAYS and drawn[0].x < drawn[1].x
    busiest = drawn[DAYS - 2]
    assert HEIGHT - 3 <= busiest.issued + busiest.refused <= HEIGHT and busiest.refused_y >= 0
    assert drawn[5].issued == 0 and drawn[DAYS - 1].issued >= 2  # seen, however few
