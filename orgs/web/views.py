"""Home, and what is told whom an address is refused to."""

from __future__ import annotations

import sys
from typing import Any

from django.contrib.auth.decorators import login_required
from django.db.models import Count, Q
from django.http import HttpRequest, HttpResponse, HttpResponseServerError
from django.shortcuts import redirect, render
from django.template import loader

from orgs.outside import database_is_away
from orgs.seen import logs
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


def crashed(request: HttpRequest) -> HttpResponse:
    """500, with the id that its line of the log has; 503 where it's the database that is
    away. Needs nothing that may be broken."""
    context = {"request_id": logs.request_id(), "here": request.get_full_path()}
    away = database_is_away(sys.exc_info()[1])
    page = loader.get_template("away.html" if away else "500.html").render(context)
    if not away:
        return HttpResponseServerError(page)
    return HttpResponse(page, status=503, headers={"Retry-After": "5"})


def forbidden(request: HttpRequest, exception: Exception | None = None) -> HttpResponse:
    """403, naming whom to ask. Django would log it with its traceback, each time that a
    member looks where only org admins may."""
    context: dict[str, Any] = {"refused": exception}
    return unlogged(render(request, "403.html", context, status=403))
