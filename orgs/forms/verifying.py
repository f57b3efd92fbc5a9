"""Verify an entry, on the web and in the admin: by button, and by itself after saving."""

from __future__ import annotations

from typing import Any

from django import forms
from django.http import HttpRequest

from orgs.models import RegistryEntry
from orgs.registries.problems import Failed, Refused
from orgs.services.audit.events import Actor
from orgs.services.verification import verifying

# For what is typed as it stands, such as an image.
PLAIN = {"class": "code", "autocomplete": "off", "autocapitalize": "none", "spellcheck": "false"}

# In the session: what is to be verified once its page is open.
_AWAITED = "to_verify"


class VerifyForm(forms.Form):
    """On the entry's page: the image to check, if any."""

    image = forms.CharField(
        label="Image to check",
        required=False,
        max_length=700,
        widget=forms.TextInput(attrs=PLAIN),
        help_text="Looked for, not pulled.",
    )

    def __init__(self, *args: Any, entry: RegistryEntry, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.entry = entry

    def clean_image(self) -> Any:
        try:
            return verifying.image_to_check(self.entry, self.cleaned_data["image"])
        except Refused as refused:
            raise forms.ValidationError(str(refused.problem), code=refused.code) from None

    def verify(self, actor: Actor) -> bool:
        """Whether it was verified, with whatever result; else the form says why not.

        Blocking for as long as the registry takes, so never inside a transaction.
        """
        if not self.is_valid():
            return False
        try:
            verifying.entry_verify(entry=self.entry, actor=actor, image=self.cleaned_data["image"])
        except Failed as error:
            self.add_error(None, error.in_full)
        except Refused as refused:
            self.add_error(None, str(refused.problem))
        return not self.errors


class AfterForm(forms.Form):
    """Beside the entry's form: whether to verify once it's saved, and with which image.

    Nothing here stops an entry from being saved.
    """

    verify = forms.BooleanField(label="Verify after saving", required=False, initial=True)
    image = forms.CharField(
        label="Image to check",
        required=False,
        max_length=700,
        widget=forms.TextInput(attrs=PLAIN),
        help_text="Optional: one that the pattern covers. It's looked for, not pulled.",
    )

    @classmethod
    def of(cls, request: HttpRequest) -> AfterForm:
        """As it was sent, unjudged; at first, with its proposal."""
        typed = request.POST
        kept = {"verify": "verify" in typed, "image": typed.get("image", "")}
        return cls(initial=kept if typed else None)

    def remember(self, request: HttpRequest, saved: RegistryEntry, *, new: bool) -> None:
        """Have the entry's page verify it, where that is wanted; not a `new` one that waits for
        trust, whose other side can't stand yet: its page says first what that needs."""
        if new and saved.status == RegistryEntry.Status.WAITING:
            return
        if self.is_valid() and self.cleaned_data["verify"]:
            image = self.cleaned_data["image"]
            request.session[_AWAITED] = {"entry": str(saved.pk), "image": image}


def awaited_image(request: HttpRequest, entry: RegistryEntry) -> str | None:
    """The image to verify with after saving, "" for none; once, and None where nothing is
    awaited."""
    awaited = request.session.get(_AWAITED)
    if not awaited or awaited["entry"] != str(entry.pk):
        return None
    del request.session[_AWAITED]
    return str(awaited["image"])
