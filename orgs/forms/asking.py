"""A form asks a service; what the service refuses stands at the form's fields."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

from django import forms

from orgs.registries.problems import Refused

T = TypeVar("T")


def ask(form: forms.BaseForm, service: Callable[[], T], *, at: str | None = None) -> T | None:
    """What the service gives, called where the form is valid; None, with errors, where the
    form or the service refuses. A problem whose field the form doesn't have stands `at`
    another, or above them all."""
    if not form.is_valid():
        return None
    try:
        return service()
    except Refused as refused:
        refuse(form, refused, at=at)
        return None


def refuse(form: forms.BaseForm, refused: Refused, *, at: str | None = None) -> None:
    """A service's problems at the form's fields."""
    for problem in refused.problems:
        error = forms.ValidationError(str(problem), code=problem.code)
        form.add_error(problem.field if problem.field in form.fields else at, error)
