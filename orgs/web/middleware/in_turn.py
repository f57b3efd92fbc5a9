"""Requests compute one after the other, so that workers' logins get the processor."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from django.http import HttpRequest, HttpResponse

from orgs.registries.places import Full
from orgs.registries.turns import turns

from .trouble import busy

# Logins; these requests exactly, which have threads of their own (valohai_registries/serving).
UNTURNED = frozenset(
    {
        ("POST", "/api/v0/docker-login/"),
        ("POST", "/api/v0/docker-login/outcome/"),
    }
)


@contextmanager
def in_turn() -> Iterator[None]:
    """Compute in turn, but for what the database does (`orgs.outside`); raises `Full`."""
    with turns.taken():
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
