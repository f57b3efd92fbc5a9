"""Patterns are counted before any is read, by every face; what is told of a hundred stays quick."""

from __future__ import annotations

import io
import json
import time
from collections.abc import Callable
from random import Random

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext

from orgs.models import Environment, IndexedPattern, RegistryEntry
from orgs.registries import images, patterns
from orgs.registries.ecr_policy import user_policy
from orgs.registries.images import ImageReference
from orgs.registries.patterns import MatchPattern
from orgs.registries.problems import Refused
from orgs.services.audit.events import Actor
from orgs.services.bulk import importing
from orgs.services.bulk.files import Rows
from orgs.services.entries import door, neighbours
from orgs.services.entries.validating import (
    MAX_ENVIRONMENTS,
    MAX_PATTERNS,
    MAX_ROWS,
    MAX_STARS,
    EntrySpec,
    parse_patterns,
)
from orgs.services.tenancy import tokens
from tests.conftest import HOST

pytestmark = pytest.mark.django_db

MANY = [f"registry.example.com/{number}/*" for number in range(18_000)]
# As many as fit into the largest form that is read at all (web/bodies.py).
FIT = MANY[:8_000]
DOCKER = {"registry_type": "docker", "username": "u", "password": "p", "enabled": "on"}
# Seconds of the processor, of which a request for what anybody may ask has one at most.
QUICK = 1.0


def cpu(work: Callable[[], object]) -> float:
    began = time.process_time()
    work()
    return time.process_time() - began


@pytest.fixture
def parsed(monkeypatch) -> list[str]:
    """What was parsed as a pattern."""
    found: list[str] = []
    parse = patterns._parse

    def noted(text):
        found.append(text)
        return parse(text)

    monkeypatch.setattr(patterns, "_parse", noted)
    return found


@pytest.mark.parametrize(("count", "read"), [(0, 0), (1, 1), (100, 100), (101, 0), (18_000, 0)])
def test_counted_before_reading(count, read, parsed) -> None:
    found, problems = parse_patterns(MANY[:count])
    assert len(parsed) == len(found) == read
    assert [p.code for p in problems] == ([] if read else ["too_many" if count else "required"])


def test_the_same_one_counts_once(parsed) -> None:
    found, problems = parse_patterns([*MANY[:100], *(MANY[:100] * 50), ""])
    assert len(found) == MAX_PATTERNS == len(parsed) and not problems


@pytest.mark.parametrize(
    ("stars", "code"),
    [(MAX_STARS, None), (MAX_STARS + 1, "invalid_pattern"), (100, "invalid_pattern")],
)
def test_so_many_stars(stars, code) -> None:
    _, problems = parse_patterns([f"{HOST}/a" + "*a" * stars])
    assert [p.code for p in problems] == ([code] if code else [])


@pytest.mark.parametrize(
    "text",
    [
        *("a" * 1_000_000, "*" * 1_000_000, "/" * 1_000_000, ":" * 1_000_000, "@" * 1_000_000),
        *("https://" * 100_000, "a.b/" + "A" * 900, "a.b/" + "**" * 500, "a.b/" + "/" * 1000),
        *("a" * 1000 + "!", "a." * 500 + "!", "a-" * 500, "a.b/" + "a-" * 500, "a__" * 300),
        *("é" * 1000, "a.b/" + "*a" * 127, "[" * 1000, "*." * 500 + "a/b"),
    ],
    ids=lambda text: f"{text[:12]}… {len(text)}",
)
def test_a_long_one_is_read_in_no_time(text) -> None:
    def read():
        for kind in (MatchPattern, ImageReference, images.Server):
            try:
                kind.parse(text)
            except Refused:
                continue

    assert cpu(read) < 0.1


def test_matching_tries_no_ways() -> None:
    pattern = MatchPattern.parse("h.example.com/" + "*a" * 127)
    misses = ImageReference.parse("h.example.com/" + "a" * 200 + "b")
    assert not pattern.matches(misses)
    assert cpu(lambda: [pattern.matches(misses) for _ in range(1000)]) < 0.5


# --- by every face ----------------------------------------------------------------


@pytest.fixture
def signed_in(alice) -> Client:
    client = Client()
    client.force_login(alice)
    return client


def sent(parsed: list[str]) -> list[str]:
    """Of what was parsed, what was sent: the page parses its own example as well."""
    return [text for text in parsed if text in FIT]


def test_pasted_into_the_form(signed_in, acme, parsed) -> None:
    data = DOCKER | {"patterns": "\n".join(FIT)}
    answers = []

    def send_it():
        answers.append(signed_in.post("/organizations/acme/registries/new/", data))

    assert cpu(send_it) < QUICK
    (error,) = answers[0].context["form"].errors["patterns"]
    assert "at most 100 patterns, and these are 8,000" in error
    assert sent(parsed) == [] and acme.entries.count() == 0


def test_while_typing(signed_in, acme, parsed) -> None:
    data = {"patterns": "\n".join(FIT), "registry_type": "aws-ecr"}
    answers = []

    def send():
        answers.append(signed_in.post("/organizations/acme/registries/help/", data))

    assert cpu(send) < QUICK and parsed == []
    assert "at most 100 patterns" in answers[0].content.decode()


def test_more_than_any_form_holds(signed_in, acme, parsed) -> None:
    for path in ("new/", "help/"):
        data = DOCKER | {"patterns": "\n".join(MANY)}
        answer = signed_in.post(f"/organizations/acme/registries/{path}", data)
        assert answer.status_code == 413
    assert parsed == []


def test_in_the_admin(staff, acme, parsed) -> None:
    client = Client()
    client.force_login(staff)
    data = DOCKER | {"patterns": "\n".join(FIT), "organization": acme.pk}
    assert cpu(lambda: client.post("/admin/orgs/registryentry/add/", data)) < QUICK
    assert sent(parsed) == [] and acme.entries.count() == 0


def test_sent_to_the_api(alice, acme, actor, parsed) -> None:
    token = tokens.token_issue_api(user=alice, name="script", actor=actor)[1]
    configuration = {"username": "u", "password": "p"}
    body = {"type": "docker", "image_patterns": MANY[:2000], "configuration": configuration}
    answers = []

    def send():
        answers.append(
            Client().post(
                "/api/v0/registry-credentials/",
                json.dumps(body),
                "application/json",
                headers={"Authorization": f"Token {token}"},
            )
        )

    assert cpu(send) < QUICK and parsed == []
    assert answers[0].json()["image_pattern"][0]["code"] == "too_many"


def test_in_an_import(acme, actor, parsed) -> None:
    row = {"image_pattern": MANY[:200], "type": "docker", "username": "u", "password": "p"}
    file = io.BytesIO(json.dumps([row]).encode())
    report = importing.plan(organization=acme, rows=Rows(file, "json"))
    assert [error.code for error in report.errors] == ["too_many"] and parsed == []


# --- what is told of a hundred ------------------------------------------------------


def _hundred(kind: str) -> list[MatchPattern]:
    random = Random(5)
    texts = {
        "plain": [f"{HOST}/team-{n}/*" for n in range(100)],
        "alike": [f"{HOST}/" + "*a" * (MAX_STARS - 1) + f"*{n}" for n in range(100)],
        "deep": [f"{HOST}/" + "a*/" * 10 + f"{'b/' * 60}{n}" for n in range(100)],
        "covered": [f"{HOST}/t{n}*/x" for n in range(99)] + [f"{HOST}/*/*"],
        "wild": [
            f"{HOST}/"
            + "/".join(random.choice(("a*", "*b", "a*b", "ab")) for _ in range(15))
            + f"/{n}"
            for n in range(100)
        ],
    }
    return [MatchPattern.parse(text) for text in texts[kind]]


@pytest.mark.parametrize("kind", ["plain", "alike", "deep", "covered", "wild"])
def test_the_policy_of_a_hundred(kind) -> None:
    found = _hundred(kind)
    assert cpu(lambda: user_policy(found, "us-east-1")) < QUICK


@pytest.mark.parametrize("kind", ["plain", "alike", "deep", "covered", "wild"])
def test_a_hundred_beside_a_hundred(kind, acme, make_entry) -> None:
    make_entry([str(pattern) for pattern in _hundred(kind)])
    ours = [MatchPattern.parse(f"{pattern}".removesuffix("/*") + "x") for pattern in _hundred(kind)]
    assert cpu(lambda: neighbours.neighbours(acme, ours)) < QUICK


def test_conflicts_ask_as_often_for_a_hundred_as_for_one(acme, make_entry) -> None:
    def asked(texts: list[str]) -> int:
        with CaptureQueriesContext(
            connection,
        ) as queries:
            spec = EntrySpec("docker", texts, {"username": "u"}, {"password": "p"})
            door.entry_validate(organization=acme, spec=spec)
        return len(queries)

    assert asked(["h.example.com/a/*"]) == asked([f"h.example.com/a{n}/*" for n in range(100)])


def test_crowds_are_counted_by_place(acme, make_entry, monkeypatch) -> None:
    from orgs.services.entries import validating

    monkeypatch.setattr(validating, "MAX_WILDCARD_PATHS", 3)
    make_entry([f"{HOST}/a/x*", f"{HOST}/a/y*", f"{HOST}/b/x*"])
    make_entry([f"{HOST}/a/z*", f"{HOST}/b/y*"])
    with pytest.raises(Refused) as refused:
        make_entry([f"{HOST}/a/w*", f"{HOST}/b/z*", f"{HOST}/c/z*"])
    assert [p.code for p in refused.value.problems] == ["too_many_wildcards"]
    assert f"{HOST}/a has 3 patterns" in refused.value.problem.what


def test_environments_are_counted(acme) -> None:
    made = Environment.objects.bulk_create(
        Environment(organization=acme, name=f"e{n}", slug=f"e{n}")
        for n in range(MAX_ENVIRONMENTS + 1)
    )
    texts = [f"h.example.com/a{n}" for n in range(MAX_PATTERNS)]

    def spec(environments):
        return EntrySpec("docker", texts, {"username": "u"}, {"password": "p"}, environments)

    with pytest.raises(Refused) as refused:
        door.entry_create(organization=acme, actor=Actor("t"), spec=spec(made))
    assert [(p.code, p.field) for p in refused.value.problems] == [("too_many", "environments")]
    # a hundred times a hundred rows is what every page of the entry would read
    most = MAX_ROWS // MAX_PATTERNS
    with pytest.raises(Refused, match="100 patterns in 6 environments"):
        door.entry_create(organization=acme, actor=Actor("t"), spec=spec(made[: most + 1]))
    entry = door.entry_create(organization=acme, actor=Actor("t"), spec=spec(made[:most]))
    assert IndexedPattern.objects.filter(entry=entry).count() == MAX_ROWS
    assert RegistryEntry.objects.count() == 1
