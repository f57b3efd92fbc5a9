"""Images that an entry makes usable: a page of its own, taken over into the entry's page by
images.js."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from django import forms
from django.contrib.auth.decorators import login_required
from django.http import HttpResponse
from django.shortcuts import render
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_GET

from orgs import access
from orgs.forms.verifying import PLAIN
from orgs.models import RegistryEntry
from orgs.registries.problems import Failed, Problem, Refused
from orgs.services.verification.images import Listing, images_of
from orgs.web.context import SignedIn, inside


class LookForm(forms.Form):
    """What to look at: one repository, a page of all, and which of the entry's hosts."""

    repository = forms.CharField(
        required=False,
        max_length=700,
        widget=forms.TextInput(attrs=PLAIN),
        help_text="Its name, as it stands in the image after the host.",
    )
    host = forms.CharField(required=False, max_length=300, widget=forms.HiddenInput)
    page = forms.IntegerField(required=False, widget=forms.HiddenInput)

    def look(self, entry: RegistryEntry, *, private: bool) -> Listing | Problem | None:
        """The images, or why there are none to see; None, with errors, for a bad name."""
        self.is_valid()
        if self.errors.get("repository"):
            return None
        asked = {name: self.cleaned_data.get(name) for name in ("repository", "host", "page")}
        try:
            return images_of(
                entry,
                asked["repository"] or "",
                asked["page"] or 1,
                host=asked["host"] or "",
                private=private,
            )
        except Failed as error:
            return error.problem
        except Refused as refused:
            if refused.problem.field is None:
                return refused.problem
            told = forms.ValidationError(str(refused.problem), code=refused.code)
            self.add_error("repository", told)
            return None


@login_required
@never_cache
@require_GET
def images(request: SignedIn, slug: str, entry_id: UUID) -> HttpResponse:
    organization = access.organization_for_member(request.user, slug)
    found = access.entry_in(organization, entry_id)
    context: dict[str, Any] = inside(request, organization, "registries")
    form = LookForm(request.GET)
    seen = form.look(found, private=context["is_admin"])
    context |= {"entry": found, "form": form, "looked": True}
    if isinstance(seen, Problem):
        context["refused"] = seen
    elif seen is not None:
        context["listing"] = seen
        begun = {"repository": seen.chosen or seen.suggested, "host": seen.authority}
        context["form"] = LookForm(initial=begun)
    return render(request, "registries/images.html", context)
