"""Every error of the API as JSON, in the status that the table of codes gives it.

CONTRACT «HTTP API»: `{"detail", "code"}`, and of a Docker login also `help`, the
address of *Check an image*, filled in.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any
from urllib.parse import urlencode

from django.conf import settings
from django.db import InterfaceError, OperationalError
from django.http import Http404, HttpRequest, JsonResponse
from django.urls import reverse
from ninja import NinjaAPI
from ninja.errors import HttpError, ValidationError

from orgs.access import AdminsOnly, SecondStepNeeded
from orgs.models import RegistryEntry, WorkerToken
from orgs.registries import codes
from orgs.registries.images import MAX_LENGTH, InvalidImage
from orgs.registries.problems import Failed, Refused
from orgs.registries.text import storable
from orgs.services.logins import issuing

from .bodies import BoundedParser, Unacceptable

# Stands for the codes of fields, which come by field and not as one `code`.
FIELDS = "one or more per field"

# What every address may answer that needs a token.
ANYWHERE = (
    *("not_authenticated", "token_expired", "token_revoked", "method_not_allowed"),
    *("too_large", "rate_limited", "server_error", "busy"),
)
# CONTRACT gives Retry-After to these whatever the cause; seconds, where none is known.
RETRY_AFTER = {413: 60, 429: 1, 503: 5}

_parser = BoundedParser()
PREFIX = "/api/v0/"
LOGIN_PATH = f"{PREFIX}docker-login/"
CREDENTIALS_PATH = f"{PREFIX}registry-credentials/"
# What the house calls a field, where clients know it by another name.
_FIELDS = {"registry_type": "type", "patterns": "image_pattern", None: "non_field_errors"}


def answer(
    request: HttpRequest, code: str, detail: str, retry_after: int | None = None
) -> JsonResponse:
    """The error with this code, in its status and with the headers that belong to it."""
    status = status_of(code)
    response = JsonResponse(body(request, code, detail), status=status)
    if status == 401:
        response["WWW-Authenticate"] = "Token"
    if status in RETRY_AFTER:
        response["Retry-After"] = str(retry_after or RETRY_AFTER[status])
    return response


def status_of(code: str) -> int:
    """The status of a code, or of `FIELDS`; raises `UnknownCode`, also where the API may
    not answer it."""
    if code == FIELDS:
        return 400
    status = codes.of(code).status
    if status is None:
        raise codes.UnknownCode(f"The API has no status for {code!r}.")
    return status


def body(request: HttpRequest, code: str, detail: str) -> dict[str, str]:
    told = {"detail": detail, "code": code}
    return told | {"help": _help(request)} if request.path.startswith(LOGIN_PATH) else told


def _help(request: HttpRequest) -> str:
    """*Check an image* with what was asked; home for whom we don't know."""
    token = getattr(request, "auth", None)
    if not isinstance(token, WorkerToken):
        return f"{settings.BASE_URL}/"
    page = f"{settings.BASE_URL}/organizations/{token.organization.slug}/registries/check/"
    asked = _asked(request)
    return f"{page}?{urlencode(asked, errors='replace')}" if asked else page


def _asked(request: HttpRequest) -> dict[str, str]:
    """What the body asks for, as far as it can be read: the page corrects what is odd in it."""
    try:
        found = _parser.parse_body(request)
    except (ValueError, OSError):  # not ours to tell here
        return {}
    if not isinstance(found, dict):
        return {}
    texts = {name: found.get(name) for name in ("image", "environment")}
    told = {name: text.strip() for name, text in texts.items() if isinstance(text, str)}
    return {name: text for name, text in told.items() if text and len(text) <= MAX_LENGTH}


def answer_errors(api: NinjaAPI) -> None:
    """Make the API answer its own and the house's errors in our shape."""
    api.add_exception_handler(Failed, _login_error)
    api.add_exception_handler(InvalidImage, _invalid_image)
    api.add_exception_handler(Refused, _refused)
    api.add_exception_handler(AdminsOnly, _admins_only)
    api.add_exception_handler(SecondStepNeeded, _second_step_needed)
    api.add_exception_handler(Http404, _not_found)
    api.add_exception_handler(RegistryEntry.DoesNotExist, _not_found)  # deleted meanwhile
    api.add_exception_handler(ValidationError, _invalid_request)
    api.add_exception_handler(HttpError, _unparsable)
    api.add_exception_handler(OperationalError, database_away)
    api.add_exception_handler(InterfaceError, database_away)


def _login_error(request: HttpRequest, error: Any) -> JsonResponse:
    return answer(request, error.code, error.detail, error.retry_after)


def _invalid_image(request: HttpRequest, refused: Any) -> JsonResponse:
    return answer(request, refused.code, str(refused.problem))


def _refused(request: HttpRequest, refused: Any) -> JsonResponse:
    """Every problem, at the field it belongs to; one that is the whole answer, as that."""
    if refused.problem.field is None and not codes.of(refused.code).field:
        return answer(request, refused.code, str(refused.problem))
    return field_errors((_FIELDS.get(p.field, p.field), p.code, str(p)) for p in refused.problems)


def field_errors(problems: Iterable[tuple[str, str, str]]) -> JsonResponse:
    """(field, code, message) in the contract's shape."""
    told: dict[str, list[dict[str, str]]] = {}
    for field, code, message in problems:
        told.setdefault(field, []).append({"message": message, "code": code})
    return JsonResponse(told, status=status_of(FIELDS))


def _admins_only(request: HttpRequest, refused: Any) -> JsonResponse:
    ask = ", ".join(str(admin) for admin in refused.admins)
    return answer(request, "admins_only", f"{refused} Ask {ask}." if ask else str(refused))


def _second_step_needed(request: HttpRequest, refused: Any) -> JsonResponse:
    fix = f"Whoever this token is of sets one up at {settings.BASE_URL}{reverse('account')}."
    return answer(request, "mfa_needed", f"{refused} {fix}")


def _not_found(request: HttpRequest, missing: Any) -> JsonResponse:
    return answer(request, "not_found", "This doesn't exist, or this token doesn't reach it.")


def _invalid_request(request: HttpRequest, invalid: Any) -> JsonResponse:
    """Which fields are wrong, never what stood in them."""
    names = sorted({_field(problem["loc"]) for problem in invalid.errors})
    known = [name for name in names if name]
    if request.path.startswith(CREDENTIALS_PATH) and known == names:
        missing = {_field(p["loc"]) for p in invalid.errors if p["type"] == "missing"}
        return field_errors(
            (name.partition(".")[0], "required", "This is required.")
            if name in missing
            else (name.partition(".")[0], "invalid", f"{name} isn't of the right form.")
            for name in names
        )
    what = (
        f"Missing or not well formed: {', '.join(known)}."
        if known
        else "The body isn't a JSON object."
    )
    return answer(request, "invalid_request", f"{what} /api/v0/openapi.json has the form.")


def _field(location: tuple[Any, ...]) -> str:
    """("body", "asked", "project") → project; "" for the body as a whole."""
    return ".".join(storable(str(part)[:60]) for part in location[2:]) or (
        str(location[1]) if location[0] == "query" else ""
    )


def _unparsable(request: HttpRequest, error: Any) -> JsonResponse:
    if isinstance(error.__cause__, Unacceptable):
        what = "The body is nested too deep, or has a key twice, too many, or a number without end."
        return answer(request, "invalid_request", f"{what} /api/v0/openapi.json has the form.")
    return answer(request, "invalid_request", "The body isn't JSON.")


def database_away(request: HttpRequest, error: Any = None) -> JsonResponse:
    """For a login it's that no event can be written, however little of the database is left."""
    if request.path.startswith(LOGIN_PATH):
        failed = issuing.no_event()
        return answer(request, failed.code, failed.detail, failed.retry_after)
    told = "This server's database can't be reached. Ask again in some seconds."
    return answer(request, "busy", told)
