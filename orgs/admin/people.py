"""People. No page shows a password's hash; a new one is set by a one-time link."""

from __future__ import annotations

from typing import Any

from django import forms
from django.contrib import admin, messages
from django.contrib.auth import password_validation
from django.contrib.auth.hashers import make_password
from django.contrib.auth.models import Permission
from django.core.exceptions import PermissionDenied, ValidationError
from django.http import HttpRequest, HttpResponse, HttpResponseNotAllowed
from django.shortcuts import redirect
from django.template.response import TemplateResponse
from django.urls import URLPattern, path
from django.utils.decorators import method_decorator
from django.utils.safestring import SafeString
from django.views.decorators.debug import sensitive_post_parameters

from orgs.models import (
    AuditEvent,
    Environment,
    Membership,
    Organization,
    Project,
    RegistryEntry,
    User,
)
from orgs.services.tenancy import mails, people
from orgs.services.tenancy.powers import may_change, may_send_link
from orgs.templatetags import registries as shown

from .base import ServiceAdmin, many, staff_actor

# What the pages here ask permission for.
_GUARDED = (AuditEvent, Environment, Membership, Organization, Project, RegistryEntry, User)
_POWERS = ("is_staff", "is_superuser", "groups", "user_permissions")

_HELD = {"groups", "user_permissions"}


class Permissions(forms.ModelMultipleChoiceField):
    def label_from_instance(self, obj: Any) -> str:
        return obj.name


class PersonForm(forms.ModelForm):
    class Meta:
        model = User
        fields = ["email", "name", "is_active", *_POWERS]
        help_texts = {
            "email": "Signs in.",
            "name": "As they are greeted.",
            "is_active": "Switched off, they can't sign in, and their API tokens end.",
            "is_staff": "May open this admin, and look at every organization.",
            "is_superuser": "May do everything here.",
            "groups": "Support: may look at everything, verify, switch and mend entries, and have "
            "password links sent. They have to be staff, too.",
        }


class NewPersonForm(forms.ModelForm):
    password = forms.CharField(
        required=False,
        strip=False,
        widget=forms.PasswordInput(attrs={"autocomplete": "new-password"}),
        help_text="Leave it empty to get a one-time link, with which they set their own.",
    )

    class Meta:
        model = User
        fields = ["email", "name"]
        help_texts = {"email": "Signs in.", "name": "As they are greeted."}

    def clean_email(self) -> str:
        return self.cleaned_data["email"].strip().lower()

    def clean(self) -> dict[str, Any]:
        super().clean()
        password = self.cleaned_data.get("password")
        if password:
            person = User(
                email=self.cleaned_data.get("email", ""), name=self.cleaned_data.get("name", "")
            )
            try:
                password_validation.validate_password(password, person)
            except ValidationError as error:
                self.add_error("password", error)
        return self.cleaned_data


@admin.register(User)
class PersonAdmin(ServiceAdmin):
    form = PersonForm
    list_display = ["email", "name", "is_active", "is_staff", "signed_in"]
    list_filter = ["is_staff", "is_active"]
    search_fields = ["email", "name"]
    search_help_text = "E-mail or name"
    ordering = ["email"]
    readonly_fields = ["signed_in", "added"]
    change_form_template = "admin/orgs/user/change_form.html"

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        allowed = super().has_change_permission(request, obj)
        return allowed and (obj is None or may_change(request.user, obj))  # type: ignore[arg-type]

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        allowed = super().has_delete_permission(request, obj)
        may = obj is None or (obj != request.user and may_change(request.user, obj))  # type: ignore[arg-type]
        return allowed and may

    def get_form(self, request: Any, obj: Any = None, change: bool = False, **kwargs: Any) -> Any:
        if not change:
            kwargs["form"] = NewPersonForm
        return super().get_form(request, obj, change=change, **kwargs)

    def get_fields(self, request: HttpRequest, obj: Any = None) -> Any:
        if obj is None:
            return ["email", "name", "password"]
        return [*PersonForm.Meta.fields, "signed_in", "added"]

    def get_readonly_fields(self, request: HttpRequest, obj: Any = None) -> Any:
        """Nobody gives powers they don't have, nor locks themselves out."""
        standing = [*super().get_readonly_fields(request, obj)]
        if obj is not None and not request.user.is_superuser:  # type: ignore[union-attr]
            standing += _POWERS
        if obj == request.user:
            standing += ["is_active", "is_staff", "is_superuser"]
        return list(dict.fromkeys(standing))

    def formfield_for_manytomany(self, db_field: Any, request: Any, **kwargs: Any) -> Any:
        if db_field.name == "groups":
            kwargs["widget"] = forms.CheckboxSelectMultiple
        if db_field.name != "user_permissions":
            return super().formfield_for_manytomany(db_field, request, **kwargs)
        models = [model._meta.model_name for model in _GUARDED]
        ours = Permission.objects.filter(
            content_type__app_label="orgs", content_type__model__in=models
        ).exclude(content_type__model="auditevent", codename__regex="^(add|change|delete)_")
        return Permissions(
            ours.order_by("content_type__model", "codename"),
            required=False,
            widget=forms.CheckboxSelectMultiple,
            help_text="What staff may do here without being a superuser.",
        )

    @admin.display(description="Last signed in", ordering="last_login")
    def signed_in(self, person: User) -> SafeString:
        return shown.exact(person.last_login, "Never")

    @admin.display(ordering="date_joined")
    def added(self, person: User) -> SafeString:
        return shown.exact(person.date_joined)

    @method_decorator(sensitive_post_parameters())
    def changeform_view(
        self, request: HttpRequest, object_id: str | None = None, *args: Any, **kwargs: Any
    ) -> HttpResponse:
        password = request.POST.get("password")
        if object_id is None and password and self.has_add_permission(request):
            # Before the transaction in which all the rest is done.
            request.encoded = make_password(password)  # type: ignore[attr-defined]
        return super().changeform_view(request, object_id, *args, **kwargs)

    def write(self, request: HttpRequest, obj: Any, form: Any, change: bool) -> User:
        given, actor = form.cleaned_data, staff_actor(request)
        if not change:
            return people.person_create(
                email=given["email"],
                name=given["name"],
                encoded=request.encoded if given["password"] else "",  # type: ignore[attr-defined]
                actor=actor,
            )
        held = {"permissions": given.get("user_permissions"), "groups": given.get("groups")}
        values = {name: getattr(obj, name) for name in given if name not in _HELD}
        return people.person_update(person=obj, actor=actor, **held, **values)

    def save_related(self, request: Any, form: Any, formsets: Any, change: bool) -> None:
        """Permissions are written, and told, with the rest."""

    def erase(self, request: HttpRequest, obj: Any) -> None:
        people.person_delete(person=obj, actor=staff_actor(request))

    def losses(self, obj: Any) -> list[str]:
        return [
            f"{many(obj.memberships.count(), 'membership')}, and their API tokens",
            many(obj.projects.count(), "personal project"),
            "Audit events keep their e-mail",
        ]

    # --- the one-time link ----------------------------------------------------

    def get_urls(self) -> list[URLPattern]:
        link = self.admin_site.admin_view(self.link_view)
        named = path("<int:person_id>/password-link/", link, name="orgs_user_password_link")
        return [named, *super().get_urls()]

    def response_add(self, request: Any, obj: Any, post_url_continue: Any = None) -> HttpResponse:
        if obj.has_usable_password():
            return super().response_add(request, obj, post_url_continue)
        return link_page(self, request, obj)

    def change_view(
        self, request: HttpRequest, object_id: str, form_url: str = "", extra_context: Any = None
    ) -> HttpResponse:
        person = self.get_object(request, object_id)
        sends = person is not None and _may_send(request, person)
        context = {"may_send": sends and mails.go_out(), "sends": sends, **(extra_context or {})}
        return super().change_view(request, object_id, form_url, context)

    def link_view(self, request: HttpRequest, person_id: int) -> HttpResponse:
        """Shown to whoever may change the person; to others who may, sent."""
        person = self.get_object(request, str(person_id))
        shown_here = person is not None and self.has_change_permission(request, person)
        if person is None or not (shown_here or (_may_send(request, person) and mails.go_out())):
            raise PermissionDenied
        if request.method != "POST":
            return HttpResponseNotAllowed(["POST"])
        if shown_here:
            return link_page(self, request, person)
        people.person_link_send(person=person, actor=staff_actor(request))
        self.message_user(request, f"A link is on its way to {person}.", messages.SUCCESS)
        return redirect("admin:orgs_user_change", person.pk)


def _may_send(request: HttpRequest, person: User) -> bool:
    return person.is_active and may_send_link(request.user, person)  # type: ignore[arg-type]


def link_page(model_admin: ServiceAdmin, request: HttpRequest, person: User) -> HttpResponse:
    """The answer to the POST that made the link, the only place that ever shows it."""
    link = people.person_link(person=person, actor=staff_actor(request))
    context = {
        **model_admin.admin_site.each_context(request),
        "opts": User._meta,
        "title": f"A link for {person.name or person.email}",
        "person": person,
        "link": link,
    }
    return TemplateResponse(request, "admin/orgs/user/link.html", context)
