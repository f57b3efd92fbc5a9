"""`POST /api/v0/docker-login/`: every row of the contract's table, over HTTP."""

from __future__ import annotations

import base64
import json
import logging
import uuid
from contextlib import contextmanager
from datetime import datetime, timedelta
from urllib.parse import parse_qs, urlsplit

import pytest
from django.db import DatabaseError, OperationalError, connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from orgs.api import limits
from orgs.models import (
    AuditEvent,
    CachedLogin,
    Environment,
    Membership,
    Project,
    WorkerToken,
)
from orgs.registries.private import public
from orgs.services.audit import events
from orgs.services.logins import issuing, minting
from orgs.services.tenancy import tokens
from orgs.services.upstream import calls
from tests.conftest import CANARY, HOST

from .conftest import IMAGE, LOGIN, Api, refused

pytestmark = pytest.mark.django_db(transaction=True)


def helped(told):
    """(path, query) of the page that explains a refusal."""
    address = urlsplit(told["help"])
    assert f"{address.scheme}://{address.netloc}" == "http://127.0.0.1:8000"
    return address.path, {name: values[0] for name, values in parse_qs(address.query).items()}


# --- a login -----------------------------------------------------------------------


def test_a_login_as_the_contract_has_it(aws, entry, ask):
    response = ask()
    assert response.status_code == 200
    assert response["Cache-Control"] == "no-store"
    login = response.json()
    assert list(login) == [
        *("kind", "server", "username", "password", "expires_at", "refresh_at", "entry"),
    ]
    assert (login["kind"], login["server"], login["username"]) == ("docker", HOST, "AWS")
    assert login["password"] in aws.tokens
    assert login["entry"] == {
        "id": str(entry.pk),
        "type": "aws-ecr",
        "image_pattern": f"{HOST}/*",
    }
    for name in ("expires_at", "refresh_at"):
        assert login[name].endswith("Z") and "." not in login[name]
    ahead = datetime.fromisoformat(login["refresh_at"]) - timezone.now()
    assert timedelta(minutes=9) < ahead <= timedelta(minutes=10)


def test_an_instance_role_as_the_contract_has_it(aws, make_entry, ask):
    entry = make_entry(registry_type="aws-ecr-role")
    login = ask().json()
    assert list(login) == ["kind", "server", "role_name", "region", "refresh_at", "entry"]
    assert (login["kind"], login["role_name"], login["region"]) == (
        *("instance-role", "ValohaiWorkerRole", "us-east-1"),
    )
    assert login["entry"]["id"] == str(entry.pk)
    assert aws.calls == []


def test_the_server_is_answered_as_the_client_wrote_it(entry, ask):
    assert ask(f"{HOST.upper()}:443/x").json()["server"] == f"{HOST.upper()}:443"


def test_blanks_around_and_nulls_are_nothing(entry, ask, worker, project):
    assert ask(f" {IMAGE}\n", environment=" ", server="").status_code == 200
    body = {"project": str(project.pk), "image": IMAGE, "server": None, "environment": None}
    assert worker.post(LOGIN, body).status_code == 200


def test_the_formats(entry, ask):
    password = ask().json()["password"]
    auth = base64.b64encode(f"AWS:{password}".encode()).decode()
    config = {"auths": {HOST: {"auth": auth}}}
    assert ask(path=f"{LOGIN}?format=json").json()["password"] == password
    assert ask(path=f"{LOGIN}?format=docker-config").json() == config
    helper = {"ServerURL": HOST, "Username": "AWS", "Secret": password}
    assert ask(path=f"{LOGIN}?format=helper").json() == helper
    secret = ask(path=f"{LOGIN}?format=k8s-secret").json()
    assert secret["type"] == "kubernetes.io/dockerconfigjson"
    by_path = {"auths": {f"{HOST}/my-ml-image": {"auth": auth}}}
    assert json.loads(base64.b64decode(secret["data"][".dockerconfigjson"])) == by_path
    assert ask(path=f"{LOGIN}?format=containers-auth").json() == by_path


def test_the_event_names_token_and_address(entry, ask):
    ask()
    token = WorkerToken.objects.get()
    event = AuditEvent.objects.get(action="login.issued")
    assert (event.actor, event.source_address) == ("worker gpu workers", "127.0.0.1")
    assert event.properties["token"] == token.begins_with
    assert (event.organization, event.project, event.subject) == ("Acme", "first-project", IMAGE)


def test_a_cached_login_costs_few_queries_whatever_stands_there(entry, ask, make_entry):
    ask()
    counts = []
    for _ in range(2):
        with CaptureQueriesContext(connection) as captured:
            assert ask().status_code == 200
        own = [q["sql"] for q in captured if not q["sql"].startswith(("BEGIN", "COMMIT"))]
        counts.append(len(own))
        for number in range(20):
            make_entry(f"{HOST}/team-{len(counts)}-{number}/*")
    # all that decides, and the event
    assert counts == [2, 2]


# --- 400 ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("image", "hint"),
    [
        ("https://" + IMAGE, f"Write {IMAGE}."),
        (f"{HOST}/My-Image", f"Write {HOST}/my-image."),
        ("a b", "blanks"),
        (f"{HOST}/x:", "tag"),
        ("x" * 2000, "longer"),
        (f"{HOST}/x\u0000", "ASCII"),
        (f"{HOST}/x\ud800", "ASCII"),
    ],
)
def test_what_is_no_image_is_told_the_corrected_form(entry, ask, image, hint):
    told = refused(ask(image), 400, "invalid_image")
    assert hint in told["detail"]
    assert helped(told)[0] == "/organizations/acme/registries/check/"


JUNK = [
    b"",
    b"{",
    b"null",
    b"[]",
    b'"text"',
    b"7",
    b"\xff\xfe\xfd",
    b"[" * 16_000,
    b"9" * 10_000,
    b"project=1&image=2",
    b"{}",
    b'{"project": "%s"}',
    b'{"project": "%s", "image": ""}',
    b'{"project": "%s", "image": 7}',
    b'{"project": "%s", "image": ["x"]}',
    b'{"project": "%s", "image": "x", "server": "y"}',
    b'{"project": "%s", "image": "x", "environment": {}}',
    b'{"project": null, "image": "x"}',
    b'{"project": 12, "image": "x"}',
    b'{"project": "first-project", "image": "x"}',
    b'{"image": "x"}',
]


@pytest.mark.parametrize("body", JUNK, ids=lambda body: body[:40].decode(errors="replace"))
def test_junk_is_an_invalid_request(worker, project, body):
    told = refused(
        worker.post(LOGIN, body.replace(b"%s", str(project.pk).encode())), 400, "invalid_request"
    )
    page, asked = helped(told)
    assert page == "/organizations/acme/registries/check/"
    # what of it can be read is filled in there
    assert asked == ({"image": "x"} if b'"image": "x"' in body else {})


def test_junk_is_never_echoed(worker, ask, caplog):
    caplog.set_level(logging.DEBUG)
    for response in (
        worker.post(LOGIN, {"project": CANARY, "image": CANARY}),
        worker.post(LOGIN, {"project": {CANARY: CANARY}, "image": [CANARY]}),
        ask(environment=CANARY, image=None),
        ask(path=f"{LOGIN}?format={CANARY}"),
        ask(CANARY),
    ):
        assert response.status_code in {400, 404}
        assert CANARY not in json.dumps(response.json()).replace(response.json()["help"], "")
    assert CANARY not in str(list(AuditEvent.objects.values()))


def test_an_unknown_format_is_an_invalid_request(entry, ask, aws):
    told = refused(ask(path=f"{LOGIN}?format=xml"), 400, "invalid_request")
    assert "format" in told["detail"]
    assert aws.calls == []


# --- 401 ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    "header",
    [
        None,
        "",
        "Token",
        "Token ",
        "Token nonsense",
        "Token vrw_0123456789abcdef_" + "0" * 64,
        "Token {text}0",
        "Token {cut}",
        "Bearer {text}",
        "Basic {text}",
        "{text}",
        "Token {upper}",
        "Token vrw_" + "é" * 16 + "_" + "0" * 64,
        "Token {api}",
    ],
)
def test_without_a_token_of_ours(issue, project, aws, entry, header, alice, actor):
    text = issue()
    _, api = tokens.token_issue_api(user=alice, name="terraform", actor=actor)
    asker = Api(None)
    if header is not None:
        header = header.format(text=text, cut=text[:-1], upper=text.upper(), api=api)
        asker.headers = {"Authorization": header}
    response = asker.post(LOGIN, {"project": str(project.pk), "image": IMAGE})
    told = refused(response, 401, "not_authenticated")
    assert response["WWW-Authenticate"] == "Token"
    assert helped(told) == ("/", {})
    assert text not in json.dumps(told)
    assert aws.calls == []


def test_a_session_counts_for_nothing(client, alice, project, entry):
    client.force_login(alice)
    body = {"project": str(project.pk), "image": IMAGE}
    refused(client.post(LOGIN, body, "application/json"), 401, "not_authenticated")


def test_ended_tokens_say_so_and_are_told_of(ask, entry, worker, actor):
    WorkerToken.objects.update(expires_at=timezone.now() - timedelta(seconds=1))
    assert "expired on" in refused(ask(), 401, "token_expired")["detail"]
    tokens.token_revoke(token=WorkerToken.objects.get(), actor=actor)
    refused(ask(), 401, "token_revoked")
    events = AuditEvent.objects.filter(action="token.refused").order_by("pk")
    assert [event.code for event in events] == ["token_expired", "token_revoked"]
    assert {event.organization for event in events} == {"Acme"}
    assert not AuditEvent.objects.filter(action="login.issued").exists()


def test_a_token_revoked_while_its_asker_waits_gets_nothing(ask, entry, actor, monkeypatch):
    mint = minting._refresh

    def revoked_meanwhile(*args):
        tokens.token_revoke(token=WorkerToken.objects.get(), actor=actor)
        return mint(*args)

    monkeypatch.setattr(minting, "_refresh", revoked_meanwhile)
    refused(ask(), 401, "token_revoked")
    assert AuditEvent.objects.get(action="login.refused").code == "token_revoked"


# --- 403 and 404: whose project, which environment ----------------------------------


def test_a_members_personal_project_is_told(ask, entry, bob):
    personal = Project.objects.create(name="mine", user=bob)
    told = refused(ask(project=str(personal.pk)), 403, "personal_project")
    assert "“mine” is personal" in told["detail"]
    event = AuditEvent.objects.get(action="login.refused")
    assert (event.organization, event.code, event.subject) == ("Acme", "personal_project", IMAGE)


@pytest.mark.parametrize("whose", ["nobody", "a stranger", "another organization", "a leaver"])
def test_other_projects_are_not_there(ask, entry, charlie, umbrella, bob, whose):
    theirs = {
        "nobody": uuid.uuid4(),
        "a stranger": Project.objects.create(name="secret", user=charlie).pk,
        "another organization": Project.objects.create(name="secret", organization=umbrella).pk,
        "a leaver": Project.objects.create(name="secret", user=bob).pk,
    }[whose]
    Membership.objects.filter(user=bob).delete()
    told = refused(ask(project=str(theirs)), 404, "project_not_found")
    assert "secret" not in told["detail"]
    assert AuditEvent.objects.get(action="login.refused").organization == "Acme"


@pytest.fixture
def roles(make_entry, gpu, acme):
    """The guide's dedicated-role case: one pattern, another role for each environment."""
    cpu = Environment.objects.create(organization=acme, name="CPU", slug="cpu")
    for environment in (gpu, cpu):
        make_entry(
            registry_type="aws-ecr-role",
            config={"role_name": f"{environment.name}Role"},
            environments=[environment],
        )
    return cpu


def test_a_bound_token_speaks_for_its_environment(roles, issue, ask, gpu):
    bound = Api(issue(environment=gpu))
    assert ask(api=bound).json()["role_name"] == "GPURole"
    assert ask(api=bound, environment="gpu").json()["role_name"] == "GPURole"
    for other in ("cpu", "nowhere", "x\u0000"):
        refused(ask(api=bound, environment=other), 403, "environment_not_allowed")
    assert ask(api=Api(issue(environment=roles))).json()["role_name"] == "CPURole"


def test_an_unbound_token_gets_neither(roles, ask):
    refused(ask(), 404, "no_match")
    refused(ask(environment="gpu"), 403, "environment_not_allowed")


def test_a_token_for_any_environment_names_one(roles, issue, ask, umbrella):
    anywhere = Api(issue(any_environment=True))
    Environment.objects.create(organization=umbrella, name="Theirs", slug="theirs")
    assert ask(api=anywhere, environment="cpu").json()["role_name"] == "CPURole"
    refused(ask(api=anywhere), 404, "no_match")
    for other in ("nowhere", "theirs", "x\u0000", "\ud800", "a b", CANARY, "x" * 100):
        told = refused(ask(api=anywhere, environment=other), 404, "environment_not_found")
        assert CANARY not in told["detail"]


def test_no_entry_for_the_image(ask, entry):
    told = refused(ask("ghcr.io/me/x:1"), 404, "no_match")
    assert "add an entry with ghcr.io/me/*" in told["detail"]

    page, query = helped(told)
    assert page == "/organizations/acme/registries/check/"
    assert query == {"image": "ghcr.io/me/x:1"}
    assert AuditEvent.objects.get(action="login.refused").code == "no_match"


@pytest.mark.parametrize(
    ("image", "meant"),
    [
        ("docker pull ghcr.io/me/x:1", "ghcr.io/me/x:1"),
        ("image: ghcr.io/me/x:1", "ghcr.io/me/x:1"),
        ("\ufeffghcr.io/me/x:1", "ghcr.io/me/x:1"),
        ("https://hub.docker.com/r/me/x", "docker.io/me/x"),
        (f"ghcr.io/me/x@SHA256:{'A' * 64}", f"ghcr.io/me/x@sha256:{'a' * 64}"),
    ],
)
def test_what_was_pasted_for_an_image_is_told_with_the_image(ask, entry, image, meant):
    told = refused(ask(image), 400, "invalid_image")
    assert told["detail"].endswith(f"Write {meant}.")


def test_a_disabled_entry_and_another_organizations_serve_nobody(ask, make_entry, umbrella, actor):
    make_entry(organization=umbrella)
    make_entry(enabled=False)
    refused(ask(), 404, "no_match")


def test_help_carries_the_environment(ask, issue):
    response = ask(api=Api(issue(any_environment=True)), environment="gpu")
    query = helped(refused(response, 404, "environment_not_found"))[1]
    assert query == {"image": IMAGE, "environment": "gpu"}


# --- 409 ---------------------------------------------------------------------------


def test_a_secret_that_does_not_open(ask, entry, settings):
    from cryptography.fernet import Fernet

    settings.FERNET_KEYS = [Fernet.generate_key().decode()]
    refused(ask(), 409, "entry_unusable")


@pytest.mark.parametrize("format", ["docker-config", "containers-auth", "helper", "k8s-secret"])
def test_an_instance_role_has_no_such_format(ask, make_entry, format):
    make_entry(registry_type="aws-ecr-role")
    told = refused(ask(path=f"{LOGIN}?format={format}"), 409, "instance_role_format")
    assert "docker-credential-valohai" in told["detail"]


# --- 413, 429 ----------------------------------------------------------------------


def test_a_large_body_is_not_read(worker):
    response = worker.post(LOGIN, b" " * (16 * 1024 + 1))
    refused(response, 413, "too_large")
    assert int(response["Retry-After"]) > 0
    refused(worker.post(LOGIN, b" " * (16 * 1024)), 400, "invalid_request")
    refused(worker.send("POST", LOGIN, b"{}", **{"Content-Length": "-1"}), 413, "too_large")


def test_who_asks_too_often_waits(monkeypatch, entry, ask, issue):
    monkeypatch.setattr(limits, "buckets", limits.Buckets(rate=0.5, burst=3))
    assert [ask().status_code for _ in range(3)] == [200] * 3
    response = ask()
    refused(response, 429, "rate_limited")
    assert 1 <= int(response["Retry-After"]) <= 2
    # another token isn't concerned
    assert ask(api=Api(issue("others"))).status_code == 200


def test_the_real_limit_lets_a_large_fleet_start_at_once(monkeypatch):
    buckets = limits.Buckets()
    assert not any(buckets.wait("one") for _ in range(2000))
    now = limits.time.monotonic()
    monkeypatch.setattr(limits.time, "monotonic", lambda: now + 10)
    assert not any(buckets.wait("one") for _ in range(1000))


def test_buckets_do_not_pile_up(monkeypatch):
    monkeypatch.setattr(limits, "_MOST_KEPT", 10)
    buckets = limits.Buckets(rate=1000, burst=1)
    for number in range(100):
        buckets.wait(str(number))
        limits.time.sleep(0.002)
    assert len(buckets._left) <= 11


# --- 422 and 503: what AWS says ------------------------------------------------------


def test_aws_refuses(ask, aws, entry):
    aws.remove_policy("valohai")
    for _ in range(2):  # asked, and remembered: neither names the key in a job's log
        told = refused(ask(), 422, "access_denied")
        assert "ecr:GetAuthorizationToken" in told["detail"] and "AKIA" not in told["detail"]
        assert "AWS accepts the key, but its user" in told["detail"]
    # what was remembered before there were marks
    key = entry.config["access_key_id"]
    CachedLogin.objects.update(error_what=f"AWS accepts the key {key}, but it may not.")
    assert key not in refused(ask(), 422, "access_denied")["detail"]
    for event in AuditEvent.objects.filter(action="login.refused"):
        assert key not in public(event.properties["reason"])


def test_a_wrong_secret(ask, aws, make_entry, caplog):
    caplog.set_level(logging.DEBUG)
    key_id, _ = aws.create_user("valohai", aws.policy())
    make_entry(config={"access_key_id": key_id})
    told = refused(ask(), 422, "signature_mismatch")
    assert CANARY not in json.dumps(told) + caplog.text


def test_an_unknown_key_mentions_the_region(ask, aws, make_entry):
    make_entry()
    assert "region us-east-1 enabled" in refused(ask(), 422, "invalid_key")["detail"]


@pytest.mark.parametrize(
    ("fault", "code"),
    [
        ("error500", "registry_unreachable"),
        ("throttle", "throttled"),
        ("skew", "clock_skew"),
    ],
)
def test_what_may_pass_says_when_to_ask_again(ask, aws, entry, fault, code):
    aws.fault(fault)
    response = ask()
    refused(response, 503, code)
    assert 1 <= int(response["Retry-After"]) <= 6


def test_a_still_valid_login_serves_while_aws_fails(ask, aws, entry):
    password = ask().json()["password"]
    CachedLogin.objects.update(refresh_after=timezone.now())
    aws.fault("error500")
    assert ask().json()["password"] == password


def test_busy(ask, entry, monkeypatch):
    monkeypatch.setitem(calls.LOGINS.most, "entry", 0)
    response = ask()
    refused(response, 503, "busy")
    assert response["Retry-After"] == "1"


def test_no_event_no_login(ask, aws, entry, monkeypatch):
    def fail(found):
        raise DatabaseError("disk full")

    with monkeypatch.context() as patch:
        patch.setattr(events, "insert", fail)
        response = ask()
        refused(response, 503, "audit_unavailable")
        assert response["Retry-After"] == "2"
    assert ask().json()["password"] in aws.tokens
    assert len(aws.calls) == 1


@pytest.fixture
def read_only(on_postgresql):
    """A context in which the database takes no write."""
    variable = "SET default_transaction_read_only" if on_postgresql else "PRAGMA query_only"

    @contextmanager
    def read_only():
        with connection.cursor() as cursor:
            cursor.execute(f"{variable} = on")
            try:
                yield
            finally:
                cursor.execute(f"{variable} = off")

    return read_only


def test_a_read_only_database_gives_no_login_and_no_crash(ask, entry, read_only):
    ask()
    with read_only():
        refused(ask(), 503, "audit_unavailable")
    assert ask().status_code == 200


def test_last_used_that_can_not_be_written_stops_nobody(worker, read_only):
    with read_only():
        assert worker.get("/api/v0/me/").status_code == 200
    assert WorkerToken.objects.get().last_used_at is None


def test_a_database_that_is_away_is_told_as_json(ask, monkeypatch):
    def away(text):
        raise OperationalError("could not connect to server: password=" + CANARY)

    monkeypatch.setattr(tokens, "authenticate", away)
    response = ask()
    told = refused(response, 503, "audit_unavailable")
    assert CANARY not in told["detail"]
    assert int(response["Retry-After"]) > 0


def test_a_crash_is_json_too(ask, entry, monkeypatch, settings):
    def crash(**kwargs):
        raise RuntimeError(CANARY)

    monkeypatch.setattr(issuing, "login_for", crash)
    assert CANARY not in json.dumps(refused(ask(), 500, "server_error"))


# --- by server alone ------------------------------------------------------------------


def test_a_server_whose_entry_covers_the_whole_host(ask, entry):
    login = ask(None, server=f"https://{HOST.upper()}/v2/").json()
    assert (login["kind"], login["server"]) == ("docker", HOST.upper())
    assert AuditEvent.objects.get(action="login.issued").subject == HOST


def test_a_server_that_no_entry_stands_on(ask, entry):
    told = refused(ask(None, server="ghcr.io"), 404, "no_match")
    assert "such as ghcr.io/your-team/*;" in told["detail"]
    told = refused(ask(None, server="registry.example.com"), 404, "no_match")
    assert "add an entry with registry.example.com/*" in told["detail"]


def test_a_server_where_the_image_would_decide(ask, entry, make_entry):
    make_entry(f"{HOST}/team/*", registry_type="aws-ecr-role")
    told = refused(ask(None, server=HOST), 409, "ambiguous_server")
    assert "Ask with the image" in told["detail"]
    assert AuditEvent.objects.get(action="login.refused").code == "ambiguous_server"


def test_what_is_no_server(ask):
    for server in ("nonsense", "ftp://x.example.com", "a b", "x.example.com:99999", CANARY):
        refused(ask(None, server=server), 400, "invalid_image")


# --- the token's own record -------------------------------------------------------------


def test_last_used_is_written_once_in_five_minutes(ask, entry):
    ask()
    used = WorkerToken.objects.get().last_used_at
    ask()
    token = WorkerToken.objects.get()
    assert (token.last_used_at, token.last_address) == (used, "127.0.0.1")
    WorkerToken.objects.update(last_used_at=used - timedelta(minutes=6))
    ask()
    assert WorkerToken.objects.get().last_used_at > used


def test_the_token_is_kept_nowhere(issue, project, entry, ask, caplog):
    from tests.test_canary import database_bytes

    caplog.set_level(logging.DEBUG)
    text = issue("kept nowhere")
    assert ask(api=Api(text)).status_code == 200
    WorkerToken.objects.update(expires_at=timezone.now())
    ask(api=Api(text))
    secret = text.rpartition("_")[2]
    assert secret not in caplog.text
    assert secret.encode() not in database_bytes()
    assert b"kept nowhere" in database_bytes()
    assert secret not in repr(vars(WorkerToken.objects.first()))
