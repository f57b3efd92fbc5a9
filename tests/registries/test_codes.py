"""The one table of codes: what it holds, and that nothing else can be raised."""

from __future__ import annotations

import ast
from dataclasses import replace

import pytest

from orgs.api.errors import ANYWHERE
from orgs.registries import catalogue, codes, private
from orgs.registries.codes import Code, Kind, Worker
from orgs.registries.places import Full
from orgs.registries.problems import Failed, Problem
from orgs.services.bulk.files.columns import CellError
from orgs.services.bulk.files.rows import OddCell
from orgs.services.upstream import calls
from orgs.services.verification import images, outcomes

from .literal_codes import (
    PROGRAM,
    codes_of_the_program,
    failures_of_the_program,
    literal_codes,
)

# Not a code of an error: the audit log's word for what went well.
OK = "ok"


@pytest.mark.once
def test_every_code_that_is_written_out_is_in_the_table() -> None:
    written = literal_codes()
    assert {"no_match", "bare_host", "partition_mismatch", "yaml_tag", "unknown_format"} <= set(
        written
    )
    missing = {code: files for code, files in written.items() if not codes.known(code)}
    assert set(missing) == {OK}, missing


@pytest.mark.once
def test_every_code_of_the_table_is_used() -> None:
    told = set(literal_codes()) | set(codes_of_the_program())
    # Made by Django, and told by the middleware.
    assert set(codes.table()) == (told | {"method_not_allowed"}) - {OK}


@pytest.mark.once
def test_what_is_kept_by_code_is_of_the_table() -> None:
    """A word that is none would never be looked up, and nobody would see it."""
    kept = [calls.PAUSES, images._FIXES, images._OF_ONE, private._NAMED_KEYS, ANYWHERE]
    kept += [kind.denied_fixes for kind in catalogue.TYPES]
    assert all(kept[:5]) and all(codes.known(code) for several in kept for code in several)


@pytest.mark.once
def test_the_program_on_workers_tells_nothing_else() -> None:
    """It can't import the table."""
    told = codes_of_the_program()
    assert {"no_match", "not_configured", "role_not_attached"} <= set(told)
    assert set(told) <= set(codes.OURS)
    tree = ast.parse(PROGRAM.read_text())
    assigned = [node for node in tree.body if isinstance(node, ast.Assign)]
    reports = next(a.value for a in assigned if ast.unparse(a.targets[0]) == "OUTCOMES")
    reported = {code for code, row in codes.OURS.items() if row.event == codes.REPORT}
    assert ast.literal_eval(reports) == set(outcomes.CODES) == {OK, *reported}


@pytest.mark.once
@pytest.mark.parametrize(("code", "transient"), sorted(set(failures_of_the_program())))
def test_the_program_serves_an_older_copy_where_the_table_says(code: str, transient: bool) -> None:
    assert transient == (codes.of(code).worker is Worker.OLDER_COPY)


@pytest.mark.parametrize("code", ["", "no_such_code", "No_match", "no_match "])
def test_any_other_code_raises_at_once(code: str) -> None:
    for make in (Problem, Failed):
        with pytest.raises(codes.UnknownCode):
            make(code, "It failed.")
    for cell in (CellError(1, "note", "", "invalid", "", ""), OddCell("invalid", "", "")):
        with pytest.raises(codes.UnknownCode):
            replace(cell, code=code)
    assert not codes.known(code)


def test_having_no_place_is_a_code_too(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(codes, "OURS", {c: row for c, row in codes.OURS.items() if c != "busy"})
    with pytest.raises(codes.UnknownCode):
        Full("No place is free.", 1)


def test_a_type_brings_codes_of_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    class Toy(type(catalogue.first())):  # type: ignore[misc]
        slug = "toy"
        codes = {"shop_closed": codes.login(422, "The toy shop is closed.", Kind.REFUSED)}

    with pytest.raises(codes.UnknownCode):
        Failed("shop_closed", "The toy shop is closed.")
    before = set(codes.table())
    monkeypatch.setitem(catalogue.BY_SLUG, "toy", Toy())
    failed = Failed("shop_closed", "The toy shop is closed.")
    assert failed.refused and not failed.transient
    assert codes.table()["shop_closed"].event == codes.LOGIN
    assert set(codes.table()) == {*before, "shop_closed"}


def test_no_type_brings_one_of_ours() -> None:
    assert not set(catalogue.type_codes()) & set(codes.OURS)


@pytest.mark.parametrize(("code", "row"), codes.table().items(), ids=codes.table())
def test_a_row_agrees_with_itself(code: str, row: Code) -> None:
    assert row.says.endswith(".") and len(row.says) <= 90 and "  " not in row.says
    assert len(code) <= 40  # the columns that keep it
    if row.kind is Kind.TRANSIENT:
        assert (row.status, row.worker) == (503, Worker.OLDER_COPY)
    if row.kind is Kind.REFUSED:
        assert (row.status, row.worker) == (422, Worker.DELETES)
    if row.event in {codes.LOGIN, codes.TOKEN, codes.REPORT}:
        assert row.worker is not Worker.NEVER
    if row.field:
        assert row.status is not None and row.status < 500
        # Beside a field's name: no sentence, and no more than a glance.
        assert row.short and len(row.short) <= 40 and not row.short.endswith(".")
        assert row.short[0].islower() or row.short.startswith(("YAML", "AWS"))
    assert all(fix.endswith(".") for fix in (row.fix, row.fix_at_field) if fix)


@pytest.mark.once
def test_a_phrase_is_of_the_table_or_of_what_forms_find() -> None:
    assert codes.phrase("tag_in_pattern") == "a tag in the pattern"
    assert codes.phrase("company_away") == "the company's sign-in doesn't answer"
    assert codes.phrase("invalid_choice") == "not in the list"
    assert codes.phrase("invalid_key") == "the key isn't known, or is inactive"
    assert (codes.phrase("no_such_code"), codes.phrase(""), codes.phrase(None)) == ("", "", "")


def test_one_error_value() -> None:
    failed = Failed("throttled", "Too many.", "Wait.", 60)
    assert failed.problem == Problem("throttled", "Too many.", "Wait.")
    assert (failed.code, failed.what, failed.fix) == ("throttled", "Too many.", "Wait.")
    assert (failed.detail, failed.retry_after) == ("Too many. Wait.", 60)
    assert str(failed) == "throttled: Too many. Wait."
    assert failed.transient and not failed.refused


# CONTRACT «Docker login» and its other statuses: the table may not drift from them.
STATUSES = {
    400: "invalid_image invalid_request",
    401: "not_authenticated token_expired token_revoked",
    403: "personal_project environment_not_allowed admins_only",
    404: "project_not_found environment_not_found no_match entry_not_found not_found",
    405: "method_not_allowed",
    409: "entry_unusable ambiguous_server instance_role_format",
    413: "too_large",
    422: "access_denied invalid_key signature_mismatch identity_refused external_id_not_enforced",
    429: "rate_limited",
    500: "server_error",
    503: "registry_unreachable issuer_unreachable throttled clock_skew busy audit_unavailable",
}


def test_the_contracts_statuses() -> None:
    answers = {c: row for c, row in codes.OURS.items() if row.answered and not row.verifying}
    told = {code: status for status, several in STATUSES.items() for code in several.split()}
    managing = {"changed_meanwhile": 409, "mfa_needed": 403}
    assert {code: row.status for code, row in answers.items()} == told | managing


def test_what_leaves_no_event_is_what_says_ask_again() -> None:
    """Of all that keeps a worker from a login that it may have."""
    untold = {c for c, row in codes.OURS.items() if row.status == 503 and not row.event}
    assert untold == {"busy", "audit_unavailable"}
