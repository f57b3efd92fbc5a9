"""Export: everything but secrets, and import takes it back unchanged."""

from __future__ import annotations

import csv
import io
import json
from datetime import timedelta

import pytest
import yaml
from django.utils import timezone

from orgs.models import RegistryEntry
from orgs.services.bulk import importing
from orgs.services.bulk.exporting import entries_of, export
from orgs.services.bulk.files import Rows
from orgs.services.bulk.files.columns import TOLD, columns, secret_columns
from orgs.services.entries import door
from tests.conftest import CANARY, HOST

pytestmark = pytest.mark.django_db

FORMATS = ("csv", "json", "yaml")
# What spreadsheets, CSV, JSON or YAML could stumble over.
NOTES = [
    "=HYPERLINK(1)", "+1", "-2", "@x", "\tx", "'=x", "'x", "two\r\nlines", "a;=1", 'he said "no"',
    "no", "null", "~", "0123", "1e3", "2024-01-01", "- x", "# x", "{x}", " blanks ", "ünı ☃", "-",
    "\u2028", "é" * 500,
]  # fmt: skip


@pytest.fixture
def full(make_entry, gpu, actor):
    """Entries of every type, and with every note."""
    make_entry([f"{HOST}/a", f"{HOST}/b/*"])
    make_entry([f"{HOST}/b/*"], environments=[gpu])
    make_entry([f"{HOST}/a"], enabled=False, note="off")
    make_entry([f"{HOST}/a"], enabled=False, note="off too")
    make_entry(f"{HOST}/role", registry_type="aws-ecr-role", config={"role_name": "=A+cmd"})
    for number, note in enumerate(NOTES):
        make_entry(
            f"me/{number}",
            registry_type="docker",
            config={"username": "@robot-=x"},
            secrets={"password": CANARY},
            note=note,
        )


def exported(organization, format):
    text = "".join(export(entries_of(organization), format))
    assert CANARY not in text
    return text


def documents(text, format):
    if format == "csv":
        return list(csv.DictReader(io.StringIO(text, newline="")))
    return json.loads(text) if format == "json" else yaml.safe_load(text)


@pytest.mark.parametrize("format", FORMATS)
@pytest.mark.parametrize("update", [True, False])
def test_import_takes_an_export_back_unchanged(full, acme, format, update):
    text = exported(acme, format)
    file = io.BytesIO(text.encode())
    report = importing.plan(organization=acme, rows=Rows(file, format), update=update)
    assert report.errors == []
    assert report.unchanged == report.rows == RegistryEntry.objects.count()


@pytest.mark.parametrize("format", FORMATS)
def test_elsewhere_only_the_secrets_are_missing(full, acme, umbrella, actor, format):
    from orgs.models import Environment

    Environment.objects.create(organization=umbrella, name="GPU", slug="gpu")
    text = exported(acme, format)
    work = {"organization": umbrella}
    report = importing.plan(rows=Rows(io.BytesIO(text.encode()), format), **work)
    assert {error.code for error in report.errors} == {"secret_required"}
    assert len(report.errors) == report.rows - 1  # the role has none
    filled = documents(text, format)
    for document in filled:
        cells = document if format == "csv" else document["configuration"]
        if document["type"] == "docker":
            cells["password"] = CANARY
        elif document["type"] == "aws-ecr":
            cells["secret_access_key"] = CANARY
    if format == "csv":
        buffer = io.StringIO(newline="")
        writer = csv.DictWriter(buffer, [*columns(), *TOLD])
        writer.writeheader()
        writer.writerows(filled)
        text = buffer.getvalue()
    else:
        text = json.dumps(filled) if format == "json" else yaml.safe_dump(filled)
    report = importing.apply(actor=actor, rows=Rows(io.BytesIO(text.encode()), format), **work)
    assert (report.errors, report.created) == ([], RegistryEntry.objects.count() // 2)
    ours, theirs = (
        sorted(
            (e.registry_type, str(e.config), e.note, e.enabled, str(e.pattern_texts))
            for e in RegistryEntry.objects.filter(organization=organization)
        )
        for organization in (acme, umbrella)
    )
    assert ours == theirs


def test_no_cell_is_a_formula_and_secret_columns_are_empty(full, acme):
    found = documents(exported(acme, "csv"), "csv")
    assert list(found[0]) == [*columns(), *TOLD]
    for row in found:
        assert not any(cell.startswith(tuple("=+-@\t\r\n")) for cell in row.values())
        assert not any(row[secret] for secret in secret_columns())


def test_a_spreadsheet_that_separates_by_semicolons_finds_no_formula(full, acme):
    for line in csv.reader(io.StringIO(exported(acme, "csv"), newline=""), delimiter=";"):
        assert not any(cell.startswith(tuple("=+-@")) for cell in line)


@pytest.mark.parametrize("format", FORMATS)
def test_age_and_use_stand_out(make_entry, acme, format):
    now = timezone.now()
    make_entry(f"{HOST}/fresh")
    old = make_entry(f"{HOST}/old")
    RegistryEntry.objects.filter(pk=old.pk).update(
        secrets_changed_at=now - timedelta(days=91, hours=1),
        last_used_at=now - timedelta(days=100),
        created_at=now - timedelta(days=200),
        status="failing",
    )
    oldest, fresh = documents(exported(acme, format), format)
    assert fresh["attention"] == ""
    assert (str(fresh["key_age_days"]), fresh["last_used"], fresh["status"]) == (
        "0",
        "",
        "unverified",
    )
    assert oldest["attention"] == "key over 90 days; unused for 90 days"
    assert (str(oldest["key_age_days"]), oldest["status"]) == ("91", "failing")
    assert str(oldest["last_used"]).startswith(f"{now - timedelta(days=100):%Y-%m-%d}")


@pytest.mark.parametrize("format", FORMATS)
def test_an_empty_organization(acme, format):
    text = exported(acme, format)
    report = importing.plan(organization=acme, rows=Rows(io.BytesIO(text.encode()), format))
    assert (report.rows, report.errors) == (0, [])


def test_other_organizations_are_not_in_it(make_entry, acme, umbrella):
    make_entry(f"{HOST}/theirs", organization=umbrella)
    assert "theirs" not in exported(acme, "json")


def test_the_number_of_queries_does_not_grow(make_entry, acme, django_assert_max_num_queries):
    for number in range(30):
        make_entry(f"{HOST}/{number}")
    with django_assert_max_num_queries(4):
        exported(acme, "csv")


def test_an_unreadable_secret_does_not_hinder_an_export(make_entry, acme, settings):
    from cryptography.fernet import Fernet

    make_entry()
    settings.FERNET_KEYS = [Fernet.generate_key().decode()]
    assert HOST in exported(acme, "yaml")


def test_a_disabled_twin_comes_after_the_enabled_one(make_entry, acme, actor):
    first = make_entry()
    door.entry_set_enabled(entry=first, actor=actor, enabled=False)
    make_entry()
    assert [row["enabled"] for row in documents(exported(acme, "csv"), "csv")] == ["true", "false"]
