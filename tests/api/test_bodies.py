"""Bodies are counted before anything is made of them; and what isn't text is told."""

import json

import pytest

from orgs.api.bodies import MOST_DEEP, MOST_KEYS
from orgs.models import RegistryEntry
from orgs.services.tenancy import tokens
from tests.api.conftest import LOGIN, Api, refused
from tests.support import effort

pytestmark = pytest.mark.django_db(transaction=True)

PATH = "/api/v0/registry-credentials/"
TYPE = '"type": "docker", '
WELL = '"image_pattern": "h.example.com/*", "configuration": {"username": "u", "password": "p"}'


@pytest.fixture
def person(alice, actor) -> Api:
    return Api(tokens.token_issue_api(user=alice, name="script", actor=actor)[1])


def nested(depth: int) -> bytes:
    return ('{"note": ' + "[" * depth + "]" * depth + "}").encode()


@pytest.mark.parametrize(
    "body",
    [
        *(b"[" * 128_000, b"[" * 64_000 + b"]" * 64_000, b'{"a":' * 20_000, nested(MOST_DEEP + 2)),
        *(b"[{}," * 2400 + b"{}" + b"]" * 2400, nested(900), nested(5000)),
        json.dumps({f"k{n}": "" for n in range(MOST_KEYS + 1)}).encode(),
        json.dumps({"configuration": {f"k{n}": "" for n in range(MOST_KEYS + 1)}}).encode(),
        *(b'{"type": "docker", "type": "aws-ecr"}', b'{"configuration": {"a": "1", "a": "1"}}'),
        *(b'{"owner": NaN}', b'{"owner": Infinity}', b'{"owner": -Infinity}'),
    ],
    ids=lambda body: f"{body[:20].decode()} {len(body)}",
)
def test_what_no_body_needs(person, body) -> None:
    with effort.at_most(500):
        told = refused(person.send("POST", PATH, body), 400, "invalid_request")
    assert told["detail"].endswith("has the form.") or "isn't JSON" in told["detail"]
    assert not RegistryEntry.objects.exists()


def test_what_is_within_bounds_is_read(person) -> None:
    assert "note" in person.send("POST", PATH, nested(MOST_DEEP - 1)).json()
    keys = {f"k{n}": "" for n in range(MOST_KEYS)}
    assert "type" in person.post(PATH, keys).json()


@pytest.mark.parametrize(
    "body",
    [b"", b"{", b"\xff\xfe", b"\0", b'{"owner": ' + b"9" * 5000 + b"}", b'"\xc0\x80"', b"nul"],
)
def test_what_is_no_json(person, body) -> None:
    answer = person.send("POST", PATH, body)
    assert answer.status_code == 400


@pytest.mark.parametrize(
    "more",
    [
        *('"owner": 1e400', f'"owner": {"9" * 30}', '"owner": -1', '"note": 5', '"note": ["x"]'),
        *(
            '"environments": "gpu"',
            '"environments": [5]',
            '"enabled": "perhaps"',
            '"note": "\\ud800"',
        ),
        *('"image_patterns": {}', '"image_patterns": [null]', '"type": "\\u0000"'),
    ],
)
def test_values_of_another_kind(person, acme, more) -> None:
    body = f"{{{'' if TYPE[:6] in more else TYPE}{WELL}, {more}}}"
    answer = person.send("POST", PATH, body.encode())
    assert answer.status_code == 400 and not acme.entries.exists()
    assert all(problem["message"] for told in answer.json().values() for problem in told)


@pytest.mark.parametrize("key", ["\ud800", "\0", "x" * 5000, "__class__", "access_key_id", ""])
def test_keys_of_another_kind(person, acme, key) -> None:
    given = {"username": "u", "password": "p", key: "x"}
    body = {"type": "docker", "image_pattern": "h.example.com/*", "configuration": given}
    answer = person.post(PATH, body)
    assert answer.status_code == 400 and len(answer.content) < 1000
    given[key] = 5
    answer = person.post(PATH, body)
    assert answer.status_code == 400 and len(answer.content) < 1000
    json.dumps(answer.json(), ensure_ascii=False).encode()


@pytest.mark.parametrize("field", ["project", "image", "server", "environment"])
@pytest.mark.parametrize(
    "bad", ["\ud800", "a\0b", "\x1b[31m", "x" * 5000, 5, [], {}, "é", "٣", "\u202e", "../..", "%00"]
)
def test_a_login_is_asked_for(worker, project, field, bad) -> None:
    asked = {"project": str(project.pk), "image": "h.example.com/x", field: bad}
    if field == "server":
        del asked["image"]
    answer = worker.post(LOGIN, asked)
    assert answer.status_code in {400, 403, 404}
    json.dumps(answer.json(), ensure_ascii=False).encode()


@pytest.mark.parametrize("field", ["entry", "project", "image", "code"])
@pytest.mark.parametrize("bad", ["\ud800", "a\0b", "x" * 5000, 5, None, {}])
def test_an_outcome_is_told(worker, project, make_entry, field, bad) -> None:
    entry = make_entry(registry_type="aws-ecr-role")
    told = {"entry": str(entry.pk), "project": str(project.pk), "image": "h.example.com/x"}
    answer = worker.post(f"{LOGIN}outcome/", told | {"code": "ok", field: bad})
    assert answer.status_code == 400
