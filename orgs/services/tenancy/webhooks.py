"""Notices by HTTPS, sent beside whoever brings them about: tried again, and never waited for.

Where one goes is what org admins wrote, so it's judged as a registry's host is
(`registries.outbound`): no private address but in a network that the operator opened, no
redirect, one deadline. What comes back is told cut, cleaned, and without the address's own
parts, which let whoever has them write there.
"""

from __future__ import annotations

import hashlib
import hmac
import ipaddress
import logging
import re
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any
from urllib.parse import unquote, urlsplit
from uuid import UUID

from django.conf import settings
from django.db import DatabaseError, connection
from django.db.models.functions import Now

from orgs.models import NoticeAddress
from orgs.outside import outside
from orgs.registries import outbound
from orgs.registries.addresses import Rules
from orgs.registries.outbound import Unreachable, Way, shown
from orgs.registries.places import Places
from orgs.registries.problems import Failed
from orgs.registries.text import storable
from orgs.sealed import Unreadable

SIGNATURE = "X-Valohai-Signature"
SECONDS = 8.0  # for one try, the look-up included
WAITS = (5.0, 60.0)  # seconds before the second and the third try
MOST_WAITING = 200  # in this process, those that wait for another try included
MOST_READ = 4_000  # bytes of an answer
MOST_TOLD = 120  # characters of it
TESTS = Places(3, "Other tests are being sent at this moment.", retry_after=3)

_UNSAFE_FIX = (
    "Write an address that this server may go to, or ask staff to add its network to "
    "OUTBOUND_ALLOWED_NETWORKS."
)
_LASTING = frozenset({"certificate", "authority", "tls"})  # trying again doesn't help
_UNOPENED = "The address can't be opened with this server's keys. Write it again."

log = logging.getLogger(__name__)
_pool = ThreadPoolExecutor(2, thread_name_prefix="webhooks")
_state = threading.Condition()
_waiting = 0


@dataclass(frozen=True)
class Target:
    """An address, opened; `set_at` is of which setting of it."""

    key: UUID
    organization_id: int
    set_at: datetime
    url: str = field(repr=False)
    secret: str = field(repr=False)


@dataclass(frozen=True)
class Outcome:
    """What came of one try: a sentence, and whether another may go better."""

    done: bool
    told: str
    again: bool = False


def opened(row: NoticeAddress) -> Target:
    """Raises `Unreadable`."""
    secret = row.secret.reveal(row.secret_sealed_for) if row.secret else ""
    url = row.address.reveal(row.sealed_for)
    return Target(row.pk, row.organization_id, row.set_at, url, secret)


def signature(secret: str, at: int, content: bytes) -> str:
    """The header's value: HMAC-SHA256 of “{at}.{content}”, `at` in seconds since 1970, so
    that whoever checks it can refuse what is old."""
    digest = hmac.new(secret.encode(), f"{at}.".encode() + content, hashlib.sha256)
    return f"t={at},v1={digest.hexdigest()}"


# --- in the background --------------------------------------------------------------------


def send(row: NoticeAddress, content: bytes) -> None:
    """Have it delivered; returns at once, and what comes of it stands in the row."""
    global _waiting
    try:
        target = opened(row)
    except Unreadable:
        _store(row.pk, row.set_at, Outcome(False, _UNOPENED))
        return
    with _state:
        if _waiting >= MOST_WAITING:
            log.error("a notice of organization %s is dropped: too many wait", row.organization_id)
            return
        _waiting += 1
    _pool.submit(_try, target, content, 0)


def drain() -> None:
    """Wait until nothing is being sent (tests, shutdown)."""
    with _state:
        _state.wait_for(lambda: not _waiting)


def _try(target: Target, content: bytes, tries: int) -> None:
    again = False
    try:
        outcome = _post(target, content)
        again = outcome.again and tries < len(WAITS)
        if not again:
            _store(target.key, target.set_at, outcome)
        if not outcome.done and not again:
            # What came back may hold anything.
            log.warning("a notice of organization %s wasn't delivered", target.organization_id)
    except Exception as error:
        log.error(
            "a notice of organization %s wasn't delivered: %s",
            target.organization_id, type(error).__name__,
        )  # fmt: skip
    finally:
        connection.close()
        if again:
            _later(WAITS[tries], lambda: _pool.submit(_try, target, content, tries + 1))
        else:
            _done()


def _later(seconds: float, what: Callable[[], Any]) -> None:
    timer = threading.Timer(seconds, what)
    timer.daemon = True
    timer.start()


def _done() -> None:
    global _waiting
    with _state:
        _waiting -= 1
        _state.notify_all()


# --- by the button ------------------------------------------------------------------------


def test(row: NoticeAddress, content: bytes) -> Outcome:
    """Deliver one now, and once; raises `places.Full`."""
    with TESTS.taken(row.organization_id):
        try:
            target = opened(row)
        except Unreadable:
            return Outcome(False, _UNOPENED)
        with outside():
            outcome = _post(target, content)
    _store(target.key, target.set_at, outcome)
    return outcome


# --- one try ------------------------------------------------------------------------------


def _post(target: Target, content: bytes) -> Outcome:
    headers = {"Content-Type": "application/json"}
    if target.secret:
        headers[SIGNATURE] = signature(target.secret, int(time.time()), content)
    try:
        parts = urlsplit(target.url)
        host, tls = parts.hostname or "", parts.scheme == "https"
        port = parts.port or (443 if tls else 80)
    except ValueError:  # of what older rules let in
        return Outcome(False, "This isn't an address. Write it again.")
    path = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    deadline = time.monotonic() + SECONDS
    try:
        way = _way(target, host, port, tls)
        answer = outbound.request(
            "POST", host, port, way, path, headers, deadline,
            content=content, most=MOST_READ, tls=tls,
        )  # fmt: skip
    except Failed as error:
        fix = _UNSAFE_FIX if error.code == "unsafe_address" else ""
        again = isinstance(error, Unreachable) and error.kind not in _LASTING
        return Outcome(False, f"{error.what} {fix}".strip(), again)
    told = f"{shown(host)} answered {answer.status}"
    if 300 <= answer.status < 400:
        told += ", which leads elsewhere, and notices follow nowhere. Write the address itself."
        return Outcome(False, told)
    said = _cleaned(answer.body, target)
    told += f": {said}" if said else "."
    done = 200 <= answer.status < 300
    return Outcome(done, told, not done and (answer.status == 429 or answer.status >= 500))


def _way(target: Target, host: str, port: int, tls: bool) -> Way:
    """Plain HTTP goes only where the operator opened all that the name leads to, and goes
    there directly."""
    opened = tuple(
        ipaddress.ip_network(text, strict=False) for text in settings.OUTBOUND_ALLOWED_NETWORKS
    )
    rules = Rules(allowed=opened, owner=target.organization_id)
    if tls:
        return outbound.way(host, port, rules, SECONDS / 2)
    found = outbound.addresses(host, port, rules, SECONDS / 2)
    if not all(any(ipaddress.ip_address(a) in network for network in opened) for a in found):
        raise Failed(
            "unsafe_address",
            f"{shown(host)} is asked over https only: without it anyone on the way reads along.",
        )
    return Way(tuple(found))


def _cleaned(body: bytes, target: Target) -> str:
    """The beginning of an answer as one line, without what the address keeps secret."""
    parts = urlsplit(target.url)
    text = storable(body.decode(errors="replace"))
    text = " ".join("".join(c if c.isprintable() else " " for c in text).split())
    pieces = re.split(r"[/?&=]", f"{parts.path}?{parts.query}")
    secrets = {target.secret, target.url, *pieces, *map(unquote, pieces)}
    for secret in sorted((s for s in secrets if len(s) >= 6), key=len, reverse=True):
        text = text.replace(secret, "•••")
    return f"{text[:MOST_TOLD]}…" if len(text) > MOST_TOLD else text


def _store(key: UUID, set_at: datetime, outcome: Outcome) -> None:
    """In the row, unless another address was written meanwhile."""
    rows = NoticeAddress.objects.filter(pk=key, set_at=set_at)
    try:
        if outcome.done:
            rows.update(delivered_at=Now())
        else:
            rows.update(failed_at=Now(), failure=outcome.told)
    except DatabaseError as error:
        log.error("what came of a notice isn't stored: %s", type(error).__name__)
