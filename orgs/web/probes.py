"""What machines ask of a server: whether it lives, whether it can answer logins, figures."""

from __future__ import annotations

import hmac
from ipaddress import ip_address

from django.conf import settings
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.views.decorators.csrf import csrf_exempt
from django.views.decorators.http import require_safe

from orgs.seen import metrics as figures
from orgs.services.logins import health

# Who passes a request on says so by one of these, if it says anything.
_FORWARDED = (
    "HTTP_FORWARDED",
    "HTTP_VIA",
    "HTTP_X_FORWARDED_FOR",
    "HTTP_X_FORWARDED_HOST",
    "HTTP_X_FORWARDED_PROTO",
    "HTTP_X_REAL_IP",
)


@csrf_exempt  # else a form would be read, which nobody sends here
@require_safe
def livez(request: HttpRequest) -> JsonResponse:
    """200 where this process answers at all; asks nobody, so that no outage restarts it."""
    return JsonResponse({"detail": "ok"})


@csrf_exempt
@require_safe
def healthz(request: HttpRequest) -> JsonResponse:
    """200 when logins can be answered: the database takes writes, the keys open."""
    if why := health.unwell():
        return JsonResponse({"detail": why}, status=503)
    return JsonResponse({"detail": "ok"})


@csrf_exempt
@require_safe
def metrics(request: HttpRequest) -> HttpResponse:
    """Prometheus figures, for who bears METRICS_TOKEN; without one, for this machine."""
    if settings.METRICS_TOKEN:
        given = request.META.get("HTTP_AUTHORIZATION", "")
        scheme, _, token = given.partition(" ")
        # WSGI has a header's bytes as latin-1.
        told = token.strip().encode("latin-1", "replace")
        right = hmac.compare_digest(told, settings.METRICS_TOKEN.encode())
        if scheme.lower() != "bearer" or not right:
            return _refused(401, "Send the METRICS_TOKEN as Authorization: Bearer <token>.")
    elif not _of_this_machine(request):
        told = "Only this machine itself may ask; set METRICS_TOKEN to ask from another."
        return _refused(403, told)
    return HttpResponse(figures.exposition(health.figures()), content_type=figures.CONTENT_TYPE)


def _of_this_machine(request: HttpRequest) -> bool:
    """Whether nobody passed the request on, as far as can be seen."""
    try:
        near = ip_address(request.META.get("REMOTE_ADDR", "")).is_loopback
    except ValueError:
        return False
    return near and not any(name in request.META for name in _FORWARDED)


def _refused(status: int, told: str) -> HttpResponse:
    answer = HttpResponse(f"{told}\n", status=status, content_type="text/plain; charset=utf-8")
    if status == 401:
        answer["WWW-Authenticate"] = "Bearer"
    return answer
