"""Requests that leave this server: which addresses they may go to, and the connection itself.

Hosts come from people, so this is where server-side request forgery ends: a name is
looked up once, every address is judged, and the connection goes to one of exactly
those. HTTPS only, no proxy, no redirect, no cookie.
"""

from __future__ import annotations

import http.client
import queue
import re
import socket
import ssl
import threading
import time
from collections.abc import Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from email.message import Message
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network
from typing import Any, TypeAlias

from .base import LoginError

Address: TypeAlias = IPv4Address | IPv6Address
Network: TypeAlias = IPv4Network | IPv6Network

LOOKUP_SECONDS = 4.0
CONNECT_SECONDS = 3.0
READ_SECONDS = 5.0
MAX_BODY = 1_000_000

# getaddrinfo can't be stopped, only left behind: no more of them than this at once.
_lookups = threading.BoundedSemaphore(8)

_HOST = re.compile(r"[A-Za-z0-9.:\[\]-]{1,255}")


@dataclass(frozen=True)
class Rules:
    """Where requests may go besides public addresses.

    `private` admits private ones (VPC endpoints). `allowed` are networks that the
    operator opened, whatever they are; a cloud's metadata stays shut even there.
    """

    private: bool = False
    allowed: tuple[Network, ...] = ()


@dataclass(frozen=True)
class Answer:
    """What came back; `body` is its first megabyte, and may hold a token."""

    status: int
    headers: Message
    body: bytes = field(repr=False)


def addresses(
    host: str, port: int, rules: Rules, timeout_seconds: float = LOOKUP_SECONDS
) -> list[str]:
    """Look a host up, once, and give its addresses, each of them allowed by the rules.

    `host` may itself be an address, in any spelling that the system takes. Raises
    `LoginError`: `unsafe_address` if any of the addresses is refused, each kind with
    its own sentence, `registry_unreachable` where there is none.
    """
    found: dict[str, None] = {}
    for info in _look_up(host, port, timeout_seconds):
        # A zone (`fe80::1%eth0`) names an interface of ours, and nothing to judge.
        address = str(info[4][0]).partition("%")[0]
        kind = _refused_kind(ip_address(address), rules)
        if kind:
            what, fix = _REFUSALS[kind]
            raise LoginError("unsafe_address", what.format(host=shown(host)), fix)
        found[address] = None
    return list(found)


def request(
    method: str,
    host: str,
    port: int,
    to: Sequence[str],
    target: str,
    headers: Mapping[str, str],
    deadline: float,
) -> Answer:
    """Make one HTTPS request to a host at one of the addresses `to`, and read the answer.

    The certificate has to be the host's. `deadline` is a `time.monotonic()` value that
    holds however slowly the other side sends. Any status is an answer. Raises
    `LoginError`: `registry_unreachable`, or `not_a_registry` where no HTTP is spoken.
    """
    own = {"Connection": "close", "User-Agent": "valohai-registries"}
    try:
        with closing(_Connection(host, port, to, deadline)) as connection:
            connection.request(method, target, headers=own | dict(headers))
            with connection.getresponse() as response:
                return Answer(response.status, response.headers, response.read(MAX_BODY))
    except (OSError, http.client.HTTPException) as error:
        raise _network_error(shown(host), error) from None


def shown(host: str) -> str:
    """A host as a message may name it: other people wrote it, so only if it looks like one."""
    return host if _HOST.fullmatch(host) else "The host"


# -- Addresses -------------------------------------------------------------------------


def _networks(*texts: str) -> tuple[Network, ...]:
    return tuple(ip_network(text) for text in texts)


# Amazon's (EC2, ECS, EKS, and all that its instances find under fd00:ec2::), Azure's wire
# server, Alibaba's, Oracle's, Scaleway's, Google's: their own documentation.
_METADATA = _networks(
    "169.254.169.254/32",
    "169.254.170.2/32",
    "169.254.170.23/32",
    "fd00:ec2::/32",
    "168.63.129.16/32",
    "100.100.100.200/32",
    "192.0.0.192/32",
    "169.254.42.42/32",
    "fd00:42::42/128",
    "fd20:ce::254/128",
)

# IANA's special-purpose registries (RFC 6890 and its successors). Not `is_private` and
# its like, which Python has changed between patch releases (CVE-2024-4032).
_KINDS: tuple[tuple[str, tuple[Network, ...]], ...] = (
    # Linux takes 0.0.0.0 and :: for itself.
    ("loopback", _networks("127.0.0.0/8", "0.0.0.0/8", "::1/128", "::/128")),
    ("link_local", _networks("169.254.0.0/16", "fe80::/10")),
    ("multicast", _networks("224.0.0.0/4", "ff00::/8")),
    (
        "private",
        # 100.64.0.0/10 is carriers' by RFC 6598, and common inside VPCs.
        _networks(
            "10.0.0.0/8",
            "172.16.0.0/12",
            "192.168.0.0/16",
            "100.64.0.0/10",
            "fc00::/7",
            "fec0::/10",
        ),
    ),
    (
        "reserved",
        _networks(
            "192.0.0.0/24",
            "192.0.2.0/24",
            "192.88.99.0/24",
            "198.18.0.0/15",
            "198.51.100.0/24",
            "203.0.113.0/24",
            "240.0.0.0/4",
            "2001::/23",
            "2001:db8::/32",
            "3fff::/20",
        ),
    ),
)
_GLOBAL_UNICAST = IPv6Network("2000::/3")
_NAT64 = IPv6Network("64:ff9b::/96")
_IPV4_COMPATIBLE = IPv6Network("::/96")

_REFUSALS = {
    "loopback": (
        "{host} leads back to this server itself, so nothing was sent there.",
        "Write the host that workers reach the registry by.",
    ),
    "link_local": (
        "{host} leads to a link-local address, which means another machine on every network.",
        "Correct the host, or its DNS record.",
    ),
    "metadata": (
        "{host} leads to a cloud's instance metadata, which is no registry.",
        "Write the registry's own host.",
    ),
    "private": (
        "{host} leads to a private address, and this server only goes to public ones.",
        "If the registry is yours, ask staff to add its network to OUTBOUND_ALLOWED_NETWORKS.",
    ),
    "multicast": (
        "{host} leads to a multicast address, which is no single machine's.",
        "Correct the host, or its DNS record.",
    ),
    "reserved": (
        "{host} leads to an address that is reserved, so no registry can be there.",
        "Correct the host, or its DNS record.",
    ),
}


def _refused_kind(address: Address, rules: Rules) -> str | None:
    """Why an address is refused, a key of `_REFUSALS`; None where it isn't."""
    for part in _led_to(address):
        kind = _kind(part, rules)
        if kind:
            return kind
    return None


def _led_to(address: Address) -> list[Address]:
    """The addresses where a packet may end: IPv4 can be wrapped in IPv6 in several ways."""
    if isinstance(address, IPv4Address):
        return [address]
    inner = IPv4Address(int(address) & 0xFFFF_FFFF)
    if address.ipv4_mapped or address in _NAT64:
        return [inner]
    if address.sixtofour:
        return [address.sixtofour]
    if address.teredo:
        return [*address.teredo, address]
    if address in _IPV4_COMPATIBLE and int(address) > 1:
        return [inner, address]
    return [address]


def _kind(address: Address, rules: Rules) -> str | None:
    if any(address in network for network in _METADATA):
        return "metadata"
    if any(address in network for network in rules.allowed):
        return None
    for kind, networks in _KINDS:
        if any(address in network for network in networks):
            return None if kind == "private" and rules.private else kind
    if isinstance(address, IPv6Address) and address not in _GLOBAL_UNICAST:
        return "reserved"
    return None


def _look_up(host: str, port: int, timeout_seconds: float) -> list[Any]:
    """What getaddrinfo finds, never empty; raise `registry_unreachable`."""
    deadline = time.monotonic() + timeout_seconds
    if not _lookups.acquire(timeout=max(0.0, timeout_seconds)):
        raise LoginError(
            "registry_unreachable",
            f"{shown(host)} wasn't looked up, since too many look-ups are waiting for the DNS.",
            "Try again in a few seconds.",
            retry_after=5,
        )
    outcome: queue.SimpleQueue[list[Any] | Exception] = queue.SimpleQueue()

    def look_up() -> None:
        try:
            wanted = host.removeprefix("[").removesuffix("]")
            outcome.put(
                socket.getaddrinfo(wanted, port, type=socket.SOCK_STREAM, proto=socket.IPPROTO_TCP)
            )
        except Exception as error:  # not only OSError: UnicodeError for an overlong label
            outcome.put(error)
        finally:
            _lookups.release()

    threading.Thread(target=look_up, name="look-up", daemon=True).start()
    try:
        found = outcome.get(timeout=max(0.0, deadline - time.monotonic()))
    except queue.Empty:
        raise LoginError(
            "registry_unreachable",
            f"The DNS didn't say in time where {shown(host)} is.",
            "Try again in a few seconds; if it lasts, check the name servers of this server.",
            retry_after=5,
        ) from None
    if isinstance(found, Exception) or not found:
        raise LoginError(
            "registry_unreachable",
            f"The DNS knows no address of {shown(host)}.",
            "Check its spelling, and that its name is known outside your own network too.",
        )
    return found


# -- The connection --------------------------------------------------------------------


def _dial(address: str, port: int, timeout: float) -> socket.socket:
    """A TCP connection to an address, never a name, so that nothing is looked up again."""
    return socket.create_connection((address, port), timeout)


class _BoundedSocket(ssl.SSLSocket):
    """Gives up at its deadline, even if bytes keep dripping in: a timeout restarts with each."""

    deadline: float

    def arm(self) -> None:
        self.settimeout(min(READ_SECONDS, _left(self.deadline)))

    def recv_into(self, *args: Any, **kwargs: Any) -> int:
        self.arm()
        return super().recv_into(*args, **kwargs)

    def send(self, *args: Any, **kwargs: Any) -> int:
        self.arm()
        return super().send(*args, **kwargs)


class _Connection(http.client.HTTPSConnection):
    """HTTPS to a host at the first of the given addresses that takes the connection."""

    def __init__(self, host: str, port: int, to: Sequence[str], deadline: float) -> None:
        self._tls = ssl.create_default_context()
        self._tls.sslsocket_class = _BoundedSocket
        super().__init__(host.removeprefix("[").removesuffix("]"), port, context=self._tls)
        self._to = to
        self._deadline = deadline

    def connect(self) -> None:
        raw = self._first_to_answer()
        try:
            sock = self._tls.wrap_socket(
                raw, server_hostname=self.host, do_handshake_on_connect=False
            )
        except BaseException:
            raw.close()
            raise
        assert isinstance(sock, _BoundedSocket)
        sock.deadline = self._deadline
        self.sock = sock  # from here on, `close` closes it
        sock.arm()
        sock.do_handshake()

    def _first_to_answer(self) -> socket.socket:
        failed: OSError = OSError("no address")
        for address in self._to:
            try:
                timeout = min(CONNECT_SECONDS, _left(self._deadline))
                return _dial(address, self.port, timeout)
            except OSError as error:
                failed = error
        raise failed


def _left(deadline: float) -> float:
    """The seconds until then; raise TimeoutError where there are none."""
    left = deadline - time.monotonic()
    if left <= 0:
        raise TimeoutError
    return left


# OpenSSL's X509_V_ERR_*; all others amount to an issuer that this server doesn't know.
_CERTIFICATE_FAULTS = {
    9: "isn't valid yet",
    10: "has expired",
    62: "is for another host",
    64: "is for another host",
}


def _network_error(host: str, error: Exception) -> LoginError:
    """Say which way the network failed; the first that fits, so the narrower come first."""
    if isinstance(error, ssl.SSLCertVerificationError):
        fault = _CERTIFICATE_FAULTS.get(error.verify_code, "is from an issuer unknown here")
        return LoginError(
            "registry_unreachable",
            f"The certificate of {host} {fault}, so nothing was sent there.",
            "Mend the registry's certificate, or ask staff to make this server trust its issuer.",
        )
    for kinds, what, fix, retry_after in _FAILURES:
        if isinstance(error, kinds):
            return LoginError("registry_unreachable", what.format(host=host), fix, retry_after)
    return LoginError(
        "not_a_registry",
        f"{host} answered, but not in HTTP.",
        "Check the host and its port.",
    )


_FAILURES: tuple[tuple[tuple[type[Exception], ...], str, str, int | None], ...] = (
    (
        (TimeoutError,),
        "{host} didn't answer in time.",
        "Try again in a few seconds; if it lasts, check this server's way to it.",
        5,
    ),
    (
        (ConnectionRefusedError,),
        "{host} refused the connection.",
        "Check the port, and that the registry is running.",
        None,
    ),
    (
        (ConnectionError, ssl.SSLEOFError, ssl.SSLZeroReturnError),
        "{host} closed the connection without an answer.",
        "Check the port, and what stands between this server and the registry.",
        None,
    ),
    (
        (ssl.SSLError,),
        "{host} doesn't speak TLS as it should, so nothing was sent there.",
        "Check the port: logins go over HTTPS only.",
        None,
    ),
    (
        (OSError,),
        "{host} can't be reached from this server.",
        "Check the host, and this server's way to it.",
        None,
    ),
)
