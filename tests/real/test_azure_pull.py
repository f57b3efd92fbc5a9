"""The whole way to Azure: a worker with a token, gunicorn, a fake Azure, skopeo and podman,
and a registry that gives bearer tokens for what that Azure minted, and for nothing else; with a
secret, and without any key."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from orgs.registries.azure_type import USERNAME
from orgs.registries.images import ImageReference
from orgs.services.audit.events import Actor
from orgs.services.identity import signing
from orgs.services.verification import verifying
from tests.real.pulling import pulled_by_both
from tests.real.test_worker_pull import podman
from tests.support.identity import issuing
from tests.support.issuer import NAME
from tests.support.registry import Registry
from tests.web.conftest import Page, url

__all__ = ["issuing", "podman"]
pytestmark = [pytest.mark.once, pytest.mark.django_db(transaction=True)]

HOST = "acmeml.azurecr.io"
IMAGE = f"{HOST}/team/train:v1"


@pytest.fixture
def registry(azure, internet, monkeypatch) -> Iterator[Registry]:
    with Registry(HOST, tokens=True) as registry:
        registry.push("team/train", "v1")
        azure.on_login = lambda host, login: host == HOST and registry.allow(USERNAME, login)
        internet.name(HOST, ["10.20.30.40"])  # as behind Private Link
        internet.route("10.20.30.40", 443, (registry.address, 443))
        monkeypatch.setenv("SSL_CERT_FILE", str(registry.ca_file))
        yield registry


@pytest.fixture
def entry(azure, make_entry):
    tenant, client, secret = azure.create_application()
    azure.create_registry(HOST, tenant, client)
    return make_entry(
        f"{HOST}/team/*",
        registry_type="azure-acr",
        config={"tenant_id": tenant, "client_id": client},
        secrets={"client_secret": secret},
    )


def test_workers_pull_with_nothing_but_their_token(
    registry, entry, azure, project, actor, podman, tmp_path: Path
) -> None:
    with pulled_by_both(registry, IMAGE, project, actor, podman, tmp_path):
        # One login for both, minted by the server alone.
        assert [call.what for call in azure.calls] == ["token", "exchange"]


@pytest.fixture
def keyless(azure, make_entry, settings):
    """An entry that an identity of a tenant trusts, as its page says it."""
    settings.BASE_NAME = NAME
    tenant, client = azure.create_identity()
    azure.create_registry(HOST, tenant, client)
    config = {"tenant_id": tenant, "client_id": client}
    entry = make_entry(f"{HOST}/team/*", registry_type="azure-acr-oidc", config=config, secrets={})
    azure.trust(client, NAME, signing.who(entry).subject)
    return entry


def test_workers_pull_where_nobody_has_a_key(
    registry, keyless, azure, project, actor, podman, tmp_path: Path
) -> None:
    """gunicorn signs, and Azure reads gunicorn's own keys."""
    with pulled_by_both(
        registry,
        IMAGE,
        project,
        actor,
        podman,
        tmp_path,
        at=lambda address: azure.relying.addresses.update({NAME: address}),
        name=NAME,
    ):
        assert [call.what for call in azure.calls] == ["token", "exchange"]
        assert [path.rpartition("/")[2] for path in azure.relying.fetched] == [
            "openid-configuration",
            "jwks.json",
        ]


def test_it_waits_then_is_verified(
    registry, keyless, azure, issuer, issuing, client, alice
) -> None:
    azure.relying.addresses[NAME] = issuer
    azure.distrust(keyless.config["client_id"])
    client.force_login(alice)
    image = ImageReference.parse(IMAGE)
    for code, state in (("identity_refused", "Waiting for trust"), ("", "Verified")):
        report = verifying.entry_verify(entry=keyless, actor=Actor("tests"), image=image)
        assert (report.failed.code if report.failed else "") == code
        assert state in Page(client.get(url("entry", keyless))).text
        if code:
            azure.trust(keyless.config["client_id"], NAME, signing.who(keyless).subject)


def test_verify(registry, entry, azure, client, alice) -> None:
    """Where the role is missing, the page has the commands that give the one that counts."""
    client.force_login(alice)
    for name, code in (("train", ""), ("other", "image_not_found"), ("barred", "image_denied")):
        registry.barred = {"team/barred"}
        image = ImageReference.parse(f"{HOST}/team/{name}:v1")
        report = verifying.entry_verify(entry=entry, actor=Actor("tests"), image=image)
        assert (report.failed.code if report.failed else "") == code
    page = Page(client.get(url("entry", entry)))
    assert "Run the commands below, which give the role that counts in this registry" in page.text
    assert "Container Registry Repository Reader" in page.html
    azure.revoke(HOST, entry.config["client_id"])
    report = verifying.entry_verify(entry=entry, actor=Actor("tests"))
    assert report.failed is not None and report.failed.code == "access_denied"
    assert (
        "Run the commands below, which let that application pull"
        in Page(client.get(url("entry", entry))).text
    )
