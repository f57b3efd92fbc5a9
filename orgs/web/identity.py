"""What clouds fetch to check what this server signs of itself (DESIGN «Identity without keys»).

Answered in front of all that pages need (`middleware.seen`): no cookie, no redirect, nothing
that minds the host.
"""

from __future__ import annotations

import json
from functools import partial

from django.db import DatabaseError
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.views.decorators.csrf import csrf_exempt
from django.views.decorators.http import require_safe

from orgs.proxies import source_address
from orgs.services.identity import documents, issuer


@csrf_exempt  # else a form would be read, which nobody sends here
@require_safe
def configuration(request: HttpRequest) -> HttpResponse:
    """OpenID Connect Discovery 1.0; 404 where this server is no issuer."""
    return _none() or _published(json.dumps(documents.discovery()).encode())


@csrf_exempt
@require_safe
def keys(request: HttpRequest) -> HttpResponse:
    """The public keys (RFC 7517); 404 where this server is no issuer, 503 where no process of
    it has read them yet and the database doesn't answer."""
    if none := _none():
        return none
    try:
        answer = _published(documents.held.text())
    except DatabaseError:
        told = {"detail": "The keys can't be read at the moment."}
        return JsonResponse(told, status=503, headers={"Retry-After": "5"})
    agent = request.META.get("HTTP_USER_AGENT", "")
    note = partial(documents.fetched, source_address(request), agent)
    # Once the answer is out: nobody waits for the note, and none that fails is told.
    answer._resource_closers.append(note)  # type: ignore[attr-defined]
    return answer


def _none() -> HttpResponse | None:
    """The answer of a server that is no issuer."""
    why = issuer.fault(issuer.configured())
    if not why:
        return None
    told = f"This server is no issuer that clouds take: its address, {issuer.configured()}, {why}."
    return JsonResponse({"detail": told}, status=404)


def _published(content: bytes) -> HttpResponse:
    answer = HttpResponse(content, content_type="application/json")
    answer["Cache-Control"] = f"public, max-age={documents.MAX_AGE}"
    answer["X-Content-Type-Options"] = "nosniff"
    return answer
