"""What comes along when a value is copied: taken off where only one thing can be meant, else
said without a letter of it."""

from __future__ import annotations

import contextlib
import re

import pytest

from orgs.registries import pasted_values
from orgs.registries.catalogue import BY_SLUG, TYPES
from orgs.registries.ecr_hosts import partitions
from orgs.registries.patterns import MatchPattern
from orgs.registries.problems import Refused
from orgs.registries.types import Blanks
from tests.conftest import CANARY, HOST
from tests.support import effort

pytestmark = pytest.mark.once

KEY_ID = "AKIAIOSFODNN7EXAMPLE"
PATTERNS = [MatchPattern.parse(f"{HOST}/*")]


def key(secret: str = CANARY, key_id: str = KEY_ID, region: str = "") -> tuple[str, str, str]:
    config = {"access_key_id": key_id, "region": region}
    found, secrets = BY_SLUG["aws-ecr"].clean(config, {"secret_access_key": secret}, PATTERNS)
    return found["access_key_id"], secrets["secret_access_key"], found["region"]


def role(name: str) -> str:
    return BY_SLUG["aws-ecr-role"].clean({"role_name": name}, {}, PATTERNS)[0]["role_name"]


AROUND = [
    "{}",
    " {} ",
    '"{}"',
    "'{}'",
    "`{}`",
    "“{}”",
    "„{}“",
    "‘{}’",
    "«{}»",
    "‹{}›",
    "\"'{}'\"",
    '"{}',
    "{},",
    "{};",
    '"{}",',
    "'{}';",
    "{} \\",
    "\ufeff{}",
    "\u200b{}\u200b",
    "\u2060{}\u00ad\u200e",
    "{}\n",
    "{}\r\n",
    "{}\t",
    "\u00a0{}\u3000",
]
BEFORE = [
    "{name}={}",
    "{name} = {}",
    "{name}: {}",
    'export {name}="{}"',
    "export {name}={};",
    "set {name}={}",
    "setx {name} {}".replace(" {}", "={}"),
    '$env:{name} = "{}"',
    "$Env:{name}='{}'",
    "ENV {name}={}",
    '"{name}": "{}"',
    '"{name}": "{}",',
    "'{name}' => '{}',",
    "{name} := {}",
    '  "{name}" : "{}" ,',
]
SECRET_NAMES = ["AWS_SECRET_ACCESS_KEY", "aws_secret_access_key", "SecretAccessKey",
                "secretAccessKey", "Secret access key", "secret_key"]  # fmt: skip
ID_NAMES = ["AWS_ACCESS_KEY_ID", "aws_access_key_id", "AccessKeyId", "Access key ID"]


@pytest.mark.parametrize("around", [a for a in AROUND if a != '"{}'])
def test_what_is_around_a_value(around) -> None:
    assert key(around.format(CANARY)) == (KEY_ID, CANARY, "us-east-1")
    assert key(key_id=around.format(KEY_ID)) == (KEY_ID, CANARY, "us-east-1")
    assert key(region=around.format("us-east-1"))[2] == "us-east-1"
    if around[-1] not in ",;":  # a comma may be a part of a role's name
        assert role(around.format("ValohaiWorkerRole")) == "ValohaiWorkerRole"


@pytest.mark.parametrize("before", BEFORE)
def test_a_name_before_it(before) -> None:
    for name in SECRET_NAMES:
        assert key(before.format(CANARY, name=name))[1] == CANARY
    for name in ID_NAMES:
        assert key(key_id=before.format(KEY_ID, name=name))[0] == KEY_ID
    for name in ("AWS_REGION", "AWS_DEFAULT_REGION", "region"):
        assert key(region=before.format("us-east-1", name=name))[2] == "us-east-1"
    arn = "arn:aws:iam::123456789012:role/team/ValohaiWorkerRole"
    for name in ("RoleName", "Arn", "role_arn"):
        written = before.format("ValohaiWorkerRole", name=name)
        # A role may well be called `role=x`: what may be right is left alone.
        if not re.fullmatch(r"[A-Za-z =]+;?", written.replace("_", "")):
            assert role(written) == "ValohaiWorkerRole"
        assert role(before.format(arn, name=name)) == "ValohaiWorkerRole"


@pytest.mark.parametrize(
    "secret",
    [
        CANARY.replace("/", "%2F").replace("+", "%2B"),
        CANARY.replace("/", "%2f"),
        f'"{CANARY.replace("/", "%2F")}",',
        f"{CANARY[:20]} {CANARY[20:]}",
        f"{CANARY[:20]}\n  {CANARY[20:]}",
        f"{CANARY[:7]}\u200b{CANARY[7:]}",
    ],
)
def test_within_it(secret) -> None:
    assert key(secret)[1] == CANARY


REGIONS = [(name, called) for p in partitions() for name, called in p.regions.items()]


@pytest.mark.parametrize(("name", "called"), REGIONS)
def test_a_region_by_what_people_call_it(name, called) -> None:
    (declared,) = (f for f in BY_SLUG["aws-ecr"].fields if f.name == "region")
    for written in (
        *(name, name.upper(), name.replace("-", "_"), called, called.upper(), f"{called} {name}"),
        *(f"{called} ({name})", f"{name} — {called}", f'"{name}"', f"  {called}  "),
    ):
        assert declared.meant(written) == name
        assert declared.problem(declared.meant(written)) is None


# --- refused, saying what is odd -----------------------------------------------------------

SECRETS = [
    (CANARY[:39], "39 characters, one short"),
    (CANARY[:37], "37 characters, three short"),
    (CANARY[:5], "5 characters, 35 short"),
    (CANARY + "a", "41 characters, one too many"),
    (CANARY + "a" * 12, "52 characters, 12 too many"),
    (CANARY + "abc=", "44 characters, which is the length of an SES password"),
    (f'"{CANARY[:39]}"', "41 characters, quotation marks around it"),
    (f'"{CANARY}', "41 characters, a quotation mark at one end"),
    (f"{CANARY[:39]},", "40 characters, a comma behind it"),
    (f"{CANARY[:38]};", "39 characters, a semicolon behind it"),
    (f"TOKEN={CANARY}", "46 characters, what looks like a name before it"),
    (f"{CANARY[:39]}é", "40 characters, some of which none has"),
    (CANARY[:30].replace("/", "%2F"), "32 characters, percent-encoded"),
    (KEY_ID, "but an Access Key ID"),
    ("ASIAIOSFODNN7EXAMPLE", "but an Access Key ID"),
]


@pytest.mark.parametrize(("secret", "says"), SECRETS)
def test_what_is_odd_about_a_secret(secret, says) -> None:
    (problem,) = refused(lambda: key(secret))
    assert (problem.code, problem.field) == ("secret_shape", "secret_access_key")
    assert says in problem.what and "40 characters" in problem.fix
    for at in range(len(secret) - 5):
        if secret[at : at + 6].isalnum() and not secret.startswith(("TOKEN", "A")):
            assert secret[at : at + 6] not in str(problem)


IDS = [
    ("AIDAIOSFODNN7EXAMPLEX", "key_id_shape", "of an IAM user"),
    ("aidaiosfodnn7examplex", "key_id_shape", "of an IAM user"),
    ("AROAIOSFODNN7EXAMPLEX", "key_id_shape", "of a role"),
    ("AGPAIOSFODNN7EXAMPLEX", "key_id_shape", "of a group"),
    ("AIPAIOSFODNN7EXAMPLEX", "key_id_shape", "of an instance profile"),
    ("ANPAIOSFODNN7EXAMPLEX", "key_id_shape", "of a policy"),
    ("ANVAIOSFODNN7EXAMPLEX", "key_id_shape", "of a policy"),
    ("APKAIOSFODNN7EXAMPLEX", "key_id_shape", "of a public key"),
    ("ASCAIOSFODNN7EXAMPLEX", "key_id_shape", "of a certificate"),
    ("ABIAIOSFODNN7EXAMPLEX", "key_id_shape", "of a bearer token"),
    ("ACCAIOSFODNN7EXAMPLEX", "key_id_shape", "of a credential"),
    ("ASIAIOSFODNN7EXAMPLE", "temporary_key", "temporary"),
    ("asiaiosfodnn7example", "temporary_key", "temporary"),
    ('"ASIAIOSFODNN7EXAMPLE",', "temporary_key", "temporary"),
    ('"AIDAIOSFODNN7EXAMPLEX"', "key_id_shape", "of an IAM user"),
    (KEY_ID.lower(), "key_id_shape", "capital letters"),
    ("Akia" + KEY_ID[4:], "key_id_shape", "capital letters"),
    (KEY_ID[:-1], "key_id_shape", "19 characters, one short"),
    (KEY_ID + "X", "key_id_shape", "21 characters, one too many"),
    ("arn:aws:iam::123456789012:user/valohai", "key_id_shape", "an ARN"),
    ("123456789012", "key_id_shape", "number of an AWS account"),
    ("1234-5678-9012", "key_id_shape", "number of an AWS account"),
    (CANARY, "key_id_shape", "looks like a Secret Access Key"),
    ("valohai", "key_id_shape", "7 characters"),
]


@pytest.mark.parametrize(("key_id", "code", "says"), IDS)
def test_what_is_no_key_id(key_id, code, says) -> None:
    problem = refused(lambda: key(CANARY[::-1], key_id))[0]
    assert (problem.code, problem.field) == (code, "access_key_id")
    assert says in problem.what and "AKIA" in problem.fix and key_id not in str(problem)


@pytest.mark.parametrize("key_id", [KEY_ID, "LKIAQAAAAAAAGEXAMPLE", "TEST_KEY_0123456"])
def test_ids_that_may_be_keys(key_id) -> None:
    assert key(key_id=key_id)[0] == key_id


@pytest.mark.parametrize(
    ("region", "code", "says"),
    [
        ("us-east-1a", "region_shape", "a zone"),
        ("eu-central-1b", "region_shape", "a zone"),
        ("us-west-2-lax-1a", "region_shape", "a zone"),
        ("us-east-1-wl1-bos-wlz-1", "region_shape", "a zone"),
        ("nowhere", "region_shape", "isn't an AWS region"),
        ("US East", "region_shape", "isn't an AWS region"),
        (CANARY, "region_shape", "isn't an AWS region"),
        ("eu-west-1", "region_mismatch", "is in us-east-1"),
        ("Europe (Ireland)", "region_mismatch", "Region says eu-west-1"),
        ("cn-north-1", "partition_mismatch", "is in us-east-1"),
    ],
)
def test_what_is_no_region(region, code, says) -> None:
    (problem,) = refused(lambda: key(region=region))
    assert (problem.code, problem.field) == (code, "region")
    assert says in problem.what and CANARY not in str(problem)


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("AROAIOSFODNN7EXAMPLEX", "the ID of a role"),
        ("AIDAIOSFODNN7EXAMPLEX", "something else in IAM"),
        (KEY_ID, "an Access Key ID"),
        ("arn:aws:iam::123456789012:instance-profile/x", "an instance profile"),
        ("arn:aws-cn:iam::123456789012:instance-profile/a/x", "an instance profile"),
        ("arn:aws:sts::123456789012:assumed-role/x/session", "a session"),
        ("arn:aws:iam::123456789012:user/x", "a user"),
        ("arn:aws:iam::123456789012:group/x", "isn't the name"),
        ("role/x", "isn't the name"),
    ],
)
def test_what_is_no_role(name, says) -> None:
    (problem,) = refused(lambda: role(name))
    assert (problem.code, problem.field) == ("role_name_shape", "role_name")
    assert says in problem.what and "ARN" in problem.fix


def refused(ask):
    with pytest.raises(Refused) as error:
        ask()
    return error.value.problems


# --- what may hold anything --------------------------------------------------------------------


@pytest.mark.parametrize("around", [a for a in AROUND if a.isascii() and "\n" not in a])
def test_a_password_is_never_mended(around) -> None:
    password = around.format("pass%2Fword").replace("\t", " ")
    pattern = [MatchPattern.parse("registry.example.com/*")]
    cleaned = BY_SLUG["docker"].clean({"username": "robot"}, {"password": password}, pattern)
    assert cleaned == ({"username": "robot"}, {"password": password})


@pytest.mark.parametrize("hidden", ["\u200b", "\ufeff", "\u2060", "\u202e", "\u00ad"])
def test_nor_taken_with_what_cannot_be_seen(hidden) -> None:
    pattern = [MatchPattern.parse("registry.example.com/*")]
    for password in (f"{hidden}{CANARY}", f"{CANARY}{hidden}", f"a{hidden}b\u00a0"):
        told = refused(
            lambda p=password: BY_SLUG["docker"].clean({"username": "u"}, {"password": p}, pattern)
        )
        assert [(p.code, p.field) for p in told] == [("secret_shape", "password")]
        assert CANARY not in str(told[0]) and hidden not in str(told[0])


def test_what_a_field_says_holds_for_it() -> None:
    """What is mended is told apart by a shape, and an example is meant as it is."""
    for declared in (f for kind in TYPES for f in kind.fields):
        if declared.pasted_as or declared.reads:
            assert declared.shape and declared.blanks is not Blanks.KEPT
        if declared.example:
            assert declared.meant(declared.example) == declared.example
            assert declared.problem(declared.example) is None


@pytest.mark.parametrize(
    "long", ['"' * 50_000, "%2F" * 30_000, "a=" * 50_000, "\u200b" * 50_000, "=" * 90_000,
             "us-" * 30_000, "A" * 90_000, ",;" * 50_000, "arn:aws:iam::" * 9_000]
)  # fmt: skip
def test_the_time_is_that_of_the_bytes(long) -> None:
    with effort.at_most(1000):
        for ask in (lambda: key(long), lambda: key(key_id=long), lambda: key(region=long),
                    lambda: role(long)):  # fmt: skip
            with contextlib.suppress(Refused, KeyError):
                ask()
        pasted_values.described(long, 40)
