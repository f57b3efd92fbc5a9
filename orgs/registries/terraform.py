"""Terraform as pages show it, laid out as `terraform fmt` does."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any


class Expression(str):
    """What isn't a text: an address, or a function's call."""


def needs(address: str) -> str:
    """What has to be there first, where no value says so."""
    return f"depends_on = [{address}]"


def resource(kind: str, own: str, values: Mapping[str, Any], more: Sequence[str] = ()) -> str:
    """A resource, by the name that it has here; `more` is what follows its values."""
    return _block(f'resource "{kind}" "{own}"', values, more)


def data(kind: str, own: str, values: Mapping[str, Any]) -> str:
    """What is there already, looked up."""
    return _block(f'data "{kind}" "{own}"', values)


def nested(title: str, values: Mapping[str, Any]) -> str:
    """A block within another."""
    lines = [f"    {name} = {_written(value)}" for name, value in values.items()]
    return "\n".join([f"{title} {{", *lines, "  }"])


def _block(head: str, values: Mapping[str, Any], more: Sequence[str] = ()) -> str:
    width = max(map(len, values))
    lines = [f"  {name:{width}} = {_written(value)}" for name, value in values.items()]
    lines += [f"\n  {text}" for text in more]
    return "\n".join([f"{head} {{", *lines, "}"])


def _written(value: Any) -> str:
    """A value; an object as the JSON that it is elsewhere, too."""
    if isinstance(value, Expression):
        return value
    several = isinstance(value, dict)
    # Terraform's texts have expressions in them, which JSON's haven't.
    text = json.dumps(value, indent=2 if several else None)
    text = text.replace("${", "$${").replace("%{", "%%{")
    return f"jsonencode({text})".replace("\n", "\n  ") if several else text
