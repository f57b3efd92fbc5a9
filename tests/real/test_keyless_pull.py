"""The whole way to ECR without a stored key: a worker with a token, gunicorn, a fake AWS that
fetches this server's published keys, skopeo and podman, and a registry that gives bearer tokens
for what that AWS minted, as far as its sessions may pull, and for nothing else."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from orgs.registries.images import ImageReference
from orgs.services.audit.events import Actor
from orgs.services.logins import issuing
from orgs.services.verification import verifying
from tests.conftest import HOST
from tests.real.pulling import pulled_by_both
from tests.real.test_worker_pull import podman
from tests.registries.keyless_aws import ARN, REGION, granting_registry, own, set_up
from tests.support import issuer as published
from tests.support.registry import Registry
from tests.support.relying import RelyingParty

__all__ = ["own", "podman"]
pytestmark = [pytest.mark.once, pytest.mark.django_db(transaction=True)]

IMAGE, SIBLING = f"{HOST}/team/train:v1", f"{HOST}/team/serve:v1"


@pytest.fixture
def registry(own, internet, monkeypatch) -> Iterator[Registry]:
    with granting_registry(own, internet, monkeypatch) as registry:
        yield registry


@pytest.mark.parametrize(
    ("slug", "narrow"), [("aws-ecr-oidc", True), ("aws-ecr-assume-role", False)]
)
def test_workers_pull_with_nothing_but_their_token(
    slug, narrow, registry, own, make_entry, project, actor, podman, tmp_path: Path, monkeypatch
) -> None:
    config = {"role_arn": ARN, "region": REGION} | ({"narrow": "true"} if narrow else {})
    entry = make_entry(f"{HOST}/team/*", registry_type=slug, config=config, secrets={})
    image = ImageReference.parse(IMAGE)
    waits = verifying.entry_verify(entry=entry, actor=Actor("tests"), image=image)
    assert waits.failed and waits.failed.name == "login"
    set_up(own, entry)
    entry.refresh_from_db()
    report = verifying.entry_verify(entry=entry, actor=Actor("tests"), image=image)
    assert report.failed is None, report
    entry.refresh_from_db()
    assert entry.status == "verified"
    before = len(own.tokens)
    monkeypatch.setenv("AWS_SERVER_IDENTITY", "on")
    # gunicorn signs, and AWS reads gunicorn's own keys.
    own.roles.relying = RelyingParty()
    with pulled_by_both(
        registry,
        IMAGE,
        project,
        actor,
        podman,
        tmp_path,
        at=lambda address: own.roles.relying.addresses.update({published.NAME: address}),
        name=published.NAME,
    ):
        assert len(own.tokens) == before + 1  # one login for both


def test_a_narrowed_login_is_refused_for_a_sibling_by_the_registry(
    registry, own, make_entry, project, tmp_path: Path
) -> None:
    """Not the match pattern but AWS's session policy: the password itself opens no other."""
    config = {"role_arn": ARN, "region": REGION, "narrow": "true"}
    entry = make_entry(f"{HOST}/team/*", registry_type="aws-ecr-oidc", config=config, secrets={})
    set_up(own, entry)
    given = issuing.login_for(
        project=project, image=ImageReference.parse(IMAGE), actor=Actor("worker")
    ).login
    login = ["--src-creds", f"{given.username}:{given.password}"]

    def pull(image: str, to: str):
        return registry.skopeo(["copy", *login, f"docker://{image}", f"dir:{tmp_path / to}"])

    assert pull(IMAGE, "own").returncode == 0
    refused = pull(SIBLING, "sibling")
    assert refused.returncode != 0 and "unauthorized" in refused.stderr.lower()
    assert not (tmp_path / "sibling" / "manifest.json").exists()
