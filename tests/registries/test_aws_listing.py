"""What ECR lists, asked of a fake AWS that judges by policy, and of one that is scripted."""

from __future__ import annotations

import base64
import json
import time
from contextlib import contextmanager
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, HTTPServer
from itertools import count
from threading import Thread

import pytest

from orgs.registries.aws import Key
from orgs.registries.aws_ecr import AwsEcr, AwsEcrRole
from orgs.registries.docker import DockerRegistry
from orgs.registries.ecr_api import EcrApi
from orgs.registries.problems import Failed
from orgs.registries.types import Ask, Image
from tests.conftest import CANARY, HOST
from tests.support.fake_aws import ACCOUNT, FakeAws

pytestmark = pytest.mark.once

KEY = "AKIAIOSFODNN7EXAMPLE"
DAY = 86400
NUMBERS = count()
NOON = datetime(2026, 11, 20, 12, tzinfo=UTC).timestamp()


@pytest.fixture(scope="module")
def aws():
    with FakeAws() as fake:
        for name in ("zeta", "my-ml-image", "team/train"):
            fake.push(name, "v1", pushed_at=NOON)
        # Neither tags nor times are in any order.
        fake.push("my-ml-image", "v3", "latest", pushed_at=NOON + 2 * DAY, size=1_234_567)
        fake.push("my-ml-image", pushed_at=NOON + 9 * DAY)
        fake.push("my-ml-image", "v2", pushed_at=NOON + DAY)
        yield fake


@pytest.fixture
def api_for(aws):

    def api(policy, account=ACCOUNT):
        key_id, secret = aws.create_user(f"user-{next(NUMBERS)}", policy)
        deadline = time.monotonic() + 30
        return EcrApi(Key(key_id, secret), "us-east-1", "", aws.url, account, deadline=deadline)

    return api


def told(call) -> Failed:
    with pytest.raises(Failed) as caught:
        call()
    return caught.value


def test_repositories_are_sorted(aws, api_for):
    assert api_for(aws.policy(repository="*")).repositories() == [
        "my-ml-image", "team/train", "zeta",
    ]  # fmt: skip


def test_images_are_newest_first_and_tagged(aws, api_for):
    images = api_for(aws.policy(repository="*")).images("my-ml-image")
    assert [image.tag for image in images] == ["v3", "latest", "v2", "v1"]
    at = datetime.fromtimestamp(NOON + 2 * DAY, UTC)
    assert images[0] == Image("my-ml-image", "v3", at, 1_234_567)
    assert images[0].pushed_at.tzinfo is UTC


def test_a_narrowed_policy_lists_nothing_but_its_own(aws, api_for):
    api = api_for(aws.policy(repository="my-ml-image"))
    error = told(api.repositories)
    assert error.code == "listing_denied"
    assert error.what == "This key may not list repositories, which pulling doesn't need."
    assert len(api.images("my-ml-image")) == 4
    for name in ("zeta", "my-ml-image-2", "team/train", "never-made"):
        error = told(lambda name=name: api.images(name))
        assert error.code == "image_denied" and f"ecr:DescribeImages on {name}" in error.fix
        assert "arn:" not in str(error) and "User:" not in str(error)


def test_a_policy_for_what_lies_below(aws, api_for):
    api = api_for(aws.policy(repository="team/*"))
    assert told(api.repositories).code == "listing_denied"
    assert [image.tag for image in api.images("team/train")] == ["v1"]


@pytest.mark.parametrize("name", ["nothing-here", "x", "", "../x", "a" * 257, "A", 'a"b', "ä"])
def test_a_repository_that_is_not_there(name, aws, api_for):
    error = told(lambda: api_for(aws.policy(repository="*")).images(name))
    assert error.code == "image_not_found" and "There is no repository" in error.what
    assert ACCOUNT in error.what and "us-east-1" in error.what


def test_no_policy_and_no_such_key(aws, api_for):
    assert told(api_for(None).repositories).code == "listing_denied"
    error = told(ecr(aws.url).repositories)
    assert error.code == "invalid_key" and CANARY not in str(error)


@pytest.mark.parametrize(
    ("fault", "code"),
    [
        ("throttle", "throttled"),
        ("error500", "registry_unreachable"),
        ("skew", "clock_skew"),
        ("wrong_secret", "signature_mismatch"),
        ("drop", "registry_unreachable"),
    ],
)
def test_other_faults_are_told_as_ever(fault, code, aws, api_for):
    api = api_for(aws.policy(repository="*"))
    aws.fault(fault)
    try:
        for ask in (api.repositories, lambda: api.images("zeta")):
            error = told(ask)
            assert error.code == code and error.what and error.fix
    finally:
        aws.clear_faults()


def test_denied_in_xml(aws, api_for):
    api = api_for(aws.policy())
    aws.raw = True
    try:
        assert told(api.repositories).code == "listing_denied"
        assert told(lambda: api.images("zeta")).code == "image_denied"
    finally:
        aws.raw = False


# --- pages, by what is sent -----------------------------------------------------


@contextmanager
def scripted(*answers):
    """An ECR that gives these answers, one each, and the list of what it was asked."""
    left, asked = list(answers), []

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self):
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            asked.append((self.headers["X-Amz-Target"].rpartition(".")[2], body))
            content = left.pop(0)
            content = content if isinstance(content, bytes) else json.dumps(content).encode()
            self.send_response(200)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, *args):
            pass

    with HTTPServer(("127.0.0.1", 0), Handler) as server:
        Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
        yield ecr(f"http://127.0.0.1:{server.server_port}"), asked
        server.shutdown()


def ecr(url, account=ACCOUNT):
    return EcrApi(Key(KEY, CANARY), "us-east-1", "", url, account, deadline=time.monotonic() + 7)


def repositories(*names):
    return {"repositories": [{"repositoryName": name} for name in names]}


def test_all_pages_are_read():
    with scripted({**repositories("b1"), "nextToken": "next"}, repositories("a1")) as (api, asked):
        assert api.repositories() == ["a1", "b1"]
    page = {"maxResults": 1000, "registryId": ACCOUNT}
    assert asked == [
        ("DescribeRepositories", page),
        ("DescribeRepositories", page | {"nextToken": "next"}),
    ]


def test_no_more_than_a_thousand():
    page = {**repositories(*(f"r{number}" for number in range(700))), "nextToken": "next"}
    with scripted(page, page) as (api, asked):
        assert len(api.repositories()) == 1000
    assert len(asked) == 2


def test_pages_that_never_end():
    with scripted(*[{"imageDetails": [], "nextToken": "next"}] * 5) as (api, asked):
        assert api.images("my-repo") == []
    assert len(asked) == 5


def test_details_may_be_missing_or_odd():
    details = [
        {"imageTags": ["old"]},
        {"imageDigest": "x"},
        {"imageTags": ["v1"], "imagePushedAt": datetime(2026, 1, 1, tzinfo=UTC).timestamp()},
        {"imageTags": ["older", 7, None], "imagePushedAt": 1e300, "imageSizeInBytes": "big"},
        {"imageTags": "v9"},
        "none",
    ]
    with scripted({"imageDetails": details}) as (api, asked):
        found = [(image.tag, image.size) for image in api.images("my-repo")]
    assert found == [("v1", None), ("older", None), ("old", None)]
    assert asked[0][1]["filter"] == {"tagStatus": "TAGGED"}


@pytest.mark.parametrize(
    ("names", "wanted"),
    [
        ([{"repositoryName": 7}, "x", None, {"repositoryName": "a1"}], ["a1"]),
        ("a1", []),
        ({"a1": 1}, []),
        (None, []),
    ],
)
def test_lists_that_are_none(names, wanted):
    with scripted({"repositories": names}) as (api, _):
        assert api.repositories() == wanted


# --- which types list -----------------------------------------------------------


def test_who_has_a_listing_of_its_own():
    config, secrets = (
        {"access_key_id": KEY, "region": "us-east-1"},
        {"secret_access_key": CANARY},
    )
    ask = Ask(HOST, 0.0)
    lister = AwsEcr().lister(config, secrets, ask)
    assert (lister.account, lister.region) == (ACCOUNT, "us-east-1")
    assert AwsEcrRole().lister({"role_name": "r", "region": "us-east-1"}, {}, ask) is None
    ask = Ask("quay.io", 0.0)
    assert DockerRegistry().lister({"username": "u"}, {"password": "p"}, ask) is None


@pytest.mark.parametrize(
    ("host", "secrets"),
    [
        (f"{HOST}.evil.com", {"secret_access_key": CANARY}),
        (HOST.replace("us-east-1", "eu-west-1"), {"secret_access_key": CANARY}),
        (HOST, {}),
        (HOST, {"secret_access_key": ""}),
    ],
)
def test_no_key_goes_elsewhere_and_none_is_borrowed(host, secrets, monkeypatch):
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", KEY)
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "ambient")
    config = {"access_key_id": KEY, "region": "us-east-1"}
    error = told(lambda: AwsEcr().lister(config, secrets, Ask(host, 0.0)))
    assert error.code == "entry_unusable"


@pytest.mark.parametrize(
    "content",
    [
        b"<html>a proxy's page</html>",
        b"{",
        b"[]",
        b"\xff",
        b"[" * 100_000,
        {"authorizationData": []},
        {"authorizationData": [{"authorizationToken": 7}]},
        {"authorizationData": [{"authorizationToken": "é"}]},
        {"authorizationData": [{"authorizationToken": "QVdTOg=="}]},
        {"authorizationData": "none"},
    ],
)
def test_an_answer_that_is_not_ecrs(content):
    with scripted(content) as (api, _):
        assert told(api.login).code == "registry_unreachable"


@pytest.mark.parametrize(
    ("expires_at", "hours"),
    [(1e300, 0.25), ("soon", 0.25), (None, 0.25), (-1, 0.25), (4e9, 12), (True, 0.25)],
)
def test_no_expiry_is_believed_that_cannot_be(expires_at, hours):
    token = base64.b64encode(b"AWS:password:with:colons").decode()
    given = {"authorizationToken": token, "expiresAt": expires_at}
    with scripted({"authorizationData": [given]}) as (api, _):
        login = api.login()
    assert (login.username, login.password) == ("AWS", "password:with:colons")
    left = (login.expires_at - datetime.now(UTC)).total_seconds()
    assert hours * 3600 - 60 < left <= hours * 3600
