"""Docker's own files as a source: what becomes an entry, and what is told of the rest."""

from __future__ import annotations

import base64
import io
import json
import textwrap

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from orgs.models import RegistryEntry
from orgs.registries.images import ImageReference
from orgs.registries.patterns import MatchPattern
from orgs.services.bulk.files import Rows
from orgs.services.bulk.files.docker_config import _pattern
from orgs.services.bulk.files.rows import BrokenFile
from orgs.services.bulk.importing import apply, plan
from tests.conftest import CANARY, HOST

HUB_KEY = "https://index.docker.io/v1/"


def b64(text: str) -> str:
    return base64.b64encode(text.encode()).decode()


def login(username: str = "robot", password: str = CANARY, **more: object) -> dict[str, object]:
    return {"auth": b64(f"{username}:{password}"), **more}


def config(**more: object) -> dict[str, object]:
    return {"auths": {"r.example.com": login()}, **more}


def secret(document: object, key: str = ".dockerconfigjson", **more: object) -> dict[str, object]:
    return {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": {"name": "pull"},
        "type": f"kubernetes.io/{key[1:]}",
        "data": {key: b64(json.dumps(document))},
        **more,
    }


def read(document: object, format: str = "json") -> list:
    text = document if isinstance(document, str) else json.dumps(document)
    return list(Rows(io.BytesIO(text.encode()), format))


def told(document: object, format: str = "json") -> list[tuple[int, str, str, str]]:
    errors = [error for row in read(document, format) for error in row.errors]
    for error in errors:
        assert CANARY not in str(error) and error.what.endswith(".") and error.fix.endswith(".")
    return [(error.row, error.column, error.value, error.code) for error in errors]


WHOLE = {
    "auths": {
        HUB_KEY: login("me"),
        "ghcr.io/acme": login(password="a:b:c"),
        "r.example.com:5000": {"username": "robot", "password": CANARY, "email": "a@b.c"},
        "https://quay.io/acme/train/": login(),
    },
    "HttpHeaders": {"User-Agent": "Docker-Client"},
    "credsStore": "",
    "currentContext": "default",
}
PATTERNS = ["docker.io/*", "ghcr.io/acme/*", "r.example.com:5000/*", "quay.io/acme/train/*"]


def sources() -> dict[str, tuple[object, str]]:
    """The same logins in every file that there is of them."""
    kubectl = {"apiVersion": "v1", "kind": "List", "items": [secret(WHOLE)]}
    plain = secret(WHOLE, data=None, stringData={".dockerconfigjson": json.dumps(WHOLE)})
    return {
        "config.json": (WHOLE, "json"),
        "config.yaml": (yaml.safe_dump(WHOLE, sort_keys=False), "yaml"),
        ".dockercfg": ({**WHOLE["auths"], "r.example.com:5000": login()}, "json"),
        "secret.json": (secret(WHOLE), "json"),
        "secret.yaml": (yaml.safe_dump(secret(WHOLE), width=60), "yaml"),
        "folded.yaml": (
            "apiVersion: v1\nkind: Secret\ndata:\n  .dockerconfigjson: >-\n"
            + "".join(f"    {folded}\n" for folded in textwrap.wrap(b64(json.dumps(WHOLE)), 76)),
            "yaml",
        ),
        "stringData.yaml": (yaml.safe_dump(plain), "yaml"),
        "list.json": (kubectl, "json"),
        "legacy.json": (secret(
            {**WHOLE["auths"], "r.example.com:5000": login()}, ".dockercfg"), "json"),
    }  # fmt: skip


@pytest.mark.parametrize("name", sources())
def test_one_row_an_address(name):
    content, format = sources()[name]
    rows = read(content, format)
    assert [row.number for row in rows] == [1, 2, 3, 4]
    assert [row.cells["image_pattern"] for row in rows] == PATTERNS
    assert [row.cells["password"] for row in rows] == [CANARY, "a:b:c", CANARY, CANARY]
    assert {row.cells["type"] for row in rows} == {"docker"}
    assert not any(row.errors for row in rows)
    assert CANARY not in repr(rows)


@pytest.mark.django_db
def test_they_become_entries(acme, actor):
    rows = Rows(io.BytesIO(json.dumps(WHOLE).encode()), "json")
    report = apply(organization=acme, actor=actor, rows=rows)
    assert report.written and report.created == 4
    assert {e.pattern_texts[0] for e in RegistryEntry.objects.all()} == set(PATTERNS)
    again = plan(organization=acme, rows=rows)
    assert (again.unchanged, again.errors) == (4, [])
    (remark,) = report.remarks
    assert str(remark).startswith("Row 1: The login is for all of docker.io")


@pytest.mark.parametrize(
    ("address", "pattern"),
    [
        ("r.example.com", "r.example.com/*"),
        ("https://r.example.com", "r.example.com/*"),
        ("http://r.example.com:5000/", "r.example.com:5000/*"),
        ("https://r.example.com/v1/", "r.example.com/*"),
        ("https://r.example.com/v2", "r.example.com/*"),
        ("r.example.com/v2/", "r.example.com/*"),
        # podman looks for images below a path; only with a scheme it can't be one.
        ("r.example.com/v2/team", "r.example.com/v2/team/*"),
        ("https://r.example.com/v2/team", "r.example.com/team/*"),
        ("r.example.com/team/train", "r.example.com/team/train/*"),
        ("localhost:5000", "localhost:5000/*"),
        ("localhost", "localhost/*"),
        (HUB_KEY, "docker.io/*"),
        ("index.docker.io", "docker.io/*"),
        ("docker.io", "docker.io/*"),
        ("registry-1.docker.io", "docker.io/*"),
        ("docker.io/acme", "docker.io/acme/*"),
        ("https://index.docker.io/v1/acme", "docker.io/acme/*"),
        ("ghcr.io", "ghcr.io/*"),
    ],
)
def test_patterns_of_addresses(address, pattern):
    (row,) = read({"auths": {address: login()}})
    assert row.cells["image_pattern"] == pattern
    assert str(MatchPattern.parse(pattern)) == pattern
    shared = pattern in ("docker.io/*", "ghcr.io/*")
    assert bool(row.remarks) == shared


def test_the_kubelet_cuts_one_version_off_every_key():
    (row,) = read(secret({"auths": {"r.example.com/v2/team": login()}}))
    assert row.cells["image_pattern"] == "r.example.com/team/*"


HOSTS = st.sampled_from(["r.example.com", "r.example.com:5000", "localhost", "ghcr.io"])
PARTS = st.lists(st.sampled_from(["a", "team", "x-y", "v1", "v2"]), max_size=3)


@given(HOSTS, PARTS, PARTS, st.sampled_from(["", "https://", "http://"]), st.booleans())
def test_an_address_serves_what_is_below_it_and_nothing_beside(host, path, below, scheme, secret):
    _, text = _pattern("/".join([scheme + host, *path]), secret)
    pattern = MatchPattern.parse(text)
    assert pattern.authority == host
    assert pattern.segments[:-1] in (tuple(path), tuple(path[1:]))
    image = "/".join([host, *pattern.segments[:-1], *below, "image:v1"])
    assert pattern.matches(ImageReference.parse(image))
    beside = "/".join(["other.example.com", *path, "image"])
    assert not pattern.matches(ImageReference.parse(beside))


# --- what can't be imported --------------------------------------------------------------


REFUSED = [  # one address's login, what is told of it, and what to do instead
    ("gcr.io", {}, "required", "auth"),
    ("gcr.io", {"auth": ""}, "required", "auth"),
    ("gcr.io", {"auth": "   "}, "required", "auth"),
    ("gcr.io", {"email": "a@b.c"}, "required", "auth"),
    (HOST, login("AWS"), "short_lived_password", "AWS ECR"),
    (f"https://{HOST}", login("AWS"), "short_lived_password", "AWS ECR"),
    (HOST, {}, "short_lived_password", "AWS ECR"),
    ("eu-docker.pkg.dev", login("oauth2accesstoken"), "short_lived_password", "GCP Artifact"),
    ("gcr.io/project", login("oauth2accesstoken"), "short_lived_password", "GCP Artifact"),
    ("a.azurecr.io", login("00000000-0000-0000-0000-000000000000"), "short_lived_password",
     "service principal"),
    ("a.azurecr.io", {"identitytoken": CANARY}, "short_lived_password", "service principal"),
    ("a.azurecr.io", login("<token>", identitytoken=CANARY), "short_lived_password", "service"),
    ("r.example.com", {"registrytoken": CANARY}, "short_lived_password", "password or token"),
    ("ghcr.io", login("x-access-token", f"ghs_{CANARY}"), "short_lived_password", "classic"),
    ("registry.gitlab.com", login("gitlab-ci-token"), "short_lived_password", "deploy token"),
    ("https://index.docker.io/v1/access-token", login(), "short_lived_password", "password"),
    ("r.example.com", {"auth": CANARY}, "invalid", "anew"),
    ("r.example.com", {"auth": b64(CANARY)}, "invalid", "anew"),
    ("r.example.com", {"auth": base64.b64encode(b"a:\xff").decode()}, "invalid", "anew"),
    ("r.example.com", {"auth": 5.5}, "invalid", "anew"),
    ("r.example.com", {"auth": True}, "not_text", "text"),
    ("r.example.com", {"auth": [CANARY]}, "not_text", "text"),
    ("r.example.com", {"username": "a", "password": {"x": CANARY}}, "not_text", "text"),
    ("r.example.com", login(username="b", password="c") | {"username": "a"}, "duplicate_column",
     "Keep one"),
    ("r.example.com", login() | {"password": "another"}, "duplicate_column", "Keep one"),
    ("r.example.com", [CANARY], "not_an_entry", "{}"),
    ("r.example.com", CANARY, "not_an_entry", "{}"),
    ("r.example.com", None, "not_an_entry", "{}"),
    ("registry", login(), "invalid", "host"),  # or it would be Docker Hub's
    ("registry/team", login(), "invalid", "host"),
    ("", login(), "invalid", "host"),
    ("https://", login(), "invalid", "host"),
    ("a.example.com b.example.com", login(), "invalid", "host"),
    ("a.example.com ", login(), "invalid", "host"),
    (f"https://robot:{CANARY}@r.example.com", login(), "invalid", "host"),
]  # fmt: skip


@pytest.mark.parametrize(("address", "stated", "code", "instead"), REFUSED)
@pytest.mark.parametrize("format", ["json", "yaml"])
def test_logins_that_are_none(address, stated, code, instead, format):
    good = "good.example.com"
    document = {"auths": {good: login(), address: stated}}
    if format == "yaml" and stated == {"auth": 5.5}:
        document["auths"][address] = {"auth": "5.5"}
    first, row = read(document, format)
    assert not first.errors
    ((number, column, value, found),) = told(document, format)
    assert (number, column, found) == (2, "auths", code)
    assert instead in row.errors[0].fix
    assert value in ("", address, f"‹{len(address)} characters›")


@pytest.mark.parametrize(
    ("helper", "host", "instead"),
    [
        ("ecr-login", HOST, "AWS ECR"),
        ("ecr-login", "public.ecr.aws", "AWS ECR"),
        ("gcloud", "gcr.io", "GCP Artifact"),
        ("gcloud", "europe-docker.pkg.dev", "GCP Artifact"),
        ("acr-env", "acme.azurecr.io", "service principal"),
        ("pass", "other.example.com", "username and a password"),
        (CANARY, "other.example.com", "username and a password"),
        (None, "other.example.com", "username and a password"),
    ],
)
def test_helpers_are_told(helper, host, instead):
    document = config(credHelpers={host: helper})
    (error,) = read(document)[1].errors
    assert told(document) == [(2, "credHelpers", host, "password_elsewhere")]
    assert instead in error.fix
    assert error.code == "password_elsewhere"
    assert (f"“{helper}”" in error.what) == (helper not in (CANARY, None))


def test_passwords_that_end_are_no_passwords():
    document = {"auths": {"gcr.io": login("oauth2accesstoken")}}
    assert told(document) == [(1, "auths", "gcr.io", "short_lived_password")]


@pytest.mark.parametrize(
    ("host", "username", "password"),
    [
        ("ghcr.io", "x-access-token", f"ghp_{CANARY}"),
        ("r.example.com", "AWS", CANARY),
        ("gcr.io", "_json_key_base64", CANARY),
        ("a.azurecr.io", "11111111-2222-3333-4444-555555555555", CANARY),
        ("registry.gitlab.com", "gitlab+deploy-token-1", CANARY),
    ],
)
def test_passwords_that_look_much_like_those_and_last(host, username, password):
    (row,) = read({"auths": {host: login(username, password)}})
    assert not row.errors and row.cells["username"] == username


def test_a_helper_comes_before_a_password_as_docker_has_it():
    document = config(credHelpers={"r.example.com": "pass"})
    assert told(document) == [(1, "credHelpers", "r.example.com", "password_elsewhere")]


def test_a_store_keeps_what_the_file_has_not():
    document = {"auths": {"a.example.com": {}, "b.example.com": login()}, "credsStore": "desktop"}
    assert told(document) == [(1, "auths", "a.example.com", "password_elsewhere")]
    (error,) = read(document)[0].errors
    assert "“desktop”" in error.what


def test_what_docker_keeps_of_a_sign_in_by_browser_is_left_out_and_said():
    auths = {HUB_KEY: login("me")}
    auths |= {f"{HUB_KEY}{name}": login("me") for name in ("access-token", "refresh-token")}
    auths["r.example.com"] = login()
    row, other = read({"auths": auths})
    assert row.cells["image_pattern"] == "docker.io/*"
    assert any("refresh-token" in remark for remark in row.remarks) and not other.remarks


@pytest.mark.parametrize(
    ("document", "code"),
    [
        ({"auths": {}}, "required"),
        ({"auths": {}, "credsStore": "desktop"}, "password_elsewhere"),
        ({"credsStore": "desktop"}, "password_elsewhere"),
        ({"credsStore": CANARY}, "password_elsewhere"),
        ({"credHelpers": {}}, "required"),
        ({"auths": [CANARY]}, "not_a_list"),
        ({}, "not_a_list"),
        ({"r.example.com": {"password": CANARY}}, "not_a_list"),
        (secret({}), "required"),
        (secret(CANARY), "not_an_entry"),
        (secret([CANARY]), "not_an_entry"),
        (secret(WHOLE, data={".dockerconfigjson": CANARY}), "not_an_entry"),
        (secret(WHOLE, data={".dockerconfigjson": b64(CANARY)}), "not_an_entry"),
        (secret(WHOLE, data={".dockerconfigjson": b64('{"auths": {')}), "not_an_entry"),
        (secret(WHOLE, data={"password": b64(CANARY)}), "not_an_entry"),
        (secret(WHOLE, data=[CANARY]), "not_an_entry"),
        ({"kind": "List", "items": [secret(WHOLE), {"kind": "Pod"}]}, "not_an_entry"),
        ({"kind": "List", "items": CANARY}, "not_an_entry"),
        ({"kind": "List", "items": []}, "required"),
        ({"auths": {f"r{n}.example.com": {} for n in range(10_001)}}, "too_large"),
        (
            {
                "kind": "List",
                "items": [secret({"auths": {f"r{n}.com": {} for n in range(6_000)}})] * 2,
            },
            "too_large",
        ),
    ],
)
@pytest.mark.parametrize("format", ["json", "yaml"])
def test_files_that_hold_none(document, code, format):
    with pytest.raises(BrokenFile) as raised:
        read(document, format)
    assert [error.code for error in raised.value.errors] == [code]
    assert CANARY not in str(raised.value)


@pytest.mark.django_db
@pytest.mark.parametrize(
    ("address", "username", "code"),
    [
        ("*.azurecr.io", "robot", "wildcard_host"),  # the kubelet's globs
        ("public.ecr.aws", "AWS", "ecr_host"),
        ("123456789012.dkr.ecr.us-east-1.amazonaws.com.evil.com", "AWS", "lookalike_host"),
        ("R.example.com/Team", "robot", "invalid_pattern"),
        ("r.example.com/team:v1", "robot", "tag_in_pattern"),
        ("r.example.com", "", "required"),
        ("r.example.com", "a" * 300, "username_shape"),
    ],
)
def test_the_types_own_rules_hold_here_too(acme, address, username, code):
    content = json.dumps({"auths": {address: login(username)}}).encode()
    report = plan(organization=acme, rows=Rows(io.BytesIO(content), "json"))
    assert code in [error.code for error in report.errors]
    assert all(error.row == 1 for error in report.errors) and CANARY not in repr(report)


@pytest.mark.django_db
def test_one_address_twice_is_told(acme):
    content = json.dumps({"auths": {HUB_KEY: login(), "docker.io": login()}}).encode()
    report = plan(organization=acme, rows=Rows(io.BytesIO(content), "json"))
    assert [(e.row, e.code) for e in report.errors] == [(2, "duplicate_row")]


def test_passwords_as_old_versions_of_docker_wrote_them():
    (row,) = read({"auths": {"r.example.com": login(password="x\0\0")}})
    assert row.cells["password"] == "x"
    unpadded = b64("ab:c").rstrip("=")
    (row,) = read({"auths": {"r.example.com": {"auth": f" {unpadded}\n"}}})
    assert (row.cells["username"], row.cells["password"]) == ("ab", "c")
