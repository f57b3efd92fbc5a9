"""Who am I, and what workers report of instance roles."""

from __future__ import annotations

import uuid
from datetime import timedelta

import pytest
from django.utils import timezone

from orgs.models import AuditEvent, Membership, Project, RegistryEntry, Repeat
from orgs.services.entries import door
from orgs.services.entries.validating import EntrySpec
from orgs.services.tenancy import tokens
from tests.conftest import HOST, changed_to

from .conftest import IMAGE, LOGIN, Api, refused

pytestmark = pytest.mark.django_db(transaction=True)

ME = "/api/v0/me/"
OUTCOME = f"{LOGIN}outcome/"


# --- me ------------------------------------------------------------------------------


def test_a_worker_is_its_organizations(worker, acme):
    assert worker.get(ME).json() == {
        "kind": "worker",
        "name": "gpu workers",
        "organizations": [{"id": acme.pk, "slug": "acme", "name": "Acme", "role": "worker"}],
    }


@pytest.fixture
def both(alice, acme, umbrella):
    """Alice, admin of Acme, is a member of Umbrella too."""
    Membership.objects.create(organization=umbrella, user=alice, role="member")
    return alice


def me(text):
    told = Api(text).get(ME).json()
    return told["kind"], told["name"], [(o["slug"], o["role"]) for o in told["organizations"]]


def test_a_person_is_told_their_organizations(both, charlie, actor):
    _, text = tokens.token_issue_api(user=both, name="script", actor=actor)
    assert me(text) == ("user", "Alice", [("acme", "admin"), ("umbrella", "member")])


def test_a_narrowed_token_reaches_one(both, umbrella, actor):
    _, text = tokens.token_issue_api(user=both, name="x", actor=actor, organization=umbrella)
    assert me(text)[2] == [("umbrella", "member")]


def test_leaving_ends_it(both, acme, umbrella, actor):
    _, wide = tokens.token_issue_api(user=both, name="wide", actor=actor)
    _, narrow = tokens.token_issue_api(user=both, name="narrow", actor=actor, organization=acme)
    Membership.objects.get(user=both, organization=acme).delete()
    assert me(wide)[2] == [("umbrella", "member")]
    refused(Api(narrow).get(ME), 401, "not_authenticated")
    # and it stays ended
    Membership.objects.create(user=both, organization=acme, role="member")
    refused(Api(narrow).get(ME), 401, "not_authenticated")


def test_who_is_made_inactive_has_no_token(alice, actor):
    _, text = tokens.token_issue_api(user=alice, name="script", actor=actor)
    alice.is_active = False
    alice.save()
    refused(Api(text).get(ME), 401, "not_authenticated")


def test_staff_reach_no_more_than_they_are_members_of(staff, acme, actor):
    _, text = tokens.token_issue_api(user=staff, name="script", actor=actor)
    assert me(text)[2] == []


# --- outcomes --------------------------------------------------------------------------


@pytest.fixture
def role(make_entry):
    return make_entry(registry_type="aws-ecr-role")


@pytest.fixture
def report(worker, project, role):
    def report(code="ok", *, api=worker, **body):
        told = {"entry": str(role.pk), "project": str(project.pk), "image": IMAGE, "code": code}
        return api.post(OUTCOME, told | body)

    return report


@pytest.mark.parametrize(
    ("code", "sentence"),
    [
        ("role_not_attached", "doesn't have the role ValohaiWorkerRole"),
        ("not_on_ec2", "can't reach EC2 instance metadata"),
        ("metadata_hop_limit", "hop limit"),
        ("role_access_denied", "may not call ecr:GetAuthorizationToken"),
    ],
)
def test_a_failure_is_shown_on_the_entry(report, role, code, sentence):
    response = report(code)
    assert (response.status_code, response.content) == (204, b"")
    role.refresh_from_db()
    assert (role.status, role.status_code, role.status_reporter) == ("failing", code, "gpu workers")
    assert sentence in role.status_detail
    event = AuditEvent.objects.get(action="login.reported")
    assert (event.code, event.subject_id, event.actor) == (code, str(role.pk), "worker gpu workers")


def test_then_it_works(report, role):
    report("not_on_ec2")
    report("ok")
    role.refresh_from_db()
    assert (role.status, role.status_code, role.status_detail) == ("verified", "", "")
    assert role.status_reporter == "gpu workers"


def test_a_change_of_the_entry_forgets_it(report, role, actor):
    report("not_on_ec2")
    spec = EntrySpec("aws-ecr-role", [f"{HOST}/*"], {"role_name": "Other"})
    changed = door.entry_update(entry=role, actor=actor, change=changed_to(spec))
    assert (changed.status, changed.status_reporter) == ("unverified", "")


def test_a_fleet_that_repeats_it_writes_the_entry_seldom(report, role):
    report()
    role.refresh_from_db()
    first = role.status_at
    report()
    role.refresh_from_db()
    assert role.status_at == first
    assert AuditEvent.objects.filter(action="login.reported").count() == 1
    assert Repeat.objects.get().times == 1
    RegistryEntry.objects.update(status_at=timezone.now() - timedelta(minutes=6))
    report()
    role.refresh_from_db()
    assert role.status_at > first


@pytest.mark.parametrize(
    "body",
    [
        {"code": "nonsense"},
        {"code": ""},
        {"code": None},
        {"entry": "x"},
        {"project": "x"},
        {"image": None},
    ],
)
def test_junk(report, role, body):
    refused(report(**body), 400, "invalid_request")
    role.refresh_from_db()
    assert role.status == "unverified"


def test_what_is_no_image(report):
    refused(report(image="https://x"), 400, "invalid_image")


def test_only_instance_roles_of_ones_own(report, make_entry, umbrella, charlie, alice):
    theirs = make_entry(registry_type="aws-ecr-role", organization=umbrella)
    keyed = make_entry(f"{HOST}/keyed/*")
    for entry in (theirs.pk, keyed.pk, uuid.uuid4()):
        refused(report("not_on_ec2", entry=str(entry)), 404, "entry_not_found")
    foreign = Project.objects.create(name="theirs", organization=umbrella)
    refused(report(project=str(foreign.pk)), 404, "project_not_found")
    mine = Project.objects.create(name="mine", user=alice)
    refused(report(project=str(mine.pk)), 403, "personal_project")
    assert not RegistryEntry.objects.exclude(status="unverified").exists()


def test_only_of_the_environments_one_speaks_for(report, make_entry, gpu, issue):
    limited = make_entry(f"{HOST}/gpu/*", registry_type="aws-ecr-role", environments=[gpu])
    refused(report(entry=str(limited.pk)), 404, "entry_not_found")
    for token in (issue(environment=gpu), issue(any_environment=True)):
        assert report(entry=str(limited.pk), api=Api(token)).status_code == 204
