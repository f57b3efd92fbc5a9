"""Rows that older versions let in, or a hand in the database: shown, listed, exported,
dumped, verified, disabled and deleted without harm; and never another's end.

Written past the product, as SQL: half a surrogate pair in JSON (SQLite keeps it, PostgreSQL
refuses), control characters, a config that is no object or lacks its keys, an unknown type,
a pattern that no longer parses, a note that is too long, a secret that is none.
"""

from __future__ import annotations

import io
import json
from collections.abc import Callable

import pytest
import yaml
from django.core.management import call_command
from django.db import connection
from django.test import Client

from orgs import sealed
from orgs.models import AuditEvent, Environment, IndexedPattern, RegistryEntry, Verification
from orgs.registries.images import ImageReference
from orgs.registries.problems import Failed, Refused
from orgs.services.audit import log
from orgs.services.audit.events import COMMAND_LINE, event
from orgs.services.bulk import exporting, importing
from orgs.services.bulk.files import Rows
from orgs.services.entries import door
from orgs.services.logins import issuing, resolve
from orgs.services.upstream import calls
from orgs.services.verification import many, verifying
from tests.conftest import HOST

pytestmark = pytest.mark.django_db(transaction=True)

GOOD = f"{HOST}/good/*"
ON_SQLITE = connection.vendor == "sqlite"


def _sql(statement: str, *values: object) -> None:
    with connection.cursor() as cursor:
        cursor.execute(statement, values)


def _config(entry: RegistryEntry, text: str) -> None:
    key = entry.pk.hex if ON_SQLITE else str(entry.pk)
    cast = "%s" if ON_SQLITE else "%s::jsonb"
    _sql(f"UPDATE orgs_registryentry SET config = {cast} WHERE id = %s", text, key)


def _column(name: str, value: str) -> Callable[[RegistryEntry], None]:
    def write(entry: RegistryEntry) -> None:
        key = entry.pk.hex if ON_SQLITE else str(entry.pk)
        _sql(f"UPDATE orgs_registryentry SET {name} = %s WHERE id = %s", value, key)

    return write


def _pattern(text: str, normalized: str | None = None) -> Callable[[RegistryEntry], None]:
    def write(entry: RegistryEntry) -> None:
        rows = IndexedPattern.objects.filter(entry=entry)
        rows.update(text=text, **({"normalized": normalized} if normalized else {}))

    return write


def _sealed(text: str) -> Callable[[RegistryEntry], None]:
    def write(entry: RegistryEntry) -> None:
        value = sealed.seal(text, entry.sealed_for)
        RegistryEntry.objects.filter(pk=entry.pk).update(secrets=value)

    return write


def _verified(steps: object) -> Callable[[RegistryEntry], None]:
    def write(entry: RegistryEntry) -> None:
        Verification.objects.create(entry=entry, at="2024-01-01T00:00:00Z", image="\x1b?")
        text = json.dumps(steps)
        cast = "%s" if ON_SQLITE else "%s::jsonb"
        _sql(f"UPDATE orgs_verification SET steps = {cast}", text)

    return write


# Each writes one kind of brokenness into an entry that was well.
BROKEN: dict[str, Callable[[RegistryEntry], None]] = {
    "config is a list": lambda entry: _config(entry, "[1, 2]"),
    "config is a number": lambda entry: _config(entry, "5"),
    "config is null": lambda entry: _config(entry, "null"),
    "config is empty": lambda entry: _config(entry, "{}"),
    "config holds other things": lambda entry: _config(
        entry, '{"access_key_id": {"x": [1]}, "region": 5, "username": null, "other": "é"}'
    ),
    "unknown type": _column("registry_type", "gone-type"),
    "unknown status": _column("status", "odd"),
    "control characters in the note": _column("note", "a\x1b[31m\x07b\u202e"),
    "a pattern that is none": _pattern("not a pattern \x1b", "neither is this"),
    "a pattern's text alone": _pattern("https://x/y:tag"),
    "no pattern": lambda entry: IndexedPattern.objects.filter(entry=entry).delete() and None,
    "half a surrogate in the secret": _sealed('{"secret_access_key": "\\ud800abc"}'),
    "NUL in the secret": _sealed('{"secret_access_key": "a\\u0000b"}'),
    "a secret that is a list": _sealed("[1]"),
    "a secret that isn't JSON": _sealed("abc"),
    "a secret of another field": _sealed('{"password": "abc"}'),
    "a secret that is a number": _sealed('{"secret_access_key": 5}'),
    "steps of a former version": _verified(
        [{"name": "login"}, {"x": 1}, "login", None, {"name": "odd", "result": "ok"}]
    ),
    "steps that are no list": _verified({"a": 1}),
}
if ON_SQLITE:
    BROKEN |= {
        "half a surrogate in the config": lambda entry: _config(
            entry, '{"access_key_id": "\\ud800", "username": "\\udfff", "region": "us-east-1"}'
        ),
        "NUL in the config": lambda entry: _config(
            entry, '{"access_key_id": "a\\u0000b", "region": "us-east-1"}'
        ),
        "a note too long": _column("note", "é" * 3000),
        "NUL in the note": _column("note", "a\0b"),
    }


@pytest.fixture(params=BROKEN)
def broken(request, make_entry, gpu) -> RegistryEntry:
    entry = make_entry(f"{HOST}/bad/*", environments=[gpu])
    BROKEN[request.param](entry)
    _broken_events(entry)
    if ON_SQLITE:
        Environment.objects.filter(pk=gpu.pk).update(name="a\x1b[31mb")
    return RegistryEntry.objects.get(pk=entry.pk)


def _broken_events(entry: RegistryEntry) -> None:
    """Events of the entry whose properties are none of ours."""
    odd = [
        '{"changes": {"note": ["a"], "type": [{"x": 1}, null], "patterns": [[1], [{}]], "n": 5}}',
        '{"changes": [1, 2], "reason": {"a": 1}, "environment": [1]}',
        "[1, 2]",
        "5",
        '{"changes": {"configuration": [{"a": [1]}, {"a": {"b": 1}}], "environments": ["x", 5]}}',
    ]
    if ON_SQLITE:
        odd.append('{"changes": {"note": ["\\ud800", "\\udfff\\u0000"]}, "\\ud800": "\\udc80"}')
    cast = "%s" if ON_SQLITE else "%s::jsonb"
    for action in ("entry.updated", "login.refused", "login.issued"):
        for text in odd:
            made = event(
                actor=COMMAND_LINE,
                action=action,
                organization=entry.organization,
                subject_id=entry.pk,
                subject="\x1b[31m?",
                code="odd code",
            )
            made.save(force_insert=True)
            # The trigger of PostgreSQL refuses UPDATEs: of these one can be sure.
            if ON_SQLITE:
                _sql(f"UPDATE orgs_auditevent SET properties = {cast} WHERE id = %s", text, made.pk)


@pytest.fixture
def pages(broken, alice, staff, acme) -> list[tuple[Client, str]]:
    """Every page that shows the entry, or a list that it stands in."""
    found = []
    own, below = "/organizations/acme/", f"registries/{broken.pk}/"
    for path in (
        *("", "registries/", "registries/?q=x&status=failing&sort=pattern", "registries/new/"),
        *("registries/check/", f"registries/check/?image={HOST}/bad/x", "environments/", "audit/"),
        *("audit/export.csv", "workers/setup/", f"registries/new/?copy={broken.pk}"),
        *(f"registries/export/?format={kind}" for kind in exporting.WRITERS),
        *(below, f"{below}edit/", f"{below}edit/?replace", f"{below}delete/", f"{below}images/"),
    ):
        found.append((alice, own + path))
    for path in (
        *(
            "registryentry/",
            f"registryentry/{broken.pk}/change/",
            f"registryentry/{broken.pk}/delete/",
        ),
        *(f"registryentry/{broken.pk}/history/", "auditevent/", "environment/", "organization/"),
        *(f"organization/{acme.pk}/change/", f"registryentry/?q=x&organization={acme.pk}"),
        f"auditevent/{AuditEvent.objects.last().pk}/change/",
    ):
        found.append((staff, f"/admin/orgs/{path}"))
    return found


def test_pages_show_it(pages) -> None:
    clients = {who: Client() for who, _ in pages}
    for who, client in clients.items():
        client.force_login(who)
    for who, address in pages:
        answer = clients[who].get(address, follow=True)
        assert answer.status_code == 200, address
        content = b"".join(answer.streaming_content) if answer.streaming else answer.content
        content.decode()


def test_the_api_answers_it(broken, alice, actor, make_entry) -> None:
    from orgs.services.tenancy import tokens

    make_entry(GOOD)
    token = tokens.token_issue_api(user=alice, name="script", actor=actor)[1]
    headers = {"Authorization": f"Token {token}"}
    for path in ("", f"{broken.pk}/"):
        answer = Client().get(f"/api/v0/registry-credentials/{path}", headers=headers)
        assert answer.status_code == 200
    address = f"/api/v0/registry-credentials/{broken.pk}/"
    assert Client().delete(address, headers=headers).status_code == 204


def test_exports_hold_it_and_the_others(broken, make_entry, acme) -> None:
    make_entry(GOOD)
    for format in exporting.WRITERS:
        text = "".join(exporting.export(exporting.entries_of(acme), format))
        text.encode()
        assert GOOD in text
    told = json.loads("".join(exporting.export(exporting.entries_of(acme), "json")))
    assert len(told) == 2
    assert yaml.safe_load("".join(exporting.export(exporting.entries_of(acme), "yaml"))) == told


def test_an_export_can_be_looked_at_by_import(broken, acme) -> None:
    text = "".join(exporting.export(exporting.entries_of(acme), "json"))
    file = io.BytesIO(text.encode())
    report = importing.plan(organization=acme, rows=Rows(file, "json"), update=True)
    assert report.rows == 1


def test_the_audit_log_is_exported(broken, acme) -> None:
    lines = list(log.export(log.events_of(acme, log.Filters())))
    "".join(lines).encode()
    assert len(lines) == 1 + AuditEvent.objects.count()


def test_everything_is_dumped(broken) -> None:
    out = io.StringIO()
    call_command("dumpdata", "orgs", stdout=out)
    out.getvalue().encode()
    assert any(row["pk"] == str(broken.pk) for row in json.loads(out.getvalue()))


def test_it_is_refused_as_a_login_and_stops_no_other(
    broken, make_entry, aws, project, gpu, actor
) -> None:
    key_id, secret = aws.create_user("valohai", aws.policy())
    make_entry(GOOD, config={"access_key_id": key_id}, secrets={"secret_access_key": secret})
    good = ImageReference.parse(f"{HOST}/good/x:v1")
    assert issuing.login_for(project=project, image=good, actor=actor, environment=gpu)
    bad = ImageReference.parse(f"{HOST}/bad/x:v1")
    resolve.explain(project.organization, bad, gpu)
    try:
        issuing.login_for(project=project, image=bad, actor=actor, environment=gpu)
    except Failed as error:
        assert error.code in {"entry_unusable", "no_match", "invalid_key"}
        error.detail.encode()


@pytest.fixture
def no_pauses(monkeypatch) -> None:
    """New keys that AWS doesn't know yet aren't tried again."""
    monkeypatch.setattr(calls, "PAUSES", {})


def test_a_run_over_all_goes_on(broken, make_entry, aws, ecr, no_pauses) -> None:
    """Its own result is told, those of the others as well, and nothing is raised."""
    key_id, secret = aws.create_user("valohai", aws.policy())
    make_entry(GOOD, config={"access_key_id": key_id}, secrets={"secret_access_key": secret})
    out = io.StringIO()
    with pytest.raises(SystemExit):  # also one that is well has a key that AWS doesn't know
        call_command("check_registries", "--json", stdout=out)
    told = {entry["image_pattern"]: entry for entry in json.loads(out.getvalue())["entries"]}
    assert told[GOOD]["result"] == "ok" and len(told) == 2


def test_it_can_be_verified_disabled_and_deleted(broken, alice, actor, aws, no_pauses) -> None:
    client = Client()
    client.force_login(alice)
    below = f"/organizations/acme/registries/{broken.pk}"
    assert client.post(f"{below}/verify/", {"image": ""}).status_code in {200, 302}
    assert client.post(f"{below}/disable/").status_code == 302
    broken.refresh_from_db()
    assert not broken.enabled
    assert client.post(f"{below}/enable/").status_code == 302
    door.entry_set_enabled(entry=broken, actor=actor, enabled=False)
    assert client.post(f"{below}/delete/").status_code == 302
    assert not RegistryEntry.objects.filter(pk=broken.pk).exists()


def test_a_crash_is_one_entrys(make_entry, acme, monkeypatch, caplog) -> None:
    """Whatever it is that nobody thought of: told of that entry, and the run goes on."""
    first, second = make_entry(), make_entry(GOOD)

    def crash(entry, *args, **kwargs):
        if entry.pk == first.pk:
            raise RuntimeError("what it was working on")
        return verifying.Report([])

    monkeypatch.setattr(verifying, "_claim", crash)
    found = dict(many.verify_in_turn([first, second], COMMAND_LINE))
    assert found[first].code == "server_error"
    assert "what it was working on" not in caplog.text and str(first.pk) in caplog.text
    document = exporting._document

    def untellable(entry):
        if entry.pk == first.pk:
            raise RuntimeError("what it was working on")
        return document(entry)

    monkeypatch.setattr(exporting, "_document", untellable)
    for format in exporting.WRITERS:
        text = " ".join("".join(exporting.export(exporting.entries_of(acme), format)).split())
        assert GOOD in text and str(first.pk) in text and "Not exported" in text
    assert second.pk


def test_help_beside_it_goes_on(broken, alice) -> None:
    """Another entry that is written on the same host."""
    client = Client()
    client.force_login(alice)
    data = {"patterns": f"{HOST}/*", "registry_type": "aws-ecr"}
    assert client.post("/organizations/acme/registries/help/", data).status_code == 200


def test_an_image_longer_than_is_kept(make_entry, alice) -> None:
    """Host, path, tag and digest may each be as long as they can, and all together not."""
    host = ".".join(["h" * 50] * 4) + ".example"
    entry = make_entry(
        f"{host}/*", registry_type="docker", config={"username": "u"}, secrets={"password": "p"}
    )
    for parts, fits in ((100, True), (120, False)):
        text = f"{host}/{'p/' * parts}p:{'t' * 128}@sha512:{'a' * 128}"
        try:
            image = verifying.image_to_check(entry, text)
        except Refused as refused:
            assert not fits
            assert (refused.code, refused.problem.field) == ("too_long", "image")
        else:
            assert fits and len(str(image)) <= 700
