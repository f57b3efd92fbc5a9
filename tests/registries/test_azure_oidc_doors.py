"""Azure Container Registry without a key through every door: forms, admin, API, files, logins,
cache, and from waiting for trust to verified.

The fake reads this server's keys where clouds do, over HTTP. No JWT comes out anywhere.
"""

from __future__ import annotations

import csv
import json
import logging
from datetime import UTC, datetime, timedelta

import pytest
from django.core.management import call_command
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.urls import reverse

from orgs.api import limits
from orgs.models import AuditEvent, CachedLogin, RegistryEntry
from orgs.registries.azure_type import USERNAME
from orgs.registries.images import ImageReference
from orgs.registries.problems import Failed
from orgs.services.audit.events import Actor
from orgs.services.entries import door
from orgs.services.entries.validating import patterns_of, secrets_of, type_of
from orgs.services.identity import keys, signing
from orgs.services.logins import issuing as logins
from orgs.services.logins import minting, renewing
from orgs.services.tenancy import mails, tokens
from orgs.services.verification import verifying
from tests.api.conftest import LOGIN, Api
from tests.support.identity import forget, issuing, later
from tests.support.issuer import NAME
from tests.test_canary import database_bytes
from tests.web.conftest import NEW, Page, look, send, url

__all__ = ["issuing", "look", "send"]
pytestmark = [
    pytest.mark.once,
    pytest.mark.django_db(transaction=True),
    pytest.mark.usefixtures("issuing"),
]

HOST, OTHER = "acmeml.azurecr.io", "othername.azurecr.io"
PATTERN, IMAGE = f"{HOST}/team/*", f"{HOST}/team/train:v1"
PATH = "/api/v0/registry-credentials/"
Status = RegistryEntry.Status


@pytest.fixture
def identity(azure, issuer) -> dict[str, str]:
    """Of a tenant, with roles at both registries; it trusts nobody yet."""
    azure.relying.addresses[NAME] = issuer
    tenant, client = azure.create_identity()
    for host in (HOST, OTHER):
        azure.create_registry(host, tenant, client)
    return {"tenant_id": tenant, "client_id": client}


@pytest.fixture(autouse=True)
def no_jwt_comes_out(identity, caplog, capsys, monkeypatch):
    caplog.set_level(logging.DEBUG)
    monkeypatch.setattr(limits, "buckets", limits.Buckets())
    made, sign = [], signing.signed
    monkeypatch.setattr(signing, "signed", lambda *of: made.append(sign(*of)) or made[-1])
    yield made
    mails.drain()
    told = capsys.readouterr()
    seen = caplog.text + told.out + told.err + str(list(AuditEvent.objects.values()))
    stored = database_bytes()
    for token in made:
        for part in (token, token.rpartition(".")[2]):
            assert part not in seen and part.encode() not in stored


@pytest.fixture
def typed(identity) -> dict[str, str]:
    own = {"patterns": PATTERN, "registry_type": "azure-acr-oidc", "enabled": "on", "note": ""}
    return own | identity


@pytest.fixture
def entry(make_entry, identity) -> RegistryEntry:
    return make_entry(
        [PATTERN, f"{OTHER}/*"], registry_type="azure-acr-oidc", config=identity, secrets={}
    )


def trust(azure, entry: RegistryEntry) -> None:
    """Do on the other side what the entry's page says."""
    document = json.loads(page_says(entry).parts[0].text)
    (audience,) = document["audiences"]
    client = entry.config["client_id"]
    azure.trust(client, document["issuer"], document["subject"], audience)


def page_says(entry: RegistryEntry):
    return type_of(entry).set_up(entry.config, patterns_of(entry), signing.who(entry))


def ask(project, image: str = IMAGE):
    return logins.login_for(
        project=project, image=ImageReference.parse(image), actor=Actor("worker")
    ).login


def verify(entry: RegistryEntry, image: str = ""):
    reference = ImageReference.parse(image) if image else None
    return verifying.entry_verify(entry=entry, actor=Actor("tests"), image=reference)


# --- forms, admin ---------------------------------------------------------------------------


def test_the_form(send, look, alice, bob, acme, typed, identity) -> None:
    page = look(alice, NEW, type="azure-acr-oidc")
    assert "client_secret" not in page.fields and "secret_expires_on" not in page.fields
    wrong = send(alice, NEW, typed | {"tenant_id": "acme.onmicrosoft.com"})
    assert wrong.wrong == {"tenant_id"} and "a domain of the tenant" in wrong.error("tenant_id")
    wrong = send(alice, NEW, typed | {"patterns": f"{HOST}.evil.com/team/*"})
    assert wrong.wrong == {"patterns"} and f"Write {PATTERN}" in wrong.text
    assert not acme.entries.exists()
    send(alice, NEW, typed | {"client_secret": "abc8Q~" + "x" * 34})
    made = acme.entries.get()
    assert made.config == identity and secrets_of(made) == {} and made.status == Status.WAITING
    page = look(alice, url("entry", made))
    for shown in ("(OIDC federation, no key)", *identity.values(), "Waiting for trust"):
        assert shown in page.text
    members = look(bob, url("entry", made))
    assert identity["client_id"] not in members.html and "Waiting for trust" in members.text


def test_edit_and_another_type(look, send, alice, azure, entry, typed, identity, project) -> None:
    trust(azure, entry)
    ask(project)
    send(alice, url("entry_edit", entry), typed | {"note": "kept"})
    entry.refresh_from_db()
    assert entry.note == "kept" and entry.config == identity
    # Another identity is another trust: it waits anew, and no login of the former one is left.
    assert CachedLogin.objects.exists()
    tenant, client = azure.create_identity()
    changed = typed | {"tenant_id": tenant, "client_id": client}
    send(alice, url("entry_edit", entry), changed)
    entry.refresh_from_db()
    assert entry.status == Status.WAITING and not CachedLogin.objects.exists()
    # The type with a secret wants one, and has it erased on the way back.
    secret = azure.create_secret(identity["client_id"])
    other = typed | {"registry_type": "azure-acr"}
    page = send(alice, url("entry_edit", entry), other)
    assert "client_secret" in page.wrong
    send(alice, url("entry_edit", entry), other | {"client_secret": secret})
    entry.refresh_from_db()
    assert entry.registry_type == "azure-acr" and secrets_of(entry) == {"client_secret": secret}
    send(alice, url("entry_edit", entry), typed)
    entry.refresh_from_db()
    assert entry.registry_type == "azure-acr-oidc" and secrets_of(entry) == {}


def test_the_admin(client, staff, acme, typed, identity) -> None:
    client.force_login(staff)
    add = f"{reverse('admin:orgs_registryentry_add')}?organization={acme.pk}"
    assert "Client secret" not in Page(client.get(f"{add}&type=azure-acr-oidc")).text
    page = Page(client.post(add, typed | {"client_id": identity["tenant_id"]}))
    assert "The same stands under Tenant ID" in page.error("client_id")
    client.post(add, typed)
    assert acme.entries.get().config == identity
    listed = reverse("admin:orgs_registryentry_changelist")
    assert PATTERN in Page(client.get(f"{listed}?q={identity['client_id']}")).text


def test_help_while_typing(send, alice) -> None:
    asked = {"registry_type": "azure-acr-oidc", "patterns": "acmeml.azurecr.us/*"}
    page = send(alice, f"{NEW[:-4]}help/", asked)
    assert "az acr show" in page.html and "az ad app create" in page.html


# --- API, files ------------------------------------------------------------------------------


def test_the_api(alice, actor, acme, identity) -> None:
    api = Api(tokens.token_issue_api(user=alice, name="s", actor=actor)[1])
    body = {"type": "azure-acr-oidc", "image_pattern": PATTERN, "configuration": identity}
    made = api.post(PATH, body)
    assert made.status_code == 201, made.content
    assert made.json()["configuration"] == {"version": "1", **identity}
    one = f"{PATH}{made.json()['id']}/"
    for again in (body, made.json()):
        assert api.send("PUT", one, again).status_code == 200
    assert acme.entries.get().credentials_version == 1
    for wrong, field, code in (
        ({"tenant_id": "common"}, "tenant_id", "guid_shape"),
        ({"client_id": ""}, "client_id", "required"),
        ({"client_secret": "abc8Q~" + "x" * 34}, "configuration", "unknown_field"),
        ({"subject": "organization:x"}, "configuration", "unknown_field"),
    ):
        given = body | {"image_pattern": f"{OTHER}/*", "configuration": identity | wrong}
        refused = api.post(PATH, given)
        assert [p["code"] for p in refused.json()[field]] == [code], wrong
        assert "abc8Q~" not in refused.content.decode()


@pytest.mark.parametrize("format", ["csv", "json", "yaml"])
def test_import_export_and_back(format, acme, identity, tmp_path) -> None:
    given, written = tmp_path / "in.csv", tmp_path / f"out.{format}"
    row = {"image_pattern": PATTERN, "type": "azure-acr-oidc", **identity}
    with given.open("w") as file:
        writer = csv.DictWriter(file, row)
        writer.writeheader()
        writer.writerow(row)
    call_command("import_registries", str(given), organization="acme")
    made = acme.entries.get()
    assert made.config == identity and made.status == Status.WAITING
    call_command("export_registries", organization="acme", format=format, output=str(written))
    assert signing.who(made).subject not in written.read_text()
    call_command("import_registries", str(written), organization="acme", update=True)
    made.refresh_from_db()
    assert made.config == identity and made.credentials_version == 1


# --- from waiting to verified -----------------------------------------------------------------


def test_it_waits_for_trust_then_is_verified(azure, client, alice, entry, project) -> None:
    """Each half, as it comes."""
    client.force_login(alice)

    def told() -> str:
        report = verify(entry)
        entry.refresh_from_db()
        page = Page(client.get(url("entry", entry)))
        assert ("Waiting for trust" in page.text) == (entry.status == Status.WAITING)
        if report.failed is None:
            return ""
        assert report.failed.code == entry.status_code and report.failed.what in page.text
        return report.failed.what

    def nothing_new() -> None:
        RegistryEntry.objects.update(secrets_changed_at=None)  # so that nothing is tried again

    nothing_new()
    azure.revoke(HOST, entry.config["client_id"])
    assert "has no federated credential" in told()
    client_id, subject = entry.config["client_id"], signing.who(entry).subject
    for issuer, name, audience, says in (
        (f"{NAME}/", subject, "api://AzureADTokenExchange", "has its issuer"),
        (NAME, f"{subject}0", "api://AzureADTokenExchange", "has its subject"),
        (NAME, subject, "sts.amazonaws.com", "not with the audience"),
    ):
        azure.distrust(client_id)
        azure.trust(client_id, issuer, name, audience)
        assert says in told() and entry.status == Status.WAITING
    azure.distrust(client_id)
    trust(azure, entry)
    assert "has no role there" in told() and entry.status == Status.WAITING
    assert "Container Registry Repository Reader" in Page(client.get(url("entry", entry))).html
    azure.grant(HOST, client_id)
    assert ask(project).password in azure.logins
    assert f"{NAME}/.well-known/jwks.json" in azure.relying.fetched
    # Beyond the login there is no registry here; tests/real has one.
    assert "DNS" in told() and entry.status == Status.UNREACHABLE
    RegistryEntry.objects.update(status=Status.WAITING)
    CachedLogin.objects.all().delete()
    ask(project)  # as a worker may, before anybody verifies
    entry.refresh_from_db()
    assert entry.status == Status.VERIFIED


def test_no_other_entry_is_let_in(azure, entry, make_entry, project, acme, actor) -> None:
    """Neither one more of the organization's, nor one that takes its place."""
    trust(azure, entry)
    assert ask(project).password in azure.logins
    more = make_entry(
        f"{HOST}/more/*", registry_type="azure-acr-oidc", config=entry.config, secrets={}
    )
    with pytest.raises(Failed) as refused:
        ask(project, f"{HOST}/more/x")
    assert refused.value.code == "identity_refused" and "its subject" in refused.value.what
    config = entry.config
    door.entry_delete(entry=entry, actor=actor)
    again = make_entry(PATTERN, registry_type="azure-acr-oidc", config=config, secrets={})
    with pytest.raises(Failed, match="identity_refused"):
        ask(project)
    assert len({signing.who(one).subject for one in (entry, more, again)}) == 3


# --- logins ----------------------------------------------------------------------------------


def test_each_registrys_login_is_cached_and_renewed(
    azure, acme, actor, project, entry, no_jwt_comes_out
) -> None:
    trust(azure, entry)
    worker = Api(tokens.token_issue_worker(organization=acme, name="w", actor=actor)[1])
    passwords = set()
    for image in (IMAGE, f"{OTHER}/x", f"{HOST}:443/team/train", IMAGE):
        answer = worker.post(LOGIN, {"project": str(project.pk), "image": image})
        assert answer.status_code == 200, answer.content
        assert answer.json()["username"] == USERNAME
        passwords.add(answer.json()["password"])
    assert passwords == azure.logins and len(passwords) == 2
    assert {row.scope for row in CachedLogin.objects.all()} == {HOST, OTHER}
    assert len(no_jwt_comes_out) == 2
    left = CachedLogin.objects.get(scope=HOST).refresh_after - datetime.now(UTC)
    assert timedelta(minutes=80) < left <= timedelta(minutes=91)
    CachedLogin.objects.update(refresh_after=datetime.now(UTC) - timedelta(seconds=1))
    assert renewing.renew_due().done == 2 and len(azure.logins) == 4
    # Each with a JWT of its own, and the keys were read once.
    assert len(set(no_jwt_comes_out)) == 4 and len(azure.relying.fetched) == 2


def test_a_cached_login_is_one_read_and_one_write(azure, acme, actor, project, entry) -> None:
    trust(azure, entry)
    worker = Api(tokens.token_issue_worker(organization=acme, name="w", actor=actor)[1])
    asked = {"project": str(project.pk), "image": IMAGE}
    first = worker.post(LOGIN, asked).json()
    with CaptureQueriesContext(connection) as captured:
        again = worker.post(LOGIN, asked).json()
    begun = [query["sql"].split()[0] for query in captured]
    assert begun[-1] == "INSERT" and len(begun) <= 3 and again["password"] == first["password"]


def test_an_outage_leaves_the_login_and_a_refusal_is_told(azure, project, entry) -> None:
    trust(azure, entry)
    good = ask(project).password
    CachedLogin.objects.update(refresh_after=datetime.now(UTC) - timedelta(seconds=1))
    azure.relying.addresses.clear()
    azure.relying.forget()
    assert ask(project).password == good  # issuer_unreachable passes
    minting.background.drain()
    azure.distrust(entry.config["client_id"])
    CachedLogin.objects.all().delete()
    with pytest.raises(Failed) as caught:
        ask(project)
    assert caught.value.code == "identity_refused"
    assert entry.config["client_id"] not in caught.value.detail
    event = AuditEvent.objects.filter(action="login.refused").latest("pk")
    assert event.code == "identity_refused"


def test_the_keys_rotate(azure, project, entry) -> None:
    """A cloud that keeps what it read knows the next key before it signs."""
    trust(azure, entry)
    ask(project)
    keys.rotate()
    forget()
    azure.relying.forget()
    CachedLogin.objects.all().delete()
    ask(project)
    before = len(azure.relying.fetched)
    later(days=1, seconds=1)
    CachedLogin.objects.all().delete()
    assert ask(project).password in azure.logins and len(azure.relying.fetched) == before
    # Dropped at once, it's another matter: until the new one is read, nobody is let in.
    keys.drop_all()
    forget()
    CachedLogin.objects.all().delete()
    with pytest.raises(Failed, match="issuer_unreachable"):
        ask(project)
    azure.relying.forget()
    CachedLogin.objects.all().delete()
    assert ask(project).password in azure.logins


def test_docker_login_prints_it(project, entry, azure, capsys) -> None:
    trust(azure, entry)
    call_command("docker_login", IMAGE, project=str(project.pk), format="json")
    told = json.loads(capsys.readouterr().out)
    assert told["username"] == USERNAME and told["password"] in azure.logins
