"""Which addresses this server may go to, whatever name leads there."""

from __future__ import annotations

from collections.abc import Hashable
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_network
from typing import TypeAlias

Address: TypeAlias = IPv4Address | IPv6Address
Network: TypeAlias = IPv4Network | IPv6Network


@dataclass(frozen=True)
class Rules:
    """Where requests may go besides public addresses.

    `private` admits private ones (VPC endpoints). `allowed` are networks that the
    operator opened, whatever they are; a cloud's metadata stays shut even there.
    `owner` is on whose account a host is looked up.
    """

    private: bool = False
    allowed: tuple[Network, ...] = ()
    owner: Hashable = None


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
        "{host} leads to a cloud's instance metadata, so nothing was sent there.",
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
        "{host} leads to an address that is reserved, so nothing can be there.",
        "Correct the host, or its DNS record.",
    ),
}


def refusal(address: Address, rules: Rules) -> tuple[str, str] | None:
    """Why an address is refused, and what to do, with a place for {host}; None where it
    isn't."""
    for part in _led_to(address):
        kind = _kind(part, rules)
        if kind:
            return _REFUSALS[kind]
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
