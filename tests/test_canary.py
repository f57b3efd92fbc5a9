"""A canary planted in every secret appears nowhere: not on a page, in a log, a
report of an error, a dump, a repr, or the bytes of the database."""

from __future__ import annotations

import base64
import logging
import pickle
import subprocess
from pathlib import Path

import pytest
from django.core.management import call_command
from django.db import connection
from django.test import Client, override_settings
from django.urls import reverse

from orgs.models import AuditEvent, CachedLogin, RegistryEntry, Verification
from orgs.registries.images import ImageReference
from orgs.registries.problems import Failed
from orgs.registries.types import DockerLogin
from orgs.services.audit.events import Actor
from orgs.services.bulk.files import apart
from orgs.services.entries import door
from orgs.services.entries.validating import EntrySpec, validate
from orgs.services.logins import issuing
from orgs.services.tenancy import mails
from orgs.services.upstream import calls
from tests.conftest import CANARY, HOST
from tests.support.internet import HOST as REGISTRY
from tests.support.internet import reply

pytestmark = pytest.mark.django_db(transaction=True)

IMAGE = f"{HOST}/my-ml-image:v1.0"


@pytest.fixture(autouse=True)
def nothing_in_the_logs(caplog):
    caplog.set_level(logging.DEBUG)
    yield
    assert CANARY not in caplog.text


def form(**changes):
    return {
        "patterns": f"{HOST}/*",
        "registry_type": "aws-ecr",
        "access_key_id": "AKIAIOSFODNN7EXAMPLE",
        "secret_access_key": CANARY,
        "region": "",
        "enabled": "on",
        "note": "",
    } | changes


def test_no_page_shows_it(client, alice, bob, staff, make_entry, acme):
    entry = make_entry()
    for user in (alice, bob, staff):
        client.force_login(user)
        for name, kwargs in (
            ("home", {}),
            ("organization", {"slug": "acme"}),
            ("registries", {"slug": "acme"}),
            ("entry", {"slug": "acme", "entry_id": entry.pk}),
            ("entry_edit", {"slug": "acme", "entry_id": entry.pk}),
            ("entry_delete", {"slug": "acme", "entry_id": entry.pk}),
            ("entry_new", {"slug": "acme"}),
        ):
            for query in ("", "?replace=1", f"?q={CANARY[:8]}"):
                body = client.get(reverse(name, kwargs=kwargs) + query).content
                assert CANARY.encode() not in body
                assert CANARY[9:].encode() not in body


@pytest.mark.parametrize(
    "changes",
    [
        {"patterns": HOST},
        {"patterns": CANARY},
        {"access_key_id": CANARY},
        {"show_fields": "1"},
        {"registry_type": CANARY},
        {"region": CANARY},
        {"registry_type": "aws-ecr-role", "role_name": "x/y"},
    ],
)
def test_a_refused_form_does_not_give_it_back(client, alice, acme, changes):
    client.force_login(alice)
    response = client.post(reverse("entry_new", args=["acme"]), form(**changes))
    assert response.status_code == 200
    body = response.content.decode()
    # What was typed into another field stays there; the secret's own field is empty.
    if CANARY not in changes.values():
        assert CANARY not in body
    assert 'name="secret_access_key" value' not in body
    assert not RegistryEntry.objects.exists()


def test_a_saved_form_leaves_it_in_no_session_or_event(client, alice, acme):
    client.force_login(alice)
    client.post(reverse("entry_new", args=["acme"]), form())
    assert door.revealed(RegistryEntry.objects.get()) == {"secret_access_key": CANARY}
    assert CANARY not in str(list(AuditEvent.objects.values()))
    assert CANARY not in str(dict(client.session))


@pytest.mark.parametrize("debug", [True, False])
def test_an_error_page_does_not_show_it(alice, acme, monkeypatch, debug, mailoutbox):
    """A crash with the secret in the form, in local variables and in the message's reach."""

    def crash(*, organization, actor, spec):
        secret_access_key = spec.secrets["secret_access_key"]
        raise RuntimeError(f"crashed with {len(secret_access_key)} characters")

    monkeypatch.setattr(door, "entry_create", crash)
    client = Client(raise_request_exception=False)
    client.force_login(alice)
    with override_settings(DEBUG=debug, ADMINS=[("ops", "ops@example.com")]):
        response = client.post(reverse("entry_new", args=["acme"]), form())
    assert response.status_code == 500
    assert CANARY not in response.content.decode()
    assert ("RuntimeError" in response.content.decode()) is debug
    assert all(CANARY not in mail.body for mail in mailoutbox)


def test_logins_and_failures_do_not_tell_it(aws, make_entry, project, capsys):
    entry = make_entry()
    actor = Actor("tests")
    with pytest.raises(Failed) as refused:
        issuing.login_for(project=project, image=ImageReference.parse(IMAGE), actor=actor)
    assert CANARY not in repr(refused.value)
    entry.refresh_from_db()
    assert CANARY not in entry.status_detail
    for name in ("login", "json", "docker-config", "containers-auth", "helper", "k8s-secret"):
        with pytest.raises(SystemExit):
            call_command("docker_login", IMAGE, project=str(project.pk), format=name)
    told = capsys.readouterr()
    assert CANARY not in told.out + told.err


def test_verifying_and_looking_at_images_do_not_tell_it(
    client, aws, internet, alice, bob, make_entry, mailoutbox, monkeypatch, capsys
):
    """Wrong at AWS, and turned down by a registry that gives back all it was sent."""
    monkeypatch.setattr(calls, "PAUSES", {})
    key_id, _ = aws.create_user("valohai", aws.policy())
    sent = []

    def echo(request):
        sent.append(request.authorization)
        return reply(401, str(request.headers).encode(), www_authenticate='Basic realm="r"')

    internet.serve(echo)
    found = [
        make_entry(config={"access_key_id": key_id}),
        make_entry(
            f"{REGISTRY}/*",
            registry_type="docker",
            config={"username": "robot"},
            secrets={"password": CANARY},
        ),
    ]
    with pytest.raises(SystemExit):
        call_command("check_registries")
    for entry in found:
        for user in (alice, bob):
            client.force_login(user)
            at = {"slug": "acme", "entry_id": entry.pk}
            client.post(reverse("entry_verify", kwargs=at))
            for name in ("entry", "entry_images"):
                assert CANARY not in client.get(reverse(name, kwargs=at)).content.decode()
        entry.refresh_from_db()
        assert entry.status == "failing" and CANARY not in entry.status_detail
    mails.drain()
    assert len(mailoutbox) == 1 and all(CANARY not in mail.body for mail in mailoutbox)
    encoded = base64.b64encode(f"robot:{CANARY}".encode()).decode()
    assert f"Basic {encoded}" in sent
    told = capsys.readouterr()
    for planted in (CANARY, encoded):
        assert planted not in told.out + told.err
        assert planted not in str(list(Verification.objects.values()))
        assert planted not in str(list(AuditEvent.objects.values()))


def test_reprs_hide_logins_drafts_and_entries(make_entry):
    entry = make_entry()
    spec = EntrySpec("aws-ecr", [f"{HOST}/*"], {}, {"secret_access_key": CANARY})
    valid = validate(
        EntrySpec(
            "aws-ecr",
            [f"{HOST}/*"],
            {"access_key_id": "AKIAIOSFODNN7EXAMPLE"},
            {"secret_access_key": CANARY},
        )
    )
    login = DockerLogin("AWS", CANARY, None)
    for value in (entry, entry.secrets, spec, valid, login, vars(entry)):
        assert CANARY not in repr(value)
        assert CANARY not in f"{value}"
    assert CANARY.encode() not in pickle.dumps(entry)


def test_the_database_holds_it_nowhere(aws, make_entry, project, tmp_path):
    key_id, secret = aws.create_user("valohai", aws.policy())
    make_entry(config={"access_key_id": key_id}, secrets={"secret_access_key": secret})
    make_entry(f"{HOST}/canary/*")
    answer = issuing.login_for(
        project=project, image=ImageReference.parse(IMAGE), actor=Actor("tests")
    )
    assert CachedLogin.objects.get().login is not None
    call_command("dumpdata", output=str(tmp_path / "dump.json"), verbosity=0)
    found = (tmp_path / "dump.json").read_bytes() + database_bytes()
    assert b"first-project" in found
    for planted in (CANARY, secret, answer.login.password):
        assert planted.encode() not in found


def database_bytes() -> bytes:
    """The files on SQLite; every table as text on PostgreSQL."""
    if connection.vendor == "sqlite":
        path = Path(connection.settings_dict["NAME"])
        files = [str(file) for file in path.parent.glob(f"{path.name}*")]
        # Not read here: closing a file drops SQLite's locks on it in the whole process.
        return subprocess.run(["cat", *files], capture_output=True, check=True).stdout
    found = b""
    with connection.cursor() as cursor:
        for table in connection.introspection.table_names(cursor):
            cursor.execute(f'SELECT t::text FROM "{table}" t')
            found += b"\n".join(row[0].encode() for row in cursor.fetchall())
            cursor.execute(
                "SELECT column_name FROM information_schema.columns "
                "WHERE table_name = %s AND data_type = 'bytea'",
                [table],
            )
            for (column,) in cursor.fetchall():
                cursor.execute(f'SELECT "{column}" FROM "{table}"')
                found += b"".join(bytes(row[0]) for row in cursor.fetchall() if row[0])
    return found


@pytest.mark.once
def test_the_child_processes_get_it_in_no_argument(monkeypatch):
    """One place in the product starts a process, to read a file: all of that goes in by its
    standard input."""
    found = subprocess.run(
        ["grep", "-rlE", r"subprocess|os\.system|popen", "orgs", "valohai_registries"],
        capture_output=True,
        text=True,
        check=False,
    )
    started = "orgs/services/bulk/files/apart.py"
    assert [name for name in found.stdout.split() if name.endswith(".py")] == [started]
    calls = []

    def run(*arguments, **rest):
        calls.append((arguments, {name: rest[name] for name in rest if name != "input"}))
        return subprocess.CompletedProcess([], 0, b"[null, []]\n")

    monkeypatch.setattr("orgs.services.bulk.files.apart.subprocess.run", run)
    list(apart.ReadRows(CANARY.encode(), "csv"))
    assert CANARY not in repr(calls) and calls[0][1]["env"] == {}
