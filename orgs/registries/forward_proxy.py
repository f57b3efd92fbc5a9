"""The operator's proxy for what leaves this server, from the environment as most programs
read it: HTTPS_PROXY, and NO_PROXY for what goes around it."""

from __future__ import annotations

import base64
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from urllib.parse import unquote, urlsplit
from urllib.request import getproxies, proxy_bypass

_HOST = re.compile(r"[A-Za-z0-9.-]{1,253}|[0-9A-Fa-f:.]{2,45}")
# As http.client says it (`HTTPConnection._tunnel`).
_REFUSED = re.compile(r"Tunnel connection failed: ([0-9]{3})\b")


class Unusable(ValueError):
    """HTTPS_PROXY isn't a proxy's address; the message is the end of a sentence, without any
    of it."""


@dataclass(frozen=True)
class ForwardProxy:
    """Where it listens, and what lets us in there."""

    host: str
    port: int
    headers: Mapping[str, str] = field(repr=False)


def proxy_for(host: str) -> ForwardProxy | None:
    """The proxy for https to a host, None where it's asked directly; raises `Unusable`."""
    bare = host.removeprefix("[").removesuffix("]")
    address = getproxies().get("https", "")
    return None if not address or proxy_bypass(bare) else _read(address)


def fault() -> str:
    """What is wrong with HTTPS_PROXY, as the end of a sentence; "" where nothing is."""
    try:
        if address := getproxies().get("https", ""):
            _read(address)
    except Unusable as unusable:
        return str(unusable)
    return ""


def _read(address: str) -> ForwardProxy:
    try:
        parts = urlsplit(address if "://" in address else f"http://{address}")
        host, port = parts.hostname or "", 80 if parts.port is None else parts.port
        login = f"{unquote(parts.username or '')}:{unquote(parts.password or '')}".encode()
    except ValueError:  # UnicodeError is one
        raise Unusable("isn't the address of a proxy") from None
    if parts.scheme != "http":
        raise Unusable("isn't of the kind http://, and no other is spoken")
    # A sign in the password that isn't written as %… would make another host of the rest.
    further = parts.path.removeprefix("/") or parts.query or parts.fragment
    if not _HOST.fullmatch(host) or not port or further:
        raise Unusable("isn't the address of a proxy")
    given = base64.b64encode(login).decode()
    named = parts.username is not None or parts.password is not None
    return ForwardProxy(host, port, {"Proxy-Authorization": f"Basic {given}"} if named else {})


def told(status: int, host: str) -> tuple[str, str]:
    """(what, fix) of an answer of the proxy's that lets nothing through to a host."""
    if status == 407:
        return (
            "This server's proxy wants a name and password, or others than it was given.",
            "Ask staff to correct them in HTTPS_PROXY.",
        )
    if status in (502, 503, 504):
        return (
            f"This server's proxy couldn't reach {host} (HTTP {status}).",
            "Check the host; if it's right, ask staff whether the proxy finds it.",
        )
    return (
        f"This server's proxy doesn't let it through to {host} (HTTP {status}).",
        "Ask staff to allow the host at the proxy, or to name it in NO_PROXY.",
    )


def status_of(error: Exception) -> int:
    """What the proxy answered where it lets nothing through; 0 where it didn't answer so."""
    match = _REFUSED.match(str(error))
    return int(match[1]) if match else 0
