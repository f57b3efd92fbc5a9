"""From image to login, against a fake AWS that checks signatures and policies."""

import time
import uuid
from datetime import timedelta

import pytest
from django.db import DatabaseError, transaction
from django.utils import timezone

from orgs.models import AuditEvent, CachedLogin, Project, RegistryEntry
from orgs.registries.images import ImageReference
from orgs.registries.problems import Failed
from orgs.registries.types import DockerLogin
from orgs.services.audit import events
from orgs.services.entries import door
from orgs.services.entries.validating import EntrySpec
from orgs.services.logins import issuing, minting
from tests.conftest import CANARY, HOST, changed_to

pytestmark = pytest.mark.django_db(transaction=True)

IMAGE = f"{HOST}/my-ml-image:v1.0"


@pytest.fixture
def ask(project, actor):
    def ask(image=IMAGE, **kwargs):
        kwargs.setdefault("project", project)
        return issuing.login_for(image=ImageReference.parse(image), actor=actor, **kwargs)

    return ask


@pytest.fixture
def key(aws):
    return aws.create_user("valohai", aws.policy())


@pytest.fixture
def entry(make_entry, key):
    return make_entry(config={"access_key_id": key[0]}, secrets={"secret_access_key": key[1]})


def cached(**changes):
    return CachedLogin.objects.update(**changes)


def test_the_guides_policy_gets_a_login(aws, entry, ask):
    answer = ask()
    assert answer.login.username == "AWS"
    assert answer.login.password in aws.tokens
    assert answer.server == HOST
    assert timedelta(hours=11) < answer.login.expires_at - timezone.now() < timedelta(hours=13)
    assert answer.refresh_at <= timezone.now() + timedelta(minutes=10)
    event = AuditEvent.objects.get(action="login.issued")
    assert event.subject == f"{HOST}/my-ml-image:v1.0"
    entry.refresh_from_db()
    assert (entry.status, entry.last_used_at is not None) == ("verified", True)


def test_a_cached_login_asks_aws_once(aws, entry, ask):
    first = ask()
    assert ask(f"{HOST}/other@sha256:{'a' * 64}").login.password == first.login.password
    assert len(aws.calls) == 1


def test_the_server_is_answered_as_the_client_wrote_it(entry, ask):
    assert ask(f"{HOST.upper()}:443/x").server == f"{HOST.upper()}:443"


def _refused(ask, **kwargs):
    with pytest.raises(Failed) as refused:
        ask(**kwargs)
    return refused.value


def test_without_the_action_access_is_denied(aws, entry, ask):
    aws.remove_policy("valohai")
    error = _refused(ask)
    assert error.code == "access_denied"
    assert "may not call ecr:GetAuthorizationToken" in error.what
    event = AuditEvent.objects.get(action="login.refused")
    assert (event.code, event.subject_id) == ("access_denied", str(entry.pk))
    assert event.properties["pattern"] == f"{HOST}/*"
    entry.refresh_from_db()
    assert (entry.status, entry.status_code) == ("failing", "access_denied")


def test_a_wrong_secret_is_a_signature_mismatch(make_entry, key, ask):
    make_entry(config={"access_key_id": key[0]})
    error = _refused(ask)
    assert error.code == "signature_mismatch"
    assert CANARY not in str(error)


def test_an_unknown_key_is_invalid(aws, make_entry, ask):
    make_entry()
    assert _refused(ask).code == "invalid_key"


def test_moto_unmended_is_understood_too(aws, make_entry, key, ask):
    aws.raw = True
    make_entry(config={"access_key_id": key[0]})
    assert _refused(ask).code == "signature_mismatch"


def test_hostile_surroundings_change_nothing(aws, entry, ask, monkeypatch, tmp_path):
    config = tmp_path / "config"
    config.write_text("[profile evil]\nregion=eu-west-1\nendpoint_url=http://127.0.0.1:9\n")
    for name, value in {
        "AWS_PROFILE": "evil",
        "AWS_CONFIG_FILE": str(config),
        "AWS_SHARED_CREDENTIALS_FILE": str(config),
        "AWS_ACCESS_KEY_ID": "AKIAHOSTILEHOSTILE12",
        "AWS_SECRET_ACCESS_KEY": "h" * 40,
        "AWS_SESSION_TOKEN": "hostile",
        "AWS_REGION": "eu-west-1",
        "AWS_DEFAULT_REGION": "eu-west-1",
        "AWS_ENDPOINT_URL": "http://127.0.0.1:9",
        "AWS_ENDPOINT_URL_ECR": "http://127.0.0.1:9",
        "AWS_USE_FIPS_ENDPOINT": "true",
        "AWS_USE_DUALSTACK_ENDPOINT": "true",
        "AWS_MAX_ATTEMPTS": "9",
        "AWS_RETRY_MODE": "adaptive",
        "AWS_DATA_PATH": str(tmp_path),
        "AWS_DEFAULTS_MODE": "nonsense",
    }.items():
        monkeypatch.setenv(name, value)
    assert ask().login.password in aws.tokens
    (call,) = aws.calls
    assert (call.access_key_id, call.region) == (entry.config["access_key_id"], "us-east-1")


def test_an_empty_key_never_signs_with_the_servers_own(aws, entry, ask, monkeypatch, key):
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", key[0])
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", key[1])
    RegistryEntry.objects.update(secrets=None)
    assert _refused(ask).code == "entry_unusable"
    assert aws.calls == []


def test_no_login_for_a_lookalike_that_slipped_into_the_table(aws, entry, ask):
    entry.patterns.update(host=f"{HOST}.evil.com", normalized=f"{HOST}.evil.com/*")
    assert _refused(ask, image=f"{HOST}.evil.com/x").code == "entry_unusable"
    assert aws.calls == []


def test_personal_projects_and_unmatched_images_are_told_why(entry, ask, alice):
    personal = Project.objects.create(name="mine", user=alice)
    assert _refused(ask, project=personal).code == "personal_project"
    error = _refused(ask, image="ghcr.io/me/x")
    assert (error.code, "ghcr.io/me/*" in error.fix) == ("no_match", True)
    refusals = AuditEvent.objects.filter(action="login.refused")
    assert [(event.subject_id, "pattern" in event.properties) for event in refusals] == [
        *(("", False), ("", False)),
    ]


def test_a_secret_sealed_under_a_lost_key_is_told(aws, entry, ask, settings):
    from cryptography.fernet import Fernet

    settings.FERNET_KEYS = [Fernet.generate_key().decode()]
    error = _refused(ask)
    assert (error.code, "FERNET_KEYS" in error.fix) == ("entry_unusable", True)
    entry.refresh_from_db()
    assert entry.status == "unreadable"
    assert AuditEvent.objects.get(action="login.refused").subject_id == str(entry.pk)


def test_an_instance_role_answers_without_calling_anything(aws, make_entry, ask):
    make_entry(registry_type="aws-ecr-role")
    answer = ask()
    assert answer.kind == "instance-role"
    assert (answer.login.role_name, answer.login.region) == ("ValohaiWorkerRole", "us-east-1")
    assert aws.calls == []
    assert not CachedLogin.objects.exists()


def test_never_inside_a_transaction(entry, ask):
    with transaction.atomic(), pytest.raises(AssertionError):
        ask()


def test_fips_and_plain_hosts_are_minted_apart(aws, make_entry, key, ask):
    fips = HOST.replace(".ecr.", ".ecr-fips.")
    make_entry(
        [f"{HOST}/*", f"{fips}/*"],
        config={"access_key_id": key[0]},
        secrets={"secret_access_key": key[1]},
    )
    assert ask().login.password != ask(f"{fips}/x").login.password
    assert set(CachedLogin.objects.values_list("scope", flat=True)) == {"", "fips"}


# --- when AWS fails --------------------------------------------------------------


def _due_for_refresh():
    cached(refresh_after=timezone.now() - timedelta(seconds=1))


@pytest.mark.parametrize("kind", ["hang", "throttle", "error500"])
def test_a_cached_login_serves_without_delay_while_aws_fails(aws, entry, ask, kind):
    password = ask().login.password
    _due_for_refresh()
    aws.fault(kind)
    started = time.monotonic()
    assert ask().login.password == password
    assert time.monotonic() - started < 4  # whoever waits for it waits seven
    minting.background.drain()
    aws.clear_faults()
    row = CachedLogin.objects.get()
    assert row.login is not None
    assert row.error_code in {"registry_unreachable", "throttled"}
    assert row.next_try_at - timezone.now() > timedelta(seconds=50)
    entry.refresh_from_db()
    assert entry.status == "verified"


def test_at_half_life_one_asker_refreshes_in_the_background(aws, entry, ask):
    first = ask().login.password
    _due_for_refresh()
    assert ask().login.password == first
    minting.background.drain()
    assert ask().login.password != first
    assert len(aws.calls) == 2


def test_a_refusal_keeps_the_still_valid_login_and_marks_the_entry(aws, entry, ask):
    password = ask().login.password
    _due_for_refresh()
    aws.remove_policy("valohai")
    assert ask().login.password == password
    minting.background.drain()
    assert ask().login.password == password
    entry.refresh_from_db()
    assert (entry.status, entry.status_code) == ("failing", "access_denied")


def test_a_refusal_without_a_login_is_told_and_remembered(aws, entry, ask):
    aws.remove_policy("valohai")
    _refused(ask)
    aws.put_policy("valohai", aws.policy())
    calls = len(aws.calls)
    assert _refused(ask).code == "access_denied"
    assert len(aws.calls) == calls
    minting.forget_failures(entry)
    assert ask().login.password in aws.tokens


def test_a_new_key_that_aws_does_not_know_yet_is_tried_soon(aws, make_entry, ask):
    entry = make_entry()
    _refused(ask)
    row = CachedLogin.objects.get()
    assert row.next_try_at - timezone.now() < timedelta(seconds=7)
    old = timezone.now() - timedelta(minutes=3)
    RegistryEntry.objects.filter(pk=entry.pk).update(secrets_changed_at=old)
    cached(next_try_at=None)
    _refused(ask)
    assert CachedLogin.objects.get().next_try_at - timezone.now() > timedelta(seconds=50)


def test_a_cold_timeout_tells_when_to_ask_again(aws, entry, ask):
    aws.fault("hang")
    started = time.monotonic()
    error = _refused(ask)
    assert 4 < time.monotonic() - started < 20  # it hangs for longer
    aws.clear_faults()
    assert (error.code, error.retry_after) == ("registry_unreachable", 5)
    again = _refused(ask)
    assert again.code == "registry_unreachable"
    assert 1 <= again.retry_after <= 6


def test_a_login_about_to_expire_is_not_given(aws, entry, ask):
    first = ask().login.password
    cached(expires_at=timezone.now() + timedelta(minutes=4))
    assert ask().login.password != first


def test_skew_is_our_clock_not_a_wrong_secret(aws, entry, ask):
    aws.fault("skew")
    assert _refused(ask).code == "clock_skew"


# --- changes in between ----------------------------------------------------------


def test_an_edit_during_a_refresh_never_brings_the_old_login_back(aws, entry, ask, actor):
    import threading

    old = ask().login.password
    _due_for_refresh()
    aws.fault("slow", seconds=1.5, times=1)
    ask()
    new_key = aws.create_user("other", aws.policy())
    spec = EntrySpec(
        registry_type="aws-ecr",
        patterns=[f"{HOST}/*"],
        config={"access_key_id": new_key[0]},
        secrets={"secret_access_key": new_key[1]},
    )
    door.entry_update(entry=entry, actor=actor, change=changed_to(spec))
    assert not CachedLogin.objects.exists()
    minting.background.drain()
    assert not CachedLogin.objects.filter(login__isnull=False).exists()
    fresh = ask().login.password
    assert fresh != old
    assert aws.calls[-1].access_key_id == new_key[0]
    assert threading.active_count() < 50


def test_an_edit_while_a_cold_asker_waits_is_resolved_again(aws, entry, ask, actor, monkeypatch):
    mint = minting._refresh

    def edited_meanwhile(found, row, host, lease):
        monkeypatch.setattr(minting, "_refresh", mint)
        door.entry_set_enabled(entry=found, actor=actor, enabled=False)
        return mint(found, row, host, lease)

    monkeypatch.setattr(minting, "_refresh", edited_meanwhile)
    assert _refused(ask).code == "no_match"


@pytest.mark.parametrize("lost", ["version", "lease", "enabled", "row"])
def test_only_the_lease_holder_stores_and_only_for_the_entry_it_read(entry, lost):
    row = CachedLogin.objects.create(entry=entry)
    lease = minting._take_lease(row)
    login = DockerLogin("AWS", "minted", timezone.now() + timedelta(hours=12))
    standing = RegistryEntry.objects.filter(pk=entry.pk)
    if lost == "version":
        standing.update(credentials_version=2)
    elif lost == "enabled":
        standing.update(enabled=False)
    elif lost == "lease":
        cached(lease_id=uuid.uuid4())
    else:
        CachedLogin.objects.all().delete()
    assert not minting._store(entry, row, lease, login)
    assert not CachedLogin.objects.filter(login__isnull=False).exists()


def test_access_lost_during_the_wait_gives_no_login(aws, entry, ask):
    def revoked():
        raise Failed("token_revoked", "This token was revoked.")

    assert _refused(ask, recheck=revoked).code == "token_revoked"
    # the asker's, not the entry's
    assert AuditEvent.objects.get(action="login.refused").subject_id == ""


# --- audit -----------------------------------------------------------------------


def test_no_event_no_login_and_aws_is_not_asked_again(aws, entry, ask, monkeypatch):
    def fail(found):
        raise DatabaseError("disk full")

    with monkeypatch.context() as patch:
        patch.setattr(events, "insert", fail)
        error = _refused(ask)
    assert (error.code, error.retry_after) == ("audit_unavailable", 2)
    assert ask().login.password in aws.tokens
    assert len(aws.calls) == 1


def test_last_used_is_written_once_in_five_minutes(entry, ask):
    ask()
    used = RegistryEntry.objects.get().last_used_at
    ask()
    assert RegistryEntry.objects.get().last_used_at == used
    RegistryEntry.objects.update(last_used_at=used - timedelta(minutes=6))
    ask()
    assert RegistryEntry.objects.get().last_used_at > used
