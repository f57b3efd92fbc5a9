"""Azure Container Registry through every door: forms, admin, API, files, logins, cache.

The secret comes out nowhere: a canary is part of it.
"""

from __future__ import annotations

import csv
import json
import logging
import shlex
import subprocess
from datetime import UTC, date, datetime, timedelta

import pytest
from django.core.management import call_command
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.urls import reverse

from orgs import sealed
from orgs.api import limits
from orgs.models import AuditEvent, CachedLogin, RegistryEntry
from orgs.registries.azure_acr import AzureRegistry
from orgs.registries.azure_type import USERNAME
from orgs.registries.images import ImageReference
from orgs.registries.patterns import MatchPattern
from orgs.registries.problems import Failed
from orgs.services.audit.events import Actor
from orgs.services.entries.validating import secrets_of
from orgs.services.logins import issuing, minting, renewing
from orgs.services.tenancy import mails, tokens
from tests.api.conftest import LOGIN, Api
from tests.conftest import CANARY
from tests.test_canary import database_bytes
from tests.web.conftest import NEW, Page, look, send, url

__all__ = ["look", "send"]
pytestmark = [pytest.mark.once, pytest.mark.django_db(transaction=True)]

HOST, OTHER = "acmeml.azurecr.io", "othername.azurecr.io"
PATTERN, IMAGE = f"{HOST}/team/*", f"{HOST}/team/train:v1"
PATH = "/api/v0/registry-credentials/"


@pytest.fixture
def application(azure) -> dict[str, str]:
    tenant, client, _ = azure.create_application()
    for host in (HOST, OTHER):
        azure.create_registry(host, tenant, client)
    secret = azure.create_secret(client, canary=CANARY[:30].replace("/", "_"))
    return {"tenant_id": tenant, "client_id": client, "client_secret": secret}


@pytest.fixture(autouse=True)
def nothing_comes_out(application, caplog, capsys, monkeypatch):
    caplog.set_level(logging.DEBUG)
    monkeypatch.setattr(limits, "buckets", limits.Buckets())
    yield
    mails.drain()
    told = capsys.readouterr()
    seen = caplog.text + told.out + told.err + str(list(AuditEvent.objects.values()))
    secret = application["client_secret"]
    assert secret not in seen and secret.encode() not in database_bytes()


@pytest.fixture
def typed(application) -> dict[str, str]:
    own = {"patterns": PATTERN, "registry_type": "azure-acr", "enabled": "on", "note": ""}
    return own | application


@pytest.fixture
def entry(make_entry, application) -> RegistryEntry:
    config = {n: application[n] for n in ("tenant_id", "client_id")}
    secrets = {"client_secret": application["client_secret"]}
    return make_entry(
        [PATTERN, f"{OTHER}/*"], registry_type="azure-acr", config=config, secrets=secrets
    )


def is_whole(entry: RegistryEntry, application: dict[str, str]) -> bool:
    entry.refresh_from_db()
    return {**entry.config, **secrets_of(entry)} == application


# --- forms, admin ---------------------------------------------------------------------------


def test_the_form(send, look, alice, bob, acme, typed, application) -> None:
    page = look(alice, NEW, type="azure-acr")
    # When it ends is asked for openly.
    assert "secret_expires_on" in page.fields and "Secret expires on" not in page.texts["summary"]
    wrong = send(alice, NEW, typed | {"tenant_id": "acme.onmicrosoft.com"})
    assert wrong.wrong == {"tenant_id"} and "a domain of the tenant" in wrong.error("tenant_id")
    assert application["client_secret"] not in wrong.html
    wrong = send(alice, NEW, typed | {"client_secret": application["client_id"]})
    assert "not its value" in wrong.error("client_secret")
    wrong = send(alice, NEW, typed | {"patterns": f"{HOST}.evil.com/team/*"})
    assert wrong.wrong == {"patterns"} and f"Write {PATTERN}" in wrong.text
    day = date.today() + timedelta(days=300)
    send(alice, NEW, typed | {"secret_expires_on": day.isoformat()})
    made = acme.entries.get()
    assert is_whole(made, application) and made.secret_expires_on == day
    page = look(alice, url("entry", made))
    for shown in ("Azure Container Registry", application["tenant_id"], application["client_id"]):
        assert shown in page.text
    assert f"--assignee {application['client_id']}" in page.html
    members = look(bob, url("entry", made))
    assert application["client_id"] not in members.html and "Azure" in members.text


def test_edit(look, send, alice, entry, typed, application, azure) -> None:
    edit = url("entry_edit", entry)
    kept = {n: v for n, v in typed.items() if n != "client_secret"}
    send(alice, edit, kept | {"note": "kept", "patterns": f"{PATTERN}\n{OTHER}/*"})
    assert is_whole(entry, application) and entry.note == "kept" and entry.credentials_version == 1
    # A third registry of the tenant's needs no secret anew; another tenant or cloud does.
    more = f"{PATTERN}\n{OTHER}/*\nthirdone.azurecr.io/*"
    send(alice, edit, kept | {"patterns": more})
    assert is_whole(entry, application)
    for change in (
        {"tenant_id": "66666666-7777-8888-9999-000000000000"},
        {"client_id": "11111111-2222-3333-4444-555555555555"},
        {"patterns": "acmeml.azurecr.us/*"},
    ):
        page = send(alice, edit, kept | change)
        assert "client_secret" in page.wrong, change
    # A new secret is tried before it takes the old one's place.
    broken = {"client_secret": "abc8Q~" + "x" * 34}
    page = send(alice, edit, kept | broken)
    assert "The new key failed, so the old one stays in use." in page.error("client_secret")
    new = azure.create_secret(application["client_id"])
    send(alice, edit, kept | {"client_secret": new})
    entry.refresh_from_db()
    assert secrets_of(entry) == {"client_secret": new}
    assert (
        "Client secret" not in look(alice, url("entry", entry)).text
        or new not in look(alice, url("entry", entry)).html
    )


def test_the_admin(client, staff, acme, typed, application) -> None:
    client.force_login(staff)
    add = f"{reverse('admin:orgs_registryentry_add')}?organization={acme.pk}"
    assert "Client secret" in Page(client.get(f"{add}&type=azure-acr")).text
    page = Page(client.post(add, typed | {"client_id": application["tenant_id"]}))
    assert "The same stands under Tenant ID" in page.error("client_id")
    client.post(add, typed)
    assert is_whole(acme.entries.get(), application)
    listed = reverse("admin:orgs_registryentry_changelist")
    assert PATTERN in Page(client.get(f"{listed}?q={application['client_id']}")).text


def test_help_while_typing(send, alice) -> None:
    asked = {"registry_type": "azure-acr", "patterns": "acmeml.azurecr.us/*"}
    page = send(alice, f"{NEW[:-4]}help/", asked)
    assert "az acr show" in page.html and "az cloud set --name AzureUSGovernment" in page.html
    page = send(alice, f"{NEW[:-4]}help/", asked | {"patterns": "acmeml.azure-cr.io/*"})
    assert "Write acmeml.azurecr.io/*" in page.html


# --- API, files ------------------------------------------------------------------------------


def test_the_api(alice, actor, acme, application) -> None:
    api = Api(tokens.token_issue_api(user=alice, name="s", actor=actor)[1])
    body = {"type": "azure-acr", "image_pattern": PATTERN, "configuration": application}
    made = api.post(PATH, body)
    assert made.status_code == 201, made.content
    told = {n: application[n] for n in ("tenant_id", "client_id")}
    assert made.json()["configuration"] == {"version": "1", **told}
    one = f"{PATH}{made.json()['id']}/"
    for again in (body, made.json()):
        assert api.send("PUT", one, again).status_code == 200
    assert is_whole(acme.entries.get(), application)
    assert acme.entries.get().credentials_version == 1
    for name, wrong, code in (
        ("tenant_id", "common", "guid_shape"),
        ("client_id", "valohai-pull", "guid_shape"),
        ("client_secret", told["client_id"], "secret_shape"),
    ):
        given = body | {"image_pattern": f"{OTHER}/*", "configuration": application | {name: wrong}}
        refused = api.post(PATH, given)
        assert [p["code"] for p in refused.json()[name]] == [code]
    refused = api.send("PATCH", one, {"configuration": {"client_id": told["tenant_id"]}})
    assert refused.status_code == 400


@pytest.mark.parametrize("format", ["csv", "json", "yaml"])
def test_import_export_and_back(format, acme, application, tmp_path) -> None:
    given, written = tmp_path / "in.csv", tmp_path / f"out.{format}"
    row = {"image_pattern": PATTERN, "type": "azure-acr", **application}
    row["secret_expires_on"] = "2030-01-31"
    with given.open("w") as file:
        writer = csv.DictWriter(file, row)
        writer.writeheader()
        writer.writerow(row)
    call_command("import_registries", str(given), organization="acme")
    made = acme.entries.get()
    assert is_whole(made, application) and made.secret_expires_on == date(2030, 1, 31)
    call_command("export_registries", organization="acme", format=format, output=str(written))
    assert application["client_secret"] not in written.read_text()
    call_command("import_registries", str(written), organization="acme", update=True)
    assert is_whole(made, application) and made.credentials_version == 1
    given.unlink()  # what tests leave is looked at, too


# --- logins ----------------------------------------------------------------------------------


def ask(project, image: str = IMAGE):
    return issuing.login_for(
        project=project, image=ImageReference.parse(image), actor=Actor("worker")
    ).login


def test_each_registrys_login_is_cached_and_renewed(azure, acme, actor, project, entry) -> None:
    worker = Api(tokens.token_issue_worker(organization=acme, name="w", actor=actor)[1])
    passwords = set()
    for image in (IMAGE, f"{OTHER}/x", f"{HOST}:443/team/train", IMAGE):
        answer = worker.post(LOGIN, {"project": str(project.pk), "image": image})
        assert answer.status_code == 200, answer.content
        assert answer.json()["username"] == USERNAME
        assert answer.json()["server"] == image.partition("/")[0]
        passwords.add(answer.json()["password"])
    assert passwords == azure.logins and len(passwords) == 2
    assert {row.scope for row in CachedLogin.objects.all()} == {HOST, OTHER}
    left = CachedLogin.objects.get(scope=HOST).refresh_after - datetime.now(UTC)
    assert timedelta(minutes=80) < left <= timedelta(minutes=91)
    # Ahead of need, each for its own registry.
    CachedLogin.objects.update(refresh_after=datetime.now(UTC) - timedelta(seconds=1))
    assert renewing.renew_due().done == 2 and len(azure.logins) == 4
    assert {c.whom for c in azure.calls if c.what == "exchange"} == {HOST, OTHER}


def test_a_cached_login_of_either_registry_is_one_read_and_one_write(
    azure, acme, actor, project, entry
) -> None:
    worker = Api(tokens.token_issue_worker(organization=acme, name="w", actor=actor)[1])
    for image in (IMAGE, f"{OTHER}/x"):
        asked = {"project": str(project.pk), "image": image}
        first = worker.post(LOGIN, asked).json()
        with CaptureQueriesContext(connection) as captured:
            again = worker.post(LOGIN, asked).json()
        begun = [query["sql"].split()[0] for query in captured]
        assert begun[-1] == "INSERT" and begun[-2] in {"WITH", "EXECUTE"}
        assert len(begun) <= 3  # prepared once
        assert again["password"] == first["password"]
    assert len(azure.logins) == 2
    # What stands for all hosts, as of a type that it had before, is none of this one's.
    own = CachedLogin.objects.get(scope=OTHER)
    own.pk, own.scope = None, ""
    own.login = sealed.seal(json.dumps(["x", "another's"]), own.sealed_for)
    own.save()
    for _ in range(2):
        asked = {"project": str(project.pk), "image": f"{OTHER}/x"}
        assert worker.post(LOGIN, asked).json()["password"] in azure.logins
        CachedLogin.objects.filter(scope=OTHER).delete()


def test_an_outage_leaves_the_login_and_a_refusal_is_told(
    azure, project, entry, application
) -> None:
    good = ask(project).password
    CachedLogin.objects.update(refresh_after=datetime.now(UTC) - timedelta(seconds=1))
    azure.faults = [(503, b"{}")] * 4
    assert ask(project).password == good
    minting.background.drain()
    azure.faults = []
    azure.remove_secret(application["client_id"], application["client_secret"])
    CachedLogin.objects.all().delete()
    with pytest.raises(Failed) as caught:
        ask(project)
    assert caught.value.code == "signature_mismatch"
    assert application["client_id"] not in caught.value.detail
    event = AuditEvent.objects.filter(action="login.refused").latest("pk")
    assert event.code == "signature_mismatch"


def test_a_new_secret_is_used_from_the_next_login_on(azure, project, entry, application) -> None:
    first = ask(project).password
    call_command("rotate_secrets")
    assert ask(project).password == first


def test_docker_login_prints_it(project, entry, azure, capsys) -> None:
    call_command("docker_login", IMAGE, project=str(project.pk), format="json")
    told = json.loads(capsys.readouterr().out)
    assert told["username"] == USERNAME and told["password"] in azure.logins


# --- the commands --------------------------------------------------------------------------


@pytest.mark.once
@pytest.mark.parametrize(
    ("mode", "role"),
    [
        ("LegacyRegistryPermissions", "AcrPull"),
        ("AbacRepositoryPermissions", "Container Registry Repository Reader"),
        ("", "AcrPull"),
    ],
)
def test_the_commands_give_the_role_that_counts(mode, role, tmp_path) -> None:
    """In a real shell, with a stand-in for az that writes down what it is asked."""
    az = tmp_path / "az"
    told = shlex.quote(str(tmp_path / "told"))
    az.write_text(
        "#!/bin/sh\n"
        'case "$*" in\n'
        f"  *roleAssignmentMode*) echo '{mode}';;\n"
        '  "acr show"*) echo "/subscriptions/s/$4";;\n'
        f'  *) for word in "$@"; do printf "%s\\n" "$word" >>{told}; done;;\n'
        "esac\n"
    )
    az.chmod(0o755)
    patterns = [MatchPattern.parse(text) for text in (PATTERN, f"{OTHER}/*")]
    client = "11111111-2222-3333-4444-555555555555"
    policy = AzureRegistry().policy({"client_id": client}, patterns)
    ran = subprocess.run(
        ["sh", "-eu", "-c", policy.command],
        env={"PATH": f"{tmp_path}:/usr/bin:/bin"},
        capture_output=True,
        text=True,
    )
    assert ran.returncode == 0, ran.stderr
    asked = (tmp_path / "told").read_text().split("role\nassignment\ncreate\n")[1:]
    assert asked == [
        f"--assignee\n{client}\n--role\n{role}\n--scope\n/subscriptions/s/{name}\n"
        for name in ("acmeml", "othername")
    ]
    assert policy.wider == (
        f"Wider than the pattern {PATTERN}: it grants all repositories of the registry.",
    )
