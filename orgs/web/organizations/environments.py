"""Environments of an organization: named groups of its workers."""

from __future__ import annotations

from typing import Any

from django import forms
from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.db.models import Count, Q
from django.http import HttpResponse
from django.shortcuts import redirect, render
from django.utils.text import slugify

from orgs import access
from orgs.forms.asking import ask
from orgs.forms.verifying import PLAIN
from orgs.models import Environment, Organization
from orgs.registries.problems import Refused
from orgs.services.audit.events import Actor
from orgs.services.tenancy import organizations
from orgs.web.context import SignedIn, acting, inside, posted


class EnvironmentForm(forms.Form):
    name = forms.CharField(
        max_length=100,
        widget=forms.TextInput(attrs={"autocomplete": "off"}),
        help_text="What people see, such as “GPU workers”.",
        error_messages={"required": "Name is empty. Enter one."},
    )
    slug = forms.SlugField(
        label="Short name",
        max_length=60,
        required=False,
        widget=forms.TextInput(attrs=PLAIN),
        help_text="What workers and commands say. Empty means: made from the name.",
        error_messages={
            "invalid": "A short name has letters, digits and dashes. Write it like gpu-workers."
        },
    )

    def __init__(
        self,
        data: Any,
        organization: Organization,
        environment: Environment | None = None,
    ) -> None:
        standing = {"name": environment.name, "slug": environment.slug} if environment else None
        super().__init__(data, initial=standing)
        self.organization = organization
        self.environment = environment

    def clean(self) -> dict[str, Any]:
        given = self.cleaned_data
        if given.get("name") and not given.get("slug") and "slug" not in self.errors:
            given["slug"] = slugify(given["name"])[:60].strip("-")
            if not given["slug"]:
                told = "None can be made from this name. Enter one."
                self.add_error("slug", forms.ValidationError(told, code="required"))
        return given

    def write(self, actor: Actor) -> Environment | None:
        """Save through the service; None, with errors, where something is wrong."""
        return ask(self, lambda: self._write(actor, **self.cleaned_data))

    def _write(self, actor: Actor, **given: Any) -> Environment:
        if self.environment is not None:
            return organizations.environment_update(
                environment=self.environment, actor=actor, **given
            )
        return organizations.environment_create(
            organization=self.organization, actor=actor, **given
        )


@login_required
def index(request: SignedIn, slug: str) -> HttpResponse:
    organization = access.organization_for_member(request.user, slug)
    found = organization.environments.annotate(
        entries=Count("patterns__entry", distinct=True),
        tokens=Count("worker_tokens", filter=Q(worker_tokens__revoked_at=None), distinct=True),
    ).order_by("name", "pk")
    context = inside(request, organization, "environments") | {"environments": found}
    return render(request, "environments/index.html", context)


@login_required
def new(request: SignedIn, slug: str) -> HttpResponse:
    organization = access.organization_for_admin(request.user, slug)
    form = EnvironmentForm(posted(request), organization)
    if form.is_bound and (saved := form.write(acting(request, organization))):
        messages.success(request, f"{saved} is added.")
        return redirect("environments", slug)
    context = inside(request, organization, "environments") | {"form": form}
    return render(request, "environments/form.html", context)


@login_required
def edit(request: SignedIn, slug: str, environment_id: int) -> HttpResponse:
    organization = access.organization_for_admin(request.user, slug)
    found = access.environment_of(organization, environment_id)
    form = EnvironmentForm(posted(request), organization, found)
    if form.is_bound and (saved := form.write(acting(request, organization))):
        messages.success(request, f"{saved} is saved.")
        return redirect("environments", slug)
    context = inside(request, organization, "environments") | {"form": form, "environment": found}
    return render(request, "environments/form.html", context)


@login_required
def delete(request: SignedIn, slug: str, environment_id: int) -> HttpResponse:
    organization = access.organization_for_admin(request.user, slug)
    found = access.environment_of(organization, environment_id)
    if request.method == "POST":
        try:
            organizations.environment_delete(environment=found, actor=acting(request, organization))
        except Refused as refused:
            messages.error(request, str(refused))
            return redirect("environment_delete", slug, environment_id)
        messages.success(request, f"{found} is deleted.")
        return redirect("environments", slug)
    context = {"environment": found, "uses": organizations.environment_uses(found)}
    return render(
        request,
        "environments/delete.html",
        inside(request, organization, "environments") | context,
    )
