"""Tokens: their shape, what is kept of them, how they end; and where requests come from."""

from __future__ import annotations

import hashlib
import re
from datetime import timedelta

import pytest
from django.core.management import CommandError, call_command
from django.db import IntegrityError, transaction
from django.db.models import RestrictedError
from django.test import RequestFactory
from django.utils import timezone

from orgs import checks
from orgs.models import ApiToken, AuditEvent, Environment, WorkerToken
from orgs.proxies import source_address
from orgs.registries.problems import Failed, Refused
from orgs.services.audit.events import Actor
from orgs.services.tenancy import tokens

pytestmark = pytest.mark.django_db

FORM = re.compile(r"(vrw|vra)_[0-9a-f]{16}_[0-9a-f]{64}")


def test_what_is_kept_is_a_digest(acme, alice):
    actor = Actor.person(alice, acme)
    token, text = tokens.token_issue_worker(organization=acme, name=" gpu ", actor=actor)
    assert FORM.fullmatch(text)[1] == "vrw"
    token.refresh_from_db()
    assert token.digest == hashlib.sha256(text.encode()).hexdigest()
    assert (token.name, token.created_by, text.startswith(f"{token.begins_with}_")) == (
        *("gpu", alice, True),
    )
    assert tokens.authenticate(text) == token
    event = AuditEvent.objects.get(action="token.issued")
    assert (event.actor, event.subject_id) == ("alice@example.com", token.begins_with)
    assert text.rpartition("_")[2] not in str(event.__dict__)


def test_no_two_are_alike(acme, alice, actor):
    texts = {
        tokens.token_issue_worker(organization=acme, name="same", actor=actor)[1] for _ in range(20)
    }
    _, personal = tokens.token_issue_api(user=alice, name="same", actor=actor)
    assert FORM.fullmatch(personal)[1] == "vra"
    assert len(texts) == 20
    assert len({text.rpartition("_")[2] for text in texts}) == 20


def test_another_key_id_with_a_true_secret_is_nothing(acme, actor):
    _, one = tokens.token_issue_worker(organization=acme, name="one", actor=actor)
    _, two = tokens.token_issue_worker(organization=acme, name="two", actor=actor)
    mixed = f"{one.rpartition('_')[0]}_{two.rpartition('_')[2]}"
    for wrong in (mixed, one.replace("vrw", "vra"), one.upper(), f" {one}", f"{one}\n", ""):
        with pytest.raises(Failed) as refused:
            tokens.authenticate(wrong)
        assert refused.value.code == "not_authenticated"


def test_ends_are_told_only_to_who_holds_it(acme, actor):
    token, text = tokens.token_issue_worker(
        organization=acme, name="short", actor=actor, expires_in=timedelta(days=1)
    )
    assert timedelta(hours=23) < token.expires_at - timezone.now() < timedelta(days=1)
    tokens.authenticate(text)
    WorkerToken.objects.update(expires_at=timezone.now())
    guessed = f"{token.begins_with}_{'0' * 64}"
    for presented, code in ((text, "token_expired"), (guessed, "not_authenticated")):
        with pytest.raises(Failed) as refused:
            tokens.authenticate(presented)
        assert refused.value.code == code


def test_revoking_twice_tells_once(acme, actor):
    token, _ = tokens.token_issue_worker(organization=acme, name="x", actor=actor)
    tokens.token_revoke(token=token, actor=actor)
    revoked_at = WorkerToken.objects.get().revoked_at
    tokens.token_revoke(token=token, actor=actor)
    assert WorkerToken.objects.get().revoked_at == revoked_at
    assert AuditEvent.objects.filter(action="token.revoked", organization="Acme").count() == 1
    with pytest.raises(tokens.TokenEnded) as refused:
        tokens.still_valid(token)
    assert refused.value.code == "token_revoked"


@pytest.mark.parametrize(
    ("change", "code"),
    [
        ({"name": " "}, "invalid_name"),
        ({"name": "x" * 101}, "invalid_name"),
        ({"name": "x\ny"}, "invalid_name"),
        ({"expires_in": timedelta(0)}, "invalid_expiry"),
        ({"expires_in": timedelta(days=-1)}, "invalid_expiry"),
        ({"expires_in": timedelta(days=4000)}, "invalid_expiry"),
    ],
)
def test_what_is_refused(acme, actor, change, code):
    with pytest.raises(Refused) as refused:
        tokens.token_issue_worker(**{"organization": acme, "name": "x", "actor": actor} | change)
    assert refused.value.code == code
    assert not WorkerToken.objects.exists()
    assert not AuditEvent.objects.exists()


def test_scopes_that_are_not_theirs(acme, umbrella, alice, gpu, actor):
    theirs = Environment.objects.create(organization=umbrella, name="X", slug="x")
    for change, code in (
        ({"environment": theirs}, "environment_not_found"),
        ({"environment": gpu, "any_environment": True}, "two_reaches"),
    ):
        with pytest.raises(Refused) as refused:
            tokens.token_issue_worker(organization=acme, name="x", actor=actor, **change)
        assert refused.value.code == code
    with pytest.raises(Refused) as refused:
        tokens.token_issue_api(user=alice, name="x", actor=actor, organization=umbrella)
    assert refused.value.code == "not_a_member"


def test_the_database_holds_one_reach_too(acme, gpu):
    with pytest.raises(IntegrityError), transaction.atomic():
        WorkerToken.objects.create(
            organization=acme, key_id="a", digest="b", environment=gpu, any_environment=True
        )


def test_an_environment_with_tokens_stays_but_goes_with_its_organization(acme, gpu, actor):
    tokens.token_issue_worker(organization=acme, name="x", actor=actor, environment=gpu)
    with pytest.raises(RestrictedError):
        gpu.delete()
    acme.delete()
    assert not WorkerToken.objects.exists()
    assert AuditEvent.objects.get(action="token.issued").organization == "Acme"


# --- the commands ------------------------------------------------------------------


@pytest.fixture
def run(capsys):
    def run(*arguments):
        code = 0
        try:
            call_command(*arguments)
        except SystemExit as stopped:
            code = stopped.code
        except CommandError:
            code = 2
        captured = capsys.readouterr()
        return code, captured.out, captured.err

    return run


def test_issue_worker_token_prints_it_alone(run, acme, gpu):
    code, out, err = run("issue_worker_token", "gpu workers", "--organization", "acme")
    assert (code, err) == (0, "")
    assert FORM.fullmatch(out.strip())
    assert tokens.authenticate(out.strip()).name == "gpu workers"
    of_acme = ("--organization", "acme")
    _, out, _ = run("issue_worker_token", "x", *of_acme, "--environment", "gpu")
    assert tokens.authenticate(out.strip()).environment == gpu
    _, out, _ = run("issue_worker_token", "x", *of_acme, "--any-environment", "--expires-in", "7")
    token = tokens.authenticate(out.strip())
    assert token.any_environment
    assert timedelta(days=6) < token.expires_at - timezone.now() < timedelta(days=7)
    assert AuditEvent.objects.filter(action="token.issued", actor="command line").count() == 3


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        (["x", "--organization", "nowhere"], 1),
        (["x", "--organization", "acme", "--environment", "nowhere"], 1),
        ([" ", "--organization", "acme"], 1),
        (["x"], 2),
        (["x", "--organization", "acme", "--environment", "gpu", "--any-environment"], 2),
        (["x", "--organization", "acme", "--expires-in", "0"], 2),
        (["x", "--organization", "acme", "--expires-in", "soon"], 2),
        (["x", "--organization", "acme", "--expires-in", "9" * 30], 2),
    ],
)
def test_issue_worker_token_refuses(run, acme, gpu, arguments, code):
    assert run("issue_worker_token", *arguments)[:2] == (code, "")
    assert not WorkerToken.objects.exists()


def test_issue_api_token(run, alice, acme, umbrella):
    code, out, err = run("issue_api_token", "Alice@Example.com", "--name", "terraform")
    assert (code, err) == (0, "")
    assert tokens.authenticate(out.strip()).user == alice
    _, out, _ = run("issue_api_token", alice.email, "--name", "x", "--organization", "acme")
    assert tokens.authenticate(out.strip()).organization == acme
    for arguments, expected in (
        (["nobody@example.com", "--name", "x"], 1),
        ([alice.email, "--name", "x", "--organization", "umbrella"], 1),
        ([alice.email], 2),
    ):
        assert run("issue_api_token", *arguments)[:2] == (expected, "")
    assert ApiToken.objects.count() == 2


# --- where a request comes from --------------------------------------------------------


@pytest.mark.parametrize(
    ("trusted", "remote", "forwarded", "found"),
    [
        ([], "10.0.0.1", "1.2.3.4", "10.0.0.1"),
        (["10.0.0.0/8"], "10.0.0.1", None, "10.0.0.1"),
        (["10.0.0.0/8"], "10.0.0.1", "1.2.3.4", "1.2.3.4"),
        (["10.0.0.0/8"], "10.0.0.1", "6.6.6.6, 1.2.3.4", "1.2.3.4"),
        (["10.0.0.0/8"], "10.0.0.1", "6.6.6.6, 1.2.3.4, 10.0.0.2", "1.2.3.4"),
        (["10.0.0.0/8"], "10.0.0.1", "10.0.0.3, 10.0.0.2", "10.0.0.3"),
        (["10.0.0.0/8"], "10.0.0.1", "6.6.6.6, nonsense", "10.0.0.1"),
        (["10.0.0.0/8"], "10.0.0.1", "6.6.6.6, nonsense, 10.0.0.2", "10.0.0.2"),
        (["10.0.0.0/8"], "10.0.0.1", "", "10.0.0.1"),
        (["10.0.0.1"], "10.0.0.2", "1.2.3.4", "10.0.0.2"),
        (["::1"], "::1", "2001:db8::7", "2001:db8::7"),
        (["127.0.0.1"], "::ffff:127.0.0.1", "::ffff:1.2.3.4", "1.2.3.4"),
        (["10.0.0.0/8"], "fe80::1%eth0", "1.2.3.4", "fe80::1"),
        (["10.0.0.0/8"], "", "1.2.3.4", None),
    ],
)
def test_source_address(settings, trusted, remote, forwarded, found):
    settings.TRUSTED_PROXIES = trusted
    headers = {"X-Forwarded-For": forwarded} if forwarded is not None else {}
    request = RequestFactory().get("/", REMOTE_ADDR=remote, headers=headers)
    assert source_address(request) == found


@pytest.mark.parametrize("name", ["TRUSTED_PROXIES", "OUTBOUND_ALLOWED_NETWORKS"])
def test_a_malformed_network_stops_the_start(settings, name):
    setattr(settings, name, ["10.0.0.0/8", "proxy.example.com", "10.0.0.0/99"])
    messages = checks.networks(None)
    assert [message.id for message in messages] == ["orgs.E006"] * 2
    assert all(name in message.msg for message in messages)
    setattr(settings, name, ["10.0.0.1/8", "::1"])
    assert checks.networks(None) == []
