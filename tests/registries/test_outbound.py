"""Where requests may go, and how long they may take."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Iterator
from ipaddress import ip_network
from pathlib import Path

import pytest

from orgs.registries import outbound
from orgs.registries.addresses import Rules
from orgs.registries.outbound import addresses
from orgs.registries.places import Places
from orgs.registries.problems import Failed
from tests.support.certificates import make_certificates
from tests.support.internet import HOST, Internet, Request, reply

pytestmark = pytest.mark.once

PUBLIC_ONLY = Rules()
PRIVATE_TOO = Rules(private=True)
EVERYTHING_OPENED = Rules(
    private=True, allowed=tuple(ip_network(text) for text in ("0.0.0.0/0", "::/0"))
)

LOOPBACK = "leads back to this server itself"
LINK_LOCAL = "link-local address"
METADATA = "instance metadata"
PRIVATE = "private address"
MULTICAST = "multicast address"
RESERVED = "is reserved"
KINDS = (LOOPBACK, LINK_LOCAL, METADATA, PRIVATE, MULTICAST, RESERVED)


def refusal(*found: str, rules: Rules = PUBLIC_ONLY) -> str:
    with pytest.raises(Failed) as refused:
        addresses(HOST, 443, rules)
    assert refused.value.code == "unsafe_address"
    assert refused.value.fix.endswith(".")
    # What a name leads to inside may be a secret of the operator's network.
    assert not any(address in refused.value.detail for address in found)
    return refused.value.what


# Refused whatever the type of the registry.
NEVER = [
    ("127.0.0.1", LOOPBACK),
    ("127.255.255.254", LOOPBACK),
    ("0.0.0.0", LOOPBACK),
    ("0.1.2.3", LOOPBACK),
    ("::1", LOOPBACK),
    ("::", LOOPBACK),
    ("::ffff:127.0.0.1", LOOPBACK),
    ("::ffff:0.0.0.0", LOOPBACK),
    ("::127.0.0.1", LOOPBACK),
    ("2002:7f00:1::", LOOPBACK),
    ("64:ff9b::127.0.0.1", LOOPBACK),
    ("2001:0:7f00:1::f7f7:f7f7", LOOPBACK),  # Teredo, by its server
    ("2001:0:808:808::80ff:fffe", LOOPBACK),  # and by its client, bits inverted
    ("::1%lo", LOOPBACK),
    ("169.254.1.1", LINK_LOCAL),
    ("::ffff:169.254.1.1", LINK_LOCAL),
    ("fe80::1", LINK_LOCAL),
    ("fe80::1%eth0", LINK_LOCAL),
    ("febf::1", LINK_LOCAL),
    ("169.254.169.254", METADATA),
    ("169.254.170.2", METADATA),
    ("169.254.170.23", METADATA),
    ("fd00:ec2::254", METADATA),
    ("fd00:ec2::23", METADATA),
    ("100.100.100.200", METADATA),
    ("168.63.129.16", METADATA),
    ("192.0.0.192", METADATA),
    ("169.254.42.42", METADATA),
    ("fd20:ce::254", METADATA),
    ("::ffff:169.254.169.254", METADATA),
    ("64:ff9b::a9fe:a9fe", METADATA),
    ("2002:a9fe:a9fe::1", METADATA),
    ("224.0.0.1", MULTICAST),
    ("239.255.255.255", MULTICAST),
    ("ff02::1", MULTICAST),
    ("::ffff:224.0.0.1", MULTICAST),
    ("192.0.0.8", RESERVED),
    ("192.0.2.1", RESERVED),
    ("198.18.0.1", RESERVED),
    ("198.51.100.1", RESERVED),
    ("203.0.113.1", RESERVED),
    ("240.0.0.1", RESERVED),
    ("255.255.255.255", RESERVED),
    ("2001:db8::1", RESERVED),
    ("2001:0:808:808::f7f7:f7f7", RESERVED),  # Teredo, public at both ends
    ("64:ff9b:1::1", RESERVED),
    ("100::1", RESERVED),
    ("5f00::1", RESERVED),
    ("::8.8.8.8", RESERVED),
]
ONLY_PRIVATE = [
    "10.0.0.1",
    "172.16.0.1",
    "172.31.255.255",
    "192.168.1.1",
    "100.64.0.1",
    "fd12:3456::1",
    "fc00::1",
    "::ffff:10.0.0.1",
    "64:ff9b::10.0.0.1",
    "2002:a00:1::",
]
PUBLIC = [
    "8.8.8.8",
    "1.1.1.1",
    "9.255.255.255",
    "11.0.0.0",
    "172.15.255.255",
    "172.32.0.0",
    "192.167.255.255",
    "100.63.255.255",
    "100.128.0.0",
    "128.0.0.1",
    "169.253.255.255",
    "223.255.255.255",
    "168.63.129.17",
    "2606:4700:4700::1111",
    "2600:1f18::1",
    "::ffff:8.8.8.8",
    "64:ff9b::8.8.8.8",
    "2002:808:808::1",
]


@pytest.mark.parametrize("rules", [PUBLIC_ONLY, PRIVATE_TOO])
@pytest.mark.parametrize(("address", "kind"), NEVER)
def test_no_type_reaches_these(internet: Internet, address: str, kind: str, rules: Rules) -> None:
    internet.name(HOST, [address])
    what = refusal(address, rules=rules)
    assert what.startswith(HOST)
    assert [other for other in KINDS if other in what] == [kind]


@pytest.mark.parametrize("address", ONLY_PRIVATE)
def test_a_private_address_needs_a_type_that_may_or_the_operator(
    internet: Internet, address: str
) -> None:
    internet.name(HOST, [address])
    assert PRIVATE in refusal(address)
    with pytest.raises(Failed, match="OUTBOUND_ALLOWED_NETWORKS"):
        addresses(HOST, 443, PUBLIC_ONLY)
    assert addresses(HOST, 443, PRIVATE_TOO) == [address]
    assert addresses(HOST, 443, EVERYTHING_OPENED) == [address]


@pytest.mark.parametrize("rules", [PUBLIC_ONLY, PRIVATE_TOO])
@pytest.mark.parametrize("address", PUBLIC)
def test_public_addresses_are_reached(internet: Internet, address: str, rules: Rules) -> None:
    internet.name(HOST, [address])
    assert addresses(HOST, 443, rules) == [address]


def test_the_operator_opens_a_network_and_no_other(internet: Internet) -> None:
    rules = Rules(allowed=(ip_network("10.1.0.0/16"), ip_network("127.0.0.0/8")))
    internet.name(HOST, ["10.1.2.3", "127.0.0.1", "::ffff:10.1.2.3"])
    assert addresses(HOST, 443, rules) == ["10.1.2.3", "127.0.0.1", "::ffff:10.1.2.3"]
    internet.name(HOST, ["10.2.0.1"])
    assert PRIVATE in refusal("10.2.0.1", rules=rules)


@pytest.mark.parametrize("address", [address for address, kind in NEVER if kind == METADATA])
def test_not_even_the_operator_opens_metadata(internet: Internet, address: str) -> None:
    internet.name(HOST, [address])
    assert METADATA in refusal(address, rules=EVERYTHING_OPENED)


@pytest.mark.parametrize("order", [1, -1])
def test_one_bad_address_among_good_ones_refuses_all(internet: Internet, order: int) -> None:
    internet.name(HOST, ["8.8.8.8", "127.0.0.1"][::order])
    assert LOOPBACK in refusal("127.0.0.1")


@pytest.mark.parametrize(
    "host",
    ["127.0.0.1", "127.1", "0x7f.1", "0177.0.0.1", "2130706433", "0", "::1", "[::1]", "localhost"],
)
def test_an_address_in_place_of_a_name_is_judged_however_it_is_written(host: str) -> None:
    with pytest.raises(Failed, match=LOOPBACK):
        addresses(host, 443, PUBLIC_ONLY)


def test_a_public_address_in_place_of_a_name() -> None:
    assert addresses("8.8.8.8", 443, PUBLIC_ONLY) == ["8.8.8.8"]
    assert addresses("[2606:4700::1]", 443, PUBLIC_ONLY) == ["2606:4700::1"]


@pytest.mark.parametrize("host", [HOST, "a" * 64 + ".example.com", "", "a..example.com"])
def test_a_name_that_leads_nowhere(internet: Internet, host: str) -> None:
    internet.name(HOST, [])
    with pytest.raises(Failed, match="no address") as refused:
        addresses(host, 443, PUBLIC_ONLY)
    assert refused.value.code == "registry_unreachable"


def test_what_isnt_a_host_isnt_repeated(internet: Internet) -> None:
    internet.name("<script>", ["127.0.0.1"])
    with pytest.raises(Failed) as refused:
        addresses("<script>", 443, PUBLIC_ONLY)
    assert refused.value.what == f"The host {LOOPBACK}, so nothing was sent there."


def test_a_dns_that_hangs_holds_nobody_longer_and_few_threads(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    released, started = threading.Event(), []

    def hang(*args: object, **kwargs: object) -> list[object]:
        started.append(args)
        released.wait(20)
        return []

    monkeypatch.setattr(socket, "getaddrinfo", hang)
    monkeypatch.setattr(outbound, "_lookups", Places(2, "Full."))
    began = time.monotonic()
    sentences = []
    for owner in range(3):
        with pytest.raises(Failed) as refused:
            addresses(HOST, 443, Rules(owner=owner), timeout_seconds=0.1)
        assert (refused.value.code, refused.value.retry_after) == ("registry_unreachable", 5)
        sentences.append(refused.value.what)
    assert time.monotonic() - began < 10  # each hangs for twenty
    assert len(started) == 2
    assert "in time" in sentences[0] and "too many look-ups" in sentences[2]
    released.set()
    while len(started) == 2:  # the place comes back once the DNS lets go
        with pytest.raises(Failed):
            addresses(HOST, 443, PUBLIC_ONLY, timeout_seconds=1)


# -- The connection --------------------------------------------------------------------


def ask(to: list[str], host: str = HOST, port: int = 443, seconds: float = 5) -> outbound.Answer:
    deadline = time.monotonic() + seconds
    way = outbound.Way(tuple(to))
    return outbound.request("GET", host, port, way, "/v2/", {"X-Own": "yes"}, deadline)


def failure(to: list[str], code: str = "registry_unreachable", **kwargs: float) -> Failed:
    with pytest.raises(Failed) as failed:
        ask(to, **kwargs)
    assert failed.value.code == code
    assert HOST in failed.value.what
    return failed.value


def test_a_name_that_changes_its_mind_is_looked_up_once(internet: Internet) -> None:
    server = internet.serve(lambda request: reply(200, b"here"))
    internet.name(HOST, [server.address], ["127.0.0.1"])
    found = addresses(HOST, 443, PUBLIC_ONLY)
    assert ask(found).body == b"here"
    assert ask(found).body == b"here"
    assert internet.lookups == [HOST]
    assert internet.dials == [(server.address, 443)] * 2
    # The next look-up is judged anew.
    assert LOOPBACK in refusal("127.0.0.1")


def test_the_request_is_plain(internet: Internet) -> None:
    server = internet.serve(lambda request: reply(200, Set_Cookie="a=b"), port=5000)
    for _ in range(2):
        assert ask([server.address], port=5000).status == 200
    assert [request.headers for request in server.requests] == [
        {
            "host": f"{HOST}:5000",
            "accept-encoding": "identity",
            "connection": "close",
            "user-agent": "valohai-registries",
            "x-own": "yes",
        }
    ] * 2


def test_the_next_address_is_tried(internet: Internet) -> None:
    server = internet.serve(lambda request: reply(204))
    assert ask(["8.8.4.4", server.address]).status == 204
    assert internet.dials == [("8.8.4.4", 443), (server.address, 443)]


def test_a_redirect_is_an_answer_and_nothing_more(internet: Internet) -> None:
    other = internet.serve(lambda request: reply(200), "other.example.com")
    server = internet.serve(lambda request: reply(307, Location="https://other.example.com/"))
    assert ask([server.address]).status == 307
    assert other.requests == []


def test_a_certificate_for_another_host(internet: Internet, tmp_path: Path) -> None:
    (tmp_path / "other").mkdir()
    _, other = make_certificates(tmp_path / "other", HOST)  # of an authority that nobody trusts
    ours = internet.serve(lambda request: reply(200))
    unknown = internet.serve(lambda request: reply(200), server_file=other)
    assert "from an authority that this server doesn't know" in failure([unknown.address]).what
    assert unknown.requests == []
    with pytest.raises(Failed, match="is for another host"):
        ask([ours.address], host="registry.example.net")
    assert ours.requests == []


def test_nobody_listens(internet: Internet) -> None:
    assert "refused the connection" in failure(["8.8.4.4"]).what


def test_no_tls_at_all(internet: Internet) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def serve() -> None:
            sock, _ = listener.accept()
            with sock:
                sock.sendall(b"HTTP/1.1 400 Bad Request\r\n\r\n")
                sock.recv(65536)

        threading.Thread(target=serve, daemon=True).start()
        internet.route("8.8.8.8", 443, listener.getsockname())
        assert "TLS" in failure(["8.8.8.8"]).what


def test_a_server_that_says_nothing_not_even_hello(internet: Internet) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        internet.route("8.8.8.8", 443, listener.getsockname())
        began = time.monotonic()
        error = failure(["8.8.8.8"], seconds=0.5)
        assert time.monotonic() - began < 10
        assert "in time" in error.what and error.retry_after == 5 and error.transient


def drip_head(request: Request) -> Iterator[bytes]:
    yield b"HTTP/1.1 200 OK\r\n"
    for _ in range(200):
        time.sleep(0.05)
        yield b"X: y\r\n"


def drip_body(request: Request) -> Iterator[bytes]:
    yield b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n"
    for _ in range(200):
        time.sleep(0.05)
        yield b"."


def drip_continue(request: Request) -> Iterator[bytes]:
    for _ in range(200):
        time.sleep(0.05)
        yield b"HTTP/1.1 100 Continue\r\n\r\n"


@pytest.mark.parametrize("script", [drip_head, drip_body, drip_continue])
def test_the_deadline_holds_though_bytes_drip_in(internet: Internet, script) -> None:
    server = internet.serve(script)
    began = time.monotonic()
    assert "in time" in failure([server.address], seconds=1).what
    assert 0.9 < time.monotonic() - began < 6  # it drips for ten


def test_a_deadline_that_is_over_dials_nobody(internet: Internet) -> None:
    server = internet.serve(lambda request: reply(200))
    assert "in time" in failure([server.address], seconds=-1).what
    assert internet.dials == []


def test_a_huge_body_is_read_up_to_a_limit(internet: Internet) -> None:
    def flood(request: Request) -> Iterator[bytes]:
        yield b"HTTP/1.1 200 OK\r\n\r\n"
        while True:
            yield bytes(65536)

    server = internet.serve(flood)
    assert len(ask([server.address]).body) == outbound.MAX_BODY


@pytest.mark.parametrize(
    ("said", "code", "part"),
    [
        (b"", "registry_unreachable", "closed the connection"),
        (b"SSH-2.0-OpenSSH_9.2\r\n", "not_a_registry", "not in HTTP"),
        (b"HTTP/1.1 200 OK\r\n" + b"A: b\r\n" * 200 + b"\r\n", "not_a_registry", "not in HTTP"),
    ],
)
def test_no_proper_answer(internet: Internet, said: bytes, code: str, part: str) -> None:
    server = internet.serve(lambda request: said)
    assert part in failure([server.address], code).what


def test_an_answer_shows_no_body_of_its_own_accord(internet: Internet) -> None:
    server = internet.serve(lambda request: reply(200, {"token": "canary"}))
    answer = ask([server.address])
    assert b"canary" in answer.body and "canary" not in repr(answer)
