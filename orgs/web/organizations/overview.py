"""An organization's overview."""

from __future__ import annotations

from typing import Any

from django.contrib.auth.decorators import login_required
from django.db.models import Count, Q
from django.http import HttpResponse
from django.shortcuts import render

from orgs import access
from orgs.models import Organization, RegistryEntry
from orgs.services.audit.login_events import refused_logins
from orgs.services.entries.attention import entries_needing_attention, tokens_ending
from orgs.services.entries.daily import month_of_all
from orgs.services.runs import going
from orgs.web.context import SignedIn, inside

MOST_PROJECTS = 20


@login_required
def organization(request: SignedIn, slug: str) -> HttpResponse:
    found = access.organization_for_member(request.user, slug)
    projects = list(found.projects.filter(archived_at=None)[: MOST_PROJECTS + 1])
    context = inside(request, found, "overview")
    context |= {
        "steps": _steps(found),
        "running": going.going_on(found) if context["is_admin"] else None,
        "attention": entries_needing_attention(found, private=context["is_admin"]),
        "ending": tokens_ending(found),
        "month": month_of_all(found),
        "refused": refused_logins(found, private=context["is_admin"]),
        "projects": projects[:MOST_PROJECTS],
        "more_projects": len(projects) > MOST_PROJECTS,
    }
    return render(request, "organization.html", context)


def _steps(found: Organization) -> dict[str, Any]:
    """The checklist: each step, and whether it's done; empty once all are. `unverified`
    is the entry to verify, where there is one and none works yet."""
    counted = found.entries.aggregate(
        entry=Count("pk"),
        login=Count("last_used_at"),
        verified=Count("pk", filter=Q(status=RegistryEntry.Status.VERIFIED)),
    )
    if counted["login"]:
        return {}
    unverified = (
        None if counted["verified"] else found.entries.filter(enabled=True).defer("secrets").first()
    )
    return {
        "entry": bool(counted["entry"]),
        "verified": bool(counted["verified"]),
        "unverified": unverified,
        "token": found.worker_tokens.filter(revoked_at=None).exists(),
    }
