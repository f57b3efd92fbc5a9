"""The fields of the entry's form: those that all types share, and one for each that a type
declares."""

from __future__ import annotations

from typing import Any

from django import forms

from orgs.registries import ends, pasted
from orgs.registries.fields import ON
from orgs.registries.types import Field

from .lines import Lines, LinesField, SecretLines

FROM_PATTERN = "From the pattern"
NOTHING = "–"
# What nobody's browser should fill in or correct.
_PLAIN = {"autocomplete": "off", "autocapitalize": "none", "spellcheck": "false"}
NOT_IN_LIST = {"invalid_choice": "This isn't in the list. Choose one that is."}


# Marks for the scripts: help while typing is asked with these, and takes no others along;
# these never leave the page but by Save, and aren't filled in again.
HELPS, _SECRET = "data-helps", "data-secret"


class PatternsField(forms.CharField):
    """Match patterns, one per line (blanks separate them too)."""

    widget = forms.Textarea(attrs={"rows": 2, "class": "code", HELPS: True, **_PLAIN})
    example = ""

    def to_python(self, value: Any) -> list[str]:  # type: ignore[override]
        return pasted.texts(str(value or ""))

    def prepare_value(self, value: Any) -> Any:
        return "\n".join(value) if isinstance(value, list) else value

    def validate(self, value: Any) -> None:
        """An empty one is refused by the service, in its own words."""

    def run_validators(self, value: Any) -> None:
        pass


class SwitchField(forms.BooleanField):
    """A box to tick, whose value is what a type's switch is stored as."""

    def to_python(self, value: Any) -> Any:
        return ON if super().to_python(value) else ""

    def has_changed(self, initial: Any, data: Any) -> bool:
        return super().has_changed(bool(initial), data)


def secret_end() -> forms.CharField:
    """Read by the service, as a file's cell and the API's text are."""
    return forms.CharField(
        label=ends.LABEL,
        required=False,
        widget=forms.DateInput(attrs={"type": "date", "autocomplete": "off"}),
        help_text="Optional. Org admins are reminded 30, 14, 7 and 1 days before.",
    )


def input_of(declared: Field) -> forms.Field:
    """The form field for a type's declared one."""
    common: dict[str, Any] = {
        "label": declared.label,
        "help_text": declared.help,
        # The service says what is missing, in its own words.
        "required": False,
    }
    if declared.switch:
        return SwitchField(widget=forms.CheckboxInput(attrs={HELPS: True}), **common)
    if declared.choices is not None:
        choices = [("", FROM_PATTERN if declared.from_pattern else NOTHING), *declared.choices()]
        select = forms.Select(attrs={HELPS: True})
        if declared.from_pattern:
            select.attrs["data-from-pattern"] = declared.from_pattern
        return forms.ChoiceField(
            choices=choices, error_messages=NOT_IN_LIST, widget=select, **common
        )
    widget = _widget(declared)
    # What is too long is told by the type, which knows what it should be; this only keeps
    # megabytes out. Browsers end each line by two letters.
    most = max(2 * declared.max_length, 1000)
    kind = LinesField if declared.lines else forms.CharField
    field = kind(max_length=most, widget=widget, **common)
    field.example = declared.example  # type: ignore[attr-defined]
    field.strip = False  # the type cuts what may be cut
    return field


def _widget(declared: Field) -> forms.Widget:
    """A line or several, given back or not."""
    attrs: dict[str, Any] = {**_PLAIN, "class": "code"}
    if declared.secret:
        attrs |= {"autocomplete": "new-password", _SECRET: True}
    if declared.lines:
        attrs["rows"] = 4
        kind = SecretLines if declared.secret else Lines
        return kind(attrs, declared.file, declared.max_length)
    if declared.secret:
        return forms.PasswordInput(render_value=False, attrs=attrs)
    return forms.TextInput(attrs=attrs)
