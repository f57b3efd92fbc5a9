"""Hashing passwords: costly by design, so it has places and a thread of its own.

A hash takes the processor (0.2 s, measured on two cores). It is done by one thread of each
process, at a low priority where the system knows one, so that workers' logins come
first; a few may wait for it, and whoever finds no place is told so at once (`Full`).
Every way to a hash goes through the hashers here (settings.PASSWORD_HASHERS).
"""

from __future__ import annotations

import os
import sys
import threading
from collections.abc import Hashable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

from django.contrib.auth.hashers import PBKDF2PasswordHasher, ScryptPasswordHasher

from orgs.outside import outside
from orgs.registries.places import Places

# One is hashed and the others wait, so nobody waits longer than for these.
PLACES = 4
NICENESS = 10

places = Places(
    PLACES, "Too many passwords are being checked right now.", most={"account": 2}, retry_after=2
)
_asker: ContextVar[Hashable] = ContextVar("asker", default="this server")
_held: ContextVar[bool] = ContextVar("held", default=False)


@contextmanager
def asked_by(owner: Hashable) -> Iterator[None]:
    """Whose places those are that are taken within; an address, or its network."""
    token = _asker.set(owner)
    try:
        yield
    finally:
        _asker.reset(token)


@contextmanager
def place(account: Hashable = None) -> Iterator[None]:
    """Hold a place for hashing, once however often it is asked for within; raises `Full`.

    `account` is whose password it is, where that is known.
    """
    if _held.get():
        yield
        return
    # what isn't one account's is bounded by who asks
    things = {"account": account} if account is not None else {}
    with places.taken(_asker.get(), wait=0.0, **things):
        token = _held.set(True)
        try:
            yield
        finally:
            _held.reset(token)


def _yield_to_others() -> None:
    # Linux has a priority for each thread; elsewhere it would be the whole process's.
    if sys.platform == "linux":
        os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), NICENESS)


_thread = ThreadPoolExecutor(1, thread_name_prefix="passwords", initializer=_yield_to_others)


class _InItsPlace:
    def encode(self, *args: Any, **kwargs: Any) -> str:
        with place(), outside():
            return _thread.submit(super().encode, *args, **kwargs).result()  # type: ignore[misc]


class Scrypt(_InItsPlace, ScryptPasswordHasher):
    """Django's, in its place."""


class PBKDF2(_InItsPlace, PBKDF2PasswordHasher):
    """Django's, in its place; for hashes from elsewhere."""
