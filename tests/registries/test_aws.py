"""The call of an AWS service: signed as AWS checks it, sent where botocore says, once more
after an outage, through the operator's proxy."""

from __future__ import annotations

import contextlib
import time

import pytest
from botocore.config import Config
from botocore.session import Session

from orgs.registries import aws, outbound, provider_calls
from orgs.registries.ecr_api import SERVICE
from orgs.registries.ecr_hosts import partitions
from orgs.registries.problems import Failed
from tests.conftest import CANARY
from tests.support.internet import HOST, reply
from tests.support.proxy import Proxy

pytestmark = pytest.mark.once

KEY = aws.Key("AKIAIOSFODNN7EXAMPLE", CANARY)


def call(url: str, seconds: float = 7.0) -> dict:
    return aws.ask(
        SERVICE,
        "GetAuthorizationToken",
        {},
        key=KEY,
        region="us-east-1",
        url=url,
        deadline=time.monotonic() + seconds,
    )


def test_endpoints_are_those_that_botocores_own_client_asks():
    session, sent = Session(), []

    def stop(request, **kwargs):
        sent.append(request.url)
        raise ConnectionError

    for partition in partitions():
        for region in partition.regions:
            for fips in (False, True) if region in partition.fips_regions else (False,):
                client = session.create_client(
                    "ecr",
                    region_name=region,
                    aws_access_key_id="x",
                    aws_secret_access_key="x",
                    config=Config(use_fips_endpoint=fips, retries={"total_max_attempts": 1}),
                )
                client.meta.events.register("before-send.ecr.*", stop)
                with pytest.raises(ConnectionError):
                    client.get_authorization_token()
                assert sent.pop() == f"{aws.endpoint(SERVICE, region, fips=fips)}/"


def test_dual_stack_and_regions_to_come():
    assert aws.endpoint(SERVICE, "us-east-1", dual_stack=True) == "https://ecr.us-east-1.api.aws"
    assert aws.endpoint(SERVICE, "eu-north-9") == "https://api.ecr.eu-north-9.amazonaws.com"


def test_a_key_is_shown_nowhere():
    assert CANARY not in repr(KEY) and CANARY not in str(KEY)


@pytest.mark.parametrize(
    ("answer", "code", "text"),
    [
        (reply(400, {"__type": "AccessDeniedException", "message": "no"}), "AccessDeniedException",
         "no"),
        (reply(400, {"__type": "com.amazon#ThrottlingException"}), "ThrottlingException", ""),
        (reply(400, {"__type": "Odd:http://x", "Message": "why"}), "Odd", "why"),
        (reply(403, b"<Error><Code>AccessDenied</Code><Message>m</Message></Error>"),
         "AccessDenied", "m"),
        (reply(400, {"__type": ["x"], "message": {"y": 1}}), "['x']", "{'y': 1}"),
        (reply(400, b""), "", ""),
        (reply(400, b"\xff\xfe"), "", ""),
        (reply(404, []), "", ""),
    ],
)  # fmt: skip
def test_faults(internet, answer, code, text):
    server = internet.serve(lambda request: answer)
    with pytest.raises(aws.Fault) as fault:
        call(f"https://{HOST}/")
    assert (fault.value.code, fault.value.text) == (code, text)
    assert len(server.requests) == (2 if fault.value.throttled else 1)


@pytest.mark.parametrize("first", [reply(500, b""), reply(503, {}), reply(429, {}), b"", b"\r\n"])
def test_an_outage_is_tried_once_more(internet, first):
    answers = [first, reply(200, {"fine": True})]
    server = internet.serve(lambda request: answers.pop(0))
    if first == b"\r\n":  # no HTTP: not an outage, and not AWS
        with pytest.raises(provider_calls.Foreign):
            call(f"https://{HOST}/")
        return
    assert call(f"https://{HOST}/") == {"fine": True}
    assert len(server.requests) == 2


def test_a_key_is_not_sent_along_a_redirect(internet):
    server = internet.serve(lambda request: reply(302, b"", Location="https://evil.example.com/"))
    with pytest.raises(aws.Fault):
        call(f"https://{HOST}/")
    assert len(server.requests) == 1


# --- the operator's proxy -----------------------------------------------------


@pytest.fixture
def proxied(internet, monkeypatch):
    with contextlib.ExitStack() as stack:

        def proxied(login: str = "", given: str = "", says=None) -> Proxy:
            internet.serve(lambda request: reply(200, {"fine": True}))
            proxy = stack.enter_context(Proxy(internet.behind, login=login, says=says))
            internet.route("127.0.0.1", proxy.port, ("127.0.0.1", proxy.port))
            monkeypatch.setenv("HTTPS_PROXY", f"http://{given}127.0.0.1:{proxy.port}")
            return proxy

        yield proxied


def test_through_the_proxy_with_its_login(proxied, internet):
    proxy = proxied("me:p@ss", given="me:p%40ss@")
    assert call(f"https://{HOST}/") == {"fine": True}
    (head,) = proxy.asked
    assert head.startswith(f"CONNECT {HOST}:443 ")
    assert "Proxy-Authorization: Basic bWU6cEBzcw==" in head  # me:p@ss
    assert HOST not in internet.lookups  # the proxy looks it up
    assert CANARY not in head


def test_around_the_proxy(proxied, monkeypatch):
    proxy = proxied()
    monkeypatch.setenv("NO_PROXY", ".example.com")
    assert call(f"https://{HOST}/") == {"fine": True}
    assert proxy.asked == []


def test_a_proxy_that_refuses(proxied):
    proxied("me:p@ss", given="me:wrong@")
    with pytest.raises(Failed) as told:
        call(f"https://{HOST}/")
    assert isinstance(told.value, outbound.Unreachable)
    assert told.value.kind == "proxy"
    assert "wants a name and password" in told.value.what and "wrong" not in told.value.in_full
