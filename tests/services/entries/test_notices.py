"""One mail when an entry turns failing, one when it works again; none in between."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

import pytest
from django.core.mail.backends.locmem import EmailBackend
from django.db import connection
from django.db.models.functions import Now

from orgs.models import AuditEvent, Membership, RegistryEntry, Tally, WorkerToken
from orgs.registries.images import ImageReference
from orgs.services.audit.events import Actor
from orgs.services.entries import door, status
from orgs.services.entries.validating import EntrySpec
from orgs.services.logins import issuing, minting
from orgs.services.tenancy import mails, notifying, tallies
from orgs.services.upstream import calls
from orgs.services.verification import outcomes, verifying
from tests.conftest import CANARY, HOST, changed_to, make_user

pytestmark = pytest.mark.django_db(transaction=True)

IMAGE = f"{HOST}/my-ml-image:v1.0"


@pytest.fixture(autouse=True)
def no_pauses(monkeypatch):
    monkeypatch.setattr(calls, "PAUSES", {})


@pytest.fixture
def entry(aws, make_entry, alice, bob):
    key_id, secret = aws.create_user("valohai", aws.policy())
    return make_entry(config={"access_key_id": key_id}, secrets={"secret_access_key": secret})


def long_ago(entry):
    """The last mail of its failure was sent so long ago that another may follow."""
    before = Now() - status.MAILED_EVERY
    RegistryEntry.objects.filter(pk=entry.pk).update(failure_mailed_at=before)


@pytest.fixture
def verify(actor, internet):
    internet.name(HOST, ["127.0.0.1"])

    def verify(entry):
        entry.refresh_from_db()
        report = verifying.entry_verify(entry=entry, actor=actor)
        mails.drain()
        return report

    return verify


def test_one_mail_for_a_failure_and_one_for_its_end(aws, entry, verify, acme, mailoutbox, settings):
    settings.BASE_URL = "https://registries.example.com"
    second = make_user("erin@example.com", "Erin")
    Membership.objects.create(organization=acme, user=second, role="admin")
    gone = make_user("frank@example.com", "Frank", is_active=False)
    Membership.objects.create(organization=acme, user=gone, role="admin")
    verify(entry)
    assert not mailoutbox
    aws.remove_policy("valohai")
    for _ in range(3):
        verify(entry)
    (mail,) = mailoutbox
    assert mail.to == ["alice@example.com", "erin@example.com"]
    assert mail.subject == f"{HOST}/* stopped working"
    what, fix, nothing, link = mail.body.split("\n")
    assert what.startswith("AWS accepts the key") and fix.startswith("Attach the policy")
    assert nothing == ""
    assert link == f"https://registries.example.com/organizations/acme/registries/{entry.pk}/"
    aws.put_policy("valohai", aws.policy())
    verify(entry)
    verify(entry)
    assert [mail.subject for mail in mailoutbox[1:]] == [f"{HOST}/* works again"]
    aws.remove_policy("valohai")
    verify(entry)
    assert len(mailoutbox) == 2  # it was told of just now
    long_ago(entry)
    verify(entry)
    assert len(mailoutbox) == 3


def test_workers_logins_tell_too(aws, entry, project, mailoutbox):
    aws.remove_policy("valohai")
    for _ in range(2):
        with pytest.raises(issuing.Failed):
            issuing.login_for(
                project=project, image=ImageReference.parse(IMAGE), actor=Actor("tests")
            )
        minting.forget_failures(entry)
    mails.drain()
    assert [mail.subject for mail in mailoutbox] == [f"{HOST}/* stopped working"]
    aws.put_policy("valohai", aws.policy())
    issuing.login_for(project=project, image=ImageReference.parse(IMAGE), actor=Actor("tests"))
    mails.drain()
    assert mailoutbox[1].subject == f"{HOST}/* works again"


def test_a_mend_by_edit_is_told_once_it_works(aws, entry, verify, actor, mailoutbox):
    aws.remove_policy("valohai")
    verify(entry)
    spec = EntrySpec("aws-ecr", [f"{HOST}/*"], dict(entry.config), {}, note="looked at")
    door.entry_update(entry=entry, actor=actor, change=changed_to(spec))
    key_id, secret = aws.create_user("second", aws.policy())
    spec = EntrySpec(
        "aws-ecr", [f"{HOST}/*"], {"access_key_id": key_id}, {"secret_access_key": secret}
    )
    door.entry_update(entry=entry, actor=actor, change=changed_to(spec))
    assert len(mailoutbox) == 1
    verify(entry)
    assert [mail.subject for mail in mailoutbox[1:]] == [f"{HOST}/* works again"]


def test_a_workers_report_of_its_role(make_entry, alice, acme, project, mailoutbox):
    entry = make_entry(registry_type="aws-ecr-role")
    token = WorkerToken.objects.create(organization=acme, name="gpu", key_id="k", digest="d")
    for code in ("role_not_attached", "role_not_attached", "ok"):
        outcomes.outcome_report(
            entry=RegistryEntry.objects.get(pk=entry.pk),
            token=token,
            project=project,
            image=ImageReference.parse(IMAGE),
            code=code,
            actor=Actor("gpu"),
        )
    mails.drain()
    told = [mail.subject for mail in mailoutbox]
    assert told == [f"{HOST}/* stopped working", f"{HOST}/* works again"]
    assert "ValohaiWorkerRole" in mailoutbox[0].body


def test_nobody_to_tell_and_a_mail_server_that_fails(
    aws, make_entry, actor, internet, alice, monkeypatch, caplog, mailoutbox
):
    internet.name(HOST, ["127.0.0.1"])

    def fail(self, messages):
        raise OSError(f"refused by mail.example.com {CANARY}")

    monkeypatch.setattr(EmailBackend, "send_messages", fail)
    entry = make_entry()
    verifying.entry_verify(entry=entry, actor=actor)
    mails.drain()
    entry.refresh_from_db()
    assert entry.status == "failing"
    assert "wasn't sent: OSError" in caplog.text and CANARY not in caplog.text
    Membership.objects.all().delete()
    other = make_entry(f"{HOST}/other/*")
    verifying.entry_verify(entry=other, actor=actor)
    mails.drain()
    assert not mailoutbox


def test_a_slow_mail_server_holds_nobody_up(aws, entry, actor, internet, monkeypatch):
    internet.name(HOST, ["127.0.0.1"])
    sent, going_on = [], threading.Event()

    def send(self, messages):
        assert going_on.wait(30)
        sent.extend(messages)

    monkeypatch.setattr(EmailBackend, "send_messages", send)
    monkeypatch.setattr(mails, "PATIENCE", 0.1)
    aws.remove_policy("valohai")
    verifying.entry_verify(entry=entry, actor=actor)
    assert not sent
    going_on.set()
    mails.drain()
    assert len(sent) == 1


def test_an_outage_and_a_disabled_entry_are_not_told(aws, entry, verify, actor, mailoutbox):
    aws.fault("error500")
    verify(entry)
    aws.clear_faults()
    aws.remove_policy("valohai")
    door.entry_set_enabled(entry=entry, actor=actor, enabled=False)
    entry.refresh_from_db()
    verifying.status_mark(
        entry, RegistryEntry.Status.FAILING, issuing.Failed("access_denied", "No.", "Do.")
    )
    mails.drain()
    assert not mailoutbox


# --- bursts -----------------------------------------------------------------------


@pytest.fixture
def flap(acme, project):
    """Workers that tell of a role's entry that it works, and that it doesn't, in turn."""
    token = WorkerToken.objects.create(organization=acme, name="gpu", key_id="k", digest="d")

    def flap(entry, times):
        for n in range(times):
            outcomes.outcome_report(
                entry=RegistryEntry.objects.get(pk=entry.pk),
                token=token,
                project=project,
                image=ImageReference.parse(IMAGE),
                code=("role_not_attached", "ok")[n % 2],
                actor=Actor("gpu"),
            )
        mails.drain()

    return flap


def test_one_that_goes_up_and_down_is_told_of_once(make_entry, alice, flap, mailoutbox):
    entry = make_entry(registry_type="aws-ecr-role")
    flap(entry, 100)
    told = [mail.subject for mail in mailoutbox]
    assert told == [f"{HOST}/* stopped working", f"{HOST}/* works again"]
    long_ago(entry)
    flap(entry, 100)
    assert len(mailoutbox) == 4
    # and its reports are an event each minute for each thing that they say
    assert AuditEvent.objects.filter(action="login.reported").count() == 2


def test_a_clock_set_right_silences_nothing(make_entry, alice, flap, mailoutbox):
    entry = make_entry(registry_type="aws-ecr-role")
    RegistryEntry.objects.update(failure_mailed_at=Now() + timedelta(days=9))
    flap(entry, 1)
    assert len(mailoutbox) == 1


def test_an_organization_gets_so_many_in_an_hour(
    make_entry, alice, charlie, umbrella, mailoutbox, monkeypatch
):
    monkeypatch.setattr(notifying, "MOST", 3)
    error = issuing.Failed("access_denied", "No.", "Do.")
    made = [make_entry(f"{HOST}/{n}") for n in range(6)]
    for entry in [*made, make_entry(organization=umbrella)]:
        status.status_mark(entry, RegistryEntry.Status.FAILING, error)
    mails.drain()
    told = [mail.subject for mail in mailoutbox if mail.to == [alice.email]]
    assert [subject.split()[-2:] for subject in told[:3]] == [["stopped", "working"]] * 3
    assert told[3:] == ["More entries of Acme changed"]
    assert "Acme got 3 notices about its entries within an hour" in mailoutbox[3].body
    assert mailoutbox[3].body.endswith("/organizations/acme/")
    assert [mail.subject for mail in mailoutbox[4:]] == [f"{HOST}/* stopped working"]
    hour = Tally.objects.filter(key=f"mails:{alice.memberships.get().organization_id}")
    hour.update(window_until=Now())
    status.status_mark(make_entry(f"{HOST}/7"), RegistryEntry.Status.FAILING, error)
    mails.drain()
    assert mailoutbox[-1].subject == f"{HOST}/7 stopped working"


def test_processes_count_together(acme):
    def count(n):
        try:
            return tallies.count("mails:1", notifying.WINDOW)
        finally:
            connection.close()

    with ThreadPoolExecutor(8) as pool:
        assert sorted(pool.map(count, range(40))) == list(range(1, 41))
