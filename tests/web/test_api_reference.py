"""The API's page for people: it has all that the published document has, and nothing else."""

from __future__ import annotations

import copy
import json
import re
from html import unescape

import pytest
from jsonschema import Draft202012Validator, FormatChecker

from orgs.registries import codes
from orgs.registries.catalogue import TYPES
from orgs.web import api_document
from orgs.web.api_examples import Schemas, curl, names_in
from orgs.web.guide import FOLDER
from tests.api.test_every_code import ANSWERED, BY_FIELD

from .conftest import Page

pytestmark = [pytest.mark.django_db, pytest.mark.once]

METHODS = ("get", "post", "put", "patch", "delete")


@pytest.fixture
def document(client):
    return client.get("/api/v0/openapi.json").json()


@pytest.fixture
def page(client):
    return Page(client.get("/api/"))


def operations(document):
    for path, several in document["paths"].items():
        for method in several.keys() & set(METHODS):
            yield method.upper(), path, several[method]


def part(page: Page, anchor: str) -> str:
    """From this heading to the next of its kind or a higher one, as HTML."""
    tag = re.search(rf'<(h[23])[^>]* id="{re.escape(anchor)}"', page.html)[1]
    rest = page.html.partition(f'id="{anchor}"')[2].partition(f"</{tag}>")[2]
    return re.split(r"<h2" if tag == "h2" else r"<h[23]", rest)[0]


def rows(html: str) -> set[str]:
    """The names of a part's fields."""
    return set(re.findall(r"<dt>\s*<code>([^<]+)</code> <span", html))


def test_everyone_reads_it(page):
    assert (page.status, page.heading) == (200, "API")
    assert not re.search(r"\sstyle=|<style|\son[a-z]+=|<script(?![^>]* src=)", page.html)
    for words, target in page.links.items():
        if target.startswith("#"):
            assert target[1:] in page.attributes, words
    assert page.html.count("<pre data-copy") == len(re.findall(r"<section", page.html)) == 9


def test_it_tells_nothing_of_anybody(client, alice, page, entry_of_acme):
    client.force_login(alice)
    shown = client.get("/api/").content.decode()
    main = re.compile(r"<main.*</main>", re.DOTALL)
    assert main.search(shown)[0] == main.search(page.html)[0]
    assert str(entry_of_acme.pk) not in shown


@pytest.fixture
def entry_of_acme(make_entry):
    return make_entry()


def test_it_is_led_to(look, alice, client):
    assert look(alice, "/accounts/tokens/").links["What the API takes and answers"] == "/api/"
    assert Page(client.get("/guide/scripts/")).links["The API"] == "/api/"
    assert Page(client.get("/guide/")).links["API"] == "/api/"


def test_it_shadows_no_address_of_the_api(client):
    assert client.get("/api/v0/openapi.json").json()["openapi"]
    assert client.get("/api/v0/me/").status_code == 401
    assert client.get("/api/v0/").json()["code"] == "not_found"
    assert client.post("/api/").status_code == 405
    assert client.get("/api/v1/").status_code == 404


def test_every_call_is_on_it(page, document):
    found = list(operations(document))
    assert len(found) == 9
    for method, path, operation in found:
        whole = part(page, operation["operationId"])
        assert f"<code>{method} {path}</code>" in whole
        assert page.links[operation["summary"]] == f"#{operation['operationId']}"
        names = {one["name"] for one in operation["parameters"]}
        body = schema_of(operation.get("requestBody", {}))
        for name in names_in(body):
            names |= document["components"]["schemas"][name]["properties"].keys()
        assert rows(whole) == names
        assert not re.search(r"<dd>\s*</dd>", whole), "a field without words"


def schema_of(told):
    return told.get("content", {}).get("application/json", {}).get("schema", {})


def test_every_answer_is_on_it_with_its_codes(page, document):
    everywhere = part(page, "every-call")
    for _, _, operation in operations(document):
        whole = part(page, operation["operationId"])
        for status, told in operation["responses"].items():
            wanted = [one for one in told["description"].split(", ") if codes.known(one)]
            own = [c for c in wanted if f'href="#code-{c}"' in whole]
            shared = [c for c in wanted if f'href="#code-{c}"' in everywhere]
            assert sorted([*own, *shared]) == sorted(wanted), (operation["operationId"], status)
            if own or not wanted:
                assert f"<strong>{status}</strong>" in whole
            if shared:
                assert f"<strong>{status}</strong>" in everywhere
            for name in names_in(schema_of(told)):
                assert f'id="object-{name}"' in page.html


def test_every_object_and_field_is_on_it(page, document):
    bodies = {
        name for _, _, one in operations(document)
        for name in names_in(schema_of(one.get("requestBody", {})))
    }  # fmt: skip
    for name, schema in document["components"]["schemas"].items():
        if name not in bodies and "properties" in schema:
            whole = part(page, f"object-{name}")
            assert rows(whole) == schema["properties"].keys()
            assert not re.search(r"<dd>\s*</dd>", whole), name


def test_every_code_is_on_it(page, document):
    schemas = document["components"]["schemas"]
    listed = {
        code for name in ("Error", "LoginRefused", "FieldError")
        for code in schemas[name]["properties"]["code"]["x-extensible-enum"]
    }  # fmt: skip
    assert len(listed) > 100
    for code in listed:
        shown = [i for kind in ("code", "field", "other") if (i := f"{kind}-{code}") in page.by_id]
        assert shown, code
        assert codes.of(code).says.replace("`", "") in page.by_id[shown[0]]


def test_every_code_that_is_answered_is_named_by_a_call(page):
    """Verifying has no address in the API; what it finds comes at a key's field."""
    told = {code for code, row in codes.OURS.items() if row.answered and not row.verifying}
    assert {name.removeprefix("code-") for name in page.by_id if name.startswith("code-")} == told


def unmarked(text: str) -> str:
    return re.sub(r"`([^`]+)`|\*(\w[^*]*)\*", r"\1\2", text)


def test_what_to_do_is_told_of_each(page):
    """Of those that tests make happen through the API above all."""
    answered = {code: row.fix for code, row in codes.OURS.items() if row.fix}
    by_field = {code: row.fix_at_field for code, row in codes.OURS.items() if row.fix_at_field}
    assert {*ANSWERED} <= {*answered} and {*BY_FIELD} <= {*by_field}
    told = {code for code, row in codes.OURS.items() if row.answered and not row.verifying}
    assert {*answered} == told
    assert all(codes.OURS[code].field for code in by_field)
    for code, fix in answered.items():
        assert page.by_id[f"code-{code}"].endswith(unmarked(fix))
    for code, fix in by_field.items():
        assert page.by_id[f"field-{code}"].endswith(unmarked(fix))
        assert fix.endswith(".")


def test_the_guide_tells_the_same():
    section = (FOLDER / "operations.md").read_text("utf-8").partition("## Error codes")[2]
    told = 0
    for names, fix in re.findall(
        r"^\| (`[^|]+) \|[^|]+\|[^|]+\| ([^|]+) \|", section, re.MULTILINE
    ):
        for code in re.findall(r"`(\w+)`", names):
            if row := codes.OURS[code].fix:
                told += 1
                assert re.sub(r"\[([^]]+)\]\([^)]+\)", r"\1", fix) == row
    assert told > 20


def test_every_type_is_on_it_with_its_fields(page):
    whole = part(page, "types")
    for kind in TYPES:
        assert f"<code>{kind.slug}</code>" in whole
        assert all(f"<code>{field.name}</code>" in whole for field in kind.fields)


def test_examples_are_in_their_schemas(document):
    schemas = Schemas(document)
    shown = api_document.read(document, "http://x")
    answers = [a for g in shown.groups for c in g.calls for a in c.answers] + [*shown.everywhere]
    checked = 0
    for answer in answers:
        for shape in answer.shapes:
            schema = schemas.named[shape.name] | {"components": document["components"]}
            validator = Draft202012Validator(schema, format_checker=FormatChecker())
            validator.validate(json.loads(shape.example))
            checked += 1
    assert checked > 40
    for name, schema in schemas.named.items():
        whole = schema | {"components": document["components"]}
        Draft202012Validator(whole).validate(schemas.example(schema)), name


def test_errors_are_shown_with_a_code_of_theirs(page):
    shown = re.findall(r"<pre><code>(\{.*?)</code></pre>", page.html, re.DOTALL)
    told = [json.loads(unescape(text)) for text in shown]
    errors = [one for one in told if "detail" in one]
    assert len(errors) > 25
    for one in errors:
        assert one["detail"].startswith(codes.of(one["code"]).says)
        assert "`" not in one["detail"]


# --- what is added appears by itself ------------------------------------------------------


def test_a_new_call_field_and_code_appear(document):
    added = copy.deepcopy(document)
    schemas = added["components"]["schemas"]
    schemas["Asked"]["properties"]["architecture"] = {"type": "string", "description": "New."}
    schemas["Asked"]["required"].append("architecture")
    schemas["Error"]["properties"]["code"]["x-extensible-enum"].append("image_denied")
    login = added["paths"]["/api/v0/docker-login/"]["post"]
    login["responses"]["422"]["description"] += ", listing_denied"
    added["paths"]["/api/v0/new/{project}/"] = {
        "get": {
            "operationId": "new",
            "tags": ["Of tomorrow"],
            "parameters": [
                {"in": "path", "name": "project", "schema": {"format": "uuid"}, "required": True},
                {"in": "query", "name": "n", "schema": {"type": "integer"}, "required": True},
            ],
            "responses": {"200": {"description": "OK"}},
        }
    }
    shown = api_document.read(added, "https://r.example.com")
    assert [group.name for group in shown.groups][-1] == "Of tomorrow"
    (new,) = shown.groups[-1].calls
    assert new.curl.splitlines()[1] == '  "https://r.example.com/api/v0/new/$PROJECT_ID/?n=1" \\'
    assert new.title == "new" and [row.name for row in new.parameters] == ["project", "n"]
    (asking,) = [c for g in shown.groups for c in g.calls if c.anchor == "docker_login"]
    assert "architecture" in [row.name for row in asking.body]
    assert '"architecture": "…"' in asking.curl
    assert "listing_denied" in [told.code for told in shown.answered]


def test_what_has_no_answer_of_its_own_kind_is_none(document):
    """With a call that shares nothing, no code is everywhere, and each stands at its call."""
    added = copy.deepcopy(document)
    added["paths"]["/x/"] = {"get": {"operationId": "x", "responses": {"200": {"description": ""}}}}
    shown = api_document.read(added, "http://x")
    assert shown.everywhere == () and shown.groups[-1].name == "More"
    (me,) = [c for g in shown.groups for c in g.calls if c.anchor == "me"]
    assert {"not_authenticated", "busy"} <= {code for a in me.answers for code in a.codes}


@pytest.mark.parametrize(
    ("body", "ends"),
    [
        (None, 'Token $TOKEN"'),
        ({"note": "cost: $5 `now`"}, "<<'END'\n{\n  \"note\": \"cost: $5 `now`\"\n}\nEND"),
        ({"id": "$X_ID", "note": "$5"}, '<<END\n{\n  "id": "$X_ID",\n  "note": "\\$5"\n}\nEND'),
        ({"id": "$X_ID", "n": "`x`\\"},
         '<<END\n{\n  "id": "$X_ID",\n  "n": "\\`x\\`\\\\\\\\"\n}\nEND'),
    ],
)  # fmt: skip
def test_the_shell_fills_in_ids_and_nothing_else(body, ends):
    assert curl("http://x/", "POST", {}, body).endswith(ends)


def test_prose_is_escaped():
    told = api_document.prose("<b> `a<b` *New* 2 * 3 * 4")
    assert told == "&lt;b&gt; <code>a&lt;b</code> <em>New</em> 2 * 3 * 4"


def test_it_is_read_once(monkeypatch, settings):
    """But again while developing, and for another address of the server."""
    read = []
    whole = api_document.read
    monkeypatch.setattr(api_document, "read", lambda *args: read.append(args[1]) or whole(*args))
    api_document._read_once.cache_clear()
    for base, debug in [("http://a", False)] * 2 + [("http://b", False)] + [("http://b", True)] * 2:
        settings.BASE_URL, settings.DEBUG = base, debug
        api_document.reference()
    assert read == ["http://a", "http://b", "http://b", "http://b"]
