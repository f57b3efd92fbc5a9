"""Requests that leave this server: which addresses they may go to, and the connection itself.

Hosts come from people, so this is where server-side request forgery ends: a name is
looked up once, every address is judged, and the connection goes to one of exactly
those. HTTPS only, no redirect, no cookie. Only a provider's own service is asked without
judging. Where the operator set a proxy for this server, the name is judged as well as
this server's DNS knows it, and the proxy, which looks it up again, bounds the rest.
"""

from __future__ import annotations

import http.client
import queue
import re
import socket
import ssl
import threading
import time
from collections.abc import Hashable, Mapping
from contextlib import ExitStack, closing
from dataclasses import dataclass, field
from email.message import Message
from ipaddress import ip_address
from typing import Any
from urllib.parse import urlsplit

from . import forward_proxy, trust
from .addresses import Rules, refusal
from .forward_proxy import ForwardProxy
from .places import Full, Places
from .problems import Failed

LOOKUP_SECONDS = 4.0
CONNECT_SECONDS = 3.0
READ_SECONDS = 5.0
MAX_BODY = 1_000_000
MAX_HEADERS = 64 * 1024  # bytes, of all of an answer's together

# getaddrinfo can't be stopped, only left behind: no more of them than this at once, and
# of no owner's so many that another's finds no place.
_lookups = Places(32, "Too many look-ups are waiting for the DNS.", retry_after=5)

_NUMBER = re.compile(r"[0-9]+|0[xX][0-9A-Fa-f]*", re.ASCII)
_HOST = re.compile(r"[A-Za-z0-9.:\[\]-]{1,255}")


class Unreachable(Failed):
    """No answer came; `kind` is why: "dns", "full" (too many look-ups wait), "timeout",
    "refused", "closed", "certificate", "authority" (of a certificate, unknown here), "tls",
    "proxy", "network"."""

    def __init__(self, kind: str, what: str, fix: str, retry_after: int | None = None) -> None:
        super().__init__("registry_unreachable", what, fix, retry_after)
        self.kind = kind


@dataclass(frozen=True)
class Answer:
    """What came back; `body` is its first megabyte, and may hold a token."""

    status: int
    headers: Message
    body: bytes = field(repr=False)


@dataclass(frozen=True)
class Way:
    """How a host is reached: the addresses to connect to, which are the proxy's where there
    is one."""

    to: tuple[str, ...]
    proxy: ForwardProxy | None = None


def way(host: str, port: int, rules: Rules, timeout_seconds: float = LOOKUP_SECONDS) -> Way:
    """The way to a host that other people wrote, through the operator's proxy where there is
    one for it. Raises what `addresses` does.

    What this server's DNS doesn't know is the proxy's to look up, and to refuse; an address
    is judged here, and has to be written in the one way that everyone reads alike.
    """
    deadline = time.monotonic() + timeout_seconds
    proxy = _proxy(host)
    if proxy is None:
        return Way(tuple(addresses(host, port, rules, timeout_seconds)))
    if _is_address(host) and not _plainly_written(host):
        raise Failed(
            "unsafe_address",
            f"{shown(host)} can be read as more than one address, so nothing was sent there.",
            "Write the registry's name, or its address in the usual way.",
        )
    try:
        addresses(host, port, rules, timeout_seconds / 2)
    except Unreachable as error:
        if error.kind != "dns":
            raise
    return Way(_way_to(proxy, deadline), proxy)


def _is_address(host: str) -> bool:
    """Whether somebody may read it as an address: by its last part, or by its colons."""
    last = host.rstrip(".").rpartition(".")[2]
    return ":" in host or bool(_NUMBER.fullmatch(last))


def _plainly_written(host: str) -> bool:
    try:
        return str(ip_address(host.removeprefix("[").removesuffix("]"))) == host.strip("[]")
    except ValueError:
        return False


def _way_to(proxy: ForwardProxy, deadline: float) -> tuple[str, ...]:
    """The proxy's addresses, whatever they are: the operator wrote it."""
    left = min(LOOKUP_SECONDS, deadline - time.monotonic())
    try:
        return tuple(_look_up(proxy.host, proxy.port, "provider", left))
    except Unreachable as error:
        raise _proxy_fault("can't be looked up", error.retry_after) from None


def _proxy(host: str) -> ForwardProxy | None:
    try:
        return forward_proxy.proxy_for(host)
    except forward_proxy.Unusable as unusable:
        raise Unreachable(
            "proxy",
            f"What HTTPS_PROXY says on this server {unusable}, so nothing was sent.",
            "Ask staff to correct HTTPS_PROXY.",
        ) from None


def addresses(
    host: str, port: int, rules: Rules, timeout_seconds: float = LOOKUP_SECONDS
) -> list[str]:
    """Look a host up, once, and give its addresses, each of them allowed by the rules.

    `host` may itself be an address, in any spelling that the system takes. Raises
    `Failed`: `unsafe_address` if any of the addresses is refused, each kind with
    its own sentence, `registry_unreachable` where there is none.
    """
    found: dict[str, None] = {}
    for address in _look_up(host, port, rules.owner, timeout_seconds):
        refused = refusal(ip_address(address), rules)
        if refused:
            what, fix = refused
            raise Failed("unsafe_address", what.format(host=shown(host)), fix)
        found[address] = None
    return list(found)


def request(
    method: str,
    host: str,
    port: int,
    by: Way,
    target: str,
    headers: Mapping[str, str],
    deadline: float,
    *,
    content: bytes = b"",
    most: int = MAX_BODY,
    tls: bool = True,
    trusting: str = "",
) -> Answer:
    """Make one HTTPS request to a host, and read the answer, `most` bytes of it. Without
    `tls` over HTTP, which is for networks of the operator's own.

    The certificate has to be the host's; `trusting` are certificates that count besides
    those of all (`authorities.plain`). `deadline` is a `time.monotonic()` value that
    holds however slowly the other side sends. Any status is an answer. Raises
    `Unreachable`, and `Failed` `not_a_registry` where no HTTP is spoken.
    """
    made = _Connection(host, port, by, deadline, tls=_trusted(trusting) if tls else None)
    with closing(made) as connection:
        return _exchanged(connection, method, target, headers, content, most)


def ask_provider(
    url: str,
    content: bytes,
    headers: Mapping[str, str],
    deadline: float,
    most: int,
    method: str = "POST",
) -> Answer:
    """Ask a cloud provider's own service, or what stands in for it, over http or https.

    `most` is how much of the answer is read, in bytes. https goes through HTTPS_PROXY
    unless NO_PROXY names the host. Deadline and errors as in `request`.
    """
    parts = urlsplit(url)
    tls = parts.scheme == "https"
    host, port = parts.hostname or "", parts.port or (443 if tls else 80)
    proxy = _proxy(host) if tls else None
    left = min(LOOKUP_SECONDS, deadline - time.monotonic())
    to = _way_to(proxy, deadline) if proxy else tuple(_look_up(host, port, "provider", left))
    target = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    made = _Connection(host, port, Way(to, proxy), deadline, tls=_trusted() if tls else None)
    with closing(made) as connection:
        return _exchanged(connection, method, target, headers, content, most)


def shown(host: str) -> str:
    """A host as a message may name it: other people wrote it, so only if it looks like one."""
    return host if _HOST.fullmatch(host) else "The host"


# -- Looking up -------------------------------------------------------------------------


def _look_up(host: str, port: int, owner: Hashable, timeout_seconds: float) -> list[str]:
    """The addresses that getaddrinfo finds, never none; raises `Unreachable`."""
    deadline = time.monotonic() + timeout_seconds
    place = ExitStack()
    try:
        place.enter_context(_lookups.taken(owner, wait=max(0.0, timeout_seconds)))
    except Full:
        raise Unreachable(
            "full",
            f"{shown(host)} wasn't looked up, since too many look-ups are waiting for the DNS.",
            "Try again in a few seconds.",
            retry_after=5,
        ) from None
    outcome: queue.SimpleQueue[list[Any] | Exception] = queue.SimpleQueue()

    def look_up() -> None:
        with place:
            try:
                wanted = host.removeprefix("[").removesuffix("]")
                kind, protocol = socket.SOCK_STREAM, socket.IPPROTO_TCP
                outcome.put(socket.getaddrinfo(wanted, port, type=kind, proto=protocol))
            except Exception as error:  # not only OSError: UnicodeError for an overlong label
                outcome.put(error)

    threading.Thread(target=look_up, name="look-up", daemon=True).start()
    try:
        found = outcome.get(timeout=max(0.0, deadline - time.monotonic()))
    except queue.Empty:
        raise Unreachable(
            "dns",
            f"The DNS didn't say in time where {shown(host)} is.",
            "Try again in a few seconds; if it lasts, check the name servers of this server.",
            retry_after=5,
        ) from None
    if isinstance(found, Exception) or not found:
        raise Unreachable(
            "dns",
            f"The DNS knows no address of {shown(host)}.",
            "Check its spelling, and that its name is known outside your own network too.",
        )
    # A zone (`fe80::1%eth0`) names an interface of ours, and nothing to judge.
    return list(dict.fromkeys(str(info[4][0]).partition("%")[0] for info in found))


# -- The connection --------------------------------------------------------------------


def _exchanged(
    connection: _Connection,
    method: str,
    target: str,
    headers: Mapping[str, str],
    content: bytes,
    most: int,
) -> Answer:
    """One request and its answer; raises `Failed`."""
    own = {"Connection": "close", "User-Agent": "valohai-registries"}
    try:
        connection.request(method, target, body=content or None, headers=own | dict(headers))
        with connection.getresponse() as response:
            if sum(len(name) + len(text) for name, text in response.headers.items()) > MAX_HEADERS:
                raise http.client.HTTPException("too many headers")
            return Answer(response.status, response.headers, response.read(most))
    except (OSError, http.client.HTTPException) as error:
        raise _network_error(shown(connection.name), error) from None


def _dial(address: str, port: int, timeout: float) -> socket.socket:
    """A TCP connection to an address, never a name, so that nothing is looked up again."""
    return socket.create_connection((address, port), timeout)


class _Bounded(socket.socket):
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

    def sendall(self, *args: Any, **kwargs: Any) -> None:
        self.arm()
        super().sendall(*args, **kwargs)


class _BoundedTls(_Bounded, ssl.SSLSocket):
    """The same with TLS over it."""


class _Connection(http.client.HTTPConnection):
    """HTTP to a host by a way: to the first address that takes the connection."""

    def __init__(
        self, host: str, port: int, by: Way, deadline: float, *, tls: ssl.SSLContext | None
    ) -> None:
        self.name = host
        self.default_port = 443 if tls else 80  # type: ignore[misc]  # what Host leaves out
        self._tls = tls
        self._to = by.to
        self._deadline = deadline
        bare = host.removeprefix("[").removesuffix("]")
        if by.proxy is None:
            super().__init__(bare, port)
        else:
            super().__init__(by.proxy.host, by.proxy.port)
            self.set_tunnel(bare, port, dict(by.proxy.headers))
            if ":" in bare:  # RFC 9112, 3.2.3; older Pythons leave them out
                self._tunnel_host = f"[{bare}]"  # type: ignore[attr-defined]
        self._server_name = bare

    def connect(self) -> None:
        tunnelled = bool(getattr(self, "_tunnel_host", None))
        try:
            raw = self._first_to_answer()
            sock = _Bounded(raw.family, raw.type, raw.proto, fileno=raw.detach())
            sock.deadline = self._deadline
            self.sock: socket.socket | None = sock  # from here on, `close` closes it
            if tunnelled:
                self._tunnel()  # type: ignore[attr-defined]
        except (OSError, http.client.HTTPException) as error:
            if not tunnelled:
                raise
            raise _ProxyFault(error) from None
        if self._tls is not None:
            sock.arm()
            wrapped = self._tls.wrap_socket(
                sock, server_hostname=self._server_name, do_handshake_on_connect=False
            )
            assert isinstance(wrapped, _BoundedTls)
            wrapped.deadline = self._deadline
            self.sock = wrapped
            wrapped.arm()
            wrapped.do_handshake()

    def _first_to_answer(self) -> socket.socket:
        failed: OSError = OSError("no address")
        for address in self._to:
            try:
                timeout = min(CONNECT_SECONDS, _left(self._deadline))
                return _dial(address, self.port, timeout)
            except OSError as error:
                failed = error
        raise failed


def _trusted(own: str = "") -> ssl.SSLContext:
    try:
        return trust.context(_BoundedTls, own)
    except trust.UnreadableAuthorities as unreadable:
        raise Unreachable(
            "certificate",
            "The authorities that this server is to trust can't be read, so nothing was sent.",
            f"Ask staff to look at what {unreadable} names.",
        ) from None


class _ProxyFault(OSError):
    """What failed was the way through the operator's proxy, not the host behind it."""

    def __init__(self, error: Exception) -> None:
        super().__init__()
        self.error = error

    def told(self, host: str) -> Unreachable:
        if status := forward_proxy.status_of(self.error):
            return Unreachable("proxy", *forward_proxy.told(status, host), retry_after=5)
        if isinstance(self.error, TimeoutError):
            return _proxy_fault("didn't answer in time", 5)
        if isinstance(self.error, http.client.HTTPException):
            return _proxy_fault("answers, but not as a proxy does", 5)
        return _proxy_fault("can't be reached", 5)


def _proxy_fault(how: str, retry_after: int | None) -> Unreachable:
    return Unreachable(
        "proxy",
        f"This server's proxy {how}, so nothing was sent.",
        "Ask staff to look at HTTPS_PROXY, and at the proxy.",
        retry_after,
    )


def _left(deadline: float) -> float:
    """The seconds until then; raise TimeoutError where there are none."""
    left = deadline - time.monotonic()
    if left <= 0:
        raise TimeoutError
    return left


# OpenSSL's X509_V_ERR_*; all others amount to an authority that this server doesn't know.
_CERTIFICATE_FAULTS = {
    9: "isn't valid yet",
    10: "has expired",
    62: "is for another host",
    64: "is for another host",
}
_SIGNED_BY_ITSELF = 18


def _certificate_fault(host: str, code: int) -> Unreachable:
    if how := _CERTIFICATE_FAULTS.get(code):
        return Unreachable(
            "certificate",
            f"The certificate of {host} {how}, so nothing was sent there.",
            "Mend the registry's certificate.",
        )
    by_itself = "is signed by itself, and this server doesn't know it"
    unknown = "is from an authority that this server doesn't know"
    return Unreachable(
        "authority",
        f"The certificate of {host} {by_itself if code == _SIGNED_BY_ITSELF else unknown}, so "
        "nothing was sent there.",
        "Have the registry send the certificates in between as well; if the authority is one of "
        "your own, ask staff to have this server trust it (OUTBOUND_CA_FILE)."
        if code != _SIGNED_BY_ITSELF
        else "If that's meant, ask staff to have this server trust it (OUTBOUND_CA_FILE).",
    )


def _network_error(host: str, error: Exception) -> Failed:
    """Say which way the network failed; the first that fits, so the narrower come first."""
    if isinstance(error, ssl.SSLCertVerificationError):
        return _certificate_fault(host, error.verify_code)
    if isinstance(error, _ProxyFault):
        return error.told(host)
    for kinds, kind, what, fix, retry_after in _FAILURES:
        if isinstance(error, kinds):
            return Unreachable(kind, what.format(host=host), fix, retry_after)
    return Failed(
        "not_a_registry",
        f"{host} answered, but not in HTTP.",
        "Check the host and its port.",
    )


_FAILURES: tuple[tuple[tuple[type[Exception], ...], str, str, str, int | None], ...] = (
    (
        (TimeoutError,),
        "timeout",
        "{host} didn't answer in time.",
        "Try again in a few seconds; if it lasts, check this server's way to it.",
        5,
    ),
    (
        (ConnectionRefusedError,),
        "refused",
        "{host} refused the connection.",
        "Check the port, and that the registry is running.",
        None,
    ),
    (
        (ConnectionError, ssl.SSLEOFError, ssl.SSLZeroReturnError),
        "closed",
        "{host} closed the connection without an answer.",
        "Check the port, and what stands between this server and the registry.",
        None,
    ),
    (
        (ssl.SSLError,),
        "tls",
        "{host} doesn't speak TLS as it should, so nothing was sent there.",
        "Check the port: logins go over HTTPS only.",
        None,
    ),
    (
        (OSError,),
        "network",
        "{host} can't be reached from this server.",
        "Check the host, and this server's way to it.",
        None,
    ),
)
