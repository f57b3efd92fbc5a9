"""The demo organization: made to look around in, marked as made up, and taken away again.

Made by the product's own services; ages, what registries would have told, and a month of
events are put into the rows. Nobody can use its tokens: their texts are dropped as they are
made. No registry is ever asked for it (`upstream.calls.require_real`), nobody is mailed, and
no login is given to its projects.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import timedelta

from django.db import IntegrityError, transaction
from django.db.models import Max, Q
from django.db.models.functions import Now

from orgs.models import (
    AuditEvent,
    Environment,
    FormerSlug,
    Organization,
    Project,
    RegistryEntry,
    User,
    WorkerToken,
)
from orgs.registries.problems import Problem, Refused
from orgs.services.audit import log
from orgs.services.audit.clock import database_now
from orgs.services.audit.events import Actor, insert_made_up
from orgs.services.tenancy import organizations, projects, tokens

from . import entries, month

# The second where the first is somebody's; and so on.
NAMES = (
    *(("Demo", "demo"), ("Demo data", "demo-data")),
    *((f"Demo data {n}", f"demo-data-{n}") for n in range(2, 20)),
)
STEPS = len(entries.WANTED) + month.DAYS
OLDER = timedelta(days=75)  # than all that happened
_ENVIRONMENTS = (("gpu", "GPU"), ("batch", "Batch"))
_PROJECTS = ("image-classifier", "churn-model", "speech-to-text", "old-experiments")
# By name: slug of the environment, and days that it lives.
_TOKENS = {"GPU workers": ("gpu", None), "Batch workers": ("", 9), "New workers": ("batch", 365)}


@dataclass(frozen=True)
class Counts:
    """What there is, or was, of a demo organization."""

    name: str
    slug: str
    entries: int
    projects: int
    tokens: int
    events: int

    def __str__(self) -> str:
        return (
            f"{self.entries} entries, {self.projects} projects, {self.tokens} worker tokens, "
            f"{self.events:,} events"
        )


def demo_create(*, admin: User, actor: Actor, on_step: Callable[[], None] = lambda: None) -> Counts:
    """Make it, all or nothing, with one org admin; raises `Refused` where there is one.
    `on_step` is called `STEPS` times."""
    if standing := _standing():
        raise _there(standing)
    try:
        with transaction.atomic():
            made = _organization(admin, actor)
            _fill(made, actor, on_step)
            return _counts(made)
    except IntegrityError:
        if standing := _standing():  # somebody made it at the same time
            raise _there(standing) from None
        raise


def demo_remove(*, actor: Actor) -> Counts | None:
    """Erase it with all that is in it, its events too; what went, or None where there is none.

    Two kinds of event stay: what people did with their own accounts (they signed in, say), and
    one that it was removed, and how many events went with it. Its short name is free again.
    """
    with transaction.atomic():
        standing = Organization.objects.select_for_update().filter(made_up=True).first()
        if standing is None:
            return None
        counts = _counts(standing)
        slugs = {standing.slug, *standing.former_slugs.values_list("slug", flat=True)}
        counts = replace(counts, events=log.drop_made_up(standing))
        told = {"made_up": True, "events_dropped": counts.events}
        organizations.organization_delete(organization=standing, actor=actor, told=told)
        FormerSlug.objects.filter(slug__in=slugs).delete()
    return counts


def first_superuser() -> User | None:
    """Whose the demo organization is where nobody is named."""
    return User.objects.filter(is_superuser=True, is_active=True).order_by("pk").first()


def _standing() -> Organization | None:
    return Organization.objects.filter(made_up=True).first()


def _there(standing: Organization) -> Refused:
    what = f"The demo organization is there already: {standing} ({standing.slug})."
    return Refused(Problem("made_up", what, "`demo_data --remove` takes it away."))


def _counts(of: Organization) -> Counts:
    return Counts(
        of.name,
        of.slug,
        of.entries.count(),
        of.projects.count(),
        of.worker_tokens.count(),
        AuditEvent.objects.filter(organization_id=of.pk).count(),
    )


# --- making -----------------------------------------------------------------------


def _organization(admin: User, actor: Actor) -> Organization:
    organizations.require_verified(admin)
    free = (both for both in NAMES if organizations.slug_problem(both[1]) is None)
    name, slug = next(free, NAMES[0])  # where none is, the service says so
    made = organizations.organization_create(
        name=name, slug=slug, admin=admin, actor=actor, made_up=True
    )
    Organization.objects.filter(pk=made.pk).update(created_at=Now() - OLDER)
    return made


def _fill(made: Organization, actor: Actor, on_step: Callable[[], None]) -> None:
    places = {
        slug: organizations.environment_create(organization=made, name=name, slug=slug, actor=actor)
        for slug, name in _ENVIRONMENTS
    }
    cast = month.Cast(
        made,
        _projects(made, actor),
        entries.make(made, places, actor, on_step),
        _tokens(made, places, actor),
    )
    for day in month.days(cast, database_now()):
        insert_made_up(day)
        on_step()
    gpu = cast.tokens["GPU workers"]
    entries.reported(
        cast.entries["reported"], gpu, cast.projects["speech-to-text"], month.actor_of(gpu)
    )
    _mark_used(cast)


def _projects(made: Organization, actor: Actor) -> dict[str, Project]:
    found = {
        name: projects.project_create(name=name, organization=made, actor=actor)
        for name in _PROJECTS
    }
    projects.project_archive(project=found["old-experiments"], actor=actor)
    made.projects.update(created_at=Now() - OLDER)
    put_away = Project.objects.filter(pk=found["old-experiments"].pk)
    put_away.update(archived_at=Now() - timedelta(days=11))
    return found


def _tokens(
    made: Organization, places: dict[str, Environment], actor: Actor
) -> dict[str, WorkerToken]:
    """Without their texts, which nobody gets to see: they are gone with this function."""
    found = {
        name: tokens.token_issue_worker(
            organization=made,
            name=name,
            actor=actor,
            environment=places.get(slug),
            expires_in=timedelta(days=days) if days else None,
        )[0]
        for name, (slug, days) in _TOKENS.items()
    }
    made.worker_tokens.exclude(name="New workers").update(created_at=Now() - OLDER)
    return found


def _mark_used(cast: month.Cast) -> None:
    """As the last of the events would have left it."""
    given = AuditEvent.objects.filter(organization_id=cast.organization.pk, action="login.issued")
    for entry in cast.entries.values():
        if last := given.filter(subject_id=str(entry.pk)).aggregate(at=Max("at"))["at"]:
            RegistryEntry.objects.filter(pk=entry.pk).update(last_used_at=last)
    for token in cast.tokens.values():
        by = Q(actor=month.actor_of(token).name)
        if last := given.filter(by).aggregate(at=Max("at"))["at"]:
            rows = WorkerToken.objects.filter(pk=token.pk)
            rows.update(last_used_at=last, last_address=month.ADDRESSES.get(token.name))
