"""The one table of codes: what it holds, and that nothing else can be raised."""

from __future__ import annotations

import pytest

from orgs.registries import catalogue, codes
from orgs.registries.codes import Code, Kind, Worker
from orgs.registries.places import Full
from orgs.registries.problems import Failed, Problem
from orgs.services.bulk.files.columns import CellError
from orgs.services.verification import outcomes

from .literal_codes import literal_codes

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
    of_workers = set(outcomes.CODES)
    # Made by Django, and told by the middleware.
    assert set(codes.OURS) == (set(literal_codes()) | of_workers | {"method_not_allowed"}) - {OK}


@pytest.mark.parametrize("code", ["", "no_such_code", "No_match", "no_match "])
def test_any_other_code_raises_at_once(code: str) -> None:
    for make in (Problem, Failed):
        with pytest.raises(codes.UnknownCode):
            make(code, "It failed.")
    with pytest.raises(codes.UnknownCode):
        CellError(1, "note", "", code, "It failed.", "Mend it.")
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
    monkeypatch.setitem(catalogue.BY_SLUG, "toy", Toy())
    failed = Failed("shop_closed", "The toy shop is closed.")
    assert failed.refused and not failed.transient
    assert codes.table()["shop_closed"].event == codes.LOGIN
    assert set(codes.table()) == {*codes.OURS, "shop_closed"}


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
    422: "access_denied invalid_key signature_mismatch",
    429: "rate_limited",
    500: "server_error",
    503: "registry_unreachable throttled clock_skew busy audit_unavailable",
}


def test_the_contracts_statuses() -> None:
    answers = {c: row for c, row in codes.OURS.items() if row.answered and not row.verifying}
    told = {code: status for status, several in STATUSES.items() for code in several.split()}
    assert {code: row.status for code, row in answers.items()} == told | {"changed_meanwhile": 409}


def test_what_leaves_no_event_is_what_says_ask_again() -> None:
    """Of all that keeps a worker from a login that it may have."""
    untold = {c for c, row in codes.OURS.items() if row.status == 503 and not row.event}
    assert untold == {"busy", "audit_unavailable"}
