"""Roles at AWS that trust one entry: what is asked of whom, every refusal, and boto3 at the same
fake, which fetches the keys that this server publishes."""

from __future__ import annotations

import json
import os
import time
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import boto3
import pytest
from botocore import UNSIGNED
from botocore.config import Config as BotoConfig
from botocore.exceptions import ClientError

from orgs.models import RegistryEntry
from orgs.registries import aws_server, aws_sts
from orgs.registries.aws_ecr import AwsEcr
from orgs.registries.aws_ecr_keyless import AwsEcrAssumeRole, AwsEcrOidc
from orgs.registries.patterns import MatchPattern
from orgs.registries.problems import Failed
from orgs.services.identity import documents, keys, signing
from orgs.services.upstream import calls
from tests.conftest import HOST
from tests.registries.keyless_aws import ACCOUNT, ARN, OWN_ACCOUNT, REGION, own, policy, set_up
from tests.support import issuer as published
from tests.support.aws_roles_app import Refusal
from tests.support.metadata import metadata

__all__ = ["own"]
pytestmark = [pytest.mark.once, pytest.mark.django_db(transaction=True)]

CONFIG = {"role_arn": ARN, "region": REGION}
OIDC, ASSUMED = AwsEcrOidc(), AwsEcrAssumeRole()
PATTERNS = [MatchPattern.parse(f"{HOST}/team/*")]


@pytest.fixture
def entry(make_entry, trusting_aws) -> RegistryEntry:
    return make_entry(f"{HOST}/team/*", registry_type=OIDC.slug, config=CONFIG, secrets={})


@pytest.fixture
def trusted(trusting_aws, entry):
    """The other side as the entry's page shows it: provider, trust policy and permissions."""
    set_up(trusting_aws, entry)
    return trusting_aws


def ask(entry, host: str = HOST, seconds: float = 7, *, proving: bool = False, **given):
    kind = OIDC if entry.registry_type == OIDC.slug else ASSUMED
    asked = calls.asked(kind, host, time.monotonic() + seconds, entry, **given)
    return replace(asked, proven=not proving)


def login(entry, **given):
    kind = OIDC if entry.registry_type == OIDC.slug else ASSUMED
    return kind.login(entry.config, {}, ask(entry, **given))


def refused(entry, **given) -> Failed:
    with pytest.raises(Failed) as failed:
        login(entry, **given)
    error = failed.value
    assert error.what.endswith(".") and error.fix.endswith(".")
    for hidden in ("eyJ", entry.config["role_arn"], "Not authorized", "provider, please"):
        assert hidden not in error.detail, error.detail
    return error


# --- by what this server says of the entry ----------------------------------------------------


def test_two_calls_and_a_login_of_an_hour(trusted, entry) -> None:
    given = login(entry)
    assert given.username == "AWS" and {given.password} == trusted.tokens
    (took,) = trusted.roles.took
    assert (took.what, took.role, took.code) == ("AssumeRoleWithWebIdentity", ARN, "ok")
    assert took.session == f"acme-{entry.pk.hex}"
    life = given.expires_at - datetime.now(UTC)
    assert timedelta(minutes=59) < life <= timedelta(hours=1)
    # Both documents were fetched, once; the next login needs neither.
    login(entry)
    assert len(trusted.roles.relying.fetched) == 2


def test_only_this_entry_is_vouched_for(trusted, entry, make_entry) -> None:
    """Another entry of the same role has another subject, whoever's it is."""
    other = make_entry(f"{HOST}/other/*", registry_type=OIDC.slug, config=CONFIG, secrets={})
    error = refused(other)
    assert error.code == "identity_refused" and "trust doesn't name" in error.what
    assert login(entry)


@pytest.mark.parametrize(
    ("half", "code", "told"),
    [
        ("provider", "identity_refused", "isn't registered there"),
        ("audience", "identity_refused", "not for the audience sts.amazonaws.com"),
        ("subject", "identity_refused", "its trust doesn't name the entry's subject"),
        ("trusted audience", "identity_refused", "its trust doesn't name the entry's subject"),
        ("role", "identity_refused", "the role isn't there"),
        ("permissions", "access_denied", "may not call ecr:GetAuthorizationToken"),
        ("documents", "issuer_unreachable", "couldn't read this server's keys"),
        ("keys", "identity_refused", "doesn't accept"),
        ("clock", "clock_skew", "clock is behind"),
    ],
)
def test_which_half_is_missing(trusted, entry, half, code, told, monkeypatch) -> None:
    roles = trusted.roles
    role = roles.roles[ARN]
    if half == "provider":
        roles.providers.clear()
    elif half == "audience":
        roles.providers[ACCOUNT, published.NAME] = ["somebody.else"]
    elif half == "subject":
        other = str(entry.pk)[::-1]
        role.trust = json.loads(json.dumps(role.trust).replace(str(entry.pk), other))
    elif half == "trusted audience":
        role.trust = json.loads(json.dumps(role.trust).replace("sts.amazonaws.com", "sts.other"))
    elif half == "role":
        roles.roles.clear()
    elif half == "permissions":
        role.policy["Statement"] = role.policy["Statement"][:1]
    elif half == "documents":
        roles.relying.addresses.clear()
    elif half == "keys":  # signed by a key that was dropped, and isn't published
        signer = keys.signing()
        login(entry)
        keys.drop_all()
        monkeypatch.setattr(keys, "signing", lambda: signer)
        documents_anew(roles)
    else:
        roles.relying.clock = lambda: time.time() + 900
    error = refused(entry)
    assert error.code == code and told in error.what
    assert error.transient == (code in {"issuer_unreachable", "clock_skew"})


def documents_anew(roles) -> None:
    """What clouds keep of the keys has ended."""
    documents.held.forget()
    roles.relying._kept.clear()


@pytest.mark.parametrize(
    ("code", "told"),
    [
        ("IDPCommunicationError", "issuer_unreachable"),
        ("IDPRejectedClaim", "identity_refused"),
        ("RegionDisabledException", "identity_refused"),
        ("PackedPolicyTooLarge", "entry_unusable"),
        ("MalformedPolicyDocument", "entry_unusable"),
        ("ValidationError", "identity_refused"),
        ("ExpiredTokenException", "clock_skew"),
        ("Throttling", "throttled"),
        ("InternalFailure", "registry_unreachable"),
        ("SomethingNew", "registry_unreachable"),
    ],
)
def test_what_sts_may_say(trusted, entry, code, told, monkeypatch) -> None:
    def say(asked):
        raise Refusal(500 if code == "InternalFailure" else 400, code, "eyJ and other text")

    monkeypatch.setattr(trusted.roles, "_assume_with_identity", say)
    assert refused(entry).code == told


@pytest.mark.parametrize(
    "answer",
    ["", "{}", "<html>", "<AccessKeyId>ASIA0000000000000000</AccessKeyId>", "\x00", "<" * 100_000],
)
def test_an_answer_that_is_no_session(trusted, entry, answer, monkeypatch) -> None:
    monkeypatch.setattr(trusted.roles, "answer", lambda body, headers: (200, answer))
    assert refused(entry).code == "registry_unreachable"


def test_a_jwt_of_another_audience_is_worth_nothing(trusted, entry) -> None:
    """What was signed for one cloud opens no other, and nothing once its time is over."""
    google = signing.signed(entry, "https://iam.googleapis.com/projects/1/x")
    sts = boto3.client(
        "sts",
        endpoint_url=trusted.url,
        region_name=REGION,
        config=BotoConfig(signature_version=UNSIGNED),
    )
    asked = {"RoleArn": ARN, "RoleSessionName": "replay"}
    with pytest.raises(ClientError) as failed:
        sts.assume_role_with_web_identity(WebIdentityToken=google, **asked)
    assert failed.value.response["Error"]["Code"] == "InvalidIdentityToken"
    own = signing.signed(entry, aws_sts.AUDIENCE)
    given = sts.assume_role_with_web_identity(WebIdentityToken=own, **asked)
    # boto3 gets a login by that session, as we do.
    session = given["Credentials"]
    ecr = boto3.client(
        "ecr",
        endpoint_url=trusted.url,
        region_name=REGION,
        aws_access_key_id=session["AccessKeyId"],
        aws_secret_access_key=session["SecretAccessKey"],
        aws_session_token=session["SessionToken"],
    )
    assert ecr.get_authorization_token()["authorizationData"]
    trusted.roles.relying.clock = lambda: time.time() + 3600
    with pytest.raises(ClientError):
        sts.assume_role_with_web_identity(WebIdentityToken=own, **asked)


def test_no_key_signs_where_another_issuer_is_set(trusted, entry, settings) -> None:
    assert login(entry)
    settings.BASE_URL = "https://other.example.com"
    error = refused(entry)
    assert error.code == "issuer_unreachable" and "change_issuer" in error.fix


@pytest.mark.parametrize("host", ["evil.example.com", HOST.replace("us-east-1", "eu-west-1")])
def test_no_login_for_another_host(trusted, entry, host) -> None:
    assert refused(entry, host=host).code == "entry_unusable"
    assert not trusted.roles.took


def test_all_calls_end_by_one_deadline(trusted, entry) -> None:
    trusted.fault("hang", seconds=30)
    began = time.monotonic()
    assert refused(entry, seconds=1.5).code == "registry_unreachable"
    assert time.monotonic() - began < 10  # far from what hangs
    trusted.clear_faults()


# --- narrowed ---------------------------------------------------------------------------------


def opens(aws, password: str, repository: str) -> bool:
    return aws.may_pull(password, f"arn:aws:ecr:{REGION}:{ACCOUNT}:repository/{repository}")


def test_a_narrowed_login_opens_one_repository(trusted, entry) -> None:
    wide = login(entry).password
    assert all(opens(trusted, wide, name) for name in ("team/train", "team/other"))
    assert not opens(trusted, wide, "elsewhere")
    entry.config = CONFIG | {"narrow": "true"}
    narrow = login(entry, repository="team/train").password
    assert opens(trusted, narrow, "team/train")
    assert not any(opens(trusted, narrow, n) for n in ("team/other", "team/train2", "team", "x"))
    # The role's own policy still holds: narrowing gives nothing.
    beyond = login(entry, repository="elsewhere").password
    assert not opens(trusted, beyond, "elsewhere")


def test_a_name_as_long_as_ecr_takes_fits(trusted, entry) -> None:
    entry.config = CONFIG | {"narrow": "true", "pull_through": "true"}
    name = "team/" + "a" * 251
    assert opens(trusted, login(entry, repository=name).password, name)


# --- by this server's own identity, with the External ID ---------------------------------------


@pytest.fixture
def shared(own, make_entry) -> RegistryEntry:
    """An entry whose role trusts this server's account, with the External ID."""
    entry = make_entry(f"{HOST}/team/*", registry_type=ASSUMED.slug, config=CONFIG, secrets={})
    set_up(own, entry)
    return entry


def external_ids(aws) -> list[str | None]:
    return [took.external_id for took in aws.roles.took]


def test_it_takes_the_role_with_the_entrys_external_id(own, shared) -> None:
    given = login(shared)
    assert {given.password} == own.tokens
    assert external_ids(own) == [signing.who(shared).subject]
    assert given.expires_at - datetime.now(UTC) <= timedelta(hours=1)


def test_a_proof_tries_what_must_be_refused_before_and_after(own, shared) -> None:
    assert login(shared, proving=True)
    own_id = signing.who(shared).subject
    before, right, after = external_ids(own)[:2], external_ids(own)[2], external_ids(own)[3:]
    assert right == own_id and before[0] is None and after[0] is None
    wrong = {before[1], after[1]}
    assert len(wrong) == 2 and own_id not in wrong and {len(w) for w in wrong} == {len(own_id)}
    denied, ok = ["AccessDenied"] * 2, ["ok"]
    assert [took.code for took in own.roles.took] == denied + ok + denied


def test_a_role_that_opens_in_between_proves_nothing(own, shared) -> None:
    took = own.roles._assume

    def opening(asked, body, headers):
        given = took(asked, body, headers)
        own.roles.roles[ARN].trust["Statement"][0].pop("Condition", None)
        return given

    own.roles._assume = opening
    assert refused(shared, proving=True).code == "external_id_not_enforced"
    assert not own.tokens


def test_a_role_that_trusts_all_of_this_servers_entries_is_not_used(trusted, entry) -> None:
    """One that asks for the audience alone would let in any tenant's."""
    assert login(entry, proving=True)
    assert [took.code for took in trusted.roles.took] == ["AccessDenied", "ok", "AccessDenied"]
    conditions = trusted.roles.roles[ARN].trust["Statement"][0]["Condition"]["StringEquals"]
    del conditions[f"{published.NAME.removeprefix('https://')}:sub"]
    before = len(trusted.tokens)
    error = refused(entry, proving=True)
    assert error.code == "identity_refused" and "for any entry" in error.what
    assert len(trusted.tokens) == before


@pytest.mark.parametrize("open_to", ["all", "any External ID"])
def test_a_role_that_asks_for_no_external_id_is_not_used(own, shared, open_to) -> None:
    statement = own.roles.roles[ARN].trust["Statement"][0]
    if open_to == "all":
        del statement["Condition"]
    else:
        statement["Condition"] = {"StringLike": {"sts:ExternalId": "*"}}
    error = refused(shared, proving=True)
    assert error.code == "external_id_not_enforced" and not own.tokens
    assert error.refused and not error.transient


def test_the_trap_a_role_that_denies_all_and_is_opened_later(own, shared) -> None:
    """Saved while the role denied everyone; the day it is opened to this server, without a
    condition or with its owner's own, the entry of another still doesn't reach it."""
    role = own.roles.roles[ARN]
    trust, role.trust = role.trust, {"Version": "2012-10-17", "Statement": []}
    assert refused(shared, proving=True).code == "access_denied"
    role.trust = json.loads(json.dumps(trust))
    role.trust["Statement"][0]["Condition"] = {"StringEquals": {"sts:ExternalId": "the-owners"}}
    assert refused(shared, proving=True).code == "access_denied"
    del role.trust["Statement"][0]["Condition"]
    assert refused(shared, proving=True).code == "external_id_not_enforced"
    assert not own.tokens


@pytest.mark.parametrize("fault", ["Throttling", "InternalFailure"])
def test_an_outage_is_no_denial(own, shared, fault, monkeypatch) -> None:
    def say(asked, body, headers):
        raise Refusal(500 if fault == "InternalFailure" else 400, fault, "later")

    monkeypatch.setattr(own.roles, "_assume", say)
    assert refused(shared, proving=True).transient


def test_no_role_of_the_servers_own_account(own, shared) -> None:
    arn = ARN.replace(ACCOUNT, OWN_ACCOUNT)
    shared.config = CONFIG | {"role_arn": arn}
    own.role(arn, own.roles.roles[ARN].trust, own.roles.roles[ARN].policy)
    for proving in (True, False):
        error = refused(shared, proving=proving)
        assert error.code == "identity_refused" and "own account" in error.what
    with pytest.raises(Failed):  # nor where images are listed
        ASSUMED.lister(shared.config, {}, ask(shared))
    assert not own.roles.took


def test_nothing_of_the_own_identity_goes_to_another_partition(own, shared) -> None:
    shared.config = {"role_arn": ARN.replace("aws:", "aws-cn:"), "region": "cn-north-1"}
    host = "123456789012.dkr.ecr.cn-north-1.amazonaws.com.cn"
    error = refused(shared, host=host)
    assert error.code == "identity_refused" and "partition aws" in error.what
    assert not own.roles.took


@pytest.mark.parametrize("odd", ["", "arn:aws:sts", "arn:aws:sts:::x", "arn:aws-cn:iam::1:user/x"])
def test_an_odd_caller_is_nobody(own, shared, odd, monkeypatch) -> None:
    xml = f"<GetCallerIdentityResult><Arn>{odd}</Arn></GetCallerIdentityResult>"
    monkeypatch.setattr(own.roles, "answer", lambda body, headers: (200, xml))
    aws_server.forget()
    assert refused(shared).transient and not own.tokens


@pytest.mark.parametrize("fault", ["key", "secret"])
def test_what_is_wrong_with_the_own_identity_is_no_tenants(own, shared, fault, monkeypatch) -> None:
    if fault == "key":
        monkeypatch.setenv("AWS_ACCESS_KEY_ID", "AKIAI44QH8DHBEXAMPLE")
    else:
        monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "x" * 40)
    aws_server.forget()
    error = refused(shared)
    assert error.code == "issuer_unreachable" and "Ask staff" in error.fix
    assert "AKIA" not in error.in_full


def test_a_line_break_behind_the_own_token_is_cut(own, shared, monkeypatch) -> None:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, f"{os.environ[name]}\r\n")
    aws_server.forget()
    assert login(shared)
    monkeypatch.setenv("AWS_SESSION_TOKEN", "a\nb")
    aws_server.forget()
    assert "no AWS identity" in refused(shared).what


def test_it_is_off_unless_staff_switch_it_on(own, shared, settings) -> None:
    settings.AWS_SERVER_IDENTITY = False
    error = refused(shared)
    assert error.code == "issuer_unreachable" and "AWS_SERVER_IDENTITY" in error.fix
    assert error.transient
    assert not own.roles.took


@pytest.mark.parametrize("kind", ["aws-ecr-oidc", "aws-ecr"])
def test_no_other_type_uses_it(own, trusted, entry, kind, aws, make_entry) -> None:
    """With hostile surroundings the own identity stays what one type alone uses."""
    if kind == "aws-ecr-oidc":
        login(entry)
        assert [took.what for took in own.roles.took] == ["AssumeRoleWithWebIdentity"]
    else:
        with pytest.raises(Failed) as failed:
            AwsEcr().login({"access_key_id": "", "region": REGION}, {}, ask(entry))
        assert failed.value.code == "entry_unusable" and not own.roles.took


def test_no_profile_and_no_file_is_its_identity(own, shared, monkeypatch, tmp_path) -> None:
    file = tmp_path / "credentials"
    file.write_text("[default]\naws_access_key_id = AKIA\naws_secret_access_key = x\n")
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.delenv(name)
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(file))
    monkeypatch.setenv("AWS_PROFILE", "nobody")
    monkeypatch.setenv("AWS_EC2_METADATA_SERVICE_ENDPOINT", "http://127.0.0.1:9/")
    aws_server.forget()
    error = refused(shared)
    assert error.code == "issuer_unreachable" and "no AWS identity" in error.what
    assert not own.roles.took


def test_an_instances_role_is_its_identity(own, shared, monkeypatch) -> None:
    """By IMDSv2, as moto serves it; the session that comes of it is one of an hour at most."""
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.delenv(name)
    arn = f"arn:aws:iam::{OWN_ACCOUNT}:role/server"
    everything = {"Effect": "Allow", "Action": "sts:AssumeRole", "Resource": "*"}
    role = own.role(arn, {"Statement": []}, {"Statement": [everything]})
    session = own.roles._open(role, {"RoleSessionName": "i-1"}, longest=3600)
    with metadata(session) as url:
        monkeypatch.setenv("AWS_EC2_METADATA_SERVICE_ENDPOINT", url)
        aws_server.forget()
        assert login(shared, proving=True)


# --- a user's key that takes a role ---------------------------------------------------------


def test_a_key_may_take_a_role(trusting_aws, make_entry) -> None:
    allowed = {"Effect": "Allow", "Action": "sts:AssumeRole", "Resource": ARN}
    key_id, secret = trusting_aws.create_user("valohai", policy(allowed))
    user = f"arn:aws:iam::{ACCOUNT}:user/valohai"
    trust = {"Effect": "Allow", "Principal": {"AWS": user}, "Action": "sts:AssumeRole"}
    rights = json.loads(OIDC.policy(CONFIG, PATTERNS).document)
    trusting_aws.role(ARN, {"Statement": [trust]}, rights)
    config = {"access_key_id": key_id, **CONFIG, "narrow": "true"}
    secrets = {"secret_access_key": secret}
    entry = make_entry(f"{HOST}/team/*", config=config, secrets=secrets)
    given = AwsEcr().login(config, secrets, ask(entry, repository="team/train"))
    assert opens(trusting_aws, given.password, "team/train")
    assert not opens(trusting_aws, given.password, "team/other")
    # Without the right to take it.
    trusting_aws.put_policy("valohai", policy(allowed | {"Resource": f"{ARN}Other"}))
    with pytest.raises(Failed) as failed:
        AwsEcr().login(config, secrets, ask(entry, repository="team/train"))
    assert failed.value.code == "access_denied" and ARN not in failed.value.detail


def test_boto3_is_refused_what_we_are(own, shared) -> None:
    """The fake takes boto3's requests as ours: with the entry's External ID alone."""
    sts = boto3.client("sts", endpoint_url=own.url, region_name=REGION)
    asked = {"RoleArn": ARN, "RoleSessionName": "boto3"}
    for more in ({}, {"ExternalId": "another"}, {"ExternalId": "an:other"}):
        with pytest.raises(ClientError) as failed:
            sts.assume_role(**asked, **more)
        assert failed.value.response["Error"]["Code"] == "AccessDenied"
    given = sts.assume_role(**asked, ExternalId=signing.who(shared).subject)["Credentials"]
    assert given["AccessKeyId"] in own.roles.sessions
    other = ARN.replace("ValohaiRegistries", "Other")
    with pytest.raises(ClientError):
        sts.assume_role(**asked | {"RoleArn": other}, ExternalId=signing.who(shared).subject)
