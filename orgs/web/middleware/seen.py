"""Every request is seen: an id that goes along, a line in the log, a figure. Probes end here."""

from __future__ import annotations

import time
from collections.abc import Callable

from django.http import HttpRequest
from django.http.response import HttpResponseBase
from django.urls import resolve

from orgs.proxies import is_trusted, source_address
from orgs.seen import logs, metrics

PROBES = frozenset({"/healthz", "/livez", "/metrics"})
# What clouds fetch of the issuer (orgs/web/identity.py), where no redirect is followed.
PUBLISHED = frozenset({"/.well-known/openid-configuration", "/.well-known/jwks.json"})
_MACHINES = PROBES | PUBLISHED
_API, _LOGINS = "/api/v0/", "/api/v0/docker-login/"


class Seen:
    """Middleware, outermost."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponseBase]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        begun = time.monotonic()
        request_id = logs.begin(_given(request))
        answer = self.get_response(request)
        answer["X-Request-ID"] = request_id

        def told() -> None:
            seconds = time.monotonic() - begun
            metrics.request(_kind(request), answer.status_code, seconds)
            logs.answered(request, answer.status_code, seconds, source_address(request))
            logs.end()

        if answer.streaming:
            # Its body is made after this, by the same thread: what fails there has the id, too.
            answer._resource_closers.append(told)  # type: ignore[attr-defined]
            return answer
        told()
        return answer


class Probes:
    """Middleware: what machines ask is asked by whatever name they have for this one
    (a pod's address), so nothing that minds the host looks at it."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponseBase]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        if request.path_info not in _MACHINES:
            return self.get_response(request)
        match = request.resolver_match = resolve(request.path_info)
        answer = match.func(request)
        answer.headers.setdefault("Cache-Control", "no-store")
        answer["Content-Length"] = len(answer.content)
        return answer


def _given(request: HttpRequest) -> str:
    """The id that a proxy which is trusted has given it."""
    given = request.META.get("HTTP_X_REQUEST_ID", "")
    return given if given and is_trusted(request) else ""


def _kind(request: HttpRequest) -> str:
    path = request.path_info
    if path in _MACHINES:
        return "probe"
    if not path.startswith(_API):
        return "page"
    return "login" if path.startswith(_LOGINS) else "api"
