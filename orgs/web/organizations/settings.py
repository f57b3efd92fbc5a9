"""An organization's name, its short name in addresses, and its policies."""

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
from orgs.services.tenancy import organizations, second_steps
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


class PoliciesForm(forms.Form):
    admins_need_mfa = forms.BooleanField(
        label="Org admins need two-step sign-in",
        required=False,
        help_text="Who has none reaches only the page to set it up, and their API tokens are "
        "refused, until they have. Workers go on.",
    )
    no_personal_projects = forms.BooleanField(
        label="No personal projects",
        required=False,
        help_text="Members get no new ones, and none is moved to them. Those there stay.",
    )

    def write(self, organization: Organization, actor: Actor) -> Organization | None:
        """The organization with these policies; None, with errors."""
        return ask(
            self,
            lambda: organizations.policies_set(
                organization=organization, actor=actor, **self.cleaned_data
            ),
        )


@login_required
def policies(request: SignedIn, slug: str) -> HttpResponse:
    organization = access.organization_for_admin(request.user, slug)
    standing = {name: getattr(organization, name) for name in PoliciesForm.base_fields}
    form = PoliciesForm(posted(request), initial=standing)
    if form.is_bound and form.write(organization, acting(request, organization)):
        messages.success(request, "The policies are saved.")
        return redirect("members", organization.slug)
    without = second_steps.without_one(access.admins_of(organization))
    context = inside(request, organization, "members") | {"form": form, "without": without}
    return render(request, "policies.html", context)
