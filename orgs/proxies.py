"""Where a request comes from, behind proxies that are trusted and those that aren't."""

from __future__ import annotations

from functools import lru_cache
from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network

from django.conf import settings
from django.http import HttpRequest


def source_address(request: HttpRequest) -> str | None:
    """The client's address; a forwarded one is believed of TRUSTED_PROXIES only.

    Each proxy appends who spoke to it, so reading from the right, the first address
    that isn't a trusted proxy's is the client's; what stands before it, anyone may
    have written.
    """
    if (known := getattr(request, "_source_address", None)) is not None:
        return known
    trusted = _networks(tuple(settings.TRUSTED_PROXIES))
    found = _address(request.META.get("REMOTE_ADDR", ""))
    hops = request.META.get("HTTP_X_FORWARDED_FOR", "").split(",")
    while found is not None and hops and any(found in network for network in trusted):
        before = _address(hops.pop())
        if before is None:
            break
        found = before
    if found is None:
        return None
    request._source_address = str(found)  # type: ignore[attr-defined]  # asked more than once
    return str(found)


def is_trusted(request: HttpRequest) -> bool:
    """Whether it comes from one of TRUSTED_PROXIES itself."""
    near = _address(request.META.get("REMOTE_ADDR", ""))
    trusted = _networks(tuple(settings.TRUSTED_PROXIES))
    return near is not None and any(near in network for network in trusted)


@lru_cache(maxsize=4)
def _networks(texts: tuple[str, ...]):
    return tuple(ip_network(text, strict=False) for text in texts)


def _address(text: str) -> IPv4Address | IPv6Address | None:
    try:
        # without a zone (fe80::1%eth0), which databases don't take
        found = ip_address(text.strip().partition("%")[0])
    except ValueError:
        return None
    return getattr(found, "ipv4_mapped", None) or found
