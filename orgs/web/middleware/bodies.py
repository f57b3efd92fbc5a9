"""How large a request may be, by its announced length and before any of it is parsed.

The API has its own bounds (`orgs.api.middleware`).
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable
from contextlib import ExitStack
from typing import Any

from django.http import HttpRequest, HttpResponse
from django.shortcuts import render

from orgs.proxies import source_address
from orgs.registries.places import Full, Places
from orgs.services.bulk.files.rows import MAX_BYTES
from orgs.services.bulk.files.valohai_yaml import MAX_BYTES as MAX_YAML

from .trouble import busy, unlogged

# Bytes. Forms for people who aren't signed in have a few fields; others up to a hundred
# patterns, or the ids of a long list.
STRANGERS = 64 * 1024
FORMS = 256 * 1024
# The addresses that take a file, by their names, and how large one may be.
FILES = {
    "import": MAX_BYTES,
    "admin:orgs_organization_import": MAX_BYTES,
    "check": MAX_YAML,
}
# A file a little too large is told of by its form, beside the field.
ROOM = 1_500_000
# Requests larger than `FORMS` that are received at once in this process, with their files
# in memory several times over.
# What a company's sign-in has strangers bring: signed, with a certificate and all groups.
BROUGHT = {"company_acs"}
PLACES = Places(4, "Other files are being received at the moment.")
# A browser shows no answer before all is sent. So what is refused is received and thrown
# away, where it's so many bytes, takes so many seconds, and isn't done for too many at once;
# else the connection is closed.
MOST_SKIPPED = 50_000_000
SKIPPING = 10.0
SKIPPED = Places(4, "Other requests are being thrown away.")

# Our forms in parts are those with a file, of a few fields.
MOST_PARTS = 200

_API = "/api/v0/"


class Bodies:
    """Middleware, before whatever reads forms: 413 for requests too large, 411 for those
    that don't say how large they are, 503 where too many large ones come at once."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        if request.path_info.startswith(_API):
            return self.get_response(request)
        with ExitStack() as held:
            request.places_held = held  # type: ignore[attr-defined]
            return self.get_response(request)

    def process_view(self, request: HttpRequest, *args: Any) -> HttpResponse | None:
        if request.path_info.startswith(_API):
            return None
        if "HTTP_TRANSFER_ENCODING" in request.META and not request.META.get("CONTENT_LENGTH"):
            return _refused(request, 411, 0)
        if (request.content_params or {}).get("charset", "utf-8").lower() != "utf-8":
            # Python knows a hundred, some of them slow beyond measure, some no text at all.
            return _unreadable(request)
        length = request.META.get("CONTENT_LENGTH") or "0"
        size = int(length) if re.fullmatch("[0-9]{1,15}", length) else 10**16
        if size > STRANGERS:
            if size > _most(request):
                return _refused(request, 413, size)
            if size > FORMS:
                try:
                    place = PLACES.taken(request.user.pk)
                    request.places_held.enter_context(place)  # type: ignore[attr-defined]
                except Full as full:
                    return busy(request, full)
        return None if _few_parts(request) else _unreadable(request)


def _few_parts(request: HttpRequest) -> bool:
    """Whether a form in parts has few enough: Django counts only those that have a name,
    after it has read the head of each."""
    if request.content_type != "multipart/form-data":
        return True
    boundary = (request.content_params or {}).get("boundary", "").encode(errors="replace")
    content = request.read()
    request._body = content  # type: ignore[attr-defined]  # where Django looks, once it's read
    return content.count(b"--" + boundary) <= MOST_PARTS + 1


def _unreadable(request: HttpRequest) -> HttpResponse:
    return unlogged(render(request, "400.html", status=400))


def _most(request: HttpRequest) -> int:
    """How many bytes this person may send to this address."""
    if not request.user.is_authenticated:
        return FORMS if _address(request) in BROUGHT else STRANGERS
    return FILES[_address(request)] + ROOM if _address(request) in FILES else FORMS


def _address(request: HttpRequest) -> str:
    return request.resolver_match.view_name if request.resolver_match else ""


def _refused(request: HttpRequest, status: int, size: int) -> HttpResponse:
    file = FILES.get(_address(request), 0) if request.user.is_authenticated else 0
    told = {"status": status, "megabytes": file // 10**6, "kilobytes": _most(request) // 1024}
    answer = render(request, "413.html", told, status=status)
    if status == 411 or not _skipped(request, size):
        answer["Connection"] = "close"
    return unlogged(answer)


def _skipped(request: HttpRequest, size: int) -> bool:
    """Receive the body, a little at a time, and keep nothing; whether that was all of it."""
    until = time.monotonic() + SKIPPING
    try:
        with SKIPPED.taken(source_address(request)):
            while size <= MOST_SKIPPED and time.monotonic() < until:
                if not request.read(65_536):
                    return True
    except (Full, OSError):
        pass
    return False
