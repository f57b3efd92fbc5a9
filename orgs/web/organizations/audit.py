"""The audit log of an organization: a screen, and the same as CSV."""

from __future__ import annotations

from django.conf import settings
from django.contrib.auth.decorators import login_required
from django.http import HttpResponse, HttpResponseBase, StreamingHttpResponse
from django.shortcuts import render

from orgs import access
from orgs.services.audit import log, repeats
from orgs.services.audit.log import Filters
from orgs.services.bulk.exporting import Held
from orgs.services.entries.history import changes_of
from orgs.web.context import SignedIn, inside


@login_required
def index(request: SignedIn, slug: str) -> HttpResponse:
    organization = access.organization_for_auditor(request.user, slug)
    filters = Filters.of(request.GET)
    repeats.before_reading()
    page = log.page_of(log.events_of(organization, filters), request.GET.get("before", ""))
    context = {
        "rows": [(event, list(changes_of(event))) for event in page.events],
        "older": page.older,
        "filters": filters,
        "told": log.in_words(filters),
        "actions": log.ACTIONS.items(),
        "results": log.results().items(),
        "projects": organization.projects.values_list("name", flat=True)[:200],
        "days": settings.AUDIT_RETENTION_DAYS,
    }
    return render(request, "audit.html", inside(request, organization, "audit") | context)


@login_required
def export(request: SignedIn, slug: str) -> HttpResponseBase:
    organization = access.organization_for_auditor(request.user, slug)
    repeats.before_reading()
    events = log.events_of(organization, Filters.of(request.GET))
    headers = {"Content-Disposition": f'attachment; filename="{slug}-audit.csv"'}
    pieces = Held(log.export(events), organization.pk)
    return StreamingHttpResponse(pieces, content_type="text/csv", headers=headers)
