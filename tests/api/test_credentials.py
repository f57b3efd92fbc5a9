"""Registry credentials, spoken as the platform's Terraform provider speaks them."""

from __future__ import annotations

import json
import logging
import uuid

import pytest

from orgs.models import AuditEvent, CachedLogin, Environment, Membership, RegistryEntry
from orgs.services.entries import door
from orgs.services.tenancy import tokens
from tests.conftest import CANARY, HOST

from .conftest import Api, refused

pytestmark = pytest.mark.django_db(transaction=True)

URL = "/api/v0/registry-credentials/"
KEY = {"version": "1", "access_key_id": "AKIAIOSFODNN7EXAMPLE", "region": "us-east-1"}
FULL = KEY | {"secret_access_key": CANARY}
ROLE = {"version": "1", "role_name": "ValohaiWorkerRole", "region": "us-east-1"}


@pytest.fixture
def provider(alice, actor):
    """Terraform, with Alice's token."""
    return Api(tokens.token_issue_api(user=alice, name="terraform", actor=actor)[1])


@pytest.fixture
def body(acme):
    return {
        "type": "aws-ecr",
        "image_pattern": f"{HOST}/*",
        "owner": acme.pk,
        "configuration": FULL,
    }


@pytest.fixture(autouse=True)
def nothing_in_logs_or_answers(caplog, monkeypatch):
    caplog.set_level(logging.DEBUG)
    send = Api.send

    def watched(self, *args, **kwargs):
        response = send(self, *args, **kwargs)
        assert CANARY.encode() not in response.content
        return response

    monkeypatch.setattr(Api, "send", watched)
    yield
    assert CANARY not in caplog.text
    assert CANARY not in str(list(AuditEvent.objects.values()))


def address(document):
    return f"{URL}{document['id']}/"


def field_codes(response):
    """{field: [codes]} of a refusal by field, once its shape is the contract's."""
    told = response.json()
    assert response.status_code == 400, told
    for problems in told.values():
        for problem in problems:
            assert set(problem) == {"message", "code"} and problem["message"].strip()
    return {field: [p["code"] for p in problems] for field, problems in told.items()}


# --- create, read, update, delete ---------------------------------------------------------


def test_the_life_of_a_resource(provider, body, acme):
    created = provider.post(URL, body)
    assert created.status_code == 201
    document = created.json()
    assert document == {
        "id": document["id"],
        "type": "aws-ecr",
        "image_pattern": f"{HOST}/*",
        "image_patterns": [f"{HOST}/*"],
        "owner": acme.pk,
        "enabled": True,
        "environments": [],
        "note": "",
        "updated_at": document["updated_at"],
        "configuration": KEY,
    }
    assert provider.get(address(document)).json() == document
    entry = RegistryEntry.objects.get()
    assert door.revealed(entry) == {"secret_access_key": CANARY}

    changed = provider.send("PUT", address(document), body | {"image_pattern": f"{HOST}/my-repo/*"})
    assert (changed.status_code, changed.json()["image_pattern"]) == (200, f"{HOST}/my-repo/*")

    as_role = body | {"type": "aws-ecr-role", "configuration": ROLE}
    changed = provider.send("PUT", address(document), as_role)
    assert changed.json() | {"type": "aws-ecr-role", "configuration": ROLE} == changed.json()
    assert changed.json()["id"] == document["id"]
    assert RegistryEntry.objects.get().secrets is None

    gone = provider.send("DELETE", address(document))
    assert (gone.status_code, gone.content) == (204, b"")
    refused(provider.get(address(document)), 404, "not_found")
    told = AuditEvent.objects.filter(action__startswith="entry.").order_by("pk")
    assert [event.action for event in told] == [
        *("entry.created", "entry.updated", "entry.updated", "entry.deleted"),
    ]
    for event in told:
        assert (event.actor, event.source_address) == ("alice@example.com", "127.0.0.1")
        assert event.properties["token"].startswith("vra_")


def test_an_existing_entry_can_be_imported(provider, make_entry):
    """`terraform import`: read by id, then a PUT without the secret that it never saw."""
    entry = make_entry(note="by hand")
    document = provider.get(f"{URL}{entry.pk}/").json()
    assert provider.send("PUT", f"{URL}{entry.pk}/", document).json() == document
    assert RegistryEntry.objects.get().credentials_version == 1


def test_a_repeated_put_changes_nothing(aws, provider, body, project, ask):
    key_id, secret = aws.create_user("valohai", aws.policy())
    body["configuration"] = FULL | {"access_key_id": key_id, "secret_access_key": secret}
    document = provider.post(URL, body).json()
    assert ask().status_code == 200
    before = RegistryEntry.objects.values().get()
    events = AuditEvent.objects.count()
    bodies = (body, body | {"configuration": {**KEY, "access_key_id": key_id}}, document)
    for again in bodies:
        assert provider.send("PUT", address(document), again).json() == document
    assert RegistryEntry.objects.values().get() == before
    assert AuditEvent.objects.count() == events
    assert CachedLogin.objects.get().login is not None


def test_what_a_put_leaves_out_stays(provider, make_entry, gpu, body):
    """The provider knows nothing of these: it must not enable what someone disabled."""
    entry = make_entry(enabled=False, note="kept", environments=[gpu])
    changed = provider.send(
        "PUT", f"{URL}{entry.pk}/", body | {"configuration": KEY | {"access_key_id": "AKIA" * 5}}
    )
    assert field_codes(changed) == {"secret_access_key": ["secret_required"]}
    changed = provider.send("PUT", f"{URL}{entry.pk}/", body).json()
    assert (changed["enabled"], changed["note"], changed["environments"]) == (
        *(False, "kept", ["gpu"]),
    )


def test_a_put_without_configuration_keeps_it(provider, body):
    document = provider.post(URL, body).json()
    del body["configuration"]
    sent = body | {"image_pattern": f"{HOST}/my-repo/*"}
    changed = provider.send("PUT", address(document), sent).json()
    assert (changed["configuration"], changed["image_pattern"]) == (KEY, f"{HOST}/my-repo/*")
    # one that is given is the whole of it: what it lacks isn't taken from before
    response = provider.send("PUT", address(document), body | {"configuration": {"version": "1"}})
    assert field_codes(response)["access_key_id"] == ["required"]


def test_all_there_is_can_be_set(provider, body, gpu):
    sent = body | {"enabled": False, "note": "n", "environments": ["gpu"]}
    document = provider.post(URL, sent).json()
    assert (document["enabled"], document["note"], document["environments"]) == (
        *(False, "n", ["gpu"]),
    )
    changed = provider.send("PUT", address(document), sent | {"environments": [], "enabled": True})
    assert (changed.json()["environments"], changed.json()["enabled"]) == ([], True)


def test_patch_changes_what_is_named(provider, body):
    document = provider.post(URL, body).json()
    for change, expected in (
        ({"note": "new"}, {"note": "new"}),
        ({"enabled": False}, {"enabled": False}),
        ({}, {}),
        ({"configuration": {"region": "us-east-1"}}, {}),
        (
            {"image_patterns": [f"{HOST}/b/*", f"{HOST}/a/*"]},
            {"image_patterns": [f"{HOST}/b/*", f"{HOST}/a/*"], "image_pattern": f"{HOST}/b/*"},
        ),
        (
            {"image_pattern": f"{HOST}/*"},
            {"image_patterns": [f"{HOST}/*"], "image_pattern": f"{HOST}/*"},
        ),
        ({"type": "aws-ecr-role", "configuration": ROLE}, {"type": "aws-ecr-role"}),
    ):
        document |= expected
        if "type" in change:
            document["configuration"] = ROLE
        told = provider.send("PATCH", address(document), change).json()
        document["updated_at"] = told["updated_at"]
        assert told == document
    back = provider.send("PATCH", address(document), {"type": "aws-ecr"})
    assert field_codes(back) == {
        "access_key_id": ["required"],
        "secret_access_key": ["secret_required"],
    }
    for junk in ([], 7, "text"):
        refused(provider.send("PATCH", address(document), junk), 400, "invalid_request")


def test_a_pattern_is_answered_as_given(provider, body):
    given = f"{HOST.upper()}:443/my-repo:*"
    document = provider.post(URL, body | {"image_pattern": given}).json()
    assert document["image_pattern"] == given
    again = body | {"image_pattern": f"{HOST}/my-repo"}
    assert field_codes(provider.post(URL, again)) == {"image_pattern": ["duplicate_pattern"]}


def test_both_pattern_fields(provider, body):
    two = [f"{HOST}/a/*", f"{HOST}/b/*"]
    both = body | {"image_patterns": two, "image_pattern": two[0]}
    assert provider.post(URL, both).json()["image_patterns"] == two
    for disagreeing in (two[1], "", f"{HOST}/c/*"):
        sent = body | {"image_patterns": two, "image_pattern": disagreeing}
        assert field_codes(provider.post(URL, sent)) == {"image_pattern": ["patterns_disagree"]}


# --- refusals by field --------------------------------------------------------------------


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({"image_pattern": HOST}, {"image_pattern": ["bare_host"]}),
        ({"image_pattern": f"https://{HOST}/*"}, {"image_pattern": ["scheme_in_pattern"]}),
        ({"image_pattern": f"{HOST}/x:v1"}, {"image_pattern": ["tag_in_pattern"]}),
        ({"image_pattern": f"{HOST}.evil.com/*"}, {"image_pattern": ["lookalike_host"]}),
        ({"image_pattern": "*/*"}, {"image_pattern": ["invalid_pattern"]}),
        ({"image_pattern": ""}, {"image_pattern": ["required"]}),
        ({"image_pattern": "x\u0000/*"}, {"image_pattern": ["invalid_pattern"]}),
        ({"image_pattern": 7}, {"image_pattern": ["invalid"]}),
        ({"image_patterns": "x", "image_pattern": None}, {"image_patterns": ["invalid"]}),
        ({"image_patterns": [7], "image_pattern": None}, {"image_patterns": ["invalid"]}),
        ({"configuration": FULL | {"region": "eu-west-1"}}, {"region": ["region_mismatch"]}),
        ({"configuration": FULL | {"region": "cn-north-1"}}, {"region": ["partition_mismatch"]}),
        ({"configuration": FULL | {"access_key_id": "x"}}, {"access_key_id": ["key_id_shape"]}),
        (
            {"configuration": FULL | {"access_key_id": CANARY}},
            {"access_key_id": ["key_id_shape"], "secret_access_key": ["secret_shape"]},
        ),
        (
            {"configuration": FULL | {"access_key_id": "ASIAIOSFODNN7EXAMPLE"}},
            {"access_key_id": ["temporary_key"]},
        ),
        ({"configuration": KEY}, {"secret_access_key": ["secret_required"]}),
        (
            {"configuration": KEY | {"secret_access_key": None}},
            {"secret_access_key": ["secret_required"]},
        ),
        ({"configuration": FULL | {"version": "2"}}, {"configuration": ["unknown_version"]}),
        ({"configuration": FULL | {"role_name": "x"}}, {"configuration": ["unknown_field"]}),
        ({"configuration": FULL | {CANARY: "x"}}, {"configuration": ["unknown_field"]}),
        ({"configuration": FULL | {"region": 7}}, {"configuration": ["invalid"]}),
        ({"configuration": [CANARY]}, {"configuration": ["invalid"]}),
        ({"type": "nonsense"}, {"type": ["unknown_type"]}),
        ({"type": None}, {"type": ["invalid"]}),
        ({"environments": ["nowhere"]}, {"environments": ["environment_not_found"]}),
        ({"environments": "gpu"}, {"environments": ["invalid"]}),
        ({"note": "x" * 501}, {"note": ["too_long"]}),
        ({"note": "\u0000"}, {"note": ["control_character"]}),
        ({"enabled": "perhaps"}, {"enabled": ["invalid"]}),
        ({"owner": "acme"}, {"owner": ["invalid"]}),
        ({"owner": 10**30}, {"owner": ["invalid"]}),
        ({"owner": -1}, {"owner": ["invalid"]}),
    ],
)
def test_refusals_by_field(provider, body, change, expected):
    response = provider.post(URL, body | change)
    assert field_codes(response) == expected
    assert not RegistryEntry.objects.exists()


def test_several_at_once(provider, body):
    sent = body | {"image_pattern": HOST, "configuration": {"access_key_id": ""}}
    found = field_codes(provider.post(URL, sent))
    assert found["image_pattern"] == ["bare_host"]
    assert found["access_key_id"] == ["required"]


def test_what_is_missing(provider, body):
    del body["type"]
    assert field_codes(provider.post(URL, body)) == {"type": ["required"]}


@pytest.mark.parametrize("junk", [b"", b"{", b"[]", b"7", b"\xff", b"[" * 100_000])
def test_junk(provider, junk):
    refused(provider.post(URL, junk), 400, "invalid_request")


def test_a_large_body(provider, body):
    many = [f"{HOST}/{'x' * 200}-{number}" for number in range(101)]
    sent = body | {"image_pattern": None, "image_patterns": many}
    assert field_codes(provider.post(URL, sent)) == {"image_pattern": ["too_many"]}
    assert provider.post(URL, sent | {"image_patterns": many[:100]}).status_code == 201
    refused(provider.post(URL, b" " * (128 * 1024 + 1)), 413, "too_large")


# --- the secret --------------------------------------------------------------------------


def test_a_kept_secret_stays_where_it_was_given_for(provider, body):
    document = provider.post(URL, body).json()
    kept = body | {"configuration": KEY}
    assert provider.send("PUT", address(document), kept).status_code == 200
    china = "123456789012.dkr.ecr.cn-north-1.amazonaws.com.cn/*"
    moved = kept | {"image_pattern": china, "configuration": KEY | {"region": "cn-north-1"}}
    response = provider.send("PUT", address(document), moved)
    assert field_codes(response) == {"secret_access_key": ["secret_required"]}


def test_a_new_secret_counts(provider, body):
    document = provider.post(URL, body).json()
    rotated = body | {"configuration": FULL | {"secret_access_key": CANARY[::-1]}}
    changed = provider.send("PUT", address(document), rotated).json()
    assert changed == document | {"updated_at": changed["updated_at"]}
    entry = RegistryEntry.objects.get()
    assert entry.credentials_version == 2
    assert AuditEvent.objects.get(action="entry.updated").properties["changes"] == {
        "secret": "changed"
    }


# --- whose --------------------------------------------------------------------------------


def test_owner_may_be_left_out_by_who_administers_one(provider, body, acme, alice, umbrella):
    del body["owner"]
    assert provider.post(URL, body).json()["owner"] == acme.pk
    Membership.objects.create(organization=umbrella, user=alice, role="admin")
    body["image_pattern"] = f"{HOST}/more/*"
    assert field_codes(provider.post(URL, body)) == {"owner": ["required"]}


def test_an_entry_stays_with_its_owner(provider, body, alice, umbrella):
    document = provider.post(URL, body).json()
    for owner in (umbrella.pk, 2**63 - 1):
        response = provider.send("PUT", address(document), body | {"owner": owner})
        assert field_codes(response) == {"owner": ["owner_fixed"]}
    del body["owner"]
    assert provider.send("PUT", address(document), body).status_code == 200


def test_strangers_find_nothing_and_members_are_told_whom_to_ask(
    body, bob, charlie, acme, alice, make_entry, actor
):
    entry = make_entry()
    by = {}
    for user in (bob, charlie):
        by[user] = Api(tokens.token_issue_api(user=user, name="x", actor=actor)[1])
    for user, status, code in ((bob, 403, "admins_only"), (charlie, 404, "not_found")):
        for method, path, sent in (
            ("GET", f"{URL}{entry.pk}/", None),
            ("PUT", f"{URL}{entry.pk}/", body),
            ("PATCH", f"{URL}{entry.pk}/", {"note": "x"}),
            ("DELETE", f"{URL}{entry.pk}/", None),
            ("POST", URL, body),
            ("GET", f"{URL}?owner={acme.pk}", None),
        ):
            told = refused(by[user].send(method, path, sent), status, code)
            assert ("alice@example.com" in told["detail"]) is (user is bob)
        assert by[user].get(URL).json()["count"] == 0
    entry.refresh_from_db()
    assert entry.note == ""


def test_a_narrowed_token_manages_one_organization(alice, umbrella, acme, make_entry, actor):
    Membership.objects.create(organization=umbrella, user=alice, role="admin")
    theirs = make_entry(organization=umbrella)
    ours = make_entry()
    _, text = tokens.token_issue_api(user=alice, name="x", actor=actor, organization=acme)
    api = Api(text)
    assert [entry["id"] for entry in api.get(URL).json()["results"]] == [str(ours.pk)]
    refused(api.get(f"{URL}{theirs.pk}/"), 404, "not_found")
    refused(api.get(f"{URL}?owner={umbrella.pk}"), 404, "not_found")


def test_another_organizations_environment(provider, body, umbrella):
    Environment.objects.create(organization=umbrella, name="Theirs", slug="theirs")
    response = provider.post(URL, body | {"environments": ["theirs"]})
    assert field_codes(response) == {"environments": ["environment_not_found"]}


def test_ids_that_are_none(provider):
    refused(provider.get(f"{URL}{uuid.uuid4()}/"), 404, "not_found")
    refused(provider.get(f"{URL}7/"), 404, "not_found")
    refused(provider.send("POST", f"{URL}{uuid.uuid4()}/"), 405, "method_not_allowed")
    refused(provider.send("DELETE", URL), 405, "method_not_allowed")


# --- the list --------------------------------------------------------------------------------


def test_pages(provider, make_entry, acme):
    made = [str(make_entry(f"{HOST}/{number}/*").pk) for number in range(5)]
    found, path = [], f"{URL}?limit=2&owner={acme.pk}"
    pages = []
    while path:
        page = provider.get(path.removeprefix("http://testserver")).json()
        assert page["count"] == 5
        pages.append(len(page["results"]))
        found += [entry["id"] for entry in page["results"]]
        path = page["next"]
    assert pages == [2, 2, 1]
    assert found == made[::-1]
    last = page["previous"].removeprefix("http://testserver")
    assert [e["id"] for e in provider.get(last).json()["results"]] == found[2:4]
    assert provider.get(f"{URL}?offset=99").json()["results"] == []


@pytest.mark.parametrize(
    "query", ["limit=0", "limit=x", "limit=201", "offset=-1", "owner=x", "owner=" + "9" * 30]
)
def test_pages_that_are_none(provider, query):
    assert set(field_codes(provider.get(f"{URL}?{query}"))) == {query.partition("=")[0]}


def test_answers_are_in_their_schema(provider, body, make_entry):
    from jsonschema import Draft202012Validator

    document = Api(None).get("/api/v0/openapi.json").json()

    def check(method, path, response):
        told = document["paths"][path][method]["responses"][str(response.status_code)]
        schema = told["content"]["application/json"]["schema"]
        Draft202012Validator(schema | {"components": document["components"]}).validate(
            json.loads(response.content)
        )
        return response

    one = f"{URL}{{entry_id}}/"
    made = check("post", URL, provider.post(URL, body)).json()
    check("get", URL, provider.get(URL))
    check("get", one, provider.get(address(made)))
    check("put", one, provider.send("PUT", address(made), body))
    check("patch", one, provider.send("PATCH", address(made), {"note": 7}))
    check("post", URL, provider.post(URL, body))
    check("post", URL, provider.post(URL, b"{"))
    check("get", one, provider.get(f"{URL}{uuid.uuid4()}/"))
    check("get", URL, Api(None).get(URL))


@pytest.mark.parametrize(
    "given",
    [
        f" {HOST}/*", f"{HOST}/* ", f"{HOST}/*\n", f"\t{HOST}/*", f"\ufeff{HOST}/*",
        f"{HOST}/*\u200b", f"\u00a0{HOST}/*", f'"{HOST}/*"', f"{HOST}/*,",
    ],
)  # fmt: skip
def test_a_pattern_is_answered_as_given_so_what_is_around_it_is_refused(provider, body, given):
    for sent in ({"image_pattern": given}, {"image_pattern": None, "image_patterns": [given]}):
        answer = provider.post(URL, body | sent)
        assert answer.status_code == 400
        (problem,) = answer.json()["image_pattern"]
        assert problem["code"] == "invalid_pattern"
        assert problem["message"].endswith(f" Write {HOST}/*.")
    made = provider.post(URL, body)
    assert made.status_code == 201
    at = f"{URL}{made.json()['id']}/"
    assert provider.send("patch", at, {"image_pattern": given}).status_code == 400
    assert provider.get(at).json()["image_pattern"] == f"{HOST}/*"
    assert provider.send("put", at, body).status_code == 200


@pytest.mark.parametrize("given", ["", " ", "\n", "\u200b"])
def test_nothing_but_blanks_is_no_pattern(provider, body, given):
    answer = provider.post(URL, body | {"image_pattern": given})
    assert answer.status_code == 400 and set(answer.json()) == {"image_pattern"}


def test_the_day_on_which_a_secret_ends(provider, body) -> None:
    """Answered only where it was said; null leaves it, an empty one takes it away."""
    made = provider.post(URL, body)
    assert made.status_code == 201 and "secret_expires_on" not in made.json()
    at = address(made.json())
    for given, answered in (("2150-06-30", "2150-06-30"), (None, "2150-06-30"), ("", None)):
        told = provider.send("PATCH", at, {"secret_expires_on": given})
        assert told.status_code == 200 and told.json().get("secret_expires_on") == answered
    wrong = provider.send("PATCH", at, {"secret_expires_on": 20270101})
    assert wrong.status_code == 400
