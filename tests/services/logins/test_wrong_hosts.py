"""A host that a pattern's `*` stands for, or that older rules let in, and that isn't a
registry of the type's: no login goes there, cached or not, and nobody else is made to wait."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.db.models.functions import Now

from orgs.models import AuditEvent, CachedLogin, IndexedPattern, RegistryEntry
from orgs.registries.catalogue import TYPES
from orgs.registries.patterns import MatchPattern
from orgs.services.logins import minting, renewing
from orgs.services.tenancy import tokens
from tests.api.conftest import LOGIN, Api
from tests.conftest import HOST

pytestmark = pytest.mark.django_db(transaction=True)

ECR = HOST.partition(".")[2]
WRONG = [f"{account}.{ECR}" for account in ("evil", "1234", "1234567890123", "x" * 12)]


@pytest.fixture
def entry(aws, make_entry) -> RegistryEntry:
    key_id, secret = aws.create_user("valohai", aws.policy())
    return make_entry(
        f"*.{ECR}/*", config={"access_key_id": key_id}, secrets={"secret_access_key": secret}
    )


@pytest.fixture
def ask(acme, actor, project, entry):
    worker = Api(tokens.token_issue_worker(organization=acme, name="w", actor=actor)[1])
    return lambda host: worker.post(LOGIN, {"project": str(project.pk), "image": f"{host}/a:1"})


@pytest.mark.parametrize("host", WRONG)
def test_a_wrong_host_blocks_nobody(ask, aws, entry, host) -> None:
    for _ in range(3):
        refused = ask(host)
        assert (refused.status_code, refused.json()["code"]) == (409, "entry_unusable")
        assert f"{host} isn't an ECR host" in refused.json()["detail"]
    assert not CachedLogin.objects.exclude(error_code="").exists() and aws.calls == []
    assert ask(HOST).status_code == 200
    entry.refresh_from_db()
    assert entry.status == "verified"


@pytest.mark.parametrize("host", WRONG)
def test_a_cached_login_isnt_given_there_and_its_renewal_goes_on(ask, aws, entry, host) -> None:
    good = ask(HOST).json()["password"]
    assert ask(HOST).json()["password"] == good  # by the one read
    CachedLogin.objects.update(refresh_after=Now() - timedelta(seconds=1))
    refused = ask(host)
    assert refused.status_code == 409 and good not in refused.content.decode()
    minting.background.drain()
    row = CachedLogin.objects.get()
    assert (row.next_try_at, row.error_code) == (None, "") and len(aws.calls) == 1
    assert renewing.renew_due().done == 1
    assert AuditEvent.objects.filter(action="login.issued").count() == 2


def test_a_pattern_that_older_rules_let_in(ask, entry) -> None:
    good = ask(HOST).json()["password"]
    parsed = MatchPattern.parse("evil.example.com/*")
    (row,) = IndexedPattern.objects.all()
    row.pk, row.text, row.normalized = None, str(parsed), str(parsed)
    row.host, row.prefix, row.wildcard_host = parsed.authority, "", False
    row.save()
    for _ in range(2):
        refused = ask("evil.example.com")
        assert refused.status_code == 409 and good not in refused.content.decode()


@pytest.mark.parametrize("kind", [k for k in TYPES if k.minted], ids=lambda kind: kind.slug)
def test_every_minted_type_says_where_its_logins_go(kind) -> None:
    """Those of a host that anyone may have are refused before a cached one is looked at."""
    config = {"region": "us-east-1"}
    own = kind.example_host(MatchPattern.parse(kind.example_pattern))
    assert kind.host_refusal(config, own) is None
    for host in ("evil.example.com", f"{own}.evil.com", f"evil{own}x", "localhost", ""):
        refusal = kind.host_refusal(config, host)
        assert refusal is not None and refusal.code == "entry_unusable", host
