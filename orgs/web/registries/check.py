"""*Check an image*: which entry serves it and why; or every image of a valohai.yaml."""

from __future__ import annotations

from typing import Any

from django import forms
from django.contrib.auth.decorators import login_required
from django.http import HttpResponse
from django.shortcuts import render

from orgs import access
from orgs.forms.verifying import PLAIN
from orgs.models import Environment, Organization
from orgs.registries.catalogue import first
from orgs.registries.images import ImageReference
from orgs.registries.pasted import typed
from orgs.registries.pattern_help import example_of
from orgs.registries.problems import Refused
from orgs.services.bulk import yaml_check
from orgs.services.bulk.files import apart, valohai_yaml
from orgs.services.bulk.yaml_check import Report
from orgs.services.logins import resolve
from orgs.services.logins.advice import advice_on
from orgs.services.logins.resolve import Explanation
from orgs.web.context import SignedIn, inside, posted


class EnvironmentChoice(forms.Form):
    """The environment to ask for; no field where there are none."""

    def __init__(self, *args: Any, organization: Organization, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.organization = organization
        known = Environment.objects.filter(organization=organization)
        if known:
            self.fields["environment"] = forms.ModelChoiceField(
                known,
                required=False,
                to_field_name="slug",
                empty_label="None named",
                error_messages={
                    "invalid_choice": "There is no environment of this name. Choose another."
                },
            )

    @property
    def environment(self) -> Environment | None:
        return self.cleaned_data.get("environment")

    @property
    def environment_field(self) -> forms.BoundField | None:
        return self["environment"] if "environment" in self.fields else None


class ImageForm(EnvironmentChoice):
    image = forms.CharField(
        max_length=2000,
        widget=forms.TextInput(attrs=PLAIN),
        help_text="As in docker pull and valohai.yaml.",
        error_messages={"required": "Image is empty. Enter one."},
    )

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.fields["image"].example = example_of(first())  # type: ignore[attr-defined]

    def clean_image(self) -> ImageReference:
        try:
            return ImageReference.parse(typed(self.cleaned_data["image"]))
        except Refused as refused:
            raise forms.ValidationError(str(refused.problem), code=refused.code) from None

    def explain(self) -> Explanation | None:
        """Who serves the image; None, with errors, where it is none."""
        if not self.is_valid():
            return None
        return resolve.explain(self.organization, self.cleaned_data["image"], self.environment)


class YamlForm(EnvironmentChoice):
    prefix = "yaml"

    file = forms.FileField(
        label="valohai.yaml",
        required=False,
        widget=forms.FileInput(attrs={"accept": ".yaml,.yml,text/yaml,application/yaml"}),
        error_messages={"empty": "The file is empty. Choose another."},
    )
    text = forms.CharField(
        label="Or paste it",
        required=False,
        strip=False,
        widget=forms.Textarea(
            attrs={"rows": 6, "class": "code", "autocomplete": "off", "spellcheck": "false"}
        ),
    )

    def clean_file(self) -> Any:
        chosen = self.cleaned_data["file"]
        # Of one far too large, only the size arrives.
        if chosen and chosen.size > valohai_yaml.MAX_BYTES:
            raise forms.ValidationError(
                str(valohai_yaml.TOO_LARGE), code=valohai_yaml.TOO_LARGE.code
            )
        return chosen

    def report(self) -> Report | None:
        """What serves each image; None, with errors, where it can't be read. Raises `Full`."""
        if not self.is_valid():
            return None
        chosen, pasted = self.cleaned_data["file"], self.cleaned_data["text"]
        if not chosen and not pasted.strip():
            told = "There is no file. Choose a valohai.yaml, or paste it."
            self.add_error("file", forms.ValidationError(told, code="required"))
            return None
        try:
            with apart.PLACES.taken(self.organization.pk, organization=self.organization.pk):
                return yaml_check.check_yaml(
                    organization=self.organization,
                    content=chosen.read() if chosen else pasted,
                    environment=self.environment,
                    read=apart.read_images,
                )
        except Refused as refused:
            error = forms.ValidationError(str(refused), code=refused.code)
            self.add_error("file" if chosen else "text", error)
            return None


@login_required
def check(request: SignedIn, slug: str) -> HttpResponse:
    organization = access.organization_for_member(request.user, slug)
    context = inside(request, organization, "registries")
    sent = posted(request)
    asked = request.GET if sent is None and "image" in request.GET else None
    # A link may name the environment alone.
    named = {"environment": request.GET.get("environment", "")}
    form = ImageForm(asked, organization=organization, initial=named)
    yaml = YamlForm(sent, request.FILES or None, organization=organization)
    context |= {"form": form, "yaml": yaml}
    if sent is not None:
        context["report"] = yaml.report()
    elif asked is not None and (found := form.explain()):
        context |= _told(organization, form.cleaned_data["image"], found)
    return render(request, "registries/check.html", context)


def _told(organization: Organization, image: ImageReference, found: Explanation) -> dict[str, Any]:
    """The sentence and the rows; where nothing serves it, what to do and whom to ask."""
    told: dict[str, Any] = {"image": str(image), "found": found}
    if found.served is None:
        told["advice"] = advice_on(image)
        told["admins"] = access.admins_of(organization)
    return told
