"""Every code of the table, made to happen through a real door.

Each code has its case here or names the test that has it; a code without one fails.
"""

from __future__ import annotations

import ast
import re
import uuid
from collections.abc import Callable
from datetime import timedelta
from io import BytesIO
from types import SimpleNamespace
from typing import Any, cast

import pytest
from django.contrib import admin
from django.core.exceptions import ValidationError
from django.core.files.uploadedfile import SimpleUploadedFile
from django.db import DatabaseError
from django.http import HttpResponse
from django.utils import timezone

from orgs.admin.organizations import ProjectForm
from orgs.api import authentication, limits
from orgs.forms.importing import UploadForm
from orgs.models import AuditEvent, Organization, Project, WorkerToken
from orgs.registries import codes
from orgs.registries.codes import Page
from orgs.registries.private import whole
from orgs.registries.problems import Failed, Refused
from orgs.sealed import SealedField
from orgs.services.audit import events
from orgs.services.bulk.files import Rows, apart, rows, tables
from orgs.services.bulk.files.rows import BrokenFile
from orgs.services.logins import minting
from orgs.services.tenancy import organizations, tokens
from orgs.services.upstream import calls
from tests.conftest import CANARY, HOST
from tests.support import PROJECT_ROOT
from tests.web.conftest import look

from .conftest import IMAGE, LOGIN, Api

__all__ = ["look"]
pytestmark = pytest.mark.django_db(transaction=True)

CREDENTIALS = "/api/v0/registry-credentials/"
OUTCOME = f"{LOGIN}outcome/"
KEY = {
    "access_key_id": "AKIAIOSFODNN7EXAMPLE",
    "region": "us-east-1",
    "secret_access_key": CANARY,
}


class Door(SimpleNamespace):
    """What cases need; the fixtures of the same names."""

    def fixture(self, name: str) -> Any:
        return self.request.getfixturevalue(name)


@pytest.fixture
def door(request, monkeypatch, acme, alice, bob, actor, project, worker, ask, issue) -> Door:
    person = {
        user: Api(tokens.token_issue_api(user=user, name="script", actor=actor)[1])
        for user in (alice, bob)
    }
    return Door(
        request=request, patch=monkeypatch, acme=acme, alice=person[alice], bob=person[bob],
        admin=alice, member=bob, actor=actor, project=project, worker=worker, ask=ask, issue=issue,
    )  # fmt: skip


# --- the API's whole answer -------------------------------------------------------------


def _fault(kind: str) -> Callable[[Door], HttpResponse]:
    def ask(door: Door) -> HttpResponse:
        door.fixture("entry")
        door.fixture("aws").fault(kind)
        return door.ask()

    return ask


def _deleted_while_it_waits(door: Door) -> HttpResponse:
    door.fixture("entry")
    mint = minting._refresh

    def deleted_meanwhile(*args: Any) -> Any:
        WorkerToken.objects.all().delete()
        return mint(*args)

    door.patch.setattr(minting, "_refresh", deleted_meanwhile)
    return door.ask()


def _expired(door: Door) -> HttpResponse:
    WorkerToken.objects.update(expires_at=timezone.now() - timedelta(seconds=1))
    return door.ask()


def _revoked(door: Door) -> HttpResponse:
    tokens.token_revoke(token=WorkerToken.objects.get(), actor=door.actor)
    return door.ask()


def _personal(door: Door) -> HttpResponse:
    return door.ask(project=str(Project.objects.create(name="mine", user=door.member).pk))


def _unreadable(door: Door) -> HttpResponse:
    door.fixture("entry")
    door.fixture("settings").FERNET_KEYS = ["cw_0x689RpI-jtRR7oE8h_eQsKImvJapLeSbXpwF4e4="]
    return door.ask()


def _by_server(door: Door) -> HttpResponse:
    door.fixture("make_entry")(f"{HOST}/team-a/*")
    return door.ask(image=None, server=HOST)


def _role_as_helper(door: Door) -> HttpResponse:
    door.fixture("make_entry")(registry_type="aws-ecr-role")
    return door.ask(path=f"{LOGIN}?format=helper")


def _denied(door: Door) -> HttpResponse:
    door.fixture("entry")
    door.fixture("aws").remove_policy("valohai")
    return door.ask()


def _unknown_key(door: Door) -> HttpResponse:
    door.fixture("aws")
    door.fixture("make_entry")()
    return door.ask()


def _wrong_secret(door: Door) -> HttpResponse:
    key_id, _ = door.fixture("aws").create_user("valohai", door.fixture("aws").policy())
    door.fixture("make_entry")(config={"access_key_id": key_id})
    return door.ask()


def _too_often(door: Door) -> HttpResponse:
    door.patch.setattr(authentication, "buckets", limits.Buckets(rate=0.5, burst=0))
    return door.ask()


def _crash(door: Door) -> HttpResponse:
    def crash(*args: Any, **kwargs: Any) -> None:
        raise RuntimeError("a mistake of ours")

    door.patch.setattr(tokens, "mark_used", crash)
    return door.ask()


def _no_room(door: Door) -> HttpResponse:
    door.fixture("entry")
    door.patch.setitem(calls.LOGINS.most, "entry", 0)
    return door.ask()


def _no_event(door: Door) -> HttpResponse:
    door.fixture("entry")

    def fail(**kwargs: Any) -> None:
        raise DatabaseError("disk full")

    door.patch.setattr(events, "record", fail)
    return door.ask()


def _elsewhere(door: Door) -> HttpResponse:
    anywhere = Api(door.issue(any_environment=True))
    return door.ask(api=anywhere, environment="nowhere")


def _report(door: Door, code: str, entry: Any) -> HttpResponse:
    body = {"entry": str(entry), "project": str(door.project.pk), "image": IMAGE, "code": code}
    return door.worker.post(OUTCOME, body)


ANSWERED: dict[str, Callable[[Door], HttpResponse]] = {
    "invalid_request": lambda door: door.worker.post(LOGIN, {}),
    "invalid_image": lambda door: door.ask("a b"),
    "not_authenticated": _deleted_while_it_waits,
    "token_expired": _expired,
    "token_revoked": _revoked,
    "personal_project": _personal,
    "environment_not_allowed": lambda door: door.ask(environment="gpu"),
    "project_not_found": lambda door: door.ask(project=str(uuid.UUID(int=7))),
    "environment_not_found": _elsewhere,
    "no_match": lambda door: door.ask(),
    "entry_unusable": _unreadable,
    "ambiguous_server": _by_server,
    "instance_role_format": _role_as_helper,
    "too_large": lambda door: door.worker.post(LOGIN, b" " * (16 * 1024 + 1)),
    "access_denied": _denied,
    "invalid_key": _unknown_key,
    "signature_mismatch": _wrong_secret,
    "rate_limited": _too_often,
    "server_error": _crash,
    "registry_unreachable": _fault("error500"),
    "throttled": _fault("throttle"),
    "clock_skew": _fault("skew"),
    "busy": _no_room,
    "audit_unavailable": _no_event,
    "admins_only": lambda door: door.bob.post(CREDENTIALS, _body(door)),
    "not_found": lambda door: door.worker.get("/api/v0/x"),
    "entry_not_found": lambda door: _report(door, "ok", uuid.UUID(int=7)),
    "method_not_allowed": lambda door: door.worker.get(LOGIN),
}


@pytest.mark.parametrize("code", ANSWERED)
def test_answered_in_its_status_with_its_event(code: str, door: Door) -> None:
    row = codes.of(code)
    response = ANSWERED[code](door)
    assert (response.status_code, response.json()["code"]) == (row.status, code)
    actions = AuditEvent.objects.filter(action__in=(*LEFT_BY_ASKING, codes.TOKEN))
    assert list(actions.values_list("action", flat=True)) == [row.event] * bool(row.event)
    if row.event in {codes.LOGIN, codes.TOKEN}:
        assert actions.get().code == code
    assert ("Retry-After" in response) == (row.status in {413, 429, 503})
    if row.page is Page.NONE:
        return
    door.patch.undo()  # what was broken on purpose isn't the page's
    address = {Page.OVERVIEW: "/organizations/acme/", Page.AUDIT: "/organizations/acme/audit/"}
    shown = door.fixture("look")(door.admin, address[row.page]).text
    assert whole(actions.get().properties.get("reason", code)) in shown


LEFT_BY_ASKING = ("login.issued", codes.LOGIN, codes.REPORT)
REPORTED = ("role_not_attached", "role_access_denied", "not_on_ec2", "metadata_hop_limit")


@pytest.mark.parametrize("code", REPORTED)
def test_reported_with_its_event_and_shown(code: str, door: Door) -> None:
    """How each happens on a worker, and what it does then: tests/worker/test_instance_role.py."""
    entry = door.fixture("make_entry")(registry_type="aws-ecr-role")
    assert _report(door, code, entry.pk).status_code == 204
    event = AuditEvent.objects.get(action__in=LEFT_BY_ASKING)
    assert (event.action, event.code) == (codes.of(code).event, code)
    entry.refresh_from_db()
    assert (entry.status, entry.status_code) == ("failing", code)
    assert codes.of(code).page is Page.ENTRY
    page = door.fixture("look")(door.admin, f"/organizations/acme/registries/{entry.pk}/")
    assert whole(entry.status_detail) in page.text


# --- by field ---------------------------------------------------------------------------


def _body(door: Door, **changed: Any) -> dict[str, Any]:
    whole = {"type": "aws-ecr", "image_pattern": f"{HOST}/*", "configuration": KEY}
    return whole | {"owner": door.acme.pk} | changed


def _docker(username: str = "robot", password: str = CANARY, pattern: str = "r.example.com/*"):
    given = {"username": username, "password": password}
    return {"type": "docker", "image_pattern": pattern, "configuration": given}


def _role(name: str) -> dict[str, Any]:
    given = {"role_name": name, "region": "us-east-1"}
    return {"type": "aws-ecr-role", "configuration": given}


# What is sent instead to make an entry, and the field that the code comes by.
BY_FIELD: dict[str, tuple[dict[str, Any], str]] = {
    "bare_host": ({"image_pattern": HOST}, "image_pattern"),
    "scheme_in_pattern": ({"image_pattern": f"https://{HOST}/*"}, "image_pattern"),
    "tag_in_pattern": ({"image_pattern": f"{HOST}/x:v1"}, "image_pattern"),
    "lookalike_host": ({"image_pattern": f"{HOST}.evil.com/*"}, "image_pattern"),
    "region_mismatch": ({"configuration": KEY | {"region": "eu-west-1"}}, "region"),
    "partition_mismatch": ({"configuration": KEY | {"region": "cn-north-1"}}, "region"),
    "duplicate_pattern": ({"image_pattern": f"{HOST}/taken"}, "image_pattern"),
    "key_id_shape": ({"configuration": KEY | {"access_key_id": "x"}}, "access_key_id"),
    "temporary_key": (
        {"configuration": KEY | {"access_key_id": "ASIAIOSFODNN7EXAMPLE"}}, "access_key_id",
    ),
    "secret_shape": ({"configuration": KEY | {"secret_access_key": "x"}}, "secret_access_key"),
    "secret_required": ({"configuration": KEY | {"secret_access_key": ""}}, "secret_access_key"),
    "wildcard_host": (_docker(pattern="*.example.com/*"), "image_pattern"),
    "unknown_type": ({"type": "nonsense"}, "type"),
    "unknown_version": ({"configuration": KEY | {"version": "2"}}, "configuration"),
    "invalid_pattern": ({"image_pattern": "*/*"}, "image_pattern"),
    "ecr_host": (_docker(pattern=f"{HOST}/*"), "image_pattern"),
    "username_shape": (_docker(username="a:b"), "username"),
    "role_name_shape": (_role("a/role"), "role_name"),
    "patterns_disagree": ({"image_patterns": [f"{HOST}/other"]}, "image_pattern"),
    "unknown_field": ({"configuration": KEY | {"role_name": "x"}}, "configuration"),
    "required": ({"image_pattern": ""}, "image_pattern"),
    "invalid": ({"enabled": "perhaps"}, "enabled"),
    "control_character": ({"note": "\u0000"}, "note"),
    "too_long": ({"note": "x" * 501}, "note"),
    "too_many": (
        {"image_pattern": None, "image_patterns": [f"{HOST}/{n}" for n in range(101)]},
        "image_pattern",
    ),
}  # fmt: skip


@pytest.mark.parametrize("code", BY_FIELD)
def test_told_at_its_field(code: str, door: Door) -> None:
    door.fixture("make_entry")(f"{HOST}/taken")
    changed, field = BY_FIELD[code]
    response = door.alice.post(CREDENTIALS, _body(door, **changed))
    row = codes.of(code)
    assert row.page is Page.FIELD and response.status_code == row.status == 400
    told = response.json()
    assert code in [problem["code"] for problem in told.get(field, [])], told
    assert not AuditEvent.objects.filter(action="entry.updated").exists()


# --- from a service, a form or a file ------------------------------------------------------


def _again(door: Door) -> None:
    organizations.member_add(
        organization=door.acme, user=door.member, role="member", actor=door.actor
    )


def _last(door: Door) -> None:
    last = door.acme.memberships.get(role="admin")
    organizations.member_remove(membership=last, actor=door.actor)


def _organization(slug: str) -> Callable[[Door], None]:
    def create(door: Door) -> None:
        organizations.organization_create(
            name="Globex", slug=slug, admin=door.admin, actor=door.actor
        )

    return create


def _environment_in_use(door: Door) -> None:
    gpu = door.fixture("gpu")
    door.issue("bound", environment=gpu)
    organizations.environment_delete(environment=gpu, actor=door.actor)


def _nobody(door: Door) -> None:
    page: Any = admin.site._registry[Organization]
    form = SimpleNamespace(cleaned_data={"admin": "nobody@example.com"})
    asking = door.fixture("rf").post("/")
    asking.user = door.member
    page.write(asking, Organization(name="Globex", slug="globex"), form, False)


def _no_owner(door: Door) -> None:
    form = ProjectForm({"name": "one"})
    raise cast(ValidationError, form.errors.as_data()["__all__"][0])


def _upload(door: Door) -> None:
    form = UploadForm({}, {"file": SimpleUploadedFile("a.txt", b"x")})
    raise cast(ValidationError, form.errors.as_data()["file"][0])


def _table(content: str) -> Callable[[Door], None]:
    def read(door: Door) -> None:
        door.patch.setattr(rows, "MAX_BLANK_ROWS", 3)
        door.patch.setattr(tables, "MAX_BLANK_ROWS", 3)
        list(Rows(BytesIO(content.encode()), "csv"))

    return read


def _killed(door: Door) -> None:
    def killed(format: str, content: bytes) -> bytes:
        raise apart.TooMuch

    door.patch.setattr(apart, "_run", killed)
    list(apart.ReadRows(b"", "csv"))


RAISED: dict[str, Callable[[Door], None]] = {
    "not_sealed": lambda door: SealedField().to_python("plain"),
    "already_a_member": _again,
    "last_admin": _last,
    "duplicate_slug": _organization("acme"),
    "invalid_slug": _organization("Ac_me"),
    "environment_in_use": _environment_in_use,
    "unknown_person": _nobody,
    "one_owner": _no_owner,
    "unknown_format": _upload,
    "too_many_columns": _table("image_pattern,type" + ",note" * 200),
    "too_many_blank_rows": _table("image_pattern,type" + "\n," * 9 + "\na,b"),
    "too_much_work": _killed,
}


@pytest.mark.parametrize("code", RAISED)
def test_raised_by_a_service_a_form_or_a_file(code: str, door: Door) -> None:
    with pytest.raises((Refused, Failed, ValidationError, BrokenFile)) as raised:
        RAISED[code](door)
    error: Any = raised.value
    found = error.errors[0].code if isinstance(error, BrokenFile) else error.code
    assert found == code and codes.of(code).page is Page.FIELD


# --- in a test of its own -------------------------------------------------------------------

_VERIFYING = "services/verification/test_verifying.py"
_IMAGES = "services/verification/test_images.py"
_IMPORTING = "services/bulk/test_importing.py"
_FILES = "services/bulk/test_importing_files.py"
_SIGNING_IN = "services/tenancy/test_signing_in.py"
_TOKENS = "api/test_tokens.py"
_TROUBLE, _HELPER = "worker/test_server_trouble.py", "worker/test_docker_helper.py"
_ROLES = "worker/test_instance_role.py"
ELSEWHERE = {
    "login_refused": "web/test_every_error.py::test_the_registrys_step",
    "not_a_registry": "web/test_every_error.py::test_the_registrys_step",
    "redirected": "web/test_every_error.py::test_the_registrys_step",
    "hostile_realm": "web/test_every_error.py::test_the_registrys_step",
    "unsafe_address": "web/test_every_error.py::test_the_registrys_step",
    "image_denied": "registries/test_distribution.py::test_an_image_that_cant_be_read",
    "image_not_found": "registries/test_distribution.py::test_an_image_that_cant_be_read",
    "image_not_readable": f"{_VERIFYING}::test_a_registry_with_a_password",
    "listing_denied": "registries/test_aws_listing.py::test_no_policy_and_no_such_key",
    "entry_changed": f"{_VERIFYING}::test_a_change_meanwhile_is_not_written_over",
    "checked_on_workers": f"{_VERIFYING}::test_what_a_server_cannot_check_is_refused",
    "disabled": f"{_VERIFYING}::test_what_a_server_cannot_check_is_refused",
    "image_elsewhere": f"{_VERIFYING}::test_what_a_server_cannot_check_is_refused",
    "repository_shape": f"{_IMAGES}::test_what_is_not_the_entrys_isnt_asked_for",
    "too_many_wildcards": "services/entries/test_door.py::test_wildcards_at_one_place_are_limited",
    "owner_fixed": "api/test_credentials.py::test_an_entry_stays_with_its_owner",
    "not_text": f"{_FILES}::test_values_that_are_not_text",
    "ambiguous_entry": (
        f"{_IMPORTING}::test_which_of_several_disabled_entries_is_meant_cannot_be_told"
    ),
    "duplicate_row": f"{_IMPORTING}::test_duplicates_in_the_file",
    "needs_update": f"{_IMPORTING}::test_a_row_that_differs_needs_update_and_says_where",
    "not_a_boolean": f"{_IMPORTING}::test_a_row_tells_column_problem_and_fix",
    "field_of_other_type": f"{_IMPORTING}::test_a_row_tells_column_problem_and_fix",
    "duplicate_column": f"{_FILES}::test_tables_that_are_not",
    "unknown_column": f"{_FILES}::test_tables_that_are_not",
    "missing_column": f"{_FILES}::test_tables_that_are_not",
    "no_header": f"{_FILES}::test_tables_that_are_not",
    "wrong_encoding": f"{_FILES}::test_tables_that_are_not",
    "broken_quotes": f"{_FILES}::test_tables_that_are_not",
    "not_an_entry": f"{_FILES}::test_entries_that_are_not",
    "too_deep": f"{_FILES}::test_documents_that_are_not",
    "not_a_list": f"{_FILES}::test_documents_that_are_not",
    "unreadable_file": f"{_FILES}::test_documents_that_are_not",
    "yaml_alias": f"{_FILES}::test_documents_that_are_not",
    "yaml_tag": f"{_FILES}::test_documents_that_are_not",
    "too_many_cells": f"{_FILES}::test_a_row_with_too_many_cells_says_so_and_is_read_no_further",
    "invalid_yaml": "services/bulk/test_yaml_check.py::test_what_is_refused_and_at_which_line",
    "too_many_rows": f"{_IMPORTING}::test_more_rows_than_asked_for_are_refused",
    "too_many_places": f"{_IMPORTING}::test_patterns_count_once_for_each_environment",
    "too_many_errors": (
        f"{_IMPORTING}::test_after_very_many_errors_the_rest_is_not_looked_at"
    ),
    "changed_meanwhile": f"{_IMPORTING}::test_what_was_planned_is_what_is_done_or_nothing",
    "not_a_member": f"{_TOKENS}::test_scopes_that_are_not_theirs",
    "two_reaches": f"{_TOKENS}::test_scopes_that_are_not_theirs",
    "invalid_name": f"{_TOKENS}::test_what_is_refused",
    "invalid_expiry": f"{_TOKENS}::test_what_is_refused",
    "formula_error": "services/bulk/test_workbook.py::test_cells_that_have_no_text",
    "unsupported_source": f"{_ROLES}::test_other_sources_of_credentials_are_named",
    "botocore_missing": f"{_ROLES}::test_without_botocore",
    "server_unreachable": f"{_TROUBLE}::test_a_dead_server",
    "server_untrusted": f"{_TROUBLE}::test_a_private_authority_behind_a_proxy",
    "answer_refused": f"{_TROUBLE}::test_altered_answers_are_refused",
    "not_configured": f"{_HELPER}::test_what_is_missing_is_named",
    "not_implemented": f"{_HELPER}::test_store_validates_then_declines",
    "internal_error": "worker/test_program.py::test_an_unforeseen_error_is_told_in_a_line",
    "wrong_password": (
        f"{_SIGNING_IN}::test_the_eleventh_is_refused_even_with_the_right_password"
    ),
    "account_paused": (
        f"{_SIGNING_IN}::test_the_eleventh_is_refused_even_with_the_right_password"
    ),
    "address_paused": f"{_SIGNING_IN}::test_an_address_is_paused_for_every_account",
}  # fmt: skip


def _source(node_id: str) -> str:
    """A test's own lines, its parameters included; "" where there is no such test."""
    path, _, name = node_id.partition("::")
    text = (PROJECT_ROOT / "tests" / path).read_text()
    for node in ast.parse(text).body:
        if isinstance(node, ast.FunctionDef) and node.name == name:
            first = min([node.lineno, *(d.lineno for d in node.decorator_list)])
            return "\n".join(text.splitlines()[first - 1 : node.end_lineno])
    return ""


@pytest.mark.once
@pytest.mark.parametrize("code", ELSEWHERE)
def test_the_test_of_its_own_is_there(code: str) -> None:
    assert re.search(rf"[\"' ]{code}[\"' :]", _source(ELSEWHERE[code])), ELSEWHERE[code]


@pytest.mark.once
def test_every_code_has_its_case() -> None:
    cases = [*ANSWERED, *REPORTED, *BY_FIELD, *RAISED, *ELSEWHERE]
    assert sorted(cases) == sorted(codes.OURS)
    assert {c for c, row in codes.OURS.items() if row.answered and not row.field} - set(
        ELSEWHERE
    ) <= set(ANSWERED)
