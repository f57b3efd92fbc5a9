"""Columns of text and JSON that hold only what can be stored, whoever writes them.

What people write is judged by `problems`, with a sentence at its field, before it comes
here (`services`). Whatever else is written is made storable; and what older rows hold is
made readable as it is loaded, so that no page, export or run meets what it can't hold.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator
from typing import Any

from django.core.exceptions import ValidationError
from django.db import models

from orgs.registries import codes
from orgs.registries.problems import Problem, Refused, text_problem

from .registries.text import storable, storable_value

# A surrogate as JSON writes it, in pairs or not, and NUL.
_ESCAPED = re.compile(r"\\u(?:[dD][89a-fA-F]|0000)")


def one_line(value: Any) -> None:
    """A model field's validator, so that forms made of models say it too."""
    _validate(value, lines=False)


def several_lines(value: Any) -> None:
    _validate(value, lines=True)


def _validate(value: Any, *, lines: bool) -> None:
    problem = text_problem(value, name=None, label="This", most=None, lines=lines)
    if problem is not None:
        raise ValidationError(str(problem), code=problem.code)


def plain_address(value: str) -> None:
    """An address that is told from others by sight: Unicode's compatibility forms (ſ, ﬁ, ⓔ)
    are read as other letters by whoever normalizes, and some characters nobody sees."""
    unseen = any(unicodedata.category(letter) == "Cf" for letter in value)
    if unseen or unicodedata.normalize("NFKC", value) != value:
        what = "This address has letters that look like others. Write it with plain ones."
        raise ValidationError(what, code="invalid")


class _Storable(models.Field):
    """What all columns of text share."""

    django: str
    """Django's own class: the table is the same, so migrations name that."""

    def deconstruct(self) -> Any:
        name, _, args, kwargs = super().deconstruct()
        return name, f"django.db.models.{self.django}", args, kwargs

    def get_prep_value(self, value: Any) -> Any:
        """Also what a row is looked up by, as a whole: databases choke on that, too."""
        value = super().get_prep_value(value)
        return storable(value) if isinstance(value, str) else value


class StoredText(_Storable, models.CharField):
    """A text, of one line but with `lines`. With `cut` what is longer is cut, for what no
    person writes."""

    django = "CharField"

    def __init__(self, *args: Any, cut: bool = False, lines: bool = False, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.cut = cut
        self.lines = lines
        self.default_validators = [several_lines if lines else one_line]

    def get_db_prep_save(self, value: Any, connection: Any) -> Any:
        if self.cut and isinstance(value, str):
            value = value[: self.max_length]
        return super().get_db_prep_save(value, connection)


class StoredSlug(_Storable, models.SlugField):
    django = "SlugField"


class StoredEmail(_Storable, models.EmailField):
    django = "EmailField"
    # Django's allows control characters between quotation marks.
    default_validators = [one_line, plain_address, *models.EmailField.default_validators]


class StoredJson(models.JSONField):
    """JSON of one shape, `kind` (dict or list): what a row has otherwise is read as empty."""

    def deconstruct(self) -> Any:
        name, _, args, kwargs = super().deconstruct()
        return name, "django.db.models.JSONField", args, kwargs

    @property
    def kind(self) -> type:
        return list if self.default is list else dict

    def get_prep_value(self, value: Any) -> Any:
        value = super().get_prep_value(value)
        return value if hasattr(value, "resolve_expression") else storable_value(value)

    def from_db_value(self, value: Any, expression: Any, connection: Any) -> Any:
        found = super().from_db_value(value, expression, connection)
        if expression is not None and not hasattr(expression, "target"):
            return found  # a key of it, or another expression
        if not isinstance(found, self.kind):
            return self.kind()
        return storable_value(found) if _ESCAPED.search(str(value)) else found


class StoredTexts(StoredJson):
    """A JSON object of texts, as a registry type's config is."""

    def from_db_value(self, value: Any, expression: Any, connection: Any) -> Any:
        found = super().from_db_value(value, expression, connection)
        if not isinstance(found, dict):
            return found
        return {key: text for key, text in found.items() if isinstance(text, str)}


def problems(model: type[models.Model], **values: Any) -> Iterator[Problem]:
    """What is wrong with values for these columns, each by its name; all at once.

    Lengths, required ones, and what each column's own validators say.
    """
    for name, value in values.items():
        column: Any = model._meta.get_field(name)
        label = str(column.verbose_name).capitalize()
        several = getattr(column, "lines", False)
        problem = text_problem(value, name=name, label=label, most=column.max_length, lines=several)
        if problem is not None:
            yield problem
        elif not value.strip() and not column.blank:
            yield Problem("required", f"{label} is empty.", "Enter one.", name)
        else:
            try:
                column.run_validators(value)
            except ValidationError as error:
                for one in error.error_list:
                    # Django's validators have codes of their own, not all in the table.
                    code = one.code if one.code and codes.known(one.code) else "invalid"
                    yield Problem(code, " ".join(one.messages), "", name)


def require(model: type[models.Model], **values: Any) -> None:
    """Raise `Refused` with all `problems`."""
    if told := list(problems(model, **values)):
        raise Refused(*told)
