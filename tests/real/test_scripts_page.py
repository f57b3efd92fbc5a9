"""The guide's commands for scripts, run as they stand there against the served product."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from orgs.models import AuditEvent, RegistryEntry
from orgs.registries import codes
from orgs.services.entries import door
from orgs.services.tenancy import tokens
from orgs.web import guide
from tests.conftest import CANARY
from tests.support.product import served

from .test_terraform import URL, Provider

pytestmark = [
    pytest.mark.django_db(transaction=True),
    pytest.mark.skipif(not (shutil.which("curl") and shutil.which("jq")), reason="no curl or jq"),
]

PAGE = (guide.FOLDER / "scripts.md").read_text("utf-8")
ADDRESS = "https://registries.example.com"
SET_UP, CREATE, READ, CHANGE, REPLACE, DISABLE, DELETE = re.findall(
    r"```sh\n(.*?)```", PAGE, re.DOTALL
)
(TERRAFORM,) = re.findall(r"```hcl\n(.*?)```", PAGE, re.DOTALL)
STALE = '.updated_at = "2020-01-01T00:00:00Z"'
REPLACED = CANARY[::-1] + ' with "quotes" and \\'


@pytest.fixture(scope="module")
def server(django_db_setup: None) -> Iterator[str]:
    with served() as address:
        yield address


@pytest.fixture
def token(alice, actor) -> str:
    return tokens.token_issue_api(user=alice, name="script", actor=actor)[1]


class Shell:
    """One shell's life: what one block of the page sets, the next ones have."""

    def __init__(self, server: str, token: str, folder: Path) -> None:
        self.server, self.token, self.folder = server, token, folder

    def run(self, *blocks: str) -> subprocess.CompletedProcess[str]:
        script = "".join(blocks).replace(ADDRESS, self.server)
        secrets = {"TOKEN": self.token, "PASSWORD": CANARY, "NEW_PASSWORD": REPLACED}
        return subprocess.run(
            ["bash", "-eu", "-o", "pipefail", "-c", script],
            cwd=self.folder,
            env={"PATH": os.environ["PATH"], "HOME": str(self.folder), **secrets},
            capture_output=True,
            text=True,
            timeout=60,
        )

    def says(self, *blocks: str) -> str:
        """What the blocks print, once they ended well and told no secret."""
        done = self.run(*blocks)
        assert done.returncode == 0, done.stdout + done.stderr
        assert CANARY not in done.stdout and REPLACED not in done.stdout
        return done.stdout


@pytest.fixture
def shell(server, token, tmp_path) -> Shell:
    return Shell(server, token, tmp_path)


def test_the_page_from_top_to_bottom(shell, acme):
    shell.says(SET_UP, CREATE)
    document = json.loads((shell.folder / "entry.json").read_text())
    entry = RegistryEntry.objects.get()
    assert (document["id"], document["owner"]) == (str(entry.pk), acme.pk)
    assert door.revealed(entry) == {"password": CANARY}
    again = (SET_UP, f"ID={entry.pk}\n")

    printed = shell.says(*again, READ)
    assert printed.endswith(f"{entry.pk} ghcr.io/acme/*\n")
    assert json.loads(printed.removesuffix(f"{entry.pk} ghcr.io/acme/*\n")) == document

    assert json.loads(shell.says(*again, CHANGE))["note"] == "of the ML team"
    entry.refresh_from_db()
    assert (entry.note, entry.enabled) == ("of the ML team", True)
    assert door.revealed(entry) == {"password": CANARY}  # left out, so it stays

    shell.says(*again, REPLACE)
    entry.refresh_from_db()
    assert door.revealed(entry) == {"password": REPLACED}
    assert entry.config == {"username": "acme-bot"}

    assert json.loads(shell.says(*again, DISABLE))["enabled"] is False
    assert shell.says(*again, DELETE) == ""
    assert not RegistryEntry.objects.exists()
    told = AuditEvent.objects.filter(action__startswith="entry.").order_by("pk")
    assert [event.action for event in told][0::4] == ["entry.created", "entry.deleted"]
    assert all(event.actor == "alice@example.com" for event in told)


@pytest.mark.parametrize(
    ("blocks", "code"),
    [
        ((SET_UP, CREATE, CREATE), "duplicate_pattern"),
        ((SET_UP, CREATE.replace("ghcr.io/acme/*", "ghcr.io")), "bare_host"),
        ((SET_UP, "ID=00000000-0000-0000-0000-000000000000\n", CHANGE), "not_found"),
        ((SET_UP, "ID=00000000-0000-0000-0000-000000000000\n", DELETE), "not_found"),
        (("TOKEN=vra_0\n", SET_UP, CREATE), "not_authenticated"),
        ((SET_UP, CREATE, CHANGE.replace(".note", f"{STALE} | .note")), "changed_meanwhile"),
    ],
)  # fmt: skip
def test_what_is_refused_ends_the_script_with_its_code(shell, blocks, code):
    done = shell.run(*blocks)
    written = "".join(path.read_text() for path in shell.folder.glob("entry.json"))
    assert done.returncode != 0
    assert f'"{code}"' in done.stdout + written
    assert CANARY not in done.stdout + done.stderr + written


def test_codes_are_told_with_their_status():
    rows = re.findall(r"^\| (\d+) \| (`.*?) \|", PAGE, re.MULTILINE)
    assert len(rows) == 5
    for status, names in rows:
        for code in re.findall(r"`(\w+)`", names):
            assert str(codes.table()[code].status) == status, code


# --- what the generic Terraform provider sends ----------------------------------


def attribute(name: str) -> str:
    (value,) = re.findall(rf'^\s+{name}\s+= "([^"]+)"$', TERRAFORM, re.MULTILINE)
    return value


def resource_data(password: str) -> Any:
    """The page's `jsonencode({…})` as the JSON that it becomes."""
    (body,) = re.findall(r"jsonencode\((\{.*?\n  \})\)", TERRAFORM, re.DOTALL)
    body = body.replace("var.password", json.dumps(password))
    body = re.sub(r"(\w+)\s+= ", r'"\1": ', body)
    return json.loads(re.sub(r'(["}])\n(\s+")', r"\1,\n\2", body))


def without(data: Any, path: str) -> Any:
    """A copy without the value at a dotted path."""
    first, _, rest = path.partition(".")
    return {k: without(v, rest) if k == first else v for k, v in data.items() if rest or k != first}


def test_the_resource_as_the_provider_sends_it(server, token):
    """Its rules: POST to `path`, the rest to its own paths with the id of the answer; drift
    is what differs in what was sent, but for `ignore_changes_to`."""
    assert attribute("uri") == ADDRESS and attribute("path") == URL
    (ignored,) = re.findall(r'ignore_changes_to\s+= \["([^"]+)"\]', TERRAFORM)
    provider = Provider(server, token)
    data = resource_data(CANARY)
    entry_id = provider.create(data)["id"]
    paths = {
        name: attribute(f"{name}_path").replace("{id}", entry_id)
        for name in ("read", "update", "destroy")
    }

    def drift(sent: Any, answered: Any) -> bool:
        return any(
            drift(value, answered.get(key)) if isinstance(value, dict) else value != answered[key]
            for key, value in sent.items()
        )

    sent = without(data, ignored)
    assert sent["configuration"] == {"username": "acme-bot"}
    assert not drift(sent, provider.send("GET", paths["read"]).document)

    changed = resource_data(REPLACED) | {"image_pattern": "ghcr.io/acme/train/*"}
    answer = provider.send("PUT", paths["update"], changed)
    assert answer.status == 200 and not drift(without(changed, ignored), answer.document)
    assert drift(sent, answer.document)
    assert door.revealed(RegistryEntry.objects.get()) == {"password": REPLACED}

    assert provider.send("DELETE", paths["destroy"]).status == 204
    provider.send("GET", paths["read"]).refused(404, "not_found")
