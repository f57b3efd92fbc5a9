"""What an entry's page says that Azure needs: in every language the same, for each cloud, and by
a real shell what it is to be."""

from __future__ import annotations

import json
import re
import shlex
import subprocess

import pytest

from orgs.registries.asking import SetUp, Who
from orgs.registries.azure_acr_oidc import AzureOidc
from orgs.registries.patterns import MatchPattern
from tests.support.issuer import NAME

pytestmark = pytest.mark.once

TYPE = AzureOidc()
HOST, OTHER = "acmeml.azurecr.io", "othername.azurecr.io"
TENANT, CLIENT = "66666666-7777-8888-9999-000000000000", "11111111-2222-3333-4444-555555555555"
SUBJECT = f"organization:{TENANT}:entry:{CLIENT}"
CLOUDS = {
    "azurecr.io": "api://AzureADTokenExchange",
    "azurecr.cn": "api://AzureADTokenExchangeChina",
    "azurecr.us": "api://AzureADTokenExchangeUSGov",
}


def set_up(*patterns: str, issuer: str = NAME, **config: str) -> SetUp:
    """What the entry's page says."""
    who = Who(SUBJECT, issuer)
    return TYPE.set_up(config, [MatchPattern.parse(text) for text in patterns], who)


@pytest.mark.parametrize("suffix", CLOUDS)
def test_every_part_names_the_audience_of_its_cloud(suffix) -> None:
    told = set_up(f"acmeml.{suffix}/*", tenant_id=TENANT, client_id=CLIENT)
    for part in told.parts:
        assert set(re.findall(r"api://\w+", part.text)) == {CLOUDS[suffix]}
        assert NAME in part.text and SUBJECT in part.text
    for part in told.parts[1:3]:
        assert ("az cloud set" in part.text) == (suffix != "azurecr.io")
    assert any("environment" in note for note in told.notes) == (suffix != "azurecr.io")


@pytest.mark.parametrize("number", [1, 2])
def test_the_commands_say_it_to_azure(number, tmp_path) -> None:
    """In a real shell, with a stand-in for az that writes down what it is asked."""
    told, az = tmp_path / "told", tmp_path / "az"
    az.write_text(
        "#!/bin/sh\n"
        'case "$*" in\n'
        "  *roleAssignmentMode*) echo AbacRepositoryPermissions;;\n"
        '  "acr show"*) echo "/subscriptions/s/$4";;\n'
        f'  "identity list"*{CLIENT}*.name*) echo pull;;\n'
        f'  "identity list"*{CLIENT}*.resourceGroup*) echo ml;;\n'
        f'  *) printf "%s\\n" "$@" -- >>{shlex.quote(str(told))};;\n'
        "esac\n"
    )
    az.chmod(0o755)
    given = set_up(f"{HOST}/*", f"{OTHER}/x", tenant_id=TENANT, client_id=CLIENT)
    path = {"PATH": f"{tmp_path}:/usr/bin:/bin"}
    command = ["sh", "-eu", "-c", given.parts[number].text]
    ran = subprocess.run(command, env=path, capture_output=True, text=True)
    assert ran.returncode == 0, ran.stderr
    trusting, *roles = [text.split("\n")[:-1] for text in told.read_text().split("--\n")[:-1]]
    document = json.loads(given.parts[0].text)
    if number == 1:
        assert trusting[:6] == ["ad", "app", "federated-credential", "create", "--id", CLIENT]
        assert trusting[6] == "--parameters" and json.loads("".join(trusting[7:])) == document
    else:
        asked = dict(zip(trusting[3::2], trusting[4::2], strict=True))
        assert asked == {
            "--identity-name": "pull",
            "--resource-group": "ml",
            "--name": document["name"],
            "--issuer": NAME,
            "--subject": SUBJECT,
            "--audiences": CLOUDS["azurecr.io"],
        }
    assert [role[-1] for role in roles] == ["/subscriptions/s/acmeml", "/subscriptions/s/othername"]
    assert all("Container Registry Repository Reader" in role for role in roles)


def test_without_an_issuer_or_a_client_there_is_something_to_fill_in() -> None:
    told = set_up(issuer="")
    for part in told.parts:
        assert "<ISSUER>" in part.text and "None" not in part.text
    commands = told.parts[1].text
    assert commands.startswith("az ad app create") and "az ad sp create" in commands
    before, after = (
        TYPE.policy({}, []),
        TYPE.policy({"client_id": CLIENT}, [MatchPattern.parse(f"{HOST}/*")]),
    )
    assert before.command.startswith("az ad app create") and "make an application" in str(before)
    assert after.command.startswith("registry=") and "make an application" not in str(after)
