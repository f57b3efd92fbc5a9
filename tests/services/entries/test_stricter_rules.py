"""When rules get stricter: what a former version stored (`tests/former`, made by its own code)
goes on, through every face; a new rule meets what changes, and nothing else."""

from __future__ import annotations

import io
import json
from collections.abc import Iterator
from dataclasses import replace

import pytest
from django.core.management import call_command
from django.test import Client
from django.urls import reverse
from moto.iam.models import iam_backends

from orgs.models import Membership, Organization, Project, RegistryEntry
from orgs.registries import docker
from orgs.registries.images import ImageReference
from orgs.registries.patterns import InvalidPattern, MatchPattern
from orgs.registries.problems import Problem, Refused
from orgs.registries.types import DockerLogin, InstanceRoleLogin
from orgs.services.bulk import exporting, importing
from orgs.services.bulk.files import Rows
from orgs.services.entries import door
from orgs.services.entries.changing import EntryChange
from orgs.services.entries.validating import revealed, told_today
from orgs.services.logins import issuing
from orgs.services.tenancy import tokens
from orgs.services.upstream import calls
from orgs.services.verification import many, verifying
from tests.api.conftest import Api
from tests.conftest import make_user
from tests.former import cases
from tests.former.cases import CASES
from tests.support import PROJECT_ROOT
from tests.support.aws_app import ACCOUNT
from tests.support.fake_aws import FakeAws

pytestmark = pytest.mark.django_db(transaction=True)
URL = "/api/v0/registry-credentials/"


@pytest.fixture
def former(db, settings) -> Organization:
    """The organization as the former version left it."""
    settings.FERNET_KEYS = [cases.KEY]
    call_command("loaddata", PROJECT_ROOT / "tests/former/database.json", verbosity=0)
    return Organization.objects.get(slug="former")


@pytest.fixture
def owner(former):
    user = make_user("olga@example.com", "Olga", is_staff=True, is_superuser=True)
    Membership.objects.create(organization=former, user=user, role="admin")
    return user


@pytest.fixture
def api(owner, actor) -> Api:
    return Api(tokens.token_issue_api(user=owner, name="script", actor=actor)[1])


@pytest.fixture
def web(owner) -> Client:
    client = Client()
    client.force_login(owner)
    return client


def stored(former) -> Iterator[tuple[cases.Case, RegistryEntry]]:
    found = {entry.note: entry for entry in RegistryEntry.objects.filter(organization=former)}
    assert found.keys() == CASES.keys()
    for name, case in CASES.items():
        yield case, found[name]


def as_it_was(entry: RegistryEntry) -> tuple[object, ...]:
    entry = RegistryEntry.objects.get(pk=entry.pk)
    return entry.config, entry.pattern_texts, revealed(entry), entry.registry_type


def test_what_is_told_of_each_today(former) -> None:
    for case, entry in stored(former):
        assert tuple((p.field, p.code) for p in told_today(entry)) == case.told, entry.note
        for problem in told_today(entry):
            assert cases.SECRET[:20] not in str(problem) and problem.fix


def _known(aws: FakeAws, key_id: str, secret: str, name: str) -> None:
    """Have AWS know this key, whatever it looks like."""
    made, _ = aws.create_user(name, aws.policy())
    tables = iam_backends[ACCOUNT]["aws"]
    key = tables.access_keys.pop(made)
    key.access_key_id, key.secret_access_key = key_id, secret
    tables.access_keys[key_id] = key


def test_each_logs_in(former, aws, actor) -> None:
    project = Project.objects.create(name="jobs", organization=former)
    for case, entry in stored(former):
        if case.type == "aws-ecr":
            users = iam_backends[ACCOUNT]["aws"].users
            for name in list(users):  # several cases have one key ID
                users.pop(name)
            secret = case.secrets["secret_access_key"]
            _known(aws, case.config["access_key_id"], secret, f"user-{entry.pk}")
        image = ImageReference.parse(case.image)
        login = issuing.login_for(project=project, image=image, actor=actor).login
        if case.type == "docker":
            assert login == DockerLogin(case.config["username"], case.secrets["password"], None)
        elif case.type == "aws-ecr":
            assert login.username == "AWS" and login.password in aws.tokens
        else:
            assert login == InstanceRoleLogin(case.config["role_name"], "us-east-1")


def test_each_is_noted_disabled_and_enabled_by_the_api(former, api) -> None:
    for case, entry in stored(former):
        before, at = as_it_was(entry), f"{URL}{entry.pk}/"
        read = api.get(at).json()
        # What a script has repeats itself: with its secret, and without.
        configuration = {"version": "1", **case.config}
        put = {"type": case.type, "image_pattern": case.pattern, "configuration": configuration}
        for body in (put, put | {"configuration": configuration | case.secrets}):
            answer = api.send("PUT", at, body)
            assert (answer.status_code, answer.json()) == (200, read), (entry.note, answer.json())
        for change in (
            {"note": "noted"},
            {"enabled": False},
            {"enabled": True},
            {"enabled": False, "note": "both", "configuration": case.config},
            put | {"enabled": True, "note": "noted again"},
        ):
            answer = api.send("PATCH", at, change)
            assert answer.status_code == 200, (entry.note, change, answer.json())
        assert as_it_was(entry) == before
        assert answer.json()["note"] == "noted again" and answer.json()["enabled"]


@pytest.mark.parametrize("staff", [False, True], ids=["web", "admin"])
def test_each_is_shown_noted_disabled_and_enabled_on_pages(staff, former, web) -> None:
    for case, entry in stored(former):
        before, own = as_it_was(entry), [former.slug, entry.pk]
        page = reverse("entry", args=own)
        edit = reverse("entry_edit", args=own)
        if staff:
            page = edit = reverse("admin:orgs_registryentry_change", args=[entry.pk])
        shown = web.get(page).content.decode()
        assert ("Saved under older rules." in shown) == bool(case.told), entry.note
        assert cases.SECRET not in shown and cases.SECRET[3:30] not in shown
        form = {name: value for name, value in case.config.items() if value}
        form |= {"patterns": case.pattern, "registry_type": case.type, "note": "noted"}
        for enabled in ({"enabled": "on"}, {}, {"enabled": "on"}):
            answer = web.post(edit, form | enabled)
            assert answer.status_code == 302, (entry.note, answer.content.decode()[-3000:])
        assert web.post(reverse("entry_disable", args=own)).status_code == 302
        assert web.post(reverse("entry_enable", args=own)).status_code == 302
        assert as_it_was(entry) == before
        entry.refresh_from_db()
        assert entry.note == "noted" and entry.enabled


@pytest.mark.parametrize("format", ["csv", "json", "yaml"])
@pytest.mark.parametrize("update", [False, True])
def test_all_are_exported_and_import_finds_them_unchanged(format, update, former) -> None:
    text = "".join(exporting.export(exporting.entries_of(former), format))
    report = importing.plan(
        organization=former, rows=Rows(io.BytesIO(text.encode()), format), update=update
    )
    assert not report.errors, report.errors
    assert (report.unchanged, report.rows) == (len(CASES), len(CASES))


def test_import_finds_them_unchanged_with_their_secrets(former, actor) -> None:
    told = json.loads("".join(exporting.export(exporting.entries_of(former), "json")))
    for row in told:
        row["configuration"] |= CASES[row["note"]].secrets
    rows = Rows(io.BytesIO(json.dumps(told).encode()), "json")
    report = importing.apply(organization=former, rows=rows, actor=actor, update=True)
    assert not report.errors, report.errors
    assert report.unchanged == len(CASES)
    told[0]["note"] = "other"
    for row in told[1:]:
        row["note"] += "!"
    rows = Rows(io.BytesIO(json.dumps(told).encode()), "json")
    report = importing.apply(organization=former, rows=rows, actor=actor, update=True)
    assert not report.errors and report.updated == len(CASES)


def test_each_is_verified(former, aws, actor, internet, monkeypatch) -> None:
    """What a registry or AWS says of it is told, and nothing that rules say."""
    monkeypatch.setattr(calls, "PAUSES", {})
    entries = [entry for case, entry in stored(former) if case.type != "aws-ecr-role"]
    found = list(many.verify_in_turn(entries, actor))
    assert len(found) == len(entries)
    for entry, report in found:
        assert isinstance(report, verifying.Report), (entry.note, report)
        failed = {step.code for step in report.steps}
        assert not failed & {"entry_unusable", "secret_shape", "key_id_shape"}, entry.note


# --- and what changes is judged -----------------------------------------------------------

GOOD = {"access_key_id": cases.KEY_ID}
CHANGED = {
    "39 characters": {"secrets": {"secret_access_key": cases.SECRET[:-2]}},
    "quotation marks": {"secrets": {"secret_access_key": f'"{cases.SECRET[:-1]}"'}},
    "small letters": {
        "config": {"access_key_id": cases.KEY_ID.lower()[:-1] + "x"},
        "secrets": {"secret_access_key": cases.SECRET},
    },
    "both": {"config": GOOD, "secrets": {"secret_access_key": cases.SECRET[:-2]}},
    "an id as a role": {"config": {"role_name": "AROAIOSFODNN7EXAMPLEY"}},
    "Google's": {"config": {"username": "_dcgcloud_token"}, "secrets": {"password": "x"}},
    "GitHub's": {"secrets": {"password": f"ghs_{cases.SECRET}x"}},
    "a job's": {"secrets": {"password": f"glcbt-{cases.SECRET}"}, "config": {"username": "job"}},
    "what can't be seen": {"secrets": {"password": f"\u200b{cases.SECRET}"}},
}


@pytest.mark.parametrize("name", CHANGED)
def test_what_changes_is_judged(name, former, actor) -> None:
    entry = RegistryEntry.objects.get(organization=former, note=name)
    before = as_it_was(entry)
    with pytest.raises(Refused) as refused:
        door.entry_update(entry=entry, actor=actor, change=EntryChange(**CHANGED[name]))
    changed = {n for part in CHANGED[name].values() for n in part}
    assert {p.field for p in refused.value.problems} <= changed
    assert as_it_was(entry) == before and cases.SECRET[:20] not in str(refused.value)


def test_a_new_login_of_an_old_username(former, actor) -> None:
    """Whoever changes it each hour by a script goes on doing so."""
    entry = RegistryEntry.objects.get(organization=former, note="Google's")
    change = EntryChange(secrets={"password": "the next"})
    door.entry_update(entry=entry, actor=actor, change=change)
    assert as_it_was(entry)[2] == {"password": "the next"}


def test_what_is_right_now_is_told_no_more(former, actor, new_keys_work) -> None:
    entry = RegistryEntry.objects.get(organization=former, note="both")
    good = {"config": GOOD, "secrets": {"secret_access_key": cases.SECRET}}
    entry = door.entry_update(entry=entry, actor=actor, change=EntryChange(**good))
    assert told_today(entry) == []


# --- patterns, by rules of the future --------------------------------------------------------


@pytest.fixture(params=["the type's", "the parser's"])
def stricter(request, former, monkeypatch) -> None:
    """Nothing of registry.example.com is taken any more."""
    refusal = Problem("wildcard_host", "Not that host.", "Write another.", "patterns")
    if request.param == "the type's":

        def problems(patterns):
            return [refusal for pattern in patterns if pattern.host == "registry.example.com"]

        monkeypatch.setattr(docker, "_host_problems", problems)
        return
    parse = MatchPattern.parse.__func__

    def parsed(cls, text):
        if text.startswith("registry.example.com"):
            raise InvalidPattern(replace(refusal, code="invalid_pattern"))
        return parse(cls, text)

    monkeypatch.setattr(MatchPattern, "parse", classmethod(parsed))


def test_a_pattern_that_stands_goes_on_and_its_like_doesnt_come(stricter, former, actor) -> None:
    entry = RegistryEntry.objects.get(organization=former, note="a password")
    (pattern,) = entry.pattern_texts
    assert len(told_today(entry)) == 1
    for change in (
        EntryChange(note="noted"),
        EntryChange(enabled=False),
        EntryChange(enabled=True, patterns=[pattern]),
        EntryChange(secrets={"password": "another"}),
        EntryChange(patterns=[pattern, "other.example.com/*"], secrets={"password": "another"}),
        EntryChange(patterns=[pattern]),
    ):
        entry = door.entry_update(entry=entry, actor=actor, change=change)
        assert entry.pattern_texts[0] == pattern
    door.entry_set_enabled(entry=entry, actor=actor, enabled=False)
    door.entry_set_enabled(entry=entry, actor=actor, enabled=True)
    row = entry.patterns.get()
    assert (row.host, row.prefix, row.enabled) == ("registry.example.com:5000", "team", True)
    for patterns in ([pattern, "registry.example.com/*"], ["registry.example.com/*"]):
        change = EntryChange(patterns=patterns, secrets={"password": "x"})
        with pytest.raises(Refused) as refused:
            door.entry_update(entry=entry, actor=actor, change=change)
        assert [p.field for p in refused.value.problems] == ["patterns"]
