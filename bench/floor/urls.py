"""One address: the Docker login's, so that it has the same threads."""

from django.conf import settings
from django.http import HttpResponse
from django.urls import path

from . import views

urlpatterns = [
    path("api/v0/docker-login/", getattr(views, settings.VIEW)),
    path("healthz", lambda request: HttpResponse()),
]
