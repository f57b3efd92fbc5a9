"""Trying a key before it replaces one that works."""

from __future__ import annotations

import threading
import time
from collections.abc import Mapping

from django.conf import settings
from django.db import connection

from orgs.models import RegistryEntry
from orgs.registries.base import LoginError, RegistryType

from .checking import Draft, check

# Seconds before each try. IAM is eventually consistent: a key may be unknown to ECR
# for seconds after it was made (AWS: «Changes that I make are not always immediately
# visible»).
PAUSES = (0.0, 3.0, 5.0)
DEADLINE = 15.0
# In this process at once: each holds one of the threads that answer everyone.
_places = threading.BoundedSemaphore(4)


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
    """Obtain one login with these and drop it; the error, or None where it worked.

    Blocking. A key that is unknown is tried three times within 15 seconds, since new
    ones take a while to be known; the last try may take another 8 to time out.
    """
    assert not connection.in_atomic_block, "a registry is never called inside a transaction"
    if not _places.acquire(blocking=False):
        return LoginError(
            "busy", "Other keys are being tested at this moment.", "Try again in a few seconds."
        )
    began = time.monotonic()
    failed: LoginError | None = None
    try:
        for pause in PAUSES:
            if time.monotonic() - began + pause > DEADLINE:
                break
            time.sleep(pause)
            failed = _tried(registry_type, config, secrets, host)
            if failed is None or failed.code != "invalid_key":
                break
    finally:
        _places.release()
    return failed


def _tried(
    registry_type: RegistryType, config: Mapping[str, str], secrets: Mapping[str, str], host: str
) -> LoginError | None:
    try:
        registry_type.login(config, secrets, host, settings.AWS_ENDPOINT_URL)
    except LoginError as error:
        return error
    return None
