"""`demo_data`: what it makes, all or nothing and once, and that nothing real goes with it."""

from __future__ import annotations

import re
import threading
from collections import Counter
from datetime import timedelta

import pytest
from django.core.management import CommandError, call_command
from django.db import DatabaseError, connection, transaction
from django.utils import timezone

from orgs.models import (
    AuditEvent,
    FormerSlug,
    Membership,
    Organization,
    Project,
    RegistryEntry,
    Repeat,
    User,
    WorkerToken,
)
from orgs.registries.images import ImageReference
from orgs.registries.problems import Refused
from orgs.services.audit import log, repeats
from orgs.services.audit.events import COMMAND_LINE, event
from orgs.services.demo import entries, month
from orgs.services.demo import organization as demo
from orgs.services.entries.attention import tokens_ending
from orgs.services.entries.usage import usage_of
from orgs.services.tenancy import organizations, projects
from orgs.templatetags.registries import state_of
from tests.conftest import PASSWORD, make_user

pytestmark = pytest.mark.django_db(transaction=True)
TOKEN = re.compile(r"vrw_[0-9a-f]{16}_[0-9a-f]{64}")


@pytest.fixture
def run(capsys):
    def run(*arguments: str) -> tuple[int, str, str]:
        code = 0
        try:
            call_command("demo_data", *arguments)
        except SystemExit as ended:
            code = ended.code
        except CommandError:
            code = 2
        told = capsys.readouterr()
        return code, told.out, told.err

    return run


def everything() -> dict[str, int]:
    models = (Organization, Membership, Project, RegistryEntry, WorkerToken, AuditEvent, User)
    return {model.__name__: model.objects.count() for model in (*models, FormerSlug)}


# --- what is made -----------------------------------------------------------------


def test_entries_in_every_state(made) -> None:
    found = RegistryEntry.objects.of(made)
    assert {state_of(entry).word for entry in found} == {
        "Verified",
        "Failing",
        "Not verified",
        "Checked on workers",
        "Disabled",
        "Secret unreadable",
        "Login works, registry unreachable",
        "Registry unreachable",  # where there is no login to obtain
        "Waiting for trust",
    }
    assert found.filter(status="verified").exclude(status_reporter="").count() == 1
    assert all(entry.secrets_changed_at < timezone.now() for entry in found if entry.secrets)


def test_what_else_there_is(made, staff) -> None:
    assert (made.name, made.slug, made.environments.count()) == ("Demo", "demo", 2)
    assert made.projects.filter(archived_at__isnull=False).count() == 1
    assert made.projects.count() == 4
    assert [token.name for token in tokens_ending(made)] == ["Batch workers"]
    (membership,) = made.memberships.all()
    assert (membership.user, membership.role) == (staff, "admin")
    assert list(User.objects.all()) == [staff]


def test_a_month_of_events(made) -> None:
    found = AuditEvent.objects.filter(organization_id=made.pk, action__startswith="login.")
    happened = [e for e in found if e.action != "login.reported"]
    assert 1_000 < len(happened) < 5_000
    assert {e.properties.get("made_up") for e in happened} == {True}
    now = timezone.now()
    assert all(now - timedelta(days=30, minutes=5) < e.at < now for e in happened)
    assert len({e.at.date() for e in happened}) >= 30
    assert {e.project for e in happened} == set(made.projects.values_list("name", flat=True))
    by = Counter(e.code for e in happened)
    assert by["ok"] > 10 * (len(happened) - by["ok"])
    assert set(by) == {"ok", "no_match", "access_denied", "entry_unusable"}
    good = made.entries.get(status="verified", status_reporter="")
    used = usage_of(good, private=True)
    assert {name for name, _ in used.projects} >= {"image-classifier", "churn-model"}
    assert good.last_used_at == used.last_login.at
    # Those of a token begin after it was made, as its page asks.
    assert all(
        token.created_at < now - timedelta(days=60)
        for token in made.worker_tokens.exclude(last_used_at=None)
    )


def test_the_same_month_for_the_same_seed(made) -> None:
    cast = month.Cast(
        made,
        {project.name: project for project in made.projects.all()},
        dict(zip((p.name for p in entries.WANTED), made.entries.order_by("pk"), strict=True)),
        {token.name: token for token in made.worker_tokens.all()},
    )
    now = timezone.now()

    def told(seed: int) -> list[tuple[object, ...]]:
        return [
            (e.at, e.subject, e.project, e.code, e.actor)
            for day in month.days(cast, now, seed)
            for e in day
        ]

    assert told(1) == told(1) and told(1) != told(2)


def test_nobody_has_its_tokens(run, staff) -> None:
    code, out, err = run()
    assert (code, err) == (0, "") and "vrw_" not in out
    kept = [
        str(value)
        for model in (AuditEvent, WorkerToken)
        for row in model.objects.values_list()
        for value in row
    ]
    assert len(kept) > 1000 and not any(TOKEN.search(text) for text in kept)


# --- the command --------------------------------------------------------------------


def test_made_looked_at_and_removed(run, staff, acme) -> None:
    before = everything()
    code, out, err = run()
    assert (code, err) == (0, "")
    assert "10 entries, 4 projects, 3 worker tokens, 2," in out
    assert f"{staff.email} is its org admin" in out and "/organizations/demo/\n" in out
    code, out, err = run("--remove")
    assert (code, err) == (0, "") and out.startswith("Demo (demo) is removed: 10 entries")
    assert everything() == before | {"AuditEvent": 1}
    (left,) = AuditEvent.objects.all()
    assert (left.action, left.subject) == ("organization.deleted", "Demo")
    assert left.properties["before"]["made_up"] and left.properties["before"]["events_dropped"] > 0
    assert run("--remove")[0] == 1
    assert run()[0] == 0 and Organization.objects.get(made_up=True).slug == "demo"


def test_twice_changes_nothing(run, staff) -> None:
    assert run()[0] == 0
    before = everything()
    code, out, err = run()
    assert (code, out) == (1, "") and "--remove" in err
    assert everything() == before


def test_whose_it_is(run, acme, bob) -> None:
    assert run()[0] == 1  # no superuser
    assert run("--admin", "nobody@example.com")[0] == 1
    assert run("--admin", "bob@example.com", "--remove")[0] == 2
    assert not Organization.objects.filter(made_up=True).exists()
    make_user("gone@example.com", "G", is_staff=True, is_superuser=True, is_active=False)
    assert run()[0] == 1
    User.objects.filter(pk=bob.pk).update(email_verified=False)
    code, _, err = run("--admin", "bob@example.com")
    assert code == 1 and "unverified_email" in err
    User.objects.filter(pk=bob.pk).update(email_verified=True)
    assert run("--admin", " Bob@Example.com ")[0] == 0
    assert Organization.objects.get(made_up=True).memberships.get().user == bob


def test_a_real_demo_is_left_alone(run, staff, alice) -> None:
    real = organizations.organization_create(name="Demo", admin=alice, actor=COMMAND_LINE)
    kept = AuditEvent.objects.filter(organization_id=real.pk)
    assert run()[0] == 0
    assert Organization.objects.get(made_up=True).slug == "demo-data"
    assert run("--remove")[0] == 0
    assert Organization.objects.get(slug="demo") == real and kept.count() == 1
    assert run("--remove")[0] == 1
    assert Organization.objects.filter(slug="demo").exists()
    # Nor does it take a short name that an organization had.
    organizations.organization_update(
        organization=real, actor=COMMAND_LINE, name="Demo", slug="ours"
    )
    assert run()[0] == 0 and Organization.objects.get(made_up=True).slug == "demo-data"


# --- all or nothing -------------------------------------------------------------------


@pytest.mark.parametrize("after", [0, 3, demo.STEPS - 1])
def test_a_failure_leaves_nothing(staff, after) -> None:
    before, steps = everything(), iter(range(after))

    def step() -> None:
        if next(steps, None) is None:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        demo.demo_create(admin=staff, actor=COMMAND_LINE, on_step=step)
    assert everything() == before


def test_as_many_steps_as_are_said(staff) -> None:
    steps: list[None] = []
    demo.demo_create(admin=staff, actor=COMMAND_LINE, on_step=lambda: steps.append(None))
    assert len(steps) == demo.STEPS


def test_two_at_once_make_one(staff) -> None:
    results: list[str] = []
    begin = threading.Barrier(2)

    def one() -> None:
        begin.wait()
        try:
            demo.demo_create(admin=staff, actor=COMMAND_LINE)
            results.append("made")
        except Refused as refused:
            results.append(refused.code)
        finally:
            connection.close()

    threads = [threading.Thread(target=one) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(results) == ["made", "made_up"]
    assert Organization.objects.filter(made_up=True).count() == 1


# --- removing -----------------------------------------------------------------------


def test_only_what_is_made_up_loses_its_events(made, acme, alice, on_postgresql) -> None:
    projects.project_create(name="real", organization=acme, actor=COMMAND_LINE)
    with pytest.raises(AssertionError):
        log.drop_made_up(acme)
    ours = AuditEvent.objects.filter(organization_id=acme.pk)
    with transaction.atomic():
        assert log.drop_made_up(made) > 1_000
        if on_postgresql:  # the door is shut behind it
            with pytest.raises(DatabaseError), transaction.atomic():
                ours._raw_delete(connection.alias)
    assert ours.count() == 1
    assert not Organization._meta.get_field("made_up").editable


def test_what_is_counted_beside_the_log_goes_too(made, acme) -> None:
    for organization in (made, acme):
        told = event(actor=COMMAND_LINE, action="login.refused", organization=organization)
        for _ in range(3):
            repeats.record((organization.pk,), [told])
    assert Repeat.objects.count() == 3  # and a worker's report
    demo.demo_remove(actor=COMMAND_LINE)
    assert Repeat.objects.get().events[0]["organization_id"] == acme.pk


def test_what_people_did_with_their_accounts_stays(made, staff, client) -> None:
    """Stella is in no other organization, so that nothing else tells of it."""
    form = {"username": staff.email, "password": PASSWORD}
    assert client.post("/accounts/login/", form).status_code == 302
    told = AuditEvent.objects.filter(organization_id=made.pk)
    before = told.count()
    gone = demo.demo_remove(actor=COMMAND_LINE)
    assert set(told.values_list("action", flat=True)) == {"user.signed_in", "organization.deleted"}
    assert gone is not None and gone.events == before - 1


def test_it_goes_under_another_name_too(made) -> None:
    organizations.organization_update(
        organization=made, actor=COMMAND_LINE, name="Show", slug="show"
    )
    assert demo.demo_remove(actor=COMMAND_LINE).slug == "show"
    assert not FormerSlug.objects.exists() and not Organization.objects.exists()


def test_nothing_real_goes_with_it(made, acme, project, staff) -> None:
    own = made.projects.get(name="churn-model")
    for moving, to in ((project, made), (own, acme)):
        with pytest.raises(Refused) as refused:
            projects.project_move(project=moving, actor=COMMAND_LINE, organization=to)
        assert refused.value.code == "made_up"
    with pytest.raises(Refused):
        projects.project_move(project=own, actor=COMMAND_LINE, user=staff)
    with pytest.raises(Refused):
        projects.project_update(
            project=project, actor=COMMAND_LINE, name=project.name, organization=made
        )
    projects.project_rename(project=own, actor=COMMAND_LINE, name="churn")
    demo.demo_remove(actor=COMMAND_LINE)
    assert list(Project.objects.all()) == [project]


def test_images_are_what_entries_serve(made) -> None:
    """Whatever was given a login is served by the entry that it is said to be of."""
    from orgs.services.logins import resolve

    environments = {e.slug: e for e in made.environments.all()}
    issued = AuditEvent.objects.filter(organization_id=made.pk, action="login.issued")
    seen = {(e.subject, e.properties.get("environment"), e.subject_id) for e in issued}
    for subject, environment, entry_id in seen:
        served = resolve.resolve(made, ImageReference.parse(subject), environments.get(environment))
        assert served is not None and str(served.entry.pk) == entry_id, subject
