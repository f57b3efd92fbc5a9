"""Which hosts Google's logins go to: as many look-alikes as hosts."""

import pytest

from orgs.registries.google_cr import GoogleKey
from orgs.registries.google_hosts import (
    GoogleHost,
    corrected_google_host,
    hosts_of_pattern,
    parse_google_host,
)
from orgs.registries.patterns import MatchPattern

pytestmark = pytest.mark.once

TYPE = GoogleKey()


@pytest.mark.parametrize(
    ("host", "location", "old"),
    [
        ("europe-west1-docker.pkg.dev", "europe-west1", False),
        ("us-central1-docker.pkg.dev", "us-central1", False),
        ("northamerica-northeast1-docker.pkg.dev", "northamerica-northeast1", False),
        ("australia-southeast2-docker.pkg.dev", "australia-southeast2", False),
        ("me-central2-docker.pkg.dev", "me-central2", False),
        ("africa-south1-docker.pkg.dev", "africa-south1", False),
        ("europe-west12-docker.pkg.dev", "europe-west12", False),
        ("us-docker.pkg.dev", "us", False),
        ("europe-docker.pkg.dev", "europe", False),
        ("asia-docker.pkg.dev", "asia", False),
        ("gcr.io", "us", True),
        ("us.gcr.io", "us", True),
        ("eu.gcr.io", "europe", True),
        ("asia.gcr.io", "asia", True),
    ],
)
def test_hosts(host, location, old):
    assert parse_google_host(host) == GoogleHost(location, old)
    assert hosts_of_pattern(host) == (host,)
    assert TYPE.refused_patterns([MatchPattern.parse(f"{host}/p/r/*")]) == []


LOOKALIKES = [
    "europe-west1-docker.pkg.dev.evil.com",
    "docker.pkg.dev.evil.com",
    "evil.com.europe-west1-docker.pkg.dev",
    "a.europe-west1-docker.pkg.dev",
    "europe-west1-docker-pkg.dev",
    "europe-west1-docker.pkg.dev.",
    "europe-west1-docker.pkg.devx",
    "europe-west1-docker.pkg.de",
    "europe-west1-docker.xpkg.dev",
    "europe-west1-docker.pkg.dev:443",
    "europe-west1-docker.pkg.dev:5000",
    "europe-west1-docker.pkg.dev\n",
    " europe-west1-docker.pkg.dev",
    "europe-west1-docker.pkg.dev/",
    "europe-west1-docker.pkg.dev@evil.com",
    "europe-west1.docker.pkg.dev",
    "europe-west1-npm.pkg.dev",
    "europe-west1-docker.pkg.dev%2eevil.com",
    "europe-west-docker.pkg.dev",
    "europe-west123-docker.pkg.dev",
    "moon-west1-docker.pkg.dev",
    "eu-docker.pkg.dev",
    "usa-docker.pkg.dev",
    "xdocker.pkg.dev",
    "xus-docker.pkg.dev",
    "us-xdocker.pkg.dev",
    "us--docker.pkg.dev",
    "-docker.pkg.dev",
    "docker.pkg.dev",
    "pkg.dev",
    "evil-docker.pkg.dev.example",
    "us-docker.pkg.dev.example",
    "us-docker_pkg.dev",
    "us-docker.pkg.dev\u0000",
    "us\u2010docker.pkg.dev",
    "us-docker\u3002pkg.dev",
    "us-doc\u212aer.pkg.dev",
    "us-docker.p\u043ag.dev",
    "xn--us-docker-xyz.pkg.dev",
    "us-docker.xn--pg-fmc.dev",
    "europe-west\u0661-docker.pkg.dev",
    "EUROPE-WEST1-docker.pkg.dev",
    "gcr.io.evil.com",
    "evil.gcr.io",
    "mirror.gcr.io",
    "k8s.gcr.io",
    "us.gcr.io.evil.com",
    "a.us.gcr.io",
    "us-gcr.io",
    "xgcr.io",
    "gcr.iox",
    "gcr.io.",
    "gcr.io:443",
    "gcr.com",
    "eu.gcr.io:8443",
    "europe.gcr.io",
    "gcr\u3002io",
    "g\u0441r.io",
    "xn--gr-fmc.io",
    "GCR.IO",
    "[::1]",
    "127.0.0.1",
    "localhost",
    "oauth2.googleapis.com",
    "storage.googleapis.com",
    "",
]


@pytest.mark.parametrize("host", LOOKALIKES)
def test_lookalikes(host):
    assert parse_google_host(host) is None and hosts_of_pattern(host) == ()


@pytest.mark.parametrize(
    "host",
    [
        *("europe-west1-docker.pkg.dev.evil.com", "europe-west1-docker.pkg.dev:5000"),
        *("a.europe-west1-docker.pkg.dev", "europe-west1.docker.pkg.dev", "docker.pkg.dev"),
        *("moon-west1-docker.pkg.dev", "evil-docker.pkg.dev.example", "evil.gcr.io"),
        *("gcr.io.evil.com", "us-gcr.io", "xgcr.io", "gcr.io:8443", "quay.io", "docker.io"),
        *("xn--gr-fmc.io", "*.evil.com", "*.us.gcr.io", "*.docker.pkg.dev", "localhost:5000"),
        "123456789012.dkr.ecr.us-east-1.amazonaws.com",
    ],
)
def test_patterns_of_other_hosts_are_refused(host):
    (problem,) = TYPE.refused_patterns([MatchPattern.parse(f"{host}/my-project/*")])
    assert (problem.code, problem.field) == ("lookalike_host", "patterns")
    assert "so no login of Google's will go there" in problem.what
    if problem.suggestion:
        assert TYPE.refused_patterns([MatchPattern.parse(problem.suggestion)]) == []
        assert problem.suggestion in problem.fix


@pytest.mark.parametrize(
    ("host", "meant"),
    [
        ("europe-west1-docker.pkg.dev.evil.com", "europe-west1-docker.pkg.dev"),
        ("europe-west1.docker.pkg.dev", "europe-west1-docker.pkg.dev"),
        ("europe-west1-docker-pkg.dev", "europe-west1-docker.pkg.dev"),
        ("europe-west1.pkg.dev", "europe-west1-docker.pkg.dev"),
        ("docker-europe-west1.pkg.dev", "europe-west1-docker.pkg.dev"),
        ("docker.us.pkg.dev", "us-docker.pkg.dev"),
        ("europe-west1-docker.pkg.dev:5000", "europe-west1-docker.pkg.dev"),
        ("europe-west1-docker.evil.com", "europe-west1-docker.pkg.dev"),
        ("us-gcr.io", "us.gcr.io"),
        ("eu.gcr.com", "eu.gcr.io"),
        ("gcr.io.evil.com", "gcr.io"),
        ("gcr.io:8443", "gcr.io"),
        ("quay.io", None),
        ("moon-west1-docker.pkg.dev", None),
        ("xgcr.io", None),
        ("us.gcr.io.eu.gcr.io", None),
        ("gcr.io", None),
        ("us-docker.pkg.dev." + "a" * 200, None),
    ],
)
def test_what_is_suggested(host, meant):
    assert corrected_google_host(host) == meant


def test_which_stars_there_are():
    """`*.gcr.io` is three hosts; where a repository is in Artifact Registry, no pattern leaves
    open."""
    assert hosts_of_pattern("*.gcr.io") == ("us.gcr.io", "eu.gcr.io", "asia.gcr.io")
    assert TYPE.refused_patterns([MatchPattern.parse("*.gcr.io/p/*")]) == []
    (problem,) = TYPE.refused_patterns([MatchPattern.parse("*.pkg.dev/p/*")])
    assert problem.code == "wildcard_host" and "europe-west1-docker.pkg.dev/p/*" in problem.fix


def test_capital_letters_are_the_same_host():
    assert TYPE.refused_patterns([MatchPattern.parse("Europe-West1-Docker.PKG.dev/p/*")]) == []


def test_a_web_site_is_told_as_one():
    problem, *_ = TYPE.refused_patterns(
        [MatchPattern.parse("console.cloud.google.com/gcr/images/my-project")]
    )
    assert problem.code == "not_a_registry_host" and problem.suggestion == "gcr.io/my-project/*"
