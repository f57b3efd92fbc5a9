"""GCP Artifact Registry without a key through every door: forms, admin, API, files, logins,
verifying. The fake Google reads what this server publishes; no JWT comes out anywhere."""

from __future__ import annotations

import csv
import io
import json
import logging
from datetime import UTC, datetime, timedelta

import pytest
import yaml
from django.core.management import call_command
from django.urls import reverse

from orgs.api import limits
from orgs.models import AuditEvent, CachedLogin, RegistryEntry, SigningKey
from orgs.registries.images import ImageReference
from orgs.registries.problems import Failed
from orgs.services.audit.events import Actor
from orgs.services.bulk.files import Rows
from orgs.services.bulk.importing import plan
from orgs.services.entries import door
from orgs.services.identity import keys, signing
from orgs.services.logins import issuing, minting
from orgs.services.tenancy import mails, tokens
from orgs.services.verification import verifying
from tests.api.conftest import LOGIN, Api
from tests.conftest import CANARY
from tests.support.fake_google import FakeGoogle
from tests.support.identity import forget, later
from tests.support.issuer import NAME as ISSUER
from tests.test_canary import database_bytes
from tests.web.conftest import NEW, Page, look, send, url

__all__ = ["look", "send"]
pytestmark = [pytest.mark.once, pytest.mark.django_db(transaction=True)]

HOST = "europe-west1-docker.pkg.dev"
PATTERN = f"{HOST}/my-project/my-repo/*"
IMAGE = f"{HOST}/my-project/my-repo/train:v1"
EMAIL = "valohai-pull@my-project.iam.gserviceaccount.com"
NAME = "projects/123456789012/locations/global/workloadIdentityPools/valohai/providers/valohai"
PATH = "/api/v0/registry-credentials/"
PROVIDER, ACCOUNT = "workload_identity_provider", "service_account_email"
ALONE = {PROVIDER: NAME}
BOTH = ALONE | {ACCOUNT: EMAIL}
TYPED = {"patterns": PATTERN, "registry_type": "gcp-cr-oidc", "enabled": "on", "note": "", **BOTH}


@pytest.fixture
def cloud(google, issuer) -> FakeGoogle:
    """The fake Google, which finds this server's documents, where nothing trusts it yet."""
    google.pools.relying.addresses[ISSUER] = issuer
    return google


@pytest.fixture(autouse=True)
def nothing_comes_out(cloud, caplog, capsys, monkeypatch):
    """No JWT, no federated token; `cloud.seen` are those that were signed."""
    caplog.set_level(logging.DEBUG)
    monkeypatch.setattr(limits, "buckets", limits.Buckets())
    made, signed = [], signing.signed
    monkeypatch.setattr(signing, "signed", lambda *asked: made.append(signed(*asked)) or made[-1])
    yield
    mails.drain()
    told = capsys.readouterr()
    seen = caplog.text + told.out + told.err + str(list(AuditEvent.objects.values()))
    for secret in (*made, *cloud.pools.tokens, *cloud.tokens):
        # The head is the same in all of them, and stands in the key set.
        part = secret.rpartition(".")[2]
        assert part not in seen and part.encode() not in database_bytes()


@pytest.fixture
def entry(make_entry, cloud):
    return make_entry(PATTERN, registry_type="gcp-cr-oidc", config=dict(BOTH), secrets={})


def trust(cloud: FakeGoogle, entry: RegistryEntry, **more: str) -> str:
    """Set the other side up as the entry's page says it; gives the principal."""
    subject = signing.who(entry).subject
    name = cloud.pools.create(ISSUER, subject, **more)
    principal = cloud.pools.principal(name, subject)
    cloud.pools.let_act(EMAIL, principal)
    cloud.pools.readers.add(principal)
    return principal


def ask(project):
    return issuing.login_for(
        project=project, image=ImageReference.parse(IMAGE), actor=Actor("worker")
    )


# --- forms, the admin, the API ------------------------------------------------------------------


def test_the_form(look, send, alice, acme, cloud) -> None:
    page = look(alice, NEW, type="gcp-cr-oidc")
    assert {"Workload identity provider", "Service account"} <= set(page.texts["label"])
    assert "multipart" not in page.html
    guided = look(alice, page.links[f"Guide: {LABEL}, in a new tab"])
    assert guided.heading == LABEL
    wrong = TYPED | {PROVIDER: NAME.replace("123456789012", "my-project"), ACCOUNT: "a@b.example"}
    page = send(alice, NEW, wrong)
    assert page.wrong == {PROVIDER, ACCOUNT}
    assert "project's ID" in page.error(PROVIDER) and "person's" in page.error(ACCOUNT)
    assert send(alice, NEW, TYPED | {"patterns": "quay.io/x/*"}).wrong == {"patterns"}
    assert send(alice, NEW, TYPED | {PROVIDER: ""}).wrong == {PROVIDER}
    assert not acme.entries.exists()
    send(alice, NEW, TYPED | {PROVIDER: f"https://iam.googleapis.com/{NAME}"})
    made = acme.entries.get()
    assert made.config == BOTH and made.status == "waiting" and not cloud.tokens
    page = look(alice, url("entry", made))
    for shown in (LABEL, NAME, EMAIL, "Waiting for trust"):
        assert shown in page.text
    # One may read without an account.
    send(alice, url("entry_edit", made), TYPED | {ACCOUNT: ""})
    made.refresh_from_db()
    assert made.config == ALONE and made.credentials_version == 2


LABEL = "GCP Artifact Registry (Workload Identity Federation, no key)"


def test_members_see_neither_provider_nor_account(look, bob, entry) -> None:
    for address in (url("entry", entry), "/organizations/acme/registries/"):
        page = look(bob, address)
        assert "Google" in page.text or "GCP" in page.text
        assert EMAIL not in page.html and NAME not in page.html


def test_the_admin(client, staff, acme, cloud) -> None:
    client.force_login(staff)
    add = f"{reverse('admin:orgs_registryentry_add')}?organization={acme.pk}"
    page = Page(client.post(add, TYPED | {PROVIDER: "x"}))
    assert "full name of a provider" in page.error(PROVIDER)
    client.post(add, TYPED)
    made = acme.entries.get()
    assert made.config == BOTH and made.status == "waiting"
    change = reverse("admin:orgs_registryentry_change", args=[made.pk])
    client.post(change, TYPED | {"note": "by staff"})
    made.refresh_from_db()
    assert made.note == "by staff" and made.credentials_version == 1


@pytest.fixture
def script(alice, actor) -> Api:
    days = timedelta(days=1)
    return Api(tokens.token_issue_api(user=alice, name="s", actor=actor, expires_in=days)[1])


def test_the_api(script, acme, cloud) -> None:
    body = {"type": "gcp-cr-oidc", "image_pattern": PATTERN, "configuration": dict(BOTH)}
    made = script.post(PATH, body)
    assert made.status_code == 201, made.content
    assert made.json()["configuration"] == {"version": "1", **BOTH}
    one = f"{PATH}{made.json()['id']}/"
    for again in (body, made.json()):
        assert script.send("PUT", one, again).status_code == 200
    assert acme.entries.get().credentials_version == 1
    alone = script.send("PUT", one, body | {"configuration": ALONE}).json()
    assert alone["configuration"] == {"version": "1", **ALONE}
    for wrong, field, code in (
        ({}, PROVIDER, "required"),
        ({PROVIDER: "x"}, PROVIDER, "provider_shape"),
        ({**ALONE, ACCOUNT: "alice@example.com"}, ACCOUNT, "account_shape"),
        ({**BOTH, "service_account_json": "{}"}, "configuration", "unknown_field"),
        ({**BOTH, "subject": "x"}, "configuration", "unknown_field"),
    ):
        refused = script.send("PUT", one, body | {"configuration": wrong})
        assert refused.status_code == 400
        assert [p["code"] for p in refused.json()[field]] == [code], refused.json()


@pytest.mark.parametrize("format", ["csv", "json", "yaml"])
def test_import_export_and_back(format, acme, cloud, tmp_path) -> None:
    given, written = tmp_path / f"in.{format}", tmp_path / f"out.{format}"
    row = {"image_pattern": PATTERN, "type": "gcp-cr-oidc", **BOTH}
    if format == "csv":
        text = io.StringIO()
        writer = csv.DictWriter(text, row)
        writer.writeheader()
        writer.writerow(row)
        given.write_text(text.getvalue())
    else:
        given.write_text(json.dumps([row]) if format == "json" else yaml.safe_dump([row]))
    call_command("import_registries", str(given), organization="acme")
    made = acme.entries.get()
    assert (made.config, made.status) == (BOTH, "waiting")
    call_command("export_registries", organization="acme", format=format, output=str(written))
    assert EMAIL in written.read_text() and NAME in written.read_text()
    for again in (given, written):
        call_command("import_registries", str(again), organization="acme", update=True)
    assert acme.entries.get().credentials_version == 1
    door.entry_delete(entry=made, actor=Actor("tests"))
    call_command("import_registries", str(written), organization="acme")
    assert acme.entries.get().config == BOTH and acme.entries.get().pk != made.pk


@pytest.mark.parametrize("column", [PROVIDER, ACCOUNT])
@pytest.mark.parametrize("secret", [CANARY, "abcDEFghij" * 4, "Hunter2-and-more"])
def test_a_secret_in_a_column_of_its_is_never_repeated(acme, column, secret) -> None:
    row = {"image_pattern": PATTERN, "type": "gcp-cr-oidc", **BOTH, column: secret}
    report = plan(organization=acme, rows=Rows(io.BytesIO(json.dumps([row]).encode()), "json"))
    assert [error.column for error in report.errors] == [column]
    assert secret.lower() not in repr(report).lower()


# --- waiting, verified, and what is missing -------------------------------------------------------


def verified(entry: RegistryEntry) -> tuple[str, str]:
    """(code, status) after verifying."""
    report = verifying.entry_verify(entry=entry, actor=Actor("tests"))
    entry.refresh_from_db()
    return (report.failed.code if report.failed else "", entry.status)


def test_each_half_is_named_until_the_other_side_stands(
    look, alice, cloud, entry, artifact_registry
) -> None:
    assert entry.status == "waiting" and verified(entry)[0] == "identity_refused"
    assert "Google doesn't know the provider" in look(alice, url("entry", entry)).text
    name = cloud.pools.create(ISSUER, "organization:another:entry:another")
    assert verified(entry)[0] == "identity_refused"
    assert "attribute condition doesn't let" in look(alice, url("entry", entry)).text
    subject = signing.who(entry).subject
    cloud.pools.create(ISSUER, subject)
    assert verified(entry)[0] == "access_denied"
    page = look(alice, url("entry", entry))
    assert "Workload Identity User" in page.text and EMAIL in page.text
    cloud.pools.let_act(EMAIL, cloud.pools.principal(name, subject))
    assert verified(entry) == ("", "verified")
    # Google read this server's own documents, and kept the keys.
    assert cloud.pools.relying.fetched == [
        f"{ISSUER}/.well-known/openid-configuration",
        f"{ISSUER}/.well-known/jwks.json",
    ]


def test_an_issuer_out_of_reach_passes_by_itself(cloud, entry, artifact_registry) -> None:
    trust(cloud, entry)
    there = cloud.pools.relying.addresses.pop(ISSUER)
    assert verified(entry)[0] == "issuer_unreachable"
    cloud.pools.relying.addresses[ISSUER] = there
    assert verified(entry) == ("", "verified")


def test_a_server_without_a_name_asks_nobody(cloud, entry, settings) -> None:
    settings.BASE_URL = "http://127.0.0.1:8000"
    assert verified(entry)[0] == "issuer_unreachable" and not cloud.requests


# --- logins -----------------------------------------------------------------------------------


@pytest.fixture
def worker(acme, actor) -> Api:
    return Api(tokens.token_issue_worker(organization=acme, name="w", actor=actor)[1])


def test_a_login_is_cached_and_renewed_at_half_life(worker, project, entry, cloud) -> None:
    trust(cloud, entry)
    asked = {"project": str(project.pk), "image": IMAGE}
    for _ in range(3):
        answer = worker.post(LOGIN, asked)
        assert answer.status_code == 200, answer.content
        told = answer.json()
        assert (told["kind"], told["server"], told["username"]) == (
            "docker", HOST, "oauth2accesstoken")  # fmt: skip
        assert {told["password"]} == cloud.tokens and len(cloud.requests) == 2
    ends = datetime.fromisoformat(told["expires_at"])
    cached = CachedLogin.objects.get()
    assert ends == cached.expires_at.replace(microsecond=0)
    left = cached.refresh_after - datetime.now(UTC)
    assert timedelta(minutes=25) < left < timedelta(minutes=31)
    cached.refresh_after = datetime.now(UTC) - timedelta(seconds=1)
    cached.save()
    assert ask(project).login.password in cloud.tokens
    minting.background.drain()
    assert len(cloud.requests) == 4 and CachedLogin.objects.get().expires_at >= ends


def test_an_outage_leaves_the_login_and_a_refusal_is_told(project, entry, cloud) -> None:
    trust(cloud, entry)
    good = ask(project).login
    CachedLogin.objects.update(refresh_after=datetime.now(UTC) - timedelta(seconds=1))
    cloud.faults = [(503, b"{}")] * 4
    assert ask(project).login.password == good.password
    cloud.faults = []
    cloud.pools.providers.clear()
    CachedLogin.objects.all().delete()
    with pytest.raises(Failed) as caught:
        ask(project)
    assert caught.value.code == "identity_refused" and NAME not in caught.value.detail
    event = AuditEvent.objects.filter(action="login.refused").latest("pk")
    assert event.code == "identity_refused"


def test_a_rotated_key_signs_once_google_can_know_it(project, entry, cloud) -> None:
    trust(cloud, entry)
    first = ask(project)
    assert first.login.password in cloud.tokens
    coming = keys.rotate()
    forget()  # a day passes before it signs: the server publishes it, and Google reads it
    cloud.pools.relying.forget()
    for days in (0, 1, 2):
        later(days=days)
        CachedLogin.objects.all().delete()
        assert ask(project).login.password in cloud.tokens
    assert SigningKey.objects.get(pk=coming.pk).state == SigningKey.State.SIGNING


# --- nobody inherits trust --------------------------------------------------------------------


def test_another_entry_with_the_same_provider_gets_nothing(
    make_entry, cloud, entry, umbrella, project, actor
) -> None:
    """Not another organization's either, nor one that is made anew."""
    trust(cloud, entry)
    assert ask(project).login.password in cloud.tokens
    given = {"registry_type": "gcp-cr-oidc", "config": dict(BOTH), "secrets": {}}
    theirs = make_entry(PATTERN, organization=umbrella, **given)
    assert verified(theirs)[0] == "identity_refused"
    door.entry_delete(entry=entry, actor=actor)
    again = make_entry(PATTERN, **given)
    assert verified(again)[0] == "identity_refused" and len(cloud.tokens) == 1


def test_docker_login_prints_it(project, entry, cloud, capsys) -> None:
    trust(cloud, entry)
    call_command("docker_login", IMAGE, project=str(project.pk), format="json")
    told = json.loads(capsys.readouterr().out)
    assert told["username"] == "oauth2accesstoken" and told["password"] in cloud.tokens
