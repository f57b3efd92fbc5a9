"""A new password for who forgot theirs, by a link that a mail brings."""

from __future__ import annotations

from typing import Any

from django import forms
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.views.decorators.cache import never_cache

from orgs.proxies import source_address
from orgs.services.tenancy import links, mails
from orgs.web.context import posted


class ForgottenForm(forms.Form):
    email = forms.CharField(
        label="E-mail",
        max_length=254,
        widget=forms.EmailInput(attrs={"autocomplete": "email", "spellcheck": "false"}),
        error_messages={"required": "E-mail is empty. Enter the one you sign in by."},
    )


@never_cache
def forgotten(request: HttpRequest) -> HttpResponse:
    """The same answer whoever asks, for whichever address."""
    form = ForgottenForm(posted(request))
    context: dict[str, Any] = {"form": form, "mails": mails.go_out()}
    if form.is_bound and form.is_valid() and context["mails"]:
        context["asked"] = form.cleaned_data["email"]
        links.password_link_ask(email=context["asked"], address=source_address(request))
    return render(request, "accounts/forgotten.html", context)
