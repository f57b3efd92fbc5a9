"""Pull-through caches on the ECR types: a box to tick, two actions in the policy, and what is
missing named where AWS names it."""

from __future__ import annotations

import json

import pytest
from django.core.management import call_command

from orgs.models import RegistryEntry
from orgs.registries.ecr_policy import PULL_THROUGH_ACTIONS
from orgs.registries.images import ImageReference
from orgs.services.entries.policies import policy_of
from orgs.services.tenancy import tokens
from orgs.services.verification import verifying
from tests.api.conftest import Api
from tests.conftest import CANARY, HOST
from tests.support.certificates import make_certificates
from tests.support.internet import reply
from tests.web.conftest import NEW, url

pytestmark = pytest.mark.django_db(transaction=True)

PATTERN = f"{HOST}/docker-hub/*"
KEY = {"access_key_id": "AKIAIOSFODNN7EXAMPLE", "secret_access_key": CANARY[:40]}
TYPED = {"patterns": PATTERN, "registry_type": "aws-ecr", "enabled": "on", "region": "", **KEY}
ROLE = {"patterns": PATTERN, "registry_type": "aws-ecr-role", "enabled": "on", "role_name": "W"}
PATH = "/api/v0/registry-credentials/"


def actions(entry: RegistryEntry) -> list[str]:
    statements = json.loads(policy_of(entry, private=True).document)["Statement"]
    found = [s["Action"] for s in statements]
    return [a for each in found for a in ([each] if isinstance(each, str) else each)]


@pytest.mark.parametrize("typed", [TYPED, ROLE], ids=["key", "role"])
def test_ticked_kept_and_taken_off(typed, send, look, alice, acme, new_keys_work) -> None:
    send(alice, NEW, typed)
    plain = acme.entries.get()
    assert "pull_through" not in plain.config
    assert not set(PULL_THROUGH_ACTIONS) & set(actions(plain))
    assert "Pull-through cache" not in look(alice, url("entry", plain)).text
    edit = url("entry_edit", plain)
    kept = {name: value for name, value in typed.items() if name != "secret_access_key"}
    for given, stored, box in (({"pull_through": "on"}, "true", True), ({}, None, False)):
        send(alice, edit, kept | given)
        plain.refresh_from_db()
        assert plain.config.get("pull_through") == stored
        assert (set(PULL_THROUGH_ACTIONS) <= set(actions(plain))) is box
        assert ("checked" in look(alice, edit).fields["pull_through"]) is box
        now, _, former = look(alice, url("entry", plain)).text.partition("History")
        assert ("Pull-through cache" in now) is box and former
    # On the same repositories as the rest, and within the role's or user's own policy.
    send(alice, edit, kept | {"pull_through": "on"})
    plain.refresh_from_db()
    *_, through = json.loads(policy_of(plain, private=True).document)["Statement"]
    assert through["Sid"] == "PullThroughCache" and "docker-hub" in str(through["Resource"])


def test_help_while_typing_shows_the_policy(send, alice) -> None:
    help_page = f"{NEW[:-4]}help/"
    for given, shown in (({}, False), ({"pull_through": "on"}, True)):
        page = send(alice, help_page, {"registry_type": "aws-ecr", "patterns": PATTERN} | given)
        assert ("ecr:BatchImportUpstreamImage" in page.html) is shown


def test_the_api(alice, actor, acme) -> None:
    api = Api(tokens.token_issue_api(user=alice, name="s", actor=actor)[1])
    body = {"type": "aws-ecr", "image_pattern": PATTERN, "configuration": KEY}
    made = api.post(PATH, body).json()
    assert set(made["configuration"]) == {"version", "access_key_id", "region"}
    one = f"{PATH}{made['id']}/"
    for given, answered in (("true", "true"), ("YES", "true"), ("false", None), ("", None)):
        answer = api.send("PATCH", one, {"configuration": {"pull_through": given}}).json()
        assert answer["configuration"].get("pull_through") == answered
    for wrong, field in (("perhaps", "pull_through"), (True, "configuration")):
        answer = api.send("PATCH", one, {"configuration": {"pull_through": wrong}})
        assert answer.status_code == 400 and set(answer.json()) == {field}


@pytest.mark.parametrize(
    ("cell", "stored"),
    [("true", "true"), ("Yes", "true"), ("1", "true"), ("no", None), ("", None)],
)
def test_files(cell, stored, acme, tmp_path) -> None:
    file = tmp_path / "in.csv"
    columns = {"image_pattern": PATTERN, "type": "aws-ecr", **KEY, "pull_through": cell}
    file.write_text(f"{','.join(columns)}\n{','.join(columns.values())}\n")
    call_command("import_registries", str(file), organization="acme")
    entry = acme.entries.get()
    assert entry.config.get("pull_through") == stored
    for format in ("csv", "json", "yaml"):
        out = tmp_path / f"out.{format}"
        call_command("export_registries", organization="acme", format=format, output=str(out))
        assert ("pull_through" in out.read_text()) is (stored is not None or format == "csv")
        call_command("import_registries", str(out), organization="acme", update=True)
    entry.refresh_from_db()
    assert entry.credentials_version == 1


def test_a_file_with_a_real_boolean(acme, tmp_path) -> None:
    file = tmp_path / "in.yaml"
    lines = [f"image_pattern: '{PATTERN}'", "type: aws-ecr-role", "role_name: W"]
    file.write_text("- " + "\n  ".join([*lines, "pull_through: true"]))
    call_command("import_registries", str(file), organization="acme")
    assert acme.entries.get().config["pull_through"] == "true"


# --- what verifying names ---------------------------------------------------------------------

DENIED = (
    "User: arn:aws:iam::123456789012:user/valohai is not authorized to perform: {action} on "
    "resource: arn:aws:ecr:us-east-1:123456789012:repository/docker-hub/library/python because "
    "no identity-based policy allows the {action} action"
)


@pytest.fixture
def verify(aws, internet, make_entry, actor, tmp_path, monkeypatch):
    """What verifying says of an image that ECR answers so about."""

    def verify(status: int, code: str, message: str, **config: str):
        def answer(request):
            if not request.authorization:
                return reply(401, {}, WWW_Authenticate='Basic realm="ecr"')
            if "/manifests/" not in request.target:
                return reply(200, {})
            return reply(status, {"errors": [{"code": code, "message": message}]})

        ca_file, server_file = make_certificates(tmp_path, HOST)
        monkeypatch.setenv("SSL_CERT_FILE", str(ca_file))
        internet.serve(answer, HOST, server_file=server_file)
        key_id, secret = aws.create_user("valohai", aws.policy(repository="*"))
        entry = make_entry(
            PATTERN,
            config={"access_key_id": key_id, **config},
            secrets={"secret_access_key": secret},
        )
        image = ImageReference.parse(f"{HOST}/docker-hub/library/python:3")
        return verifying.entry_verify(entry=entry, actor=actor, image=image).failed

    return verify


@pytest.mark.parametrize("action", PULL_THROUGH_ACTIONS)
@pytest.mark.parametrize("chosen", [True, False])
def test_the_one_that_is_missing_is_named(verify, action, chosen) -> None:
    config = {"pull_through": "true"} if chosen else {}
    failed = verify(403, "DENIED", DENIED.format(action=action), **config)
    assert failed.code == "image_denied"
    assert f"may not call {action} on docker-hub/library/python" in failed.what
    assert ("Choose Pull-through cache in the entry" in failed.fix) is not chosen
    assert "arn:aws" not in failed.what + failed.fix


def test_another_action_and_another_policy(verify) -> None:
    failed = verify(403, "DENIED", DENIED.format(action="ecr:BatchGetImage"))
    assert "may not call ecr:BatchGetImage" in failed.what and "Attach the policy" in failed.fix
    assert "Pull-through" not in failed.fix


def test_an_organizations_denial_is_not_ours_to_mend(verify) -> None:
    denied = DENIED.format(action="ecr:CreateRepository").partition(" because")[0]
    failed = verify(403, "DENIED", f"{denied} with an explicit deny in a service control policy")
    assert "service control policy" in failed.what and "Choose" not in failed.fix


@pytest.mark.parametrize("chosen", [True, False])
def test_a_repository_that_isnt_there(verify, chosen) -> None:
    config = {"pull_through": "true"} if chosen else {}
    failed = verify(404, "NAME_UNKNOWN", "The repository does not exist", **config)
    assert failed.code == "image_not_found"
    assert ("none came through a cache" in failed.what) is chosen


@pytest.mark.parametrize(
    "message", ["", "<script>", "User: x is not authorized to perform: " + "a" * 100_000, "é" * 9]
)
def test_what_says_nothing_is_told_as_before(verify, message) -> None:
    failed = verify(403, "DENIED", message)
    assert failed.code == "image_denied" and "lets the login in, but not to" in failed.what
