"""Coming into an organization by an invitation's link."""

from __future__ import annotations

from typing import Any

from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.views.decorators.cache import never_cache

from orgs import company
from orgs.forms.asking import ask
from orgs.models import Invitation, Membership, User
from orgs.proxies import source_address
from orgs.registries.problems import Refused
from orgs.services.tenancy import invitations
from orgs.web.accounts.sign_in import PasswordTwice, enter, name_field
from orgs.web.context import acting, posted


class NewAccountForm(PasswordTwice):
    label = "Password"

    name = name_field()

    field_order = ["name", "new_password1", "new_password2"]

    def __init__(self, invitation: Invitation, data: Any) -> None:
        super().__init__(User(email=invitation.email), data)
        self.invitation = invitation

    def enter(self, address: str | None) -> User | None:
        """The new person; None, with errors."""
        return ask(
            self,
            lambda: invitations.accept_as_new(
                invitation=self.invitation,
                name=self.cleaned_data["name"],
                password=self.cleaned_data["new_password1"],
                address=address,
            ),
        )


@never_cache
def invitation(request: HttpRequest, token: str) -> HttpResponse:
    """What it says, and how to come in: as oneself, or with a new account."""
    found = invitations.invitation_by_token(token)
    if found is None:
        return render(request, "accounts/invitation_over.html", status=404)
    if isinstance(request.user, User):
        return _as_oneself(request, found)
    return _as_someone_new(request, found)


def _as_oneself(request: HttpRequest, found: Invitation) -> HttpResponse:
    context: dict[str, Any] = {"invitation": found}
    if request.method == "POST":
        try:
            member = invitations.accept(invitation=found, actor=acting(request, found.organization))
        except Refused as refused:
            context["refused"] = refused
        else:
            return _welcome(request, member)
    context["other"] = request.user.email != found.email  # type: ignore[union-attr]
    return render(request, "accounts/invitation.html", context)


def _as_someone_new(request: HttpRequest, found: Invitation) -> HttpResponse:
    form = NewAccountForm(found, posted(request))
    if form.is_bound and (person := form.enter(source_address(request))):
        there = _welcome(request, person.memberships.get())
        return enter(request, person, "invitation", there["Location"])
    context = {
        "invitation": found,
        "form": form,
        "here": request.path,
        "companies": company.providers(),
    }
    return render(request, "accounts/invitation_new.html", context)


def _welcome(request: HttpRequest, member: Membership) -> HttpResponse:
    role, organization = member.get_role_display().lower(), member.organization
    messages.success(request, f"You're in {organization} now, as {role}.")
    return redirect("organization", organization.slug)
