"""What holds for every page because of who looks at it."""

from __future__ import annotations

from collections.abc import Callable

from django.conf import settings
from django.http import HttpRequest
from django.http.response import HttpResponseBase

from orgs.proxies import source_address
from orgs.services.tenancy import attempts, passwords

from .pages_only import API


class Visitors:
    """Middleware: what signed-in people are answered is kept by no cache, and what they or
    anyone else send takes the places of the address that it comes from."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponseBase]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        if request.path_info.startswith(API):
            return self.get_response(request)
        source = attempts.source_of(source_address(request))
        with passwords.asked_by(source):
            response = self.get_response(request)
        session = settings.SESSION_COOKIE_NAME
        if session in request.COOKIES or session in response.cookies:
            response["Cache-Control"] = "no-store"
        return response
