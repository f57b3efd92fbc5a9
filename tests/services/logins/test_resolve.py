"""Which entry wins, and that finding it costs the same among 10 and 20,000."""

import uuid

import pytest
from django.db import connection
from django.db.models import AutoField
from django.test.utils import CaptureQueriesContext
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from orgs.models import IndexedPattern, Organization, RegistryEntry
from orgs.registries.images import ImageReference
from orgs.registries.patterns import MatchPattern
from orgs.services.entries import door
from orgs.services.logins import resolve
from tests.conftest import HOST

pytestmark = pytest.mark.django_db

OTHER = HOST.replace("us-east-1", "eu-west-1")


def winner(organization, image, environment=None):
    served = resolve.resolve(organization, ImageReference.parse(image), environment)
    return served.pattern if served else None


@pytest.mark.parametrize(
    ("image", "pattern"),
    [
        (f"{HOST}/my-repo:v1", f"{HOST}/my-repo/*"),
        (f"{HOST}/my-repo/train:v1", f"{HOST}/my-repo/*"),
        (f"{HOST}/my-repository:v1", f"{HOST}/my-*"),
        (f"{HOST}/my-repo/exact", f"{HOST}/my-repo/exact"),
        (f"{HOST}/my-repo/exact/deeper", f"{HOST}/my-repo/*"),
        (f"{HOST}/else/where", f"{HOST}/*"),
        (f"{HOST.replace('123456789012', '999999999999')}/x", "*" + HOST[12:] + "/*"),
        (f"{OTHER}/x", None),
        ("my-repo", None),
        (f"{HOST}.evil.com/my-repo", None),
    ],
)
def test_the_most_specific_wins(make_entry, acme, image, pattern):
    for text in (
        "*" + HOST[12:] + "/*",
        f"{HOST}/*",
        f"{HOST}/my-*",
        f"{HOST}/my-repo/*",
        f"{HOST}/my-repo/exact",
    ):
        make_entry(text)
    assert winner(acme, image) == pattern


def test_environment_entries_serve_only_there_and_win_there(make_entry, acme, gpu):
    everywhere = make_entry()
    limited = make_entry(environments=[gpu])
    image = ImageReference.parse(f"{HOST}/x")
    assert resolve.resolve(acme, image).entry == everywhere
    assert resolve.resolve(acme, image, gpu).entry == limited


def test_more_literal_beats_the_environment(make_entry, acme, gpu):
    make_entry(environments=[gpu])
    make_entry(f"{HOST}/x/*")
    assert winner(acme, f"{HOST}/x", gpu) == f"{HOST}/x/*"


def test_disabled_entries_serve_nothing(make_entry, acme, actor):
    entry = make_entry()
    door.entry_set_enabled(entry=entry, actor=actor, enabled=False)
    assert winner(acme, f"{HOST}/x") is None


def test_another_organization_is_never_asked(make_entry, acme, umbrella):
    make_entry(organization=umbrella)
    assert winner(acme, f"{HOST}/x") is None


def test_explain_tells_every_candidate(make_entry, acme, gpu, actor):
    make_entry(f"{HOST}/*")
    make_entry(f"{HOST}/my-repo/*")
    make_entry(f"{HOST}/other/*")
    make_entry(f"{HOST}/my-repo/*", environments=[gpu])
    off = make_entry(f"{HOST}/my-repo")
    door.entry_set_enabled(entry=off, actor=actor, enabled=False)
    found = resolve.explain(acme, ImageReference.parse(f"{HOST}/my-repo:v1"))
    told = [(c.row.text, c.row.environment, c.verdict.value) for c in found.candidates]
    assert told == [
        (f"{HOST}/my-repo/*", None, "serves it"),
        (f"{HOST}/*", None, "less specific"),
        (f"{HOST}/other/*", None, "other repository"),
        (f"{HOST}/my-repo/*", gpu, "other environment"),
        (f"{HOST}/my-repo", None, "disabled"),
    ]
    assert found.served.pattern == f"{HOST}/my-repo/*"


def plant(organization, count, start=0, analyze=True):
    """Entries with one pattern each, written straight into the tables, and analyzed.

    PostgreSQL does that by itself within a minute of so many new rows; until then
    it takes the tables for tiny and reads another index.

    The models write the first; the others are copies that the database makes by itself, as
    twenty thousand objects take seconds.
    """
    if not count:
        return
    entry = RegistryEntry.objects.create(organization=organization, registry_type="aws-ecr")
    pattern = MatchPattern.parse(f"{HOST}/team-{start}/*")
    row = IndexedPattern.objects.create(
        organization=organization,
        entry=entry,
        enabled=True,
        text=str(pattern),
        normalized=str(pattern),
        host=pattern.authority,
        prefix=pattern.literal_prefix,
        wildcard_host=False,
        wildcard_path=True,
        position=0,
    )
    named = {
        name: f"replace({name}, 'team-{start}', 'team-' || i)"
        for name in ("text", "normalized", "prefix")
    }
    numbered = "printf('%032x', i)"
    if connection.vendor == "postgresql":
        numbered = "lpad(to_hex(i), 32, '0')::uuid"
    copy(entry, start + 1, start + count, {"id": numbered})
    copy(row, start + 1, start + count, named | {"entry_id": numbered})
    if analyze:
        with connection.cursor() as cursor:
            cursor.execute("ANALYZE")


def copy(row, first, end, instead):
    """The row again for each number `i` from the first on, with these expressions of `i`."""
    fields = [f for f in row._meta.concrete_fields if not isinstance(f, AutoField)]
    columns = [field.column for field in fields]
    taken = [instead.get(column, column) for column in columns]
    with connection.cursor() as cursor:
        cursor.execute(
            f"WITH RECURSIVE numbers(i) AS (SELECT %s UNION ALL SELECT i + 1 FROM numbers "
            f"WHERE i + 1 < %s) INSERT INTO {row._meta.db_table} ({', '.join(columns)}) "
            f"SELECT {', '.join(taken)} FROM {row._meta.db_table}, numbers "
            f"WHERE id = %s AND i < %s".replace("%032x", "%%032x"),
            [first, end, row._meta.pk.get_db_prep_value(row.pk, connection), end],
        )


def test_twenty_thousand_entries_cost_what_ten_do(acme):
    plant(acme, 10)
    costs = []
    for more in (0, 19_990):
        plant(acme, more, start=10)
        with CaptureQueriesContext(
            connection,
        ) as queries:
            assert winner(acme, f"{HOST}/team-7/train:v2") == f"{HOST}/team-7/*"
        costs.append(len(queries))
    assert costs == [1, 1]
    assert uses_index(acme)


def uses_index(organization):
    """The plan of the one query reads the lookup index and never scans."""
    rows = resolve._rows(organization, ImageReference.parse(f"{HOST}/team-7/x"))
    plan = rows.filter(enabled=True).explain()
    return (
        "pattern_lookup" in plan
        and "SCAN orgs_matchpattern" not in plan
        and ("Seq Scan on orgs_matchpattern" not in plan)
    )


segment = st.sampled_from(["a", "b", "ab", "a-b", "train", "*", "a*", "*b", "a*b"])
paths = st.lists(segment, min_size=1, max_size=3).map("/".join)
literal = st.lists(st.sampled_from(["a", "b", "ab", "a-b", "train"]), min_size=1, max_size=4)


@settings(
    max_examples=60,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(texts=st.lists(paths, min_size=1, max_size=6, unique=True), image=literal.map("/".join))
def test_resolve_agrees_with_a_scan_and_never_leaves_the_organization(db, texts, image):
    """The index finds what looking at every pattern would, and only of this organization."""
    ours, theirs = (
        Organization.objects.create(name=name, slug=f"{name}-{uuid.uuid4()}") for name in "ab"
    )
    patterns = [MatchPattern.parse(f"{HOST}/{text}") for text in texts]
    for organization in (ours, theirs):
        entry = RegistryEntry.objects.create(organization=organization, registry_type="aws-ecr")
        IndexedPattern.objects.bulk_create(
            IndexedPattern(
                organization=organization,
                entry=entry,
                enabled=True,
                text=str(p),
                normalized=str(p),
                host=p.authority,
                prefix=p.literal_prefix,
                wildcard_host=p.host_is_wildcard,
                wildcard_path=p.has_wildcard_path,
                position=0,
            )
            for p in {str(p): p for p in patterns}.values()
        )
    asked = ImageReference.parse(f"{HOST}/{image}")
    served = resolve.resolve(ours, asked)
    matching = [p for p in patterns if p.matches(asked)]
    best = max(matching, key=lambda p: p.specificity, default=None)
    assert (served.pattern if served else None) == (str(best) if best else None)
    if served:
        assert served.entry.organization_id == ours.pk
