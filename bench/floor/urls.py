"""One address: the Docker login's, so that it has the same threads."""

from django.conf import settings
from django.http import HttpRequest, HttpResponse
from django.urls import path

from . import views


def failed(request: HttpRequest) -> HttpResponse:
    """Ours links to addresses that aren't here."""
    return HttpResponse(status=500, headers={"Content-Length": "0"})


handler500 = failed
urlpatterns = [
    path("api/v0/docker-login/", getattr(views, settings.VIEW)),
    path("healthz", lambda request: HttpResponse()),
]
