"""The README's commands for a login, run as they stand there."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys

import pytest

from orgs.services.tenancy import tokens
from tests.conftest import HOST
from tests.support import PROJECT_ROOT
from tests.support.product import environment, served

pytestmark = [
    pytest.mark.django_db(transaction=True),
    pytest.mark.skipif(not shutil.which("curl"), reason="no curl"),
]

README = (PROJECT_ROOT / "README.md").read_text("utf-8")
BLOCKS = re.findall(r"```sh\n(.*?)```", README, re.DOTALL)
(COMMAND,) = (block for block in BLOCKS if "manage.py docker_login" in block)
(CURL,) = (block for block in BLOCKS if "/api/v0/docker-login/" in block)


@pytest.fixture
def entry(aws, make_entry):
    key_id, secret = aws.create_user("valohai", aws.policy())
    config = {"access_key_id": key_id, "region": "us-east-1"}
    return make_entry(config=config, secrets={"secret_access_key": secret})


def printed(script: str, **more: str) -> str:
    done = subprocess.run(
        ["bash", "-eu", "-o", "pipefail", "-c", script],
        cwd=PROJECT_ROOT,
        env=environment(**more),
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_the_login_is_one_command_away(entry, project):
    script = COMMAND.replace("<project id>", str(project.pk))
    login = printed(script.replace(".venv/bin/python", sys.executable))
    assert "docker login" in login and HOST in login


def test_a_worker_asks_by_itself(entry, project, acme, actor):
    _, token = tokens.token_issue_worker(organization=acme, name="w", actor=actor)
    with served() as address:
        script = CURL.replace("<project id>", str(project.pk))
        answer = printed(script.replace("http://127.0.0.1:8000", address), TOKEN=token)
    assert json.loads(answer)["username"] == "AWS"
