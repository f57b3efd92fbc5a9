"""What is right for a registry type's fields, by what it declares alone."""

from __future__ import annotations

from functools import cache

from hypothesis import find
from hypothesis import strategies as st

from orgs.registries.types import Field, RegistryType

from . import fake_google

# What no regular expression makes.
_SECRETS = {"service_account_json": lambda: fake_google.key_file().strip()}


def valid(kind: RegistryType) -> tuple[dict[str, str], dict[str, str]]:
    """(config, secrets): the fields' examples, where there is none the least that has their
    shape; what can be left out without an example is empty."""
    return (
        {f.name: _of(f) for f in kind.config_fields},
        {f.name: _of(f) for f in kind.secret_fields},
    )


@cache
def _of(field: Field) -> str:
    if field.name in _SECRETS:
        return _SECRETS[field.name]()
    if field.example or not field.required:
        return field.example
    wanted = st.from_regex(field.shape.expression, fullmatch=True) if field.shape else st.text("x")
    return find(wanted, lambda text: bool(text.strip()) and field.problem(text) is None)
