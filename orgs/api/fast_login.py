"""The door in front of the Docker login: answers what the fast path has, in the same bytes.

Anything else goes on to the operation behind it (`docker_login`), as if nobody had looked:
odd bodies and headers, other formats, every refusal.
"""

from __future__ import annotations

from collections.abc import Callable
from uuid import UUID

from django.http import HttpRequest, HttpResponse, JsonResponse
from django.http.response import HttpResponseBase
from django.views.decorators.csrf import csrf_exempt

from orgs.proxies import source_address
from orgs.registries.images import ImageReference
from orgs.registries.problems import Failed, Refused
from orgs.services.logins import fast, formats

from . import limits
from .bodies import BoundedParser
from .errors import answer

_parser = BoundedParser()
_JSON = "application/json; charset=utf-8"
_KEYS = {"project", "image", "environment"}


def in_front_of(operation: Callable[..., HttpResponseBase]) -> Callable[..., HttpResponseBase]:
    """The view that tries the fast path first."""

    @csrf_exempt
    def docker_login(request: HttpRequest) -> HttpResponseBase:
        return _fast(request) or operation(request)

    return docker_login


def _fast(request: HttpRequest) -> HttpResponse | None:
    if request.method != "POST" or request.META.get("QUERY_STRING"):
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
