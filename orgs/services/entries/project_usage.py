"""What projects pull, and what is refused to them, as the audit log has it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from django.db.models import Count, Max, OuterRef, Q, Subquery, Sum
from django.utils import timezone

from orgs.models import AuditEvent, AuditEventQuerySet, Organization, Project, RegistryEntry
from orgs.services.audit.login_events import LoginEvent, last_refused_of

from .usage import MONTH, OFTEN, WEEK, Counted

SHOWN = 20


@dataclass(frozen=True)
class Pulled:
    """A project in the list: when it last got a login, and how many it was refused in 7 days."""

    project: Project
    last: datetime | None
    refused: int


@dataclass(frozen=True)
class ProjectUsage:
    """By entry, the most used first: (entry, or None where it's gone; how often; when last)."""

    entries: list[tuple[RegistryEntry | None, Counted, datetime]]
    refused: list[LoginEvent]

    @property
    def week(self) -> int:
        return sum(counted.week for _, counted, _ in self.entries)

    @property
    def last(self) -> datetime | None:
        return max((last for *_, last in self.entries), default=None)


def pulled(organization: Organization, projects: Sequence[Project]) -> list[Pulled]:
    """Of each of these, in two queries."""
    keys = [project.pk for project in projects]
    issued = AuditEvent.objects.filter(
        organization_id=organization.pk,
        project=OuterRef("name"),
        project_id=OuterRef("pk"),
        action="login.issued",
    ).order_by("-at")
    last = dict(
        Project.objects.filter(pk__in=keys)
        .annotate(last=Subquery(issued.values("at")[:1]))
        .values_list("pk", "last")
    )
    refused = dict(
        AuditEvent.objects.filter(
            organization_id=organization.pk,
            action="login.refused",
            at__gte=timezone.now() - WEEK,
            project_id__in=keys,
        )
        .values_list("project_id")
        .annotate(times=Sum(OFTEN))
    )
    return [Pulled(one, last.get(one.pk), refused.get(one.pk, 0)) for one in projects]


def project_usage(project: Project, *, private: bool) -> ProjectUsage:
    """Of the last 30 days, in its organization; `private` as in `refused_logins`."""
    now = timezone.now()
    by_entry = (
        _of(project)
        .filter(action="login.issued", at__gte=now - MONTH)
        .values_list("subject_id")
        .annotate(week=Count("pk", filter=Q(at__gte=now - WEEK)), month=Count("pk"), last=Max("at"))
        .order_by("-month", "subject_id")[:SHOWN]
    )
    counted = list(by_entry)
    there = RegistryEntry.objects.filter(
        organization__projects=project, pk__in=[key for key, *_ in counted]
    )
    entries = {str(entry.pk): entry for entry in there.prefetch_related("patterns")}
    return ProjectUsage(
        [(entries.get(key), Counted(week, month), last) for key, week, month, last in counted],
        last_refused_of(_of(project), private=private),
    )


def _of(project: Project) -> AuditEventQuerySet:
    # by its name there is an index; its id tells it from others of the same name
    return AuditEvent.objects.filter(
        organization_id=project.organization_id, project=project.name, project_id=project.pk
    )
