"""Organizations, and who and what is in them."""

from __future__ import annotations

from typing import Any

from django import forms
from django.contrib import admin
from django.db.models import Count, IntegerField, OuterRef, Q, QuerySet, Subquery
from django.db.models.functions import Coalesce
from django.http import HttpRequest, HttpResponse
from django.urls import URLPattern
from django.utils.html import format_html
from django.utils.safestring import SafeString
from django.utils.text import slugify

from orgs.forms.asking import refuse
from orgs.models import Environment, Membership, Organization, Project, RegistryEntry
from orgs.registries.problems import Problem, Refused
from orgs.services.entries.attention import BROKEN, MOST, Attention, entries_needing_attention
from orgs.services.tenancy import organizations, projects
from orgs.services.tenancy.powers import may_change
from orgs.templatetags import registries as shown

from . import importing
from .base import FixedOnceMade, ServiceAdmin, many, staff_actor
from .people import link_page


class OrganizationForm(forms.ModelForm):
    class Meta:
        model = Organization
        fields = ["name", "slug"]
        labels = {"slug": "Short name"}
        help_texts = {
            "slug": "In the organization's addresses: those that people and scripts keep break "
            "when it changes."
        }

    def clean(self) -> dict[str, Any]:
        super().clean()
        slug = self.cleaned_data.get("slug")
        standing = self.instance if self.instance.pk else None
        if slug and (problem := organizations.slug_problem(slug, standing)):
            refuse(self, Refused(problem))
        return self.cleaned_data


class NewOrganizationForm(OrganizationForm):
    admin = forms.EmailField(
        label="First org admin",
        help_text="Their e-mail. Someone new gets a one-time link to set a password.",
    )

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        slug = self.fields["slug"]
        slug.required = False
        slug.help_text = "In the organization's addresses; made from the name if left empty."

    def clean_slug(self) -> str:
        return self.cleaned_data["slug"] or slugify(self.cleaned_data.get("name", ""))[:60]

    def clean(self) -> dict[str, Any]:
        given = super().clean()
        if "slug" in given and not given["slug"]:
            what, fix = "There is no letter to make one from.", "Write a short name."
            refuse(self, Refused(Problem("invalid_slug", what, fix, "slug")))
        return given


@admin.register(Organization)
class OrganizationAdmin(ServiceAdmin):
    list_display = ["name", "slug", "registries", "failing", "members", "added"]
    search_fields = ["name", "slug"]
    search_help_text = "Name or short name"
    takes_along = (RegistryEntry, Membership, Project, Environment)
    change_form_template = "admin/orgs/organization/change_form.html"

    def get_queryset(self, request: HttpRequest) -> QuerySet[Organization]:
        found = super().get_queryset(request)
        if getattr(request.resolver_match, "url_name", "") != "orgs_organization_changelist":
            return found
        broken = Q(enabled=True, status__in=BROKEN)
        return found.annotate(
            registries_count=_count(RegistryEntry.objects.all()),
            failing_count=_count(RegistryEntry.objects.filter(broken)),
            members_count=_count(Membership.objects.all()),
        )

    def get_urls(self) -> list[URLPattern]:
        return [*importing.urls(), *super().get_urls()]

    @admin.display(ordering="registries_count")
    def registries(self, organization: Any) -> int:
        return organization.registries_count

    @admin.display(ordering="-failing_count")
    def failing(self, organization: Any) -> SafeString | str:
        if not organization.failing_count:
            return "–"
        return format_html(
            '<span class="state state-bad"><span aria-hidden="true">▲</span> {}</span>',
            organization.failing_count,
        )

    @admin.display(ordering="members_count")
    def members(self, organization: Any) -> int:
        return organization.members_count

    @admin.display(ordering="created_at")
    def added(self, organization: Organization) -> SafeString:
        return shown.ago(organization.created_at)

    def get_form(self, request: Any, obj: Any = None, change: bool = False, **kwargs: Any) -> Any:
        kwargs["form"] = OrganizationForm if change else NewOrganizationForm
        return super().get_form(request, obj, change=change, **kwargs)

    def get_fields(self, request: HttpRequest, obj: Any = None) -> Any:
        return ["name", "slug"] if obj else ["name", "slug", "admin"]

    def get_prepopulated_fields(self, request: HttpRequest, obj: Any = None) -> Any:
        return {} if obj else {"slug": ["name"]}

    def change_view(
        self, request: HttpRequest, object_id: str, form_url: str = "", extra_context: Any = None
    ) -> HttpResponse:
        found = self.get_object(request, object_id)
        if found is not None and self.has_view_or_change_permission(request, found):
            extra_context = {**(extra_context or {}), **_inside(request, found)}
        return super().change_view(request, object_id, form_url, extra_context)

    def write(self, request: HttpRequest, obj: Any, form: Any, change: bool) -> Organization:
        actor = staff_actor(request)
        if change:
            return organizations.organization_update(
                organization=obj, actor=actor, name=obj.name, slug=obj.slug
            )
        first, new = organizations.person(form.cleaned_data["admin"])
        if new and not request.user.has_perm("orgs.add_user"):  # type: ignore[union-attr]
            what = f"Nobody here has the e-mail {first.email}, and you may not add people."
            raise Refused(Problem("unknown_person", what, "Ask a superuser to add them first."))
        return organizations.organization_create(
            name=obj.name, slug=obj.slug, admin=first, actor=actor
        )

    def response_add(self, request: Any, obj: Any, post_url_continue: Any = None) -> HttpResponse:
        first = obj.memberships.select_related("user").get().user
        if first.has_usable_password() or not may_change(request.user, first):
            return super().response_add(request, obj, post_url_continue)
        return link_page(self, request, first)

    def erase(self, request: HttpRequest, obj: Any) -> None:
        organizations.organization_delete(organization=obj, actor=staff_actor(request))

    def losses(self, obj: Any) -> list[str]:
        entries, projects = obj.entries.count(), obj.projects.count()
        told = [
            (entries, f"{many(entries, 'registry entry', 'registry entries')} with their secrets"),
            (projects, f"{many(projects, 'project')}; their next private pull will fail"),
        ]
        for rows, one in (
            (obj.memberships, "membership"),
            (obj.environments, "environment"),
            (obj.worker_tokens, "worker token"),
        ):
            count = rows.count()
            told.append((count, many(count, one)))
        return [sentence for count, sentence in told if count]


def _count(rows: QuerySet[Any]) -> Coalesce:
    """How many of an organization's rows, without joining the others' in."""
    counted = (
        rows.filter(organization=OuterRef("pk"))
        .order_by()
        .values("organization")
        .annotate(n=Count("pk"))
        .values("n")
    )
    return Coalesce(Subquery(counted, output_field=IntegerField()), 0)


def _inside(request: HttpRequest, organization: Organization) -> dict[str, Any]:
    """What an organization's page shows of it: some of each, and how many there are."""
    needing = entries_needing_attention(organization, private=True)
    newest = (
        RegistryEntry.objects.of(organization)
        .exclude(pk__in=[one.entry.pk for one in needing])
        .order_by("-created_at", "id")[: MOST - len(needing)]
    )
    members = organization.memberships.select_related("user").order_by("role", "user__email")
    return {
        "registries": [*needing, *(Attention(entry, [], None) for entry in newest)],
        "registries_count": organization.entries.count(),
        "members": members[:MOST],
        "members_count": organization.memberships.count(),
        "projects_count": organization.projects.count(),
        "environments_count": organization.environments.count(),
        **{
            f"may_{what}": request.user.has_perm(f"orgs.{codename}")  # type: ignore[union-attr]
            for what, codename in (
                ("see_entries", "view_registryentry"),
                ("add_entries", "add_registryentry"),
                ("see_members", "view_membership"),
                ("add_members", "add_membership"),
            )
        },
    }


# --- in an organization -------------------------------------------------------


@admin.register(Membership)
class MembershipAdmin(FixedOnceMade):
    list_display = ["user", "organization", "role"]
    list_select_related = ["user", "organization"]
    list_filter = ["role"]
    search_fields = ["user__email", "user__name", "organization__name"]
    search_help_text = "A person's e-mail or name, or an organization's name"
    ordering = ["organization__name", "role", "user__email"]
    autocomplete_fields = ["organization", "user"]
    fields = ["organization", "user", "role"]
    fixed = ("organization", "user")

    def audit_subject(self, obj: Membership) -> str:
        return obj.user.email

    def write(self, request: HttpRequest, obj: Any, form: Any, change: bool) -> Membership:
        actor = staff_actor(request)
        if change:
            return organizations.member_set_role(membership=obj, role=obj.role, actor=actor)
        return organizations.member_add(
            organization=obj.organization, user=obj.user, role=obj.role, actor=actor
        )

    def erase(self, request: HttpRequest, obj: Any) -> None:
        organizations.member_remove(membership=obj, actor=staff_actor(request))

    def losses(self, obj: Any) -> list[str]:
        return [f"{obj.user} no longer sees {obj.organization}, and their API tokens for it end"]


class ProjectForm(forms.ModelForm):
    class Meta:
        model = Project
        fields = ["name", "organization", "user"]
        labels = {"user": "Person"}
        help_texts = {
            "organization": "Its registry entries serve the project, and no other's.",
            "user": "Instead of an organization: a personal project, which can't use private "
            "registries.",
        }

    def clean(self) -> dict[str, Any]:
        super().clean()
        given = self.cleaned_data
        if bool(given.get("organization")) == bool(given.get("user")) and not self.errors:
            what = "A project belongs to an organization or to a person."
            refuse(self, Refused(Problem("one_owner", what, "Choose one of them.")))
        return given

    def _get_validation_exclusions(self) -> set[str]:
        # Said above in better words than the constraint's.
        return super()._get_validation_exclusions() | {"organization", "user"}  # type: ignore[misc]


@admin.register(Project)
class ProjectAdmin(ServiceAdmin):
    form = ProjectForm
    list_display = ["name", "owner", "id", "added"]
    list_select_related = ["organization", "user"]
    search_fields = ["name", "organization__name", "user__email", "=id"]
    search_help_text = "Name, organization, a person's e-mail, or an id in full"
    autocomplete_fields = ["organization", "user"]
    readonly_fields = ["id"]
    fields = ["name", "organization", "user"]

    def get_fields(self, request: HttpRequest, obj: Any = None) -> Any:
        return [*self.fields, "id"] if obj else self.fields

    @admin.display(ordering="organization__name")
    def owner(self, project: Project) -> str:
        return str(project.organization) if project.organization else f"{project.user} (personal)"

    @admin.display(ordering="created_at")
    def added(self, project: Project) -> SafeString:
        return shown.ago(project.created_at)

    def write(self, request: HttpRequest, obj: Any, form: Any, change: bool) -> Project:
        given = {name: getattr(obj, name) for name in ("name", "organization", "user")}
        if change:
            return projects.project_update(project=obj, actor=staff_actor(request), **given)
        return projects.project_create(actor=staff_actor(request), **given)

    def erase(self, request: HttpRequest, obj: Any) -> None:
        projects.project_delete(project=obj, actor=staff_actor(request))

    def losses(self, obj: Any) -> list[str]:
        return ["Its workers get no login from then on: their next pull will fail"]


class EnvironmentForm(forms.ModelForm):
    class Meta:
        model = Environment
        fields = ["organization", "name", "slug"]
        labels = {"slug": "Short name"}
        help_texts = {"slug": "Workers ask by it: after a change, by the new one only."}


@admin.register(Environment)
class EnvironmentAdmin(FixedOnceMade):
    form = EnvironmentForm
    list_display = ["name", "slug", "organization"]
    list_select_related = ["organization"]
    search_fields = ["name", "slug", "organization__name"]
    search_help_text = "Name, short name or organization"
    ordering = ["organization__name", "name"]
    autocomplete_fields = ["organization"]
    fields = ["organization", "name", "slug"]
    fixed = ("organization",)

    def write(self, request: HttpRequest, obj: Any, form: Any, change: bool) -> Environment:
        actor = staff_actor(request)
        if change:
            return organizations.environment_update(
                environment=obj, actor=actor, name=obj.name, slug=obj.slug
            )
        return organizations.environment_create(
            organization=obj.organization, name=obj.name, slug=obj.slug, actor=actor
        )

    def erase(self, request: HttpRequest, obj: Any) -> None:
        organizations.environment_delete(environment=obj, actor=staff_actor(request))

    def in_the_way(self, obj: Any) -> list[str]:
        uses = organizations.environment_uses(obj)
        found = []
        if uses.entries:
            limited = many(len(uses.entries), "registry entry is", "registry entries are")
            found.append(f"{limited} limited to it: choose other environments for them first")
        if uses.tokens:
            bound = many(len(uses.tokens), "worker token is", "worker tokens are")
            found.append(f"{bound} bound to it: revoke what workers no longer need first")
        return found
