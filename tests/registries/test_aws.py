"""The call of an AWS service: signed as AWS checks it, sent where botocore says, once more
after an outage, through the operator's proxy."""

from __future__ import annotations

import contextlib
import socket
import threading
import time

import pytest
from botocore.config import Config
from botocore.session import Session

from orgs.registries import aws, outbound
from orgs.registries.addresses import Rules
from orgs.registries.ecr_api import SERVICE
from orgs.registries.ecr_hosts import partitions
from orgs.registries.problems import Failed
from tests.conftest import CANARY
from tests.support.internet import HOST, reply

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
        with pytest.raises(aws.NotAws):
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


class Proxy:
    """A CONNECT proxy that leads everything to one server; `asked` are the heads it got."""

    def __init__(self, to: tuple[str, int], answer: bytes = b"HTTP/1.1 200 Go on\r\n\r\n") -> None:
        self.asked: list[str] = []
        self._to, self._answer = to, answer
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = self._listener.getsockname()[1]
        threading.Thread(target=self._serve, daemon=True).start()

    def close(self) -> None:
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()

    def _serve(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                sock, _ = self._listener.accept()
                threading.Thread(target=self._lead, args=(sock,), daemon=True).start()

    def _lead(self, near: socket.socket) -> None:
        with contextlib.suppress(OSError), near:
            near.settimeout(10)
            head = b""
            while b"\r\n\r\n" not in head:
                head += near.recv(1)
            self.asked.append(head.decode())
            near.sendall(self._answer)
            with socket.create_connection(self._to, 10) as far:
                back = threading.Thread(target=self._copy, args=(far, near), daemon=True)
                back.start()
                self._copy(near, far)
                back.join(5)

    @staticmethod
    def _copy(source: socket.socket, target: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while piece := source.recv(65536):
                target.sendall(piece)


@pytest.fixture
def proxied(internet, monkeypatch):
    made = []

    def proxied(answer: bytes = b"HTTP/1.1 200 Go on\r\n\r\n", login: str = "") -> Proxy:
        server = internet.serve(lambda request: reply(200, {"fine": True}))
        proxy = Proxy(internet._routes[server.address, 443], answer)
        made.append(proxy)
        internet.route("127.0.0.1", proxy.port, ("127.0.0.1", proxy.port))
        monkeypatch.setenv("HTTPS_PROXY", f"http://{login}127.0.0.1:{proxy.port}")
        return proxy

    yield proxied
    for proxy in made:
        proxy.close()


def test_through_the_proxy_with_its_login(proxied, internet):
    proxy = proxied(login="me:p%40ss@")
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
    proxied(b"HTTP/1.1 407 Who are you?\r\n\r\n")
    with pytest.raises(Failed) as told:
        call(f"https://{HOST}/")
    assert isinstance(told.value, outbound.Unreachable)


def test_registries_are_never_asked_through_it(proxied, internet):
    proxy = proxied()
    internet.serve(lambda request: reply(200, {}), "other.example.com")
    to = outbound.addresses("other.example.com", 443, Rules())
    deadline = time.monotonic() + 5
    answer = outbound.request("GET", "other.example.com", 443, to, "/v2/", {}, deadline)
    assert answer.status == 200
    assert proxy.asked == []
