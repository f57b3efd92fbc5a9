"""What the admin pages of all models share."""

from __future__ import annotations

from typing import Any

from django.contrib import admin, messages
from django.contrib.admin.helpers import ACTION_CHECKBOX_NAME
from django.contrib.admin.widgets import AutocompleteSelect, RelatedFieldWidgetWrapper
from django.contrib.auth import get_permission_codename
from django.core.exceptions import ObjectDoesNotExist, SuspiciousOperation, ValidationError
from django.db import models
from django.db.models import QuerySet
from django.forms import Field
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect

from orgs.models import User
from orgs.proxies import source_address
from orgs.registries.problems import Refused
from orgs.services.audit import asked
from orgs.services.audit.events import Actor

# No list may be filtered by what these hold: answers would tell it bit by bit.
_NEVER_ASKED = {"secrets", "password", "digest", "login"}
_ASKED = (
    models.CharField,
    models.BooleanField,
    models.IntegerField,
    models.ForeignKey,
    models.UUIDField,
)
_NUMBERED = (models.IntegerField, models.ForeignKey)
MOST_SEARCHED, MOST_WORDS = 200, 10  # characters, words


def staff_actor(request: HttpRequest) -> Actor:
    """Who acts here acts as staff, also where they are a member of the organization."""
    assert isinstance(request.user, User)
    return Actor(request.user.email, request.user, True, source_address(request))


def is_id(text: str) -> bool:
    """Whether a table's number may be looked up by it: databases choke on much else."""
    return asked.number(text) is not None


def many(count: int, one: str, more: str = "") -> str:
    """“1 member”, “5,003 members”."""
    return f"{count:,} {one if count == 1 else more or f'{one}s'}"


class Autocomplete(AutocompleteSelect):
    """Django's, but for nonsense in an address, with which that one fails."""

    def optgroups(self, name: str, value: Any, attrs: Any = None) -> Any:
        return super().optgroups(name, [key for key in value if is_id(str(key))], attrs)


def words_of(search: str) -> list[str]:
    """What a search looks for: each word is a condition of the query, so they are few."""
    return search[:MOST_SEARCHED].split()[:MOST_WORDS]


class BoundedList(admin.ModelAdmin):
    """A list that may be searched and narrowed by its address, within bounds.

    Django compares any column in any way that an address says, regular expressions
    included: here a column is what it is, or one of the list's filters.
    """

    show_full_result_count = False
    show_facets = admin.ShowFacets.NEVER
    list_per_page = 50

    def lookup_allowed(self, lookup: str, value: Any, request: HttpRequest | None = None) -> bool:  # type: ignore[override]
        name = lookup.removesuffix("__exact")
        columns = {f.name: f for f in self.opts.fields if isinstance(f, _ASKED)}
        filters = {f if isinstance(f, str) else f.parameter_name for f in self.list_filter}  # type: ignore[union-attr]
        if name in filters:  # which judges by itself
            return True
        if isinstance(columns.get(name), _NUMBERED) and not is_id(value):
            return False
        return name in columns.keys() - _NEVER_ASKED

    def to_field_allowed(self, request: HttpRequest, to_field: str) -> bool:
        """Rows are known by their key alone; Django fails on names of what isn't a column."""
        return to_field == self.opts.pk.name

    def get_object(
        self, request: HttpRequest, object_id: str, from_field: str | None = None
    ) -> Any:
        """Django looks an empty `_to_field` up, and fails."""
        return super().get_object(request, object_id, from_field or None)

    def response_action(
        self, request: HttpRequest, queryset: QuerySet[Any], *args: Any, **kwargs: Any
    ) -> HttpResponse | None:
        """What was ticked is keys, or nothing that a page of ours sent."""
        for key in request.POST.getlist(ACTION_CHECKBOX_NAME):
            if not self._is_key(key):
                raise SuspiciousOperation("no key was ticked")
        return super().response_action(request, queryset, *args, **kwargs)

    def _is_key(self, text: str) -> bool:
        if isinstance(self.opts.pk, models.AutoField):
            return is_id(text)
        try:
            self.opts.pk.to_python(text)
        except ValidationError:
            return False
        return True

    def get_search_results(
        self, request: HttpRequest, queryset: QuerySet[Any], search_term: str
    ) -> tuple[QuerySet[Any], bool]:
        return super().get_search_results(request, queryset, " ".join(words_of(search_term)))


class ReadOnly(BoundedList):
    """Nobody adds, changes or deletes it here."""

    actions = None

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False


class ServiceAdmin(BoundedList):
    """Writes go through `write` and `erase`, which subclasses hand to a service.

    What a service refuses is told, and nothing is written.
    """

    # What goes along when one is deleted, so that its permission is needed too.
    takes_along: tuple[type[models.Model], ...] = ()
    delete_confirmation_template = "admin/orgs/delete_confirmation.html"
    object_history_template = "admin/orgs/object_history.html"

    def audit_subject(self, obj: Any) -> str:
        """What the audit log calls it."""
        return str(obj)

    def history_view(
        self, request: HttpRequest, object_id: str, extra_context: Any = None
    ) -> HttpResponse:
        """What was done here, and where all of it is."""
        found = self.get_object(request, object_id)
        told = {"audit_subject": self.audit_subject(found)} if found is not None else {}
        return super().history_view(request, object_id, {**told, **(extra_context or {})})

    def write(
        self, request: HttpRequest, obj: Any, form: Any, change: bool
    ) -> models.Model:  # pragma: no cover
        """Make or change through a service; `obj` has the form's values and isn't saved."""
        raise NotImplementedError

    def erase(self, request: HttpRequest, obj: Any) -> None:  # pragma: no cover
        raise NotImplementedError

    def losses(self, obj: Any) -> list[str]:
        """Sentences on what goes with it, told before it is deleted."""
        return []

    def in_the_way(self, obj: Any) -> list[str]:
        """Sentences on what forbids deleting it."""
        return []

    # --- Django's hooks -------------------------------------------------------

    def save_model(self, request: HttpRequest, obj: Any, form: Any, change: bool) -> None:
        saved = self.write(request, obj, form, change)
        obj.__dict__.update(vars(saved))

    def delete_model(self, request: HttpRequest, obj: Any) -> None:
        self.erase(request, obj)

    def get_deleted_objects(self, objs: Any, request: HttpRequest) -> Any:
        """In words instead of one by one: there may be thousands."""
        (obj,) = objs
        lacking = {
            str(model._meta.verbose_name_plural)
            for model in self.takes_along
            if not request.user.has_perm(f"orgs.{get_permission_codename('delete', model._meta)}")  # type: ignore[union-attr]
        }
        return self.losses(obj), {}, lacking, self.in_the_way(obj)

    def changeform_view(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
        try:
            return super().changeform_view(request, *args, **kwargs)
        except (Refused, ObjectDoesNotExist) as error:
            return self._told(request, error)

    def delete_view(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
        try:
            return super().delete_view(request, *args, **kwargs)
        except (Refused, ObjectDoesNotExist) as error:
            return self._told(request, error)

    def _told(self, request: HttpRequest, error: Exception) -> HttpResponse:
        gone = "It was changed or deleted meanwhile. Look at it again."
        self.message_user(
            request, str(error) if isinstance(error, Refused) else gone, messages.ERROR
        )
        return redirect(request.get_full_path())

    def formfield_for_foreignkey(self, db_field: Any, request: Any, **kwargs: Any) -> Any:
        if db_field.name in self.get_autocomplete_fields(request):
            kwargs.setdefault("widget", Autocomplete(db_field, self.admin_site))
        return super().formfield_for_foreignkey(db_field, request, **kwargs)

    def formfield_for_dbfield(self, db_field: Any, request: Any, **kwargs: Any) -> Field | None:
        field = super().formfield_for_dbfield(db_field, request, **kwargs)
        if field is not None and field.required:
            field.error_messages["required"] = f"{field.label} is empty. Enter it."
        if field is not None and isinstance(field.widget, RelatedFieldWidgetWrapper):
            # Making one thing in a pop-up of another's page: each has its own page.
            field.widget = field.widget.widget
        return field

    def changelist_view(self, request: HttpRequest, extra_context: Any = None) -> HttpResponse:
        title = str(self.opts.verbose_name_plural).capitalize()
        return super().changelist_view(request, {"title": title, **(extra_context or {})})

    def render_change_form(self, request: Any, context: Any, *args: Any, **kwargs: Any) -> Any:
        """One button saves."""
        context |= {"show_save_and_add_another": False, "show_save_and_continue": False}
        return super().render_change_form(request, context, *args, **kwargs)


class FixedOnceMade(ServiceAdmin):
    """Fields that a row keeps for good can be filled in when it is added only."""

    fixed: tuple[str, ...] = ()

    def get_readonly_fields(self, request: HttpRequest, obj: Any = None) -> Any:
        standing = super().get_readonly_fields(request, obj)
        return [*standing, *self.fixed] if obj else standing
