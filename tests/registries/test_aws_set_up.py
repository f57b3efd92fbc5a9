"""What the page of a keyless entry says to do at AWS, done: in a real shell, and by its JSON."""

from __future__ import annotations

import json
import re
import shlex
import subprocess
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from django.db import connection

from orgs.registries.aws_ecr_keyless import AwsEcrAssumeRole, AwsEcrOidc
from orgs.registries.aws_roles import MOST_POLICY, session_policy
from orgs.registries.ecr_hosts import parse_ecr_host
from orgs.registries.patterns import MatchPattern
from orgs.registries.types import SetUp, Who
from orgs.services.identity import documents, keys
from orgs.services.upstream import calls
from tests.conftest import HOST
from tests.registries.keyless_aws import ARN, OWN_ACCOUNT, REGION, set_up
from tests.support.identity import later

WHO = Who(
    "organization:0a:entry:0b", issuer="https://registries.example.com/x", own_account=OWN_ACCOUNT
)
PATTERNS = [MatchPattern.parse(f"{HOST}/team/*")]
CONFIG = {"role_arn": ARN, "region": REGION}


def shown(kind, config=CONFIG) -> SetUp:
    return kind.set_up(config, PATTERNS, WHO)


@pytest.fixture
def told(tmp_path: Path):
    """What `aws` is asked, run by run, in a real shell."""
    (tmp_path / "aws").write_text(
        f'#!/bin/sh\nexec >>{shlex.quote(str(tmp_path / "told"))}\nprintf "%s\\0" "$@"; echo\n'
    )
    (tmp_path / "aws").chmod(0o755)

    def run(command: str) -> list[list[str]]:
        ran = subprocess.run(
            ["sh", "-eu", "-c", command],
            env={"PATH": f"{tmp_path}:/usr/bin:/bin"},
            capture_output=True,
            text=True,
        )
        assert ran.returncode == 0, ran.stderr
        lines = (tmp_path / "told").read_text().split("\0\n")
        return [line.split("\0") for line in lines if line]

    return run


@pytest.mark.once
@pytest.mark.parametrize("kind", [AwsEcrOidc(), AwsEcrAssumeRole()], ids=lambda kind: kind.slug)
@pytest.mark.parametrize(
    "arn", [ARN, ARN.replace("role/", "role/a'b/c d/").replace(" ", "-"), f"{ARN}+=,.@-"]
)
def test_the_commands_say_what_the_documents_do(kind, arn, told) -> None:
    found = shown(kind, CONFIG | {"role_arn": arn})
    by_language: dict[str, list[str]] = {}
    for part in found.parts:
        by_language.setdefault(part.language, []).append(part.text)
    trust, rights = (json.loads(text) for text in by_language["JSON"])
    asked = told("\n".join(by_language["AWS CLI"]))
    calls_of = {words[1]: dict(zip(words[2::2], words[3::2], strict=False)) for words in asked}
    made = calls_of["create-role"]
    assert json.loads(made["--assume-role-policy-document"]) == trust
    assert made["--role-name"] == arn.rsplit("/", 1)[1]
    assert json.loads(calls_of["put-role-policy"]["--policy-document"]) == rights
    if kind.slug == "aws-ecr-oidc":
        register = calls_of["create-open-id-connect-provider"]
        assert register == {"--url": WHO.issuer, "--client-id-list": "sts.amazonaws.com"}
    for part in by_language["Terraform"]:
        written = re.findall(r"jsonencode\((\{.*?\n  \})\)", part, re.DOTALL)
        assert [json.loads(text) for text in written] == [trust, rights]


@pytest.mark.once
def test_what_the_trust_is_bound_to() -> None:
    (statement,) = json.loads(shown(AwsEcrOidc()).parts[0].text)["Statement"]
    name = "registries.example.com/x"  # without https://, as AWS has it
    assert statement["Principal"]["Federated"].endswith(f":oidc-provider/{name}")
    assert statement["Condition"] == {
        "StringEquals": {f"{name}:aud": "sts.amazonaws.com", f"{name}:sub": WHO.subject}
    }
    (statement,) = json.loads(shown(AwsEcrAssumeRole()).parts[0].text)["Statement"]
    assert statement["Condition"] == {"StringEquals": {"sts:ExternalId": WHO.subject}}
    assert statement["Principal"] == {"AWS": f"arn:aws:iam::{OWN_ACCOUNT}:root"}


@pytest.mark.once
@pytest.mark.parametrize("through", [False, True])
def test_the_longest_repository_fits_into_a_session_policy(through) -> None:
    host = parse_ecr_host(HOST)
    text = session_policy(host, "a" * 256, pull_through=through)
    assert len(text) < MOST_POLICY / 2
    (token, pull) = json.loads(text)["Statement"]
    assert token["Resource"] == "*" and token["Action"] == "ecr:GetAuthorizationToken"
    assert pull["Resource"] == f"arn:aws:ecr:{REGION}:123456789012:repository/{'a' * 256}"
    assert ("ecr:CreateRepository" in pull["Action"]) is through


# --- rotated under load -----------------------------------------------------------------------


@pytest.fixture
def entry(make_entry, trusting_aws) -> Iterator[object]:
    made = make_entry(f"{HOST}/team/*", registry_type="aws-ecr-oidc", config=CONFIG, secrets={})
    set_up(trusting_aws, made)
    yield made


@pytest.mark.django_db(transaction=True)
def test_keys_rotate_while_logins_are_obtained(entry, trusting_aws) -> None:
    """No login fails, and AWS fetches the keys anew only where it may, or meets one it
    doesn't know."""
    over, errors, given = threading.Event(), [], []

    def obtain() -> None:
        try:
            while not over.is_set():
                ask = calls.asked(AwsEcrOidc(), HOST, time.monotonic() + 7, entry)
                given.append(calls.ask_for_login(AwsEcrOidc(), CONFIG, {}, ask))
        except Exception as error:
            errors.append(error)
        finally:
            connection.close()

    threads = [threading.Thread(target=obtain) for _ in range(4)]
    for thread in threads:
        thread.start()
    used = set()
    try:
        for _ in range(3):
            used.add(keys.signing().kid)
            keys.rotate()
            documents.held.forget()  # as it is after ten seconds of that day
            later(days=1, seconds=1)  # it has been published for as long as it has to
            _some_more(given, errors)
            later(hours=1)  # and the former one's last token is dead
            _some_more(given, errors)
    finally:
        over.set()
        for thread in threads:
            thread.join()
    assert not errors and len(used) == 3 and len(given) > 24
    assert len({login.password for login in given}) == len(given)
    fetched = trusting_aws.roles.relying.fetched
    assert len(fetched) <= 2 * 4 * 4, "kept between"


def _some_more(given: list[object], errors: list[Exception]) -> None:
    wanted, until = len(given) + 8, time.monotonic() + 60
    while len(given) < wanted and not errors and time.monotonic() < until:
        time.sleep(0.01)
    assert len(given) >= wanted or errors


@pytest.mark.once
def test_what_terraform_reads_in_a_text_is_text() -> None:
    """A role's path may have any sign, and Terraform's texts have expressions in them."""
    arn = ARN.replace("role/", 'role/${file("x")}/%{if}/"/')
    (text,) = (part.text for part in shown(AwsEcrOidc(), CONFIG | {"role_arn": arn}).terraform)
    (path,) = re.findall(r'path +?= (".*")', text)
    assert path == r'"/$${file(\"x\")}/%%{if}/\"/"'
    assert not re.search(r"(?<!\$)\$\{|(?<!%)%\{", text)
