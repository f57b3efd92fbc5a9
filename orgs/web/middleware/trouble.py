"""What no view is at fault for: what someone deletes meanwhile, no free place, an
organization by the short name that it had before."""

from __future__ import annotations

from collections.abc import Callable
from urllib.parse import urlencode

from allauth.account.adapter import get_adapter
from allauth.core.exceptions import ReauthenticationRequired
from django.contrib.auth.views import redirect_to_login
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect
from django.shortcuts import render
from django.urls import reverse
from django.views.defaults import page_not_found

from orgs.access import Renamed
from orgs.models import Environment, Membership, Organization, Project, RegistryEntry
from orgs.registries.places import Full

# What a service locks: any other row that isn't there is a fault of ours, and a 500.
_GONE = tuple(
    model.DoesNotExist for model in (RegistryEntry, Organization, Membership, Project, Environment)
)


class Trouble:
    """Middleware: 404, as a moment later, where what it's about is gone when its row is locked;
    503 and when to try again where no place is free; on to where an organization's addresses
    are now, or where somebody shows once more who they are."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        return self.get_response(request)

    def process_exception(self, request: HttpRequest, exception: Exception) -> HttpResponse | None:
        if isinstance(exception, _GONE):
            return page_not_found(request, Http404())
        if isinstance(exception, Full):
            return busy(request, exception)
        if isinstance(exception, Renamed):
            return _led_on(request, exception)
        if isinstance(exception, ReauthenticationRequired):
            return _shown_again(request)
        return None


def busy(request: HttpRequest, full: Full) -> HttpResponse:
    """The page that says so."""
    answer = render(request, "503.html", {"busy": full}, status=503)
    answer["Retry-After"] = str(full.retry_after)
    return unlogged(answer)


def _led_on(request: HttpRequest, renamed: Renamed) -> HttpResponse:
    """To the same page; a form that was open before is sent on as it is."""
    match = request.resolver_match
    if match is None:
        raise AssertionError("A view was asked.")
    path = reverse(match.view_name, kwargs={**match.kwargs, "slug": renamed.slug})
    query = request.META.get("QUERY_STRING", "")
    return HttpResponseRedirect(f"{path}?{query}" if query else path, preserve_request=True)


def _shown_again(request: HttpRequest) -> HttpResponse:
    """To show who one is, and back to the page; nothing that was sent is kept for later, since
    who sent it may be somebody else."""
    ways = get_adapter().get_reauthentication_methods(request.user)
    if not request.user.is_authenticated:
        return redirect_to_login(request.path)
    if not ways:  # but the company's own sign-in
        return unlogged(render(request, "accounts/company_again.html", status=403))
    return HttpResponseRedirect(f"{ways[0]['url']}?{urlencode({'next': request.path})}")


def unlogged(answer: HttpResponse) -> HttpResponse:
    """An answer that Django would log each time, so that who floods us floods the log."""
    answer._has_been_logged = True  # type: ignore[attr-defined]
    return answer
