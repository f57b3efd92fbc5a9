"""Pages tell times in the reader's own zone."""

from __future__ import annotations

from collections.abc import Callable

from django.http import HttpRequest, HttpResponse

from orgs import zones

from .pages_only import API


class TimeZone:
    """Middleware, behind whatever knows who is signed in. A file that is sent piece by piece
    is made after this, and tells UTC; so does the API."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        if request.path_info.startswith(API):
            return self.get_response(request)
        with zones.read_in(lambda: getattr(request.user, "time_zone", "")):
            return self.get_response(request)
