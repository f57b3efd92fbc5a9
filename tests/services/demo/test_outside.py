"""Nothing of a made-up organization reaches outside: no registry, no mail, no figure, no login."""

from __future__ import annotations

import json
import socket
from collections.abc import Iterator
from datetime import timedelta

import pytest
from django.core.management import call_command
from django.db.models import Q
from django.db.models.functions import Now

from orgs import sealed
from orgs.models import AuditEvent, CachedLogin, Organization, RegistryEntry
from orgs.registries.images import ImageReference
from orgs.registries.problems import Failed, Refused
from orgs.services.audit import refusals
from orgs.services.audit.events import COMMAND_LINE, Actor
from orgs.services.demo.entries import OTHER, US
from orgs.services.entries import door, everywhere
from orgs.services.entries.changing import EntryChange
from orgs.services.entries.status import status_mark
from orgs.services.logins import fast, health, issuing
from orgs.services.logins.renewing import renew_due
from orgs.services.tenancy import mails, tokens
from orgs.services.verification import images, many, verifying

pytestmark = [pytest.mark.once, pytest.mark.django_db(transaction=True)]


@pytest.fixture(autouse=True)
def calls(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[object]]:
    """Every connection that is tried, and refused; the databases' own don't come this way."""
    tried: list[object] = []

    def refuse(self: socket.socket, address: object) -> None:
        tried.append(address)
        raise ConnectionRefusedError

    def no_names(host: object, *rest: object, **more: object) -> None:
        tried.append(host)
        raise socket.gaierror

    monkeypatch.setattr(socket.socket, "connect", refuse)
    monkeypatch.setattr(socket, "getaddrinfo", no_names)
    yield tried


@pytest.fixture
def good(made: Organization) -> RegistryEntry:
    return made.entries.get(status="verified", status_reporter="")


def real(made: Organization) -> None:
    """What it would be without the mark, to see each test's other half."""
    Organization.objects.filter(pk=made.pk).update(made_up=False)


def cached(entry: RegistryEntry) -> CachedLogin:
    """A login of it at hand, and due: there is none, but let there be one."""
    row = CachedLogin(entry=entry, credentials_version=entry.credentials_version)
    row.login = sealed.seal(json.dumps(["AWS", "made-up"]), row.sealed_for)
    row.save()
    ends, due = Now() + timedelta(hours=6), Now() - timedelta(seconds=1)
    CachedLogin.objects.filter(pk=row.pk).update(expires_at=ends, refresh_after=due)
    RegistryEntry.objects.filter(pk=entry.pk).update(last_used_at=Now())
    return row


def test_making_it_asks_nobody(made, calls, mailoutbox) -> None:
    mails.drain()
    assert (calls, mailoutbox) == ([], [])


def test_nothing_is_renewed(made, good, calls) -> None:
    cached(good)
    found = renew_due()
    assert (found.done, found.failed, calls) == (0, [], [])
    real(made)
    assert renew_due().failed and calls


def test_check_registries_passes_it_by(made, calls, capsys) -> None:
    call_command("check_registries")
    assert capsys.readouterr().out == "0 checked, 0 failed.\n"
    with pytest.raises(SystemExit) as ended:
        call_command("check_registries", organization="demo")
    assert ended.value.code == 1 and "made up" in capsys.readouterr().err
    assert calls == []


def test_verify_asks_nobody(made, good, calls) -> None:
    before = RegistryEntry.objects.values().get(pk=good.pk)
    for asking in (
        lambda: verifying.entry_verify(entry=good, actor=COMMAND_LINE),
        lambda: images.images_of(good),
    ):
        with pytest.raises(Refused) as refused:
            asking()
        assert refused.value.code == "made_up"
    told = dict(many.verify_in_turn(made.entries.all(), COMMAND_LINE))
    assert {error.code for error in told.values()} == {"made_up"}
    assert calls == []
    assert RegistryEntry.objects.values().get(pk=good.pk) == before
    real(made)
    verifying.entry_verify(entry=RegistryEntry.objects.get(pk=good.pk), actor=COMMAND_LINE)
    assert calls


def test_a_new_key_is_stored_untried(good, calls) -> None:
    change = EntryChange(secrets={"secret_access_key": "b" * 40})
    door.entry_update(entry=good, actor=COMMAND_LINE, change=change, attended=True)
    assert calls == []


def test_nobody_is_mailed(made, good, mailoutbox, staff) -> None:
    error = Failed("invalid_key", "AWS doesn't know the key.", "Enter it again.")
    status_mark(good, RegistryEntry.Status.FAILING, error)
    status_mark(good, RegistryEntry.Status.VERIFIED)
    mails.drain()
    assert mailoutbox == []
    real(made)
    fresh = RegistryEntry.objects.get(pk=good.pk)
    RegistryEntry.objects.filter(pk=good.pk).update(failure_mailed_at=None)
    status_mark(fresh, RegistryEntry.Status.FAILING, error)
    mails.drain()
    assert [mail.to for mail in mailoutbox] == [[staff.email]]


@pytest.mark.parametrize("text", [f"{US}/vision/train:v1", f"{OTHER}/vision/base:v1"])
def test_no_login(made, calls, text, client) -> None:
    """Neither one that is at hand, nor one whose password is stored; whoever issued a token."""
    project, image = made.projects.get(name="image-classifier"), ImageReference.parse(text)
    cached(made.entries.get(status="verified", status_reporter=""))
    CachedLogin.objects.update(refresh_after=Now() + timedelta(hours=3))
    _, token = tokens.token_issue_worker(organization=made, name="mine", actor=COMMAND_LINE)
    made.worker_tokens.filter(name="mine").update(last_used_at=Now())
    made.entries.exclude(last_used_at=None).update(last_used_at=Now())
    asked = {"token": token, "project": project.pk, "image": image}
    assert fast.standing(**asked, environment="", address=None) is None
    with pytest.raises(Failed) as failed:
        issuing.login_for(project=project, image=image, actor=Actor("worker mine"))
    assert failed.value.code == "project_not_found" and "made-up" in failed.value.what
    answer = client.post(
        "/api/v0/docker-login/",
        {"project": str(project.pk), "image": text},
        "application/json",
        headers={"Authorization": f"Token {token}"},
    )
    assert (answer.status_code, answer.json()["code"]) == (404, "project_not_found")
    assert "made-up organization Demo" in answer.json()["detail"]
    assert AuditEvent.objects.filter(code="project_not_found", organization_id=made.pk).exists()
    assert calls == []
    real(made)
    assert fast.standing(**asked, environment="", address=None) is not None


def test_what_asks_nobody_works_as_ever(made, capsys) -> None:
    project = made.projects.get(name="image-classifier")
    call_command("explain_image", f"{US}/vision/train:v1", project=str(project.pk))
    assert f"{US}/*" in capsys.readouterr().out
    with pytest.raises(SystemExit) as ended:
        call_command("docker_login", f"{US}/vision/train:v1", project=str(project.pk))
    assert ended.value.code == 1 and "project_not_found" in capsys.readouterr().err
    call_command("export_registries", organization="demo", format="csv")
    assert capsys.readouterr().out.count("\n") > 9


def test_it_counts_nowhere(made, acme, make_entry) -> None:
    figures = {name: value for name, _, value in health.figures()}
    assert figures["registries_failing_entries"] == 0
    seen = (
        everywhere.failing(private=True),
        everywhere.unreadable(),
        everywhere.worker_tokens_ending(),
        refusals.refusals(),
    )
    assert not any(seen)
    entry = make_entry()
    project = acme.projects.create(name="real")
    with pytest.raises(Failed):
        issuing.login_for(
            project=project, image=ImageReference.parse("x.example.com/y"), actor=Actor("w")
        )
    status_mark(entry, RegistryEntry.Status.FAILING, Failed("invalid_key", "No.", "Mend it."))
    found = refusals.refusals()
    assert [(row.code, row.times) for row in found.by_code] == [("no_match", 1)]
    assert [row.organization for row in found.by_organization] == [acme]
    assert [trouble.entry for trouble in everywhere.failing(private=True).rows] == [entry]
    real(made)
    assert {name: value for name, _, value in health.figures()}["registries_failing_entries"] > 1
    assert refusals.refusals().by_code[0].times > 1
    assert everywhere.unreadable() and everywhere.worker_tokens_ending()


def test_events_without_an_organization_still_count(made) -> None:
    made_so = AuditEvent(actor="w", action="login.refused", code="personal_project")
    made_so.save()
    assert [row.code for row in refusals.refusals().by_code] == ["personal_project"]
    assert AuditEvent.objects.filter(Q(organization_id=None)).count() == 1


def test_rotating_meets_no_trouble(made, capsys) -> None:
    call_command("rotate_secrets")
    assert "are under the first key" in capsys.readouterr().out
