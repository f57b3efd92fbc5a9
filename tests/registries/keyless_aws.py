"""What tests of AWS's keyless types share: a role that is set up as the entry's page shows it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import pytest

from orgs.models import RegistryEntry
from orgs.registries import aws_server
from orgs.registries.catalogue import BY_SLUG
from orgs.services.entries.validating import patterns_of
from orgs.services.identity import signing
from tests.conftest import HOST
from tests.support.fake_aws import FakeAws
from tests.support.internet import Internet
from tests.support.registry import Registry

ACCOUNT, OWN_ACCOUNT, REGION = "123456789012", "999999999999", "us-east-1"
ARN = f"arn:aws:iam::{ACCOUNT}:role/ValohaiRegistries"


def policy(*statements: dict[str, object]) -> dict[str, object]:
    return {"Version": "2012-10-17", "Statement": list(statements)}


def set_up(aws: FakeAws, entry: RegistryEntry) -> None:
    """The other side, by the documents and facts of the entry's page."""
    who = replace(signing.who(entry), own_account=OWN_ACCOUNT)
    shown = BY_SLUG[entry.registry_type].set_up(entry.config, patterns_of(entry), who)
    assert shown is not None
    facts = dict(shown.facts)
    trust, rights = (json.loads(part.text) for part in shown.parts[:2])
    role = aws.role(facts["Role ARN"], trust, rights)
    if "Audience" in facts:
        aws.roles.providers[role.account, facts["Issuer (provider URL)"]] = [facts["Audience"]]


@contextmanager
def granting_registry(aws: FakeAws, internet: Internet, monkeypatch: Any) -> Iterator[Registry]:
    """A real registry under `HOST` that gives bearer tokens for what this AWS minted, as far as
    its sessions may pull, and for nothing else; in it `team/train:v1` and `team/serve:v1`."""
    with Registry(HOST, tokens=True) as registry:
        for repository in ("team/train", "team/serve"):
            registry.push(repository, "v1")
        registry.judge = lambda password, repository: aws.may_pull(
            password, f"arn:aws:ecr:{REGION}:{ACCOUNT}:repository/{repository}"
        )
        aws.on_token(lambda password: registry.allow("AWS", password))
        internet.name(HOST, ["10.20.30.40"])
        internet.route("10.20.30.40", 443, (registry.address, 443))
        monkeypatch.setenv("SSL_CERT_FILE", str(registry.ca_file))
        yield registry


@pytest.fixture
def own(trusting_aws: FakeAws, settings, monkeypatch) -> Iterator[FakeAws]:
    """This server's own identity at AWS: an IAM user's key in its environment."""
    everything = {"Effect": "Allow", "Action": "sts:AssumeRole", "Resource": "*"}
    key_id, secret = trusting_aws.create_user("server", policy(everything), account=OWN_ACCOUNT)
    settings.AWS_SERVER_IDENTITY = True
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", key_id)
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", secret)
    aws_server.forget()
    yield trusting_aws
    aws_server.forget()
