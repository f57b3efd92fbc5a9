"""Days, moments and numbers as an address writes them."""

from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orgs.services.audit import asked, log
from orgs.services.audit.log import Filters

pytestmark = pytest.mark.django_db

ODD = [
    *("", "x", "9999-12-31", "0001-01-01", "2024-02-30", "99999-01-01", "٢٠٢٤", "2024-1-1\0"),
    *("9999-12-31T23:59:59-23:59_1", "0001-01-01T00:00:00+23:59_1", "2024-01-01T00:00:00_1"),
    *("2024-01-01T00:00:00+00:00_", f"2024-01-01T00:00:00+00:00_{'9' * 30}", "_", "_1", "nan"),
    *("2024-01-01T00:00:00+00:00_-1", "2024-01-01T00:00:00+00:00_٣", "inf", "1e999", "\ud800"),
]


@pytest.mark.parametrize(
    ("text", "number"),
    [
        *(("0", 0), ("7", 7), ("007", 7), ("9" * 18, 10**18 - 1), ("9" * 19, None), ("", None)),
        *(("-1", None), ("+1", None), (" 1", None), ("1 ", None), ("1\n", None), ("1_0", None)),
        *(("٣", None), ("１", None), ("1.0", None), ("1e3", None), ("9" * 5000, None)),
    ],
)
def test_numbers(text, number) -> None:
    assert asked.number(text) == number


@pytest.mark.parametrize("text", ODD)
def test_what_is_no_day_or_moment(text) -> None:
    assert asked.day(text) is None and asked.number(text) is None
    assert asked.moment(text) is None


def test_what_is() -> None:
    assert asked.day("2024-02-29") == datetime(2024, 2, 29, tzinfo=UTC)
    moment = datetime(2024, 1, 1, 12, tzinfo=UTC)
    assert asked.moment("2024-01-01T13:00:00+01:00") == asked.moment("2024-01-01T12:00Z") == moment
    assert asked.moment("2024-01-01T12:00:00") is None


@given(st.datetimes(timezones=st.timezones() | st.just(UTC)))
def test_any_moment_can_be_compared(at) -> None:
    """In every zone, and a day later, too."""
    found = asked.moment(at.isoformat())
    if found is not None:
        assert found == datetime.fromisoformat(at.isoformat()) and found.tzinfo is UTC
        assert log.AuditEvent.objects.filter(at__lt=found).query.sql_with_params()


@pytest.mark.parametrize("text", ODD)
def test_the_log_leaves_them_out(text, acme, make_entry) -> None:
    make_entry()
    for name in ("since", "until"):
        found = log.events_of(acme, Filters.of({name: text}))
        assert found.count() == 1
    assert len(log.page_of(found, text).events) in {0, 1}
