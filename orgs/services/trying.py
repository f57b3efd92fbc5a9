"""Trying a key: does a login come of it?"""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

from django.conf import settings
from django.db import connection

from orgs.models import RegistryEntry
from orgs.registries.base import DockerLogin, InstanceRoleLogin, LoginError, RegistryType

from .checking import Draft, check

# Seconds to wait before each further try of a new key. IAM is eventually consistent:
# a key or a policy may take seconds to be known to ECR (AWS: «Changes that I make are
# not always immediately visible»).
PAUSES: Mapping[str, tuple[float, ...]] = {"invalid_key": (3.0, 5.0), "access_denied": (3.0,)}
DEADLINE = 15.0  # seconds in all; the last try may take another 8 to time out
# In this process at once: each holds one of the threads that answer everyone.
PLACES = 4
_places = threading.BoundedSemaphore(PLACES)


def replacement_error(entry: RegistryEntry, draft: Draft) -> LoginError | None:
    """Why the draft's new secret shouldn't replace the entry's; None where it may.

    Also where there is nothing to try: no new secret, another type than before, one
    whose logins aren't minted here, or a disabled entry, which nobody relies on.
    Raises `Refused` for what saving would refuse as well.
    """
    if not (entry.enabled and draft.enabled and entry.registry_type == draft.registry_type):
        return None
    checked = check(draft, entry)
    if not (checked.type.minted and checked.secrets):
        return None
    host = checked.type.example_host(checked.patterns[0])
    return try_credentials(checked.type, checked.config, checked.secrets, host)


def try_credentials(
    registry_type: RegistryType, config: Mapping[str, str], secrets: Mapping[str, str], host: str
) -> LoginError | None:
    """Obtain one login with these new ones and drop it; the error, or None where it worked."""
    try:
        with place():
            obtain(registry_type, config, secrets, host, new=True)
    except LoginError as error:
        return error
    return None


@contextmanager
def place(wait: float = 0.0) -> Iterator[None]:
    """One of the few places for what may take seconds; raises `LoginError` busy where
    none comes free within `wait` seconds."""
    if not _places.acquire(timeout=wait):
        raise LoginError(
            "busy",
            "Other entries are being checked at this moment.",
            "Try again in a few seconds.",
            retry_after=3,
        )
    try:
        yield
    finally:
        _places.release()


def obtain(
    registry_type: RegistryType,
    config: Mapping[str, str],
    secrets: Mapping[str, str],
    host: str,
    *,
    new: bool,
) -> DockerLogin | InstanceRoleLogin:
    """A login of these credentials; blocking, raises `LoginError`.

    `new` ones that are refused are tried again, within 15 seconds.
    """
    assert not connection.in_atomic_block, "a registry is never called inside a transaction"
    deadline = time.monotonic() + DEADLINE
    tries = 0
    while True:
        try:
            return registry_type.login(config, secrets, host, settings.AWS_ENDPOINT_URL)
        except LoginError as error:
            pauses = PAUSES.get(error.code, ()) if new else ()
            if tries >= len(pauses) or time.monotonic() + pauses[tries] > deadline:
                raise
        time.sleep(pauses[tries])
        tries += 1
