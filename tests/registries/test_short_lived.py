"""Logins that end within hours, stored as if they lasted: refused where that is sure."""

from __future__ import annotations

import time

import pytest

from orgs.registries import short_lived
from orgs.registries.catalogue import BY_SLUG
from orgs.registries.patterns import MatchPattern
from orgs.registries.problems import Refused
from tests.conftest import CANARY
from tests.former.cases import ECR_LOGIN, token
from tests.support import effort

pytestmark = pytest.mark.once

HOUR = 3600


def clean(username: str, password: str) -> None:
    patterns = [MatchPattern.parse("registry.example.com/*")]
    BY_SLUG["docker"].clean({"username": username}, {"password": password}, patterns)


def soon() -> str:
    return token(exp=int(time.time()) + HOUR)


DEAD = [
    ("oauth2accesstoken", CANARY, "username", "an hour", "GCP Artifact Registry"),
    ("OAuth2AccessToken", f"ya29.{CANARY}", "username", "an hour", "GCP Artifact Registry"),
    ("_dcgcloud_token", CANARY, "username", "an hour", "GCP Artifact Registry"),
    ("00000000-0000-0000-0000-000000000000", soon(), "username", "3 hours", "service principal"),
    ("00000000-0000-0000-0000-000000000000", CANARY, "username", "3 hours", "service principal"),
    ("gitlab-ci-token", CANARY, "username", "with the job", "deploy token"),
    ("gitlab-ci-token", f"glcbt-64_{CANARY}", "username", "with the job", "deploy token"),
    ("me", f"glcbt-64_{CANARY}", "password", "with the job", "deploy token"),
    ("x-access-token", f"ghs_{CANARY}", "password", "an hour", "ghp_"),
    ("me", f"ghs_{CANARY}", "password", "an hour", "ghp_"),
    ("me", f"ya29.c.{CANARY}", "password", "an hour", "GCP Artifact Registry"),
    ("AWS", ECR_LOGIN, "password", "12 hours", "AWS ECR"),
    ("robot", ECR_LOGIN.rstrip("="), "password", "12 hours", "AWS ECR"),
    ("me", soon(), "password", "ends on 20", "lasts"),
    ("me", token(exp=time.time() + HOUR / 2), "password", "ends on 20", "lasts"),
    ("me", token(exp=1_700_000_000), "password", "ended on 2023-11-14 at 22:13 UTC", "lasts"),
    ("me", token(exp=1_700_000_000, iat=5, aud="x" * 300), "password", "ended on", "lasts"),
]


# By number: tokens hold the time, and processes that share the tests began at another.
@pytest.mark.parametrize(
    ("username", "password", "field", "what", "fix"), DEAD, ids=map(str, range(len(DEAD)))
)
def test_what_is_dead_within_hours(username, password, field, what, fix) -> None:
    with pytest.raises(Refused) as refused:
        clean(username, password)
    (problem,) = refused.value.problems
    assert (problem.code, problem.field) == ("short_lived_password", field)
    assert what in problem.what and fix in problem.fix
    assert CANARY not in str(problem) and password[:12] not in str(problem)


YEAR = 365 * 24 * HOUR
LASTING = [
    ("me", CANARY),
    ("_json_key_base64", "eyJ0eXBlIjogInNlcnZpY2VfYWNjb3VudCJ9"),
    ("_json_key", '{"type": "service_account"}'),
    ("11111111-0000-0000-0000-000000000000", CANARY),
    ("x-access-token", f"ghp_{CANARY}"),
    ("me", f"github_pat_{CANARY}"),
    ("me", "ghs_short"),
    ("me", "a-ghs_" + CANARY),
    ("ya29.me", "ya29.short"),
    ("gitlab-ci-token", f"glpat-{CANARY}"),
    ("gitlab-ci-token", f"gldt-{CANARY}"),
    ("gitlab+deploy-token-1", f"gldt-{CANARY}"),
    ("AWS", CANARY),
    ("aws", "a password of one's own"),
    ("$oauthtoken", CANARY),
    ("robot$acme", CANARY),
    ("iamapikey", CANARY),
    ("me", token(exp=time.time() + YEAR)),
    ("me", token(exp=time.time() + 25 * HOUR)),
    ("me", token(sub="me")),
    ("me", token(exp="soon")),
    ("me", token(exp=None)),
    ("me", token(exp=True)),
    ("me", token(exp=[5])),
    ("me", token(exp=-5)),
    ("me", token(exp=1e300)),
    ("me", token(exp=float("inf"))),
    ("me", token(exp=float("nan"))),
    ("me", "eyJ" + CANARY),
    ("me", "eyJhbGciOiJSUzI1NiJ9." + CANARY),
    ("me", "eyJ.eyJ.eyJ"),
    ("me", "ey" + "." * 100),
    ("me", "ey" + "J" * 8000),
    ("me", "eyJ" + "W1tb" * 2000 + ".a.b"),
    ("me", "eyé.eyJ.x"),
]


@pytest.mark.parametrize(("username", "password"), LASTING, ids=map(str, range(len(LASTING))))
def test_what_may_last(username, password) -> None:
    clean(username, password)


def test_a_long_one_is_not_decoded() -> None:
    with effort.at_most(100):
        assert not list(short_lived.problems("me", "ey" + "W1tb" * 1_000_000))
