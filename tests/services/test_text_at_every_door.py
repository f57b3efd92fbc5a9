"""What can't be stored is refused with a sentence at its field, whichever face it comes by;
and a new column or field can't slip past: all come from the declarations."""

from __future__ import annotations

import io
import json
from datetime import timedelta

import pytest
from django.apps import apps
from django.db import models
from django.test import Client

from orgs import stored
from orgs.models import AuditEvent, RegistryEntry, WorkerToken
from orgs.registries.catalogue import TYPES
from orgs.registries.problems import Refused
from orgs.registries.text import has_control
from orgs.services.audit.events import Actor, record
from orgs.services.bulk import importing
from orgs.services.bulk.files import Rows
from orgs.services.entries import door
from orgs.services.entries.validating import EntrySpec
from orgs.services.tenancy import (
    invitations,
    notice_addresses,
    organizations,
    people,
    projects,
    tokens,
)
from tests.conftest import HOST
from tests.support.declared import valid

pytestmark = pytest.mark.django_db

BAD = ["a\0b", "a\ud800", "\udfffb", "a\x1b[31mb", "a\x9bb", "\x7f"]


def _well(kind) -> dict[str, str]:
    config, secrets = valid(kind)
    return config | secrets


def _named(it) -> str:
    return getattr(it, "slug", None) or it.name


FIELDS = [(kind, f) for kind in TYPES for f in kind.fields]
TEXTS = [
    (model, column.name)
    for model in apps.get_app_config("orgs").get_models()
    for column in model._meta.fields
    if isinstance(column, models.CharField) and column.name != "password"
]


# --- columns --------------------------------------------------------------------


def _names(acme, alice, project, gpu):
    """(model, column): what writes it, as people ask for it."""
    by = Actor("tests")
    org = {"organization": acme, "actor": by}
    return {
        ("Organization", "name"): lambda t: organizations.organization_create(
            name=t, slug="other", admin=alice, actor=by
        ),
        ("Organization", "slug"): lambda t: organizations.organization_update(
            name="x", slug=t, **org
        ),
        ("Project", "name"): lambda t: projects.project_create(name=t, **org),
        ("Environment", "name"): lambda t: organizations.environment_create(
            name=t, slug="other", **org
        ),
        ("Environment", "slug"): lambda t: organizations.environment_update(
            environment=gpu, name="x", slug=t, actor=by
        ),
        ("User", "name"): lambda t: people.person_create(email="x@y.org", name=t, actor=by),
        ("NoticeAddress", "kind"): lambda t: notice_addresses.address_set(
            kind=t, address="https://a.io/x", **org
        ),
        ("User", "time_zone"): lambda t: people.person_update(person=alice, actor=by, time_zone=t),
        ("User", "email"): lambda t: organizations.person(f'"{t}"@example.com'),
        ("WorkerToken", "name"): lambda t: tokens.token_issue_worker(name=t, **org),
        ("ApiToken", "name"): lambda t: tokens.token_issue_api(user=alice, name=t, actor=by),
        ("Invitation", "email"): lambda t: invitations.invite(
            organization=acme,
            emails=[f'"{t}"@example.com'],
            role="member",
            actor=Actor("alice", alice),
        ),
        ("RegistryEntry", "note"): lambda t: _create(acme, "docker", note=t),
    }


# Made of what was checked, out of closed sets, or of random letters.
MADE = {
    *(("Membership", "role"), ("Invitation", "role"), ("FormerSlug", "slug")),
    *(("RegistryEntry", "registry_type"), ("RegistryEntry", "status")),
    *(("IndexedPattern", name) for name in ("text", "normalized", "host", "prefix")),
    *(("Verification", "image"), ("CachedLogin", "scope"), ("ImportDraft", "format")),
    *((kind, name) for kind in ("WorkerToken", "ApiToken") for name in ("key_id", "digest")),
    *((kind, "key") for kind in ("Tally", "Repeat")),
    *(("Run", "kind"), ("Run", "state"), ("Run", "actor"), ("RunFile", "name")),
    *(("RunRow", "result"), ("RunRow", "code")),
    *(("NoticeAddress", name) for name in ("host", "ending")),
    *(("Issuer", "url"), ("SigningKey", "state"), ("SigningKey", "kid")),
}


def test_every_column_of_text_has_a_door_or_is_cut(acme, alice, project, gpu) -> None:
    doors = set(_names(acme, alice, project, gpu))
    cut = {
        (model.__name__, name)
        for model, name in TEXTS
        if getattr(model._meta.get_field(name), "cut", False)
    }
    every = {(model.__name__, name) for model, name in TEXTS}
    assert every == doors | MADE | cut and not doors & MADE


@pytest.mark.parametrize(("model", "name"), TEXTS, ids=lambda it: getattr(it, "__name__", it))
def test_every_column_is_of_the_kind_that_holds_it(model, name) -> None:
    assert isinstance(model._meta.get_field(name), stored._Storable)


def test_every_json_column_too() -> None:
    found = [
        column
        for model in apps.get_app_config("orgs").get_models()
        for column in model._meta.fields
        if isinstance(column, models.JSONField)
    ]
    assert len(found) == 7 and all(isinstance(column, stored.StoredJson) for column in found)


@pytest.mark.parametrize("bad", [*BAD, "x" * 501])
def test_names_and_notes(bad, acme, alice, project, gpu) -> None:
    for (model, name), write in _names(acme, alice, project, gpu).items():
        events = AuditEvent.objects.count()
        with pytest.raises(Refused) as refused:
            write(bad)
        problem = refused.value.problem
        assert problem.field == name, (model, name)
        assert problem.what and not has_control(str(problem)) and "\ud800" not in str(problem)
        assert AuditEvent.objects.count() == events


@pytest.mark.parametrize("good", ["名前", "\u202eevil", "👩‍🚀 é", "a" * 100])
def test_what_people_write_is_taken(good, acme, actor) -> None:
    made = projects.project_create(name=good, organization=acme, actor=actor)
    made.refresh_from_db()
    assert made.name == good


@pytest.mark.parametrize("bad", [*BAD, "x" * 5000])
def test_what_no_person_writes_is_made_storable(bad, acme) -> None:
    """An event of whatever is in it can be written, read, looked for, and is cut to size."""
    actor = Actor(bad)
    told = {bad: [bad, {"deep": bad}], "n": 1}
    texts = dict.fromkeys(("action", "subject", "code", "subject_id"), bad)
    made = record(actor=actor, organization=acme, properties=told, **texts)
    found = AuditEvent.objects.get(pk=made.pk)
    for column in AuditEvent._meta.fields:
        if isinstance(column, stored.StoredText):
            text = getattr(found, column.name)
            text.encode()
            assert len(text) <= column.max_length and "\0" not in text
    json.dumps(found.properties, ensure_ascii=False).encode()
    assert found.properties["n"] == 1
    assert AuditEvent.objects.filter(actor=bad).count() in {0, 1}


def test_a_lookup_by_what_cant_be_stored_finds_nothing(acme, make_entry) -> None:
    make_entry()
    for bad in BAD:
        assert not RegistryEntry.objects.filter(note=bad).exists()
        assert not WorkerToken.objects.filter(key_id=bad).exists()


# --- entries, by every face -------------------------------------------------------


def _create(acme, kind, patterns=("registry.example.com/*",), *, note="", **changed):
    registry_type = next(t for t in TYPES if t.slug == kind)
    given = _well(registry_type) | changed
    spec = EntrySpec(
        registry_type=kind,
        patterns=patterns,
        config={f.name: given[f.name] for f in registry_type.config_fields},
        secrets={f.name: given[f.name] for f in registry_type.secret_fields},
        note=note,
    )
    return door.entry_create(organization=acme, actor=Actor("tests"), spec=spec)


def _pattern(kind) -> str:
    return kind.example_pattern or f"{HOST}/*"


@pytest.fixture
def api(alice, actor):
    token = tokens.token_issue_api(
        user=alice, name="script", actor=actor, expires_in=timedelta(days=1)
    )[1]

    def send(method: str, path: str, body: object):
        return Client().generic(
            method,
            f"/api/v0/registry-credentials/{path}",
            json.dumps(body).encode("utf-8", "surrogatepass"),
            "application/json",
            headers={"Authorization": f"Token {token}"},
        )

    return send


@pytest.mark.parametrize(("kind", "field"), FIELDS, ids=_named)
@pytest.mark.parametrize("bad", [*BAD, "long", 5, ["x"]])
def test_by_the_api(kind, field, bad, acme, api) -> None:
    bad = "x" * (field.max_length + 1) if bad == "long" else bad
    well = _well(kind)
    body = {"type": kind.slug, "image_pattern": _pattern(kind), "configuration": well}
    answer = api("POST", "", body)
    assert answer.status_code == 201, answer.content
    address = f"{answer.json()['id']}/"
    spoiled = {**body, "configuration": {**well, field.name: bad}}
    for method, path in (("PUT", address), ("PATCH", address), ("POST", "")):
        told = api(method, path, spoiled)
        assert told.status_code == 400, told.content
        at = field.name if isinstance(bad, str) else "configuration"
        assert set(told.json()) == {at}
        assert all(problem["code"] and problem["message"] for problem in told.json()[at])
    assert (
        acme.entries.count() == 1 and AuditEvent.objects.filter(action="entry.updated").count() == 0
    )


@pytest.mark.parametrize("bad", [*BAD, "x" * 2000])
@pytest.mark.parametrize(
    "field", ["image_pattern", "note", "type", "environments", "image_patterns"]
)
def test_by_the_api_what_all_types_have(field, bad, acme, api) -> None:
    body = {
        "type": "docker",
        "image_pattern": "registry.example.com/*",
        "configuration": {"username": "u", "password": "p"},
    }
    body |= {field: [bad] if field.endswith("s") else bad}
    if field == "image_patterns":
        del body["image_pattern"]
    answer = api("POST", "", body)
    assert answer.status_code == 400 and acme.entries.count() == 0
    answer.content.decode()


# A box is ticked, whatever is sent for it.
TYPED = [(kind, field) for kind, field in FIELDS if not field.switch]


@pytest.mark.parametrize(("kind", "field"), TYPED, ids=_named)
@pytest.mark.parametrize("bad", ["a\0b", "a\x1b[31mb", "a\x9bb", "long"])
@pytest.mark.parametrize("face", ["web", "admin"])
def test_by_the_forms(face, kind, field, bad, acme, alice, staff) -> None:
    """Halves of surrogates don't arrive here: what isn't UTF-8 is read as “�”."""
    bad = "x" * (field.max_length + 1001) if bad == "long" else bad
    client = Client()
    client.force_login(alice if face == "web" else staff)
    address = "/organizations/acme/registries/new/"
    if face == "admin":
        address = f"/admin/orgs/registryentry/add/?organization={acme.pk}"
    well = _well(kind)
    data = {"patterns": _pattern(kind), "registry_type": kind.slug, "enabled": "on", **well}
    answer = client.post(address, data | {field.name: bad})
    assert answer.status_code == 200 and acme.entries.count() == 0
    assert set(answer.context["form"].errors) == {field.name}


@pytest.mark.parametrize(("kind", "field"), FIELDS, ids=_named)
@pytest.mark.parametrize("bad", [*BAD, "long"])
def test_by_an_import(kind, field, bad, acme, actor) -> None:
    bad = "x" * (field.max_length + 1) if bad == "long" else bad
    well = _well(kind)
    row = {"image_pattern": _pattern(kind), "type": kind.slug, **well, field.name: bad}
    file = io.BytesIO(json.dumps([row]).encode())
    report = importing.apply(organization=acme, actor=actor, rows=Rows(file, "json"))
    assert not report.written and {error.column for error in report.errors} == {field.name}
    str(report.errors[0]).encode()
