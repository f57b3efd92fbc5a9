"""What staff see of all organizations at once, and one search over them.

Read-only, as all of the web is for staff; what they change, they change in the admin.
"""

from __future__ import annotations

from django.contrib.auth.decorators import login_required
from django.http import HttpResponse
from django.shortcuts import render

from orgs import access
from orgs.services.audit import refusals, repeats
from orgs.services.entries import everywhere
from orgs.services.entries.searching import LONGEST, Sight, asked, search
from orgs.services.identity.standing import standing
from orgs.web.context import SignedIn


@login_required
def overview(request: SignedIn) -> HttpResponse:
    sight = access.staff_sight(request.user)
    typed = asked(request.GET.get("q", ""))
    context = {"typed": typed, "longest": LONGEST, "sight": sight}
    context |= {"found": search(typed, sight)} if typed else _sections(sight)
    return render(request, "staff/overview.html", context)


@login_required
def identity(request: SignedIn) -> HttpResponse:
    access.staff_sight(request.user)
    return render(request, "identity/staff.html", {"standing": standing()})


def _sections(sight: Sight) -> dict[str, object]:
    repeats.before_reading()
    return {
        "failing": everywhere.failing(private=sight.keys),
        "unreadable": everywhere.unreadable(),
        "refused": refusals.refusals(),
        "secrets": everywhere.secrets_ending(),
        "workers": everywhere.worker_tokens_ending(),
        "tokens": everywhere.api_tokens_ending() if sight.people else None,
    }
