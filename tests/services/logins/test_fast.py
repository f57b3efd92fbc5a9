"""The fast path gives what the whole way gives, or nothing: on random organizations, and
between two requests of one connection."""

from __future__ import annotations

import json
import os
import random
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import timedelta

import pytest
from django.db import connection, transaction
from django.db.models.functions import Now
from django.test.utils import CaptureQueriesContext

from orgs import access, sealed
from orgs.models import (
    AuditEvent,
    CachedLogin,
    Environment,
    IndexedPattern,
    Organization,
    Project,
    RegistryEntry,
    WorkerToken,
    cached_login_context,
)
from orgs.registries.images import ImageReference
from orgs.registries.patterns import MatchPattern
from orgs.registries.problems import Failed
from orgs.services.audit import events
from orgs.services.entries import door
from orgs.services.entries.changing import EntryChange
from orgs.services.logins import fast, issuing, reading, resolve
from orgs.services.tenancy import projects, tokens
from tests.conftest import HOST
from tests.services.logins.test_resolve import plant

# `RANDOM_ORGANIZATIONS=10000` for a night's worth.
RANDOM = int(os.environ.get("RANDOM_ORGANIZATIONS", "150"))
WILD = "*" + HOST[12:]
OTHER = HOST.replace("1234", "9999")
SEGMENTS = ("a", "b", "ab", "a-b", "train")
WILD_SEGMENTS = (*SEGMENTS, "*", "a*", "*b", "a*b")
LATELY = Now() - timedelta(minutes=1)


# --- random organizations -------------------------------------------------------


@dataclass
class World:
    """One organization, whatever stands in it, and who asks there."""

    organization: Organization
    project: Project
    environments: list[Environment]
    token: WorkerToken
    text: str


def pattern(rng: random.Random) -> str:
    path = [rng.choice(WILD_SEGMENTS) for _ in range(rng.randint(0, 3))]
    if not path or rng.random() < 0.5:
        path.append("*")
    return f"{rng.choice([HOST, HOST, OTHER, WILD])}/{'/'.join(path)}"


def world(rng: random.Random, number: int) -> World:
    organization = Organization.objects.create(name=f"O{number}", slug=f"random-{number}")
    environments = [
        Environment.objects.create(organization=organization, name=name, slug=name)
        for name in rng.sample(["gpu", "cpu", "spare"], rng.randint(0, 3))
    ]
    taken: set[tuple[str, int | None]] = set()
    entries, rows, logins = [], [], []
    for _ in range(rng.randint(0, 7)):
        entry = RegistryEntry(
            id=uuid.UUID(int=rng.getrandbits(128)),
            organization=organization,
            registry_type="aws-ecr",
            config={"region": "us-east-1"},
            enabled=rng.random() < 0.8,
            last_used_at=LATELY,
        )
        entries.append(entry)
        where = rng.sample(environments, rng.randint(0, len(environments))) or [None]
        for position, text in enumerate({pattern(rng) for _ in range(rng.randint(1, 3))}):
            parsed = MatchPattern.parse(text)
            for environment in where:
                place = (str(parsed), environment.pk if environment else None)
                if entry.enabled and place in taken:
                    continue
                taken |= {place} if entry.enabled else set()
                rows.append(
                    IndexedPattern(
                        organization=organization, entry=entry, environment=environment,
                        enabled=entry.enabled, text=text, normalized=str(parsed),
                        host=parsed.authority, prefix=parsed.literal_prefix,
                        wildcard_host=parsed.host_is_wildcard,
                        wildcard_path=parsed.has_wildcard_path, position=position,
                    )
                )  # fmt: skip
        login = json.dumps(["AWS", f"login of {entry.pk}"])
        logins.append(
            CachedLogin(
                entry=entry,
                login=sealed.seal(login, cached_login_context(entry.pk, "")),
                credentials_version=1,
                expires_at=Now() + timedelta(hours=11),
                refresh_after=Now() + timedelta(hours=5),
            )
        )
    RegistryEntry.objects.bulk_create(entries)
    IndexedPattern.objects.bulk_create(rows)
    CachedLogin.objects.bulk_create(logins)
    kind = rng.choice(["bound", "any", "none"])
    bound = rng.choice(environments) if kind == "bound" and environments else None
    text = f"vrw_{number:016x}_{rng.getrandbits(256):064x}"
    token = WorkerToken.objects.create(
        organization=organization, name="w", key_id=f"{number:016x}", digest=tokens.digest(text),
        environment=bound, any_environment=kind == "any", last_used_at=LATELY,
    )  # fmt: skip
    project = Project.objects.create(name="p", organization=organization)
    return World(organization, project, environments, token, text)


def judged(found: World, image: ImageReference, slug: str) -> tuple[uuid.UUID, str] | None:
    """The entry and its pattern, as `explain` has it; None for any refusal."""
    try:
        _, environment = access.project_for_worker(found.token, found.project.pk, slug)
    except Failed:
        return None
    served = resolve.explain(found.organization, image, environment).served
    return (served.entry.pk, served.pattern) if served else None


@pytest.mark.django_db
def test_random_organizations() -> None:
    rng = random.Random(7)
    served = 0
    for number in range(RANDOM):
        found = world(rng, number)
        for _ in range(4):
            path = "/".join(rng.choice(SEGMENTS) for _ in range(rng.randint(1, 4)))
            image = ImageReference.parse(f"{rng.choice([HOST, OTHER])}/{path}:v1")
            slug = rng.choice(["", "", "gpu", "cpu", "nowhere"])
            standing = fast.standing(
                token=found.text, project=found.project.pk, image=image, environment=slug,
                address=None,
            )  # fmt: skip
            expected = judged(found, image, slug)
            if standing is None:
                assert expected is None, (number, image, slug)
                continue
            told = standing.answer
            assert (told.served.entry_id, told.served.pattern) == expected, (number, image, slug)
            assert told.login.password == f"login of {told.served.entry_id}"
            served += 1
    assert served > RANDOM // 2


# --- over HTTP --------------------------------------------------------------------


@pytest.fixture
def gone_whole(monkeypatch) -> Iterator[list[int]]:
    """How often somebody went the whole way."""
    went: list[int] = []
    whole = issuing.login_for

    def counted(**given):
        went.append(1)
        return whole(**given)

    monkeypatch.setattr(issuing, "login_for", counted)
    yield went


@pytest.fixture
def standing(aws, make_entry, project, acme, actor, client) -> Callable[[], tuple[int, dict]]:
    """Asks for an image that is served, over HTTP; its login is at hand."""
    key_id, secret = aws.create_user("valohai", aws.policy())
    make_entry(config={"access_key_id": key_id}, secrets={"secret_access_key": secret})
    _, text = tokens.token_issue_worker(organization=acme, name="w", actor=actor)

    def ask(**more: str) -> tuple[int, dict]:
        body = {"project": str(project.pk), "image": f"{HOST}/my-ml-image:v1.0"} | more
        answer = client.post(
            "/api/v0/docker-login/", json.dumps(body), content_type="application/json",
            headers={"Authorization": f"Token {text}"},
        )  # fmt: skip
        return answer.status_code, answer.json()

    assert ask()[0] == 200
    return ask


pytestmark = pytest.mark.django_db(transaction=True)


def test_one_read_one_write_and_the_same_answer(standing, gone_whole, monkeypatch):
    with CaptureQueriesContext(connection) as captured:
        status, quick = standing()
    begun = [query["sql"].split()[0] for query in captured]
    assert status == 200 and not gone_whole
    if connection.vendor == "postgresql":
        assert begun[-2:] == ["EXECUTE", "INSERT"] and len(begun) <= 3  # prepared once
    else:
        assert begun == ["WITH", "INSERT"]
    monkeypatch.setattr(fast, "standing", lambda **given: None)
    status, slow = standing()
    assert gone_whole and status == 200
    assert quick.pop("refresh_at")[:15] == slow.pop("refresh_at")[:15]
    assert quick == slow
    of_slow, of_quick = AuditEvent.objects.order_by("-pk").values()[:2]
    assert of_slow["properties"].pop("request") != of_quick["properties"].pop("request")
    different = {name for name in of_slow if of_slow[name] != of_quick[name]}
    assert different <= {"id", "at"}


def _revoke(acme, actor, **rest):
    tokens.token_revoke(token=WorkerToken.objects.get(), actor=actor)
    return 401, "token_revoked"


def _expire(**rest):
    WorkerToken.objects.update(expires_at=Now() - timedelta(seconds=1))
    return 401, "token_expired"


def _disable(actor, **rest):
    door.entry_update(
        entry=RegistryEntry.objects.get(), actor=actor, change=EntryChange(enabled=False)
    )
    return 404, "no_match"


def _narrow(actor, **rest):
    change = EntryChange(patterns=[f"{HOST}/other/*"])
    door.entry_update(entry=RegistryEntry.objects.get(), actor=actor, change=change)
    return 404, "no_match"


def _delete(actor, **rest):
    door.entry_delete(entry=RegistryEntry.objects.get(), actor=actor)
    return 404, "no_match"


def _move(project, **rest):
    elsewhere = Organization.objects.create(name="Else", slug="else")
    Project.objects.filter(pk=project.pk).update(organization=elsewhere)
    return 404, "project_not_found"


def _make_personal(project, alice, **rest):
    Project.objects.filter(pk=project.pk).update(organization=None, user=alice)
    return 403, "personal_project"


def _archive(project, actor, **rest):
    projects.project_archive(project=project, actor=actor)
    return 404, "project_not_found"


def _break_the_key(aws, **rest):
    CachedLogin.objects.update(credentials_version=0)
    aws.fault("denied")
    return 422, "access_denied"


def _forbid_the_environment(gpu, **rest):
    WorkerToken.objects.update(environment=gpu)
    return 403, "environment_not_allowed"


CHANGES = [
    _revoke, _expire, _disable, _narrow, _delete, _move, _make_personal, _archive, _break_the_key,
    _forbid_the_environment,
]  # fmt: skip


@pytest.mark.parametrize("change", CHANGES)
def test_what_changed_counts_from_the_next_request_on(
    change, standing, gone_whole, acme, actor, project, alice, aws, gpu
):
    assert standing()[0] == 200 and not gone_whole
    expected = change(acme=acme, actor=actor, project=project, alice=alice, aws=aws, gpu=gpu)
    status, told = standing(environment="cpu") if change is _forbid_the_environment else standing()
    assert (status, told["code"]) == expected


def test_a_secret_that_was_replaced_is_not_given_any_more(standing, aws, actor, gone_whole):
    _, before = standing()
    key_id, secret = aws.create_user("another", aws.policy())
    change = EntryChange(
        config={"access_key_id": key_id, "region": "us-east-1"},
        secrets={"secret_access_key": secret},
    )
    door.entry_update(entry=RegistryEntry.objects.get(), actor=actor, change=change)
    assert standing()[1]["password"] != before["password"] and gone_whole


def test_a_login_of_another_row_does_not_open(standing, gone_whole):
    """Ciphertext that was copied is sealed for where it came from."""
    CachedLogin.objects.update(
        login=sealed.seal('["AWS", "stolen"]', cached_login_context(uuid.uuid4(), ""))
    )
    status, told = standing()
    assert (status, gone_whole) == (200, [1]) and told["password"] != "stolen"


@pytest.mark.parametrize(
    "body",
    [
        '{"project": 1}', "[]", "", "{", '{"image": "a/b", "image": "a/b"}', '{"image": null}',
        '{"project": "x", "image": "a/b"}', '{"x": 1}', '{"image": "\\ud800/b"}', "[" * 9000,
    ],
)  # fmt: skip
def test_what_is_odd_goes_the_whole_way(body, client, standing):
    answer = client.post("/api/v0/docker-login/", body, content_type="application/json")
    assert answer.status_code == 401
    token = {"Authorization": f"Token vrw_{'0' * 16}_{'0' * 64}"}
    answer = client.post(
        "/api/v0/docker-login/", body, content_type="application/json", headers=token
    )
    assert answer.status_code == 401


def test_no_event_no_login(standing, monkeypatch):
    from django.db import OperationalError

    def fail(found):
        raise OperationalError("disk full")

    monkeypatch.setattr(events, "insert", fail)
    status, told = standing()
    assert (status, told["code"]) == (503, "audit_unavailable") and "password" not in told


# --- PostgreSQL's prepared statement ---------------------------------------------


@pytest.fixture
def on_postgresql_only():
    if connection.vendor != "postgresql":
        pytest.skip("PostgreSQL's own")


def test_a_pooler_that_forgets_costs_nothing_but_time(on_postgresql_only, standing, monkeypatch):
    monkeypatch.setattr(reading, "_poolers", set())
    assert standing()[0] == 200
    with connection.cursor() as cursor:
        cursor.execute("DEALLOCATE ALL")
    assert standing()[0] == 200 and reading._poolers == {"default"}
    assert standing()[0] == 200


def test_a_connection_that_was_cut_is_made_anew(on_postgresql_only, standing):
    standing()
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_backend_pid()")
        (pid,) = cursor.fetchone()
    other = connection.copy()
    with other.cursor() as cursor:
        cursor.execute("SELECT pg_terminate_backend(%s)", [pid])
    other.close()
    assert standing()[0] == 200


@pytest.mark.django_db
@pytest.mark.parametrize("prepared", [True, False])
def test_statistics_of_an_empty_table_make_no_read_long(on_postgresql_only, prepared) -> None:
    """As autovacuum leaves them that came between emptying a table and filling it. Left to
    choose the order, PostgreSQL read seconds long where there were 40,000 patterns."""
    emptied = transaction.savepoint()
    plant(Organization.objects.create(name="before", slug="before"), 5_000)
    transaction.savepoint_rollback(emptied)
    with connection.cursor() as cursor:
        cursor.execute("ANALYZE")
    found = world(random.Random(7), 7)
    plant(found.organization, 5_000, analyze=False)
    given = [found.token.key_id, found.project.pk, "", [HOST, WILD], ["", "a", "team-7"]]
    given += [HOST, f"{HOST}/a"]
    sql = reading._arrays()
    with connection.cursor() as cursor:
        if prepared:
            cursor.execute("SET LOCAL plan_cache_mode = force_generic_plan")
            types = "text, uuid, text, text[], text[], text, text"
            cursor.execute(f"PREPARE again ({types}) AS {reading._numbered()}")
            sql = "EXECUTE again (%s, %s, %s, %s, %s, %s, %s)"
        cursor.execute(f"EXPLAIN (ANALYZE, BUFFERS, FORMAT JSON) {sql}", given)
        ((told,),) = cursor.fetchall()
        if prepared:
            cursor.execute("DEALLOCATE again")
    # Table by table for each pattern would be several pages each.
    assert told[0]["Plan"]["Shared Hit Blocks"] < 5_000 / 2


def test_its_plan_goes_by_indexes(on_postgresql_only, standing):
    standing()
    with connection.cursor() as cursor:
        cursor.execute(
            "EXPLAIN EXECUTE standing ('', %s, '', %s, %s, '', '')", [uuid.uuid4(), [HOST], [""]]
        )
        plan = "\n".join(row[0] for row in cursor.fetchall())
    assert "Seq Scan" not in plan and "pattern_lookup" in plan
