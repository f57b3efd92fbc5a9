"""Verify: three steps against a real registry and a fake AWS that judges, each with its cause."""

from __future__ import annotations

import time
from datetime import timedelta
from types import SimpleNamespace

import pytest
from django.db import transaction
from django.utils import timezone

from orgs.models import AuditEvent, CachedLogin, RegistryEntry, Verification
from orgs.registries.distribution import RegistryApi
from orgs.registries.images import ImageReference
from orgs.registries.places import Places
from orgs.registries.problems import Failed, Refused
from orgs.registries.types import DockerLogin
from orgs.services.entries import door
from orgs.services.entries.status import status_mark
from orgs.services.entries.validating import EntrySpec
from orgs.services.logins import minting
from orgs.services.upstream import calls
from orgs.services.verification import many, verifying
from tests.conftest import CANARY, HOST, changed_to
from tests.support.internet import HOST as REGISTRY
from tests.support.internet import reply

pytestmark = pytest.mark.django_db(transaction=True)

IMAGE = f"{HOST}/my-ml-image:v1.0"


@pytest.fixture(autouse=True)
def pauses(monkeypatch):
    paused = []
    monkeypatch.setattr(
        calls, "time", SimpleNamespace(sleep=paused.append, monotonic=time.monotonic)
    )
    return paused


@pytest.fixture
def entry(aws, make_entry):
    key_id, secret = aws.create_user("valohai", aws.policy())
    return make_entry(config={"access_key_id": key_id}, secrets={"secret_access_key": secret})


@pytest.fixture
def verify(actor):
    def verify(entry, image=None):
        entry.refresh_from_db()
        named = ImageReference.parse(image) if image else None
        report = verifying.entry_verify(entry=entry, actor=actor, image=named)
        entry.refresh_from_db()
        return report

    return verify


def results(report):
    return [(step.name, step.result.value, step.code) for step in report.steps]


def test_all_three_steps_hold(ecr, entry, verify):
    report = verify(entry, IMAGE)
    assert results(report) == [("login", "ok", ""), ("registry", "ok", ""), ("image", "ok", "")]
    assert report.holds and report.failed is None
    assert (entry.status, entry.status_code, entry.status_detail) == ("verified", "", "")
    assert timezone.now() - entry.status_at < timedelta(seconds=10)
    assert any("manifests/v1.0" in seen.path and seen.authenticated for seen in ecr.requests)
    assert not CachedLogin.objects.exists()
    event = AuditEvent.objects.get(action="entry.verified")
    assert (event.code, event.properties) == ("ok", {"image": IMAGE})


def test_without_an_image_the_third_step_is_left_open(ecr, entry, verify):
    report = verify(entry)
    assert results(report)[2] == ("image", "not_checked", "")
    assert report.steps[2].what == "Name an image to check."
    assert report.holds and entry.status == "verified"


@pytest.mark.parametrize(
    ("image", "code"),
    [
        (f"{HOST}/my-ml-image:v2.0", "image_not_found"),
        (f"{HOST}/another:v1.0", "image_not_found"),
        (f"{HOST}/my-ml-image@sha256:{'0' * 64}", "image_not_found"),
    ],
)
def test_an_image_that_is_not_there_proves_nothing_either_way(image, code, ecr, entry, verify):
    report = verify(entry, image)
    assert results(report)[1:] == [("registry", "ok", ""), ("image", "failed", code)]
    assert report.steps[2].what and report.steps[2].fix
    assert not report.holds and (entry.status, entry.status_code) == ("unverified", code)
    # nor does a login that is renewed say that the image is there
    status_mark(entry, RegistryEntry.Status.VERIFIED, login_only=True)
    assert RegistryEntry.objects.get().status == "unverified"
    assert verify(entry, IMAGE).holds and RegistryEntry.objects.get().status == "verified"


def test_an_image_that_may_not_be_read_is_a_failure(ecr, entry, verify, monkeypatch, mailoutbox):
    def denied(self, path, reference):
        raise Failed("image_denied", "The registry doesn't let it read.", "Ask.")

    monkeypatch.setattr(RegistryApi, "read_manifest", denied)
    report = verify(entry, IMAGE)
    assert report.failed.code == "image_denied" and not report.holds
    assert "Attach the policy below" in report.failed.fix
    assert (entry.status, entry.status_code) == ("failing", "image_denied")
    # A login alone proves nothing about images …
    minting.minted_login(entry, minting.Place(HOST))
    entry.refresh_from_db()
    assert entry.status == "failing"
    # … a check does.
    monkeypatch.undo()


def test_the_registry_turns_the_login_down(ecr, aws, entry, verify):
    aws.on_token(None)
    report = verify(entry, IMAGE)
    assert results(report) == [
        ("login", "ok", ""), ("registry", "failed", "login_refused"), ("image", "not_checked", ""),
    ]  # fmt: skip
    assert (entry.status, entry.status_code) == ("failing", "login_refused")


@pytest.mark.parametrize(
    ("break_it", "code", "fix"),
    [
        (lambda aws, key: aws.remove_policy("valohai"), "access_denied", "the policy below"),
        (lambda aws, key: aws.remove_key(key), "invalid_key", "Security credentials"),
    ],
)
def test_a_refused_login(break_it, code, fix, ecr, aws, entry, verify):
    break_it(aws, entry.config["access_key_id"])
    report = verify(entry, IMAGE)
    assert results(report) == [
        ("login", "failed", code), ("registry", "not_checked", ""), ("image", "not_checked", ""),
    ]  # fmt: skip
    assert fix in report.failed.fix and not report.holds
    assert (entry.status, entry.status_code) == ("failing", code)
    assert not ecr.requests


def test_a_new_key_is_tried_again_and_an_old_one_is_not(aws, entry, verify, pauses):
    aws.remove_key(entry.config["access_key_id"])
    verify(entry)
    assert pauses == [3.0, 5.0] and len(aws.calls) == 3
    old = timezone.now() - timedelta(minutes=5)
    RegistryEntry.objects.update(secrets_changed_at=old)
    pauses.clear()
    aws.reset_calls()
    verify(entry)
    assert pauses == [] and len(aws.calls) == 1


def test_a_key_that_comes_to_be_known(ecr, aws, entry, verify, pauses, monkeypatch):
    aws.fault("unknown_key", times=2)
    assert verify(entry, IMAGE).holds
    assert pauses == [3.0, 5.0] and entry.status == "verified"


def test_an_outage_is_told_and_marks_nothing(aws, entry, verify):
    aws.fault("error500")
    report = verify(entry)
    assert results(report)[0] == ("login", "failed", "registry_unreachable")
    assert not report.holds and "workers can't pull until it answers" in report.failed.fix
    assert entry.status == "unverified"


def test_an_outage_while_workers_have_a_login(aws, entry, verify):
    minting.minted_login(entry, minting.Place(HOST))
    until = CachedLogin.objects.get().expires_at
    aws.fault("error500")
    fix = verify(entry).failed.fix
    assert f"Wait: workers keep the login valid until {until:%H:%M} UTC; if it lasts" in fix
    CachedLogin.objects.update(expires_at=timezone.now() + timedelta(minutes=4))
    assert "workers can't pull until it answers" in verify(entry).failed.fix


@pytest.mark.parametrize("address", ["127.0.0.1", "169.254.169.254", "::1"])
def test_a_host_that_leads_inside_is_refused_but_the_login_counts(
    address, aws, internet, entry, verify
):
    internet.name(HOST, [address])
    report = verify(entry, IMAGE)
    assert results(report)[1] == ("registry", "failed", "unsafe_address")
    assert not internet.dials and not report.holds
    # nothing against it, and no proof
    assert (entry.status, entry.status_code) == ("unverified", "unsafe_address")


def test_the_operators_networks_are_not_for_ecr(aws, internet, entry, verify, settings):
    settings.OUTBOUND_ALLOWED_NETWORKS = ["127.0.0.0/8"]
    internet.name(HOST, ["127.0.0.1"])
    assert verify(entry).failed.code == "unsafe_address"


def docker_entry(make_entry, host, password=CANARY):
    return make_entry(
        f"{host}/*",
        registry_type="docker",
        config={"username": "robot"},
        secrets={"password": password},
    )


@pytest.mark.parametrize(("networks", "code"), [([], "unsafe_address"), (["10.20.0.0/16"], None)])
def test_other_registries_are_public_unless_opened(
    networks, code, ecr, internet, make_entry, verify, settings
):
    host = "registry.example.org"
    settings.OUTBOUND_ALLOWED_NETWORKS = networks
    entry = docker_entry(make_entry, host)
    internet.name(host, ["10.20.30.41"])
    report = verify(entry)
    assert report.failed.code == (code or "registry_unreachable")
    assert bool(internet.dials) is bool(networks)
    # Nobody else says whether this password is good.
    assert entry.status == ("unreachable" if networks else "unverified") and not report.holds
    assert CANARY not in str(report)


@pytest.mark.parametrize(
    ("status", "code", "marked"),
    [
        (200, None, "verified"),
        (404, "image_not_found", "unverified"),
        # Docker Hub and others say so of what isn't there, too.
        (403, "image_not_readable", "unverified"),
        (503, "registry_unreachable", "unverified"),
    ],
)
def test_a_registry_with_a_password(status, code, marked, internet, make_entry, verify):
    """Its password is proven by `/v2/`; what one image says isn't the entry's failure."""
    seen = []

    def script(request):
        seen.append(request)
        if not request.authorization:
            return reply(401, www_authenticate='Basic realm="r"')
        return reply(200, {}) if request.target == "/v2/" else reply(status, {})

    internet.serve(script)
    entry = docker_entry(make_entry, REGISTRY)
    report = verify(entry, f"{REGISTRY}/team/train:v1")
    assert (report.failed.code if report.failed else None) == code
    assert report.holds == (code is None) and entry.status == marked
    assert seen[-1].target == "/v2/team/train/manifests/v1"
    assert CANARY not in str(report)


def test_a_wrong_password_is_the_entrys_failure(internet, make_entry, verify):
    internet.serve(lambda request: reply(401, www_authenticate='Basic realm="r"'))
    entry = docker_entry(make_entry, REGISTRY)
    assert verify(entry).failed.code == "login_refused"
    assert (entry.status, entry.status_code) == ("failing", "login_refused")
    assert CANARY not in entry.status_detail


def test_a_result_of_what_the_entry_was_is_not_written(aws, entry, actor):
    stale = RegistryEntry.objects.get(pk=entry.pk)
    spec = EntrySpec(
        "aws-ecr", [f"{HOST}/*"], {"access_key_id": "AKIAI44QH8DHBEXAMPLE"},
        {"secret_access_key": CANARY},
    )  # fmt: skip
    door.entry_update(entry=entry, actor=actor, change=changed_to(spec))
    for status in ("failing", "verified"):
        status_mark(stale, status, Failed("access_denied", "No.", "Do."))
    entry.refresh_from_db()
    assert (entry.status, entry.failure_told_at) == ("unverified", None)


def test_a_pattern_for_any_account_needs_an_image(ecr, aws, make_entry, verify):
    key_id, secret = aws.create_user("valohai", aws.policy())
    entry = make_entry(
        "*.dkr.ecr.us-east-1.amazonaws.com/*",
        config={"access_key_id": key_id},
        secrets={"secret_access_key": secret},
    )
    report = verify(entry)
    assert [step.result for step in report.steps] == ["ok", "not_checked", "not_checked"]
    assert "Name an image" in report.steps[1].what and entry.status == "verified"
    assert verify(entry, IMAGE).steps[2].result == "ok"


def test_what_a_server_cannot_check_is_refused(make_entry, verify, entry):
    role = make_entry(f"{HOST}/role/*", registry_type="aws-ecr-role")
    with pytest.raises(Refused) as refused:
        verify(role)
    assert refused.value.code == "checked_on_workers"
    off = make_entry(f"{HOST}/off/*", enabled=False)
    with pytest.raises(Refused) as refused:
        verify(off)
    assert refused.value.code == "disabled"
    with pytest.raises(Refused) as refused:
        verify(entry, "docker.io/library/python:3")
    assert refused.value.code == "image_elsewhere"
    assert not Verification.objects.exclude(at=None).exists()


def test_an_unreadable_secret(aws, entry, verify, settings):
    settings.FERNET_KEYS = ["cw_0x689RpI-jtRR7oE8h_eQsKImvJapLeSbXpwF4e4="]
    report = verify(entry)
    assert results(report)[0] == ("login", "failed", "entry_unusable")
    assert entry.status == "unreadable"


def test_it_forgets_what_is_remembered_and_keeps_a_login(ecr, aws, entry, verify, settings):
    password = minting.minted_login(entry, minting.Place(HOST))[0].password
    CachedLogin.objects.update(
        error_code="access_denied", next_try_at=timezone.now() + timedelta(minutes=1)
    )
    assert verify(entry).holds
    row = CachedLogin.objects.get()
    assert (row.error_code, row.next_try_at) == ("", None)
    assert minting.minted_login(entry, minting.Place(HOST))[0].password == password


def test_one_at_a_time(aws, entry, verify):
    Verification.objects.create(
        entry=entry, claim_id="0" * 32, claim_until=timezone.now() + timedelta(seconds=30)
    )
    with pytest.raises(Failed) as busy:
        verify(entry)
    assert busy.value.code == "busy" and not aws.calls
    Verification.objects.update(claim_until=timezone.now() - timedelta(seconds=1))
    verify(entry)
    assert Verification.objects.get().claim_id is None


def test_a_few_in_a_process(aws, entry, verify, monkeypatch):
    monkeypatch.setattr(calls, "PAGES", Places(1, "Full."))
    with calls.looking(entry), pytest.raises(Failed) as busy:
        verify(entry)
    assert busy.value.code == "busy" and not aws.calls


def test_a_change_meanwhile_is_not_written_over(aws, entry, verify, actor, monkeypatch):
    def login(self, config, secrets, ask):
        other = RegistryEntry.objects.get(pk=entry.pk)
        door.entry_set_enabled(entry=other, actor=actor, enabled=False)
        return DockerLogin("AWS", "p", None)

    monkeypatch.setattr("orgs.registries.aws_ecr.AwsEcr.login", login)
    with pytest.raises(Failed) as changed:
        verify(entry)
    assert changed.value.code == "entry_changed"
    entry.refresh_from_db()
    assert entry.status == "unverified" and Verification.objects.get().at is None


def test_an_edit_forgets_the_steps_but_not_the_image(ecr, entry, verify, actor):
    verify(entry, IMAGE)
    spec = EntrySpec("aws-ecr", [f"{HOST}/my-ml-image"], dict(entry.config))
    door.entry_update(entry=entry, actor=actor, change=changed_to(spec))
    assert verifying.newest(entry, private=True) == (None, IMAGE)


def test_an_entry_that_is_gone(aws, entry, actor):
    stale = RegistryEntry.objects.prefetch_related("patterns").get(pk=entry.pk)
    assert stale.pattern_texts
    RegistryEntry.objects.filter(pk=entry.pk).delete()
    with pytest.raises(RegistryEntry.DoesNotExist):
        verifying.entry_verify(entry=stale, actor=actor)
    ((_, told),) = many.verify_in_turn([stale], actor)
    assert told.code == "entry_not_found" and not aws.calls


def test_a_crash_gives_the_claim_back(aws, entry, verify, monkeypatch):
    def crash(*args, **kwargs):
        raise RuntimeError("crashed")

    monkeypatch.setattr("orgs.registries.aws_ecr.AwsEcr.login", crash)
    with pytest.raises(RuntimeError):
        verify(entry)
    assert Verification.objects.get().claim_id is None


def test_never_inside_a_transaction(aws, entry, verify):
    with transaction.atomic(), pytest.raises(AssertionError, match="never called inside"):
        verify(entry)


def test_members_see_no_key_id(aws, entry, verify):
    aws.remove_policy("valohai")
    verify(entry)
    key_id = entry.config["access_key_id"]
    assert key_id in verifying.newest(entry, private=True)[0].failed.what
    assert key_id not in str(verifying.newest(entry, private=False))


def test_many_at_once(ecr, aws, entry, make_entry, actor, monkeypatch, caplog):
    role = make_entry(f"{HOST}/role/*", registry_type="aws-ecr-role")
    wrong = make_entry(f"{HOST}/wrong/*")
    found = [entry, role, wrong]
    told = dict(many.verify_in_turn(found, actor))
    assert told[entry].holds and told[role].code == "checked_on_workers"
    assert told[wrong].failed.code == "invalid_key"
    steps = verifying._steps

    def stumble(checked, *args):
        if checked == entry:
            raise ZeroDivisionError(CANARY)
        return steps(checked, *args)

    with monkeypatch.context() as patch:
        patch.setattr(verifying, "_steps", stumble)
        told = dict(many.verify_in_turn(found, actor))
    assert told[entry].code == "server_error" and told[wrong].failed.code == "invalid_key"
    assert "ZeroDivisionError" in caplog.text and CANARY not in caplog.text
