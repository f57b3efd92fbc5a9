"""An AWS that takes its time, or floods: told in time, and no lease is outlived."""

from __future__ import annotations

import resource
import time
from datetime import UTC, timedelta

import pytest
from django.db.models import F
from django.db.models.functions import Now

from orgs.models import CachedLogin
from orgs.registries import provider_calls
from orgs.registries.images import ImageReference
from orgs.registries.problems import Failed
from orgs.services.audit.events import Actor
from orgs.services.logins import issuing, minting
from orgs.services.upstream import calls
from tests.conftest import HOST
from tests.support import slow_aws
from tests.support.slow_aws import SlowAws

pytestmark = pytest.mark.django_db(transaction=True)

IMAGE = ImageReference.parse(f"{HOST}/my-ml-image:v1")


def ask(project) -> Failed:
    with pytest.raises(Failed) as told:
        issuing.login_for(project=project, image=IMAGE, actor=Actor("tests"))
    return told.value


@pytest.fixture
def leases(monkeypatch):
    """How much of its lease was left, in seconds, when each outcome was stored."""
    left: list[float] = []
    for name in ("_store", "_store_failure"):
        store = getattr(minting, name)

        def measured(entry, row, lease, outcome, store=store):
            found = CachedLogin.objects.annotate(now=Now()).get(pk=row.pk)
            assert found.lease_id == lease.id
            now = (
                found.now
                if found.now.tzinfo
                else found.now.replace(tzinfo=found.lease_until.tzinfo)
            )
            left.append((found.lease_until - now).total_seconds())
            return store(entry, row, lease, outcome)

        monkeypatch.setattr(minting, name, measured)
    return left


@pytest.mark.once  # the lease by PostgreSQL's clock: test_stored_times_are_the_databases
@pytest.mark.parametrize("kind", slow_aws.KINDS)
def test_whatever_it_does_it_is_told_and_the_lease_holds(
    kind, project, make_entry, settings, leases
):
    make_entry()
    with SlowAws(kind) as slow:
        settings.AWS_ENDPOINT_URL = slow.url
        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        began = time.monotonic()
        error = ask(project)
        took = time.monotonic() - began
        assert (error.code, error.transient) == ("registry_unreachable", True)
        assert 1 <= slow.asked <= provider_calls.ATTEMPTS
    # The bound itself, with room for a busy machine: a drip would take hours.
    assert took < calls.CALL_SECONDS + 5
    assert leases and min(leases) > 0
    grown = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024
    assert grown < 60, f"{grown:.0f} MiB"


def test_a_lease_that_could_not_be_used_in_time_is_given_back(
    aws, project, make_entry, monkeypatch
):
    """Its holder didn't get the processor: it takes another, and AWS is asked once."""
    key_id, secret = aws.create_user("valohai", aws.policy())
    make_entry(config={"access_key_id": key_id}, secrets={"secret_access_key": secret})
    revealed, slept = minting.revealed, []

    def slow_at_first(entry):
        if not slept:
            slept.append(1)
            monkeypatch.setattr(minting, "CALL_SOON", 0.0)
        else:
            monkeypatch.setattr(minting, "CALL_SOON", 3.0)
        return revealed(entry)

    monkeypatch.setattr(minting, "revealed", slow_at_first)
    answer = issuing.login_for(project=project, image=IMAGE, actor=Actor("tests"))
    assert answer.login.password in aws.tokens
    assert len(aws.calls) == 1 and slept
    assert CachedLogin.objects.get().lease_id is None


def test_a_waiter_takes_over_beside_itself_and_is_told_in_time(
    aws, project, make_entry, monkeypatch
):
    """The holder is gone, and what the waiter has left wouldn't do for a call."""
    key_id, secret = aws.create_user("valohai", aws.policy())
    entry = make_entry(config={"access_key_id": key_id}, secrets={"secret_access_key": secret})
    monkeypatch.setattr(minting, "WAIT", 3.0)  # less than a call may take
    answer = issuing.login_for(project=project, image=IMAGE, actor=Actor("tests"))
    assert answer.login.password in aws.tokens
    CachedLogin.objects.all().delete()
    aws.fault("hang", seconds=60)
    began = time.monotonic()
    assert ask(project).code == "busy"
    assert time.monotonic() - began < calls.CALL_SECONDS
    assert calls.REFRESHES.held(entry.organization_id) == 1
    aws.clear_faults()
    minting.background.drain()
    assert calls.REFRESHES.held(entry.organization_id) == 0


# --- clocks -------------------------------------------------------------------


@pytest.fixture
def served(aws, project, make_entry):
    key_id, secret = aws.create_user("valohai", aws.policy())
    make_entry(config={"access_key_id": key_id}, secrets={"secret_access_key": secret})

    def ask():
        answer = issuing.login_for(project=project, image=IMAGE, actor=Actor("tests"))
        minting.background.drain()
        return answer

    ask()
    return ask


@pytest.mark.parametrize(
    ("about", "calls"),
    [
        # what a clock that was an hour, or a year, ahead has left behind
        ({"next_try_at": 3600, "login": None}, 1),
        ({"next_try_at": 10**7, "login": None}, 1),
        ({"lease_until": 3600, "login": None}, 1),
        ({"lease_until": 10**7, "login": None}, 1),
        ({"expires_at": 13 * 3600}, 1),
        ({"expires_at": 10**7}, 1),
        ({"refresh_after": 7 * 3600}, 1),
        ({"refresh_after": 3600, "lease_until": 3600}, 0),
        # what a right one leaves
        ({"expires_at": 12 * 3600, "refresh_after": 6 * 3600}, 0),
        ({"refresh_after": -1, "next_try_at": 60}, 0),
        ({"refresh_after": -1, "lease_until": 7}, 0),
        ({"refresh_after": -1, "lease_until": -1}, 1),
    ],
)
def test_no_time_counts_that_lies_too_far_ahead(aws, served, about, calls):
    aws.reset_calls()
    times = {
        name: Now() + timedelta(seconds=ahead) for name, ahead in about.items() if ahead is not None
    }
    if "lease_until" in about:
        times["lease_id"] = "00000000-0000-0000-0000-000000000001"
    if "login" in about:
        times |= {"login": None, "error_code": "registry_unreachable", "error_what": "Away."}
    CachedLogin.objects.update(outcomes=F("outcomes") + 1, **times)
    served()
    assert len(aws.calls) == calls


def test_stored_times_are_the_databases(served):
    row = CachedLogin.objects.annotate(now=Now()).get()
    now = row.now if row.now.tzinfo else row.now.replace(tzinfo=UTC)
    life = (row.expires_at - now).total_seconds()
    assert 0 < life <= 12 * 3600
    assert abs((row.refresh_after - now).total_seconds() - life / 2) < 60
