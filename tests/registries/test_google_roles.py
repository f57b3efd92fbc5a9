"""The commands that let a service account pull: what they grant, and how a shell reads them."""

from __future__ import annotations

import json
import shlex
import subprocess

import pytest

from orgs.registries.google_roles import ACCOUNT, PROJECT, ROLE, reader
from orgs.registries.patterns import MatchPattern

pytestmark = pytest.mark.once

EMAIL = "valohai-pull@my-project.iam.gserviceaccount.com"
HOST = "europe-west1-docker.pkg.dev"


def policy(*patterns: str, email: str = EMAIL):
    return reader([MatchPattern.parse(text) for text in patterns], email)


def granted(*patterns: str) -> list[tuple[str, str, str]]:
    """(project, location, repository) of each command; "" where it's a whole project's."""
    found = []
    for line in policy(*patterns).command.replace(" \\\n ", "").splitlines():
        words = shlex.split(line)
        options = dict(w[2:].split("=", 1) for w in words if w.startswith("--"))
        assert (options["member"], options["role"]) == (f"serviceAccount:{EMAIL}", ROLE)
        if words[1] == "projects":
            assert words[:3] == ["gcloud", "projects", "add-iam-policy-binding"]
            assert options["condition"] == "None"
            found.append((words[3], "", ""))
        else:
            assert words[:4] == ["gcloud", "artifacts", "repositories", "add-iam-policy-binding"]
            found.append((options["project"], options["location"], words[4]))
    return found


@pytest.mark.parametrize(
    ("patterns", "wanted", "wider"),
    [
        ([f"{HOST}/p/r/*"], [("p", "europe-west1", "r")], ""),
        ([f"{HOST}/p/r/train"], [("p", "europe-west1", "r")], "all images of the repository r"),
        ([f"{HOST}/p/r/team/*"], [("p", "europe-west1", "r")], "all images of the repository r"),
        ([f"{HOST}/p/*"], [("p", "", "")], "all repositories of the project p"),
        ([f"{HOST}/p/team-*/*"], [("p", "", "")], "all repositories of the project p"),
        (["us-docker.pkg.dev/p/r/*"], [("p", "us", "r")], ""),
        ([f"{HOST}/example.com/p/r/*"], [("example.com:p", "europe-west1", "r")], ""),
        (["gcr.io/p/*"], [("p", "us", "gcr.io")], ""),
        (["gcr.io/p/train"], [("p", "us", "gcr.io")], "all images of the repository gcr.io"),
        (["us.gcr.io/p/*"], [("p", "us", "us.gcr.io")], ""),
        (["eu.gcr.io/p/x/*"], [("p", "europe", "eu.gcr.io")], "repository eu.gcr.io"),
        (["asia.gcr.io/example.com/p/*"], [("example.com:p", "asia", "asia.gcr.io")], ""),
        (
            ["*.gcr.io/p/*"],
            [("p", "us", "us.gcr.io"), ("p", "europe", "eu.gcr.io"), ("p", "asia", "asia.gcr.io")],
            "",
        ),
        ([f"{HOST}/p/r/*", f"{HOST}/p/r/*", f"{HOST}/p/s/*"],
         [("p", "europe-west1", "r"), ("p", "europe-west1", "s")], ""),
        ([f"{HOST}/p/r/*", f"{HOST}/p/*", "gcr.io/q/*"], [("p", "", ""), ("q", "us", "gcr.io")],
         "all repositories of the project p"),
        ([f"{HOST}/p/r/*", "quay.io/x/*"], [("p", "europe-west1", "r")], ""),
        ([f"{HOST}:5000/p/r/*", f"{HOST}/p/r/*"], [("p", "europe-west1", "r")], ""),
    ],
)  # fmt: skip
def test_what_is_granted(patterns, wanted, wider):
    assert granted(*patterns) == wanted
    found = policy(*patterns)
    assert len(found.notes) == 1 and found.attach_to == f"the service account {EMAIL}"
    assert (wider in " ".join(found.wider)) if wider else found.wider == ()


@pytest.mark.parametrize("pattern", ["gcr.io/*", f"{HOST}/*", f"{HOST}/*/r/*", "*.gcr.io/*"])
def test_a_pattern_that_names_no_project(pattern):
    assert granted(pattern) == [(PROJECT, "", "")]
    assert PROJECT in " ".join(policy(pattern).notes)


def test_before_anything_is_known():
    found = reader([], "")
    assert PROJECT in found.command and f"serviceAccount:{ACCOUNT}" in found.command
    assert len(found.notes) == 2 and found.document == "" and found.verb == "Grant"


def test_a_shell_reads_each_word_as_it_is_meant(tmp_path):
    """With a gcloud that writes down what it gets; nothing of a pattern or an e-mail runs."""
    gcloud = tmp_path / "gcloud"
    gcloud.write_text('#!/bin/sh\nfor word in "$@"; do printf "%s\\n" "$word"; done\n')
    gcloud.chmod(0o755)
    hostile = "a'b$(touch evil)`touch evil`;&|> *@my-project.iam.gserviceaccount.com"
    for patterns in (["gcr.io/*"], [f"{HOST}/p/r/*", "eu.gcr.io/q/*"]):
        command = policy(*patterns, email=hostile).command
        run = subprocess.run(
            ["sh", "-ec", command],
            env={"PATH": f"{tmp_path}:/usr/bin:/bin"},
            cwd=tmp_path,
            capture_output=True,
            text=True,
        )
        assert run.returncode == 0 and not run.stderr
        lines = command.replace(" \\\n ", "").splitlines()
        assert run.stdout.splitlines() == [w for line in lines for w in shlex.split(line)[1:]]
        assert f"--member=serviceAccount:{hostile}" in run.stdout
    assert [file.name for file in tmp_path.iterdir()] == ["gcloud"]
    assert json.dumps(command)
