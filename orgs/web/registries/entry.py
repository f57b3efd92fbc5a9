"""An entry's page, and its Verify: by button, and by itself after saving, in a request
of its own."""

from __future__ import annotations

from collections.abc import Sequence
from uuid import UUID

from django.contrib.auth.decorators import login_required
from django.http import HttpResponse
from django.shortcuts import redirect, render
from django.urls import reverse
from django.views.decorators.http import require_POST

from orgs import access
from orgs.forms.verifying import VerifyForm, awaited_image
from orgs.models import RegistryEntry
from orgs.registries.catalogue import BY_SLUG
from orgs.services.entries.attention import broken_sentence
from orgs.services.entries.daily import month_of
from orgs.services.entries.history import history_of
from orgs.services.entries.offered import not_here
from orgs.services.entries.policies import MENDED_BY_SET_UP, policy_of, set_up_of
from orgs.services.entries.usage import usage_of
from orgs.services.entries.validating import told_today
from orgs.services.verification import verifying
from orgs.web.context import SignedIn, acting, inside


@login_required
def entry(request: SignedIn, slug: str, entry_id: UUID) -> HttpResponse:
    organization = access.organization_for_member(request.user, slug)
    found = access.entry_in(organization, entry_id)
    return _page(request, found)


@login_required
@require_POST
def verify(request: SignedIn, slug: str, entry_id: UUID) -> HttpResponse:
    organization = access.organization_for_admin(request.user, slug)
    found = access.entry_in(organization, entry_id)
    form = VerifyForm(request.POST, entry=found)
    if form.verify(acting(request, organization)):
        return redirect(f"{reverse('entry', args=[slug, entry_id])}#verification")
    return _page(request, found, form)


def _page(request: SignedIn, found: RegistryEntry, form: VerifyForm | None = None) -> HttpResponse:
    kind = BY_SLUG.get(found.registry_type)
    context = inside(request, found.organization, "registries")
    is_admin = context["is_admin"]
    report, image = verifying.newest(found, private=is_admin)
    # The steps say it already, beside what did work.
    told = report is not None and report.failed and report.failed.code == found.status_code
    context |= {
        "entry": found,
        "on_workers": kind is not None and kind.completed_on_worker,
        "role": kind.worker_role(found.config) if kind else "",
        "report": report,
        "broken": "" if told else broken_sentence(found, private=is_admin),
        "policy": policy_of(found, private=is_admin),
        "details": _details(found, is_admin),
        "usage": usage_of(found, private=is_admin),
        "month": month_of(found),
        "denied": report is not None and report.failed and report.failed.code in _DENIED,
        "untrusted": report is not None
        and report.failed
        and report.failed.code in MENDED_BY_SET_UP,
        "history": history_of(found) if is_admin else [],
        "set_up": set_up_of(found) if is_admin else None,
        "not_here": not_here(kind) if kind else "",
        "waiting": found.status == RegistryEntry.Status.WAITING,
    }
    if is_admin:
        awaited = awaited_image(request, found) if form is None else None
        named = image if awaited is None else awaited
        context["starts"] = awaited is not None
        context["told_today"] = told_today(found)
        context["form"] = form or VerifyForm(entry=found, initial={"image": named})
    return render(request, "registries/entry.html", context)


# What attaching the policy mends, so that it's open on the page.
_DENIED = frozenset({"access_denied", "image_denied"})


def _details(found: RegistryEntry, is_admin: bool) -> list[tuple[str, Sequence[str]]]:
    """(label, lines) of what may be shown; members don't see who it is that logs in."""
    registry_type = BY_SLUG.get(found.registry_type)
    if registry_type is None:
        return []
    return registry_type.details(found.config, private=is_admin)
