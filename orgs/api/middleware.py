"""Around everything under /api/v0/: small bodies in, JSON out, nothing kept by caches."""

from __future__ import annotations

import logging
from collections.abc import Callable

from django.http import HttpRequest
from django.http.response import HttpResponseBase, JsonResponse

from orgs.outside import database_is_away
from orgs.registries import codes

from .errors import CREDENTIALS_PATH, PREFIX, RETRY_AFTER, answer, body, database_away

# Bytes. A login is asked for in some hundreds; an entry may have a hundred patterns.
MOST = 16 * 1024
MOST_OF_ENTRIES = 128 * 1024

log = logging.getLogger("django.request")
# What Django answers by itself, by the status that the code has.
_TOLD = {
    codes.of(code).status: (code, detail)
    for code, detail in (
        ("invalid_request", "The request isn't well formed."),
        ("not_found", "There is nothing at this address; /api/v0/openapi.json lists them all."),
        ("method_not_allowed", "This address doesn't answer to this method."),
        ("busy", "Very much is being asked of this server. Ask again in some seconds."),
    )
}
_UNKNOWN = ("server_error", "The server failed. Ask again, and tell staff if it lasts.")


class JsonOnly:
    """Outermost, so that errors from anywhere (wrong methods, other middleware,
    crashes) reach API clients in the one shape they can read."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponseBase]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        if not request.path_info.startswith(PREFIX):
            return self.get_response(request)
        response = _too_large(request) or _in_json(request, self.get_response(request))
        response["Cache-Control"] = "no-store"
        return response

    def process_exception(self, request: HttpRequest, error: Exception) -> JsonResponse | None:
        """A crash in a view of the API: told in the log, and to nobody else."""
        if not request.path_info.startswith(PREFIX):
            return None
        if database_is_away(error):
            return database_away(request)
        log.error("an operation of the API crashed", exc_info=error)
        return answer(request, *_UNKNOWN)


def _too_large(request: HttpRequest) -> JsonResponse | None:
    """Before a byte is read. Without a length Django reads no body at all."""
    most = MOST_OF_ENTRIES if request.path_info.startswith(CREDENTIALS_PATH) else MOST
    length = request.META.get("CONTENT_LENGTH") or "0"
    if length.isdecimal() and int(length) <= most:
        return None
    return answer(request, "too_large", f"A body here has at most {most} bytes.")


def _in_json(request: HttpRequest, response: HttpResponseBase) -> HttpResponseBase:
    is_json = response.get("Content-Type", "").startswith("application/json")
    if response.status_code < 400 or is_json:
        return response
    code, detail = _TOLD.get(response.status_code, _UNKNOWN)
    mended = JsonResponse(body(request, code, detail), status=response.status_code)
    for name in ("Allow", "Retry-After"):
        if name in response:
            mended[name] = response[name]
    if mended.status_code in RETRY_AFTER:
        mended.setdefault("Retry-After", str(RETRY_AFTER[mended.status_code]))
    return mended
