"""Disabling and enabling: one entry at once, with a way back in the message."""

from __future__ import annotations

from uuid import UUID

from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.views.decorators.http import require_POST

from orgs import access
from orgs.registries.problems import Refused
from orgs.seen import logs
from orgs.services.entries import door
from orgs.services.entries.many import Outcome
from orgs.services.entries.undoing import WITHIN, disabling_undo
from orgs.services.entries.usage import entry_usage
from orgs.templatetags.registries import UNDO
from orgs.web.context import SignedIn, acting

from .runs import to_run

DAYS = 7


def tell_disabled(request: HttpRequest, told: str) -> None:
    """Say what was disabled by this request, with the way back."""
    messages.success(request, told, extra_tags=f"{UNDO}{logs.request_id()}")


@login_required
@require_POST
def disable(request: SignedIn, slug: str, entry_id: UUID) -> HttpResponse:
    organization = access.organization_for_admin(request.user, slug)
    found = access.entry_in(organization, entry_id)
    if found.enabled:
        door.entry_set_enabled(entry=found, actor=acting(request, organization), enabled=False)
        tell_disabled(request, f"{found} is disabled. {entry_usage(found, DAYS).stops}")
    return redirect("entry", slug, entry_id)


@login_required
@require_POST
def enable(request: SignedIn, slug: str, entry_id: UUID) -> HttpResponse:
    organization = access.organization_for_admin(request.user, slug)
    found = access.entry_in(organization, entry_id)
    try:
        door.entry_set_enabled(entry=found, actor=acting(request, organization), enabled=True)
        messages.success(request, f"{found} is enabled.")
    except Refused as refused:
        messages.error(request, str(refused))
    return redirect("entry", slug, entry_id)


@login_required
@require_POST
def undo(request: SignedIn, slug: str) -> HttpResponse:
    """Enable again what one disabled a moment ago; back to where one was."""
    organization = access.organization_for_admin(request.user, slug)
    outcome = disabling_undo(
        organization=organization,
        actor=acting(request, organization),
        request=request.POST.get("request", "")[:64],
    )
    if outcome is None:
        minutes = WITHIN.seconds // 60
        told = f"Undo works for {minutes} minutes, and once. Enable what you want back by itself."
        messages.error(request, told)
    elif isinstance(outcome, tuple):
        return to_run(request, outcome)
    else:
        _tell(request, outcome)
    entry_id = request.POST.get("entry", "")
    try:
        return redirect("entry", slug, access.entry_in(organization, UUID(entry_id)).pk)
    except (ValueError, Http404):  # of many, or of one that somebody deleted since
        return redirect("registries", slug)


def deleted_meanwhile(count: int) -> str:
    return f"{count:,} {'was' if count == 1 else 'were'} deleted meanwhile."


def _tell(request: SignedIn, outcome: Outcome) -> None:
    if outcome.done:
        told = "1 entry is" if outcome.done == 1 else f"{outcome.done:,} entries are"
        messages.success(request, f"{told} enabled again, as before.")
    for sentence in outcome.refused[:5]:
        messages.error(request, sentence)
    if len(outcome.refused) > 5:
        messages.error(request, f"And {len(outcome.refused) - 5:,} more were refused.")
    if outcome.same:
        told = "1 was switched since, and stays as it is."
        if outcome.same > 1:
            told = f"{outcome.same:,} were switched since, and stay as they are."
        messages.warning(request, told)
    if outcome.gone:
        messages.warning(request, deleted_meanwhile(outcome.gone))
    if outcome.left:
        messages.warning(request, f"Time ran out before {outcome.left:,} more.")
