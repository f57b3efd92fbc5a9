"""Registries of one's own: an authority that this server is told of, a proxy on the way to
them, and a sign-in on another host; each that doesn't fit with its own sentence."""

from __future__ import annotations

import base64
import contextlib
import os
import time
from collections.abc import Callable, Iterator
from ipaddress import ip_network
from pathlib import Path

import pytest

from orgs import checks
from orgs.registries import authorities, forward_proxy, outbound, sign_in_hosts
from orgs.registries.addresses import Rules
from orgs.registries.distribution import RegistryApi
from orgs.registries.places import Places
from orgs.registries.problems import Failed
from orgs.registries.types import DockerLogin
from tests.support.certificates import make_certificates
from tests.support.internet import HOST, Internet, Request, reply
from tests.support.proxy import Proxy, refuses

pytestmark = pytest.mark.once

PASSWORD = "canary-p@ss:word"
BASIC = f"Basic {base64.b64encode(f'me:{PASSWORD}'.encode()).decode()}"
PROXY_PASSWORD = "proxy-canary"
GITLAB = "gitlab.example.com"


def registry(request: Request) -> bytes:
    """One that asks for a password, and lets this one in."""
    if request.authorization == BASIC:
        return reply(200, {})
    return reply(401, {}, WWW_Authenticate='Basic realm="it"')


def verify(
    authority: str = HOST, *, rules: Rules | None = None, seconds: float = 5, **given: object
) -> None:
    RegistryApi(
        authority,
        DockerLogin("me", PASSWORD, None),
        rules=rules or Rules(),
        deadline=time.monotonic() + seconds,
        **given,
    ).answers()


def told(code: str = "registry_unreachable", **given: object) -> Failed:
    with pytest.raises(Failed) as failed:
        verify(**given)
    error = failed.value
    assert error.code == code, error
    assert error.what.endswith(".") and error.fix.endswith(".")
    whole = f"{error.in_full} {error!r}"
    assert PASSWORD not in whole and PROXY_PASSWORD not in whole and BASIC[6:] not in whole
    return error


# --- authorities --------------------------------------------------------------------------


@pytest.fixture
def other(tmp_path: Path) -> Callable[..., tuple[str, Path]]:
    """An authority that nobody knows: (its certificate, a server's file)."""

    def made(host: str = HOST, **given: object) -> tuple[str, Path]:
        directory = tmp_path / str(len(list(tmp_path.iterdir())))
        directory.mkdir()
        ca_file, server_file = make_certificates(directory, host, **given)
        return authorities.plain(authorities.read(ca_file.read_text())), server_file

    return made


def test_in_neither_in_the_entry_in_the_operators_file(
    internet: Internet, other, settings, tmp_path: Path
) -> None:
    pem, server_file = other()
    server = internet.serve(registry, server_file=server_file)
    error = told()
    assert "from an authority that this server doesn't know" in error.what
    assert "OUTBOUND_CA_FILE" in error.fix and server.requests == []
    verify(trusting=pem)
    told()  # of that entry only
    settings.OUTBOUND_CA_FILE = str(tmp_path / "company.pem")
    (tmp_path / "company.pem").write_text(f"# Company\n{pem}")
    verify()
    # The system's count still, and so does another file in its place.
    internet.serve(registry, "public.example.com")
    verify("public.example.com")
    (tmp_path / "company.pem").write_text(other()[0] * 2)
    told()


def test_a_file_that_went(internet: Internet, settings, tmp_path: Path) -> None:
    server = internet.serve(registry)
    for content in (None, "", "nothing of the kind"):
        settings.OUTBOUND_CA_FILE = str(tmp_path / "gone.pem")
        if content is not None:
            (tmp_path / "gone.pem").write_text(content)
        error = told()
        assert "authorities that this server is to trust can't be read" in error.what
        assert "OUTBOUND_CA_FILE" in error.fix and str(tmp_path) not in error.in_full
    assert server.requests == []


@pytest.mark.parametrize("name", ["AWS_CA_BUNDLE", "REQUESTS_CA_BUNDLE"])
def test_bundles_that_others_name(
    internet: Internet, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, name: str
) -> None:
    """A directory is one, too; what can't be read is told by its name, and stops a start."""
    internet.serve(registry)
    for bundle, fine in (
        (tmp_path, True),
        (internet.ca_file, True),
        (tmp_path / "nonexistent.pem", False),
        (Path(__file__), False),
    ):
        monkeypatch.setenv(name, str(bundle))
        if fine:
            verify()
        else:
            assert name in told().fix
        assert [m.id for m in checks.outbound(None)] == ([] if fine else ["orgs.E014"])


def test_a_file_in_its_place_counts_whatever_its_times(
    internet: Internet, other, settings, tmp_path
):
    pem, server_file = other()
    internet.serve(registry, server_file=server_file)
    company, new = tmp_path / "company.pem", tmp_path / "new.pem"
    settings.OUTBOUND_CA_FILE = str(company)
    company.write_text(other()[0].ljust(2000))
    told()
    new.write_text(pem.ljust(2000))
    os.utime(new, ns=(company.stat().st_atime_ns, company.stat().st_mtime_ns))
    new.replace(company)
    verify()


def test_wrong_certificates_each_say_why(internet: Internet, other) -> None:
    pem, server_file = other(days=(-9, -2))
    internet.serve(registry, server_file=server_file)
    assert f"The certificate of {HOST} has expired" in told(trusting=pem).what
    pem, server_file = other(days=(2, 9))
    internet.serve(registry, server_file=server_file)
    assert "isn't valid yet" in told(trusting=pem).what
    pem, server_file = other("registry.example.net")
    internet.serve(registry, server_file=server_file)
    assert "is for another host" in told(trusting=pem).what
    pem, server_file = other(self_signed=True)
    internet.serve(registry, server_file=server_file)
    error = told()
    assert "is signed by itself" in error.what and "OUTBOUND_CA_FILE" in error.fix
    # Trusted by itself, as Docker and podman do, and for no other name.
    verify(trusting=pem)
    internet.serve(registry, "other.example.org", server_file=server_file)
    assert "is for another host" in told(authority="other.example.org", trusting=pem).what
    # Another's authority helps nobody.
    assert "signed by itself" in told(trusting=other()[0]).what


def test_an_authority_counts_for_the_sign_in_too(internet: Internet, other) -> None:
    pem, server_file = other()
    internet.serve(_bearer(GITLAB), server_file=server_file)
    internet.serve(_tokens, GITLAB, server_file=server_file)
    verify(trusting=pem, sign_in_hosts={GITLAB})


# --- a sign-in on another host --------------------------------------------------------------


def _bearer(host: str) -> Callable[[Request], bytes]:
    def answer(request: Request) -> bytes:
        if request.authorization == "Bearer minted":
            return reply(200, {})
        where = f'Bearer realm="https://{host}/jwt/auth",service="container_registry"'
        return reply(401, {}, WWW_Authenticate=where)

    return answer


def _tokens(request: Request) -> bytes:
    return reply(200, {"token": "minted"}) if request.authorization == BASIC else reply(403)


@pytest.mark.parametrize("where", [GITLAB, f"{GITLAB}:8443", f"{HOST}:8443"])
def test_on_the_list_and_off_it(internet: Internet, where: str) -> None:
    internet.serve(_bearer(where))
    if where.startswith(HOST):  # one name, two ports
        address = internet._answers[HOST]
        service = internet.serve(_tokens, HOST, 8443)
        internet.name(HOST, [*address[0], service.address])
        internet.route(address[0][0], 8443, internet._routes[service.address, 8443])
    else:
        service = internet.serve(_tokens, GITLAB, int(where.partition(":")[2] or 443))
    error = told("hostile_realm")
    assert service.requests == []
    # What it suggests is what the operator may write, and works.
    pair = error.fix.partition("add ")[2].partition(" to OUTBOUND_SIGN_IN_HOSTS")[0]
    assert pair == f"{HOST}={where}"
    verify(sign_in_hosts=sign_in_hosts.of(HOST, [pair]))
    assert [request.authorization for request in service.requests] == [BASIC]


@pytest.mark.parametrize(
    "listed",
    [
        *("example.com", f"evil.{GITLAB}", f"{GITLAB}.evil.com", f"{GITLAB}:8443", "gitlab"),
        *(GITLAB.upper() + "x", "*", f"https://{GITLAB}", f"{GITLAB}/jwt"),
    ],
)
def test_only_exactly_what_is_listed(internet: Internet, listed: str) -> None:
    internet.serve(_bearer(GITLAB))
    service = internet.serve(_tokens, GITLAB)
    told("hostile_realm", sign_in_hosts={listed})
    assert service.requests == []


@pytest.mark.parametrize("realm", ["http://gitlab.example.com/", f"https://{GITLAB}@evil.com/"])
def test_a_listed_host_by_another_way(internet: Internet, realm: str) -> None:
    internet.serve(lambda r: reply(401, {}, WWW_Authenticate=f'Bearer realm="{realm}"'))
    service = internet.serve(_tokens, GITLAB)
    error = told("hostile_realm", sign_in_hosts={GITLAB})
    assert service.requests == [] and "OUTBOUND_SIGN_IN_HOSTS" not in error.fix


def test_a_sign_in_that_leads_elsewhere_takes_nothing_along(internet: Internet) -> None:
    evil = internet.serve(_tokens, "evil.example.com")
    internet.serve(_bearer(GITLAB))
    internet.serve(lambda r: reply(307, Location="https://evil.example.com/"), GITLAB)
    told("redirected", sign_in_hosts={GITLAB})
    assert evil.requests == []


# --- the operator's proxy --------------------------------------------------------------------


@pytest.fixture
def proxied(internet: Internet, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., Proxy]]:
    for name in ("https_proxy", "no_proxy", "NO_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)
    with contextlib.ExitStack() as stack:

        def proxied(given: str = "", **how: object) -> Proxy:
            proxy = stack.enter_context(Proxy(internet.behind, **how))
            internet.route("127.0.0.1", proxy.port, ("127.0.0.1", proxy.port))
            monkeypatch.setenv("HTTPS_PROXY", f"http://{given}127.0.0.1:{proxy.port}")
            return proxy

        yield proxied


@pytest.mark.parametrize(("login", "given"), [("", ""), ("me:p@x", "me:p%40x@")])
def test_through_it_with_and_without_a_password(
    internet: Internet, proxied, login: str, given: str
) -> None:
    server, proxy = internet.serve(registry), proxied(given, login=login)
    verify()
    assert {head.partition(" HTTP/1.")[0] for head in proxy.asked} == {f"CONNECT {HOST}:443"}
    assert not any(BASIC[6:] in head for head in proxy.asked)
    assert [request.authorization for request in server.requests] == ["", BASIC]
    assert ("127.0.0.1", proxy.port) in internet.dials and server.address not in dict(
        internet.dials
    )


def test_the_certificate_is_the_registrys_own_behind_it(internet: Internet, proxied, other) -> None:
    pem, server_file = other()
    internet.serve(registry, server_file=server_file)
    proxied()
    assert "an authority that this server doesn't know" in told().what
    verify(trusting=pem)


def test_around_it(internet: Internet, proxied, monkeypatch: pytest.MonkeyPatch) -> None:
    internet.serve(registry)
    proxy = proxied()
    monkeypatch.setenv("NO_PROXY", "example.org,.example.com")
    verify()
    assert proxy.asked == []


def test_what_our_dns_doesnt_know_the_proxy_may(internet: Internet, proxied) -> None:
    server = internet.serve(registry)
    internet.name(HOST, [])
    internet.hidden[HOST] = [server.address]
    assert told().kind == "dns"
    proxied()
    verify()


def test_private_addresses_stay_shut_by_either_way(internet: Internet, proxied) -> None:
    server = internet.serve(registry)
    proxy = proxied()
    for address in ("10.0.0.7", "127.0.0.1", "169.254.169.254", "::1"):
        internet.name(HOST, [address])
        internet.route(address, 443, internet._routes[server.address, 443])
        told("unsafe_address")
    for host in ("10.0.0.7", "127.0.0.1", "[::1]", "169.254.169.254:443"):
        told("unsafe_address", authority=host)
    assert proxy.asked == [] and server.requests == []
    internet.name(HOST, ["10.0.0.7"])
    verify(rules=Rules(allowed=(ip_network("10.0.0.0/8"),)))
    assert proxy.asked


@pytest.mark.parametrize(
    "host",
    [
        *("010.0.0.7", "0127.0.0.1", "0169.254.169.254", "127.1", "2130706433", "0x7f.0.0.1"),
        *("0x7f000001", "10.0.0.07", "registry.example.0x1", "8.8.8.010"),
        *("[0:0:0:0:0:0:0:1]", "[2606:4700:0::1111]"),
    ],
)
def test_an_address_that_others_read_otherwise_goes_to_no_proxy(
    internet: Internet, proxied, host: str
) -> None:
    proxy = proxied()
    internet.name(host, [])  # what isn't known here would be the proxy's to look up
    told("unsafe_address", authority=host)
    assert proxy.asked == []


def test_look_ups_that_are_full_send_nothing_to_the_proxy(
    internet: Internet, proxied, monkeypatch: pytest.MonkeyPatch
) -> None:
    server, proxy = internet.serve(registry), proxied()
    monkeypatch.setattr(outbound, "_lookups", Places(0, "Full."))
    error = told()
    assert isinstance(error, outbound.Unreachable) and error.kind == "full"
    assert proxy.asked == [] and server.requests == []


def test_an_address_of_ipv6_has_its_brackets(internet: Internet, proxied) -> None:
    proxy = proxied()
    told(authority="[2606:4700::1111]")
    assert proxy.asked[0].startswith("CONNECT [2606:4700::1111]:443 ")


NOT_ALLOWED = f"doesn't let it through to {HOST} (HTTP "
NOT_REACHED, NO_PROXY = f"couldn't reach {HOST} (HTTP ", "not as a proxy does"


@pytest.mark.parametrize(
    ("says", "what", "fix"),
    [
        (refuses(407), "wants a name and password", "correct them in HTTPS_PROXY"),
        (refuses(403), f"{NOT_ALLOWED}403)", "allow the host"),
        (refuses(429), f"{NOT_ALLOWED}429)", "allow the host"),
        (refuses(502), f"{NOT_REACHED}502)", "Check the host"),
        (refuses(504), f"{NOT_REACHED}504)", "Check the host"),
        (b"SSH-2.0-OpenSSH_9.6\r\n\r\n", NO_PROXY, "HTTPS_PROXY"),
        (b"HTTP/1.1 twohundred OK\r\n\r\n", NO_PROXY, "HTTPS_PROXY"),
        (b"HTTP/1.1 200 " + b"A" * 70_000, NO_PROXY, "HTTPS_PROXY"),
        (b"", NO_PROXY, "HTTPS_PROXY"),
    ],
    ids=lambda value: repr(value)[:30],
)
def test_a_proxy_that_doesnt_lead_there(
    internet: Internet, proxied, says: bytes, what: str, fix: str
) -> None:
    server = internet.serve(registry)
    proxy = proxied(f"me:{PROXY_PASSWORD}@", says=lambda: iter([says]))
    error = told()
    assert isinstance(error, outbound.Unreachable) and error.kind == "proxy"
    assert what in error.what and fix in error.fix, error
    assert server.requests == [] and len(proxy.asked) == 1
    assert str(proxy.port) not in error.in_full  # the operator's network is the operator's


def drips() -> Iterator[bytes]:
    yield b"HTTP/1.1 200 "
    for _ in range(60):
        time.sleep(0.1)
        yield b"."


def test_a_proxy_that_drips_ends_by_the_deadline(internet: Internet, proxied) -> None:
    internet.serve(registry)
    proxied(says=drips)
    began = time.monotonic()
    assert "proxy didn't answer in time" in told(seconds=0.5).what
    assert time.monotonic() - began < 5


def test_no_proxy_there(internet: Internet, monkeypatch: pytest.MonkeyPatch) -> None:
    internet.serve(registry)
    monkeypatch.setenv("HTTPS_PROXY", "http://127.0.0.1:1")
    assert "proxy can't be reached" in told().what
    internet.name("proxy.example.com", [])
    monkeypatch.setenv("HTTPS_PROXY", f"http://me:{PROXY_PASSWORD}@proxy.example.com:3128")
    assert "proxy can't be looked up" in told().what


@pytest.mark.parametrize(
    "address",
    [
        *("https://proxy.example.com:3128", "socks5://proxy.example.com", "http://:3128"),
        *("http://proxy.example.com:port", "http://proxy.example.com:99999", "http://[::1"),
        *("http://pro xy:3128", "http://", "ftp://proxy.example.com", "http://proxy:0"),
        *("http://user:12/34@proxy:3128", "http://user:8080#x@proxy", "http://u\udce9:p@proxy"),
        *("robot:p://x@proxy:3128", "http://proxy:3128?x", "http://proxy:3128/path"),
    ],
)
def test_what_is_no_proxy_is_told_and_nothing_is_sent(
    internet: Internet, monkeypatch: pytest.MonkeyPatch, address: str
) -> None:
    server = internet.serve(registry)
    own = "@" in address
    given = address if own else address.replace("//", f"//me:{PROXY_PASSWORD}@")
    monkeypatch.setenv("HTTPS_PROXY", given)
    assert forward_proxy.fault()
    assert not any(word in forward_proxy.fault() for word in (PROXY_PASSWORD, "robot", "user"))
    error = told()
    assert "HTTPS_PROXY" in error.what and "Ask staff" in error.fix
    assert server.requests == []


def test_nothing_else_of_the_environment_is_asked(internet: Internet, monkeypatch) -> None:
    server = internet.serve(registry)
    for name in ("HTTP_PROXY", "ALL_PROXY", "REQUEST_METHOD"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    verify()
    assert os.environ["ALL_PROXY"] and [at for at, _ in internet.dials] == [server.address] * 2
