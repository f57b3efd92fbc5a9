"""Home, an organization's overview, errors and health."""

from __future__ import annotations

from django.contrib.auth.decorators import login_required
from django.db import DatabaseError
from django.db.models import Count, Q
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.shortcuts import redirect, render

from orgs import access, sealed
from orgs.models import Organization, RegistryEntry

_FAILING = Q(
    entries__enabled=True,
    entries__status__in=[RegistryEntry.Status.FAILING, RegistryEntry.Status.UNREADABLE],
)


@login_required
def home(request: HttpRequest) -> HttpResponse:
    memberships = list(
        request.user.memberships.select_related("organization").order_by("organization__name")
    )
    personal = list(request.user.projects.all())
    if len(memberships) == 1 and not personal:
        return redirect("organization", memberships[0].organization.slug)
    failing = dict(
        Organization.objects.filter(memberships__user=request.user)
        .annotate(failing=Count("entries", filter=_FAILING, distinct=True))
        .values_list("pk", "failing")
    )
    for membership in memberships:
        membership.failing = failing[membership.organization_id]
    return render(request, "home.html", {"memberships": memberships, "personal": personal})


@login_required
def organization(request: HttpRequest, slug: str) -> HttpResponse:
    found = access.organization_for_member(request.user, slug)
    needing = (
        RegistryEntry.objects.of(found)
        .filter(enabled=True)
        .filter(status__in=[RegistryEntry.Status.FAILING, RegistryEntry.Status.UNREADABLE])
    )
    context = {
        "organization": found,
        "is_admin": access.is_admin(request.user, found),
        "entry_count": found.entries.count(),
        "used": found.entries.filter(last_used_at__isnull=False).exists(),
        "attention": list(needing[:20]),
        "projects": list(found.projects.all()[:20]),
        "here": "overview",
    }
    return render(request, "organization.html", context)


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
    return render(request, "403.html", {"refused": exception}, status=403)


