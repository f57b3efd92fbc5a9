"""An organization's name, and its short name in addresses."""

from __future__ import annotations

from django import forms
from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.http import HttpResponse
from django.shortcuts import redirect, render

from orgs import access
from orgs.forms.asking import ask
from orgs.forms.verifying import PLAIN
from orgs.models import Organization
from orgs.services.audit.events import Actor
from orgs.services.tenancy import organizations
from orgs.web.context import SignedIn, acting, inside, posted


class NameForm(forms.Form):
    name = forms.CharField(
        max_length=100,
        widget=forms.TextInput(attrs={"autocomplete": "off"}),
        error_messages={"required": "Name is empty. Enter one."},
    )
    slug = forms.SlugField(
        label="Short name",
        max_length=60,
        widget=forms.TextInput(attrs=PLAIN),
        help_text="What addresses and commands say. Addresses with the one before lead on; "
        "commands must say the new one. Nobody else ever gets it.",
        error_messages={
            "required": "Short name is empty. Enter one, such as acme.",
            "invalid": "A short name has letters, digits and dashes. Write it like acme-labs.",
        },
    )

    def write(self, organization: Organization, actor: Actor) -> Organization | None:
        """The organization by its new names; None, with errors."""
        return ask(
            self,
            lambda: organizations.organization_update(
                organization=organization, actor=actor, **self.cleaned_data
            ),
        )


@login_required
def names(request: SignedIn, slug: str) -> HttpResponse:
    organization = access.organization_for_admin(request.user, slug)
    standing = {"name": organization.name, "slug": organization.slug}
    form = NameForm(posted(request), initial=standing)
    if form.is_bound and (named := form.write(organization, acting(request, organization))):
        messages.success(request, f"It's called {named} now.")
        return redirect("organization", named.slug)
    context = inside(request, organization, "overview") | {"form": form}
    return render(request, "rename.html", context)
