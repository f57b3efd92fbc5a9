"""The commands of the API's page, pasted into a shell as they stand there, against the served
product, which has to answer them as the page says."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import urllib.request
from collections.abc import Iterator
from html import unescape
from pathlib import Path

import pytest
from jsonschema import Draft202012Validator

from orgs.models import AuditEvent, RegistryEntry
from orgs.services.entries import door
from orgs.services.tenancy import tokens
from tests.conftest import HOST
from tests.support.product import served

pytestmark = [
    pytest.mark.once,
    pytest.mark.django_db(transaction=True),
    pytest.mark.skipif(not shutil.which("curl"), reason="needs curl: apt-get install curl"),
]

CREATE, LIST, READ = (f"registry_credentials_{name}" for name in ("create", "list", "read"))
UPDATE, CHANGE = "registry_credentials_update", "registry_credentials_change"
LOGIN, OUTCOME, ME = "docker_login", "docker_login_outcome", "me"
DELETE = "registry_credentials_delete"
# As somebody would go through them.
ORDER = (CREATE, LIST, READ, UPDATE, CHANGE, LOGIN, OUTCOME, ME, DELETE)
SECTION = re.compile(r'<section aria-labelledby="(\w+)">(.*?)</section>', re.DOTALL)
COMMAND = re.compile(r"<pre data-copy><code>(.*?)</code></pre>", re.DOTALL)
STATUS = re.compile(r"<strong>(\d+)</strong>")


@pytest.fixture(scope="module")
def server(django_db_setup: None) -> Iterator[str]:
    with served() as address:
        yield address


@pytest.fixture
def commands(server) -> dict[str, tuple[str, list[int]]]:
    """The page's commands and statuses, by call."""
    with urllib.request.urlopen(f"{server}/api/") as page:
        html = page.read().decode()
    found = {}
    for call, whole in SECTION.findall(html):
        (command,) = COMMAND.findall(whole)
        found[call] = (unescape(command), [int(one) for one in STATUS.findall(whole)])
    return found


@pytest.fixture
def document(server):
    with urllib.request.urlopen(f"{server}/api/v0/openapi.json") as answer:
        return json.load(answer)


@pytest.fixture
def texts(alice, actor, acme) -> dict[str, str]:
    person = tokens.token_issue_api(user=alice, name="script", actor=actor)[1]
    worker = tokens.token_issue_worker(organization=acme, name="gpu workers", actor=actor)[1]
    return {"person": person, "worker": worker}


class Shell:
    def __init__(self, folder: Path) -> None:
        self.folder = folder
        (folder / ".curlrc").write_text('write-out = "\\n%{http_code}"\n')

    def run(self, command: str, **variables: str) -> tuple[int, str]:
        """(status, body)"""
        done = subprocess.run(
            ["bash", "-u", "-c", command],
            cwd=self.folder,
            env={"PATH": os.environ["PATH"], "HOME": str(self.folder), **variables},
            capture_output=True,
            text=True,
            timeout=60,
        )
        body, _, status = done.stdout.rpartition("\n")
        assert status.isdecimal(), done.stderr
        assert (done.returncode == 0) == (int(status) < 400), done.stderr
        return int(status), body


@pytest.fixture
def shell(tmp_path) -> Shell:
    return Shell(tmp_path)


def operation(document, call):
    (found,) = [
        one for several in document["paths"].values() for one in several.values()
        if one["operationId"] == call
    ]  # fmt: skip
    return found


def of_worker(document, call) -> bool:
    return operation(document, call)["security"] == [{"WorkerTokenAuth": []}]


def test_every_command_answers_as_the_page_says(
    commands, document, shell, texts, acme, project, make_entry
):
    """With what our own answers are made of, too: their schemas as published."""
    assert (
        set(commands)
        == set(ORDER)
        == {
            one["operationId"] for several in document["paths"].values() for one in several.values()
        }
    )
    role = make_entry(f"{HOST}/*", registry_type="aws-ecr-role")
    made = {}
    for call in ORDER:
        command, statuses = commands[call]
        token = texts["worker" if of_worker(document, call) else "person"]
        entry = role.pk if call == OUTCOME else made.get("id", "")
        ids = {"ENTRY_ID": str(entry), "PROJECT_ID": str(project.pk)}
        used = {name: value for name, value in ids.items() if f"${name}" in command}
        status, body = shell.run(command, TOKEN=token, **used)
        (good,) = [one for one in statuses if one < 300]
        assert status == good, (call, body)
        told = operation(document, call)["responses"][str(status)]
        if "content" in told:
            schema = told["content"]["application/json"]["schema"]
            Draft202012Validator(schema | {"components": document["components"]}).validate(
                json.loads(body)
            )
        else:
            assert body.strip() == ""
        if call == CREATE:
            made = json.loads(body)
            entry = RegistryEntry.objects.get(pk=made["id"])
            assert (entry.organization, entry.registry_type) == (acme, "docker")
            assert door.revealed(entry)["password"].startswith("an access token")
        if call == CHANGE:
            assert json.loads(body)["note"]
        if call == LOGIN:
            login = json.loads(body)
            assert (login["server"], login["entry"]["id"]) == ("ghcr.io", made["id"])
    assert RegistryEntry.objects.get() == role
    told = list(AuditEvent.objects.order_by("pk").values_list("action", flat=True))
    assert {"entry.created", "entry.deleted", "login.issued", "login.reported"} <= set(told)


def test_every_command_is_refused_as_the_page_says(commands, document, shell, texts, project):
    """Without a token that stands, with one of the other kind, and where nothing is."""
    nowhere = {"ENTRY_ID": "00000000-0000-0000-0000-000000000000", "PROJECT_ID": str(project.pk)}
    for call, (command, statuses) in commands.items():
        status, body = shell.run(command, TOKEN="vra_0", **nowhere)
        assert (status, json.loads(body)["code"]) == (401, "not_authenticated"), call
        if call in {ME, CREATE}:  # whose examples have nothing to miss
            continue
        own = "worker" if of_worker(document, call) else "person"
        (other,) = set(texts) - {own}
        assert shell.run(command, TOKEN=texts[other], **nowhere)[0] == 401, call
        status, body = shell.run(command, TOKEN=texts[own], **nowhere)
        if "$ENTRY_ID" in command or call == LOGIN:
            assert status == 404 and status in statuses, (call, body)
            code = json.loads(body)["code"]
            assert code in operation(document, call)["responses"]["404"]["description"]


def test_a_field_that_is_wrong_is_told_as_the_page_shows(commands, shell, texts, alice):
    command, statuses = commands[CREATE]
    status, body = shell.run(command.replace("ghcr.io/acme/*", "ghcr.io"), TOKEN=texts["person"])
    assert status == 400 and status in statuses
    (told,) = json.loads(body)["image_pattern"]
    assert told["code"] == "bare_host"
    assert not RegistryEntry.objects.exists()
