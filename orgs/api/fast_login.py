"""The door in front of the Docker login: answers what the fast path has, in the same bytes.

Anything else goes on through all middleware to the operation (`docker_login`), as if nobody
had looked: odd bodies and headers, other formats, every refusal.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from uuid import UUID

from django.http import HttpRequest, HttpResponse, JsonResponse
from django.http.response import HttpResponseBase
from django.middleware.clickjacking import XFrameOptionsMiddleware
from django.middleware.security import SecurityMiddleware
from django.urls import ResolverMatch, resolve

from orgs.proxies import source_address
from orgs.registries.images import ImageReference
from orgs.registries.problems import Failed, Refused
from orgs.services.logins import fast, formats

from . import limits
from .bodies import BoundedParser
from .errors import LOGIN_PATH, answer

_parser = BoundedParser()
_JSON = "application/json; charset=utf-8"
_KEYS = {"project", "image", "environment"}


class FastLogins:
    """Middleware, in front of all that a login of the fast path has no need of: a dozen layers
    cost a tenth of it. What those would do for it is asked of them here."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponseBase]) -> None:
        self.get_response = get_response
        self._secure = SecurityMiddleware(get_response)
        self._framed = XFrameOptionsMiddleware(get_response)

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        if request.method == "POST" and request.path_info == LOGIN_PATH:
            request.get_host()  # raises where ALLOWED_HOSTS hasn't it
            if not self._secure.process_request(request) and (answer := _fast(request)):
                request.resolver_match = _match()
                answer["Content-Length"] = str(len(answer.content))
                self._framed.process_response(request, answer)
                return self._secure.process_response(request, answer)
        return self.get_response(request)


@cache
def _match() -> ResolverMatch:
    return resolve(LOGIN_PATH)


def _fast(request: HttpRequest) -> HttpResponse | None:
    if request.META.get("QUERY_STRING"):
        return None
    if (standing := _standing(request)) is None or limits.buckets.wait(standing.key_id):
        return None
    try:
        return JsonResponse(formats.as_json(standing.given()), content_type=_JSON)
    except Failed as error:
        return answer(request, error.code, error.detail, error.retry_after)


def _standing(request: HttpRequest) -> fast.Standing | None:
    scheme, _, token = request.META.get("HTTP_AUTHORIZATION", "").partition(" ")
    if scheme != "Token":
        return None
    try:
        asked = _parser.parse_body(request)
        if not isinstance(asked, dict) or not asked.keys() <= _KEYS:
            return None
        image, environment = asked.get("image"), asked.get("environment")
        if not isinstance(image, str) or not isinstance(environment, str | None):
            return None
        return fast.standing(
            token=token,
            project=UUID(asked.get("project")),
            image=ImageReference.parse(image),
            environment=environment or "",
            address=source_address(request),
        )
    except (ValueError, TypeError, AttributeError, Refused):
        return None
