"""UX «Errors», 1 to 14, and what else workers are refused with: each on the page where a
person sees it, with what happened and what to do."""

from __future__ import annotations

import re
import uuid

import pytest
from django.test import Client

from orgs.models import AuditEvent, Project, RegistryEntry, WorkerToken
from orgs.registries import codes
from orgs.registries.images import ImageReference
from orgs.services.audit.events import Actor
from orgs.services.tenancy import tokens
from orgs.services.upstream import calls
from orgs.services.verification import outcomes
from tests.conftest import HOST
from tests.support.internet import HOST as REGISTRY
from tests.support.internet import reply

from .conftest import NEW, TYPED, Page, url

pytestmark = [pytest.mark.once, pytest.mark.django_db(transaction=True)]

IMAGE = f"{HOST}/my-ml-image:v1.0"
KEY = TYPED["access_key_id"]


# --- in the form ------------------------------------------------------------------


@pytest.mark.parametrize(
    ("patterns", "region", "field", "sentence"),
    [
        ("123456789012.dkr.ecr.us-east-1.amazonaws.com.evil.com/*", "", "patterns",
         "123456789012.dkr.ecr.us-east-1.amazonaws.com.evil.com resembles an Amazon ECR host but "
         f"isn't one, so no AWS login will go there. Write {HOST}/*, or choose the type of the "
         "registry that really runs there."),
        (HOST, "", "patterns",
         f"{HOST} names a registry but no images. Write {HOST}/* to cover everything in it."),
        (f"{HOST}/my-repo:v1", "", "patterns",
         "Patterns match repositories, not tags, so “:v1” can't be part of one. "
         f"Write {HOST}/my-repo; it covers every tag."),
        (f"{HOST}/*", "eu-west-1", "region",
         "The pattern's host is in us-east-1, but Region says eu-west-1. "
         "Choose us-east-1, or correct the host."),
        (f"{HOST}/taken/*", "", "patterns",
         f"The enabled entry {HOST}/taken/* (AWS ECR (IAM credentials), all environments) has "
         "this pattern already. Edit that entry (its type and key can be changed in place), "
         "choose other environments, or disable it first. Open that entry"),
    ],
    ids=["3 lookalike_host", "4 bare_host", "5 tag_in_pattern", "6 region_mismatch",
         "7 duplicate_pattern"],
)  # fmt: skip
def test_in_the_form(patterns, region, field, sentence, send, alice, make_entry) -> None:
    make_entry(f"{HOST}/taken/*")
    page = send(alice, NEW, TYPED | {"patterns": patterns, "region": region})
    assert page.title.startswith("Error: Add a new entry")
    assert page.error(field) == sentence
    # In the summary a word, leading to the field.
    assert page.brief(field).partition(": ")[0] in {"Match pattern", "Region"}


@pytest.mark.parametrize(
    ("changed", "field", "sentence"),
    [
        ({"patterns": f"https://{HOST}/*"}, "patterns",
         f"Patterns have no scheme, so “https://” can't be part of one. Write {HOST}/*."),
        ({"patterns": f"{HOST}/*", "region": "cn-north-1"}, "region",
         "The pattern's host is in us-east-1, but Region says cn-north-1."),
        ({"patterns": f"{HOST}/Upper"}, "patterns",
         f"The path of a repository is in lower case. Write {HOST}/upper."),
        ({"access_key_id": "AKIA short"}, "access_key_id",
         "This isn't an Access Key ID: 9 characters, 11 short. Copy it from"),
        ({"access_key_id": "ASIAIOSFODNN7EXAMPLE"}, "access_key_id",
         "This key is temporary and will expire. Use one that begins with AKIA."),
        ({"secret_access_key": ""}, "secret_access_key",
         "Secret Access Key is empty. Enter it."),
        ({"registry_type": "aws"}, "registry_type",
         "This isn't in the list. Choose one that is."),
    ],
    ids=["scheme_in_pattern", "partition_mismatch", "invalid_pattern", "key_id_shape",
         "temporary_key", "secret_required", "unknown_type"],
)  # fmt: skip
def test_the_contracts_other_field_codes(changed, field, sentence, send, alice) -> None:
    page = send(alice, NEW, TYPED | changed)
    assert page.title.startswith("Error: Add a new entry")
    assert page.error(field).startswith(sentence)


# --- on the entry's page --------------------------------------------------------------


@pytest.fixture
def verified(client, alice, monkeypatch):
    monkeypatch.setattr(calls, "PAUSES", {})

    def verified(entry: RegistryEntry) -> Page:
        client.force_login(alice)
        client.post(url("entry_verify", entry))
        return Page(client.get(url("entry", entry)))

    return verified


@pytest.mark.parametrize(
    ("break_it", "sentence"),
    [
        (lambda aws, key: aws.remove_policy("valohai"),
         "AWS accepts the key {key}, but its user may not call ecr:GetAuthorizationToken. Attach "
         "the policy below to that user, wait a few seconds, and verify again."),
        (lambda aws, key: aws.fault("wrong_secret"),
         "AWS knows the key {key}, but this secret isn't its own. Replace the secret; if it's "
         "lost, create a new key in IAM, since AWS shows a secret only once."),
        (lambda aws, key: aws.remove_key(key),
         "AWS doesn't know the key {key}, or it's inactive. Check it under the IAM user's "
         "Security credentials, then enter it again"),
        (lambda aws, key: aws.fault("hang"),
         "AWS ECR in us-east-1 didn’t answer within 7 seconds. Wait: workers can't pull until it "
         "answers; if it lasts, check this server's way to http://127.0.0.1"),
    ],
    ids=["8 access_denied", "9 signature_mismatch", "10 invalid_key", "11 registry_unreachable"],
)  # fmt: skip
def test_on_the_entrys_page(break_it, sentence, aws, make_entry, verified) -> None:
    key_id, secret = aws.create_user("valohai", aws.policy())
    entry = make_entry(config={"access_key_id": key_id}, secrets={"secret_access_key": secret})
    break_it(aws, key_id)
    page = verified(entry)
    told = re.sub(r"within \d+ seconds", "within 7 seconds", page.by_id["verification"])
    assert sentence.format(key=key_id) in told  # how long it took is told as it was


@pytest.mark.parametrize(
    ("fault", "sentence"),
    [
        ("throttle", "AWS ECR in us-east-1 answers too many requests of this account already. "
                     "Wait: it is asked again by itself."),
        ("skew", "clock"),
    ],
    ids=["throttled", "clock_skew"],
)  # fmt: skip
def test_passing_faults_on_the_entrys_page(fault, sentence, aws, make_entry, verified) -> None:
    key_id, secret = aws.create_user("valohai", aws.policy())
    entry = make_entry(config={"access_key_id": key_id}, secrets={"secret_access_key": secret})
    aws.fault(fault)
    page = verified(entry)
    assert sentence in page.by_id["verification"] and "○ Not verified" in page.by_id["state"]


@pytest.mark.parametrize(
    ("answer", "sentence", "state"),
    [
        (reply(302, location="https://elsewhere.example.com/v2/"),
         "points to elsewhere.example.com, and credentials aren't taken along.", "▲ Failing"),
        (reply(401, www_authenticate='Bearer realm="https://evil.example.com/token"'),
         "wants the login sent to evil.example.com, which isn't known to be its own, so it "
         "wasn't sent.", "○ Not verified"),
        (reply(200, b"<html>hello"), "answers, but not as a registry does.", "▲ Failing"),
        (reply(401, www_authenticate='Basic realm="r"'),
         "doesn't accept this username and password.", "▲ Failing"),
        (None, "leads back to this server itself, so nothing was sent there.", "○ Not verified"),
    ],
    ids=["redirected", "hostile_realm", "not_a_registry", "login_refused", "unsafe_address"],
)  # fmt: skip
def test_the_registrys_step(
    answer, sentence, state, request, internet, make_entry, verified
) -> None:
    if answer is None:
        internet.name(REGISTRY, ["127.0.0.1"])
    else:
        internet.serve(lambda request: answer)
    entry = make_entry(
        f"{REGISTRY}/*",
        registry_type="docker",
        config={"username": "robot"},
        secrets={"password": "p"},
    )
    page = verified(entry)
    assert f"{REGISTRY} {sentence}" in page.by_id["verification"]
    assert state in page.by_id["state"]
    event = AuditEvent.objects.get(action=codes.VERIFIED)
    row = codes.of(event.code)
    assert event.code in request.node.callspec.id
    assert (row.event, row.page) == (event.action, codes.Page.ENTRY)
    assert (row.kind is codes.Kind.BEYOND_LOGIN) == (state == "▲ Failing")


def test_14_entry_unusable(aws, make_entry, verified, settings) -> None:
    entry = make_entry()
    settings.FERNET_KEYS = ["cw_0x689RpI-jtRR7oE8h_eQsKImvJapLeSbXpwF4e4="]
    page = verified(entry)
    assert (
        "The stored secret can't be opened with this server's keys. Enter the secret again, or "
        "ask staff to put the former key back last in FERNET_KEYS."
    ) in page.by_id["verification"]
    assert "✕ Secret unreadable" in page.by_id["state"]


@pytest.mark.parametrize(
    ("code", "sentence"),
    [
        ("role_not_attached",
         "A worker's instance doesn't have the role ValohaiWorkerRole. Attach ValohaiWorkerRole "
         "to the workers, or put the role they have into the entry's Role name."),
        ("not_on_ec2",
         "A worker can't reach EC2 instance metadata, so it can't use the role "
         "ValohaiWorkerRole. Use an EC2 worker (in containers: metadata hop limit 2), or an "
         "entry with IAM credentials for this environment."),
        ("metadata_hop_limit", "the instance's hop limit is 1. Set the instance's metadata"),
        ("role_access_denied", "The role ValohaiWorkerRole may not call"),
    ],
)  # fmt: skip
def test_12_and_13_on_the_entrys_page(
    code, sentence, look, alice, acme, project, make_entry, actor
) -> None:
    entry = make_entry(registry_type="aws-ecr-role")
    token = WorkerToken.objects.create(organization=acme, name="gpu", key_id="k", digest="d")
    outcomes.outcome_report(
        entry=entry,
        token=token,
        project=project,
        image=ImageReference.parse(IMAGE),
        code=code,
        actor=actor,
    )
    page = look(alice, url("entry", entry))
    assert sentence in page.text and "reported by gpu" in page.by_id["verification"]
    assert "▲ Failing" in page.by_id["state"]


# --- where refused logins are told ----------------------------------------------------


@pytest.fixture
def ask(acme, project):
    """A worker asks and is refused; what the organization's overview then says."""
    _, text = tokens.token_issue_worker(organization=acme, name="gpu", actor=Actor("tests"))

    def ask(**changed: str) -> None:
        body = {"project": str(project.pk), "image": IMAGE} | changed
        body = {name: value for name, value in body.items() if value}
        answer = Client().post(
            "/api/v0/docker-login/",
            body,
            content_type="application/json",
            headers={"Authorization": f"Token {text}"},
        )
        assert answer.status_code >= 400 and answer.json()["help"]

    return ask


@pytest.mark.parametrize("who", ["alice", "bob"])
@pytest.mark.parametrize(
    ("changed", "sentence"),
    [
        ({"project": "personal"},
         "The project “mine” is personal, and personal projects can't use private registries."),
        ({}, f"No enabled entry of Acme serves {IMAGE}."),
        ({"environment": "gpu"}, "The token “gpu” may not name an environment."),
        ({"project": str(uuid.UUID(int=7))}, "Acme has no project"),
        ({"image": "", "server": "r.example.com"},
         "The entries of Acme on r.example.com serve only some of its images."),
    ],
    ids=["1 personal_project", "2 no_match", "environment_not_allowed", "project_not_found",
         "ambiguous_server"],
)  # fmt: skip
def test_on_the_overview(
    changed, sentence, who, request, ask, look, bob, alice, gpu, make_entry
) -> None:
    make_entry(
        "r.example.com/a",
        registry_type="docker",
        config={"username": "u"},
        secrets={"password": "p"},
    )
    if changed.get("project") == "personal":
        changed = {"project": str(Project.objects.create(name="mine", user=bob).pk)}
    ask(**changed)
    page = look(request.getfixturevalue(who), "/organizations/acme/")
    assert sentence in page.text
    if "image" not in changed:
        explain = next(href for text, href in page.links.items() if text.startswith("Explain"))
        assert "image=" in explain


def test_2_no_match_where_an_image_is_checked(look, alice, bob, acme) -> None:
    address = "/organizations/acme/registries/check/"
    page = look(alice, address, image=IMAGE)
    assert f"No enabled entry of Acme serves {IMAGE}" in page.text
    assert f"If it's private, add an entry with {HOST}/*; public images need none." in page.text
    add = next(href for text, href in page.links.items() if "Add an entry for it" in text)
    assert "pattern=" in add
    assert "ask Alice" in look(bob, address, image=IMAGE).text


def test_what_is_no_image(look, alice, acme) -> None:
    page = look(alice, "/organizations/acme/registries/check/", image="https://r.io/a")
    assert page.title.startswith("Error:") and "r.io/a" in page.error("image")
