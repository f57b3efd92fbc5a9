"""Long work of an organization: begun, looked at while it goes on, stopped, begun again."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any
from uuid import UUID

from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.core.paginator import Paginator
from django.db.models import Case, QuerySet, When
from django.http import Http404, HttpResponse, HttpResponseBase, StreamingHttpResponse
from django.shortcuts import redirect, render
from django.utils import timezone
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_POST

from orgs import access
from orgs.models import ImportDraft, Organization, RegistryEntry, Run, RunRow
from orgs.services.bulk import long_work
from orgs.services.entries import switching, undoing
from orgs.services.runs import going
from orgs.services.verification import many
from orgs.web.context import SignedIn, acting, inside

PAGE_SIZE = 50
GOES_ON = "This is going on already; what you chose now isn't part of it."
_WORST_FIRST = Case(
    *(When(result=result, then=n) for n, result in enumerate(("failed", "unreachable"))),
    When(result="refused", then=0),
    When(result="not_checked", then=2),
    When(result__in=going.WELL, then=3),
    default=4,
)


def begin_verifying(
    request: SignedIn, organization: Organization, entries: QuerySet[RegistryEntry]
) -> HttpResponse:
    """To the page of the run that verifies them, or of the one that does so already."""
    actor = acting(request, organization)
    begun = many.begin(organization=organization, entries=entries, actor=actor)
    if begun[1] and entries.count() > begun[0].total:
        told = f"At most {going.MOST_ROWS:,} are verified at once: these are the first of them."
        messages.warning(request, told)
    return to_run(request, begun)


def begin_switching(
    request: SignedIn, organization: Organization, keys: Sequence[UUID], *, enabled: bool
) -> HttpResponse:
    """To the page of the run that enables or disables them, or of another that does so."""
    begun = switching.begin(
        organization=organization, keys=keys, actor=acting(request, organization), enabled=enabled
    )
    if begun[1] and len(keys) > going.MOST_ROWS:
        verb = "enabled" if enabled else "disabled"
        told = f"At most {going.MOST_ROWS:,} are {verb} at once: these are the first of them."
        messages.warning(request, told)
    return to_run(request, begun)


def begin_importing(request: SignedIn, draft: ImportDraft, count: int) -> HttpResponse:
    """To the page of the run that imports what the preview told, or of another import."""
    actor = acting(request, draft.organization)
    fingerprint = request.POST.get("fingerprint", "")
    begun = long_work.begin_import(draft=draft, count=count, fingerprint=fingerprint, actor=actor)
    return to_run(request, begun)


def begin_exporting(
    request: SignedIn, organization: Organization, entries: QuerySet[RegistryEntry], format: str
) -> HttpResponse:
    """To the page of the run that writes them into a file, or of another export."""
    actor = acting(request, organization)
    in_order = entries.order_by("-enabled", "created_at", "id").values_list("pk", flat=True)
    begun = long_work.begin_export(
        organization=organization, ids=in_order, format=format, actor=actor
    )
    return to_run(request, begun)


def to_run(request: SignedIn, begun: tuple[Run, bool]) -> HttpResponse:
    """To its page; says so where another is going on, of which this isn't part."""
    run, new = begun
    if not new:
        messages.warning(request, GOES_ON)
    return redirect("run", run.organization.slug, run.pk)


@login_required
@never_cache
def run(request: SignedIn, slug: str, run_id: UUID) -> HttpResponse:
    """The page, or with `?part` only what changes on it."""
    organization = access.organization_for_runs(request.user, slug)
    context = _shown(access.run_in(organization, run_id), request.GET.get("page"))
    template = "registries/_run.html" if "part" in request.GET else "registries/run.html"
    return render(request, template, inside(request, organization, "registries") | context)


@login_required
@require_POST
def stop(request: SignedIn, slug: str, run_id: UUID) -> HttpResponse:
    organization = access.organization_for_admin(request.user, slug)
    going.stop(access.run_in(organization, run_id))
    return redirect("run", slug, run_id)


@login_required
@require_POST
def again(request: SignedIn, slug: str, run_id: UUID) -> HttpResponse:
    organization = access.organization_for_admin(request.user, slug)
    standing = access.run_in(organization, run_id)
    begun = many.again(standing, acting(request, organization))
    if begun is None:
        messages.error(request, "None of those that failed is left and enabled.")
        return redirect("run", slug, run_id)
    return to_run(request, begun)


@login_required
@never_cache
def file(request: SignedIn, slug: str, run_id: UUID) -> HttpResponseBase:
    """What an export made, for a day; without secrets."""
    organization = access.organization_for_admin(request.user, slug)
    found = long_work.file_of(access.run_in(organization, run_id))
    if found is None:
        raise Http404
    name, pieces = found
    headers = {"Content-Disposition": f'attachment; filename="{name}"'}
    return StreamingHttpResponse(
        pieces, content_type=_TYPES[name.rpartition(".")[2]], headers=headers
    )


def _shown(run: Run, page: str | None) -> dict[str, Any]:
    """What came last first while it goes on, what went wrong first once it's over."""
    rows = run.rows.exclude(at=None)
    order = ("-at", "position") if run.is_going else (_WORST_FIRST, "position")
    groups = going.groups(run)
    failed = sum(group.count for group in groups if group.result in _BAD)
    return {
        "run": run,
        "title": _TITLES[Run.Kind(run.kind)](run),
        "count": f"{run.done:,} of {run.total:,}",
        "groups": groups,
        "failed": failed,
        "page": Paginator(rows.order_by(*order), PAGE_SIZE).get_page(page),
        "file": run.kind == Run.Kind.EXPORT and long_work.file_of(run) is not None,
        **_ended(run, groups, failed),
    }


_TITLES: dict[Run.Kind, Callable[[Run], str]] = {
    Run.Kind.VERIFY: lambda run: f"Verifying {_entries(run.total)}",
    Run.Kind.IMPORT: lambda run: f"Importing {run.given.get('file') or 'a file'}",
    Run.Kind.EXPORT: lambda run: f"Exporting {_entries(run.total)}",
    Run.Kind.ENABLE: lambda run: f"Enabling {_entries(run.total)}",
    Run.Kind.DISABLE: lambda run: f"Disabling {_entries(run.total)}",
}


def _ended(run: Run, groups: list[going.Group], failed: int) -> dict[str, str]:
    """One sentence on how it came out, and whether that is well."""
    if run.kind in switching.KINDS:
        return _switched(run, groups)
    if run.kind != Run.Kind.VERIFY:
        return _written(run)
    worked = sum(group.count for group in groups if group.result == RunRow.Result.OK)
    outcome = f"{worked:,} of {run.total:,} verified."
    if run.state == Run.State.STOPPED:
        outcome = f"Stopped after {run.done:,} of {run.total:,}: {worked:,} verified."
    elif run.state == Run.State.FAILED:
        outcome = f"It broke off after {run.done:,} of {run.total:,}. {_IN_THE_LOG}"
    well = worked == run.total
    verdict = "ok" if well else "bad" if failed == run.done or not worked else "warn"
    return {"outcome": outcome, "verdict": verdict}


def _switched(run: Run, groups: list[going.Group]) -> dict[str, str]:
    """The same of enabling or disabling, with the request that can be undone."""
    well = sum(group.count for group in groups if group.result in going.WELL)
    refused = sum(group.count for group in groups if group.result == RunRow.Result.REFUSED)
    word = "enabled" if run.kind == Run.Kind.ENABLE else "disabled"
    outcome = f"{_entries(well)} {'is' if well == 1 else 'are'} {word}."
    if run.state == Run.State.STOPPED:
        outcome = f"Stopped after {run.done:,} of {run.total:,}: {outcome}"
    elif run.state == Run.State.FAILED:
        outcome = f"It broke off after {run.done:,} of {run.total:,}: {outcome} {_IN_THE_LOG}"
    whole = run.state == Run.State.DONE and not refused
    verdict = "ok" if whole else "warn" if well else "bad"
    recent = run.ended_at is not None and timezone.now() - run.ended_at < undoing.WITHIN
    request = str(run.given.get("request", ""))
    undo = word == "disabled" and well and recent and undoing.is_left(run.organization, request)
    request = request if undo else ""
    return {"outcome": outcome, "verdict": verdict, "undo": request}


def _written(run: Run) -> dict[str, str]:
    """The same of an import or an export, which is done whole or not at all."""
    importing = run.kind == Run.Kind.IMPORT
    nothing = "nothing was imported" if importing else "no file was made"
    outcome = {
        Run.State.DONE: f"{_entries(run.done)} exported.",
        Run.State.STOPPED: f"Stopped, so {nothing}.",
        Run.State.FAILED: f"It broke off, so {nothing}. {_IN_THE_LOG}",
    }.get(Run.State(run.state), "")
    verdict = "ok" if run.state == Run.State.DONE else "bad"
    told = run.told.get("outcome")
    if told and run.state == Run.State.DONE:
        outcome = f"Imported: {told}"
    elif told:
        outcome = told
    return {"outcome": outcome, "verdict": verdict}


def _entries(count: int) -> str:
    return "1 entry" if count == 1 else f"{count:,} entries"


_IN_THE_LOG = "Staff find why in the server's log."
_BAD = (RunRow.Result.FAILED, RunRow.Result.UNREACHABLE)
_TYPES = {"csv": "text/csv", "json": "application/json", "yaml": "application/yaml"}
