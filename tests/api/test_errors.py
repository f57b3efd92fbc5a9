"""Whatever is wrong under /api/v0/, the answer is JSON with a code; and who gets in where."""

from __future__ import annotations

import json
import re
from pathlib import Path
from uuid import UUID

import pytest
from django.test import Client
from django.urls import reverse

from orgs.api import errors
from orgs.models import RegistryEntry
from orgs.registries import codes
from orgs.registries.problems import Problem, Refused
from orgs.services.tenancy import tokens
from tests.test_access import addresses

from .conftest import LOGIN, Api, refused

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.mark.parametrize(
    "path",
    [
        "",
        "x",
        "docker-login",
        "docker-login/x",
        "docker-login//",
        "me",
        "docs",
        "%00",
        "%0A",
        "registry-credentials/null/",
        "é",
        "a" * 4000,
    ],
)
@pytest.mark.parametrize("method", ["GET", "POST", "DELETE"])
def test_unknown_addresses(worker, method, path):
    told = refused(worker.send(method, f"/api/v0/{path}"), 404, "not_found")
    assert ("help" in told) == path.startswith("docker-login/")


@pytest.mark.parametrize(
    ("path", "allowed"),
    [(LOGIN, "POST"), (f"{LOGIN}outcome/", "POST"), ("/api/v0/me/", "GET")],
)
@pytest.mark.parametrize("method", ["GET", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE"])
def test_wrong_methods(worker, path, allowed, method):
    if method == allowed:
        return
    response = worker.send(method, path, {})
    refused(response, 405, "method_not_allowed")
    assert response["Allow"] == allowed


def test_a_strange_host_is_json_too(worker, settings):
    settings.ALLOWED_HOSTS = ["registries.example.com"]
    refused(worker.post(LOGIN, {}, Host="evil.example.com"), 400, "invalid_request")


def test_with_debug_on_nothing_changes(worker, settings):
    settings.DEBUG = True
    refused(worker.get("/api/v0/x"), 404, "not_found")
    refused(worker.post(LOGIN, b"{"), 400, "invalid_request")


def test_no_page_is_drawn_for_the_api(worker, ask, entry, monkeypatch):
    """So that it answers where a template is broken or static files weren't collected."""
    from django.template.backends.django import Template

    def broken(*args, **kwargs):
        raise RuntimeError("no template")

    monkeypatch.setattr(Template, "render", broken)
    refused(worker.get("/api/v0/x"), 404, "not_found")
    refused(worker.get("/api/v0/"), 404, "not_found")
    refused(worker.get(LOGIN), 405, "method_not_allowed")
    monkeypatch.setattr(tokens, "mark_used", broken)
    monkeypatch.setattr(tokens, "authenticate", broken)
    refused(ask(), 500, "server_error")


def test_the_rest_of_the_site_keeps_its_own_pages(client, db):
    response = client.get("/api/v1/")
    assert response.status_code == 404
    assert response["Content-Type"].startswith("text/html")


def test_no_cross_site_token_is_needed(issue, project):
    api = Api(issue())
    api.client = Client(enforce_csrf_checks=True)
    refused(api.post(LOGIN, {"project": str(project.pk), "image": "x"}), 404, "no_match")


# --- OpenAPI -------------------------------------------------------------------------


@pytest.fixture
def document(db):
    response = Client().get("/api/v0/openapi.json")
    assert response.status_code == 200
    return response.json()


def test_openapi_needs_no_token_and_tells_the_true_errors(document):
    login = document["paths"][LOGIN]["post"]
    assert set(login["responses"]) == {
        *("200", "400", "401", "403", "404", "405", "409", "413", "422", "429", "500", "503"),
    }
    not_found = login["responses"]["404"]
    assert not_found["description"] == "project_not_found, environment_not_found, no_match"
    schema = not_found["content"]["application/json"]["schema"]["$ref"].rpartition("/")[2]
    assert set(document["components"]["schemas"][schema]["required"]) == {"detail", "code", "help"}
    assert login["security"] == [{"WorkerTokenAuth": []}]
    scheme = document["components"]["securitySchemes"]["WorkerTokenAuth"]
    assert (scheme["type"], scheme["in"], scheme["name"]) == ("apiKey", "header", "Authorization")


def test_a_refusal_that_no_field_has_is_the_whole_answer(rf):
    refusal = Refused(Problem("changed_meanwhile", "It was changed.", "Read it again."))
    answer = errors._refused(rf.get("/api/v0/x"), refusal)
    told = {"code": "changed_meanwhile", "detail": "It was changed. Read it again."}
    assert (answer.status_code, json.loads(answer.content)) == (409, told)
    at_a_field = Refused(Problem("invalid_key", "It failed.", "", "secret_access_key"))
    answer = errors._refused(rf.get("/api/v0/x"), at_a_field)
    assert (answer.status_code, set(json.loads(answer.content))) == (400, {"secret_access_key"})


def test_openapi_lists_every_address(document):
    unlisted = {"api:api-root", "api:nowhere", "api:openapi-json"}
    listed = {path.replace("{entry_id}", str(ENTRY)) for path in document["paths"]}
    assert listed == {address(name) for name in set(TABLE) - unlisted}


def test_openapi_lists_every_code(document):
    schemas = document["components"]["schemas"]
    told = {name: schemas[name]["properties"]["code"] for name in ("Error", "FieldError")}
    assert told["Error"] == schemas["LoginRefused"]["properties"]["code"]
    listed = {name: set(code["x-extensible-enum"]) for name, code in told.items()}
    reported = set(schemas["Reported"]["properties"]["code"]["enum"])
    rows = codes.OURS.items()
    elsewhere = {c for c, row in rows if row.event == codes.SIGN_IN}  # a page's alone
    elsewhere |= {c for c, row in rows if row.status is None}  # the programs' on workers
    every = listed["Error"] | listed["FieldError"] | reported | elsewhere
    assert every - {"ok"} == set(codes.table())
    assert "environment_not_found" in listed["Error"] & listed["FieldError"]
    for code in told.values():
        says = [f"- `{name}`: {codes.of(name).says}" for name in code["x-extensible-enum"]]
        assert code["description"].splitlines() == says


def test_answers_are_in_their_schema(document, worker, ask, entry, project):
    """With the schemas as published, not as written: what a client generator would see."""
    from jsonschema import Draft202012Validator

    def check(method, path, response):
        operation = document["paths"][path][method]
        told = operation["responses"][str(response.status_code)]
        schema = told["content"]["application/json"]["schema"]
        Draft202012Validator(schema | {"components": document["components"]}).validate(
            response.json()
        )

    check("post", LOGIN, ask())
    for name in ("docker-config", "containers-auth", "helper", "k8s-secret"):
        check("post", LOGIN, ask(path=f"{LOGIN}?format={name}"))
    check("post", LOGIN, ask("ghcr.io/me/x"))
    check("post", LOGIN, worker.post(LOGIN, b"{"))
    check("post", LOGIN, worker.send("POST", LOGIN, b" " * 20_000))
    check("get", "/api/v0/me/", worker.get("/api/v0/me/"))
    check("get", "/api/v0/me/", Api(None).get("/api/v0/me/"))


# --- access ----------------------------------------------------------------------------

VISITORS = ("nobody", "worker", "other worker", "member", "admin", "stranger")
# name: (method, status for each visitor); 400 stands for having got past the gate.
TABLE = {
    "api:api-root": ("get", [404] * 6),
    "api:nowhere": ("get", [404] * 6),
    "api:openapi-json": ("get", [200] * 6),
    "api:docker_login": ("post", [401, 400, 400, 401, 401, 401]),
    "api:docker_login_outcome": ("post", [401, 400, 400, 401, 401, 401]),
    "api:me": ("get", [401, 200, 200, 200, 200, 200]),
    "api:credentials": ("post", [401, 401, 401, 400, 400, 400]),
    "api:credential": ("delete", [401, 401, 401, 403, 204, 404]),
}
ENTRY = UUID(int=7)


def address(name):
    return reverse(name, kwargs={"entry_id": ENTRY} if name == "api:credential" else {})


@pytest.mark.once
def test_every_address_is_in_the_table():
    assert {name for name, _ in addresses() if name.startswith("api:")} == set(TABLE)


@pytest.mark.parametrize("name", sorted(TABLE))
def test_access(name, issue, umbrella, alice, bob, charlie, actor, acme):
    def api_token(user):
        return tokens.token_issue_api(user=user, name="script", actor=actor)[1]

    texts = [None, issue(), issue(organization=umbrella), *map(api_token, (bob, alice, charlie))]
    method, expected = TABLE[name]
    RegistryEntry.objects.create(pk=ENTRY, organization=acme, registry_type="aws-ecr-role")
    found = [Api(text).send(method.upper(), address(name)).status_code for text in texts]
    assert dict(zip(VISITORS, found, strict=True)) == dict(zip(VISITORS, expected, strict=True))


@pytest.mark.once
def test_one_table_of_statuses():
    """No other place of the API writes a status of an error down."""
    for file in Path(errors.__file__).parent.glob("*.py"):
        if file.name not in {"errors.py", "middleware.py"}:
            assert not re.search(r"\b[45]\d\d\b", file.read_text()), file.name
