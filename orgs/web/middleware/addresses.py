"""What an address may carry: text that can be read, before any page looks at it."""

from __future__ import annotations

from collections.abc import Callable
from urllib.parse import unquote_to_bytes

from django.core.exceptions import SuspiciousOperation
from django.http import Http404, HttpRequest, HttpResponse
from django.views.defaults import bad_request, page_not_found


class Readable:
    """Middleware: 400, with a page in words, for a query string with NUL in it or with
    bytes that are no text, and 404 for a path with NUL: whatever is behind may look up
    what an address names."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        if "\0" in request.path_info:
            return page_not_found(request, Http404())
        if not is_readable(request.META.get("QUERY_STRING", "")):
            return bad_request(request, SuspiciousOperation())
        return self.get_response(request)


def is_readable(query: str) -> bool:
    """Whether a query string, as it was sent, is text without NUL."""
    if "%" not in query and query.isascii():
        return "\0" not in query
    try:
        # WSGI passes bytes on as Latin-1.
        text = unquote_to_bytes(query.encode("latin-1")).decode()
    except UnicodeError:
        return False
    return "\0" not in text
