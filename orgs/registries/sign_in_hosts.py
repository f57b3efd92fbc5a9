"""Where a registry of one's own has its logins go: the operator's list of pairs, such as
`registry.example.com=gitlab.example.com` (OUTBOUND_SIGN_IN_HOSTS).

A login goes to the registry itself, and to exactly the host that is paired with it.
"""

from __future__ import annotations

from collections.abc import Iterable

from .images import ImageReference, InvalidImage, join_authority, split_authority
from .problems import Problem

_WRITE = "Write registry=sign-in host, such as registry.example.com=gitlab.example.com."


class Unusable(ValueError):
    """Not a pair; the message is a sentence and what to do."""


def of(authority: str, pairs: Iterable[str]) -> frozenset[str]:
    """The host[:port]s that the pairs give a registry; pairs that are none give nothing."""
    found = set()
    for text in pairs:
        try:
            registry, host = read(text)
        except Unusable:
            continue
        if registry == authority:
            found.add(host)
    return frozenset(found)


def read(text: str) -> tuple[str, str]:
    """(registry, sign-in host) of a pair, each as normalized host[:port]; raises `Unusable`."""
    registry, separator, host = text.partition("=")
    if not separator or not registry.strip() or not host.strip() or "=" in host:
        raise Unusable(f"“{text}” isn't a pair of hosts. {_WRITE}")
    if "://" in text:
        raise Unusable(f"“{text}” has a scheme in it, and logins go by https only. {_WRITE}")
    if "*" in text:
        raise Unusable(f"“{text}” leaves open which host it is. {_WRITE}")
    if "/" in text:
        raise Unusable(f"“{text}” has more than hosts in it. {_WRITE}")
    try:
        found = _registry(registry.strip()), join_authority(*split_authority(host.strip()))
    except InvalidImage:
        raise Unusable(f"“{text}” isn't a pair of hosts. {_WRITE}") from None
    if found[0] == found[1]:
        raise Unusable(f"“{text}” names one host twice: logins may go to a registry anyway.")
    return found


def pair(registry: str, host: str) -> str:
    """What the operator would add for these; "" where that would be no pair."""
    text = f"{registry}={host}"
    try:
        return text if read(text) == (registry, host) else ""
    except Unusable:
        return ""


def _registry(text: str) -> str:
    """As a pattern's is normalized, aliases included; a name alone is none of a registry's."""
    host, port = split_authority(text)
    if "." not in host and port is None and host != "localhost":
        raise InvalidImage(Problem("invalid_image", f"“{text}” isn't a registry's host.", _WRITE))
    return ImageReference.parse(f"{join_authority(host, port)}/x").authority
