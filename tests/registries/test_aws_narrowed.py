"""Logins for one repository each: cached, bounded, renewed by use, and opening no other."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from orgs.models import CachedLogin
from orgs.registries.aws_ecr import AwsEcr
from orgs.registries.problems import Failed, Refused
from orgs.services.logins import minting, renewing
from orgs.services.tenancy import tokens
from tests.api.conftest import LOGIN, Api
from tests.conftest import HOST
from tests.registries.keyless_aws import ARN, REGION, own
from tests.registries.test_aws_keyless_doors import (
    BOTH,
    PATTERN,
    login,
    make,
    no_jwt_comes_out,
)
from tests.web.conftest import NEW, look, send, url

__all__ = ["look", "make", "no_jwt_comes_out", "own", "send"]
pytestmark = pytest.mark.django_db(transaction=True)


def opens(aws, password: str, repository: str) -> bool:
    return aws.may_pull(password, f"arn:aws:ecr:{REGION}:123456789012:repository/{repository}")


@BOTH
def test_each_repository_has_its_own(own, acme, actor, project, make, slug) -> None:
    make(slug, narrow="true")
    worker = Api(tokens.token_issue_worker(organization=acme, name="w", actor=actor)[1])
    given = {}
    for name in ("train", "serve", "train"):
        image = f"{HOST}/team/{name}:v1"
        asked = {"project": str(project.pk), "image": image}
        with CaptureQueriesContext(connection) as captured:
            answer = worker.post(LOGIN, asked)
        assert answer.status_code == 200, answer.content
        given.setdefault(name, answer.json()["password"])
        assert given[name] == answer.json()["password"]
    assert len(captured) <= 3, "the third is one read and one write"
    assert {row.scope for row in CachedLogin.objects.all()} == {
        f"{HOST}/team/train", f"{HOST}/team/serve",
    }  # fmt: skip
    for name, other in (("train", "serve"), ("serve", "train")):
        assert opens(own, given[name], f"team/{name}")
        assert not opens(own, given[name], f"team/{other}")
    # Who uses one has it renewed; that another of the entry's is used renews none.
    CachedLogin.objects.update(refresh_after=datetime.now(UTC) - timedelta(seconds=1))
    assert renewing.renew_due().done == 0
    assert login(project, f"{HOST}/team/train").password == given["train"]
    minting.background.drain()
    fresh = login(project, f"{HOST}/team/train").password
    assert fresh != given["train"] and opens(own, fresh, "team/train")
    assert login(project, f"{HOST}/team/serve").password == given["serve"]


def test_a_host_only_question_says_why_it_cannot_be_answered(
    own, acme, actor, project, make
) -> None:
    make(pattern=f"{HOST}/*", narrow="true")
    worker = Api(tokens.token_issue_worker(organization=acme, name="w", actor=actor)[1])
    answer = worker.post(LOGIN, {"project": str(project.pk), "server": HOST})
    assert answer.status_code == 409 and answer.json()["code"] == "ambiguous_server"
    assert "VALOHAI_IMAGE" in answer.json()["detail"]


def test_they_are_bounded_in_number_and_those_in_use_stay(own, project, make, monkeypatch) -> None:
    monkeypatch.setattr(minting, "MOST_NARROWED", 4)
    monkeypatch.setattr(minting, "MADE_ROOM", 2)
    make(narrow="true")
    good = login(project, f"{HOST}/team/train").password
    for number in range(3):
        login(project, f"{HOST}/team/invented{number}")
    for number in range(3, 9):
        with pytest.raises(Failed) as failed:
            login(project, f"{HOST}/team/invented{number}")
        assert failed.value.code == "busy" and failed.value.retry_after
    assert login(project, f"{HOST}/team/train").password == good
    assert CachedLogin.objects.count() == 4
    # What nobody asked for any more at its half-life makes room.
    rows = CachedLogin.objects.filter(scope__contains="invented")
    rows.update(refresh_after=datetime.now(UTC) - timedelta(seconds=1))
    assert login(project, f"{HOST}/team/serve")
    assert login(project, f"{HOST}/team/train").password == good
    assert CachedLogin.objects.count() == 3


def test_what_the_role_is_refused_is_asked_once_for_all_repositories(own, project, make) -> None:
    make(narrow="true", trusted=False)
    for number in range(20):
        with pytest.raises(Failed) as failed:
            login(project, f"{HOST}/team/train{number}")
        assert failed.value.code == "identity_refused"
    assert len(own.roles.took) <= 2


@pytest.mark.parametrize("slug", ["aws-ecr"])
def test_narrowing_needs_a_role(send, alice, acme, slug) -> None:
    typed = {
        "patterns": PATTERN, "registry_type": slug, "enabled": "on", "note": "",
        "access_key_id": "AKIAIOSFODNN7EXAMPLE", "secret_access_key": "s" * 40, "narrow": "on",
    }  # fmt: skip
    page = send(alice, NEW, typed)
    assert page.wrong == {"narrow"} and "need a role" in page.error("narrow")
    with pytest.raises(Refused) as refused:
        AwsEcr().clean({"narrow": "true"}, {}, [])
    assert "needs_role" in {problem.code for problem in refused.value.problems}
    send(alice, NEW, typed | {"role_arn": ARN})
    assert acme.entries.get().config["role_arn"] == ARN


def test_a_kept_key_takes_no_other_role(send, alice, make_entry) -> None:
    """Who doesn't know the secret can't have it take another role."""
    entry = make_entry(PATTERN)
    typed = {
        "patterns": PATTERN, "registry_type": "aws-ecr", "enabled": "on", "note": "",
        "access_key_id": entry.config["access_key_id"], "region": REGION, "role_arn": ARN,
    }  # fmt: skip
    page = send(alice, url("entry_edit", entry), typed)
    assert "secret_access_key" in page.wrong
    entry.refresh_from_db()
    assert "role_arn" not in entry.config
