"""Logins renewed without an asker: once each, in time, spread, and never as a use."""

from __future__ import annotations

import threading
import time
import uuid
from datetime import timedelta

import pytest
from django.core.management import call_command
from django.db import connection
from django.db.models import F
from django.db.models.functions import Now
from django.utils import timezone

from orgs.models import AuditEvent, CachedLogin, IndexedPattern, RegistryEntry
from orgs.registries.images import ImageReference
from orgs.services.audit.events import Actor
from orgs.services.entries import door
from orgs.services.entries.changing import EntryChange
from orgs.services.logins import issuing, renewing
from orgs.services.logins.renewing import AHEAD, Renewer, moment, renew_due
from tests.conftest import HOST

pytestmark = pytest.mark.django_db(transaction=True)
IMAGE = ImageReference.parse(f"{HOST}/my-ml-image:v1.0")


@pytest.fixture
def entry(aws, make_entry, project):
    """Used just now: its login is at hand, and its half-life hours away."""
    key_id, secret = aws.create_user("valohai", aws.policy())
    made = make_entry(config={"access_key_id": key_id}, secrets={"secret_access_key": secret})
    issuing.login_for(project=project, image=IMAGE, actor=Actor("tests"))
    assert len(aws.calls) == 1
    return made


def near_half_life(**ahead: float) -> None:
    CachedLogin.objects.update(refresh_after=Now() + timedelta(**ahead))


def test_what_was_used_is_renewed_before_its_half_life(entry, aws) -> None:
    assert renew_due().done == 0  # its turn is hours away
    near_half_life(seconds=1)
    before = CachedLogin.objects.get()
    used, events = RegistryEntry.objects.get().last_used_at, AuditEvent.objects.count()
    assert renew_due().done == 1 and len(aws.calls) == 2
    after = CachedLogin.objects.get()
    assert after.login != before.login
    assert after.refresh_after > timezone.now() + timedelta(hours=5)
    assert RegistryEntry.objects.get().last_used_at == used
    assert AuditEvent.objects.count() == events
    assert renew_due().done == 0


@pytest.mark.parametrize(
    "made_so",
    [
        lambda entry, actor: RegistryEntry.objects.update(
            last_used_at=Now() - timedelta(hours=25)
        ),
        lambda entry, actor: door.entry_update(
            entry=entry, actor=actor, change=EntryChange(enabled=False)
        ),
        lambda entry, actor: door.entry_delete(entry=entry, actor=actor),
        lambda entry, actor: RegistryEntry.objects.update(
            credentials_version=F("credentials_version") + 1
        ),
        lambda entry, actor: CachedLogin.objects.update(next_try_at=Now() + timedelta(seconds=50)),
        lambda entry, actor: CachedLogin.objects.update(
            lease_id=uuid.uuid4(), lease_until=Now() + timedelta(seconds=5)
        ),
        lambda entry, actor: CachedLogin.objects.update(login=None),
        lambda entry, actor: CachedLogin.objects.update(scope="fips"),
        lambda entry, actor: RegistryEntry.objects.update(registry_type="gone"),
    ],
    ids=["unused", "disabled", "deleted", "changed", "failed just now", "being renewed",
         "none at hand", "no such host", "no such type"],
)  # fmt: skip
def test_nothing_else_is(made_so, entry, aws, actor) -> None:
    near_half_life(seconds=1)
    made_so(entry, actor)
    assert renew_due().done == 0 and len(aws.calls) == 1


def test_a_failure_is_told_and_keeps_the_login(entry, aws, capsys) -> None:
    near_half_life(seconds=1)
    aws.fault("throttle")
    with pytest.raises(SystemExit) as ended:
        call_command("refresh_logins")
    assert ended.value.code == 1
    told = capsys.readouterr()
    assert "0 renewed, 1 failed." in told.out and "too many requests" in told.err
    assert CachedLogin.objects.get().login is not None
    calls = len(aws.calls)
    assert renew_due().failed == [] and len(aws.calls) == calls  # not again at once


def test_the_command_renews(entry, aws, capsys) -> None:
    near_half_life(seconds=1)
    call_command("refresh_logins")
    assert capsys.readouterr().out == "1 renewed, 0 failed.\n"


def test_many_processes_ask_once(entry, aws) -> None:
    near_half_life(seconds=1)
    start = threading.Barrier(6)

    def look() -> None:
        start.wait()
        renew_due()
        connection.close()

    lookers = [threading.Thread(target=look) for _ in range(6)]
    for looker in lookers:
        looker.start()
    for looker in lookers:
        looker.join()
    assert len(aws.calls) == 2


def test_turns_are_spread_over_the_hour_before() -> None:
    at = timezone.now()
    entries = [uuid.uuid4() for _ in range(6_000)]
    ends = at + timedelta(hours=6)
    turns = [(at - moment(entry, at, ends)) / AHEAD for entry in entries]
    assert min(turns) >= 0 and max(turns) < 1
    tenths = [sum(tenth / 10 <= turn < (tenth + 1) / 10 for turn in turns) for tenth in range(10)]
    assert min(tenths) > 450 and max(tenths) < 750
    assert moment(entries[0], at, ends) == moment(entries[0], at, ends)


@pytest.mark.parametrize("share", [0, 1800, 3599])
def test_an_hours_login_is_renewed_minutes_before_its_half_life(
    google, make_entry, project, share
) -> None:
    """Not as soon as it's made, whatever its entry's share of the hour."""
    key = google.create_key(google.create_account())
    made = make_entry(
        "gcr.io/p/*", registry_type="gcp-cr", config={}, secrets={"service_account_json": key}
    )
    image = ImageReference.parse("gcr.io/p/train:v1")
    issuing.login_for(project=project, image=image, actor=Actor("tests"))
    row = CachedLogin.objects.get()
    turn = moment(uuid.UUID(int=share), row.refresh_after, row.expires_at)
    assert timedelta() <= row.refresh_after - turn <= timedelta(minutes=5)
    assert turn > timezone.now() + timedelta(minutes=24)
    assert renew_due().done == 0 and len(google.calls) == 1
    CachedLogin.objects.update(refresh_after=Now() + timedelta(seconds=0))
    assert renew_due().done == 1 and len(google.calls) == 2 and made.cached_logins.count() == 1


def test_of_many_with_one_half_life_none_waits_for_another(entry, aws, monkeypatch) -> None:
    """Whoever's turn it is comes, however many stand before it whose turn is later."""
    monkeypatch.setattr(renewing, "MOST", 2)
    monkeypatch.setattr(renewing, "PAUSE", 0)
    row = CachedLogin.objects.get()
    early, late = uuid.UUID(int=3599), uuid.UUID(int=0)  # their shares of the hour
    login = {name: getattr(row, name) for name in ("login", "expires_at", "credentials_version")}
    for first, share in ((1, late), (2, late), (3, late), (4, early)):
        key = uuid.UUID(int=(first << 64) * 3600 + share.int)
        standing = RegistryEntry.objects.get(pk=entry.pk)
        standing.pk, standing._state.adding = key, True
        standing.secrets = None
        standing.save(force_insert=True)
        RegistryEntry.objects.filter(pk=key).update(last_used_at=Now())
        IndexedPattern.objects.create(
            organization=entry.organization,
            entry=standing,
            enabled=False,
            text=f"{HOST}/{first}",
            normalized=f"{HOST}/{first}",
            host=HOST,
            prefix=str(first),
            wildcard_host=False,
            wildcard_path=False,
            position=0,
        )
        half_life = Now() + timedelta(minutes=30, seconds=first)
        CachedLogin.objects.create(
            entry=standing, scope=row.scope, refresh_after=half_life, **login
        )
    found = renew_due()
    assert len(found.failed) == 1


def test_it_goes_on_by_itself(entry, aws, monkeypatch) -> None:
    monkeypatch.setattr(renewing, "PAUSE", 0)
    near_half_life(seconds=1)
    renewer = Renewer(every=0.05)
    renewer.start()
    try:
        until = time.monotonic() + 20
        while len(aws.calls) < 2 and time.monotonic() < until:
            time.sleep(0.05)
    finally:
        renewer.stop()
    assert len(aws.calls) == 2
