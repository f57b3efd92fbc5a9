"""All that calls a registry or a cloud: its place, its deadline, a key that is tried.

Logins, verifying, images and replaced keys take places of the same kind, so that no
organization takes another's, and no hanging registry the threads that answer workers.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from functools import partial
from typing import Any, TypeVar

from django.conf import settings
from django.db import connection

from orgs.models import RegistryEntry
from orgs.outside import give_back_connection, outside
from orgs.registries.places import Places
from orgs.registries.problems import Failed, Problem, Refused
from orgs.registries.turns import turns
from orgs.registries.types import Ask, DockerLogin, InstanceRoleLogin, RegistryType
from orgs.seen import metrics
from orgs.services.identity import signing

from . import proofs

Given = TypeVar("Given")

CALL_SECONDS = 7.0  # for one login of a provider, however the bytes drip
# Seconds to wait before each further try of a new key. IAM is eventually consistent:
# a key or a policy may take seconds to be known to ECR (AWS: «Changes that I make are
# not always immediately visible»).
PAUSES: Mapping[str, tuple[float, ...]] = {"invalid_key": (3.0, 5.0), "access_denied": (3.0,)}
NEW_KEY_SECONDS = 15.0  # for all tries together

# Threads for logins and for all else are apart (valohai_registries/serving): so are the
# places, which leave some threads of each free.
_TOLD = "Many registries are being asked at this moment, and some take their time."
LOGINS = Places(16, _TOLD, most={"entry": 4})
PAGES = Places(9, _TOLD, most={"listing": 2}, retry_after=3)
REFRESHES = Places(12, _TOLD)


def require_real(entry: RegistryEntry) -> None:
    """Raises `Refused` for an entry of a made-up organization: no registry is asked for it."""
    if entry.organization.made_up:
        what = f"{entry.organization} is made up, so no registry is asked for it."
        raise Refused(Problem("made_up", what, "Try it with an entry of a real organization."))


@contextmanager
def waiting(entry: RegistryEntry) -> Iterator[None]:
    """A place to wait for the entry's login in; raises `places.Full`."""
    with LOGINS.taken(entry.organization_id, entry=entry.pk), metrics.waiting.track_inprogress():
        yield


def refreshing(entry: RegistryEntry) -> AbstractContextManager[None]:
    """A place to refresh the entry's login in, beside whoever asked; raises `places.Full`."""
    return REFRESHES.taken(entry.organization_id)


@contextmanager
def looking(entry: RegistryEntry, *, listing: bool = False, wait: float = 0.0) -> Iterator[None]:
    """A place to ask the entry's registry in for a page, and the page's turn given up;
    raises `places.Full` where none of this organization's comes free within `wait` seconds.

    `listing` images of one entry takes few: what hangs can still be verified and mended.
    """
    things = {"listing": entry.pk} if listing else {}
    with turns.given_up(), PAGES.taken(entry.organization_id, wait=wait, **things):
        yield


def ask_for_login(
    kind: RegistryType, config: Mapping[str, str], secrets: Mapping[str, str], ask: Ask
) -> DockerLogin | InstanceRoleLogin:
    """One login of these credentials, by the ask's deadline; raises `Failed`."""
    assert not connection.in_atomic_block, "a registry is never called inside a transaction"
    with outside(), metrics.cloud_call(kind.slug, _outcome):
        return kind.login(config, secrets, ask)


def _outcome(error: BaseException) -> str:
    return error.code if isinstance(error, Failed) else "crashed"


def asked(
    kind: RegistryType,
    host: str,
    deadline: float,
    entry: RegistryEntry | None = None,
    *,
    repository: str = "",
    anew: bool = False,
) -> Ask:
    """What a type is asked with: the stand-in, if there is one, of its own provider only, and
    what the entry is to it. With `anew` what was seen lately of it doesn't count."""
    stand_in = f"{kind.provider}_ENDPOINT_URL"
    return Ask(
        host,
        deadline,
        getattr(settings, stand_in) if kind.provider else "",
        repository,
        who=signing.who(entry) if entry else None,
        identity=partial(_kept_by_nobody, signing.signed, entry) if entry else None,
        stranger=partial(_kept_by_nobody, signing.of_nobody) if entry else None,
        own=settings.AWS_SERVER_IDENTITY,
        proven=entry is not None and kind.proves and not anew and proofs.stands(entry),
        proved=partial(_kept_by_nobody, proofs.note, entry) if entry else (lambda held: None),
    )


def _kept_by_nobody(does: Callable[..., Given], *about: Any) -> Given:
    """What the database is for, done on the way, without keeping a connection to it."""
    try:
        return does(*about)
    finally:
        give_back_connection()


def obtain(
    kind: RegistryType,
    config: Mapping[str, str],
    secrets: Mapping[str, str],
    host: str,
    *,
    new: bool,
    entry: RegistryEntry | None = None,
    repository: str = "",
) -> DockerLogin | InstanceRoleLogin:
    """A login of these credentials; blocking, raises `Failed`.

    `new` ones that are refused are tried again, within `NEW_KEY_SECONDS`.
    """
    end = time.monotonic() + NEW_KEY_SECONDS
    tries = 0
    while True:
        deadline = min(end, time.monotonic() + CALL_SECONDS)
        ask = asked(kind, host, deadline, entry, repository=repository, anew=True)
        try:
            return ask_for_login(kind, config, secrets, ask)
        except Failed as error:
            pauses = PAUSES.get(error.code, ()) if new else ()
            # a try needs a moment beside its pause
            if tries >= len(pauses) or time.monotonic() + pauses[tries] + 1 > end:
                raise
        with outside():
            time.sleep(pauses[tries])
        tries += 1


def try_credentials(
    kind: RegistryType,
    config: Mapping[str, str],
    secrets: Mapping[str, str],
    host: str,
    entry: RegistryEntry,
) -> None:
    """Obtain one login with the entry's new ones and drop it; raises `Failed`."""
    obtain(kind, config, secrets, host, new=True, entry=entry)
