"""The whole way to ECR Public: a worker with a token, gunicorn, a fake AWS, skopeo and podman,
and a registry that gives bearer tokens for what that AWS minted, and for nothing else."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from orgs.registries.aws_ecr_public import AwsEcrPublic
from orgs.registries.ecr_hosts import PUBLIC_HOSTS
from orgs.registries.images import ImageReference
from orgs.services.audit.events import Actor
from orgs.services.verification import verifying
from tests.real.pulling import pulled_by_both
from tests.real.test_worker_pull import podman
from tests.support.registry import Registry

__all__ = ["podman"]
pytestmark = [pytest.mark.once, pytest.mark.django_db(transaction=True)]


@pytest.fixture(params=sorted(PUBLIC_HOSTS))
def registry(request, aws, internet, monkeypatch) -> Iterator[Registry]:
    with Registry(request.param, tokens=True) as registry:
        registry.push("acme/train", "v1")
        aws.on_token(lambda password: registry.allow("AWS", password))
        internet.name(registry.host, ["8.8.8.8"])
        internet.route("8.8.8.8", 443, (registry.address, 443))
        monkeypatch.setenv("SSL_CERT_FILE", str(registry.ca_file))
        yield registry


@pytest.fixture
def entry(aws, make_entry, registry):
    key_id, secret = aws.create_user("valohai", json.loads(AwsEcrPublic().policy({}, []).document))
    return make_entry(
        f"{registry.host}/acme/*",
        registry_type="aws-ecr-public",
        config={"access_key_id": key_id},
        secrets={"secret_access_key": secret},
    )


def test_workers_pull_with_nothing_but_their_token(
    registry, entry, aws, project, actor, podman, tmp_path: Path
) -> None:
    image = f"{registry.host}/acme/train:v1"
    report = verifying.entry_verify(
        entry=entry, actor=Actor("tests"), image=ImageReference.parse(image)
    )
    assert report.failed is None, report
    aws.reset_calls()
    with pulled_by_both(registry, image, project, actor, podman, tmp_path):
        # One login for both, minted by the server alone.
        assert len(aws.calls) == 1
