"""Every error of the API as JSON, and the one table from codes to statuses.

CONTRACT «HTTP API»: `{"detail", "code"}`, and of a Docker login also `help`, the
address of *Check an image*, filled in.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from urllib.parse import urlencode

from django.conf import settings
from django.db import InterfaceError, OperationalError
from django.http import HttpRequest, JsonResponse
from ninja import NinjaAPI
from ninja.errors import HttpError, ValidationError

from orgs.models import WorkerToken
from orgs.registries.base import LoginError
from orgs.registries.images import InvalidImage

STATUS: dict[str, int] = {
    "invalid_request": 400,
    "invalid_image": 400,
    "not_authenticated": 401,
    "token_expired": 401,
    "token_revoked": 401,
    "personal_project": 403,
    "environment_not_allowed": 403,
    "project_not_found": 404,
    "environment_not_found": 404,
    "entry_not_found": 404,
    "no_match": 404,
    "not_found": 404,
    "method_not_allowed": 405,
    "entry_unusable": 409,
    "ambiguous_server": 409,
    "instance_role_format": 409,
    "too_large": 413,
    "access_denied": 422,
    "invalid_key": 422,
    "signature_mismatch": 422,
    "rate_limited": 429,
    "server_error": 500,
    "registry_unreachable": 503,
    "throttled": 503,
    "clock_skew": 503,
    "busy": 503,
    "audit_unavailable": 503,
}
# CONTRACT gives Retry-After to these whatever the cause; seconds, where none is known.
RETRY_AFTER = {413: 60, 429: 1, 503: 5}

LOGIN_PATH = "/api/v0/docker-login/"


def answer(
    request: HttpRequest, code: str, detail: str, retry_after: int | None = None
) -> JsonResponse:
    """The error with this code, in its status and with the headers that belong to it."""
    status = STATUS.get(code, 500)
    response = JsonResponse(body(request, code, detail), status=status)
    if status == 401:
        response["WWW-Authenticate"] = "Token"
    if status in RETRY_AFTER:
        response["Retry-After"] = str(retry_after or RETRY_AFTER[status])
    return response


def body(request: HttpRequest, code: str, detail: str) -> dict[str, str]:
    told = {"detail": detail, "code": code}
    return told | {"help": _help(request)} if request.path.startswith(LOGIN_PATH) else told


def _help(request: HttpRequest) -> str:
    """*Check an image* with what was asked; home for whom we don't know."""
    token = getattr(request, "auth", None)
    if not isinstance(token, WorkerToken):
        return f"{settings.BASE_URL}/"
    asked: Mapping[str, str] = getattr(request, "asked", {})
    page = f"{settings.BASE_URL}/organizations/{token.organization.slug}/registries/check/"
    return f"{page}?{urlencode(asked, errors='replace')}" if asked else page


def answer_errors(api: NinjaAPI) -> None:
    """Make the API answer its own and the house's errors in our shape."""
    api.add_exception_handler(LoginError, _login_error)
    api.add_exception_handler(InvalidImage, _invalid_image)
    api.add_exception_handler(ValidationError, _invalid_request)
    api.add_exception_handler(HttpError, _unparsable)
    api.add_exception_handler(OperationalError, _database_away)
    api.add_exception_handler(InterfaceError, _database_away)


def _login_error(request: HttpRequest, error: Any) -> JsonResponse:
    return answer(request, error.code, error.detail, error.retry_after)


def _invalid_image(request: HttpRequest, refused: Any) -> JsonResponse:
    return answer(request, refused.code, str(refused.problem))


def _invalid_request(request: HttpRequest, invalid: Any) -> JsonResponse:
    """Which fields are wrong, never what stood in them."""
    names = sorted({_field(problem["loc"]) for problem in invalid.errors})
    known = [name for name in names if name]
    what = f"Missing or not well formed: {', '.join(known)}." if known else "There is no body."
    return answer(request, "invalid_request", f"{what} /api/v0/openapi.json has the form.")


def _field(location: tuple[Any, ...]) -> str:
    """("body", "asked", "project") → project; "" for the body as a whole."""
    return ".".join(str(part)[:60] for part in location[2:]) or (
        str(location[1]) if location[0] == "query" else ""
    )


def _unparsable(request: HttpRequest, error: Any) -> JsonResponse:
    return answer(request, "invalid_request", "The body isn't a JSON document.")


def _database_away(request: HttpRequest, error: Any) -> JsonResponse:
    return answer(
        request, "audit_unavailable", "The database can't be reached. Ask again in some seconds."
    )
