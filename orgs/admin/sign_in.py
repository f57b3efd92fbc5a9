"""The admin's door is the product's own sign-in page."""

from __future__ import annotations

from typing import Any

from django.contrib.auth.views import redirect_to_login
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.urls import reverse


def sign_in(request: HttpRequest, extra_context: dict[str, Any] | None = None) -> HttpResponse:
    """In place of `AdminSite.login`; someone signed in who isn't staff gets 403.

    Sent to the sign-in page, they would be sent back here, and so on.
    """
    index = reverse("admin:index")
    if not request.user.is_authenticated:
        return redirect_to_login(request.GET.get("next", index), reverse("account_login"))
    if not request.user.is_staff:
        raise PermissionDenied("Only staff may open the admin.")
    return redirect(index)


def to_account(request: HttpRequest, extra_context: dict[str, Any] | None = None) -> HttpResponse:
    """In place of what Django has for one's own password."""
    return redirect("account")
