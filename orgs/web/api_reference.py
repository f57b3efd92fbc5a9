"""The API for people, for everyone: it tells nothing of anybody."""

from __future__ import annotations

from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.views.decorators.http import require_safe

from .api_document import reference
from .guide import guides


@require_safe
def page(request: HttpRequest) -> HttpResponse:
    shown = {"api": reference(), "guides": guides().values()}
    return render(request, "api/reference.html", shown)
