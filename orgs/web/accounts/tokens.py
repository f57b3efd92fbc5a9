"""A person's API tokens; and what both kinds of token share on pages."""

from __future__ import annotations

from datetime import timedelta
from typing import Any
from uuid import uuid4

from django import forms
from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.http import HttpResponse
from django.shortcuts import redirect, render
from django.views.decorators.cache import never_cache

from orgs import access
from orgs.forms.asking import ask
from orgs.models import ApiToken, Membership, Organization, User
from orgs.services.audit.events import Actor
from orgs.services.tenancy import tokens
from orgs.web.context import SignedIn, acting, posted

DAYS = tokens.LONGEST.days


class IssueForm(forms.Form):
    """What every new token has; `once` tells a form sent again from a new one."""

    name = forms.CharField(
        max_length=100,
        widget=forms.TextInput(attrs={"autocomplete": "off"}),
        error_messages={"required": "Name is empty. Say what will use the token."},
    )
    expires_in = forms.IntegerField(
        label="Expires after, in days",
        required=False,
        min_value=1,
        max_value=DAYS,
        help_text="Empty means it doesn't expire.",
        widget=forms.TextInput(attrs={"inputmode": "numeric", "autocomplete": "off", "size": 6}),
        error_messages={
            "invalid": "Days are a whole number. Write one, such as 90, or nothing.",
            "min_value": "A token lives a day at least. Write 1 or more, or nothing.",
            "max_value": f"A token lives {DAYS} days at most. Write fewer, or nothing.",
        },
    )
    once = forms.CharField(required=False, max_length=40, widget=forms.HiddenInput)

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.initial["once"] = uuid4().hex

    def given(self) -> dict[str, Any]:
        """For the service: name, expiry and the name of this request."""
        days = self.cleaned_data["expires_in"]
        # Going back and typing something else makes another request of it.
        typed = sorted(self.cleaned_data.items(), key=lambda item: item[0])
        return {
            "name": self.cleaned_data["name"],
            "expires_in": timedelta(days=days) if days else None,
            "once": repr(typed) if self.cleaned_data["once"] else "",
        }


class ApiTokenForm(IssueForm):
    organization: forms.ModelChoiceField[Organization] = forms.ModelChoiceField(
        Organization.objects.none(),
        required=False,
        empty_label="All that I administer",
        to_field_name="slug",
        help_text="The token can do what you can: in this one only, or in all.",
        error_messages={"invalid_choice": "This isn't in the list. Choose one that is."},
    )

    field_order = ["name", "organization", "expires_in"]

    def __init__(self, *args: Any, user: User, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.user = user
        self.fields["organization"].queryset = access.administered_by(user)  # type: ignore[attr-defined]

    def issue(self, actor: Actor) -> tuple[ApiToken, str] | None:
        """The token and its text; None, with errors. Raises `AlreadyIssued`."""
        return ask(
            self,
            lambda: tokens.token_issue_api(
                user=self.user,
                actor=actor,
                organization=self.cleaned_data["organization"],
                **self.given(),
            ),
        )


@login_required
@never_cache
def api_tokens(request: SignedIn) -> HttpResponse:
    form = ApiTokenForm(posted(request), user=request.user)
    try:
        if form.is_bound and (issued := form.issue(acting(request))):
            return render(request, "tokens/issued.html", {"token": issued[0], "text": issued[1]})
    except tokens.AlreadyIssued as before:
        return render(request, "tokens/issued.html", {"token": before.token})
    standing = request.user.api_tokens.filter(revoked_at=None)
    context = {
        "form": form,
        "tokens": standing.select_related("membership__organization"),
        "administers": request.user.memberships.filter(role=Membership.Role.ADMIN).exists(),
    }
    return render(request, "tokens/index.html", context)


@login_required
def revoke(request: SignedIn, api_token_id: int) -> HttpResponse:
    token = access.api_token_of(request.user, api_token_id)
    if request.method == "POST":
        tokens.token_revoke(token=token, actor=acting(request, token.organization))
        messages.success(request, f"{token.name} is revoked.")
        return redirect("api_tokens")
    return render(request, "tokens/revoke.html", {"token": token})
