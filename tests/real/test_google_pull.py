"""The whole way to Google: a worker with a token, gunicorn, a fake Google, skopeo and podman,
and a registry that gives bearer tokens for what that Google minted, and for nothing else. By a
service account's key, and by none: then that Google reads the keys that this server publishes."""

from __future__ import annotations

from pathlib import Path

import pytest

from orgs.registries.images import ImageReference
from orgs.services.audit.events import Actor
from orgs.services.identity import keys, signing
from orgs.services.tenancy import tokens
from orgs.services.verification import verifying
from tests.real.pulling import pulled_by_both, skopeo
from tests.real.test_worker_pull import podman
from tests.support.issuer import NAME as ISSUER
from tests.web.conftest import Page, url

__all__ = ["podman"]
pytestmark = [pytest.mark.once, pytest.mark.django_db(transaction=True)]

HOST = "europe-west1-docker.pkg.dev"
IMAGE = f"{HOST}/my-project/my-repo/train:v1"


@pytest.fixture
def key(google) -> str:
    return google.create_key(google.create_account())


@pytest.fixture
def entry(make_entry, key):
    return make_entry(
        f"{HOST}/my-project/*",
        registry_type="gcp-cr",
        config={},
        secrets={"service_account_json": key},
    )


def test_workers_pull_with_nothing_but_their_token(
    artifact_registry, entry, project, acme, actor, google, podman, tmp_path: Path
) -> None:
    with pulled_by_both(artifact_registry, IMAGE, project, actor, podman, tmp_path) as own:
        # One token for both, minted by the server alone.
        assert [call.error for call in google.calls] == [""]
        asked = [seen for seen in artifact_registry.requests if seen.path.startswith("/v2/token")]
        assert asked and all(seen.authenticated for seen in asked)

        # Without a token of ours, nothing is pulled.
        nobody = tokens.token_issue_worker(organization=acme, name="old", actor=actor)
        tokens.token_revoke(token=nobody[0], actor=actor)
        without = own | {"VALOHAI_REGISTRIES_TOKEN": nobody[1], "HOME": str(tmp_path)}
        refused = skopeo(artifact_registry, IMAGE, without, tmp_path / "pulled")
        assert refused.returncode != 0 and "token_revoked: " in refused.stderr


def test_verify(artifact_registry, entry, client, alice) -> None:
    """Its bearer tokens come from the registry's own host, so no other is asked. Where the
    role is missing, the page has the command that grants it."""
    client.force_login(alice)
    for name, code in (("train", ""), ("other", "image_not_found"), ("barred", "image_denied")):
        artifact_registry.barred = {"my-project/my-repo/barred"}
        image = ImageReference.parse(f"{HOST}/my-project/my-repo/{name}:v1")
        report = verifying.entry_verify(entry=entry, actor=Actor("tests"), image=image)
        assert (report.failed.code if report.failed else "") == code
        entry.refresh_from_db()
        assert (entry.status == "verified") is (code == "")
    page = Page(client.get(url("entry", entry)))
    assert "Run the commands below, which let that service account read" in page.text
    assert "gcloud projects add-iam-policy-binding my-project" in page.text


EMAIL = "valohai-pull@my-project.iam.gserviceaccount.com"
NAME = "projects/123456789012/locations/global/workloadIdentityPools/valohai/providers/valohai"


@pytest.mark.parametrize("account", [EMAIL, ""])
def test_workers_pull_by_what_this_server_says_of_the_entry(
    account, artifact_registry, make_entry, issuer, project, actor, google, podman, tmp_path,
    monkeypatch,
) -> None:  # fmt: skip
    config = {"workload_identity_provider": NAME, "service_account_email": account}
    entry = make_entry(
        f"{HOST}/my-project/*",
        registry_type="gcp-cr-oidc",
        config={name: value for name, value in config.items() if value},
        secrets={},
    )
    subject = signing.who(entry).subject
    principal = google.pools.principal(google.pools.create(ISSUER, subject), subject)
    google.pools.readers.add(principal)
    google.pools.let_act(EMAIL, principal)
    google.pools.relying.addresses[ISSUER] = issuer
    # The processes that serve have an address of their own, and the name that clouds know.
    monkeypatch.setenv("OIDC_ISSUER", ISSUER)
    keys.signing()
    with pulled_by_both(artifact_registry, IMAGE, project, actor, podman, tmp_path):
        assert len(google.tokens) == 1  # one for both
        assert [len(google.pools.tokens), len(google.requests)] == ([1, 2] if account else [1, 1])
        (federated,) = google.pools.tokens
        assert (federated in google.tokens) is not bool(account)
    assert google.pools.relying.fetched[-1] == f"{ISSUER}/.well-known/jwks.json"
    entry.refresh_from_db()
    assert entry.status == "verified" and not entry.secrets_changed_at
