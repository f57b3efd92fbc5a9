"""What the other side of a keyless entry is made of at Google: its commands, run by a shell and
taken at their word by the fake, and its Terraform."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from collections.abc import Callable

import pytest

from orgs.registries.google_cr_oidc import GoogleOidc
from orgs.registries.google_roles import ACCOUNT, reader
from orgs.registries.google_trust import USER
from orgs.registries.patterns import MatchPattern
from orgs.registries.types import SetUp, Who
from tests.registries.test_google_federation import (
    ALONE,
    BOTH,
    EMAIL,
    HOST,
    ISSUER,
    NAME,
    PRINCIPAL,
    SUBJECT,
    entry,
    login,
    refused,
    served,
    signer,
)
from tests.support.fake_google import FakeGoogle

__all__ = ["entry", "served", "signer"]
pytestmark = pytest.mark.once

PATTERNS = (f"{HOST}/my-project/my-repo/*", "gcr.io/p/*")
Commands = list[tuple[list[str], dict[str, str]]]


def set_up(config=BOTH, *patterns: str, issuer: str = ISSUER) -> SetUp:
    parsed = [MatchPattern.parse(text) for text in patterns or PATTERNS]
    return GoogleOidc().set_up(config, parsed, Who(SUBJECT, issuer))


def part(told: SetUp, language: str) -> str:
    (one,) = (part.text for part in told.parts if part.language == language)
    return one


@pytest.fixture
def run(tmp_path) -> Callable[[str], Commands]:
    """Run a script in a shell, with a stand-in for gcloud that writes down what it's asked;
    gives (words, options) of each."""

    def run(script: str) -> Commands:
        told, gcloud = tmp_path / "told", tmp_path / "gcloud"
        told.write_text("")
        gcloud.write_text(
            "#!/bin/sh\n"
            '[ "$1 $2" = "projects describe" ] && echo "id-of-$3" && exit\n'
            f'printf "%s\\n" "$@" -- >>{told}\n'
        )
        gcloud.chmod(0o755)
        environment = {"PATH": f"{tmp_path}:/usr/bin:/bin"}
        command = ["sh", "-eu", "-c", script]
        ran = subprocess.run(command, env=environment, capture_output=True, text=True)
        assert ran.returncode == 0 and not ran.stderr, ran.stderr
        asked = [text.split("\n")[:-1] for text in told.read_text().split("--\n")[:-1]]
        return [
            (
                [word for word in words if not word.startswith("--")],
                dict(w[2:].split("=", 1) for w in words if w.startswith("--")),
            )
            for words in asked
        ]

    return run


def obeyed(fake: FakeGoogle, commands: Commands) -> None:
    """Have the fake do what Google does at these commands."""
    pools: set[str] = set()
    for words, given in commands:
        what, name = " ".join(words[:-1]), words[-1]
        project = given.get("project", "").removeprefix("id-of-")
        if what == "iam workload-identity-pools create":
            pools.add(name)
        elif what == "iam workload-identity-pools providers create-oidc":
            assert given["workload-identity-pool"] in pools and given["location"] == "global"
            assert given["attribute-mapping"] == "google.subject=assertion.sub"
            (subject,) = re.findall(r'^assertion\.sub == "([^"]+)"$', given["attribute-condition"])
            where = {"project": project, "pool": given["workload-identity-pool"]}
            fake.pools.create(given["issuer-uri"], subject, provider=name, **where)
        elif what == "iam service-accounts add-iam-policy-binding":
            assert (given["role"], given["condition"]) == (USER, "None")
            fake.pools.let_act(name, given["member"])
        elif given.get("role") == "roles/artifactregistry.reader":
            fake.pools.readers.add(given["member"].removeprefix("serviceAccount:"))


@pytest.mark.parametrize("config", [BOTH, ALONE])
def test_the_commands_make_what_the_fake_lets_in(run, served, entry, config) -> None:
    commands = run(part(set_up(config), "gcloud"))
    with FakeGoogle() as fake:
        fake.pools.relying.addresses[ISSUER] = served.url
        assert refused(fake, entry, config).code == "identity_refused"
        obeyed(fake, commands)
        assert list(fake.pools.providers) == [NAME]
        assert login(fake, entry, config).password in fake.tokens
        # The provider is for this entry alone: another's subject isn't let in.
        entry.claims = {"sub": SUBJECT.replace("entry:0", "entry:1")}
        assert "attribute condition" in refused(fake, entry, config).what
    services, options = commands[0]
    assert services == [
        *("services", "enable", "iam.googleapis.com", "sts.googleapis.com"),
        *("iamcredentials.googleapis.com", "artifactregistry.googleapis.com"),
    ]
    assert options == {"project": "id-of-123456789012"}


def test_who_reads_is_the_account_or_the_entry_itself(run) -> None:
    for config, member in ((BOTH, f"serviceAccount:{EMAIL}"), (ALONE, PRINCIPAL)):
        script = part(set_up(config), "gcloud")
        granted = [given for words, given in run(script) if words[0] in {"artifacts", "projects"}]
        assert [given["member"] for given in granted] == [member, member]
        assert ("service-accounts" in script) is (config is BOTH)


def test_the_account_is_made_where_it_is_ones_own(run) -> None:
    made = [
        (words[-1], given["project"])
        for words, given in run(part(set_up(), "gcloud"))
        if words[1:3] == ["service-accounts", "create"]
    ]
    assert made == [("valohai-pull", "my-project")]
    others = ALONE | {"service_account_email": "1-compute@developer.gserviceaccount.com"}
    assert "service-accounts create" not in part(set_up(others), "gcloud")
    assert "projects/-/serviceAccounts/1-compute@" in part(set_up(others), "Terraform")


def test_the_facts_are_what_one_types_by_hand() -> None:
    facts = dict(set_up().facts)
    assert facts == {
        "Issuer": ISSUER,
        "Audience": f"https://iam.googleapis.com/{NAME}",
        "Subject": SUBJECT,
        "Attribute mapping": "google.subject=assertion.sub",
        "Attribute condition": f'assertion.sub == "{SUBJECT}"',
        "Provider": NAME,
        "Service account": EMAIL,
    }
    assert dict(set_up(ALONE).facts)["Principal"] == PRINCIPAL


def test_the_notes_say_what_else_there_is_to_know() -> None:
    notes = " ".join(set_up().notes)
    for said in ("--jwk-json-path", "ALREADY_EXISTS", "opens whatever this service"):
        assert said in notes
    assert "opens whatever this identity may read" in " ".join(set_up(ALONE).notes)
    assert len(SUBJECT) <= 127  # the most of google.subject (IAM, «Attribute mappings»)
    wide = " ".join(set_up(BOTH, f"{HOST}/*").notes)
    assert "Run it for each project" in wide and "Run it for each project" not in notes


def test_the_policy_knows_all_but_the_subject() -> None:
    parsed = [MatchPattern.parse(PATTERNS[0])]
    told = GoogleOidc().policy(BOTH, parsed)
    assert told == reader(parsed, EMAIL)
    told = GoogleOidc().policy(ALONE, parsed)
    assert PRINCIPAL.replace(SUBJECT, "<SUBJECT>") in told.command
    assert told.attach_to == "the entry's own identity"
    assert "“Set up trust”" in told.notes[-1] and "key" not in " ".join(told.notes)


@pytest.mark.parametrize("config", [{}, {"service_account_email": ""}])
def test_the_policy_claims_nothing_of_what_a_member_doesnt_see(config) -> None:
    """Both are hidden, so whether there is an account isn't known."""
    for patterns in ([], [MatchPattern.parse(PATTERNS[0])]):
        told = GoogleOidc().policy(config, patterns)
        assert told.attach_to == "the service account" and ACCOUNT in told.command
        assert "once the entry is saved" in " ".join(told.notes) or not patterns
        assert "principal" not in told.command and "key" not in " ".join(told.notes)


@pytest.mark.parametrize("config", [BOTH, ALONE, {}])
def test_terraform(config, tmp_path) -> None:
    """What is in it is what the commands say; terraform itself finds it well-formed."""
    text = part(set_up(config), "Terraform")
    resources = dict(re.findall(r'resource "(\w+)" "(\w+)"', text))
    assert {"google_iam_workload_identity_pool", "google_project_service"} <= set(resources)
    assert ("google_service_account_iam_member" in resources) is (config is BOTH)
    assert json.dumps(f'assertion.sub == "{SUBJECT}"') in text and ISSUER in text
    assert '"google.subject" = "assertion.sub"' in text
    members = re.findall(r'reader"\n  member +=? *"([^"]+)"', text)
    own = PRINCIPAL if config else PRINCIPAL.replace("123456789012", "<PROJECT_NUMBER>")
    assert members == [f"serviceAccount:{EMAIL}" if config is BOTH else own] * 2
    terraform = shutil.which("terraform")
    if terraform is not None:
        (tmp_path / "main.tf").write_text(f"{text}\n")
        command = [terraform, "fmt", "-check", "-diff"]
        ran = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)
        assert ran.returncode == 0, ran.stdout + ran.stderr


def test_without_an_issuer_or_a_provider_there_is_something_to_fill_in(run) -> None:
    told = set_up({}, issuer="")
    assert run(part(told, "gcloud"))[0][1] == {"project": "id-of-<PROJECT_NUMBER>"}
    for one in told.parts:
        assert "<ISSUER>" in one.text and "<PROJECT_NUMBER>" in one.text and "None" not in one.text
