"""What is done with many entries of the list: those that are ticked, or all that fit its
filters."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from uuid import UUID

from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.db.models import QuerySet
from django.http import HttpResponse, HttpResponseBase
from django.shortcuts import redirect, render
from django.urls import reverse
from django.views.decorators.http import require_POST

from orgs import access
from orgs.models import Organization, RegistryEntry
from orgs.services.entries.many import Outcome, entries_delete, entries_set_enabled
from orgs.services.entries.usage import entries_usage
from orgs.services.runs import going
from orgs.web.context import SignedIn, acting, inside

from .listing import ACTIONS, PAGE_SIZE, Filters, file_of
from .runs import begin_exporting, begin_switching, begin_verifying
from .switching import DAYS, deleted_meanwhile, tell_disabled

_MOST_TOLD = 5
_LISTED = 10
_DIGITS = 9


@dataclass(frozen=True)
class Selection:
    """The entries chosen, and how many they are now. Of `whole` filters the person saw a
    number of entries, `seen`, and was asked about those that `asked` stands for: both go
    along, so that what came to fit since isn't touched unasked."""

    found: QuerySet[RegistryEntry]
    count: int
    ids: tuple[UUID, ...] = ()
    whole: bool = False
    seen: int | None = None
    asked: str = ""

    @classmethod
    def of(cls, request: SignedIn, organization: Organization) -> Selection:
        every = RegistryEntry.objects.of(organization)
        if request.POST.get("all") == "1":
            found = Filters.of(request.GET).narrowed(every, private=True)
            seen = _number_in(request.POST.get("count", ""))
            asked = request.POST.get("fits", "")
            return cls(found, found.count(), whole=True, seen=seen, asked=asked)
        ids = _ids(request.POST.getlist("entry"))
        found = every.filter(pk__in=ids)
        return cls(found, found.count(), tuple(ids))

    @property
    def changed(self) -> bool:
        others = self.asked != "" and self.asked != self.fits
        return self.whole and (self.seen != self.count or others)

    @cached_property
    def fits(self) -> str:
        """What stands for the entries that fit now, whatever their order."""
        ids = sorted(self.found.order_by().values_list("pk", flat=True))
        return hashlib.sha256(b"".join(each.bytes for each in ids)).hexdigest()[:32]

    def keys(self) -> list[UUID]:
        """Read once, so that no more is touched than was counted."""
        return list(self.found.values_list("pk", flat=True)[: self.count])


@login_required
@require_POST
def selected(request: SignedIn, slug: str) -> HttpResponseBase:
    """Verify, enable, disable, export or delete them; back to the list as it was."""
    organization = access.organization_for_admin(request.user, slug)
    chosen = Selection.of(request, organization)
    action = request.POST.get("action", "")
    if not chosen.count:
        messages.error(request, "No entry is selected. Tick some, then choose what to do.")
    elif action == "delete":
        return _delete(request, organization, chosen)
    elif chosen.changed and action in ACTIONS:
        return _ask_again(request, organization, chosen, action)
    elif action == "export":
        return _export(request, organization, chosen)
    elif action == "disable" and request.POST.get("confirmed") != "1":
        return _ask(request, organization, chosen, "disable")
    elif action in {"enable", "disable"} and chosen.count > going.LONG:
        keys = chosen.keys()
        return begin_switching(request, organization, keys, enabled=action == "enable")
    elif action in {"enable", "disable"}:
        _switch(request, organization, chosen, enabled=action == "enable")
    elif action == "verify":
        return begin_verifying(request, organization, chosen.found)
    return _back(request, slug)


def _back(request: SignedIn, slug: str) -> HttpResponse:
    return redirect(f"{reverse('registries', args=[slug])}?{request.GET.urlencode()}")


def _ids(texts: Sequence[str]) -> list[UUID]:
    """At most a page of them; what isn't an id is nobody's."""
    found = []
    for text in texts[:PAGE_SIZE]:
        try:
            found.append(UUID(text))
        except ValueError:
            continue
    return found


def _number_in(text: str) -> int | None:
    return int(text) if text.isascii() and text.isdigit() and len(text) <= _DIGITS else None


def _ask_again(
    request: SignedIn, organization: Organization, chosen: Selection, action: str
) -> HttpResponse:
    """Other entries fit than the person saw: nothing is done, and the new number told."""
    context = {"chosen": chosen, "action": action, "verb": ACTIONS[action]}
    context |= inside(request, organization, "registries")
    return render(request, "registries/selected_again.html", context, status=409)


def _delete(request: SignedIn, organization: Organization, chosen: Selection) -> HttpResponse:
    """First the page that says what will stop working; then, confirmed there, all of them."""
    confirmed = request.POST.get("confirmed") == "1"
    if confirmed and not chosen.changed:
        actor = acting(request, organization)
        outcome = entries_delete(organization=organization, keys=chosen.keys(), actor=actor)
        _tell_of(request, outcome, "deleted")
        return _back(request, organization.slug)
    return _ask(request, organization, chosen, "delete", again=confirmed)


def _ask(
    request: SignedIn,
    organization: Organization,
    chosen: Selection,
    action: str,
    *,
    again: bool = False,
) -> HttpResponse:
    """The page that says what will stop working; `again` where it is asked a second time,
    since other entries fit by now."""
    light = chosen.found.order_by().prefetch_related(None).only("organization_id")
    context = {
        "chosen": chosen,
        "verb": ACTIONS[action],
        "first": chosen.found[:_LISTED],
        "more": max(0, chosen.count - _LISTED),
        "usage": entries_usage(list(light), DAYS),
        "secrets": chosen.found.filter(secrets_changed_at__isnull=False).exists(),
        "enabled": chosen.found.filter(enabled=True).exists(),
    }
    context |= inside(request, organization, "registries")
    return render(
        request, f"registries/{action}_selected.html", context, status=409 if again else 200
    )


def _switch(
    request: SignedIn, organization: Organization, chosen: Selection, *, enabled: bool
) -> None:
    outcome = entries_set_enabled(
        organization=organization,
        keys=chosen.keys(),
        actor=acting(request, organization),
        enabled=enabled,
    )
    _tell_of(request, outcome, "enabled" if enabled else "disabled")


def _export(request: SignedIn, organization: Organization, chosen: Selection) -> HttpResponseBase:
    """The file at once, or by a run where that takes long."""
    format = request.POST.get("format", "")
    if chosen.count > going.LONG:
        return begin_exporting(request, organization, chosen.found, format)
    return file_of(organization, chosen.found, format)


def _tell_of(request: SignedIn, outcome: Outcome, word: str) -> None:
    some = outcome.done or not (outcome.refused or outcome.gone or outcome.left)
    sentences = [f"{_number(outcome.done)} {word}."] if some else []
    if outcome.same:
        sentences.append(f"{_number(outcome.same)} {word} already.")
    if sentences and word == "disabled" and outcome.done:
        tell_disabled(request, " ".join(sentences))
    elif sentences:
        messages.success(request, " ".join(sentences))
    _tell(request, outcome.refused, "more were refused.")
    if outcome.gone:
        messages.warning(request, deleted_meanwhile(outcome.gone))
    if outcome.left:
        left = f"Time ran out before {outcome.left:,} more. Choose them again to go on."
        messages.warning(request, left)


def _tell(request: SignedIn, sentences: list[str], rest: str) -> None:
    for sentence in sentences[:_MOST_TOLD]:
        messages.error(request, sentence)
    if len(sentences) > _MOST_TOLD:
        messages.error(request, f"And {len(sentences) - _MOST_TOLD:,} {rest}")


def _number(count: int) -> str:
    return "1 entry is" if count == 1 else f"{count:,} entries are"
