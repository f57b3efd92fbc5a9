"""A script that speaks as the platform's Terraform provider does, to the served product.

Not that provider itself: its vendor's address is written into its code, so it can't reach
this product (docs/guide/scripts.md has what can).
Over HTTP, with nothing of the product's own in between: what is asserted of the
database besides is what an answer can't show (versions, events, the sealed secret).
"""

from __future__ import annotations

import base64
import http.client
import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit
from uuid import uuid4

import pytest

from orgs.models import AuditEvent, Organization, RegistryEntry, User
from orgs.services.tenancy import tokens
from tests.conftest import CANARY, HOST
from tests.support.fake_aws import FakeAws
from tests.support.fake_google import FakeGoogle
from tests.support.product import served

pytestmark = [pytest.mark.once, pytest.mark.django_db(transaction=True)]

URL = "/api/v0/registry-credentials/"
KEY = {"version": "1", "access_key_id": "AKIAIOSFODNN7EXAMPLE", "region": "us-east-1"}
FULL = KEY | {"secret_access_key": CANARY}
ROLE = {"version": "1", "role_name": "ValohaiWorkerRole", "region": "us-east-1"}


@dataclass(frozen=True)
class Answer:
    status: int
    headers: http.client.HTTPMessage
    text: str

    @property
    def document(self) -> Any:
        assert self.headers["Content-Type"].startswith("application/json"), self.text
        return json.loads(self.text)

    def refused(self, status: int, code: str) -> Answer:
        """Once it is this error, in the contract's shape."""
        assert (self.status, self.document["code"]) == (status, code), self.text
        assert set(self.document) == {"detail", "code"} and self.document["detail"].strip()
        return self

    @property
    def field_codes(self) -> dict[str, list[str]]:
        """{field: codes}, once the shape is the contract's."""
        assert self.status == 400, self.text
        for problems in self.document.values():
            for problem in problems:
                assert set(problem) == {"message", "code"} and problem["message"].strip()
        return {name: [p["code"] for p in found] for name, found in self.document.items()}


@dataclass(frozen=True)
class Provider:
    """The client, with one person's token or none; no answer may hold the secret."""

    server: str
    token: str = ""

    def send(self, method: str, path: str, body: Any = None) -> Answer:
        """`path` may be a whole address, as pages link to one another."""
        content = body if isinstance(body, bytes | None) else json.dumps(body).encode()
        headers = {"Content-Type": "application/json", "Accept": "application/json"}
        if self.token:
            headers["Authorization"] = f"Token {self.token}"
        there = urlsplit(path)
        target = f"{there.path}?{there.query}" if there.query else there.path
        connection = http.client.HTTPConnection(urlsplit(self.server).netloc, timeout=20)
        try:
            connection.request(method, target, content, headers)
            response = connection.getresponse()
            answer = Answer(response.status, response.headers, response.read().decode())
        finally:
            connection.close()
        assert CANARY not in answer.text and CANARY not in str(answer.headers)
        return answer

    def create(self, body: Any) -> Any:
        answer = self.send("POST", URL, body)
        assert answer.status == 201, answer.text
        return answer.document

    def read(self, entry_id: object) -> Answer:
        return self.send("GET", f"{URL}{entry_id}/")

    def update(self, entry_id: object, body: Any) -> Answer:
        return self.send("PUT", f"{URL}{entry_id}/", body)

    def delete(self, entry_id: object) -> Answer:
        return self.send("DELETE", f"{URL}{entry_id}/")


@pytest.fixture(scope="module")
def google() -> Iterator[FakeGoogle]:
    with FakeGoogle() as fake:
        yield fake


@pytest.fixture(scope="module")
def fake() -> Iterator[FakeAws]:
    with FakeAws() as fake:
        yield fake


@pytest.fixture(scope="module")
def server(django_db_setup: None, fake: FakeAws, google: FakeGoogle) -> Iterator[str]:
    """One for all: each test finds the database empty, and has people and tokens of its own."""
    clouds = {"AWS_ENDPOINT_URL": fake.url, "GOOGLE_ENDPOINT_URL": google.url}
    with served(**clouds) as address:
        yield address


@pytest.fixture
def token_of(actor):
    def token_of(user: User) -> str:
        return tokens.token_issue_api(user=user, name="terraform", actor=actor)[1]

    return token_of


@pytest.fixture
def terraform(server, alice, token_of) -> Provider:
    return Provider(server, token_of(alice))


@pytest.fixture
def body(acme: Organization) -> dict[str, Any]:
    return {
        "type": "aws-ecr",
        "image_pattern": f"{HOST}/*",
        "owner": acme.pk,
        "configuration": FULL,
    }


def entry_events() -> list[str]:
    events = AuditEvent.objects.filter(action__startswith="entry.").order_by("pk")
    return [event.action for event in events]


def changed(answer: Answer, expected: dict[str, Any]) -> dict[str, Any]:
    """The document, once it is the expected one, but with another `updated_at`."""
    told: dict[str, Any] = answer.document
    assert told["updated_at"] > expected["updated_at"]
    assert told == expected | {"updated_at": told["updated_at"]}
    return told


def test_the_life_of_a_resource(terraform, body, acme):
    document = terraform.create(body)
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
    entry_id = document["id"]
    assert terraform.read(entry_id).document == document

    # apply again: no-op, with the secret or as read
    for again in (body, body | {"configuration": KEY}, document):
        answer = terraform.update(entry_id, again)
        assert (answer.status, answer.document) == (200, document)
    assert RegistryEntry.objects.get().credentials_version == 1
    assert entry_events() == ["entry.created"]

    body["image_pattern"] = f"{HOST}/my-repo/*"
    document |= {"image_pattern": f"{HOST}/my-repo/*", "image_patterns": [f"{HOST}/my-repo/*"]}
    document = changed(terraform.update(entry_id, body), document)
    assert terraform.read(entry_id).document == document

    rotated = body | {"configuration": FULL | {"secret_access_key": CANARY[::-1]}}
    answer = terraform.update(entry_id, rotated)
    document = changed(answer, document)
    assert CANARY[::-1] not in answer.text
    assert RegistryEntry.objects.get().credentials_version == 2

    as_role = body | {"type": "aws-ecr-role", "configuration": ROLE}
    document |= {"type": "aws-ecr-role", "configuration": ROLE}
    document = changed(terraform.update(entry_id, as_role), document)
    assert RegistryEntry.objects.get().secrets is None
    without = terraform.update(entry_id, body | {"configuration": KEY})
    assert without.field_codes == {"secret_access_key": ["secret_required"]}
    assert terraform.read(entry_id).document == document

    gone = terraform.delete(entry_id)
    assert (gone.status, gone.text) == (204, "")
    terraform.read(entry_id).refused(404, "not_found")
    terraform.update(entry_id, body).refused(404, "not_found")
    terraform.delete(entry_id).refused(404, "not_found")
    assert entry_events() == ["entry.created", *["entry.updated"] * 3, "entry.deleted"]
    for event in AuditEvent.objects.filter(action__startswith="entry."):
        assert (event.actor, event.source_address) == ("alice@example.com", "127.0.0.1")
        assert CANARY not in str(event.properties) and CANARY[::-1] not in str(event.properties)


def test_googles_resource(terraform, acme, google):
    """As the provider's own page has it: `gcr.io/*`, and `file("service-account.json")`, which
    keeps the line break at the file's end."""
    key = google.create_key(google.create_account(), canary=CANARY)
    body = {
        "type": "gcp-cr",
        "image_pattern": "gcr.io/*",
        "owner": acme.pk,
        "configuration": {"version": "1", "service_account_json": key},
    }
    document = terraform.create(body)
    assert document["configuration"] == {"version": "1"} and document["type"] == "gcp-cr"
    entry_id = document["id"]
    # apply again: no-op, as written or as read; and as another resource's base64 has it
    encoded = base64.b64encode(key.encode()).decode()
    for given in (key, encoded):
        again = body | {"configuration": {"service_account_json": given}}
        assert terraform.update(entry_id, again).document == document
    assert terraform.update(entry_id, document).document == document
    assert entry_events() == ["entry.created"] and not google.calls

    rotated = google.create_key(google.create_account("rotated"), canary=CANARY)
    body["configuration"] = {"service_account_json": rotated}
    document = changed(terraform.update(entry_id, body), document)
    stored = RegistryEntry.objects.get()
    assert stored.credentials_version == 2
    assert stored.config["service_account_email"].startswith("rotated@")

    # The provider's own test makes one up, which no type can serve.
    body["configuration"] = {"service_account_json": str(uuid4())}
    refused = terraform.send("POST", URL, body | {"image_pattern": "eu.gcr.io/*"})
    assert refused.field_codes == {"service_account_json": ["secret_shape"]}
    as_key = body | {"type": "aws-ecr", "image_pattern": f"{HOST}/*", "configuration": FULL}
    document = terraform.update(entry_id, as_key).document
    assert document["configuration"] == KEY and RegistryEntry.objects.get().config == {
        "access_key_id": KEY["access_key_id"],
        "region": KEY["region"],
    }
    assert terraform.delete(entry_id).status == 204


def test_import_of_an_existing_entry(terraform, make_entry, gpu):
    """Read by id, then applied without the secret, which nothing ever showed."""
    entry = make_entry(note="by hand", environments=[gpu], enabled=False)
    document = terraform.read(entry.pk).document
    assert document["note"] == "by hand"
    known = ("type", "image_pattern", "owner", "configuration")
    for applied in (document, {name: document[name] for name in known}):
        answer = terraform.update(entry.pk, applied)
        assert (answer.status, answer.document) == (200, document)
    assert RegistryEntry.objects.get().credentials_version == 1
    assert entry_events() == ["entry.created"]


def test_pages_of_the_list(terraform, make_entry, acme, umbrella):
    made = [str(make_entry(f"{HOST}/{number}/*").pk) for number in range(5)]
    make_entry(organization=umbrella)
    found, path = [], f"{URL}?owner={acme.pk}&limit=2"
    while path:
        page = terraform.send("GET", path).document
        assert set(page) == {"count", "next", "previous", "results"} and page["count"] == 5
        found += [entry["id"] for entry in page["results"]]
        path = page["next"]
        assert path is None or path.startswith(f"{terraform.server}{URL}?")
    assert found == made[::-1]
    before = terraform.send("GET", page["previous"]).document
    assert [entry["id"] for entry in before["results"]] == found[2:4]
    assert terraform.send("GET", URL).document["count"] == 5
    terraform.send("GET", f"{URL}?owner={umbrella.pk}").refused(404, "not_found")
    assert terraform.send("GET", f"{URL}?limit=0").field_codes == {"limit": ["invalid"]}


def test_who_may(server, terraform, body, bob, charlie, token_of, acme, umbrella, make_entry):
    entry = make_entry()
    revoked = token_of(bob)
    token = bob.api_tokens.get()
    tokens_of = {
        "nobody": ("", 401, "not_authenticated"),
        "made up": ("vra_0123456789abcdef_nothing", 401, "not_authenticated"),
        "revoked": (revoked, 401, "token_revoked"),
        "member": (token_of(bob), 403, "admins_only"),
        "stranger": (token_of(charlie), 404, "not_found"),
    }
    token.revoked_at = token.created_at
    token.save()
    for text, status, code in tokens_of.values():
        client = Provider(server, text)
        for answer in (
            client.send("POST", URL, body),
            client.send("GET", f"{URL}?owner={acme.pk}"),
            client.read(entry.pk),
            client.update(entry.pk, body),
            client.send("PATCH", f"{URL}{entry.pk}/", {"note": "x"}),
            client.delete(entry.pk),
        ):
            answer.refused(status, code)
            assert (answer.headers["WWW-Authenticate"] == "Token") is (status == 401)
    terraform.send("POST", URL, body | {"owner": umbrella.pk}).refused(404, "not_found")
    assert (RegistryEntry.objects.count(), entry_events()) == (1, ["entry.created"])


def test_every_refusal_by_field(terraform, body, umbrella):
    """Of a new entry, and of a change of one that stands: both leave all as it was."""
    document = terraform.create(body | {"image_pattern": f"{HOST}/stands/*"})
    other = terraform.create(body | {"image_pattern": f"{HOST}/other/*"})
    elsewhere = {"region": "eu-west-1"}
    for change, expected in (
        ({"image_pattern": HOST}, {"image_pattern": ["bare_host"]}),
        ({"image_pattern": f"https://{HOST}/*"}, {"image_pattern": ["scheme_in_pattern"]}),
        ({"image_pattern": f"{HOST}/x:v1"}, {"image_pattern": ["tag_in_pattern"]}),
        ({"image_pattern": f"{HOST}.evil.com/*"}, {"image_pattern": ["lookalike_host"]}),
        ({"image_pattern": f"{HOST}/other/*"}, {"image_pattern": ["duplicate_pattern"]}),
        ({"image_pattern": "*/*"}, {"image_pattern": ["invalid_pattern"]}),
        ({"configuration": FULL | elsewhere}, {"region": ["region_mismatch"]}),
        ({"configuration": FULL | {"region": "cn-north-1"}}, {"region": ["partition_mismatch"]}),
        ({"configuration": FULL | {"access_key_id": "x"}}, {"access_key_id": ["key_id_shape"]}),
        (
            {"configuration": FULL | {"access_key_id": "ASIAIOSFODNN7EXAMPLE"}},
            {"access_key_id": ["temporary_key"]},
        ),
        (
            {"configuration": KEY | {"access_key_id": "AKIAIOSFODNN8EXAMPLE"}},
            {"secret_access_key": ["secret_required"]},
        ),
        ({"type": "nonsense"}, {"type": ["unknown_type"]}),
        ({"type": CANARY}, {"type": ["unknown_type"]}),
        ({"configuration": FULL | {"version": "2"}}, {"configuration": ["unknown_version"]}),
        ({"configuration": FULL | {CANARY: "x"}}, {"configuration": ["unknown_field"]}),
    ):
        changed = body | {"image_pattern": f"{HOST}/new/*"} | change
        assert terraform.send("POST", URL, changed).field_codes == expected
        assert terraform.update(document["id"], changed).field_codes == expected
    moved = terraform.update(document["id"], body | {"owner": umbrella.pk})
    assert moved.field_codes == {"owner": ["owner_fixed"]}
    for standing in (document, other):
        assert terraform.read(standing["id"]).document == standing
    assert entry_events() == ["entry.created"] * 2


def test_every_other_error(terraform, body):
    entry_id = terraform.create(body)["id"]
    address = f"{URL}{entry_id}/"
    for method, path in (("DELETE", URL), ("PUT", URL), ("POST", address)):
        answer = terraform.send(method, path, body).refused(405, "method_not_allowed")
        assert method not in answer.headers["Allow"]
    secret = f'{{"configuration": {{"secret_access_key": "{CANARY}"'.encode()
    for junk in (b"", b"{", b"[]", b"\xff", secret):
        terraform.send("POST", URL, junk).refused(400, "invalid_request")
        terraform.send("PUT", address, junk).refused(400, "invalid_request")
    large = json.dumps(body | {"note": "x" * 128 * 1024}).encode()
    for method, path in (("POST", URL), ("PUT", address)):
        answer = terraform.send(method, path, large).refused(413, "too_large")
        assert int(answer.headers["Retry-After"]) > 0
    for nowhere in (uuid4(), "7", "null"):
        terraform.read(nowhere).refused(404, "not_found")
    assert terraform.read(entry_id).status == 200
    assert entry_events() == ["entry.created"]
