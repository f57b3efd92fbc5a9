"""The copy of this server's keys that clouds read, where they can't reach the server."""

from __future__ import annotations

import json
import time
from ipaddress import ip_network
from urllib.parse import urlsplit

from django.conf import settings
from django.db import connection

from orgs.outside import outside
from orgs.registries import outbound
from orgs.registries.addresses import Rules
from orgs.registries.problems import Failed

from . import issuer

SECONDS = 2.5  # for the look-up and the answer: a login may be waiting
MOST = 100_000  # bytes


def has(kid: str) -> bool:
    """Whether the copy has this key; False where it can't be read. Blocking."""
    assert not connection.in_atomic_block, "nobody outside is asked inside a transaction"
    return kid in read()


def read() -> list[str]:
    """The ids of the keys in the copy; none where it can't be read. Blocking."""
    parts = urlsplit(f"{issuer.configured()}/.well-known/jwks.json")
    deadline = time.monotonic() + SECONDS
    allowed = tuple(ip_network(n, strict=False) for n in settings.OUTBOUND_ALLOWED_NETWORKS)
    rules = Rules(allowed=allowed, owner="issuer")
    try:
        with outside():
            host = parts.hostname or ""
            to = outbound.way(host, 443, rules, SECONDS)
            headers = {"Accept": "application/json"}
            answer = outbound.request(
                "GET", host, 443, to, parts.path, headers, deadline, most=MOST
            )
        keys = json.loads(answer.body)["keys"] if answer.status == 200 else []
        return [key["kid"] for key in keys if isinstance(key.get("kid"), str)]
    except (Failed, ValueError, RecursionError, LookupError, TypeError, AttributeError):
        return []
