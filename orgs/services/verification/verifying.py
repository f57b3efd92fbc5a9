"""Verifying an entry: a login is obtained, its registry answers, a named image is readable.

Each step has its own cause and mend. Nothing is pulled, no login is kept, and what is
remembered of earlier failures is forgotten, so that the next worker tries anew.
"""

from __future__ import annotations

import logging
import time
import traceback
import uuid
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, replace
from datetime import datetime, timedelta
from enum import StrEnum
from functools import partial
from ipaddress import ip_network
from typing import Any

from django.conf import settings
from django.db import IntegrityError, connection, transaction
from django.db.models import Q
from django.db.models.functions import Now

from orgs.models import RegistryEntry, Verification
from orgs.outside import outside
from orgs.registries import codes, sign_in_hosts
from orgs.registries.addresses import Rules
from orgs.registries.distribution import RegistryApi
from orgs.registries.images import ImageReference
from orgs.registries.outbound import Unreachable
from orgs.registries.pasted import typed
from orgs.registries.patterns import MatchPattern
from orgs.registries.private import stored
from orgs.registries.problems import NO_LOGIN, Failed, Problem, Refused
from orgs.registries.turns import turns
from orgs.registries.types import DockerLogin, RegistryType
from orgs.services.audit import events
from orgs.services.audit.clock import database_now
from orgs.services.entries.status import BEYOND_LOGIN, BROKEN, UNTRUSTED, status_mark
from orgs.services.entries.validating import patterns_of, type_of
from orgs.services.logins import minting
from orgs.services.runs.going import Lost
from orgs.services.upstream import calls, own_identity

CLAIM = timedelta(seconds=40)  # more than the seconds below and a new key's together
REGISTRY_SECONDS = 8.0  # for all that the registry itself is asked
LIMIT_SECONDS = 2.0  # of them, for what pulls are left
NEW = timedelta(minutes=2)  # so long after a change, refused keys are tried again
MOST_HOSTS = 3
MOST_OF_IMAGE = 700  # characters; as many as are kept
BUSY_PAUSE = 1.0  # seconds from one try to the next where another verifies it
WAIT = 20.0  # seconds that one of many waits for a place
Status = RegistryEntry.Status
log = logging.getLogger(__name__)


class Result(StrEnum):
    OK = "ok"
    FAILED = "failed"
    NOT_CHECKED = "not_checked"


@dataclass(frozen=True)
class Step:
    """One of login, registry and image; what happened and what to do, if anything."""

    name: str
    result: Result
    code: str = ""
    what: str = ""
    fix: str = ""


@dataclass(frozen=True)
class Report:
    """What a verification found, in the order in which it looked; `status` is what that
    says of the entry, None of one that is read again."""

    steps: list[Step]
    image: str = ""
    at: datetime | None = None
    status: RegistryEntry.Status | None = None

    @property
    def failed(self) -> Step | None:
        return next((step for step in self.steps if step.result == Result.FAILED), None)

    @property
    def waits(self) -> bool:
        """Whether the other side doesn't trust the entry yet, and never did."""
        return self.status == Status.WAITING

    @property
    def holds(self) -> bool:
        """Whether nothing failed of what was checked."""
        return self.status == Status.VERIFIED

    def shown(self, *, private: bool) -> Report:
        """The same, its stored sentences as they are told to someone (`registries.private`)."""
        steps = [replace(s, what=stored(s.what, s.code, private=private)) for s in self.steps]
        return replace(self, steps=steps)


def entry_verify(
    *,
    entry: RegistryEntry,
    actor: events.Actor,
    image: ImageReference | None = None,
    wait: float = 0.0,
    along: Callable[[Report], object] | None = None,
) -> Report:
    """Check the entry now, and store what came of it; what `along` stores of the report is
    committed with it, or neither. Blocking: `calls.NEW_KEY_SECONDS`
    for the login, `REGISTRY_SECONDS` for the rest, and before that up to `wait` seconds
    while many others are checked.

    Raises `Refused` where this server can't verify it, and `Failed` busy where it is
    being checked already.
    """
    kind = _checkable(entry, image)
    assert not connection.in_atomic_block, "a registry is never called inside a transaction"
    with calls.looking(entry, wait=wait), turns.taken_again():
        claim = _claim(entry)
        try:
            steps = list(_steps(entry, kind, image))
            report = Report(steps, str(image or ""), database_now(), _status(entry, steps))
            _store(entry, claim, report, actor, along)
        except BaseException:
            Verification.objects.filter(claim_id=claim).update(claim_id=None, claim_until=None)
            raise
    return report.shown(private=True)


def newest(entry: RegistryEntry, *, private: bool) -> tuple[Report | None, str]:
    """What the newest verification found, None where there was none since the entry
    changed; and the image named for it, which stays so, "" for none. One query.

    Sentences have their `private` parts, or not.
    """
    found = Verification.objects.filter(entry=entry).first()
    if found is None:
        return None, ""
    if found.at is None:
        return None, found.image
    told = Report(list(_stored_steps(found.steps)), found.image, found.at)
    return told.shown(private=private), found.image


def _stored_steps(told: list[Any]) -> Iterator[Step]:
    for step in told:
        try:
            yield Step(**{**step, "result": Result(step["result"])})
        except (TypeError, KeyError, ValueError):  # a former version's
            continue


def image_to_check(entry: RegistryEntry, text: str) -> ImageReference | None:
    """The image named to be checked, or None for none; raises `Refused` where it isn't
    one that the entry serves."""
    if not text.strip():
        return None
    image = ImageReference.parse(typed(text))
    if len(str(image)) > MOST_OF_IMAGE:
        what = f"The image is longer than {MOST_OF_IMAGE} characters."
        raise Refused(Problem("too_long", what, "Name one without its digest.", "image"))
    if not any(pattern.matches(image) for pattern in patterns_of(entry)):
        raise Refused(
            Problem(
                "image_elsewhere",
                f"{image} isn't among the images that this entry serves.",
                "Name one that its match pattern covers.",
                "image",
            )
        )
    return image


def verify_for_many(
    entry: RegistryEntry, actor: events.Actor, along: Callable[[Report], object] | None = None
) -> Report | Failed | Refused:
    """Verify one of many, with the image it was checked with last; gives its report, or why
    there is none. Blocking. `along` is as of `entry_verify`; raises `Lost` if that does."""
    try:
        image = _still_served(entry, newest(entry, private=False)[1])
        return _once_free(entry, actor, image, along)
    except Lost:
        raise
    except (Failed, Refused) as error:
        return error
    except RegistryEntry.DoesNotExist:
        return Failed("entry_not_found", "It was deleted meanwhile.", "")
    except Exception as error:
        # One that makes us stumble must not end the run over all the others.
        _log_stumble(entry, error)
        return Failed(
            "server_error",
            "Verifying it failed for a reason of this server's own.",
            "Ask staff to look at the server's log.",
        )


def _once_free(
    entry: RegistryEntry,
    actor: events.Actor,
    image: ImageReference | None,
    along: Callable[[Report], object] | None,
) -> Report:
    """Verify it once nobody else does: a process that was killed has it for a while yet."""
    deadline = time.monotonic() + CLAIM.total_seconds()
    while True:
        try:
            return entry_verify(entry=entry, actor=actor, image=image, wait=WAIT, along=along)
        except Failed as error:
            if error.code != "busy" or time.monotonic() > deadline:
                raise
        with outside():
            time.sleep(BUSY_PAUSE)


def _log_stumble(entry: RegistryEntry, error: Exception) -> None:
    """Where it happened, and not its text, which may quote what was being worked on."""
    at = traceback.extract_tb(error.__traceback__)[-1]
    kind = type(error).__name__
    log.error("verifying entry %s: %s at %s:%s", entry.pk, kind, at.filename, at.lineno)


def _still_served(entry: RegistryEntry, text: str) -> ImageReference | None:
    try:
        return image_to_check(entry, text)
    except Refused:
        return None


def _checkable(entry: RegistryEntry, image: ImageReference | None) -> RegistryType:
    kind = type_of(entry)
    calls.require_real(entry)
    if kind.completed_on_worker:
        what = "Only a worker can check an entry that uses the worker's own role."
        raise Refused(Problem("checked_on_workers", what, "Pull one of its images on a worker."))
    if not entry.enabled:
        raise Refused(Problem("disabled", f"{entry} is disabled.", "Enable it, then verify it."))
    if image is not None:
        image_to_check(entry, str(image))
    return kind


# --- the steps ----------------------------------------------------------------


def _steps(
    entry: RegistryEntry, kind: RegistryType, image: ImageReference | None
) -> Iterator[Step]:
    """The three of them; what comes after a failure isn't checked."""
    patterns = patterns_of(entry)
    changed = entry.secrets_changed_at
    new = changed is not None and database_now() - changed < NEW
    if kind.uses_own_identity:
        own_identity.learn()
    try:
        if not patterns:
            raise Failed(
                "entry_unusable", "The entry has no match pattern that can be read.", "Edit it."
            )
        host = image.host if image else kind.example_host(patterns[0])
        login = calls.obtain(
            kind,
            entry.config,
            minting.revealed(entry),
            host,
            new=new,
            entry=entry,
            # Without an image it's tried for all that the entry may: no worker gets that.
            repository=image.path if image and kind.narrowed(entry.config) else "",
        )
        assert isinstance(login, DockerLogin)
    except Failed as error:
        if until := minting.valid_until(entry):
            kept = f"workers keep the login valid until {until:%H:%M} UTC"
            error = Failed(error.code, error.told, error.fix.replace(NO_LOGIN, kept))
        yield _failed("login", error, kind)
        yield _not_checked("registry", "It needs the login.")
        yield _not_checked("image", "It needs the login.")
        return
    if kind.minted:
        yield Step("login", Result.OK)
    else:
        yield _not_checked("login", "Nothing to obtain: the password is used as it is.")
    yield from _registry_steps(entry, kind, login, patterns, image)


def _registry_steps(
    entry: RegistryEntry,
    kind: RegistryType,
    login: DockerLogin,
    patterns: list[MatchPattern],
    image: ImageReference | None,
) -> Iterator[Step]:
    in_full = [pattern.authority for pattern in patterns if not pattern.host_is_wildcard]
    authorities = [image.authority] if image else list(dict.fromkeys(in_full))[:MOST_HOSTS]
    deadline = time.monotonic() + REGISTRY_SECONDS
    if not authorities:
        yield _not_checked("registry", "The pattern leaves the host open. Name an image to check.")
        yield _not_checked("image", "Name an image to check.")
        return
    apis = [registry_api(entry, kind, authority, login, deadline) for authority in authorities]
    try:
        with outside():
            for api in apis:
                api.answers()
    except Failed as error:
        yield _failed("registry", _with_reach(_with_way_out(error, kind)), kind)
        yield _not_checked("image", "It needs the registry.")
        return
    limits = [_limit(entry, kind, authority, login) for authority in authorities]
    told = [f"{', '.join(authorities)} lets the login in.", *filter(None, limits)]
    yield Step("registry", Result.OK, what=" ".join(told))
    if image is None:
        yield _not_checked("image", "Name an image to check.")
        return
    try:
        with outside():
            apis[0].read_manifest(image.path, image.digest or image.tag or "latest")
    except Failed as error:
        if error.code == "image_denied" and not kind.minted:
            error = Failed("image_not_readable", error.told, error.fix)
        yield _failed("image", error, kind)
        return
    yield Step("image", Result.OK, what=f"{image} can be pulled.")


def _limit(entry: RegistryEntry, kind: RegistryType, authority: str, login: DockerLogin) -> str:
    """What the registry says of the login's limit, as a sentence; "" where it says nothing, or
    none is asked for. It only is to tell more, so it takes little of the time for the rest."""
    if not (path := kind.limit_image(authority)):
        return ""
    api = registry_api(entry, kind, authority, login, time.monotonic() + LIMIT_SECONDS)
    try:
        with outside():
            return str(api.pull_limit(path) or "")
    except Failed:
        return ""


def registry_api(
    entry: RegistryEntry, kind: RegistryType, authority: str, login: DockerLogin, deadline: float
) -> RegistryApi:
    """The registry of these images as a login sees it, until the deadline (monotonic)."""
    return RegistryApi(
        kind.api_host(authority),
        login,
        rules=outbound_rules(entry, kind),
        sign_in_hosts=kind.sign_in_hosts(authority)
        | sign_in_hosts.of(authority, settings.OUTBOUND_SIGN_IN_HOSTS),
        trusting=kind.trusting(entry.config),
        explained=partial(kind.explained, entry.config),
        deadline=deadline,
    )


def outbound_rules(entry: RegistryEntry, kind: RegistryType) -> Rules:
    """Where this server may go for an entry: what the operator opened is for hosts that
    people write freely, not for those that are AWS's own."""
    owner = entry.organization_id
    if kind.private_addresses:
        return Rules(private=True, owner=owner)
    opened = tuple(ip_network(text, strict=False) for text in settings.OUTBOUND_ALLOWED_NETWORKS)
    return Rules(allowed=opened, owner=owner)


def _with_way_out(error: Failed, kind: RegistryType) -> Failed:
    """A certificate that isn't trusted here, with what the type offers against it."""
    if not (kind.authority_fix and isinstance(error, Unreachable) and error.kind == "authority"):
        return error
    fix = f"{kind.authority_fix} {error.fix}"
    return Unreachable(error.kind, error.told, fix, error.retry_after)


def _with_reach(error: Failed) -> Failed:
    """An outage of the registry, with whether workers are likely to meet it too."""
    if codes.of(error.code).kind is not codes.Kind.TRANSIENT:
        return error
    here = isinstance(error, Unreachable) and error.kind in _SEEN_FROM_HERE
    hit = _FROM_HERE if here else _FOR_ALL
    return Failed(error.code, error.told, f"{error.fix} {hit}", error.retry_after)


# What may well be this server's own network, or its own trust.
_SEEN_FROM_HERE = frozenset(
    {"dns", "full", "timeout", "network", "certificate", "authority", "tls", "proxy"}
)
_FROM_HERE = "Workers pull from it by their own way, so they may still reach it."
_FOR_ALL = "Workers are likely to meet the same."


def _failed(name: str, error: Failed, kind: RegistryType) -> Step:
    fix = error.fix
    if not error.mended_elsewhere:
        fix = kind.denied_fixes.get(error.code, fix)
    return Step(name, Result.FAILED, error.code, error.told, fix)


def _not_checked(name: str, why: str) -> Step:
    return Step(name, Result.NOT_CHECKED, what=why)


# --- storing ------------------------------------------------------------------


def _claim(entry: RegistryEntry) -> uuid.UUID:
    """The right to verify it, for a while, what is remembered of failures forgotten; raises
    `Failed` busy where another has it, and RegistryEntry.DoesNotExist. One transaction: each
    is a wait for SQLite's only writer, and for the disk."""
    claim = uuid.uuid4()
    wrong = Q(claim_until__gt=Now() + 2 * CLAIM)  # of a clock that was ahead
    free = Q(claim_id=None) | Q(claim_until__lt=Now()) | wrong
    mine = {"claim_id": claim, "claim_until": Now() + CLAIM}
    try:
        with transaction.atomic():
            minting.forget_failures(entry)  # first, as who changes the entry locks them
            if not Verification.objects.filter(free, entry_id=entry.pk).update(**mine):
                _, new = Verification.objects.get_or_create(entry_id=entry.pk, defaults=mine)
                if not new:
                    raise _busy()
    except IntegrityError:
        raise RegistryEntry.DoesNotExist from None
    return claim


def _busy() -> Failed:
    return Failed(
        "busy",
        "This entry is being checked at this moment.",
        "Look again in a few seconds.",
        retry_after=3,
    )


def _store(
    entry: RegistryEntry,
    claim: uuid.UUID,
    report: Report,
    actor: events.Actor,
    along: Callable[[Report], object] | None,
) -> None:
    """Steps, status and event together; nothing of an entry that was changed meanwhile."""
    steps: list[dict[str, Any]] = [asdict(step) for step in report.steps]
    failed = report.failed
    event = events.event(
        actor=actor,
        action="entry.verified",
        organization=entry.organization,
        subject_id=entry.pk,
        subject=str(entry),
        code=failed.code if failed else "ok",
        properties={"image": report.image} if report.image else {},
    )
    with transaction.atomic():
        # A change of the entry has taken the claim away.
        stored = Verification.objects.filter(claim_id=claim).update(
            at=report.at, image=report.image, steps=steps, claim_id=None, claim_until=None
        )
        if not stored:
            raise Failed(
                "entry_changed", "The entry was changed while it was checked.", "Verify it again."
            )
        events.insert(event)
        if report.status is not None:
            error = None
            if failed is not None and not report.holds:
                error = Failed(failed.code, failed.what, failed.fix)
            obtained = report.steps[0].result == Result.OK
            status_mark(entry, report.status, error, login_works=obtained)
        if along is not None:
            along(report.shown(private=True))


def _status(entry: RegistryEntry, steps: list[Step]) -> RegistryEntry.Status | None:
    """What the steps say of the entry as a whole; None where what is known against it stands.

    A refusal is a failure. An outage of the registry says nothing of what workers reach,
    nor does a host that this server may not ask, or an image that isn't there: but none of
    them is a proof that the entry works.
    """
    failed = Report(steps).failed
    if failed is None:
        return Status.VERIFIED
    kind_of_code = codes.of(failed.code).kind
    if entry.status == Status.WAITING and failed.name == "login" and failed.code in UNTRUSTED:
        return Status.WAITING
    if kind_of_code in {codes.Kind.REFUSED, codes.Kind.BEYOND_LOGIN}:
        return Status.FAILING
    if failed.code == "entry_unusable":
        readable = entry.secrets is None or minting.opens(entry)
        return Status.FAILING if readable else Status.UNREADABLE
    if entry.status in BROKEN and not _mended(entry, steps):
        return None
    if failed.name == "registry" and kind_of_code is codes.Kind.TRANSIENT:
        return Status.UNREACHABLE
    return Status.UNVERIFIED


def _mended(entry: RegistryEntry, steps: list[Step]) -> bool:
    """Whether what the entry was broken by is mended, for all that failed now: its login is
    obtained, and it was the login that failed."""
    obtained = bool(steps) and steps[0].result == Result.OK
    return obtained and entry.status_code not in BEYOND_LOGIN
