"""What the guide says to enter for each registry is what this product takes."""

from __future__ import annotations

import base64
import json
import re

import pytest

from orgs.registries.catalogue import BY_SLUG
from orgs.registries.images import ImageReference
from orgs.registries.patterns import MatchPattern
from orgs.registries.problems import Refused
from orgs.web import guide

pytestmark = pytest.mark.once

DOCKER = BY_SLUG["docker"]
BY_REGISTRY = (guide.FOLDER / "passwords.md").read_text("utf-8")
TABLE = (guide.FOLDER / "docker.md").read_text("utf-8").partition("## Add the entry")[2]
PATTERNS = sorted(
    {
        *re.findall(r"\*Match pattern\* `([^`]+)`", BY_REGISTRY),
        *re.findall(r"^   \| [^|]+ \| `([^`]+)` \|", TABLE, re.MULTILINE),
    }
)
USERNAMES = sorted(
    {
        *re.findall(r"\*Username\*: [^.`]*`([^`]+)`", BY_REGISTRY),
        *re.findall(r"^   \| [^|]+ \| `[^`]+` \| `([^`]+)` \|", TABLE, re.MULTILINE),
    }
)


def taken(pattern: str = "registry.example.com/*", username: str = "u", password: str = "p"):
    return DOCKER.clean(
        {"username": username}, {"password": password}, [MatchPattern.parse(pattern)]
    )


def test_all_registries_are_found():
    hosts = {pattern.split("/")[0] for pattern in PATTERNS}
    assert len(PATTERNS) >= 8 and hosts >= {
        *("docker.io", "ghcr.io", "registry.gitlab.com", "quay.io", "yourregistry.azurecr.io"),
        *("europe-west1-docker.pkg.dev", "yourcompany.jfrog.io", "harbor.example.com"),
    }
    assert {"_json_key_base64", "robot$project+name", "your-org+robot"} <= set(USERNAMES)


@pytest.mark.parametrize("pattern", PATTERNS)
def test_patterns_are_taken_as_written(pattern):
    assert str(MatchPattern.parse(pattern)) == pattern
    taken(pattern)


@pytest.mark.parametrize("pattern", PATTERNS)
def test_patterns_serve_the_images_below_them_alone(pattern):
    parsed = MatchPattern.parse(pattern)
    below = pattern.removesuffix("/*")
    assert parsed.matches(ImageReference.parse(f"{below}/train:v1"))
    if "/" in below:  # and what is named like them isn't theirs
        assert not parsed.matches(ImageReference.parse(f"{below}-evil/train:v1"))


@pytest.mark.parametrize("username", USERNAMES)
def test_usernames_are_taken_as_written(username):
    (config, _) = taken(username=username)
    assert config["username"] == username


def service_account_key() -> str:
    """As Google writes it: JSON on several lines, with a private key of 2048 bits."""
    private = base64.encodebytes(bytes(1218)).decode()
    key = f"-----BEGIN PRIVATE KEY-----\n{private}-----END PRIVATE KEY-----\n"
    return json.dumps(
        {
            "type": "service_account",
            "project_id": "your-project",
            "private_key_id": "0" * 40,
            "private_key": key,
            "client_email": "valohai-pull@your-project.iam.gserviceaccount.com",
            "client_id": "1" * 21,
            "auth_uri": "https://accounts.google.com/o/oauth2/auth",
            "token_uri": "https://oauth2.googleapis.com/token",
        },
        indent=2,
    )


def test_googles_key_goes_in_in_base64_alone():
    key = service_account_key()
    line = base64.b64encode(key.encode()).decode()
    _, secrets = taken(username="_json_key_base64", password=line)
    assert base64.b64decode(secrets["password"]).decode() == key
    with pytest.raises(Refused) as refused:
        taken(username="_json_key", password=key)
    (problem,) = refused.value.problems
    assert problem.code == "secret_shape" and "_json_key_base64" in problem.fix
