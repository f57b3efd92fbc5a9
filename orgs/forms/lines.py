"""Several lines in a form: pasted, or in a file that is chosen."""

from __future__ import annotations

import codecs
from collections.abc import Mapping
from typing import Any

from django import forms

# What nobody can type: a file was chosen, and there is nothing in it.
_EMPTY_FILE = "\0"


class Lines(forms.Textarea):
    """Several lines; with `accept` a file may be chosen in their place."""

    template_name = "registries/lines.html"

    def __init__(self, attrs: dict[str, Any], accept: str = "", most: int = 0) -> None:
        super().__init__(attrs)
        self.accept = accept
        self.most = most

    @property
    def needs_multipart_form(self) -> bool:  # type: ignore[override]
        return bool(self.accept)

    def get_context(self, name: str, value: Any, attrs: Any) -> dict[str, Any]:
        context = super().get_context(name, value, attrs)
        context["widget"] |= {"accept": self.accept, "file": file_name(name)}
        return context

    def value_from_datadict(self, data: Mapping[str, Any], files: Any, name: str) -> Any:
        chosen = files.get(file_name(name)) if self.accept and files else None
        if chosen:
            chosen.seek(0)  # it's asked for again where the page is shown again
        # A little more than it may be, so that what is too long is told.
        return _text_in(chosen.read(2 * self.most)) if chosen else data.get(name)


class SecretLines(Lines):
    """A secret of several lines, which is as little given back as a password."""

    def format_value(self, value: Any) -> None:
        return None


def file_name(name: str) -> str:
    """The input's name whose file stands in for the field `name`."""
    return f"{name}_file"


def _text_in(content: bytes) -> str:
    """What a text file holds, as UTF-8, or as UTF-16 where it is marked (PowerShell's `>`)."""
    marked = content[:2] in {codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE}
    text = content.decode("utf-16" if marked else "utf-8-sig", errors="replace")
    return text if text.strip() else _EMPTY_FILE


class LinesField(forms.CharField):
    """Several lines, typed or in a file."""

    def to_python(self, value: Any) -> Any:
        if value == _EMPTY_FILE:
            what = "The file is empty. Choose another, or paste what is in it."
            raise forms.ValidationError(what, code="required")
        return super().to_python(value)
