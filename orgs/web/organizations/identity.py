"""How clouds know this server, for an organization's entries without a key."""

from __future__ import annotations

from django.contrib.auth.decorators import login_required
from django.http import HttpResponse
from django.shortcuts import render

from orgs import access
from orgs.services.identity.standing import standing
from orgs.web.context import SignedIn, inside


@login_required
def identity(request: SignedIn, slug: str) -> HttpResponse:
    organization = access.organization_for_auditor(request.user, slug)
    found = {"standing": standing(organization)}
    return render(
        request, "identity/organization.html", inside(request, organization, "registries") | found
    )
