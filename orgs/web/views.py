"""Home, an organization's overview, errors and health."""

from __future__ import annotations

from typing import Any

from django.contrib.auth.decorators import login_required
from django.core.paginator import Paginator
from django.db import DatabaseError
from django.db.models import Count, Q
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.shortcuts import redirect, render
from django.views.decorators.csrf import csrf_exempt
from django.views.decorators.http import require_safe

from orgs import access, sealed
from orgs.models import Organization, RegistryEntry
from orgs.services.audit.login_events import refused_logins
from orgs.services.entries.attention import BROKEN, entries_needing_attention, tokens_ending

from .context import SignedIn, inside

MOST_PROJECTS = 20
PAGE_SIZE = 50
_FAILING = Q(
    organization__entries__enabled=True,
    organization__entries__status__in=BROKEN,
)


@login_required
def home(request: SignedIn) -> HttpResponse:
    memberships = list(
        request.user.memberships.select_related("organization")
        .annotate(failing=Count("organization__entries", filter=_FAILING))
        .order_by("organization__name")
    )
    personal = list(request.user.projects.all()[:MOST_PROJECTS])
    if len(memberships) == 1 and not personal:
        return redirect("organization", memberships[0].organization.slug)
    return render(request, "home.html", {"memberships": memberships, "personal": personal})


@login_required
def organization(request: SignedIn, slug: str) -> HttpResponse:
    found = access.organization_for_member(request.user, slug)
    projects = list(found.projects.all()[: MOST_PROJECTS + 1])
    context = inside(request, found, "overview")
    context |= {
        "steps": _steps(found),
        "attention": entries_needing_attention(found, key_ids=context["is_admin"]),
        "ending": tokens_ending(found),
        "refused": refused_logins(found, key_ids=context["is_admin"]),
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


@login_required
def projects(request: SignedIn, slug: str) -> HttpResponse:
    found = access.organization_for_member(request.user, slug)
    page = Paginator(found.projects.all(), PAGE_SIZE).get_page(request.GET.get("page"))
    context = inside(request, found, "projects") | {"page": page}
    return render(request, "projects.html", context)


@login_required
def members(request: SignedIn, slug: str) -> HttpResponse:
    found = access.organization_for_member(request.user, slug)
    everyone = found.memberships.select_related("user").order_by("role", "user__name", "pk")
    page = Paginator(everyone, PAGE_SIZE).get_page(request.GET.get("page"))
    context = inside(request, found, "members") | {"page": page}
    return render(request, "members.html", context)


@csrf_exempt  # else a form would be read, which nobody sends here
@require_safe
def healthz(request: HttpRequest) -> JsonResponse:
    """200 when logins can be answered: the database reads, the keys seal and reveal."""
    try:
        Organization.objects.exists()
        sealed.seal("well", "healthz").reveal("healthz")
    except (DatabaseError, ValueError, sealed.Unreadable):
        return JsonResponse({"detail": "The database or the keys don't work."}, status=503)
    return JsonResponse({"detail": "ok"})


def forbidden(request: HttpRequest, exception: Exception | None = None) -> HttpResponse:
    """403, naming whom to ask."""
    context: dict[str, Any] = {"refused": exception}
    return render(request, "403.html", context, status=403)
