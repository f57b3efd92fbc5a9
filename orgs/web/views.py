"""Home, an organization's overview, errors and health."""

from __future__ import annotations

from typing import Any

from django.contrib.auth.decorators import login_required
from django.db import DatabaseError
from django.db.models import Count, Q
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.shortcuts import redirect, render
from django.views.decorators.csrf import csrf_exempt
from django.views.decorators.http import require_safe

from orgs import sealed
from orgs.models import Organization
from orgs.services.entries.attention import BROKEN

from .context import SignedIn
from .middleware.trouble import unlogged

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
    """403, naming whom to ask. Django would log it with its traceback, each time that a
    member looks where only org admins may."""
    context: dict[str, Any] = {"refused": exception}
    return unlogged(render(request, "403.html", context, status=403))
