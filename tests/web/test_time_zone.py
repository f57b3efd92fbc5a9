"""Times in the reader's own zone, with UTC beside; days of that zone; UTC for all else."""

from __future__ import annotations

import re
import threading
from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from django.urls import reverse
from django.utils.html import strip_tags

from orgs import zones
from orgs.models import AuditEvent, User
from orgs.services.audit import asked, log
from orgs.services.audit.events import Actor, event
from orgs.services.audit.log import Filters
from orgs.templatetags import registries as tags

AT = datetime(2026, 11, 27, 12, 3, 23, tzinfo=UTC)
AUDIT = "/organizations/acme/audit/"


def lives_in(person: User, zone: str) -> User:
    User.objects.filter(pk=person.pk).update(time_zone=zone)
    return person


def shown(zone: str, at: datetime = AT) -> str:
    with zones.read_in(lambda: zone):
        return strip_tags(tags.exact(at))


# --- how it looks -------------------------------------------------------------------


@pytest.mark.once
@pytest.mark.parametrize(
    ("zone", "wanted"),
    [
        ("", "27 Nov 2026, 12:03:23 UTC"),
        ("UTC", "27 Nov 2026, 12:03:23 UTC"),
        ("Etc/Zulu", "27 Nov 2026, 12:03:23 UTC"),
        ("Europe/Helsinki", "27 Nov 2026, 14:03:23 EET · 12:03:23 UTC"),
        ("Europe/London", "27 Nov 2026, 12:03:23 GMT · 12:03:23 UTC"),
        ("Asia/Kolkata", "27 Nov 2026, 17:33:23 IST · 12:03:23 UTC"),
        ("America/Sao_Paulo", "27 Nov 2026, 09:03:23 UTC-03 · 12:03:23 UTC"),
        ("Pacific/Kiritimati", "28 Nov 2026, 02:03:23 UTC+14 · 27 Nov, 12:03:23 UTC"),
        ("Gone/Away", "27 Nov 2026, 12:03:23 UTC"),
        ("../../etc/passwd", "27 Nov 2026, 12:03:23 UTC"),
    ],
)
def test_exact(zone, wanted) -> None:
    assert shown(zone) == wanted
    with zones.read_in(lambda: zone):
        assert 'datetime="2026-11-27T12:03:23Z"' in tags.exact(AT)  # for machines
    assert strip_tags(tags.exact(AT)) == "27 Nov 2026, 12:03:23 UTC"  # nobody reads


@pytest.mark.once
def test_summer_and_the_hour_that_comes_twice() -> None:
    assert "15:03:23 EEST" in shown("Europe/Helsinki", AT.replace(month=7))
    first = datetime(2026, 10, 25, 0, 30, tzinfo=UTC)
    told = [shown("Europe/Helsinki", first + timedelta(hours=n)) for n in (0, 1)]
    assert ["03:30:00 EEST" in told[0], "03:30:00 EET " in told[1]] == [True, True]


@pytest.mark.once
def test_whoever_reads_at_the_same_time_has_their_own() -> None:
    """And nothing of it is left for the thread's next reader, whatever went wrong."""
    both = threading.Barrier(2)
    told: dict[str, str] = {}

    def read(zone: str) -> None:
        with zones.read_in(lambda: zone):
            both.wait(10)
            told[zone] = strip_tags(tags.exact(AT))
        told[f"{zone} after"] = strip_tags(tags.exact(AT))

    threads = [threading.Thread(target=read, args=[z]) for z in ("Asia/Tokyo", "Europe/Paris")]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert "21:03:23 JST" in told["Asia/Tokyo"] and "13:03:23 CET" in told["Europe/Paris"]
    assert told["Asia/Tokyo after"] == told["Europe/Paris after"] == "27 Nov 2026, 12:03:23 UTC"
    with pytest.raises(RuntimeError), zones.read_in(lambda: "Asia/Tokyo"):
        raise RuntimeError
    assert zones.of_reader() is zones.UTC


@pytest.mark.once
def test_a_page_without_times_asks_for_no_zone() -> None:
    with zones.read_in(lambda: pytest.fail("asked")):
        tags.ago(AT)


# --- on pages -----------------------------------------------------------------------


@pytest.mark.django_db
def test_pages_of_two_people_one_after_the_other(look, alice, bob, make_entry) -> None:
    entry = make_entry()
    address = reverse("entry", args=["acme", entry.pk])
    at = entry.created_at
    utc = f"{at:%-d %b %Y, %H:%M:%S} UTC"
    here = at.astimezone(ZoneInfo("Asia/Tokyo"))
    assert f"{here:%-d %b %Y, %H:%M:%S} JST ·" in look(lives_in(alice, "Asia/Tokyo"), address).text
    page = look(bob, address)
    assert "JST" not in page.text and utc in page.text


@pytest.mark.django_db
def test_the_admin_tells_both(look, staff, make_entry) -> None:
    entry = make_entry()
    lives_in(staff, "Asia/Tokyo")
    page = look(staff, reverse("admin:orgs_registryentry_change", args=[entry.pk]))
    assert re.search(r"\d\d:\d\d:\d\d JST · (\d+ \w+, )?\d\d:\d\d:\d\d UTC", page.text)


@pytest.mark.django_db
@pytest.mark.parametrize("zone", ["Europe/Helsinki", "Asia/Calcutta", "UTC", ""])
def test_a_zone_is_chosen(look, client, alice, acme, zone) -> None:
    client.force_login(lives_in(alice, "Asia/Tokyo"))
    answer = client.post(reverse("account_time_zone"), {"time_zone": zone})
    assert answer["Location"] == f"{reverse('account')}#time-zone"
    alice.refresh_from_db()
    assert alice.time_zone == zone
    changed = AuditEvent.objects.get(action="user.updated").properties["changes"]
    assert changed == {"time_zone": ["Asia/Tokyo", zone]}
    page = look(None, reverse("account"))
    assert f"Times are shown in {zone or 'UTC'}." in page.text
    if zone not in ("", "UTC"):  # a former name stays chosen, too
        assert f'<option value="{zone}" selected>' in page.html


@pytest.mark.django_db
@pytest.mark.parametrize(
    "zone",
    ["Europe/Atlantis", "europe/helsinki", "../../etc/passwd", "x" * 65, "a\0b", "Asia/Tokyo\nx",
     "<script>alert(1)</script>", "EET ", "posixrules"],
)  # fmt: skip
def test_what_is_no_zone(send, alice, zone) -> None:
    page = send(alice, reverse("account_time_zone"), {"time_zone": zone})
    alice.refresh_from_db()
    if zone == "EET ":  # blanks at the ends are nobody's meaning
        assert alice.time_zone == "EET"
        return
    assert page.title.startswith("Error: ") and page.error("time_zone")
    assert alice.time_zone == "" and "<script>alert" not in page.html
    if len(zone) <= 64 and zone.isprintable():
        assert "Choose one of the list." in page.error("time_zone")


@pytest.mark.django_db
def test_all_that_can_be_chosen_can_be_saved(look, alice) -> None:
    page = look(alice, reverse("account"))
    offered = [name for _, places in zones.groups() for name, _ in places]
    assert len(offered) > 300 and set(offered) <= zones.names()
    assert all(f'<option value="{name}">' in page.html for name in offered)
    assert '<optgroup label="Europe">' in page.html and ">Helsinki</option>" in page.html


# --- days ---------------------------------------------------------------------------

# A zone, a day, and how many hours it has there.
DAYS = [
    ("UTC", "2026-03-29", 24),
    ("Europe/Helsinki", "2026-03-28", 24),
    ("Europe/Helsinki", "2026-03-29", 23),
    ("Europe/Helsinki", "2026-10-25", 25),
    ("Africa/Cairo", "2026-04-24", 23),  # has no midnight
    ("America/Havana", "2026-11-01", 25),  # has midnight twice
    ("Australia/Lord_Howe", "2026-04-05", 24.5),
    ("Pacific/Kiritimati", "2026-01-01", 24),
]


@pytest.mark.django_db
@pytest.mark.parametrize(("zone", "day", "hours"), DAYS)
def test_a_day_is_whole_and_no_longer(acme, zone, day, hours) -> None:
    with zones.read_in(lambda: zone):
        first, end = asked.day(day), asked.day(day, later=1)
        assert (end - first) / timedelta(hours=1) == hours
        here = ZoneInfo(zone)
        moments = [first - timedelta(seconds=1), first, end - timedelta(seconds=1), end]
        assert [at.astimezone(here).date() == date.fromisoformat(day) for at in moments] == [
            False, True, True, False,
        ]  # fmt: skip
        for at in moments:
            one = event(actor=Actor("a worker"), action="login.issued", organization=acme)
            one.at = at
            one.save(force_insert=True)
        found = log.events_of(acme, Filters(since=day, until=day))
        assert sorted(one.at for one in found) == moments[1:3]


@pytest.mark.django_db
@pytest.mark.parametrize("zone", ["Pacific/Kiritimati", "Pacific/Niue"])
@pytest.mark.parametrize("day", ["1000-01-01", "9000-12-31", "9999-12-31", "0001-01-01", "x"])
def test_days_at_the_ends_of_time(look, alice, zone, day) -> None:
    lives_in(alice, zone)
    assert look(alice, AUDIT, since=day, until=day).status == 200


@pytest.mark.django_db
def test_the_fields_say_whose_days_and_the_file_has_the_same_events(look, client, alice, acme):
    lives_in(alice, "Asia/Tokyo")
    one = event(actor=Actor("late worker"), action="login.issued", organization=acme)
    one.at = datetime(2026, 11, 26, 20, tzinfo=UTC)  # the 27th in Tokyo
    one.save(force_insert=True)
    for day, there in (("2026-11-27", True), ("2026-11-26", False)):
        page = look(alice, AUDIT, since=day, until=day)
        assert "From day (Asia/Tokyo)" in page.text and "To day (Asia/Tokyo)" in page.text
        assert ("late worker" in page.text) is there
        file = client.get(f"{AUDIT}export.csv", {"since": day, "until": day}).getvalue().decode()
        assert ("2026-11-26T20:00:00+00:00" in file) is there  # in UTC
