"""Registry entries of all organizations: the web's form and services in Django's look."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any
from urllib.parse import urlencode
from uuid import UUID

from django import forms
from django.contrib import admin, messages
from django.contrib.admin.utils import unquote
from django.core.exceptions import PermissionDenied
from django.db import transaction
from django.db.models import Q, QuerySet
from django.http import (
    HttpRequest,
    HttpResponse,
    HttpResponseNotAllowed,
    StreamingHttpResponse,
)
from django.shortcuts import redirect
from django.template.response import TemplateResponse
from django.urls import URLPattern, path, reverse
from django.utils.decorators import method_decorator
from django.utils.html import format_html
from django.utils.safestring import SafeString
from django.utils.text import Truncator
from django.views.decorators.debug import sensitive_post_parameters

from orgs.forms.entry import EntryForm, requested_form
from orgs.forms.verifying import AfterForm, VerifyForm, awaited_image
from orgs.models import Organization, RegistryEntry
from orgs.models.entries import FAILING_FIRST
from orgs.registries.catalogue import BY_SLUG, TYPES
from orgs.registries.problems import Refused
from orgs.services.bulk.exporting import Held, export
from orgs.services.entries import door
from orgs.services.entries.attention import broken_sentence
from orgs.services.entries.history import history_of
from orgs.services.entries.policies import MENDED_BY_SET_UP, policy_of, set_up_of
from orgs.services.entries.usage import entries_usage, entry_usage
from orgs.services.entries.validating import told_today
from orgs.services.verification import many, verifying
from orgs.templatetags import registries as shown

from .base import Autocomplete, ServiceAdmin, staff_actor, words_of
from .entry_filters import (
    EnvironmentFilter,
    OldKeyFilter,
    OrganizationFilter,
    StatusFilter,
    TypeFilter,
    UnusedFilter,
    chosen_organization,
)

USAGE_DAYS = 7
# Each is written, and told, by itself; and a form has at most a thousand fields.
MOST_AT_ONCE = 500
_LISTED = 20
_SHORT = 140  # characters


class ChooseOrganization(forms.Form):
    organization = forms.ModelChoiceField(
        Organization.objects.all(),
        widget=Autocomplete(RegistryEntry._meta.get_field("organization"), admin.site),
        error_messages={"required": "Choose whose images the entry will serve."},
    )


@admin.register(RegistryEntry)
class EntryAdmin(ServiceAdmin):
    list_display = ["pattern", "state", "organization", "kind", "used", "key_age"]
    list_select_related = ["organization"]
    list_filter = [
        OrganizationFilter,
        TypeFilter,
        StatusFilter,
        UnusedFilter,
        OldKeyFilter,
        EnvironmentFilter,
    ]
    search_fields = ["patterns__text"]  # said in full by `get_search_results`
    search_help_text = "Pattern, account, organization, key ID, username, role or note"
    ordering = [FAILING_FIRST, "-created_at", "id"]
    actions = ["verify", "enable", "disable", "export_csv", "delete_with_secrets"]
    change_list_template = "admin/orgs/registryentry/change_list.html"

    # --- the list -------------------------------------------------------------

    def get_list_display(self, request: HttpRequest) -> Any:
        """Of one organization, its name is in the heading."""
        of_one = request.GET.get(OrganizationFilter.parameter_name)
        return [name for name in self.list_display if not (of_one and name == "organization")]

    def get_queryset(self, request: HttpRequest) -> QuerySet[RegistryEntry]:
        """Without the secret, which no page needs but to know whether there is one."""
        found = super().get_queryset(request).select_related("organization")
        return found.defer("secrets").prefetch_related("patterns__environment")

    @admin.display(description="Match pattern")
    def pattern(self, entry: RegistryEntry) -> SafeString:
        texts = entry.pattern_texts
        more = f" +{len(texts) - 1}" if len(texts) > 1 else ""
        first = texts[0] if texts else str(entry.pk)
        return format_html('<span title="{}">{}</span>{}', first, shown.image(first), more)

    @admin.display(description="Type", ordering="registry_type")
    def kind(self, entry: RegistryEntry) -> str:
        return shown.type_short(entry.registry_type)

    @admin.display(description="Status", ordering=FAILING_FIRST)
    def state(self, entry: RegistryEntry) -> SafeString:
        """And what happened; what to do about it is on the entry's page."""
        told = broken_sentence(entry, private=True) if entry.enabled else ""
        reason = Truncator(told.partition(". ")[0]).chars(_SHORT)
        return format_html('{}<span class="why">{}</span>', shown.state(entry), reason)

    @admin.display(description="Last used", ordering="last_used_at")
    def used(self, entry: RegistryEntry) -> SafeString:
        return shown.ago(entry.last_used_at, "Never")

    @admin.display(description="Key age", ordering="-secrets_changed_at")
    def key_age(self, entry: RegistryEntry) -> SafeString:
        return shown.age(entry.secrets_changed_at)

    def get_search_results(
        self, request: HttpRequest, queryset: QuerySet[Any], search_term: str
    ) -> tuple[QuerySet[Any], bool]:
        """Every word somewhere; the secrets are sealed, and not looked at."""
        # What says who logs in: a key's id, a username, a role.
        typed = {f.name for kind in TYPES for f in kind.told_fields if f.choices is None}
        for word in words_of(search_term):
            where = (
                Q(patterns__text__icontains=word)
                | Q(organization__name__icontains=word)
                | Q(note__icontains=word)
            )
            for name in sorted(typed):
                where |= Q(**{f"config__{name}__icontains": word})
            found = RegistryEntry.objects.filter(where).values("pk")
            queryset = queryset.filter(pk__in=found)
        return queryset, False

    def changelist_view(self, request: HttpRequest, extra_context: Any = None) -> HttpResponse:
        chosen = chosen_organization(request.GET.get(OrganizationFilter.parameter_name))
        title = f"Registries of {chosen}" if chosen else "Registries"
        context = {"title": title, "organization": chosen, **(extra_context or {})}
        return super().changelist_view(request, context)

    # --- actions --------------------------------------------------------------

    @admin.action(description="Verify", permissions=["change"])
    def verify(self, request: HttpRequest, queryset: QuerySet[RegistryEntry]) -> None:
        chosen = {entry.organization for entry in self._chosen(request, queryset)}
        for organization in sorted(chosen, key=str):
            run, new = many.begin(
                organization=organization, entries=queryset, actor=staff_actor(request)
            )
            began = "are being verified" if new else "were being verified already"
            told = format_html(
                '{} of {} {}. <a href="{}">See how far it is</a>',
                *(f"{run.total:,}", organization, began),
                reverse("run", args=[organization.slug, run.pk]),
            )
            self.message_user(request, told, messages.INFO if new else messages.WARNING)

    @admin.action(description="Enable", permissions=["change"])
    def enable(self, request: HttpRequest, queryset: QuerySet[RegistryEntry]) -> None:
        if chosen := self._chosen(request, queryset):
            self._each(request, chosen, "enabled", _switch(True))

    @admin.action(description="Disable…", permissions=["change"])
    def disable(
        self, request: HttpRequest, queryset: QuerySet[RegistryEntry]
    ) -> HttpResponse | None:
        return self._confirmed(request, queryset, "disable", "disabled", _switch(False))

    @admin.action(description="Export", permissions=["view"])
    def export_csv(
        self, request: HttpRequest, queryset: QuerySet[RegistryEntry]
    ) -> StreamingHttpResponse:
        """CSV that import reads back, enabled entries first as it wants them; no secrets."""
        chosen = queryset.order_by("-enabled", "created_at", "id").iterator(chunk_size=500)
        named = {"Content-Disposition": 'attachment; filename="registries.csv"'}
        pieces = Held(export(chosen, "csv"), f"staff {request.user.pk}")
        return StreamingHttpResponse(pieces, content_type="text/csv", headers=named)

    @admin.action(description="Delete…", permissions=["delete"])
    def delete_with_secrets(
        self, request: HttpRequest, queryset: QuerySet[RegistryEntry]
    ) -> HttpResponse | None:
        return self._confirmed(
            request, queryset, "delete_with_secrets", "deleted", door.entry_delete
        )

    def _chosen(
        self, request: HttpRequest, queryset: QuerySet[RegistryEntry]
    ) -> list[RegistryEntry]:
        chosen = list(queryset[: MOST_AT_ONCE + 1])
        if len(chosen) > MOST_AT_ONCE:
            what = f"At most {MOST_AT_ONCE} at once, so nothing was changed. Choose fewer."
            self.message_user(request, what, messages.ERROR)
            return []
        return chosen

    def _confirmed(
        self,
        request: HttpRequest,
        queryset: QuerySet[RegistryEntry],
        action: str,
        done: str,
        act: Callable[..., Any],
    ) -> HttpResponse | None:
        """First the page that says what will stop working, then each by itself."""
        chosen = self._chosen(request, queryset)
        if not chosen:
            return None
        if "confirmed" in request.POST:
            self._each(request, chosen, done, act)
            return None
        number = "this entry" if len(chosen) == 1 else f"these {len(chosen)} entries"
        verb = "Disable" if action == "disable" else "Delete"
        context = {
            **self.admin_site.each_context(request),
            "opts": self.opts,
            "title": f"{verb} {number}?",
            "action": action,
            "verb": verb,
            "entries": chosen,
            "listed": chosen[:_LISTED],
            "more": max(0, len(chosen) - _LISTED),
            "usage": entries_usage(chosen, USAGE_DAYS),
            "secrets": any(entry.secrets_changed_at for entry in chosen),
        }
        return TemplateResponse(request, "admin/orgs/registryentry/confirm.html", context)

    def _each(
        self,
        request: HttpRequest,
        chosen: list[RegistryEntry],
        done: str,
        act: Callable[..., Any],
    ) -> None:
        actor, refused, gone = staff_actor(request), [], 0
        for entry in chosen:
            try:
                act(entry=entry, actor=actor)
            except Refused as error:
                refused.append(f"{entry}: {error}")
            except RegistryEntry.DoesNotExist:
                gone += 1
        count = len(chosen) - len(refused) - gone
        if count:
            entry_or_entries = "1 entry is" if count == 1 else f"{count} entries are"
            self.message_user(request, f"{entry_or_entries} {done}.", messages.SUCCESS)
        self._tell(request, refused, "more were refused.")
        if gone:
            self.message_user(request, f"{gone} were deleted meanwhile.", messages.WARNING)

    def _tell(self, request: HttpRequest, sentences: list[str], rest: str) -> None:
        for sentence in sentences[:_LISTED]:
            self.message_user(request, sentence, messages.ERROR)
        if len(sentences) > _LISTED:
            more = f"And {len(sentences) - _LISTED} {rest}"
            self.message_user(request, more, messages.ERROR)

    # --- one entry ------------------------------------------------------------

    def get_urls(self) -> list[URLPattern]:
        verify = self.admin_site.admin_view(self.verify_view)
        named = path("<uuid:entry_id>/verify/", verify, name="orgs_registryentry_verify")
        return [named, *super().get_urls()]

    def verify_view(self, request: HttpRequest, entry_id: UUID) -> HttpResponse:
        entry = self.get_object(request, str(entry_id))
        if not self.has_change_permission(request, entry):
            raise PermissionDenied
        if entry is None:
            return self._gone(request)
        if request.method != "POST":
            return HttpResponseNotAllowed(["POST"])
        form = VerifyForm(request.POST, entry=entry)
        if form.verify(staff_actor(request)):
            self.log_change(request, entry, _checked(entry))
            self.message_user(request, f"{entry} was checked.", messages.SUCCESS)
        for errors in form.errors.values():
            self.message_user(request, " ".join(map(str, errors)), messages.ERROR)
        return redirect("admin:orgs_registryentry_change", entry.pk)

    @method_decorator(sensitive_post_parameters())
    def changeform_view(
        self,
        request: HttpRequest,
        object_id: str | None = None,
        form_url: str = "",
        extra_context: Any = None,
    ) -> HttpResponse:
        """Add or change: gate, the web's form, service, answer."""
        if object_id is None:
            if not self.has_add_permission(request):
                raise PermissionDenied
            asked = request.POST.get("organization") or request.GET.get("organization")
            organization = chosen_organization(asked)
            if organization is None:
                return self._choose_organization(request, asked)
            return self._form_view(request, organization, None)
        entry = self.get_object(request, unquote(object_id))
        if not self.has_view_or_change_permission(request, entry):
            raise PermissionDenied
        if entry is None:
            return self._gone(request)
        if self.has_change_permission(request, entry):
            return self._form_view(request, entry.organization, entry)
        if request.method == "POST":
            raise PermissionDenied
        return self._page(request, entry.organization, entry, None)

    def _gone(self, request: HttpRequest) -> HttpResponse:
        gone = "This entry doesn't exist. Perhaps it was deleted."
        self.message_user(request, gone, messages.WARNING)
        return redirect("admin:orgs_registryentry_changelist")

    def _form_view(
        self, request: HttpRequest, organization: Organization, entry: RegistryEntry | None
    ) -> HttpResponse:
        form = requested_form(request, organization, entry)
        try:
            saved = self._saved(request, form) if form.is_bound else None
        except RegistryEntry.DoesNotExist:
            return self._gone(request)
        if saved is not None:
            # Its page verifies it, in a request of its own: what was saved is committed.
            AfterForm(request.POST).remember(request, saved, new=entry is None)
            self.message_user(request, f"{saved} is saved.", messages.SUCCESS)
            return redirect("admin:orgs_registryentry_change", saved.pk)
        if request.method == "GET" and "fields" in request.GET:
            context = {"form": form, "entry": entry}
            template = "admin/orgs/registryentry/_type_fields.html"
            return TemplateResponse(request, template, context)
        return self._page(request, organization, entry, form)

    def _saved(self, request: HttpRequest, form: EntryForm) -> RegistryEntry | None:
        """Through the service, with the admin's own log, which names fields only."""
        if not form.proven():
            return None
        with transaction.atomic():
            saved = form.write(staff_actor(request))
            if saved is not None:
                new = form.entry is None
                message = self.construct_change_message(request, form, [], new)  # type: ignore[arg-type]
                (self.log_addition if new else self.log_change)(request, saved, message)
        return saved

    def _choose_organization(self, request: HttpRequest, asked: str | None) -> HttpResponse:
        """Which environments there are depends on it, so it is asked first."""
        form = ChooseOrganization({"organization": asked} if asked is not None else None)
        context = {
            **self.admin_site.each_context(request),
            "opts": self.opts,
            "title": "Add a new entry",
            "form": form,
            "media": self.media + form.media,
        }
        return TemplateResponse(request, "admin/orgs/registryentry/organization.html", context)

    def _page(
        self,
        request: HttpRequest,
        organization: Organization,
        entry: RegistryEntry | None,
        form: EntryForm | None,
    ) -> HttpResponse:
        context = {
            **self.admin_site.each_context(request),
            "opts": self.opts,
            "title": str(entry) if entry else "Add a new entry",
            "form": form,
            "entry": entry,
            "organization": organization,
            "all": _list_of(organization),
            "types": TYPES,
            "afterwards": AfterForm.of(request),
        }
        if entry is not None:
            kind = BY_SLUG.get(entry.registry_type)
            report, image = verifying.newest(entry, private=True)
            awaited = awaited_image(request, entry) if form else None
            context |= {
                "starts": awaited is not None,
                "broken": broken_sentence(entry, private=True),
                "told_today": told_today(entry),
                "report": report,
                "verify": VerifyForm(
                    entry=entry,
                    initial={"image": image if awaited is None else awaited},
                    auto_id="verify_%s",
                ),
                "verifiable": kind and entry.enabled and not kind.completed_on_worker,
                "policy": policy_of(entry, private=True),
                "set_up": set_up_of(entry),
                "untrusted": report and report.failed and report.failed.code in MENDED_BY_SET_UP,
                "usage": entry_usage(entry, USAGE_DAYS),
                "history": history_of(entry, checks=True),
                "details": kind.details(entry.config, private=True) if kind else [],
                "may_delete": self.has_delete_permission(request, entry),
            }
        return TemplateResponse(request, "admin/orgs/registryentry/change_form.html", context)

    # --- deleting -------------------------------------------------------------

    def erase(self, request: HttpRequest, obj: Any) -> None:
        door.entry_delete(entry=obj, actor=staff_actor(request))

    def delete_view(
        self, request: HttpRequest, object_id: str, extra_context: Any = None
    ) -> HttpResponse:
        context = {"entry_page": True, **(extra_context or {})}
        return super().delete_view(request, object_id, context)

    def losses(self, obj: Any) -> list[str]:
        found = [entry_usage(obj, USAGE_DAYS).stops.removesuffix(".")]
        if obj.secrets_changed_at:
            found.append("The secret is erased; this can't be undone")
        return found


def _checked(entry: RegistryEntry) -> str:
    """What the admin's own log says of a verification, as the audit log does: by its code."""
    report, _ = verifying.newest(entry, private=False)
    failed = report.failed if report else None
    return f"Checked: {failed.code}" if failed else "Checked: it works."


def _switch(enabled: bool) -> Callable[..., Any]:
    def switch(**given: Any) -> RegistryEntry:
        return door.entry_set_enabled(enabled=enabled, **given)

    return switch


def _list_of(organization: Organization) -> str:
    """The address of the organization's entries in the admin."""
    query = urlencode({OrganizationFilter.parameter_name: organization.pk})
    return f"{reverse('admin:orgs_registryentry_changelist')}?{query}"
