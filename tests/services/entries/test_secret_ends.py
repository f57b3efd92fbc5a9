"""The day on which a secret ends: at every door, told where people look, reminded of once."""

from __future__ import annotations

import csv
import io
import json
from datetime import date, timedelta

import pytest
import yaml
from django.core.management import call_command

from orgs.models import AuditEvent, RegistryEntry
from orgs.registries import ends
from orgs.registries.problems import Refused
from orgs.services.bulk import importing
from orgs.services.bulk.exporting import entries_of, export
from orgs.services.bulk.files import Rows
from orgs.services.entries import door, secret_ends
from orgs.services.entries.attention import today
from orgs.services.entries.changing import EntryChange
from orgs.services.tenancy import mails
from tests.conftest import CANARY, HOST

pytestmark = pytest.mark.django_db
SECRET = {"password": CANARY}


def in_days(days: int) -> str:
    return (today() + timedelta(days=days)).isoformat()


@pytest.fixture
def ending(make_entry):
    def ending(days: int | None, pattern: str = "registry.example.com/a/*", **rest):
        day = in_days(days) if days is not None and days >= 0 else None
        given = {"registry_type": "docker", "config": {"username": "robot"}, "secrets": SECRET}
        entry = make_entry(pattern, secret_expires_on=day, **given, **rest)
        if days is not None and days < 0:
            RegistryEntry.objects.filter(pk=entry.pk).update(secret_expires_on=in_days(days))
        return RegistryEntry.objects.get(pk=entry.pk)

    return ending


# --- what is a day ------------------------------------------------------------------------

TODAY = date(2026, 11, 27)


@pytest.mark.parametrize("text", ["2026-11-27", "2028-02-29", "2199-12-31"])
def test_days(text) -> None:
    assert ends.day_of(text, today=TODAY) == date.fromisoformat(text)


@pytest.mark.parametrize(
    ("text", "code"),
    [
        *((t, "invalid_day") for t in ("soon", "2026-11-31", "2027-02-29", "27.11.2027")),
        *((t, "invalid_day") for t in ("2027-1-1", "20271101", "2027-W01-1", " 2027-01-01")),
        *((t, "invalid_day") for t in ("2027-01-01T00:00:00Z", "2200-01-01", "9999-99-99")),
        *(
            (t, "invalid_day")
            for t in ("２０２７-01-01", "2027-01-01\n", "-2027-01-01", "0000-01-01")
        ),
        *((t, "day_over") for t in ("2026-11-26", "0001-01-01")),
    ],
)
def test_no_days(text, code) -> None:
    with pytest.raises(Refused) as refused:
        ends.day_of(text, today=TODAY)
    (problem,) = refused.value.problems
    assert (problem.code, problem.field) == (code, "secret_expires_on")
    assert text not in problem.what or code == "day_over"


def test_its_words() -> None:
    said = {days: ends.sentence(TODAY + timedelta(days=days), TODAY) for days in (-1, 0, 1, 9)}
    assert said[-1].startswith("Its secret ended on 26 Nov 2026.")
    assert [said[d].partition(",")[0].rpartition("ends ")[2] for d in (0, 1, 9)] == [
        "today",
        "tomorrow",
        "in 9 days",
    ]
    found = {days: ends.reminder(TODAY + timedelta(days=days), TODAY) for days in range(-1, 32)}
    assert {d for d in found if found[d] is None} == {31}
    assert [found[d] for d in (30, 15, 14, 8, 7, 2, 1, 0)] == [30, 30, 14, 14, 7, 7, 1, 1]


# --- the door -----------------------------------------------------------------------------


def test_it_is_kept_told_and_goes_with_its_secret(ending, actor) -> None:
    entry = ending(20)
    assert entry.secret_expires_on == today() + timedelta(days=20)
    created = AuditEvent.objects.get(action="entry.created")
    assert created.properties["after"]["secret_expires_on"] == in_days(20)
    version = entry.credentials_version

    def change(**given) -> dict:
        door.entry_update(entry=entry, actor=actor, change=EntryChange(**given), attended=True)
        entry.refresh_from_db()
        return AuditEvent.objects.filter(action="entry.updated").latest("pk").properties["changes"]

    assert change(secret_expires_on=in_days(40)) == {
        "secret_expires_on": [in_days(20), in_days(40)]
    }
    assert entry.credentials_version == version  # no login is dropped for a date
    assert "secret_expires_on" not in change(note="kept") and entry.secret_expires_on
    # A new secret has an end of its own, or none that anybody said.
    both = change(secrets={"password": "x" * 20})
    assert both == {"secret": "changed", "secret_expires_on": [in_days(40), ""]}
    assert entry.secret_expires_on is None
    change(secrets={"password": "y" * 20}, secret_expires_on=in_days(3))
    assert entry.secret_expires_on == today() + timedelta(days=3)
    assert change(secret_expires_on="") == {"secret_expires_on": [in_days(3), ""]}


def test_one_that_is_over_stays_and_no_other_comes(ending, actor) -> None:
    entry = ending(-2)
    again = EntryChange(secret_expires_on=in_days(-2), note="the same day")
    door.entry_update(entry=entry, actor=actor, change=again)
    with pytest.raises(Refused) as refused:
        door.change_validate(entry=entry, change=EntryChange(secret_expires_on=in_days(-3)))
    assert refused.value.problems[0].code == "day_over"


def test_a_type_without_a_secret_has_none(make_entry, ending, actor) -> None:
    role = {"registry_type": "aws-ecr-role", "secret_expires_on": in_days(9)}
    with pytest.raises(Refused) as refused:
        make_entry(**role)
    assert refused.value.problems[0].code == "no_secret"
    entry = ending(9)
    turned = EntryChange(
        registry_type="aws-ecr-role", patterns=[f"{HOST}/*"], config={"role_name": "Worker"}
    )
    door.entry_update(entry=entry, actor=actor, change=turned)
    assert RegistryEntry.objects.get().secret_expires_on is None


# --- files and the API ----------------------------------------------------------------------


@pytest.mark.parametrize("format", ["csv", "json", "yaml"])
def test_exports_have_it_and_import_takes_it_back(ending, acme, actor, format) -> None:
    ending(12)
    ending(None, "registry.example.com/b/*")
    text = "".join(export(entries_of(acme), format))
    reader = csv.DictReader(io.StringIO(text))
    rows = list(reader) if format == "csv" else yaml.safe_load(text)
    assert [row.get("secret_expires_on") or "" for row in rows] == [in_days(12), ""]
    assert [row["attention"] for row in rows] == ["secret ends within 30 days", ""]
    rows = Rows(io.BytesIO(text.encode()), format)
    report = importing.plan(organization=acme, rows=rows, update=True)
    assert (report.unchanged, report.errors) == (2, [])


@pytest.mark.parametrize(
    ("cell", "code"),
    [("2031-02-30", "invalid_day"), ("tomorrow", "invalid_day"), ("2020-01-01", "day_over")],
)
def test_a_cell_that_is_no_day(acme, cell, code) -> None:
    header = "image_pattern,type,username,password,secret_expires_on\n"
    row = f"registry.example.com/x/*,docker,me,{CANARY},{cell}\n"
    rows = Rows(io.BytesIO((header + row).encode()), "csv")
    (error,) = importing.plan(organization=acme, rows=rows).errors
    assert (error.row, error.column, error.code) == (2, "secret_expires_on", code)


def test_yaml_and_spreadsheets_have_days(acme, actor) -> None:
    """YAML reads one as a day, not as text."""
    entry = {"type": "docker", "image_patterns": ["registry.example.com/x/*"]}
    entry |= {"configuration": {"username": "me", "password": CANARY}}
    text = yaml.safe_dump([entry | {"secret_expires_on": today() + timedelta(days=5)}])
    assert f"secret_expires_on: {in_days(5)}\n" in text
    rows = Rows(io.BytesIO(text.encode()), "yaml")
    assert importing.apply(organization=acme, actor=actor, rows=rows).errors == []
    assert RegistryEntry.objects.get().secret_expires_on == today() + timedelta(days=5)


# --- reminders ----------------------------------------------------------------------------------


@pytest.fixture
def remind(mailoutbox):
    def remind() -> list[str]:
        before = len(mailoutbox)
        secret_ends.remind(RegistryEntry.objects.all())
        mails.drain()
        return [mail.subject for mail in mailoutbox[before:]]

    return remind


@pytest.mark.django_db(transaction=True)
def test_each_reminder_comes_once(ending, remind, alice, settings, monkeypatch) -> None:
    entry = ending(40)
    first = today()
    came = {}
    for day in range(42):
        monkeypatch.setattr(secret_ends, "today", lambda day=day: first + timedelta(days=day))
        for _ in range(2):
            if found := remind():
                came[40 - day] = found
    assert list(came) == [30, 14, 7, 1]
    assert came[30] == [f"{entry}: secret ends in 30 days"]
    assert came[1] == [f"{entry}: secret ends tomorrow"]


@pytest.mark.django_db(transaction=True)
def test_one_mail_an_organization_and_a_new_day_counts_anew(
    ending, remind, alice, actor, mailoutbox, acme
) -> None:
    entries = [ending(days, f"registry.example.com/{days}/*") for days in (1, 7, 20)]
    ending(3, "registry.example.com/off/*", enabled=False)
    ending(-1, "registry.example.com/over/*")
    (subject,) = remind()
    assert subject == "3 secrets of Acme end soon"
    assert all(str(entry) in mailoutbox[0].body for entry in entries)
    assert CANARY not in mailoutbox[0].body and "off/*" not in mailoutbox[0].body
    assert remind() == []
    change = EntryChange(secret_expires_on=in_days(25))
    door.entry_update(entry=entries[0], actor=actor, change=change)
    assert remind() == [f"{entries[0]}: secret ends in 25 days"]


@pytest.mark.django_db(transaction=True)
def test_the_command_reminds(ending, alice, mailoutbox, capsys, internet) -> None:
    ending(14)
    call_command("check_registries", "--json")
    mails.drain()
    assert json.loads(capsys.readouterr().out)["checked"] == 1
    assert "secret ends in 14 days" in mailoutbox[0].subject


def test_who_comes_second_finds_it_told(ending) -> None:
    entry = ending(7)
    assert secret_ends._is_first(entry) and not secret_ends._is_first(entry)
    assert not secret_ends._is_first(RegistryEntry.objects.get())
