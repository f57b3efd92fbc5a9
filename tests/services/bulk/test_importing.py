"""Bulk import: what becomes of rows beside each other and beside what stands."""

from __future__ import annotations

import io
import json
import random

import pytest
from django.db import IntegrityError

from orgs.models import AuditEvent, CachedLogin, Environment, IndexedPattern, RegistryEntry
from orgs.services.bulk import importing
from orgs.services.bulk.files import Rows
from orgs.services.bulk.importing import apply, plan
from orgs.services.entries import door, validating
from orgs.services.entries.validating import EntrySpec
from tests.conftest import CANARY, HOST, changed_to

pytestmark = pytest.mark.django_db

KEY = "AKIAIOSFODNN7EXAMPLE"
HEADER = (
    "image_pattern,type,access_key_id,secret_access_key,region,role_name,username,password,"
    "service_account_json,environments,enabled,note"
)


def csv_row(pattern=f"{HOST}/*", type="aws-ecr", **cells):
    defaults = {
        "aws-ecr": {"access_key_id": KEY, "secret_access_key": CANARY},
        "aws-ecr-role": {"role_name": "Worker"},
        "docker": {"username": "robot", "password": CANARY},
    }
    cells = {"image_pattern": pattern, "type": type, **defaults.get(type, {}), **cells}
    return ",".join(cells.get(name, "") for name in HEADER.split(","))


def csv_file(*rows):
    return io.BytesIO("\n".join([HEADER, *rows, ""]).encode())


@pytest.fixture
def do(acme, actor):
    """Plan and apply; both must say the same. Nothing they say may hold the canary."""

    def do(*rows, organization=acme, **options):
        work = {"organization": organization, "rows": Rows(csv_file(*rows), "csv"), **options}
        before = list(RegistryEntry.objects.order_by("pk").values())
        planned = plan(**work)
        assert list(RegistryEntry.objects.order_by("pk").values()) == before
        applied = apply(actor=actor, **work)
        assert (planned.errors, planned.fingerprint) == (applied.errors, applied.fingerprint)
        assert applied.written is not bool(applied.errors)
        assert CANARY not in repr(applied)
        return applied

    return do


def counts(report):
    return report.created, report.updated, report.unchanged, report.refused


def codes(report):
    return [(error.row, error.column, error.code) for error in report.errors]


def test_rows_become_entries_patterns_and_events(do, gpu, acme):
    report = do(
        csv_row(f"{HOST}/a {HOST}/b/*", note="two"),
        csv_row(f"{HOST}/c", "aws-ecr-role", environments="gpu", enabled="no"),
        csv_row("me/*", "docker"),
    )
    assert counts(report) == (3, 0, 0, 0)
    first, role, docker = RegistryEntry.objects.order_by("created_at", "note")[:3]
    by_type = {entry.registry_type: entry for entry in (first, role, docker)}
    ecr = by_type["aws-ecr"]
    assert ecr.config == {"access_key_id": KEY, "region": "us-east-1"}
    assert (ecr.pattern_texts, ecr.note, ecr.enabled) == ([f"{HOST}/a", f"{HOST}/b/*"], "two", True)
    assert json.loads(ecr.secrets.reveal(ecr.sealed_for)) == {"secret_access_key": CANARY}
    assert ecr.secrets_changed_at is not None
    assert (by_type["aws-ecr-role"].environments, by_type["aws-ecr-role"].enabled) == ([gpu], False)
    assert by_type["docker"].config == {"username": "robot"}
    events = AuditEvent.objects.all()
    assert {event.action for event in events} == {"entry.created"}
    assert {event.subject_id for event in events} == {str(e.pk) for e in by_type.values()}
    assert {event.subject for event in events} == {f"{HOST}/a (+1)", f"{HOST}/c", "me/*"}
    assert CANARY not in repr([event.properties for event in events])


def test_bulk_and_single_writing_make_the_same(do, make_entry, umbrella, gpu):
    do(csv_row(f"{HOST}/a {HOST}/b/*", note="x"), csv_row(environments="gpu", enabled="0"))
    theirs = Environment.objects.create(organization=umbrella, name="GPU", slug="gpu")
    make_entry([f"{HOST}/a", f"{HOST}/b/*"], organization=umbrella, note="x")
    make_entry(organization=umbrella, environments=[theirs], enabled=False)

    def told(model, organization, *names):
        rows = model.objects.filter(organization=organization).values(*names)
        return sorted(map(str, rows))

    for model, names in (
        (RegistryEntry, ["registry_type", "config", "enabled", "note", "credentials_version"]),
        (IndexedPattern, ["text", "normalized", "host", "prefix", "position", "wildcard_path"]),
    ):
        ours = RegistryEntry.objects.exclude(organization=umbrella).first().organization
        assert told(model, ours, *names) == told(model, umbrella, *names)
    events = AuditEvent.objects.order_by("pk")
    properties = [sorted(map(str, event.properties["after"].items())) for event in events]
    assert sorted(properties[:2]) == sorted(properties[2:])


def test_the_same_file_again_changes_nothing(do, gpu):
    rows = [csv_row(), csv_row(environments="gpu"), csv_row(f"{HOST}/c", enabled="false")]
    do(*rows)
    before = AuditEvent.objects.count()
    assert counts(do(*rows)) == (0, 0, 3, 0)
    assert counts(do(*reversed(rows), update=True)) == (0, 0, 3, 0)
    assert AuditEvent.objects.count() == before


def test_blank_secrets_are_unchanged_ones(do):
    do(csv_row(), csv_row("me/*", "docker"))
    blank = [csv_row(secret_access_key=""), csv_row("me/*", "docker", password="")]
    assert counts(do(*blank)) == (0, 0, 2, 0)
    assert counts(do(*blank, update=True)) == (0, 0, 2, 0)


def test_a_row_that_differs_needs_update_and_says_where(do):
    do(csv_row())
    changed = csv_row(note="new", secret_access_key="b" * 40)
    report = do(changed)
    assert codes(report) == [(2, "image_pattern", "needs_update")]
    assert "differs in note, secret_access_key" in str(report.errors[0])
    assert RegistryEntry.objects.get().note == ""
    report = do(changed, update=True)
    assert counts(report) == (0, 1, 0, 0)
    entry = RegistryEntry.objects.get()
    assert (entry.note, entry.credentials_version) == ("new", 2)
    event = AuditEvent.objects.get(action="entry.updated")
    assert event.properties == {"changes": {"note": ["", "new"], "secret": "changed"}}


@pytest.mark.parametrize(
    ("cells", "columns", "version"),
    [
        ({"note": "x"}, ["note"], 1),
        ({"access_key_id": "AKIAOTHERKEY12345678"}, ["access_key_id"], 2),
        ({"enabled": "false"}, ["enabled"], 2),
        ({"pattern": f"{HOST.upper()}:443/*"}, ["image_pattern"], 1),
        (
            {"type": "aws-ecr-role", "role_name": "Worker"},
            ["type", "access_key_id", "role_name"],
            2,
        ),
    ],
)
def test_updates_tell_their_columns_and_forget_old_logins(do, cells, columns, version):
    do(csv_row())
    entry = RegistryEntry.objects.get()
    CachedLogin.objects.create(entry=entry)
    outcomes = []
    do(csv_row(**cells), update=True, on_row=outcomes.append)
    assert [(o.row, o.kind, list(o.changes)) for o in outcomes[:1]] == [(2, "updated", columns)]
    entry.refresh_from_db()
    assert entry.credentials_version == version
    assert CachedLogin.objects.exists() is (version == 1)


def test_rule_6_holds_for_imports_too(do):
    do(csv_row(), csv_row("registry.example.com/*", "docker"))
    other_key = csv_row(access_key_id="AKIAOTHERKEY12345678", secret_access_key="")
    other_user = csv_row("registry.example.com/*", "docker", username="x", password="")
    report = do(other_key, other_user, update=True)
    assert codes(report) == [
        (2, "secret_access_key", "secret_required"),
        (3, "password", "secret_required"),
    ]


def test_a_new_entry_needs_its_secret(do):
    report = do(csv_row(secret_access_key=""), csv_row("me/*", "docker", password=""))
    assert {code for *_, code in codes(report)} == {"secret_required"}
    assert not RegistryEntry.objects.exists()


def test_patterns_and_environments_are_sets_when_entries_are_matched(do, gpu):
    do(csv_row(f"{HOST}/a {HOST}/b"))
    report = do(csv_row(f"{HOST}/b {HOST}/a", note="x"), update=True)
    assert counts(report) == (0, 1, 0, 0)
    report = do(csv_row(f"{HOST}/b", note="x"), update=True)
    assert codes(report) == [(2, "image_pattern", "duplicate_pattern")]
    report = do(csv_row(f"{HOST}/b {HOST}/a", environments="gpu"), update=True)
    assert counts(report) == (1, 0, 0, 0)


def test_other_organizations_are_neither_seen_nor_touched(do, umbrella):
    do(csv_row(), organization=umbrella)
    assert counts(do(csv_row(note="ours"), update=True)) == (1, 0, 0, 0)
    assert RegistryEntry.objects.get(organization=umbrella).note == ""


def test_duplicates_in_the_file(do, gpu):
    report = do(
        csv_row(f"{HOST}/a {HOST}/b"),
        csv_row(f"{HOST.upper()}:443/b"),
        csv_row(f"{HOST}/b", environments="gpu"),
        csv_row(f"{HOST}/b", environments="gpu"),
        csv_row(f"{HOST}/b", enabled="false"),
    )
    assert codes(report) == [
        (3, "image_pattern", "duplicate_row"),
        (5, "image_pattern", "duplicate_row"),
    ]
    assert "Row 2 has" in report.errors[0].what
    assert "Row 4 has" in report.errors[1].what


def test_duplicates_far_apart_are_found(do, monkeypatch):
    monkeypatch.setattr(importing, "CHUNK", 2)
    rows = [csv_row(f"{HOST}/r{number}") for number in range(7)]
    report = do(*rows, csv_row(f"{HOST}/r0"))
    assert codes(report) == [(9, "image_pattern", "duplicate_row")]
    assert counts(do(*rows)) == (7, 0, 0, 0)


# --- enabled beside disabled --------------------------------------------------------


def test_a_disabled_and_an_enabled_entry_may_share_a_pattern(do):
    rows = [csv_row(note="on"), csv_row(note="off", enabled="false")]
    assert counts(do(*rows)) == (2, 0, 0, 0)
    assert counts(do(*rows, update=True)) == (0, 0, 2, 0)
    changed = [csv_row(note="on"), csv_row(note="still off", enabled="false")]
    assert counts(do(*changed, update=True)) == (0, 1, 1, 0)
    assert set(RegistryEntry.objects.values_list("enabled", "note")) == {
        (True, "on"),
        (False, "still off"),
    }


def test_a_pair_of_rows_does_not_disable_the_entry_that_one_of_them_means(do):
    do(csv_row())
    report = do(csv_row(), csv_row(note="old", enabled="false"), update=True)
    assert counts(report) == (1, 0, 1, 0)
    assert RegistryEntry.objects.get(enabled=True).note == ""


def test_a_lone_disabled_row_disables_and_an_enabled_one_enables(do):
    do(csv_row())
    assert counts(do(csv_row(enabled="false"), update=True)) == (0, 1, 0, 0)
    assert not IndexedPattern.objects.get().enabled
    assert counts(do(csv_row(), update=True)) == (0, 1, 0, 0)
    assert IndexedPattern.objects.get().enabled


def test_enabling_cannot_take_what_another_entry_has(do):
    do(csv_row(f"{HOST}/a {HOST}/b", enabled="false"), csv_row(f"{HOST}/a"))
    report = do(csv_row(f"{HOST}/a {HOST}/b"), update=True)
    assert codes(report) == [(2, "image_pattern", "duplicate_pattern")]


def test_an_entry_is_not_changed_by_two_rows(do):
    do(csv_row())
    report = do(csv_row(enabled="false"), csv_row(), update=True)
    assert codes(report) == [(3, "image_pattern", "duplicate_pattern")]


def test_which_of_several_disabled_entries_is_meant_cannot_be_told(do):
    rows = [csv_row(note="a", enabled="false"), csv_row(note="b", enabled="false")]
    do(*rows)
    assert counts(do(*rows)) == (0, 0, 2, 0)
    report = do(csv_row(note="c", enabled="false"), update=True)
    assert codes(report) == [(2, "image_pattern", "ambiguous_entry")]


def test_a_disabled_row_reserves_nothing(do):
    do(csv_row(f"{HOST}/a"))
    assert counts(do(csv_row(f"{HOST}/a {HOST}/b", enabled="false"))) == (1, 0, 0, 0)


# --- beside what stands ----------------------------------------------------------------


def test_a_conflict_names_the_entry_that_stands(do):
    do(csv_row(f"{HOST}/a {HOST}/b"))
    report = do(csv_row(f"{HOST}/b"))
    assert codes(report) == [(2, "image_pattern", "duplicate_pattern")]
    assert f"The enabled entry {HOST}/b (AWS ECR (IAM credentials)" in report.errors[0].what


@pytest.mark.parametrize("last", ["team-d*", "*"])
def test_wildcards_at_one_place_are_limited_as_for_single_entries(do, monkeypatch, last):
    monkeypatch.setattr(validating, "MAX_WILDCARD_PATHS", 4)
    do(csv_row(f"{HOST}/team-a*"), csv_row(f"{HOST}/team-b*"))
    other_place = csv_row(f"{HOST}/deeper/team-*")
    full = [csv_row(f"{HOST}/team-c*"), other_place, csv_row(f"{HOST}/{last}")]
    over = csv_row(f"{HOST}/team-e*")
    report = do(*full, over)
    assert codes(report) == [(5, "image_pattern", "too_many_wildcards")]
    assert counts(do(*full)) == (3, 0, 0, 0)
    assert codes(do(over)) == [(2, "image_pattern", "too_many_wildcards")]


def test_the_same_wildcard_in_two_environments_counts_once(do, monkeypatch, gpu):
    monkeypatch.setattr(validating, "MAX_WILDCARD_PATHS", 2)
    rows = [csv_row(f"{HOST}/{p}", environments=e) for p in ("a*", "*") for e in ("", "gpu")]
    assert counts(do(*rows)) == (4, 0, 0, 0)


def test_an_error_anywhere_leaves_everything_as_it_was(do, monkeypatch):
    monkeypatch.setattr(importing, "CHUNK", 2)
    do(csv_row(f"{HOST}/standing"))
    before = AuditEvent.objects.count()
    good = [csv_row(f"{HOST}/r{number}") for number in range(5)]
    report = do(csv_row(f"{HOST}/standing", note="x"), *good, csv_row(HOST), update=True)
    assert counts(report) == (5, 1, 0, 1)
    assert RegistryEntry.objects.get().note == ""
    assert AuditEvent.objects.count() == before


def test_events_that_cannot_be_written_undo_the_import(acme, actor, monkeypatch):
    def fail(rows):
        raise IntegrityError("disk full")

    monkeypatch.setattr(door, "insert_all", fail)
    with pytest.raises(IntegrityError):
        apply(organization=acme, actor=actor, rows=Rows(csv_file(csv_row()), "csv"))
    assert not RegistryEntry.objects.exists()


def test_what_was_planned_is_what_is_done_or_nothing(acme, actor, make_entry):
    entry = make_entry()
    work = {"organization": acme, "rows": Rows(csv_file(csv_row(note="x")), "csv")}
    planned = plan(**work, update=True)
    spec = EntrySpec("aws-ecr", [f"{HOST}/*"], {"access_key_id": KEY}, note="someone else's")
    door.entry_update(entry=entry, actor=actor, change=changed_to(spec))
    late = apply(actor=actor, update=True, expected=planned.fingerprint, **work)
    assert ([error.code for error in late.errors], late.written) == (["changed_meanwhile"], False)
    assert RegistryEntry.objects.get().note == "someone else's"
    again = plan(**work, update=True)
    assert apply(actor=actor, update=True, expected=again.fingerprint, **work).written


def test_more_rows_than_asked_for_are_refused(acme):
    work = {"organization": acme}
    rows = [csv_row(f"{HOST}/r{number}") for number in range(3)]
    assert not plan(rows=Rows(csv_file(*rows), "csv"), limit=3, **work).errors
    report = plan(rows=Rows(csv_file(*rows), "csv"), limit=2, **work)
    assert codes(report) == [(4, "", "too_many_rows")]


# --- what is wrong in rows -----------------------------------------------------------


@pytest.mark.parametrize(
    ("row", "expected", "says"),
    [
        (csv_row(HOST), [("image_pattern", HOST, "bare_host")], f"Write {HOST}/*"),
        (
            csv_row(f"https://{HOST}/*"),
            [("image_pattern", f"https://{HOST}/*", "scheme_in_pattern")],
            f"Write {HOST}/*",
        ),
        (
            csv_row(f"{HOST}/a:v1"),
            [("image_pattern", f"{HOST}/a:v1", "tag_in_pattern")],
            f"Write {HOST}/a",
        ),
        (csv_row(""), [("image_pattern", "", "required")], "empty"),
        (
            csv_row(region="eu-west-1"),
            [("region", "eu-west-1", "region_mismatch")],
            "Choose us-east-1",
        ),
        (
            csv_row(region="mars"),
            [("region", "‹4 characters›", "region_shape")],
            "isn't an AWS region",
        ),
        (csv_row(type="azure"), [("type", "azure", "unknown_type")], "aws-ecr"),
        (
            csv_row("gcr.io/p/*", "gcp-cr", service_account_json=CANARY),
            [("service_account_json", "••••", "secret_shape")],
            "isn't a service account's key",
        ),
        (csv_row(type=""), [("type", "", "unknown_type")], "Write one of"),
        (
            csv_row(environments="gpuu"),
            [("environments", "‹4 characters›", "environment_not_found")],
            "Write gpu.",
        ),
        (
            csv_row(environments="quite-other"),
            [("environments", "‹11 characters›", "environment_not_found")],
            "slugs out of gpu",
        ),
        (
            csv_row(enabled="perhaps"),
            [("enabled", "‹7 characters›", "not_a_boolean")],
            "true or false",
        ),
        (
            csv_row(role_name="Worker", password=CANARY),
            [
                ("role_name", "‹6 characters›", "field_of_other_type"),
                ("password", "••••", "field_of_other_type"),
            ],
            "have no role_name",
        ),
        (csv_row(note="n" * 501), [("note", "‹501 characters›", "too_long")], "500"),
        (csv_row(note="a\0b"), [("note", "‹3 characters›", "control_character")], "by hand"),
        (
            csv_row(secret_access_key=f"{CANARY}\0"),
            [("secret_access_key", "••••", "control_character")],
            "by hand",
        ),
        (
            csv_row(access_key_id="ASIAIOSFODNN7EXAMPLE"),
            [("access_key_id", "ASIAIOSFODNN7EXAMPLE", "temporary_key")],
            "begins with AKIA",
        ),
        # Several at once.
        (
            csv_row(HOST, access_key_id="x", secret_access_key="", enabled="?"),
            [
                ("enabled", "‹1 characters›", "not_a_boolean"),
                ("access_key_id", "‹1 characters›", "key_id_shape"),
                ("image_pattern", HOST, "bare_host"),
                # Whether a kept secret is meant can't be told.
            ],
            "",
        ),
    ],
)
def test_a_row_tells_column_problem_and_fix(do, gpu, row, expected, says):
    report = do(row)
    assert [(e.column, e.value, e.code) for e in report.errors] == expected
    assert says in f"{report.errors[0].what} {report.errors[0].fix}"
    assert {error.row for error in report.errors} == {2}
    assert not RegistryEntry.objects.exists()


@pytest.mark.parametrize("column", HEADER.split(","))
@pytest.mark.parametrize("type", ["aws-ecr", "aws-ecr-role", "docker", "gcp-cr"])
@pytest.mark.parametrize("secret", [CANARY, "abcDEFghij" * 4, "Hunter2-and-more"])
def test_a_secret_in_any_column_is_never_repeated(acme, column, type, secret):
    cells = {"pattern": "registry.example.com/*", "type": type}
    cells["pattern" if column == "image_pattern" else column] = secret
    report = plan(organization=acme, rows=Rows(csv_file(csv_row(**cells)), "csv"))
    assert secret not in repr(report)
    assert secret.lower() not in repr(report).lower()
    assert not any(secret[at : at + 8].lower() in repr(report).lower() for at in range(8))


def test_1000_rows_with_37_planted_errors(do, gpu):
    """Of all kinds, anywhere; all of them and nothing else is told, and nothing written."""
    plant = [
        (csv_row(HOST), "bare_host"),
        (csv_row(f"https://{HOST}/x"), "scheme_in_pattern"),
        (csv_row(f"{HOST}/x:v1"), "tag_in_pattern"),
        (csv_row(f"{HOST}.evil.com/*"), "lookalike_host"),
        (csv_row("registry.example.com/*"), "lookalike_host"),
        (csv_row(f"{HOST}/p1", region="eu-west-1"), "region_mismatch"),
        (csv_row(f"{HOST}/p2", region="cn-north-1"), "partition_mismatch"),
        (csv_row(f"{HOST}/p3", access_key_id="AKIA1"), "key_id_shape"),
        (csv_row(f"{HOST}/p4", access_key_id=CANARY[::-1]), "key_id_shape"),
        (csv_row(f"{HOST}/p5", access_key_id="ASIAIOSFODNN7EXAMPLE"), "temporary_key"),
        (csv_row(f"{HOST}/p6", secret_access_key=""), "secret_required"),
        (csv_row(f"{HOST}/p7", secret_access_key=KEY), "secret_shape"),
        (csv_row(f"{HOST}/p8", type="azure"), "unknown_type"),
        (csv_row("gcr.io/p/*", "gcp-cr", service_account_json=CANARY), "secret_shape"),
        (csv_row(f"{HOST}/q1", "aws-ecr-role", role_name=""), "required"),
        (csv_row(f"{HOST}/q2", "aws-ecr-role", role_name=f"a {CANARY}"), "role_name_shape"),
        (csv_row(f"{HOST}/q3", "aws-ecr-role", secret_access_key=CANARY), "field_of_other_type"),
        (csv_row("*.example.com/*", "docker"), "wildcard_host"),
        (csv_row(f"{HOST}/q4", "docker"), "ecr_host"),
        (csv_row("me/q5", "docker", username="a:b"), "username_shape"),
        (csv_row("me/q6", "docker", password=""), "secret_required"),
        (csv_row(f"{HOST}/q7", environments="cpu"), "environment_not_found"),
        (csv_row(f"{HOST}/q8", enabled="maybe"), "not_a_boolean"),
        (csv_row(f"{HOST}/q9", note="n" * 501), "too_long"),
        (csv_row(f"{HOST}/r1", note="\0"), "control_character"),
        (csv_row(f"{HOST}/r2") + f",,{CANARY}", "too_many_cells"),
        (csv_row(""), "required"),
        (csv_row(f"{HOST}/good-7"), "duplicate_row"),
        (csv_row(f"{HOST}/standing"), "needs_update"),
        (csv_row(f"{HOST}/taken {HOST}/r3"), "duplicate_pattern"),
        (csv_row(f"{HOST}/**"), "invalid_pattern"),
        (csv_row(f"{HOST}/r4/"), "invalid_pattern"),
        (csv_row(CANARY), "invalid_pattern"),
        (csv_row(f"{HOST}/r5", region=CANARY), "region_shape"),
        (csv_row(f"{HOST}/r6", type=CANARY), "unknown_type"),
        (csv_row(f"{HOST}/r7", environments=CANARY), "environment_not_found"),
        (csv_row(f"{HOST}/r8", enabled=CANARY), "not_a_boolean"),
    ]
    assert len(plant) == 37
    do(csv_row(f"{HOST}/standing", note="as it is"), csv_row(f"{HOST}/taken", note="as it is"))
    rows = [(csv_row(f"{HOST}/good-{number}"), None) for number in range(1000 - len(plant))]
    rows = rows[:8] + random.Random(3).sample(rows[8:] + plant, 992)
    report = do(*[row for row, _ in rows])
    expected = [(number, code) for number, (_, code) in enumerate(rows, 2) if code]
    assert [(error.row, error.code) for error in report.errors] == expected
    assert counts(report) == (963, 0, 0, 37)
    assert all(error.fix for error in report.errors)
    assert list(RegistryEntry.objects.values_list("note", flat=True)) == ["as it is"] * 2
    told = "\n".join(map(str, report.errors))
    assert CANARY not in told and CANARY[::-1] not in told


# --- counted ---------------------------------------------------------------------------


def planned(organization, *rows, **options):
    file = Rows(csv_file(*rows), "csv")
    return plan(organization=organization, rows=file, **options)


def test_patterns_count_once_for_each_environment(acme, gpu, monkeypatch):
    monkeypatch.setattr("orgs.services.bulk.importing.PLACES_A_ROW", 2)
    cpu = Environment.objects.create(organization=acme, name="CPU", slug="cpu")
    one = csv_row(f"{HOST}/a {HOST}/b", environments=f"{gpu.slug} {cpu.slug}")
    assert not planned(acme, one, limit=2).errors
    report = planned(acme, one, csv_row(f"{HOST}/c"), limit=2)
    assert [(e.row, e.code) for e in report.errors] == [(3, "too_many_places")]
    assert not planned(acme, one, csv_row(f"{HOST}/c")).errors


def test_what_is_looked_up_together_is_bounded(acme, monkeypatch):
    monkeypatch.setattr("orgs.services.bulk.importing.MAX_PLACES", 3)
    rows = [csv_row(f"{HOST}/{n}/a {HOST}/{n}/b") for n in range(4)]
    rows.append(csv_row(" ".join(f"{HOST}/x{n}" for n in range(9))))
    assert planned(acme, *rows, csv_row(f"{HOST}/3/a")).errors[0].code == "duplicate_row"
    assert planned(acme, *rows).created == 5


def test_after_very_many_errors_the_rest_is_not_looked_at(acme, monkeypatch):
    monkeypatch.setattr("orgs.services.bulk.importing.MAX_TOLD", 3)
    monkeypatch.setattr("orgs.services.bulk.importing.CHUNK", 5)
    report = planned(acme, *(csv_row(f"{HOST}/a{n}:v") for n in range(100)))
    assert [e.code for e in report.errors] == ["tag_in_pattern"] * 2 + ["too_many_errors"]
    assert (report.rows, report.untold, report.errors[-1].row) == (5, 3, 6)
    assert report.untold + len(report.errors) == 5 + 1


def test_of_many_entries_with_the_same_patterns_none_is_compared(acme, make_entry, monkeypatch):
    for _ in range(4):
        make_entry(f"{HOST}/a", enabled=False)
    row = csv_row(f"{HOST}/a", enabled="false")
    assert planned(acme, row).unchanged == 1
    monkeypatch.setattr("orgs.services.bulk.importing.MAX_CANDIDATES", 3)
    monkeypatch.setattr("orgs.services.entries.door.changes", lambda *args: 1 / 0)
    assert planned(acme, row).errors[0].code == "ambiguous_entry"


def test_of_many_patterns_that_are_taken_some_are_told(acme, make_entry):
    texts = [f"{HOST}/{n}" for n in range(50)]
    make_entry(texts)
    report = planned(acme, csv_row(" ".join([*texts, f"{HOST}/new"])))
    assert [e.code for e in report.errors] == ["duplicate_pattern"] * 5


def test_a_pattern_given_twice_counts_once(acme):
    (first, *_), again = [f"{HOST}/a"], " ".join([f"{HOST}/a"] * 300)
    assert not planned(acme, csv_row(first)).errors and not planned(acme, csv_row(again)).errors
    report = planned(acme, csv_row(" ".join(f"{HOST}/{n}" for n in range(101))))
    assert [e.code for e in report.errors] == ["too_many"]


def test_keys_that_come_in_untried_are_told(do):
    do(csv_row(f"{HOST}/a"), csv_row(f"{HOST}/b"), csv_row(f"{HOST}/c"))
    other = {"secret_access_key": "b" * 40}
    rows = [csv_row(f"{HOST}/a", **other), csv_row(f"{HOST}/new", **other), csv_row(f"{HOST}/b")]
    off = csv_row(f"{HOST}/c", enabled="false", **other)
    report = do(*rows, off, update=True)
    assert report.written and report.untried == 1
    assert report.advice == "1 key replaces another untried: verify its entry afterwards."
    assert do(*rows, update=True).advice == ""


def test_of_many_patterns_that_cannot_be_the_first_are_told(acme, monkeypatch):
    monkeypatch.setattr("orgs.services.bulk.reading.MOST_TOLD", 50)
    bad = " ".join(f"{HOST}/{n}:v" for n in range(60))
    told = planned(acme, csv_row(bad)).errors
    assert [error.code for error in told] == ["tag_in_pattern"] * 20 + ["invalid_pattern"]
    assert "what follows them wasn't read" in told[-1].what
    few = " ".join(f"{HOST}/{n}:v" for n in range(20))
    assert [error.code for error in planned(acme, csv_row(few)).errors] == ["tag_in_pattern"] * 20
