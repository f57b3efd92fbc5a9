"""From an image of a project to a login: resolve, cache or mint, audit, answer.

The four steps are committed one by one, so that no lock is held while a
registry answers and no login leaves without its event (DESIGN «Login»).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from django.db import DatabaseError, transaction
from django.db.models import Q
from django.db.models.functions import Now
from django.utils import timezone

from orgs.models import Environment, Organization, Project, RegistryEntry
from orgs.registries import codes
from orgs.registries.images import ImageReference
from orgs.registries.problems import Failed, Refused
from orgs.registries.types import (
    Ask,
    Config,
    DockerLogin,
    InstanceRoleLogin,
    RegistryType,
    Travel,
)
from orgs.seen import metrics
from orgs.services.audit import events, repeats
from orgs.services.entries.validating import type_of

from . import minting
from .resolve import Served, Wanted, require

REFRESH_AT_MOST = timedelta(minutes=10)
USED_EVERY = timedelta(minutes=5)


@dataclass(frozen=True)
class ServedBy:
    """The entry that a login is of, its type's slug, and which of its patterns, as given."""

    entry_id: UUID
    registry_type: str
    pattern: str


@dataclass(frozen=True)
class Answer:
    """A login as it leaves: for the host as the client wrote it; times in UTC.

    `refresh_at` is when a worker's own cache must ask again; `path` is the image's
    repository, "" where only the server was named.
    """

    login: DockerLogin | InstanceRoleLogin = field(repr=False)
    server: str
    refresh_at: datetime
    served: ServedBy
    path: str = ""

    @property
    def kind(self) -> str:
        return "docker" if isinstance(self.login, DockerLogin) else "instance-role"


def login_for(
    *,
    project: Project,
    image: Wanted,
    actor: events.Actor,
    environment: Environment | None = None,
    recheck: Callable[[], None] = lambda: None,
) -> Answer:
    """The login for an image, or for a whole server; raises `Failed`. Not inside a
    transaction.

    `recheck` is called after any wait, before the answer leaves; it raises
    `Failed` where the asker has lost access meanwhile (a revoked token).
    """
    served: Served | None = None
    try:
        served, login, cached = _obtain(project, image, environment, recheck)
        if isinstance(login, Failed):
            raise login
    except Failed as error:
        _counted(error.code, served)
        if codes.of(error.code).event:
            record_refusal(
                actor=actor,
                organization=project.organization,
                project=project,
                image=image,
                environment=environment,
                error=error,
                served=served,
            )
        raise
    except DatabaseError:
        # Not even the lease can be taken: nothing was asked of the registry, and no event lost.
        _counted("audit_unavailable", served)
        raise no_event() from None
    try:
        _record_login(project, image, actor, environment, served)
    except Failed as error:
        _counted(error.code, served, cached=cached)
        raise
    _counted("ok", served, cached=cached)
    return answer(login, image, _served_by(served), timezone.now())


def _counted(result: str, served: Served | None, *, cached: bool = False) -> None:
    metrics.login(served.entry.registry_type if served else "", result, cached=cached)


def answer(
    login: DockerLogin | InstanceRoleLogin, image: Wanted, served: ServedBy, now: datetime
) -> Answer:
    """A login as it leaves now."""
    expires_at = login.expires_at if isinstance(login, DockerLogin) else None
    ends = [now + REFRESH_AT_MOST] + ([expires_at] if expires_at else [])
    path = image.path if isinstance(image, ImageReference) else ""
    return Answer(login, image.written_server, min(ends), served, path)


def _obtain(
    project: Project,
    image: Wanted,
    environment: Environment | None,
    recheck: Callable[[], None],
) -> tuple[Served, DockerLogin | InstanceRoleLogin | Failed, bool]:
    """The login of the entry that serves, or why that entry has none, and whether it was
    had without waiting; raises `Failed` where it isn't the entry's."""
    waited = False
    for _ in range(3):
        served = require(project, image, environment)
        try:
            login, cold = _login_of(served, image)
        except minting.EntryChanged:
            waited = True
            continue
        except Failed as error:
            return served, error, False
        waited |= cold
        if not waited:
            return served, login, True
        recheck()
        if _stands(project, served, image, environment):
            return served, login, False
    raise Failed("busy", "The entry is being changed right now.", "Ask again.", retry_after=1)


def _login_of(served: Served, image: Wanted) -> tuple[DockerLogin | InstanceRoleLogin, bool]:
    """The entry's login, and whether it was waited for; raises `Failed` and
    `minting.EntryChanged`."""
    entry = served.entry
    try:
        registry_type = type_of(entry)
    except Refused as refused:
        told = refused.problem
        raise Failed("entry_unusable", told.what, told.fix) from None
    if registry_type.minted:
        path = image.path if isinstance(image, ImageReference) else ""
        return minting.minted_login(entry, minting.Place(image.host, path))
    secrets = minting.revealed(entry)
    return unminted_login(registry_type, entry.config, secrets, served.authority, image), False


def unminted_login(
    registry_type: RegistryType, config: Config, secrets: Config, authority: str, image: Wanted
) -> DockerLogin | InstanceRoleLogin:
    """The login that is stored, or the worker's to complete: nothing is called for it.
    `authority` is that of the pattern which serves; raises `Failed`."""
    if registry_type.travel is Travel.STATIC:
        _require_own_host(authority, image)
    return registry_type.login(config, secrets, Ask(image.host, 0.0))


def _require_own_host(authority: str, image: Wanted) -> None:
    """A secret that goes to the host goes to one that the entry names in full (rule 5)."""
    if image.authority != authority:
        raise Failed(
            "entry_unusable",
            f"The entry doesn't name {image.authority} in full, so its secret doesn't go there.",
            "Write the host in full in its match pattern.",
        )


def _stands(
    project: Project, served: Served, image: Wanted, environment: Environment | None
) -> bool:
    """Whether, after a wait, the same entry in the same state would still serve."""
    fresh = Project.objects.select_related("organization").filter(pk=project.pk).first()
    if fresh is None or fresh.organization_id != project.organization_id:
        raise Failed(
            "project_not_found", "The project was deleted or moved.", "Ask with another project."
        )
    entry = require(fresh, image, environment).entry
    version = served.entry.credentials_version
    return entry.pk == served.entry.pk and entry.credentials_version == version


def _record_login(
    project: Project,
    image: Wanted,
    actor: events.Actor,
    environment: Environment | None,
    served: Served,
) -> None:
    """Commit the event; a login without one isn't given."""
    told = issued(
        actor=actor,
        organization=project.organization,
        project=project,
        image=image,
        environment=environment.slug if environment else "",
        served=_served_by(served),
    )
    try:
        with transaction.atomic():
            events.insert(events.event(**told))
            _mark_used(served.entry)
    except DatabaseError:
        raise no_event() from None


def _served_by(served: Served) -> ServedBy:
    return ServedBy(served.entry.pk, served.entry.registry_type, served.pattern)


def issued(
    *,
    actor: events.Actor,
    organization: Organization | None,
    project: Project,
    image: Wanted,
    environment: str,
    served: ServedBy,
) -> dict[str, Any]:
    """The event of a login that is given, as `events.event` takes it."""
    return {
        "actor": actor,
        "action": "login.issued",
        "organization": organization,
        "project": project,
        "subject_id": served.entry_id,
        "subject": str(image),
        "code": "ok",
        "properties": _properties(served.pattern, environment),
    }


def no_event() -> Failed:
    """What is told where a login has no event, and isn't given."""
    return Failed(
        "audit_unavailable",
        "The audit log can't be written, and no login is given without its event.",
        "Ask again; if it lasts, ask staff to look at the database.",
        retry_after=2,
    )


def record_refusal(
    *,
    actor: events.Actor,
    organization: Organization | None,
    image: Wanted | None,
    error: Failed,
    project: Project | None = None,
    environment: Environment | None = None,
    served: Served | None = None,
) -> None:
    """Commit the event of a refusal; one that can't be written is still a refusal.

    Where a token asks the same over and over, the repeats are one event a minute.
    `served` where an entry serves the image, and the refusal is that entry's.
    """
    event = events.event(
        actor=actor,
        action="login.refused",
        organization=organization,
        project=project,
        subject_id=served.entry.pk if served else "",
        subject=str(image or ""),
        code=error.code,
        properties={
            **_properties(
                served.pattern if served else "", environment.slug if environment else ""
            ),
            "reason": error.told[:500],
        },
    )
    same = (actor.name, actor.token, event.organization_id, event.project_id, event.subject_id)
    try:
        repeats.record(("login", *same, event.subject, environment, event.code), [event])
    except DatabaseError:
        pass


def _properties(pattern: str, environment: str) -> dict[str, str]:
    known = {"pattern": pattern, "environment": environment}
    return {name: value for name, value in known.items() if value}


def used_lately(last_used_at: datetime | None, now: datetime) -> bool:
    """Whether that needs no note."""
    return last_used_at is not None and abs(now - last_used_at) <= USED_EVERY


def _mark_used(entry: RegistryEntry) -> None:
    """One write in five minutes at most, however large the fleet."""
    if not used_lately(entry.last_used_at, timezone.now()):
        old, wrong = Q(last_used_at__lt=Now() - USED_EVERY), Q(last_used_at__gt=Now())
        rows = RegistryEntry.objects.filter(Q(last_used_at=None) | old | wrong, pk=entry.pk)
        rows.update(last_used_at=Now())
