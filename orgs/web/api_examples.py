"""Examples of the API, from the schemas of its OpenAPI document: values, and curl commands."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any, TypeAlias

Json: TypeAlias = dict[str, Any]
# What a schema without an example of its own is shown with, by `format`, then by `type`.
_FORMATS = {"uuid": "00000000-0000-0000-0000-000000000000", "date-time": "2026-01-31T12:00:00Z"}
_TYPES = {"string": "…", "boolean": True, "number": 1, "null": None}


class Schemas:
    """Those that a document names, and examples of any."""

    def __init__(self, document: Json) -> None:
        self.named: Json = document["components"]["schemas"]

    def whole(self, schema: Json) -> Json:
        """With what a reference leads to; what stands beside the reference counts."""
        if "$ref" not in schema:
            return schema
        return self.named[name_of(schema)] | {k: v for k, v in schema.items() if k != "$ref"}

    def example(self, schema: Json, *, variables: bool = False) -> Any:
        """One value that the schema takes; with `variables`, ids are the shell's, since
        nobody has those of an example."""
        schema = self.whole(schema)
        if "examples" in schema:
            return _in_order(schema["examples"][0], schema)
        for name in ("const", "default"):
            if name in schema:
                return schema[name]
        if "enum" in schema:
            return schema["enum"][0]
        if "anyOf" in schema:
            return self.example(schema["anyOf"][0], variables=variables)
        if "properties" in schema:
            needed = schema.get("required", ())
            return {
                name: f"${variable_of(name)}"
                if variables and is_id(one)
                else self.example(one, variables=variables)
                for name, one in schema["properties"].items()
                if name in needed or "examples" in one
            }
        if schema.get("type") == "array":
            return [self.example(schema["items"], variables=variables)]
        if schema.get("type") == "object":
            inner = schema.get("additionalProperties")
            return {"…": self.example(inner)} if isinstance(inner, dict) else {}
        if schema.get("type") == "integer":
            return schema.get("minimum", 1)
        return _FORMATS.get(schema.get("format", "")) or _TYPES.get(schema.get("type", ""), "…")


def name_of(reference: Json) -> str:
    """Of the schema that is referred to; "" where none is."""
    return str(reference.get("$ref", "")).rpartition("/")[2]


def names_in(schema: Json) -> Iterator[str]:
    """The schemas that this one refers to, at any depth."""
    if name := name_of(schema):
        yield name
    for value in schema.values():
        for inner in value if isinstance(value, list) else [value]:
            if isinstance(inner, dict):
                yield from names_in(inner)


def is_id(schema: Json) -> bool:
    return schema.get("format") == "uuid"


def variable_of(name: str) -> str:
    """The shell's variable for an id: project → PROJECT_ID, entry_id → ENTRY_ID."""
    return f"{name.removesuffix('_id')}_id".upper()


def written(value: Any) -> str:
    return json.dumps(value, indent=2, ensure_ascii=False)


def curl(address: str, method: str, query: dict[str, Any], body: Any = None) -> str:
    """The command, to be pasted into a shell that has the token and the ids. `address` may
    have {names} of ids in it; `body` None for none."""
    asked = "&".join(f"{name}={value}" for name, value in query.items())
    address = re.sub(r"\{(\w+)\}", lambda found: f"${variable_of(found[1])}", address)
    verb = "" if method == "GET" else f" -X {method}"
    lines = [
        f"curl -sS --fail-with-body{verb}",
        f'"{address}{"?" if asked else ""}{asked}"',
        '-H "Authorization: Token $TOKEN"',
    ]
    if body is None:
        return " \\\n  ".join(lines)
    lines += ['-H "Content-Type: application/json"', f"-d @- {_here(written(body))}"]
    return " \\\n  ".join(lines)


def _here(text: str) -> str:
    """A here-document, in which the shell fills in the ids and nothing else."""
    if not re.search(r'"\$[A-Z_]+_ID"', text):
        return f"<<'END'\n{text}\nEND"
    escaped = re.sub(r"[\\`$]", r"\\\g<0>", text)
    filled_in = re.sub(r'"\\\$([A-Z_]+_ID)"', r'"$\1"', escaped)
    return f"<<END\n{filled_in}\nEND"


def _in_order(value: Any, schema: Json) -> Any:
    """An example's keys as the schema has them: published examples are sorted by name."""
    if not isinstance(value, dict) or "properties" not in schema:
        return value
    return {name: value[name] for name in schema["properties"] if name in value} | value
