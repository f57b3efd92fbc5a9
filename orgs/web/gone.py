"""An entry that someone deletes while another page works on it isn't an error of ours."""

from __future__ import annotations

from collections.abc import Callable

from django.http import Http404, HttpRequest, HttpResponse
from django.views.defaults import page_not_found

from orgs.models import RegistryEntry


class GoneMeanwhile:
    """Middleware: 404, as a moment later, where the entry is gone when its row is locked."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        return self.get_response(request)

    def process_exception(self, request: HttpRequest, exception: Exception) -> HttpResponse | None:
        if isinstance(exception, RegistryEntry.DoesNotExist):
            return page_not_found(request, Http404())
        return None
