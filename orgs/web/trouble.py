"""What no view is at fault for: an entry that someone deletes meanwhile, no free place."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from django.db import connection
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import render
from django.views.defaults import page_not_found

from orgs.models import RegistryEntry
from orgs.registries.places import Full
from orgs.registries.turns import turns

# Logins, and what is asked to know whether the server lives; these requests exactly, which
# have threads of their own (valohai_registries/serving).
UNTURNED = frozenset(
    {
        ("POST", "/api/v0/docker-login/"),
        ("POST", "/api/v0/docker-login/outcome/"),
        ("GET", "/healthz"),
        ("HEAD", "/healthz"),
    }
)


@contextmanager
def in_turn() -> Iterator[None]:
    """Compute in turn, but for what the database does; raises `Full`."""

    def outside(execute: Callable[..., Any], *args: Any) -> Any:
        with turns.given_up():
            return execute(*args)

    with turns.taken(), connection.execute_wrapper(outside):
        yield


class InTurn:
    """Middleware, before all that costs: one request after the other, but those for which
    nobody waits long, so that workers' logins get the processor."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        if (request.method, request.path_info) in UNTURNED:
            return self.get_response(request)
        try:
            with in_turn():
                return self.get_response(request)
        except Full as full:
            return busy(request, full)


class Trouble:
    """Middleware: 404, as a moment later, where the entry is gone when its row is locked;
    503 and when to try again where no place is free."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        return self.get_response(request)

    def process_exception(self, request: HttpRequest, exception: Exception) -> HttpResponse | None:
        if isinstance(exception, RegistryEntry.DoesNotExist):
            return page_not_found(request, Http404())
        if isinstance(exception, Full):
            return busy(request, exception)
        return None


def busy(request: HttpRequest, full: Full) -> HttpResponse:
    """The page that says so."""
    answer = render(request, "503.html", {"busy": full}, status=503)
    answer["Retry-After"] = str(full.retry_after)
    return unlogged(answer)


def unlogged(answer: HttpResponse) -> HttpResponse:
    """An answer that Django would log each time, so that who floods us floods the log."""
    answer._has_been_logged = True  # type: ignore[attr-defined]
    return answer
