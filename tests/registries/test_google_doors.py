"""GCP Artifact Registry through every door: forms, admin, API, files, logins, verifying.

What the key holds comes out nowhere: a canary beside it, and lines of the key itself.
"""

from __future__ import annotations

import base64
import csv
import io
import json
import logging
from datetime import UTC, datetime, timedelta
from uuid import uuid4

import pytest
import yaml
from django.core.files.uploadedfile import SimpleUploadedFile
from django.core.management import call_command
from django.urls import reverse

from orgs.api import limits
from orgs.models import AuditEvent, CachedLogin, ImportDraft, RegistryEntry
from orgs.registries.images import ImageReference
from orgs.registries.problems import Failed
from orgs.services.audit.events import Actor
from orgs.services.entries.validating import secrets_of
from orgs.services.logins import issuing, minting
from orgs.services.tenancy import mails, tokens
from tests.api.conftest import LOGIN, Api
from tests.conftest import CANARY
from tests.test_canary import database_bytes
from tests.web.conftest import NEW, Page, look, send, url

__all__ = ["look", "send"]
pytestmark = [pytest.mark.once, pytest.mark.django_db(transaction=True)]

HOST = "europe-west1-docker.pkg.dev"
PATTERN = f"{HOST}/my-project/my-repo/*"
IMAGE = f"{HOST}/my-project/my-repo/train:v1"
EMAIL = "valohai-pull@my-project.iam.gserviceaccount.com"
PATH = "/api/v0/registry-credentials/"
NAME = "service_account_json"
TYPED = {
    "patterns": PATTERN,
    "registry_type": "gcp-cr",
    NAME: "",
    "enabled": "on",
    "note": "",
}


@pytest.fixture
def key(google) -> str:
    return google.create_key(google.create_account(), canary=CANARY)


@pytest.fixture(autouse=True)
def nothing_comes_out(key, caplog, capsys, monkeypatch):
    caplog.set_level(logging.DEBUG)
    monkeypatch.setattr(limits, "buckets", limits.Buckets())
    yield
    mails.drain()
    told = capsys.readouterr()
    seen = caplog.text + told.out + told.err + str(list(AuditEvent.objects.values()))
    for secret in (CANARY, *_lines_of(key)):
        assert secret not in seen and secret.encode() not in database_bytes()


def _lines_of(key: str) -> list[str]:
    return json.loads(key)["private_key"].splitlines()[3:20:8]


def as_file(content: str | bytes, name: str = "key.json") -> SimpleUploadedFile:
    content = content if isinstance(content, bytes) else content.encode()
    return SimpleUploadedFile(name, content, "application/json")


def told_config(key: str) -> dict[str, str]:
    return {
        "service_account_email": EMAIL,
        "project_id": "my-project",
        "private_key_id": json.loads(key)["private_key_id"],
    }


def is_whole(entry: RegistryEntry, key: str) -> bool:
    entry.refresh_from_db()
    return (entry.config, secrets_of(entry)) == (told_config(key), {NAME: key.strip()})


@pytest.fixture
def entry(make_entry, key):
    return make_entry(PATTERN, registry_type="gcp-cr", config={}, secrets={NAME: key})


# --- the web ----------------------------------------------------------------------------


def test_the_form_takes_it_pasted_or_as_a_file(look, alice) -> None:
    page = look(alice, NEW, type="gcp-cr")
    assert 'enctype="multipart/form-data"' in page.html
    pasted, file = page.fields[NAME], page.fields[f"{NAME}_file"]
    assert "rows" in pasted and "data-secret" in pasted and pasted["spellcheck"] == "false"
    assert file["type"] == "file" and "data-secret" in file and "json" in file["accept"]
    assert {"Service account JSON", "or choose the file"} <= set(page.texts["label"])
    # Types without one have forms that aren't sent in parts.
    other = look(alice, NEW, type="aws-ecr")
    assert f"{NAME}_file" not in other.fields and "multipart" not in other.html
    guided = look(alice, page.links["Guide: GCP Artifact Registry, in a new tab"])
    assert guided.heading == "GCP Artifact Registry"


@pytest.mark.parametrize("how", ["pasted", "file", "utf-16", "utf-8-sig", "both", "base64"])
def test_add(how, send, look, alice, acme, key, client) -> None:
    encoded = "utf-16" if how == "utf-16" else "utf-8-sig" if how == "utf-8-sig" else "utf-8"
    given = {NAME: key.replace("\n", "\r\n")} if how == "pasted" else {}
    if how == "base64":
        given = {NAME: base64.b64encode(key.encode()).decode()}
    if how not in {"pasted", "base64"}:
        given = {f"{NAME}_file": as_file(key.encode(encoded))}
    if how == "both":  # the file was the last thing that was done
        given[NAME] = "{}"
    send(alice, NEW, TYPED | given)
    made = acme.entries.get()
    assert is_whole(made, key)
    page = look(alice, url("entry", made))
    for shown in ("GCP Artifact Registry", EMAIL, "my-project", json.loads(key)["private_key_id"]):
        assert shown in page.text
    assert "gcloud artifacts repositories add-iam-policy-binding my-repo" in page.text
    assert f"--member=serviceAccount:{EMAIL}" in page.text
    assert CANARY not in page.html and CANARY not in str(dict(client.session))


@pytest.mark.parametrize(
    ("given", "says"),
    [
        ({}, "Service account JSON is empty. Enter it."),
        ({NAME: "{}"}, "This is JSON, but no key file"),
        ({NAME: f'{{"type": "authorized_user", "refresh_token": "{CANARY}"}}'}, "own login"),
        ({f"{NAME}_file": as_file("")}, "The file is empty. Choose another"),
        ({f"{NAME}_file": as_file(" \n")}, "The file is empty. Choose another"),
        ({f"{NAME}_file": as_file(b"\xff\xd8\xff\xe0" * 50)}, "a character in it that can't be"),
        ({f"{NAME}_file": as_file(f"{CANARY} " * 3_000)}, "longer than 16,384 characters"),
        ({f"{NAME}_file": as_file(CANARY)}, "isn't a service account's key"),
        ({f"{NAME}_file": as_file("{}\0")}, "Null characters"),
    ],
)
def test_what_is_wrong_is_told_at_its_field(given, says, send, alice, acme) -> None:
    for file in given.values():
        if not isinstance(file, str):
            file.seek(0)
    page = send(alice, NEW, TYPED | given)
    assert page.wrong == {NAME} and says in page.error(NAME), page.error(NAME)
    assert CANARY not in page.html and not acme.entries.exists()
    # A chosen file isn't given back by browsers either.
    assert not given or "Enter it again before saving." in page.text


def test_another_error_forgets_the_file(send, alice, acme, key) -> None:
    page = send(alice, NEW, TYPED | {"patterns": "quay.io/x/*", f"{NAME}_file": as_file(key)})
    assert page.wrong == {"patterns"} and "isn't a host of Google's registries" in page.text
    assert "What you typed here wasn't kept. Enter it again before saving." in page.text
    assert CANARY not in page.html
    shown = send(alice, NEW, TYPED | {"show_fields": "1", f"{NAME}_file": as_file(key)})
    assert "What you typed here wasn't kept" in shown.text and CANARY not in shown.html


def test_edit(look, send, alice, entry, key, google) -> None:
    edit = url("entry_edit", entry)
    page = look(alice, edit)
    assert NAME not in page.fields and "Replace" in page.texts["button"]
    assert f"Service account: {EMAIL}" in page.text
    kept = {name: value for name, value in TYPED.items() if name != NAME}
    send(alice, edit, kept | {"note": "kept", "patterns": f"{PATTERN}\ngcr.io/my-project/*"})
    assert is_whole(entry, key) and entry.note == "kept" and entry.credentials_version == 1
    # Another account's key: it's tried first, and then all of it is the other's.
    other = google.create_key(google.create_account("other", "your-project"), canary=CANARY)
    broken = json.dumps(json.loads(other) | {"private_key_id": "0" * 40})
    page = send(alice, edit, kept | {f"{NAME}_file": as_file(broken)})
    told = page.error(NAME)
    assert "The new key failed, so the old one stays in use." in told
    assert "other@your-project.iam.gserviceaccount.com" in told and is_whole(entry, key)
    send(alice, edit, kept | {f"{NAME}_file": as_file(other)})
    entry.refresh_from_db()
    assert secrets_of(entry) == {NAME: other.strip()} and entry.credentials_version == 2
    assert entry.config["project_id"] == "your-project"
    history = look(alice, url("entry", entry)).text
    assert f"Service account: {EMAIL} → other@your-project" in history
    assert "Secret: changed" in history


def test_another_type_and_back(send, alice, entry, key) -> None:
    as_docker = {"registry_type": "docker", "username": "robot", "password": CANARY}
    send(alice, url("entry_edit", entry), TYPED | as_docker)
    entry.refresh_from_db()
    assert entry.config == {"username": "robot"} and secrets_of(entry) == {"password": CANARY}
    send(alice, url("entry_edit", entry), TYPED | {NAME: key})
    assert is_whole(entry, key)


def test_members_see_it_without_whose_key_it_is(look, alice, bob, entry, key) -> None:
    key_id = json.loads(key)["private_key_id"]
    for address in (url("entry", entry), "/organizations/acme/registries/"):
        page = look(bob, address)
        assert "Google" in page.text or "GCP" in page.text
        assert EMAIL not in page.html and key_id not in page.html
    listed = "/organizations/acme/registries/"
    for words in (EMAIL, key_id):
        assert PATTERN in look(alice, listed, q=words).html
        assert f">{PATTERN}<" not in look(bob, listed, q=words).html


def test_what_deleting_leaves(look, alice, entry, project) -> None:
    ask(project)
    told = look(alice, url("entry_delete", entry)).text
    assert "run out by themselves, within an hour." in told


def test_help_while_typing(send, alice) -> None:
    typed = {"registry_type": "gcp-cr", "patterns": "us-docker.pkg.dev/p/r/*"}
    page = send(alice, f"{NEW[:-4]}help/", typed)
    assert "gcloud artifacts repositories add-iam-policy-binding r " in page.html
    assert "&lt;SERVICE_ACCOUNT_EMAIL&gt;" in page.html and "JSON" not in page.texts["summary"]
    page = send(alice, f"{NEW[:-4]}help/", typed | {"patterns": "us.docker.pkg.dev/p/*"})
    assert "Write us-docker.pkg.dev/p/*" in page.html


# --- the admin ------------------------------------------------------------------------------


def test_help_while_editing_knows_whose_key_it_is(
    send, look, alice, charlie, entry, umbrella
) -> None:
    whom = f"--member=serviceAccount:{EMAIL}"
    assert whom in look(alice, url("entry_edit", entry)).html
    typed = {"registry_type": "gcp-cr", "patterns": "gcr.io/p/*", "entry": str(entry.pk)}
    assert whom in send(alice, f"{NEW[:-4]}help/", typed).html
    assert EMAIL not in send(alice, f"{NEW[:-4]}help/", typed | {"entry": str(uuid4())}).html
    # Another organization's isn't anybody's here.
    theirs = f"/organizations/{umbrella.slug}/registries/help/"
    assert EMAIL not in send(charlie, theirs, typed).html
    assert EMAIL not in send(alice, f"{NEW[:-4]}help/", typed | {"registry_type": "docker"}).html


def test_the_admin(client, staff, acme, key) -> None:
    client.force_login(staff)
    add = f"{reverse('admin:orgs_registryentry_add')}?organization={acme.pk}"
    page = Page(client.get(f"{add}&type=gcp-cr"))
    assert page.fields[f"{NAME}_file"]["type"] == "file" and "multipart/form-data" in page.html
    page = Page(client.post(add, TYPED | {f"{NAME}_file": as_file("{}")}))
    assert "no key file" in page.error(NAME)
    client.post(add, TYPED | {f"{NAME}_file": as_file(key)})
    made = acme.entries.get()
    assert is_whole(made, key)
    change = reverse("admin:orgs_registryentry_change", args=[made.pk])
    page = Page(client.get(change))
    assert f"Service account: {EMAIL}" in page.text and CANARY not in page.html
    client.post(change, TYPED | {"note": "by staff"})
    assert is_whole(made, key) and made.note == "by staff"
    listed = reverse("admin:orgs_registryentry_changelist")
    for words, found in ((EMAIL, True), ("nobody@my-project", False)):
        assert (PATTERN in Page(client.get(f"{listed}?q={words}")).text) is found


# --- the API --------------------------------------------------------------------------------


@pytest.fixture
def script(alice, actor) -> Api:
    days = timedelta(days=1)
    return Api(tokens.token_issue_api(user=alice, name="s", actor=actor, expires_in=days)[1])


def test_the_api(script, acme, key) -> None:
    body = {"type": "gcp-cr", "image_pattern": PATTERN, "configuration": {NAME: key}}
    made = script.post(PATH, body)
    assert made.status_code == 201, made.content
    # CONTRACT: no config. Whose key it is isn't answered, so that it's never sent back.
    assert made.json()["configuration"] == {"version": "1"}
    one = f"{PATH}{made.json()['id']}/"
    assert script.get(one).json() == made.json()
    for again in (body, body | {"configuration": {"version": "1"}}, made.json()):
        assert script.send("PUT", one, again).status_code == 200
    assert is_whole(acme.entries.get(), key) and acme.entries.get().credentials_version == 1
    patched = script.send("PATCH", one, {"image_pattern": "gcr.io/my-project/*"})
    assert patched.status_code == 200 and is_whole(acme.entries.get(), key)
    for wrong in ("{}", CANARY, key[:-300]):
        refused = script.post(
            PATH, body | {"image_pattern": "us-docker.pkg.dev/p/*", "configuration": {NAME: wrong}}
        )
        assert [p["code"] for p in refused.json()[NAME]] == ["secret_shape"]
        assert CANARY not in refused.content.decode()
    refused = script.post(PATH, body | {"configuration": {NAME: json.loads(key)}})
    assert refused.status_code == 400 and CANARY not in refused.content.decode()
    refused = script.post(PATH, body | {"configuration": {NAME: key, "project_id": "p"}})
    assert refused.json()["configuration"][0]["code"] == "unknown_field"


# --- files ----------------------------------------------------------------------------------


def _written(format: str, key: str) -> bytes:
    row = {"image_pattern": PATTERN, "type": "gcp-cr", NAME: key}
    if format == "csv":
        text = io.StringIO()
        writer = csv.DictWriter(text, row)
        writer.writeheader()
        writer.writerow(row)
        return text.getvalue().encode()
    nested = {"image_patterns": [PATTERN], "type": "gcp-cr", "configuration": {NAME: key}}
    return (json.dumps([nested]) if format == "json" else yaml.safe_dump([row])).encode()


@pytest.mark.parametrize("format", ["csv", "json", "yaml"])
def test_import_export_and_back(format, acme, key, tmp_path) -> None:
    given, written = tmp_path / f"in.{format}", tmp_path / f"out.{format}"
    given.write_bytes(_written(format, key))
    call_command("import_registries", str(given), organization="acme")
    made = acme.entries.get()
    assert is_whole(made, key)
    call_command("export_registries", organization="acme", format=format, output=str(written))
    text = written.read_text()
    assert PATTERN in text and CANARY not in text and EMAIL not in text
    for again in (given, written):
        call_command("import_registries", str(again), organization="acme", update=True)
    assert is_whole(acme.entries.get(), key) and acme.entries.get().credentials_version == 1
    given.unlink()  # what tests leave is looked at, too


def test_import_on_the_web(look, client, alice, acme, key) -> None:
    for content in (_written("csv", key[:-300]), _written("csv", key)):
        client.force_login(alice)
        file = as_file(content, "google.csv")
        client.post("/organizations/acme/registries/import/", {"file": file})
        preview = f"/organizations/acme/registries/import/{ImportDraft.objects.get().pk}/"
        page = look(alice, preview)
        assert CANARY not in page.html and EMAIL not in page.html
    client.post(preview, {"fingerprint": page.fields["fingerprint"]["value"]})
    assert is_whole(acme.entries.get(), key)


# --- logins ---------------------------------------------------------------------------------


@pytest.fixture
def worker(acme, actor) -> Api:
    return Api(tokens.token_issue_worker(organization=acme, name="w", actor=actor)[1])


def ask(project):
    return issuing.login_for(
        project=project, image=ImageReference.parse(IMAGE), actor=Actor("worker")
    )


def test_a_login_is_cached_and_renewed_at_half_life(worker, project, entry, google) -> None:
    asked = {"project": str(project.pk), "image": IMAGE}
    for _ in range(3):
        answer = worker.post(LOGIN, asked)
        assert answer.status_code == 200, answer.content
        told = answer.json()
        assert (told["kind"], told["server"], told["username"]) == (
            "docker", HOST, "oauth2accesstoken")  # fmt: skip
        assert {told["password"]} == google.tokens and len(google.calls) == 1
    ends = datetime.fromisoformat(told["expires_at"])
    cached = CachedLogin.objects.get()
    assert ends == cached.expires_at.replace(microsecond=0) and ends <= datetime.now(
        UTC
    ) + timedelta(hours=1)
    left = cached.refresh_after - datetime.now(UTC)
    assert timedelta(minutes=25) < left < timedelta(minutes=31)
    cached.refresh_after = datetime.now(UTC) - timedelta(seconds=1)
    cached.save()
    assert ask(project).login.password in google.tokens
    minting.background.drain()
    assert len(google.calls) == 2 and CachedLogin.objects.get().expires_at >= ends


def test_an_outage_leaves_the_login_and_a_refusal_is_told(project, entry, google, key) -> None:
    good = ask(project).login
    CachedLogin.objects.update(refresh_after=datetime.now(UTC) - timedelta(seconds=1))
    google.faults = [(503, b"{}")] * 4
    assert ask(project).login.password == good.password
    google.faults = []
    google.set_key(EMAIL, json.loads(key)["private_key_id"], enabled=False)
    CachedLogin.objects.all().delete()
    with pytest.raises(Failed) as caught:
        ask(project)
    assert caught.value.code == "signature_mismatch" and EMAIL not in caught.value.detail
    event = AuditEvent.objects.filter(action="login.refused").latest("pk")
    assert event.code == "signature_mismatch"


def test_docker_login_prints_it(project, entry, google, capsys) -> None:
    call_command("docker_login", IMAGE, project=str(project.pk), format="json")
    told = json.loads(capsys.readouterr().out)
    assert told["username"] == "oauth2accesstoken" and told["password"] in google.tokens


def test_secrets_are_sealed_anew(project, entry, google, key) -> None:
    call_command("rotate_secrets")
    assert is_whole(entry, key) and ask(project).login.password in google.tokens
