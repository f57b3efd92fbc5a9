"""Each cause of a denial that AWS's documentation knows, with its own advice."""

from __future__ import annotations

import time

import pytest

from orgs.registries.aws import Fault, Key
from orgs.registries.aws_denials import denial
from orgs.registries.ecr_api import EcrApi
from orgs.registries.problems import Failed
from tests.conftest import CANARY
from tests.support import effort

pytestmark = pytest.mark.once
ACTION = "ecr:GetAuthorizationToken"
USER = f"User: arn:aws:iam::123456789012:user/valohai is not authorized to perform: {ACTION} on "
RESOURCE = "resource: * "
NONE = "because no {} allows the ecr:GetAuthorizationToken action"
DENY = "with an explicit deny in {}"
ARN = "arn:aws:organizations::111111111111:policy/o-abc/service_control_policy/p-xyz"

# What AWS says, the kind it names, whether explicitly, and a word of whom to turn to.
CAUSES = [
    (NONE.format("identity-based policy"), "identity-based policy", False, "Attach the policy"),
    (DENY.format("an identity-based policy"), "identity-based policy", True, "Find the Deny"),
    # of no repository: nothing that the repository's owner could allow
    (NONE.format("resource-based policy"), "", False, "Attach the policy"),
    (DENY.format("a resource-based policy"), "resource-based policy", True, "owns the repository"),
    (NONE.format("permissions boundary"), "permissions boundary", False, "set the permissions"),
    (DENY.format("a permissions boundary"), "permissions boundary", True, "set the permissions"),
    (NONE.format("session policy"), "session policy", False, "no session policy limits"),
    (DENY.format("a session policy"), "session policy", True, "no session policy limits"),
    (NONE.format("service control policy"), "service control policy", False, "administers your"),
    (DENY.format("a service control policy"), "service control policy", True, "administers your"),
    (NONE.format("resource control policy"), "resource control policy", False, "administers the"),
    (DENY.format("a resource control policy"), "resource control policy", True, "administers the"),
    (NONE.format("VPC endpoint policy"), "vpc endpoint policy", False, "this server's network"),
    (DENY.format("a VPC endpoint policy"), "vpc endpoint policy", True, "this server's network"),
    # with the policy's ARN behind, as AWS began to add
    (DENY.format(f"a service control policy: {ARN}"), "service control policy", True, "who"),
    ("with an explicit deny", "", True, "Find the Deny"),
    (DENY.format("a declarative policy"), "", True, "Find the Deny"),
    (DENY.format("an identity-based policy: arn:aws:iam::1:policy/x"), "identity-based policy",
     True, "Find the Deny"),
]  # fmt: skip
UNKNOWN = ["", "because of the weather", "because no moon policy allows"]


@pytest.mark.parametrize(("ends", "kind", "explicit", "advice"), CAUSES)
def test_each_cause_has_its_own_advice(ends, kind, explicit, advice) -> None:
    found = denial(USER + RESOURCE + ends)
    assert (found.action, found.kind, found.explicit) == (ACTION, kind, explicit)
    assert advice in found.fix("Attach the policy.")
    mended = kind in {"", "identity-based policy"} and not explicit
    assert found.mended_by_allowing == mended
    assert bool(found.why) != mended
    if not mended:
        assert "Attach" not in found.fix("Attach the policy.")


@pytest.mark.parametrize("ends", UNKNOWN)
def test_of_an_unknown_cause_no_more_is_said_than_is_known(ends) -> None:
    found = denial(USER + RESOURCE + ends)
    assert (found.kind, found.why) == ("", "") and found.mended_by_allowing
    assert found.fix("Attach it.").startswith("Attach it. If it has that policy already")


@pytest.mark.parametrize(("ends", "kind", "explicit", "advice"), CAUSES)
def test_what_is_told_of_it(ends, kind, explicit, advice) -> None:
    api = EcrApi(Key("AKIAIOSFODNN7EXAMPLE", "s" * 40), "us-east-1", deadline=time.monotonic())
    told = api._told(Fault("AccessDeniedException", f"{USER}{RESOURCE}{ends} {CANARY}", 400))
    assert told.code == "access_denied"
    assert f"its user may not call {ACTION}" in told.what and advice in told.fix
    assert "arn:" not in str(told) and CANARY not in str(told)
    assert told.mended_elsewhere == ("Attach" not in told.fix)


def test_time_is_in_proportion_to_little() -> None:
    with effort.at_most(1000):
        denial("because no " * 1_000_000)
        denial("with an explicit deny in a" * 500_000)


def test_every_cause_has_both_sentences() -> None:
    for ends, *_ in CAUSES:
        found = denial(USER + ends)
        assert found.fix("x").endswith((".", "x")) and not found.why.endswith(".")


def test_a_listing_that_a_boundary_denies_isnt_mended_by_the_policy(monkeypatch) -> None:
    from orgs.registries import aws

    def refuse(*args, **kwargs):
        text = USER.replace("GetAuthorizationToken", "DescribeImages") + RESOURCE
        raise Fault("AccessDeniedException", text + DENY.format("a permissions boundary"), 400)

    monkeypatch.setattr(aws, "ask", refuse)
    api = EcrApi(Key("AKIAIOSFODNN7EXAMPLE", "s" * 40), "us-east-1", deadline=time.monotonic() + 5)
    for ask, code in (
        (lambda: api.images("team/train"), "image_denied"),
        (api.repositories, "listing_denied"),
    ):
        with pytest.raises(Failed) as failed:
            ask()
        assert failed.value.code == code and failed.value.mended_elsewhere
        assert "permissions boundary" in failed.value.what + failed.value.fix


def test_a_repository_whose_own_policy_leaves_it_out() -> None:
    text = USER.replace("GetAuthorizationToken", "BatchGetImage") + RESOURCE
    found = denial(text + NONE.format("resource-based policy"))
    assert found.kind == "resource-based policy" and "owns the repository" in found.fix("x")


@pytest.mark.parametrize(("ends", "kind", "explicit", "advice"), CAUSES)
def test_the_workers_program_advises_alike(ends, kind, explicit, advice) -> None:
    """It can't import the table: attaching the policy is said where it mends, and nowhere
    else."""
    from tests.worker.test_program import helper

    told = helper.who_denies(USER + RESOURCE + ends)
    assert bool(told) == (explicit or kind not in {"", "identity-based policy"})
    assert not told or "no Allow outweighs" in told or "leaves this out" in told
