"""A login that the worker completes with its own instance role: every way it can go."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from orgs.registries import codes
from orgs.registries.codes import REPORT
from orgs.registries.codes import Worker as Does
from orgs.services.verification.outcomes import CODES as OUTCOMES
from tests.conftest import CANARY, HOST
from tests.support.fake_aws import FakeAws

from .conftest import ENTRY, IMAGE, PROJECT, FakeServer, Reply, Worker, at, docker_login, refusal
from .fake_ec2 import ROLES, TOKEN_PATH, FakeEc2, role_session

pytestmark = pytest.mark.once
ROLE = "ValohaiWorkerRole"


def role_login(**changed: Any) -> dict[str, Any]:
    return {
        "kind": "instance-role",
        "server": HOST,
        "role_name": ROLE,
        "region": "us-east-1",
        "refresh_at": at(300),
        "entry": {"id": ENTRY, "type": "aws-ecr-role", "image_pattern": f"{HOST}/*"},
    } | changed


@pytest.fixture(scope="module")
def shared_aws() -> Iterator[FakeAws]:
    with FakeAws() as aws:
        yield aws


@pytest.fixture
def aws(shared_aws: FakeAws) -> Iterator[FakeAws]:
    shared_aws.reset_calls()
    yield shared_aws
    shared_aws.clear_faults()


@pytest.fixture
def ec2(worker: Worker, server: FakeServer, aws: FakeAws) -> Iterator[FakeEc2]:
    """The worker runs on it, with a role that may log in; other AWS settings are hostile."""
    ec2 = FakeEc2()
    ec2.roles = {ROLE: role_session(ROLE, aws.policy())}
    server.replies = [role_login()]
    worker.env |= {
        "AWS_EC2_METADATA_SERVICE_ENDPOINT": ec2.url,
        "AWS_ENDPOINT_URL": aws.url,
        "AWS_ACCESS_KEY_ID": "AKIAHOSTILEHOSTILE00",
        "AWS_SECRET_ACCESS_KEY": CANARY,
        "AWS_PROFILE": "nonesuch",
        "AWS_DEFAULT_REGION": "eu-north-1",
        "AWS_CONFIG_FILE": "/nowhere",
    }
    yield ec2
    ec2.close()


def outcomes(server: FakeServer) -> list[str]:
    for asked in server.outcomes:
        assert asked.path == "/api/v0/docker-login/outcome/"
        assert asked.headers["Authorization"].startswith("Token vrw_")
        assert asked.body == {
            "entry": ENTRY,
            "project": PROJECT,
            "image": IMAGE,
            "code": asked.body["code"],
        }
    return [asked.body["code"] for asked in server.outcomes]


def failure(worker: Worker, **env: str) -> tuple[str, str]:
    """Code and sentence of the `get` that must fail; what to do is on standard error."""
    done = worker.get(IMAGE, **env)
    assert done.returncode == 1
    assert done.stderr.startswith(done.stdout) and done.stderr.count("\n") >= 2
    code, _, what = done.stdout.partition(": ")
    return code, what.strip()


def test_the_role_logs_in(worker: Worker, server: FakeServer, aws: FakeAws, ec2: FakeEc2) -> None:
    password = worker.password(IMAGE)
    assert password in aws.tokens
    (call,) = aws.calls
    assert (call.access_key_id, call.region) == (ec2.roles[ROLE]["AccessKeyId"], "us-east-1")
    assert ec2.asked == [f"PUT {TOKEN_PATH}", f"GET {ROLES}", f"GET {ROLES}{ROLE}"]
    assert outcomes(server) == ["ok"]


def test_it_is_kept_until_half_life_though_the_server_is_asked(
    worker: Worker, server: FakeServer, aws: FakeAws, ec2: FakeEc2
) -> None:
    first = worker.password(IMAGE)
    assert worker.password(IMAGE) == first
    assert (len(server.asked), len(aws.calls)) == (1, 1)
    worker.outdate()  # past refresh_at: the entry may have changed, the login needn't
    assert worker.password(IMAGE) == first
    assert (len(server.asked), len(aws.calls)) == (2, 1)
    worker.age(half_life=time.time() - 1, fresh_until=time.time() - 1)
    second = worker.password(IMAGE)
    assert second != first and len(aws.calls) == 2
    assert outcomes(server) == ["ok", "ok"]


def test_its_life_is_that_of_the_session(worker: Worker, aws: FakeAws, ec2: FakeEc2) -> None:
    """AWS says 12 hours, and the session ends before."""
    ec2.roles = {ROLE: role_session(ROLE, aws.policy(), seconds=600)}
    worker.password(IMAGE)
    (path,) = worker.kept()
    kept = json.loads(path.read_text())
    assert kept["expires_at"] - time.time() == pytest.approx(600, abs=5)
    assert kept["half_life"] - time.time() == pytest.approx(300, abs=5)
    assert kept["fresh_until"] <= kept["half_life"]
    response = json.loads(worker.kubelet().stdout)
    assert int(response["cacheDuration"].rstrip("s")) <= 300


def test_another_role_or_a_key_instead_is_not_served_from_before(
    worker: Worker, server: FakeServer, aws: FakeAws, ec2: FakeEc2
) -> None:
    first = worker.password(IMAGE)
    ec2.roles = {"Another": role_session("Another", aws.policy())}
    server.replies = [role_login(role_name="Another")]
    worker.outdate()
    assert worker.password(IMAGE) != first
    server.replies = [docker_login()]
    worker.outdate()
    assert worker.password(IMAGE) == "first"
    server.replies = [refusal(404, "no_match")]
    worker.outdate()
    assert worker.get(IMAGE).stdout == "credentials not found in native keychain\n"


def test_an_older_login_serves_while_anyone_is_unreachable(
    worker: Worker, server: FakeServer, aws: FakeAws, ec2: FakeEc2
) -> None:
    first = worker.password(IMAGE)
    worker.age(half_life=time.time() - 1, fresh_until=time.time() - 1)
    aws.fault("throttle")
    assert worker.password(IMAGE) == first
    aws.clear_faults()
    ec2.close()
    assert worker.password(IMAGE) == first
    server.replies = [Reply(503, b"")]
    assert worker.password(IMAGE) == first
    worker.age(expires_at=time.time() - 1)
    assert worker.get(IMAGE, VALOHAI_REGISTRIES_TIMEOUT="0.3").returncode == 1


# Each failure has its own code, sentence and way out


def test_no_role_attached(worker: Worker, server: FakeServer, ec2: FakeEc2) -> None:
    ec2.roles = {}
    what = f"This instance doesn't have the role {ROLE}; it has none."
    assert failure(worker) == ("role_not_attached", what)
    assert outcomes(server) == ["role_not_attached"]


def test_another_role_attached(worker: Worker, server: FakeServer, ec2: FakeEc2) -> None:
    ec2.roles = {"Another": {}}
    done = worker.get(IMAGE)
    what = f"role_not_attached: This instance doesn't have the role {ROLE}; it has Another.\n"
    assert done.stdout == what
    fix = f"Attach {ROLE} to the workers, or put Another into the entry's Role name.\n"
    assert done.stderr == what + fix
    assert outcomes(server) == ["role_not_attached"]
    assert f"GET {ROLES}{ROLE}" not in ec2.asked


def test_a_role_of_a_name_that_cannot_be_one_is_not_repeated(worker: Worker, ec2: FakeEc2) -> None:
    ec2.roles = {"\x1b[2J": {}}
    assert failure(worker)[1].endswith("it has none.")


def test_not_on_ec2(worker: Worker, server: FakeServer, ec2: FakeEc2) -> None:
    ec2.close()
    assert failure(worker) == (
        "not_on_ec2",
        f"This machine can't reach EC2 instance metadata, so it can't use the role {ROLE}.",
    )
    assert outcomes(server) == ["not_on_ec2"]


@pytest.mark.parametrize("status", [403, 404, 405, 500])
def test_no_token_is_not_on_ec2(worker: Worker, ec2: FakeEc2, status: int) -> None:
    """403: switched off for this instance; 404, 405: something else lives at that address."""
    ec2.token_status = status
    assert failure(worker)[0] == "not_on_ec2"
    assert ec2.asked == [f"PUT {TOKEN_PATH}"]  # never the first version, without a token


def test_metadata_switched_off_here(worker: Worker, ec2: FakeEc2) -> None:
    assert failure(worker, AWS_EC2_METADATA_DISABLED="true")[0] == "not_on_ec2"
    assert ec2.asked == []


def test_behind_hop_limit_one(worker: Worker, server: FakeServer, ec2: FakeEc2) -> None:
    ec2.hop_limit = 1
    code, what = failure(worker)
    assert code == "metadata_hop_limit" and "hop limit is 1" in what
    assert outcomes(server) == ["metadata_hop_limit"]


@pytest.mark.parametrize("policy", [None, "reading only"])
def test_the_role_may_not_log_in(
    worker: Worker, server: FakeServer, aws: FakeAws, ec2: FakeEc2, policy: str | None
) -> None:
    given = aws.policy()
    reading = given | {"Statement": given["Statement"][:1]}
    name = f"Denied{len(policy or '')}"
    ec2.roles = {name: role_session(name, reading if policy else None)}
    server.replies = [role_login(role_name=name)]
    assert failure(worker) == (
        "role_access_denied",
        f"The role {name} may not call ecr:GetAuthorizationToken.",
    )
    assert outcomes(server) == ["role_access_denied"]


def test_ec2_may_not_assume_the_role(worker: Worker, server: FakeServer, ec2: FakeEc2) -> None:
    ec2.roles = {ROLE: {"Code": "AssumeRoleUnauthorizedAccess", "Message": "…"}}
    code, what = failure(worker)
    assert code == "role_access_denied" and what.endswith("AssumeRoleUnauthorizedAccess.")
    assert outcomes(server) == ["role_access_denied"]


def _another_role(ec2: FakeEc2) -> None:
    ec2.roles = {"AnotherRole": ec2.roles[ROLE]}


def _far_away(ec2: FakeEc2) -> None:
    ec2.hop_limit = 1


def _not_assumed(ec2: FakeEc2) -> None:
    ec2.roles = {ROLE: {"Code": "AssumeRoleUnauthorizedAccess", "Message": "…"}}


@pytest.mark.parametrize(
    ("code", "break_it"),
    [
        ("role_not_attached", _another_role),
        ("role_access_denied", _not_assumed),
        ("not_on_ec2", FakeEc2.close),
        ("metadata_hop_limit", _far_away),
    ],
)
def test_an_older_copy_is_treated_as_the_table_of_codes_says(
    worker: Worker, server: FakeServer, ec2: FakeEc2, code: str, break_it: Callable[[FakeEc2], None]
) -> None:
    assert set(OUTCOMES) == {"ok", *(c for c, row in codes.OURS.items() if row.event == REPORT)}
    kept = worker.password(IMAGE)
    worker.age(fresh_until=time.time() - 1, half_life=time.time() - 1)
    break_it(ec2)
    done = worker.get(IMAGE)
    if codes.of(code).worker is Does.OLDER_COPY:
        assert json.loads(done.stdout)["Secret"] == kept
    else:
        assert codes.of(code).worker is Does.FAILS
        assert done.returncode == 1 and done.stdout.startswith(f"{code}: ")
    assert len(worker.kept()) == 1
    assert outcomes(server)[-1] == code


@pytest.mark.parametrize(
    "shown",
    ["", "junk", "[]", {"Code": "Success"}, {"Code": "Success", "AccessKeyId": "", "Token": ""}],
)
def test_credentials_that_are_none_sign_nothing(
    worker: Worker, aws: FakeAws, ec2: FakeEc2, shown: Any
) -> None:
    """botocore would look for another identity: here a hostile one stands ready."""
    ec2.roles = {ROLE: shown}
    assert failure(worker)[0] in {"role_access_denied", "not_on_ec2"}
    assert aws.calls == []


@pytest.mark.parametrize(
    ("variable", "source"),
    [
        ("AWS_CONTAINER_CREDENTIALS_RELATIVE_URI", "ECS"),
        ("AWS_CONTAINER_CREDENTIALS_FULL_URI", "EKS Pod Identity"),
        ("AWS_WEB_IDENTITY_TOKEN_FILE", "IRSA"),
    ],
)
def test_other_sources_of_credentials_are_named(
    worker: Worker, server: FakeServer, ec2: FakeEc2, variable: str, source: str
) -> None:
    worker.env[variable] = "/x"
    assert worker.get(IMAGE).returncode == 0  # the machine's role is there: it's that one's turn
    for path in (*worker.kept(), *worker.answers()):
        path.unlink()
    ec2.roles = {}
    code, what = failure(worker)
    assert code == "unsupported_source" and f"from {source} ({variable})" in what
    assert outcomes(server) == ["ok", "role_not_attached"]


@pytest.mark.parametrize(
    ("kind", "code"),
    [
        ("throttle", "registry_unreachable"),
        ("error500", "registry_unreachable"),
        ("drop", "registry_unreachable"),
        ("skew", "clock_skew"),
        ("region_disabled", "invalid_key"),
        ("expired_token", "invalid_key"),
    ],
)
def test_what_aws_says(
    worker: Worker, server: FakeServer, aws: FakeAws, ec2: FakeEc2, kind: str, code: str
) -> None:
    aws.fault(kind)
    assert failure(worker)[0] == code
    assert outcomes(server) == []  # the contract has no word for it: nothing about the role


def test_without_botocore(worker: Worker, ec2: FakeEc2, tmp_path: Path) -> None:
    (tmp_path / "botocore.py").write_text("raise ImportError")
    code, what = failure(worker, PYTHONPATH=str(tmp_path))
    assert code == "botocore_missing" and ROLE in what
    assert "pip install botocore" in worker.get(IMAGE, PYTHONPATH=str(tmp_path)).stderr


def test_a_report_that_nobody_takes_costs_no_login(
    worker: Worker, server: FakeServer, aws: FakeAws, ec2: FakeEc2
) -> None:
    class Gone(list):  # type: ignore[type-arg]
        def append(self, item: object) -> None:
            raise ConnectionAbortedError

    server.outcomes = Gone()
    server.hush()
    assert worker.password(IMAGE) in aws.tokens


# The answer is distrusted


@pytest.mark.parametrize(
    ("asked", "changed"),
    [
        (IMAGE, {"server": "210987654321.dkr.ecr.us-east-1.amazonaws.com"}),
        (IMAGE, {"server": f"{HOST}.evil.com"}),
        (IMAGE, {"region": "eu-west-1"}),
        (IMAGE, {"region": ""}),
        (IMAGE, {"region": None}),
        (IMAGE, {"role_name": "../../evil"}),
        (IMAGE, {"role_name": "a b"}),
        (IMAGE, {"role_name": ""}),
        (IMAGE, {"role_name": None}),
        (IMAGE, {"role_name": "x" * 65}),
        (IMAGE, {"role_name": f"{ROLE}\n"}),
        (f"{HOST}.evil.com/app", {"server": f"{HOST}.evil.com"}),
        (f"{HOST}.evil.com/app", {"server": f"{HOST}.evil.com", "region": None}),
        (f"{HOST}:5000/app", {"server": f"{HOST}:5000"}),
        ("me/app", {"server": "docker.io"}),
        (f"{HOST}.cn/app", {"server": f"{HOST}.cn"}),
        ("public.ecr.aws/x/app", {"server": "public.ecr.aws"}),
    ],
)
def test_altered_answers_are_refused(
    worker: Worker,
    server: FakeServer,
    aws: FakeAws,
    ec2: FakeEc2,
    asked: str,
    changed: dict[str, Any],
) -> None:
    server.replies = [role_login(**changed)]
    done = worker.get(asked)
    assert done.returncode == 1 and done.stdout.startswith("answer_refused: ")
    assert ec2.asked == [] and aws.calls == [] and server.outcomes == []


def test_the_metadata_service_is_asked_past_any_proxy(
    worker: Worker, server: FakeServer, ec2: FakeEc2
) -> None:
    """Its token and credentials are nobody's between."""
    away = "http://registries.example.com"  # found by the proxy only, which the server plays
    worker.get(IMAGE, VALOHAI_REGISTRIES_URL=away, http_proxy=server.url)
    assert server.asked[0].path.startswith(away)
    assert len(ec2.asked) == 3


def test_no_secret_of_the_role_is_kept_or_told(worker: Worker, ec2: FakeEc2) -> None:
    done = worker.get(IMAGE)
    (path,) = worker.kept()
    for secret in (ec2.roles[ROLE]["SecretAccessKey"], ec2.roles[ROLE]["Token"], CANARY):
        assert secret not in path.read_text() + done.stdout + done.stderr
