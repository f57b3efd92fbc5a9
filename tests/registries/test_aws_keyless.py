"""Roles at AWS that trust one entry: what is asked of whom, every refusal, and boto3 at the same
fake, which fetches the keys that this server publishes."""

from __future__ import annotations

import json
import time
from datetime import UTC, datetime, timedelta

import pytest

from orgs.models import RegistryEntry
from orgs.registries.aws_ecr_keyless import AwsEcrAssumeRole, AwsEcrOidc
from orgs.registries.patterns import MatchPattern
from orgs.registries.problems import Failed
from orgs.services.identity import signing
from orgs.services.upstream import calls
from tests.conftest import HOST

pytestmark = [pytest.mark.once, pytest.mark.django_db(transaction=True)]

ACCOUNT, REGION = "123456789012", "us-east-1"
ARN = f"arn:aws:iam::{ACCOUNT}:role/ValohaiRegistries"
CONFIG = {"role_arn": ARN, "region": REGION}
OIDC, ASSUMED = AwsEcrOidc(), AwsEcrAssumeRole()
PATTERNS = [MatchPattern.parse(f"{HOST}/team/*")]


@pytest.fixture
def entry(make_entry, trusting_aws) -> RegistryEntry:
    return make_entry(f"{HOST}/team/*", registry_type=OIDC.slug, config=CONFIG, secrets={})


@pytest.fixture
def trusted(trusting_aws, entry):
    """The other side as the entry's page shows it: provider, trust policy and permissions."""
    set_up(trusting_aws, entry)
    return trusting_aws


def set_up(aws, entry, patterns=PATTERNS) -> None:
    kind = OIDC if entry.registry_type == OIDC.slug else ASSUMED
    shown = kind.set_up(entry.config, patterns, signing.who(entry))
    facts = dict(shown.facts)
    trust, rights = (json.loads(part.text) for part in shown.parts[:2])
    role = aws.role(facts["Role ARN"], trust, rights)
    if kind is OIDC:
        aws.roles.providers[role.account, facts["Issuer (provider URL)"]] = [facts["Audience"]]


def ask(entry, host: str = HOST, seconds: float = 7, **given):
    return calls.asked(
        OIDC if entry.registry_type == OIDC.slug else ASSUMED,
        host,
        time.monotonic() + seconds,
        entry,
        **given,
    )


def login(entry, **given):
    kind = OIDC if entry.registry_type == OIDC.slug else ASSUMED
    return kind.login(entry.config, {}, ask(entry, **given))


def refused(entry, **given) -> Failed:
    with pytest.raises(Failed) as failed:
        login(entry, **given)
    error = failed.value
    assert error.what.endswith(".") and error.fix.endswith(".")
    for hidden in ("eyJ", entry.config["role_arn"], "Not authorized", "provider, please"):
        assert hidden not in error.detail, error.detail
    return error


# --- by what this server says of the entry ----------------------------------------------------


def test_two_calls_and_a_login_of_an_hour(trusted, entry) -> None:
    given = login(entry)
    assert given.username == "AWS" and {given.password} == trusted.tokens
    (took,) = trusted.roles.took
    assert (took.what, took.role, took.code) == ("AssumeRoleWithWebIdentity", ARN, "ok")
    assert took.session == f"acme-{entry.pk.hex}"
    life = given.expires_at - datetime.now(UTC)
    assert timedelta(minutes=59) < life <= timedelta(hours=1)
    # Both documents were fetched, once; the next login needs neither.
    login(entry)
    assert len(trusted.roles.relying.fetched) == 2
