"""Sealed values: text that is stored encrypted and shows nothing until revealed.

A sealed value carries the context it was sealed for (table and row id) inside
the encrypted payload, so ciphertext copied to another row doesn't open there.
Built on django-fernet-fields-v2, whose own field encrypts whatever it is handed,
SQL expressions included; this one stores `Sealed` values and nothing else.
"""

from __future__ import annotations

import json
import re
from functools import lru_cache
from typing import Any

from cryptography.fernet import Fernet, InvalidToken, MultiFernet
from django.conf import settings
from django.core.exceptions import ImproperlyConfigured, ValidationError
from django.db.models import Case, Value
from django.db.models.functions import Cast
from django.views.debug import SafeExceptionReporterFilter
from fernet_fields import EncryptedTextField

_DUMP_PREFIX = "sealed:"


class Unreadable(Exception):
    """A sealed value that doesn't open: another key, another row, or damaged.

    The message names the row and never the value.
    """


class NotSealed(TypeError):
    """Something other than a `Sealed` value was about to be stored."""


@lru_cache(maxsize=4)
def _fernet(keys: tuple[str, ...]) -> MultiFernet:
    return MultiFernet([Fernet(key) for key in keys])


def _keys() -> MultiFernet:
    if not settings.FERNET_KEYS:
        raise ImproperlyConfigured("FERNET_KEYS is empty; see `manage.py check`.")
    return _fernet(tuple(settings.FERNET_KEYS))


class Sealed:
    """Ciphertext; compares by it, prints as ‹sealed›."""

    __slots__ = ("token",)

    def __init__(self, token: bytes) -> None:
        self.token = token

    def reveal(self, context: str) -> str:
        """The text sealed for `context`; raises `Unreadable`."""
        try:
            sealed_for, text = json.loads(_keys().decrypt(self.token))
        except (InvalidToken, ValueError, TypeError):
            raise Unreadable(f"The sealed value of {context} can't be opened.") from None
        if sealed_for != context:
            raise Unreadable(f"The sealed value of {context} belongs to another row.")
        return text

    def resealed(self) -> Sealed:
        """The same value under the first key; raises `Unreadable`."""
        try:
            return Sealed(_keys().rotate(self.token))
        except InvalidToken:
            raise Unreadable("A sealed value can't be opened with any key.") from None

    def __repr__(self) -> str:
        return "‹sealed›"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Sealed) and other.token == self.token

    def __hash__(self) -> int:
        return hash(self.token)


def seal(text: str, context: str) -> Sealed:
    """Encrypt `text` for `context` (for example «registryentry:<uuid>»)."""
    return Sealed(_keys().encrypt(json.dumps([context, text]).encode()))


class SealedField(EncryptedTextField):
    """Stores `Sealed` values; loads give `Sealed`, dumps carry ciphertext."""

    def from_db_value(self, value: Any, expression: Any, connection: Any, *args: Any) -> Any:
        return None if value is None else Sealed(bytes(value))

    def to_python(self, value: Any) -> Sealed | None:
        if value is None or isinstance(value, Sealed):
            return value
        if isinstance(value, str) and value.startswith(_DUMP_PREFIX):
            return Sealed(value.removeprefix(_DUMP_PREFIX).encode())
        raise ValidationError("Only sealed values can be stored here.", code="not_sealed")

    def value_to_string(self, obj: Any) -> str | None:  # type: ignore[override]
        value = self.value_from_object(obj)
        return None if value is None else _DUMP_PREFIX + value.token.decode()

    def get_prep_value(self, value: Any) -> Any:
        return value

    def get_db_prep_save(self, value: Any, connection: Any) -> Any:
        if value is None:
            return None
        if isinstance(value, Sealed):
            return connection.Database.Binary(value.token)
        if hasattr(value, "resolve_expression") and _only_sealed_branches(value):
            return value
        raise NotSealed(f"{self} stores sealed values only, not {type(value).__name__}.")

    def get_db_prep_value(self, value: Any, connection: Any, prepared: bool = False) -> Any:
        return self.get_db_prep_save(value, connection)


def _only_sealed_branches(expression: Any) -> bool:
    """Whether this is what `bulk_update` builds: CASE … THEN sealed value or NULL."""
    if type(expression) is Cast:
        (expression,) = expression.get_source_expressions()
    if type(expression) is not Case:
        return False
    branches = [case.result for case in expression.cases] + [expression.default]
    return all(
        type(branch) is Value and (branch.value is None or isinstance(branch.value, Sealed))
        for branch in branches
    )


class SecretSafeReporterFilter(SafeExceptionReporterFilter):
    """Error reports without our secrets: settings, POST values, frame variables.

    Django's own filter shows POST values and local variables while DEBUG is on.
    """

    hidden_settings = re.compile(
        "API|AUTH|TOKEN|KEY|SECRET|PASS|SIGNATURE|HTTP_COOKIE|DATABASE|EMAIL|FERNET|CREDENTIAL",
        flags=re.IGNORECASE,
    )

    def is_active(self, request: Any) -> bool:
        return True

    def get_post_parameters(self, request: Any) -> Any:
        if request is None:
            return {}
        return dict.fromkeys(request.POST, self.cleansed_substitute)

    def get_traceback_frame_variables(self, request: Any, tb_frame: Any) -> Any:
        # A secret may sit in any local; the names are enough to mend code by.
        return [(name, self.cleansed_substitute) for name in tb_frame.f_locals]
