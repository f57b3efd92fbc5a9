"""The peers that other tests lean on really judge: the right one gets through, the wrong not."""

from __future__ import annotations

import base64
import contextlib
import datetime
import itertools
import json
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import boto3
import psycopg2
import pytest
from botocore.config import Config
from botocore.exceptions import ClientError, ConnectionClosedError, ReadTimeoutError

from tests.support import require_program
from tests.support.fake_aws import AwsControl, FakeAws, RemoteFakeAws
from tests.support.postgres import MAX_CONNECTIONS, start_postgres, stop
from tests.support.registry import Registry

pytestmark = pytest.mark.once

session = boto3.session.Session()  # one for all: it reads the service's description once
making_clients = threading.Lock()  # sessions are not thread-safe, clients are
names = (f"user-{number}" for number in itertools.count())


@pytest.fixture(scope="module", params=[FakeAws, RemoteFakeAws])
def shared_aws(request: pytest.FixtureRequest) -> Iterator[AwsControl]:
    with request.param() as aws:
        yield aws


@pytest.fixture
def aws(shared_aws: AwsControl) -> Iterator[AwsControl]:
    shared_aws.reset_calls()
    yield shared_aws
    shared_aws.clear_faults()
    shared_aws.raw = False


def ask(aws: AwsControl, key_id: str, secret: str, region: str = "us-east-1") -> dict[str, Any]:
    """One GetAuthorizationToken by boto3, without retries."""
    config = Config(connect_timeout=2, read_timeout=2, retries={"total_max_attempts": 1})
    with making_clients:
        client = session.client(
            "ecr",
            region,
            endpoint_url=aws.url,
            aws_access_key_id=key_id,
            aws_secret_access_key=secret,
            config=config,
        )
    answer: dict[str, Any] = client.get_authorization_token()["authorizationData"][0]
    return answer


def wait_for_calls(aws: AwsControl, count: int) -> None:
    deadline = time.monotonic() + 10
    while len(aws.calls) < count:
        assert time.monotonic() < deadline, f"{len(aws.calls)} calls instead of {count}"
        time.sleep(0.01)


def password_of(answer: dict[str, Any]) -> str:
    username, _, password = base64.b64decode(answer["authorizationToken"]).decode().partition(":")
    assert username == "AWS"
    return password


def refusal(aws: AwsControl, key_id: str, secret: str) -> tuple[str, str, int]:
    """The code, message and HTTP status of the refusal that must come."""
    with pytest.raises(ClientError) as refused:
        ask(aws, key_id, secret)
    response = refused.value.response
    return (
        response["Error"]["Code"],
        response["Error"]["Message"],
        response["ResponseMetadata"]["HTTPStatusCode"],
    )


def test_the_guides_policy_gets_a_token_like_ecrs(aws: AwsControl) -> None:
    key_id, secret = aws.create_user(next(names), aws.policy())
    first, second = ask(aws, key_id, secret), ask(aws, key_id, secret, region="eu-west-1")
    life = first["expiresAt"] - datetime.datetime.now(datetime.UTC)
    assert abs(life - datetime.timedelta(hours=12)) < datetime.timedelta(minutes=1)
    assert 2000 < len(password_of(first)) < 3500
    assert password_of(first) != password_of(second)
    assert {password_of(first), password_of(second)} <= aws.tokens
    assert [(call.access_key_id, call.region) for call in aws.calls] == [
        (key_id, "us-east-1"),
        (key_id, "eu-west-1"),
    ]


def test_without_the_permission_it_is_denied_until_the_policy_is_there(aws: AwsControl) -> None:
    name = next(names)
    policy = aws.policy()
    reading_only = policy | {"Statement": policy["Statement"][:1]}
    key_id, secret = aws.create_user(name, reading_only, account="210987654321")
    code, message, status = refusal(aws, key_id, secret)
    assert (code, status) == ("AccessDeniedException", 400)
    assert message == (
        f"User: arn:aws:iam::210987654321:user/{name} is not authorized to perform: "
        "ecr:GetAuthorizationToken on resource: * because no identity-based policy allows the "
        "ecr:GetAuthorizationToken action"
    )
    aws.put_policy(name, policy)
    assert "210987654321.dkr.ecr" in ask(aws, key_id, secret)["proxyEndpoint"]
    aws.remove_policy(name)
    assert refusal(aws, key_id, secret)[0] == "AccessDeniedException"


def test_a_token_on_one_repository_only_is_denied(aws: AwsControl) -> None:
    policy = aws.policy()
    policy["Statement"][1]["Resource"] = policy["Statement"][0]["Resource"]
    assert refusal(aws, *aws.create_user(next(names), policy))[0] == "AccessDeniedException"


def test_wrong_secret_and_unknown_key_are_told_apart(aws: AwsControl) -> None:
    name = next(names)
    key_id, secret = aws.create_user(name, aws.policy())
    assert refusal(aws, key_id, secret[:-1] + "!")[::2] == ("InvalidSignatureException", 400)
    assert refusal(aws, "AKIAIOSFODNN7EXAMPLE", secret)[::2] == ("UnrecognizedClientException", 400)
    new_key_id, new_secret = aws.create_key(name)
    aws.remove_key(key_id)
    assert refusal(aws, key_id, secret)[0] == "UnrecognizedClientException"
    ask(aws, new_key_id, new_secret)


def test_a_key_of_another_partition_is_unknown(aws: AwsControl) -> None:
    key_id, secret = aws.create_user(
        next(names), aws.policy(partition="aws-cn"), partition="aws-cn"
    )
    ask(aws, key_id, secret, region="cn-north-1")
    assert refusal(aws, key_id, secret)[0] == "UnrecognizedClientException"


def test_raw_is_what_moto_says(aws: AwsControl) -> None:
    key_id, _ = aws.create_user(next(names), aws.policy())
    aws.raw = True
    assert refusal(aws, key_id, "wrong")[2] == 403


@pytest.mark.parametrize(
    ("kind", "code", "status"),
    [
        ("throttle", "ThrottlingException", 400),
        ("error500", "ServerException", 500),
        ("unavailable", "ServiceUnavailableException", 503),
        ("skew", "InvalidSignatureException", 400),
        ("region_disabled", "UnrecognizedClientException", 400),
        ("denied", "AccessDeniedException", 400),
    ],
)
def test_faults_that_answer(aws: AwsControl, kind: str, code: str, status: int) -> None:
    key_id, secret = aws.create_user(next(names), aws.policy())
    aws.fault(kind, times=1)
    assert refusal(aws, key_id, secret)[::2] == (code, status)
    ask(aws, key_id, secret)


def test_one_hangs_while_another_works(aws: AwsControl) -> None:
    hanging, working = (aws.create_user(next(names), aws.policy()) for _ in range(2))
    aws.fault("hang", seconds=30, access_key_id=hanging[0])
    with ThreadPoolExecutor() as pool:
        lost = pool.submit(ask, aws, *hanging)
        wait_for_calls(aws, 1)
        ask(aws, *working)
        assert not lost.done()
        with pytest.raises(ReadTimeoutError):
            lost.result()
        released = pool.submit(ask, aws, *hanging)
        wait_for_calls(aws, 3)
        aws.clear_faults()
        with pytest.raises(ConnectionClosedError):
            released.result()
    ask(aws, *hanging)
    assert len(aws.calls) == 4


def test_slow_answers_late_and_drop_not_at_all(aws: AwsControl) -> None:
    key_id, secret = aws.create_user(next(names), aws.policy())
    aws.fault("slow", seconds=0.3, times=1)
    aws.fault("drop", times=1)
    started = time.monotonic()
    ask(aws, key_id, secret)
    assert time.monotonic() - started >= 0.3
    with pytest.raises(ConnectionClosedError):
        ask(aws, key_id, secret)
    with pytest.raises(ValueError, match="unknown fault"):
        aws.fault("nonsense")


def test_only_one_in_a_process() -> None:
    with FakeAws(), pytest.raises(RuntimeError), FakeAws():
        pass


@pytest.fixture(scope="module")
def registry() -> Iterator[Registry]:
    require_program("skopeo")
    with Registry() as registry:
        registry.push("my-ml-image", "v1.0")
        yield registry


def docker_config(directory: Path, host: str, password: str) -> dict[str, str]:
    """Write a Docker configuration with one login; return the environment that names it."""
    auth = base64.b64encode(f"AWS:{password}".encode()).decode()
    (directory / "config.json").write_text(json.dumps({"auths": {host: {"auth": auth}}}))
    return {"DOCKER_CONFIG": str(directory)}


def test_a_pull_succeeds_with_an_issued_login_and_fails_without(
    registry: Registry, tmp_path: Path
) -> None:
    image = f"docker://{registry.host}/my-ml-image:v1.0"
    with RemoteFakeAws() as aws:
        password = password_of(ask(aws, *aws.create_user(next(names), aws.policy())))
        for issued in aws.tokens:
            registry.allow("AWS", issued)
    login = docker_config(tmp_path, registry.host, password)
    anonymous = registry.skopeo(["inspect", image])
    assert anonymous.returncode != 0 and "unauthorized" in anonymous.stderr
    pulled = registry.skopeo(["copy", image, f"dir:{tmp_path / 'pulled'}"], env=login)
    assert pulled.returncode == 0, pulled.stderr
    assert (tmp_path / "pulled" / "manifest.json").exists()
    assert ("GET", "/v2/my-ml-image/manifests/v1.0", True) in registry.requests
    # bcrypt would let this one in: the first 72 bytes are right.
    almost = registry.skopeo(
        ["inspect", image], env=docker_config(tmp_path, registry.host, password[:-1] + "!")
    )
    assert almost.returncode != 0 and "unauthorized" in almost.stderr
    registry.revoke_all()
    revoked = registry.skopeo(
        ["inspect", image], env=docker_config(tmp_path, registry.host, password)
    )
    assert revoked.returncode != 0


def test_the_certificate_is_checked(registry: Registry, tmp_path: Path) -> None:
    image = f"docker://{registry.host}/my-ml-image:v1.0"
    (tmp_path / "none.pem").write_text("")
    untrusting = registry.skopeo(
        ["inspect", image], env={"SSL_CERT_FILE": str(tmp_path / "none.pem")}
    )
    assert untrusting.returncode != 0 and "x509" in untrusting.stderr


def test_the_machines_hosts_file_is_untouched(registry: Registry) -> None:
    assert registry.host not in Path("/etc/hosts").read_text()
    assert registry.host in registry.run(["cat", "/etc/hosts"]).stdout


def test_tokens_reach_a_registry_by_hook() -> None:
    issued: list[str] = []
    with FakeAws() as aws:
        aws.on_token(issued.append)
        answer = ask(aws, *aws.create_user(next(names), aws.policy()))
    assert issued == [password_of(answer)]


def test_postgres_serves_many_and_asks_for_the_password() -> None:
    url, other = start_postgres(), start_postgres()  # side by side
    try:
        with contextlib.closing(psycopg2.connect(url)) as connection:
            cursor = connection.cursor()
            cursor.execute("SHOW max_connections")
            assert cursor.fetchone() == (str(MAX_CONNECTIONS),)
            assert connection.server_version >= 180000
        password = urlsplit(url).password
        assert password
        with pytest.raises(psycopg2.OperationalError, match="password"):
            psycopg2.connect(url.replace(password, "wrong"))
    finally:
        stop(url)
    try:
        with pytest.raises(psycopg2.OperationalError, match="refused"):
            psycopg2.connect(url)
        psycopg2.connect(other).close()
    finally:
        stop(other)


def test_a_missing_program_skips_with_its_package_and_fails_in_ci(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.delenv("CI", raising=False)
    with pytest.raises(pytest.skip.Exception, match="needs nonesuch: apt-get install nonesuch"):
        require_program("nonesuch")
    monkeypatch.setenv("CI", "true")
    with pytest.raises(pytest.fail.Exception, match="apt-get install nonesuch"):
        require_program("nonesuch")
