"""Logins that expire: one cached per entry and scope, refreshed by one caller.

Across all processes and machines one caller holds the lease, calls the registry
outside any transaction, and stores the login only while the lease and the
entry's credentials_version are still its own. Times are the database's, and none that
lies further ahead than any we write is believed: then a clock was wrong, and is right.
"""

from __future__ import annotations

import json
import logging
import random
import time
import uuid
from concurrent.futures import Future, ThreadPoolExecutor, wait
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from django.db import IntegrityError, connection, transaction
from django.db.models import F, Q
from django.db.models.functions import Now

from orgs import sealed
from orgs.models import CachedLogin, RegistryEntry, cached_login_context
from orgs.outside import outside
from orgs.registries import codes
from orgs.registries.catalogue import BY_SLUG
from orgs.registries.private import known
from orgs.registries.problems import Failed
from orgs.registries.types import DockerLogin
from orgs.services.audit.clock import database_now
from orgs.services.entries.status import status_mark
from orgs.services.entries.validating import secrets_of
from orgs.services.upstream import calls

# Longer than the call that it is for, which is made at once and ends by itself.
LEASE = timedelta(seconds=8)
CALL_SOON = 3.0  # seconds from taking the lease to the call; later it had too little time
WAIT = 9.0  # seconds a caller without a login waits for the one who refreshes
POLL = 0.15
# A login that ends sooner isn't worth giving: the pull it is for may take longer.
LEAST_LEFT = timedelta(minutes=5)
RETRY_CACHED = timedelta(seconds=60)
RETRY_COLD = timedelta(seconds=5)
REMEMBER_REFUSAL = timedelta(seconds=60)
REMEMBER_NEW_KEY = timedelta(seconds=5)
# A trust that was just set up takes seconds to be known everywhere.
FRESH_TRUST = frozenset({"identity_refused"})
NEW_KEY = timedelta(minutes=2)
# How many logins for one repository each an entry has, and how many make room at once.
MOST_NARROWED = 200
MADE_ROOM = 20
# The longest that we write, with room for two clocks that differ.
MOST_PAUSE = timedelta(minutes=2)
MOST_LIFE = timedelta(hours=12, minutes=5)

log = logging.getLogger(__name__)


class EntryChanged(Exception):
    """The entry isn't what it was when it was resolved: resolve again."""


class _LeaseLost(Exception):
    """The lease was taken, and its time was as good as over before the call could be made."""


@dataclass(frozen=True)
class _Seen:
    """A cached login's row and the database's clock at the same moment."""

    row: CachedLogin
    now: datetime

    @property
    def login_at_hand(self) -> bool:
        return self.row.login is not None and at_hand(self.row.expires_at, self.now)

    @property
    def may_try(self) -> bool:
        return _may_try(self.row.next_try_at, self.now)

    @property
    def lease_free(self) -> bool:
        return self.row.lease_id is None or not _ahead(self.row.lease_until, self.now, 2 * LEASE)

    @property
    def due(self) -> bool:
        return due(self.row.refresh_after, self.row.next_try_at, self.now) and self.lease_free


def at_hand(expires_at: datetime | None, now: datetime) -> bool:
    """Whether a login that ends then is worth giving now."""
    return expires_at is not None and LEAST_LEFT <= expires_at - now <= MOST_LIFE


def due(refresh_after: datetime | None, next_try_at: datetime | None, now: datetime) -> bool:
    """Whether a login is to be renewed now, if nobody does so already."""
    soon = refresh_after is not None and not _ahead(refresh_after, now, MOST_LIFE / 2)
    return soon and _may_try(next_try_at, now)


def _may_try(next_try_at: datetime | None, now: datetime) -> bool:
    return not _ahead(next_try_at, now, MOST_PAUSE)


def _ahead(moment: datetime | None, now: datetime, most: timedelta) -> bool:
    """Whether it is still to come, and no further ahead than it can be."""
    return moment is not None and now < moment <= now + most


@dataclass(frozen=True)
class Place:
    """What a login is for: a normalized host, and the repository there, "" for all of it."""

    host: str
    repository: str = ""


def minted_login(entry: RegistryEntry, place: Place) -> tuple[DockerLogin, bool]:
    """The login and whether this caller waited; `Failed`, `EntryChanged`.

    With a login at hand nobody waits: a due refresh runs in the background.
    """
    assert not connection.in_atomic_block, "a registry is never called inside a transaction"
    kind = BY_SLUG[entry.registry_type]
    # Before any login is looked at: it isn't given, and what is wrong with this host is
    # remembered for no other.
    if refusal := kind.host_refusal(entry.config, place.host):
        raise refusal
    scope = kind.login_scope(entry.config, place.host, place.repository)
    seen = _look(entry, scope)
    if seen is not None and seen.login_at_hand:
        if seen.due:
            background.start(entry, seen.row, place)
        return _opened(seen.row), False
    if seen is not None and not seen.may_try:
        raise _remembered(seen)
    if kind.narrowed(entry.config) and (failed := _failed_for_another(entry)):
        raise _remembered(failed)
    with calls.waiting(entry):
        # Before anyone holds the lease: on a busy machine it takes longer than that.
        BY_SLUG[entry.registry_type].prepare()
        return _wait_for_login(entry, scope, place), True


def may_renew(row: CachedLogin, now: datetime) -> bool:
    """Whether nobody renews the login at this moment, nor has just failed to."""
    seen = _Seen(row, now)
    return seen.may_try and seen.lease_free


def renew(entry: RegistryEntry, row: CachedLogin, place: Place) -> bool:
    """Obtain the login anew, unless another does so already; whether it was obtained.
    Blocking; raises `Failed` and `EntryChanged`."""
    BY_SLUG[entry.registry_type].prepare()
    lease = _take_lease(row)
    if lease is None:
        return False
    try:
        _refresh(entry, row, place, lease)
    except _LeaseLost:
        return False
    return True


def forget_failures(entry: RegistryEntry) -> None:
    """Drop what is remembered of failures, so that the next asker tries anew; a login
    that is cached stays."""
    CachedLogin.objects.filter(entry=entry).update(
        next_try_at=None, error_code="", error_what="", error_fix=""
    )


def revealed(entry: RegistryEntry) -> dict[str, str]:
    """The entry's secrets; `Failed` entry_unusable where they don't open, or where no
    login can come of them and the entry's config."""
    try:
        secrets = secrets_of(entry)
    except sealed.Unreadable:
        status_mark(entry, RegistryEntry.Status.UNREADABLE, _unreadable())
        raise _unreadable() from None
    kind = BY_SLUG.get(entry.registry_type)
    if kind is not None and (problem := kind.unusable(entry.config, secrets)):
        raise Failed("entry_unusable", problem.what, "Edit the entry, and enter it again.")
    return secrets


def valid_until(entry: RegistryEntry) -> datetime | None:
    """When the cached login ends that workers are given now; None where there is none."""
    rows = CachedLogin.objects.filter(
        entry=entry,
        credentials_version=entry.credentials_version,
        expires_at__gt=Now() + LEAST_LEFT,
        expires_at__lt=Now() + MOST_LIFE,
    )
    return rows.order_by("-expires_at").values_list("expires_at", flat=True).first()


def opens(entry: RegistryEntry) -> bool:
    """Whether the entry's secrets can be read with this server's keys."""
    try:
        secrets_of(entry)
    except sealed.Unreadable:
        return False
    return True


def _unreadable() -> Failed:
    return Failed(
        "entry_unusable",
        "The stored secret can't be opened with this server's keys.",
        "Enter the secret again, or ask staff to put the former key back last in FERNET_KEYS.",
    )


# --- reading ------------------------------------------------------------------


def _look(entry: RegistryEntry, scope: str) -> _Seen | None:
    """The row, if it belongs to the entry as it stands in the database now."""
    row = (
        CachedLogin.objects.filter(entry_id=entry.pk, scope=scope)
        .annotate(
            now=Now(),
            current_version=F("entry__credentials_version"),
            entry_enabled=F("entry__enabled"),
        )
        .first()
    )
    if row is None:
        return None
    if row.current_version != entry.credentials_version or not row.entry_enabled:
        raise EntryChanged
    now = clock_of(row)
    if row.credentials_version != entry.credentials_version:
        row.login = row.next_try_at = None
    return _Seen(row, now)


def clock_of(row: Any) -> datetime:
    """The database's clock as it was read with a row, as `now`; SQLite has no zones."""
    now: datetime = row.now
    return now if now.tzinfo else now.replace(tzinfo=UTC)


def _failed_for_another(entry: RegistryEntry) -> _Seen | None:
    """What the entry's role was refused a moment ago, for whichever repository: it is for
    none, and nobody has to ask again for each."""
    rows = CachedLogin.objects.filter(
        entry_id=entry.pk,
        credentials_version=entry.credentials_version,
        next_try_at__gt=Now(),
        next_try_at__lt=Now() + MOST_PAUSE,
    )
    row = rows.exclude(error_code="").order_by("-next_try_at").annotate(now=Now()).first()
    return None if row is None else _Seen(row, clock_of(row))


def _opened(row: CachedLogin) -> DockerLogin:
    assert row.login is not None
    try:
        username, password = json.loads(row.login.reveal(row.sealed_for))
    except sealed.Unreadable:
        # Sealed under a key that is gone: as good as none.
        CachedLogin.objects.filter(pk=row.pk).delete()
        raise EntryChanged from None
    return DockerLogin(username, password, row.expires_at)


def _remembered(seen: _Seen) -> Failed:
    row = seen.row
    if not codes.known(row.error_code):  # none yet, or of a type that is gone
        return _busy()
    what = known(row.error_what, row.error_code) or "The registry refused the login."
    error = Failed(row.error_code, what, row.error_fix)
    if error.transient and row.next_try_at is not None:
        error.retry_after = max(1, round((row.next_try_at - seen.now).total_seconds()))
    return error


def _busy() -> Failed:
    return Failed(
        "busy",
        "Many workers ask for this login at once, and it is being obtained.",
        "Ask again in a second.",
        retry_after=1,
    )


# --- waiting ------------------------------------------------------------------


def _wait_for_login(entry: RegistryEntry, scope: str, place: Place) -> DockerLogin:
    """The login once someone has obtained it, within `WAIT` seconds; the caller does so
    itself where nobody else does."""
    deadline = time.monotonic() + WAIT
    while True:
        seen = _look(entry, scope)
        if seen is None:
            _make_room(entry, scope)
            try:
                CachedLogin.objects.bulk_create(
                    [CachedLogin(entry_id=entry.pk, scope=scope)], ignore_conflicts=True
                )
            except IntegrityError:  # deleted meanwhile
                raise EntryChanged from None
            continue
        if seen.login_at_hand:
            return _opened(seen.row)
        if not seen.may_try:
            raise _remembered(seen)
        left = deadline - time.monotonic()
        if left <= 0:
            raise _busy()
        if seen.lease_free and left < calls.CALL_SECONDS:
            # Whoever had the lease is gone, and this caller is told before a call may end.
            background.start(entry, seen.row, place)
        elif seen.lease_free and (lease := _take_lease(seen.row)):
            try:
                return _refresh(entry, seen.row, place, lease)
            except _LeaseLost:
                continue
        with outside():
            time.sleep(POLL * random.uniform(0.7, 1.3))  # noqa: S311


def _make_room(entry: RegistryEntry, scope: str) -> None:
    """Of logins for one repository each an entry has so many, and those that are in use stay:
    whoever uses one has it renewed at its half-life. Raises `Failed` busy where all are."""
    if "/" not in scope:
        return
    own = CachedLogin.objects.filter(entry_id=entry.pk)
    if own.count() < MOST_NARROWED:
        return
    idle = own.filter(Q(lease_id=None) | Q(lease_until__lt=Now()))
    unused = idle.filter(Q(login__isnull=True) | Q(refresh_after=None) | Q(refresh_after__lt=Now()))
    oldest = unused.order_by(F("expires_at").asc(nulls_first=True), "pk")
    found = list(oldest.values_list("pk", flat=True)[:MADE_ROOM])
    if not found:
        raise Failed(
            "busy",
            f"The entry has logins for {MOST_NARROWED} repositories already, all made lately.",
            "Ask again in some minutes; narrower entries, or one without Narrowed logins, have no "
            "such bound.",
            retry_after=60,
        )
    CachedLogin.objects.filter(pk__in=found).delete()


# --- refreshing ---------------------------------------------------------------


@dataclass(frozen=True)
class _Lease:
    """The right to call the registry; `taken` is from before it was taken, monotonic."""

    id: uuid.UUID
    taken: float


def _take_lease(row: CachedLogin) -> _Lease | None:
    """One conditional UPDATE, committed; None where another has the lease, or has
    brought an outcome since `row` was read."""
    lease = _Lease(uuid.uuid4(), time.monotonic())
    # Twice the lease: an UPDATE that waited for its row has an older clock than that row.
    wrong = Q(lease_until__gt=Now() + 2 * LEASE)
    free = Q(lease_id=None) | Q(lease_until__lt=Now()) | wrong
    taken = CachedLogin.objects.filter(free, pk=row.pk, outcomes=row.outcomes).update(
        lease_id=lease.id, lease_until=Now() + LEASE
    )
    return lease if taken else None


def _refresh(entry: RegistryEntry, row: CachedLogin, place: Place, lease: _Lease) -> DockerLogin:
    """Call the registry and store what came of it; raises what it told, `EntryChanged` and
    `_LeaseLost`."""
    kind = BY_SLUG[entry.registry_type]
    try:
        secrets = revealed(entry)
        if time.monotonic() - lease.taken > CALL_SOON:
            # This thread didn't get the processor; what is left may not do for a call.
            raise _LeaseLost
        ask = calls.asked(
            kind,
            place.host,
            lease.taken + calls.CALL_SECONDS,
            entry,
            repository=place.repository if kind.narrowed(entry.config) else "",
        )
        login = calls.ask_for_login(kind, entry.config, secrets, ask)
        assert isinstance(login, DockerLogin)
    except Failed as error:
        _store_failure(entry, row, lease, error)
        raise
    except BaseException:
        CachedLogin.objects.filter(pk=row.pk, lease_id=lease.id).update(lease_id=None)
        raise
    if not _store(entry, row, lease, login):
        raise EntryChanged
    status_mark(entry, RegistryEntry.Status.VERIFIED, login_only=True)
    return login


def _still_mine(entry: RegistryEntry, row: CachedLogin, lease: _Lease):
    """The row, while nobody took the lease over and nobody changed the entry."""
    return CachedLogin.objects.filter(
        pk=row.pk,
        lease_id=lease.id,
        entry__credentials_version=entry.credentials_version,
        entry__enabled=True,
    )


def _store(entry: RegistryEntry, row: CachedLogin, lease: _Lease, login: DockerLogin) -> bool:
    assert login.expires_at is not None
    # What is left by this machine's clock, counted from the database's.
    life = min(login.expires_at - datetime.now(UTC), MOST_LIFE)
    text = json.dumps([login.username, login.password])
    with transaction.atomic():
        # The entry's row is locked against an edit between this check and the write.
        RegistryEntry.objects.select_for_update().filter(pk=entry.pk).values("pk").first()
        return bool(
            _still_mine(entry, row, lease).update(
                login=sealed.seal(text, cached_login_context(entry.pk, row.scope)),
                credentials_version=entry.credentials_version,
                expires_at=Now() + life,
                refresh_after=Now() + life / 2,
                next_try_at=None,
                error_code="",
                error_what="",
                error_fix="",
                outcomes=F("outcomes") + 1,
                lease_id=None,
                lease_until=None,
            )
        )


def _store_failure(entry: RegistryEntry, row: CachedLogin, lease: _Lease, error: Failed) -> None:
    """Remember it for a while, so that a fleet doesn't repeat it; keep any login."""
    now = database_now()
    at_hand = _Seen(row, now).login_at_hand
    if error.transient:
        pause = RETRY_CACHED if at_hand else RETRY_COLD
    elif error.refused:
        changed = entry.secrets_changed_at
        new = changed is not None and now - changed < NEW_KEY
        fresh_key = (new and error.code == "invalid_key") or error.code in FRESH_TRUST
        pause = REMEMBER_NEW_KEY if fresh_key else REMEMBER_REFUSAL
    else:
        pause = RETRY_COLD
    stored = _still_mine(
        entry, row, lease
    ).update(
        credentials_version=entry.credentials_version,
        next_try_at=Now() + pause * random.uniform(1.0, 1.2),  # noqa: S311
        error_code=error.code,
        error_what=error.told[:600],
        error_fix=error.fix[:600],
        outcomes=F("outcomes") + 1,
        lease_id=None,
        lease_until=None,
    )
    if stored and error.refused:
        status_mark(entry, RegistryEntry.Status.FAILING, error)


class _Background:
    """Refreshes beside the askers: a few threads, and no queue behind them."""

    def __init__(self, threads: int) -> None:
        self._pool = ThreadPoolExecutor(threads, thread_name_prefix="refresh")
        self._running: dict[int, Future[None]] = {}

    def start(self, entry: RegistryEntry, row: CachedLogin, place: Place) -> None:
        """Refresh unless that is done already or no place is free; then the next asker tries."""
        if row.pk in self._running:
            return
        with ExitStack() as kept:
            try:
                kept.enter_context(calls.refreshing(entry))
            except Failed:
                return
            task = self._pool.submit(self._run, entry, row, place, kept.pop_all())
        self._running[row.pk] = task
        task.add_done_callback(lambda _: self._running.pop(row.pk, None))

    def _run(self, entry: RegistryEntry, row: CachedLogin, place: Place, kept: ExitStack) -> None:
        try:
            with kept:
                renew(entry, row, place)
        except Failed as error:
            log.warning("refreshing the login of entry %s: %s", entry.pk, error.code)
        except EntryChanged:
            pass
        except Exception as error:
            # Its text might quote what it was working on; its kind is enough.
            log.error("refreshing the login of entry %s: %s", entry.pk, type(error).__name__)
        finally:
            connection.close()

    def drain(self) -> None:
        """Wait until nothing is being refreshed (tests, shutdown)."""
        wait(list(self._running.values()))


background = _Background(threads=12)
