"""Which entries a pattern meets: the same answer as resolving gives, in few queries."""

from __future__ import annotations

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from orgs.models import Environment
from orgs.registries.images import ImageReference
from orgs.registries.patterns import MatchPattern
from orgs.services.entries import door
from orgs.services.entries import neighbours as service
from orgs.services.entries.neighbours import Neighbours, Relation, neighbours
from orgs.services.logins.resolve import resolve
from tests.conftest import HOST

pytestmark = pytest.mark.django_db

OTHER_HOST = HOST.replace("us-east-1", "eu-west-1")


@pytest.fixture
def around(acme):
    """The neighbours of patterns on HOST, or elsewhere where they name a host."""

    def ask(*texts: str, environments=(), exclude=None) -> Neighbours:
        full = [text if ".dkr" in text else f"{HOST}/{text}" for text in texts]
        return neighbours(acme, [MatchPattern.parse(t) for t in full], environments, exclude)

    return ask


def told(found: Neighbours) -> dict[str, Relation]:
    return {n.pattern.removeprefix(f"{HOST}/"): n.relation for n in found.found}


@pytest.fixture
def cpu(acme) -> Environment:
    return Environment.objects.create(organization=acme, name="CPU", slug="cpu")


@pytest.mark.parametrize(
    ("standing", "typed", "expected"),
    [
        ("my-repo", "*", Relation.KEEPS),
        ("my-repo", "my-repo/*", Relation.KEEPS),
        ("my-repo/train", "my-repo/*", Relation.KEEPS),
        ("my-repo/train/*", "my-*/*", Relation.KEEPS),
        ("*", "my-repo", Relation.GIVES_WAY),
        ("my-*/*", "my-repo/*", Relation.GIVES_WAY),
        ("my-*", "my-repo", Relation.GIVES_WAY),
        ("*/train", "my-repo/*", Relation.GIVES_WAY),
        ("*-b", "a-*", Relation.SECOND),
        ("a-*", "*-b", Relation.FIRST),
        ("my-repository/*", "my-repo/*", None),
        ("my-repo/train", "my-repo", None),
        ("team/my-repo", "my-repo/*", None),
        (f"{OTHER_HOST}/*", "*", None),
        ("*.dkr.ecr.us-east-1.amazonaws.com/*", "my-repo", Relation.GIVES_WAY),
        ("*.dkr.ecr.us-east-1.amazonaws.com/my-repo", "*", Relation.GIVES_WAY),
        ("my-repo", "*.dkr.ecr.us-east-1.amazonaws.com/*", Relation.KEEPS),
        (f"{OTHER_HOST}/x", "*.dkr.ecr.us-east-1.amazonaws.com/*", None),
        (
            "*.dkr.ecr.us-east-1.amazonaws.com/x/*",
            "*.dkr.ecr.us-east-1.amazonaws.com/x",
            Relation.GIVES_WAY,
        ),
    ],
)
def test_who_keeps_and_who_gives_way(make_entry, around, standing, typed, expected) -> None:
    entry = make_entry(standing if ".dkr" in standing else f"{HOST}/{standing}")
    found = around(typed)
    assert [n.relation for n in found.found] == ([expected] if expected else [])
    assert [n.entry_id for n in found.found] == ([entry.pk] if expected else [])
    assert not found.duplicates and not found.more and not found.cut


@pytest.mark.parametrize(
    ("standing", "typed", "image"),
    [
        ("my-repo/train", "my-repo/*", "my-repo/train"),
        ("my-*/*", "my-repo/*", "my-repo/x"),
        ("*-b", "a-*", "a-b"),
        ("a-*", "*-b", "a-b"),
        ("*.dkr.ecr.us-east-1.amazonaws.com/my-repo", "*", "my-repo"),
    ],
)
def test_the_sentence_is_what_resolving_does(
    acme, make_entry, around, standing, typed, image
) -> None:
    """Told before saving, true after it."""
    standing = standing if ".dkr" in standing else f"{HOST}/{standing}"
    theirs = make_entry(standing)
    (neighbour,) = around(typed).found
    ours = make_entry(f"{HOST}/{typed}")
    served = resolve(acme, ImageReference.parse(f"{HOST}/{image}"))
    keeps = neighbour.relation in {Relation.KEEPS, Relation.FIRST}
    assert served is not None and served.entry == (theirs if keeps else ours)


def test_words() -> None:
    assert Relation.KEEPS == "is more specific and keeps its images."
    assert Relation.GIVES_WAY == "is wider; this entry takes the images that both match."


def test_the_same_pattern_is_what_saving_refuses(make_entry, around) -> None:
    entry = make_entry(f"{HOST}/my-repo/*")
    found = around("my-repo/*")
    (problem,) = found.duplicates
    assert (problem.code, problem.suggestion) == ("duplicate_pattern", str(entry.pk))
    assert found.found == ()
    assert around("my-repo/*", exclude=entry.pk) == Neighbours()


def test_disabled_and_others_entries_dont_count(make_entry, around, umbrella) -> None:
    make_entry(f"{HOST}/my-repo", enabled=False)
    make_entry(f"{HOST}/x", organization=umbrella)
    assert around("*") == Neighbours()
    assert around() == Neighbours()


@pytest.mark.parametrize(
    ("theirs", "ours", "expected"),
    [
        ([], [], ()),
        (["gpu"], [], ("GPU",)),
        ([], ["gpu"], ("GPU",)),
        (["gpu"], ["gpu"], ("GPU",)),
        (["gpu"], ["gpu", "cpu"], ("GPU",)),
        (["cpu", "gpu"], ["gpu", "cpu"], ("CPU", "GPU")),
        (["cpu", "gpu"], [], ("CPU", "GPU")),
        (["gpu"], ["cpu"], None),
    ],
)
def test_environments(make_entry, around, gpu, cpu, theirs, ours, expected) -> None:
    named = {"gpu": gpu, "cpu": cpu}
    make_entry(f"{HOST}/my-repo", environments=[named[slug] for slug in theirs])
    found = around("*", environments=[named[slug] for slug in ours])
    assert [n.where for n in found.found] == ([] if expected is None else [expected])


@pytest.mark.parametrize(
    ("theirs", "ours", "relation"),
    [("gpu", "", Relation.KEEPS), ("", "gpu", Relation.GIVES_WAY)],
)
def test_the_same_pattern_for_other_environments(
    make_entry, around, gpu, theirs, ours, relation
) -> None:
    make_entry(f"{HOST}/*", environments=[gpu] if theirs else [])
    found = around("*", environments=[gpu] if ours else [])
    assert [(n.relation, n.where) for n in found.found] == [(relation, ("GPU",))]
    assert not found.duplicates


def test_a_few_are_shown_and_the_rest_counted(make_entry, around) -> None:
    make_entry([f"{HOST}/a/{i}" for i in range(8)])
    make_entry(f"{HOST}/*")
    found = around("a/*")
    assert list(told(found).values()) == [Relation.KEEPS] * 5 + [Relation.GIVES_WAY]
    assert (found.more, found.cut) == (3, False)


def test_what_is_read_is_bounded(monkeypatch, make_entry, around) -> None:
    monkeypatch.setattr(service, "MAX_ROWS", 4)
    make_entry([f"{HOST}/a/{i}" for i in range(8)])
    make_entry(f"{HOST}/*")
    found = around("a/*")
    assert (len(found.found), found.more, found.cut) == (5, 0, True)
    # the wider one isn't crowded out
    assert told(found)["*"] is Relation.GIVES_WAY


def test_many_patterns_are_bounded(make_entry, around) -> None:
    make_entry([f"{HOST}/r{i:02}/x" for i in range(20)])
    found = around(*(f"r{i:02}/*" for i in range(20)))
    assert len(found.found) + found.more == service.MAX_PATTERNS


def test_each_is_told_once(make_entry, around) -> None:
    make_entry([f"{HOST}/my-repo/train", f"{HOST}/my-repo/base"])
    assert len(around("my-repo/*", "my-*/*", "*").found) == 2


def test_queries_dont_grow(make_entry, around, gpu) -> None:
    counts = []
    for round_ in range(2):
        for i in range(4):
            make_entry(
                [f"{HOST}/a{round_}/{i}", f"{HOST}/a{round_}{i}/*"],
                environments=[gpu] if i % 2 else [],
            )
        make_entry(f"{HOST}/same{round_}/*")
        with CaptureQueriesContext(
            connection,
        ) as queries:
            found = around("*", *(f"same{n}/*" for n in range(round_ + 1)))
        assert len(found.duplicates) == round_ + 1
        counts.append(len(queries))
    assert counts == [2, 2]


def test_no_secret_is_read(make_entry, around) -> None:
    make_entry(f"{HOST}/my-repo")
    with CaptureQueriesContext(connection) as queries:
        around("*")
    assert not any('"secrets"' in query["sql"] for query in queries)


def test_the_index_finds_them(acme, make_entry, around) -> None:
    make_entry(f"{HOST}/my-repo")
    with CaptureQueriesContext(connection) as queries:
        around("my-repo/*")
    if connection.vendor != "sqlite":
        return
    for query in queries:
        with connection.cursor() as cursor:
            cursor.execute(f"EXPLAIN QUERY PLAN {query['sql']}")
            plan = " ".join(str(row[-1]) for row in cursor.fetchall())
        assert "SCAN orgs_matchpattern" not in plan, plan


def test_disabling_frees(make_entry, around, actor) -> None:
    entry = make_entry(f"{HOST}/my-repo")
    door.entry_set_enabled(entry=entry, actor=actor, enabled=False)
    assert around("*").found == ()
