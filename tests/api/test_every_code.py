"""Every code of the table, made to happen through a real door.

Each code has its case here or names the test that has it; a code without one fails.
"""

from __future__ import annotations

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
from django.test import Client
from django.utils import timezone
from django.utils.html import escape

from orgs.admin.organizations import ProjectForm
from orgs.api import limits
from orgs.forms.importing import UploadForm
from orgs.models import AuditEvent, Invitation, Organization, Project, WorkerToken
from orgs.registries import codes
from orgs.registries.codes import Page
from orgs.registries.private import whole
from orgs.registries.problems import Failed, Refused
from orgs.sealed import SealedField
from orgs.services.audit import events, repeats
from orgs.services.audit.events import Actor
from orgs.services.bulk.files import Rows, apart, rows, tables
from orgs.services.bulk.files.rows import BrokenFile
from orgs.services.logins import minting
from orgs.services.tenancy import attempts, invitations, organizations, tokens
from orgs.services.upstream import calls
from tests.conftest import CANARY, HOST, make_user
from tests.support.certificates import authority
from tests.web.conftest import look

from .cases_elsewhere import ELSEWHERE, source
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
    door.patch.setattr(limits, "buckets", limits.Buckets(rate=0.5, burst=0))
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

    def fail(found: Any) -> None:
        raise DatabaseError("disk full")

    door.patch.setattr(events, "insert", fail)
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


def _docker(
    username: str = "robot",
    password: str = CANARY,
    pattern: str = "r.example.com/*",
    **more: str,
):
    given = {"username": username, "password": password, **more}
    return {"type": "docker", "image_pattern": pattern, "configuration": given}


def _role(name: str) -> dict[str, Any]:
    given = {"role_name": name, "region": "us-east-1"}
    return {"type": "aws-ecr-role", "configuration": given}


ENDED = authority(days=(-9, -2))
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
    "not_a_registry_host": (_docker(pattern="hub.docker.com/r/me/train"), "image_pattern"),
    "wildcard_host": (_docker(pattern="*.example.com/*"), "image_pattern"),
    "unknown_type": ({"type": "nonsense"}, "type"),
    "unknown_version": ({"configuration": KEY | {"version": "2"}}, "configuration"),
    "invalid_pattern": ({"image_pattern": "*/*"}, "image_pattern"),
    "ecr_host": (_docker(pattern=f"{HOST}/*"), "image_pattern"),
    "username_shape": (_docker(username="a:b"), "username"),
    "role_name_shape": (_role("a/role"), "role_name"),
    "guid_shape": (
        {
            "type": "azure-acr",
            "image_pattern": "acmeml.azurecr.io/*",
            "configuration": {"tenant_id": "acme", "client_id": "x", "client_secret": "s" * 40},
        },
        "tenant_id",
    ),
    "authority_shape": (_docker(ca_certificate="MIIB"), "ca_certificate"),
    "authority_ended": (_docker(ca_certificate=ENDED), "ca_certificate"),
    "region_shape": ({"configuration": KEY | {"region": "us-east-1a"}}, "region"),
    "short_lived_password": (_docker("oauth2accesstoken"), "username"),
    "patterns_disagree": ({"image_patterns": [f"{HOST}/other"]}, "image_pattern"),
    "unknown_field": ({"configuration": KEY | {"role_name": "x"}}, "configuration"),
    "invalid_day": ({"secret_expires_on": "2027-02-30"}, "secret_expires_on"),
    "day_over": ({"secret_expires_on": "2020-01-01"}, "secret_expires_on"),
    "no_secret": (_role("Worker") | {"secret_expires_on": "2150-01-01"}, "secret_expires_on"),
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


def _invitation(door: Door) -> Invitation:
    by = events.Actor("alice", door.admin)
    (made,) = invitations.invite(
        organization=door.acme, emails=["new@example.com"], role="member", actor=by
    )
    return made


def _invited_twice(door: Door) -> None:
    _invitation(door)
    _invitation(door)


def _invited_another(door: Door) -> None:
    by = events.Actor("bob", door.member)
    invitations.accept(invitation=_invitation(door), actor=by)


def _withdrawn(door: Door) -> None:
    invitation = _invitation(door)
    invitations.invitation_withdraw(invitation=invitation, actor=door.actor)
    by = events.Actor("alice", door.admin)
    invitations.invitation_send_again(invitation=invitation, actor=by)


def _has_account(door: Door) -> None:
    invitation = _invitation(door)
    make_user("new@example.com", "New")
    invitations.accept_as_new(invitation=invitation, name="N", password="x" * 12, address=None)


def _unverified(door: Door) -> None:
    invitation = _invitation(door)
    invitations.accept_as_new(invitation=invitation, name="N", password="x" * 12, address=None)
    organizations.person("new@example.com")


def _removed(door: Door) -> None:
    by = events.Actor("alice", door.admin)
    door.admin.memberships.all().delete()
    organizations.organization_update(organization=door.acme, actor=by, name="x", slug="x")


def _raise_oneself(door: Door) -> None:
    helga = make_user("helga@example.com", "Helga", is_staff=True)
    by = Actor(helga.email, helga, staff=True)
    organizations.member_add(organization=door.acme, user=helga, role="admin", actor=by)


RAISED: dict[str, Callable[[Door], None]] = {
    "not_sealed": lambda door: SealedField().to_python("plain"),
    "already_a_member": _again,
    "already_invited": _invited_twice,
    "invited_another": _invited_another,
    "invitation_over": _withdrawn,
    "has_account": _has_account,
    "unverified_email": _unverified,
    "not_an_admin": _removed,
    "superusers_only": _raise_oneself,
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


# --- signing in -----------------------------------------------------------------------------

# How many wrong tries come before it, and whether each with an e-mail of its own.
SIGNING_IN = {
    "wrong_password": (0, False),
    "account_paused": (attempts.ACCOUNT.most, False),
    "address_paused": (attempts.ADDRESS.most, True),
}


@pytest.mark.parametrize("code", SIGNING_IN)
def test_told_where_people_sign_in(code: str, door: Door) -> None:
    tries, others = SIGNING_IN[code]
    client = Client()
    for n in range(tries + 1):
        typed = {"username": f"n{n}@example.com" if others else door.admin.email}
        answer = client.post("/accounts/login/", typed | {"password": "wrong"})
    row = codes.of(code)
    assert answer.status_code == row.status and ("Retry-After" in answer) == (row.status == 429)
    repeats.before_reading()
    assert AuditEvent.objects.filter(action=row.event, code=code).exists()
    assert row.page is Page.FIELD
    sentence = answer.context["form"].non_field_errors()
    assert len(sentence) == 1 and sentence.as_data()[0].code == code
    assert escape(sentence[0]) in answer.content.decode()


# --- in a test of its own ------------------------------------------------------------------


@pytest.mark.once
@pytest.mark.parametrize("code", ELSEWHERE)
def test_the_test_of_its_own_is_there(code: str) -> None:
    assert re.search(rf"[\"' ]{code}[\"' :]", source(ELSEWHERE[code])), ELSEWHERE[code]


@pytest.mark.once
def test_every_code_has_its_case() -> None:
    cases = [*ANSWERED, *REPORTED, *BY_FIELD, *RAISED, *SIGNING_IN, *ELSEWHERE]
    assert sorted(cases) == sorted(codes.OURS)
    assert {c for c, row in codes.OURS.items() if row.answered and not row.field} - set(
        ELSEWHERE
    ) <= set(ANSWERED)
