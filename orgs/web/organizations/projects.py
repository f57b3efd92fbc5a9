"""Projects: made, renamed, moved to another owner; and what each pulls."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from django import forms
from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.core.paginator import Paginator
from django.db.models import F
from django.http import HttpResponse
from django.shortcuts import redirect, render
from django.views.decorators.http import require_POST

from orgs import access
from orgs.forms.asking import ask
from orgs.models import Organization, Project, User
from orgs.services.audit.events import Actor
from orgs.services.entries.project_usage import project_usage, pulled
from orgs.services.tenancy import projects
from orgs.web.context import SignedIn, acting, inside, posted

PAGE_SIZE = 50
MYSELF = "*"  # no slug, so no organization's


class ProjectForm(forms.Form):
    name = forms.CharField(
        max_length=100,
        widget=forms.TextInput(attrs={"autocomplete": "off"}),
        error_messages={"required": "Name is empty. Enter one."},
    )

    def create(self, organization: Organization, actor: Actor) -> Project | None:
        """The new project; None, with errors."""
        return ask(
            self,
            lambda: projects.project_create(
                organization=organization, actor=actor, **self.cleaned_data
            ),
        )

    def rename(self, project: Project, actor: Actor) -> Project | None:
        """The project by its new name; None, with errors."""
        return ask(
            self, lambda: projects.project_rename(project=project, actor=actor, **self.cleaned_data)
        )


class MoveForm(forms.Form):
    """To where somebody may move a project: organizations they administer, or themselves."""

    to = forms.ChoiceField(
        widget=forms.RadioSelect,
        error_messages={
            "required": "Nothing is chosen. Choose where it goes.",
            "invalid_choice": "This isn't in the list. Choose one that is.",
        },
    )

    def __init__(self, data: Any, project: Project, user: User) -> None:
        super().__init__(data)
        self.project, self.user = project, user
        others = access.administered_by(user).exclude(projects=project)
        self.places = {found.slug: found for found in others}
        choices = [(slug, found.name) for slug, found in self.places.items()]
        if project.organization_id:
            choices.append((MYSELF, "Myself: a personal project, without private registries"))
        self.fields["to"].choices = choices  # type: ignore[attr-defined]

    def move(self, actor: Actor) -> Project | None:
        """The project where it is now; None, with errors."""
        return ask(self, lambda: self._move(actor, self.cleaned_data["to"]), at="to")

    def _move(self, actor: Actor, chosen: str) -> Project:
        return projects.project_move(
            project=self.project,
            organization=self.places.get(chosen),
            user=self.user if chosen == MYSELF else None,
            actor=actor,
        )


@login_required
def index(request: SignedIn, slug: str) -> HttpResponse:
    found = access.organization_for_member(request.user, slug)
    in_use_first = found.projects.order_by(F("archived_at").asc(nulls_first=True), "name", "pk")
    page = Paginator(in_use_first, PAGE_SIZE).get_page(request.GET.get("page"))
    context = inside(request, found, "projects") | {"page": page}
    context["pulled"] = pulled(found, list(page.object_list))
    return render(request, "projects/index.html", context)


@login_required
def project(request: SignedIn, slug: str, project_id: UUID) -> HttpResponse:
    organization = access.organization_for_member(request.user, slug)
    found = access.project_of(organization, project_id)
    context = inside(request, organization, "projects") | {"project": found}
    context["usage"] = project_usage(found, private=context["is_admin"])
    return render(request, "projects/project.html", context)


@login_required
def new(request: SignedIn, slug: str) -> HttpResponse:
    organization = access.organization_for_admin(request.user, slug)
    form = ProjectForm(posted(request))
    if form.is_bound and (made := form.create(organization, acting(request, organization))):
        messages.success(request, f"{made} is added. Workers name it by its id.")
        return redirect("project", slug, made.pk)
    context = inside(request, organization, "projects") | {"form": form}
    return render(request, "projects/form.html", context)


@login_required
def rename(request: SignedIn, slug: str, project_id: UUID) -> HttpResponse:
    organization = access.organization_for_admin(request.user, slug)
    found = access.project_of(organization, project_id)
    form = ProjectForm(posted(request), initial={"name": found.name})
    if form.is_bound and (named := form.rename(found, acting(request, organization))):
        messages.success(request, f"It's called {named} now. Its id stays.")
        return redirect("project", slug, named.pk)
    context = inside(request, organization, "projects") | {"form": form, "project": found}
    return render(request, "projects/form.html", context)


@login_required
def archive(request: SignedIn, slug: str, project_id: UUID) -> HttpResponse:
    organization = access.organization_for_admin(request.user, slug)
    found = access.project_of(organization, project_id)
    if request.method == "POST":
        projects.project_archive(project=found, actor=acting(request, organization))
        messages.success(request, f"{found} is archived; its workers get no more logins.")
        return redirect("project", slug, found.pk)
    context = inside(request, organization, "projects") | {"project": found}
    context["usage"] = project_usage(found, private=True)
    return render(request, "projects/archive.html", context)


@login_required
@require_POST
def unarchive(request: SignedIn, slug: str, project_id: UUID) -> HttpResponse:
    organization = access.organization_for_admin(request.user, slug)
    found = access.project_of(organization, project_id)
    projects.project_unarchive(project=found, actor=acting(request, organization))
    messages.success(request, f"{found} is back; its workers get logins again.")
    return redirect("project", slug, found.pk)


@login_required
def move(request: SignedIn, slug: str, project_id: UUID) -> HttpResponse:
    organization = access.organization_for_admin(request.user, slug)
    found = access.project_of(organization, project_id)
    context = inside(request, organization, "projects")
    context["usage"] = project_usage(found, private=True)
    return _move(request, found, context, acting(request, organization))


@login_required
def move_own(request: SignedIn, project_id: UUID) -> HttpResponse:
    """A personal project, into an organization that its owner administers."""
    return _move(request, access.own_project(request.user, project_id), {}, acting(request))


def _move(request: SignedIn, found: Project, context: dict[str, Any], actor: Actor) -> HttpResponse:
    form = MoveForm(posted(request), found, request.user)
    if form.is_bound and (moved := form.move(actor)):
        messages.success(request, f"{moved} is {moved.organization or 'yours, personal,'} now.")
        if moved.organization:
            return redirect("project", moved.organization.slug, moved.pk)
        return redirect("home")
    context |= {"form": form, "project": found}
    return render(request, "projects/move.html", context)
