"""Tries to sign in: how many there may be, and against whom each counts."""

from __future__ import annotations

from datetime import timedelta
from ipaddress import IPv6Address, ip_address, ip_network

from django.utils.crypto import salted_hmac

from orgs.models import User

from . import tallies
from .tallies import Limit

WINDOW = timedelta(minutes=15)
PAUSES = (timedelta(minutes=15), timedelta(minutes=30), timedelta(hours=1))
ACCOUNT = Limit("account", 10, WINDOW, PAUSES)
ADDRESS = Limit("address", 50, WINDOW, PAUSES)
PASSKEYS = Limit("passkeys", 60, WINDOW, PAUSES)
# Six digits, three of which are good at any moment: 10 tries and then a pause that grows
# leave somebody who has the password one chance in a thousand a day.
CODES = Limit("codes", 10, WINDOW, PAUSES)
# Of an IPv6 network, everyone has as many addresses as they like.
IPV6_PREFIX = 64


def pause_end(person: User) -> None:
    """Let somebody in again who is paused: they have a new password, or a link to set one."""
    tallies.clear(ACCOUNT, account_of(person.email))


def codes_pause_end(person: User) -> None:
    """Take codes again of somebody who is paused: staff know that it's them. A new password
    alone doesn't, or who has the mailbox would have ten tries more with each."""
    tallies.clear(CODES, str(person.pk))


def source_of(address: str | None) -> str:
    """Whom tries from an address count against: it, or its IPv6 network."""
    if address is None:
        return "unknown"
    found = ip_address(address)
    if isinstance(found, IPv6Address):
        return str(ip_network((found, IPV6_PREFIX), strict=False))
    return str(found)


def account_of(email: str) -> str:
    """An e-mail's key: the table doesn't tell which were typed."""
    return salted_hmac("orgs.signing_in", email, algorithm="sha256").hexdigest()
