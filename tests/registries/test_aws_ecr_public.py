"""AWS ECR Public: its two hosts and no other, its own API, and every door.

The fake judges what AWS does: the signature, the one region, both rights; boto3 talks to it
unchanged.
"""

from __future__ import annotations

import csv
import json
import time
from datetime import UTC, datetime, timedelta

import boto3
import pytest
from botocore.exceptions import ClientError
from django.core.management import call_command
from django.urls import reverse

from orgs.api import limits
from orgs.models import AuditEvent, CachedLogin
from orgs.registries import aws as asking
from orgs.registries.aws_ecr_public import ACTIONS, AwsEcrPublic
from orgs.registries.ecr_api import PUBLIC_SERVICE
from orgs.registries.ecr_hosts import PUBLIC_HOSTS, corrected_public_host
from orgs.registries.images import ImageReference
from orgs.registries.patterns import MatchPattern
from orgs.registries.problems import Failed
from orgs.services.audit.events import Actor
from orgs.services.entries.validating import secrets_of
from orgs.services.logins import issuing, minting
from orgs.services.tenancy import tokens
from orgs.services.upstream import calls
from tests.api.conftest import LOGIN, Api
from tests.conftest import CANARY
from tests.web.conftest import NEW, Page, look, send, url

__all__ = ["look", "send"]
pytestmark = pytest.mark.django_db(transaction=True)

TYPE = AwsEcrPublic()
HOST = "public.ecr.aws"
PATTERN, IMAGE = f"{HOST}/acme/*", f"{HOST}/acme/train:v1"
PATH = "/api/v0/registry-credentials/"
POLICY = json.loads(TYPE.policy({}, []).document)


@pytest.fixture
def key(aws) -> dict[str, str]:
    key_id, secret = aws.create_user("valohai", POLICY)
    return {"access_key_id": key_id, "secret_access_key": secret}


@pytest.fixture
def entry(make_entry, key):
    config = {"access_key_id": key["access_key_id"]}
    secrets = {"secret_access_key": key["secret_access_key"]}
    return make_entry(PATTERN, registry_type="aws-ecr-public", config=config, secrets=secrets)


# --- hosts --------------------------------------------------------------------------------


@pytest.mark.once
@pytest.mark.parametrize("host", sorted(PUBLIC_HOSTS))
def test_hosts(host) -> None:
    for path in ("*", "acme/*", "acme/train", "docker/library/*"):
        assert TYPE.refused_patterns([MatchPattern.parse(f"{host}/{path}")]) == []
    assert corrected_public_host(host) is None


# Each with the host that is meant, where that can be told.
LOOK_ALIKES = {
    "public.ecr.aws.evil.com": HOST,
    "public.ecr.aws.com": HOST,
    "public.ecr.aws.cn": HOST,
    "a.public.ecr.aws": HOST,
    "evil-public.ecr.aws": HOST,
    "public.ecr.awsx": HOST,
    "public-ecr.aws": HOST,
    "public-ecr-aws.com": HOST,
    "publicecr.aws": HOST,
    "public.ecraws.com": HOST,
    "ecr.public.aws": HOST,
    "ecr-public.aws": HOST,
    "ecr-public.aws.evil.com": HOST,
    "public.ecr.aws:5000": HOST,
    "ecr-public.aws.com.evil.com": "ecr-public.aws.com",
    "a.ecr-public.aws.com": "ecr-public.aws.com",
    "ecr-public.aws.com:8443": None,
    "evil.com": None,
    "ecr.aws": None,
    "*.ecr.aws": None,
    "gallery.ecr.aws.evil.com": None,
    "public.ecr.amazonaws.com": None,
    "ecr-public.us-east-1.amazonaws.com": None,
    "api.ecr-public.us-east-1.amazonaws.com": None,
    "dkr.ecr.aws": None,
    "public.dkr.ecr.aws": None,
    "123456789012.public.ecr.aws": HOST,
    "public.ecr.aws-public.com": HOST,
    "xn--pblic-kva.ecr.aws": None,
    "public.ecr.on.aws": None,
    "docker.io": None,
    "ghcr.io": None,
    "localhost:5000": None,
}


@pytest.mark.once
@pytest.mark.parametrize("host", LOOK_ALIKES)
def test_look_alikes_are_refused_at_save_and_at_login(host) -> None:
    pattern = MatchPattern.parse(f"{host}/acme/*")
    (problem,) = TYPE.refused_patterns([pattern])
    assert problem.code in {"lookalike_host", "wildcard_host"} and problem.field == "patterns"
    if meant := LOOK_ALIKES[host]:
        assert problem.suggestion == f"{meant}/acme/*"
    if problem.suggestion:  # what is suggested is taken
        assert TYPE.refused_patterns([MatchPattern.parse(problem.suggestion)]) == []
    with pytest.raises(Failed) as failed:
        TYPE.login({"access_key_id": "A"}, {"secret_access_key": "s"}, calls.asked(TYPE, host, 0.0))
    assert failed.value.code == "entry_unusable"


# What no pattern can be written with, or is read as another host.
NO_HOSTS = [
    *("", " ", ".", "public", "ecr", "aws", "public.ecr", "ecr.aws", ".ecr.aws", "public..ecr.aws"),
    *(
        "public.ecr.aws.",
        ".public.ecr.aws",
        " public.ecr.aws",
        "public.ecr.aws ",
        "public.ecr.aws\n",
    ),
    *("public.ecr.aws\0", "PUBLIC.ecr.aws", "Public.Ecr.Aws", "publıc.ecr.aws", "public.ecr.aẇs"),
    *(
        "рublic.ecr.aws",
        "public.ecr。aws",
        "public。ecr.aws",
        "ｐublic.ecr.aws",
        "public.ecr.aws@e.com",
    ),
    *("public.ecr.aws/evil.com", "public.ecr.aws#", "public.ecr.aws?x", "https://public.ecr.aws"),
    *("//public.ecr.aws", "e.com/public.ecr.aws", "public.ecr.aws:443:443", "public.ecr.aws,e.com"),
    *("public%2eecr.aws", "public.ecr.aws%00", "xn--public.ecr.aws", "ecr-public.aws.com."),
    *("ECR-public.aws.com", "ecr_public.aws.com", "ecr–public.aws.com", "ecrpublic.aws.com"),
]


@pytest.mark.once
@pytest.mark.parametrize("host", NO_HOSTS)
def test_what_is_read_otherwise_gets_no_login(host) -> None:
    with pytest.raises(Failed) as failed:
        TYPE.login({"access_key_id": "A"}, {"secret_access_key": "s"}, calls.asked(TYPE, host, 0.0))
    assert failed.value.code == "entry_unusable"


@pytest.mark.once
def test_a_private_registry_is_another_type() -> None:
    pattern = MatchPattern.parse("123456789012.dkr.ecr.us-east-1.amazonaws.com/*")
    (problem,) = TYPE.refused_patterns([pattern])
    assert problem.code == "ecr_host" and "AWS ECR (IAM credentials)" in problem.fix


@pytest.mark.once
def test_a_web_page_leads_to_the_registry() -> None:
    (problem,) = TYPE.refused_patterns([MatchPattern.parse("gallery.ecr.aws/acme/*")])
    assert "public.ecr.aws/acme" in str(problem)


# --- AWS's own client, and ours ------------------------------------------------------------


def amazons(aws, key, **given):
    return boto3.client(
        "ecr-public",
        region_name=given.pop("region", "us-east-1"),
        endpoint_url=aws.url,
        aws_access_key_id=key["access_key_id"],
        aws_secret_access_key=given.pop("secret", key["secret_access_key"]),
    )


def ask():
    return calls.asked(TYPE, HOST, time.monotonic() + calls.CALL_SECONDS)


def login(key):
    config = {"access_key_id": key["access_key_id"]}
    return TYPE.login(config, {"secret_access_key": key["secret_access_key"]}, ask())


def test_amazons_client_gets_what_ours_gets(aws, key) -> None:
    theirs = amazons(aws, key).get_authorization_token()["authorizationData"]
    ours = login(key)
    assert ours.username == "AWS" and {ours.password} < aws.tokens
    hours = [t - datetime.now(UTC) for t in (theirs["expiresAt"], ours.expires_at)]
    assert all(timedelta(hours=11) < life <= timedelta(hours=12) for life in hours)
    assert {call.region for call in aws.calls} == {"us-east-1"}


@pytest.mark.parametrize("missing", ACTIONS)
def test_each_right_is_needed_and_named(aws, key, missing) -> None:
    rest = [action for action in ACTIONS if action != missing]
    allowed = {"Effect": "Allow", "Action": rest, "Resource": "*"}
    aws.put_policy("valohai", {"Version": "2012-10-17", "Statement": [allowed]})
    with pytest.raises(ClientError, match=missing):
        amazons(aws, key).get_authorization_token()
    with pytest.raises(Failed) as failed:
        login(key)
    assert failed.value.code == "access_denied" and f"may not call {missing}" in failed.value.what
    assert "valohai-ecr-public-policy" in failed.value.fix


def test_the_private_registrys_policy_is_not_enough(aws, key) -> None:
    aws.put_policy("valohai", aws.policy(repository="*"))
    with pytest.raises(Failed) as failed:
        login(key)
    assert "may not call ecr-public:GetAuthorizationToken" in failed.value.what


def test_a_wrong_secret_an_unknown_key_another_region(aws, key) -> None:
    for given, code in (
        ({**key, "secret_access_key": "x" * 40}, "signature_mismatch"),
        ({**key, "access_key_id": "AKIAIOSFODNN7NOTHERE"}, "invalid_key"),
    ):
        with pytest.raises(Failed) as failed:
            login(given)
        assert failed.value.code == code
        assert "region" not in failed.value.detail
    with pytest.raises(ClientError, match="InvalidSignature"):
        amazons(aws, key, region="eu-west-1").get_authorization_token()


@pytest.mark.parametrize(
    ("kind", "code"),
    [
        ("throttle", "throttled"),
        ("error500", "registry_unreachable"),
        ("unavailable", "registry_unreachable"),
        ("drop", "registry_unreachable"),
        ("skew", "clock_skew"),
        ("denied_by_organization", "access_denied"),
    ],
)
def test_errors(aws, key, kind, code) -> None:
    aws.fault(kind)
    with pytest.raises(Failed) as failed:
        login(key)
    assert failed.value.code == code
    assert CANARY not in failed.value.in_full


@pytest.mark.once
def test_it_asks_the_one_endpoint(monkeypatch) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL_ECR_PUBLIC", "http://evil.example.com")
    monkeypatch.setenv("AWS_PROFILE", "nobody")
    wanted = "https://api.ecr-public.us-east-1.amazonaws.com"
    assert asking.endpoint(PUBLIC_SERVICE, "us-east-1") == wanted


# --- every door ------------------------------------------------------------------------------

TYPED = {"patterns": PATTERN, "registry_type": "aws-ecr-public", "enabled": "on", "note": ""}


def is_whole(entry, key) -> bool:
    entry.refresh_from_db()
    config = {"access_key_id": key["access_key_id"]}
    secrets = {"secret_access_key": key["secret_access_key"]}
    return (entry.config, secrets_of(entry)) == (config, secrets)


def test_the_form(send, look, alice, acme, key) -> None:
    page = look(alice, NEW, type="aws-ecr-public")
    assert "they pull without an entry, too" in page.text and "Region" not in page.texts["label"]
    wrong = send(alice, NEW, TYPED | key | {"patterns": "public.ecr.aws.evil.com/acme/*"})
    assert wrong.wrong == {"patterns"} and f"Write {PATTERN}" in wrong.text
    exchanged = {"access_key_id": key["secret_access_key"], "secret_access_key": CANARY}
    wrong = send(alice, NEW, TYPED | exchanged)
    assert "access_key_id" in wrong.wrong and CANARY not in wrong.html
    send(alice, NEW, TYPED | key)
    made = acme.entries.get()
    assert is_whole(made, key)
    page = look(alice, url("entry", made))
    assert "sts:GetServiceBearerToken" in page.html and "AWS ECR Public" in page.text
    kept = {"access_key_id": key["access_key_id"], "note": "x"}
    send(alice, url("entry_edit", made), TYPED | kept)
    assert is_whole(made, key) and made.note == "x" and made.credentials_version == 1


def test_the_admin(client, staff, acme, key) -> None:
    client.force_login(staff)
    add = f"{reverse('admin:orgs_registryentry_add')}?organization={acme.pk}"
    assert "AWS ECR Public" in Page(client.get(f"{add}&type=aws-ecr-public")).text
    client.post(add, TYPED | key)
    assert is_whole(acme.entries.get(), key)


def test_the_api(alice, actor, acme, key, monkeypatch) -> None:
    monkeypatch.setattr(limits, "buckets", limits.Buckets())
    api = Api(tokens.token_issue_api(user=alice, name="s", actor=actor)[1])
    body = {"type": "aws-ecr-public", "image_pattern": PATTERN, "configuration": key}
    made = api.post(PATH, body)
    assert made.status_code == 201, made.content
    config = {"version": "1", "access_key_id": key["access_key_id"]}
    assert made.json()["configuration"] == config
    one = f"{PATH}{made.json()['id']}/"
    assert api.send("PUT", one, made.json()).status_code == 200
    assert is_whole(acme.entries.get(), key) and acme.entries.get().credentials_version == 1
    refused = api.post(PATH, body | {"image_pattern": f"{HOST}:5000/*"})
    assert refused.json()["image_pattern"][0]["code"] == "lookalike_host"
    refused = api.post(PATH, body | {"configuration": key | {"region": "us-east-1"}})
    assert refused.json()["configuration"][0]["code"] == "unknown_field"


@pytest.mark.parametrize("format", ["csv", "json", "yaml"])
def test_import_export_and_back(format, acme, key, tmp_path) -> None:
    given, written = tmp_path / "in.csv", tmp_path / f"out.{format}"
    with given.open("w") as file:
        row = {"image_pattern": PATTERN, "type": "aws-ecr-public", **key}
        writer = csv.DictWriter(file, row)
        writer.writeheader()
        writer.writerow(row)
    call_command("import_registries", str(given), organization="acme")
    assert is_whole(acme.entries.get(), key)
    call_command("export_registries", organization="acme", format=format, output=str(written))
    assert key["secret_access_key"] not in written.read_text()
    call_command("import_registries", str(written), organization="acme", update=True)
    assert is_whole(acme.entries.get(), key) and acme.entries.get().credentials_version == 1


def pull(project):
    image = ImageReference.parse(IMAGE)
    return issuing.login_for(project=project, image=image, actor=Actor("worker")).login


def test_a_login_is_cached_and_renewed_at_half_life(aws, acme, actor, project, entry) -> None:
    worker = Api(tokens.token_issue_worker(organization=acme, name="w", actor=actor)[1])
    for host in (HOST, "public.ecr.aws:443"):
        image = IMAGE.replace(HOST, host)
        answer = worker.post(LOGIN, {"project": str(project.pk), "image": image})
        assert answer.status_code == 200, answer.content
        assert answer.json()["server"] == host and answer.json()["username"] == "AWS"
    assert len(aws.calls) == 1
    cached = CachedLogin.objects.get()
    left = cached.refresh_after - datetime.now(UTC)
    assert timedelta(hours=5) < left <= timedelta(hours=6, minutes=1)
    cached.refresh_after = datetime.now(UTC) - timedelta(seconds=1)
    cached.save()
    pull(project)
    minting.background.drain()
    assert len(aws.calls) == 2
    # An outage leaves the login; a refusal without one is told.
    CachedLogin.objects.update(refresh_after=datetime.now(UTC) - timedelta(seconds=1))
    aws.fault("error500")
    assert pull(project).password in aws.tokens
    minting.background.drain()
    aws.clear_faults()
    aws.remove_policy("valohai")
    CachedLogin.objects.all().delete()
    with pytest.raises(Failed) as failed:
        pull(project)
    assert failed.value.code == "access_denied"
    assert AuditEvent.objects.filter(action="login.refused", code="access_denied").exists()
    told = json.dumps(list(AuditEvent.objects.values("properties", "subject")), default=str)
    assert secrets_of(entry)["secret_access_key"] not in told
