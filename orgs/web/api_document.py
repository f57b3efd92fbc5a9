"""The API's OpenAPI document, read for people: what `templates/api/reference.html` shows.

Nothing of the API is written down here or in the template: a call, field or code that the
document has is on the page, in the document's words and in those of the table of codes.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from http import HTTPStatus
from typing import Any

from django.conf import settings
from django.http import HttpRequest
from django.urls import resolve, reverse
from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString
from django.utils.text import slugify

from orgs.registries import codes
from orgs.registries.asking import Who
from orgs.registries.catalogue import TYPES

from .api_examples import Json, Schemas, curl, is_id, name_of, names_in, variable_of, written

_METHODS = ("get", "post", "put", "patch", "delete")
_CODES = "x-extensible-enum"
_MARKED = re.compile(r"(`[^`]+`|\*[^*\s][^*]*\*)")


@dataclass(frozen=True)
class Row:
    """A field or parameter."""

    name: str
    kind: SafeString
    required: bool
    words: SafeString


@dataclass(frozen=True)
class Shape:
    """What an answer may hold: `anchor` is that of its object's fields."""

    name: str
    anchor: str
    words: SafeString
    example: str


@dataclass(frozen=True)
class Answer:
    """`codes` are those that it may have as its `code`; `by_field` where others come by
    field."""

    status: int
    phrase: str
    codes: tuple[str, ...]
    by_field: bool
    shapes: tuple[Shape, ...]


@dataclass(frozen=True)
class Call:
    anchor: str
    method: str
    path: str
    title: str
    words: SafeString
    token: SafeString
    curl: str
    parameters: tuple[Row, ...]
    body: tuple[Row, ...]
    body_words: SafeString
    answers: tuple[Answer, ...]


@dataclass(frozen=True)
class Group:
    name: str
    anchor: str
    words: SafeString
    calls: tuple[Call, ...]


@dataclass(frozen=True)
class Told:
    """A row of the table of codes."""

    code: str
    status: int | None
    says: SafeString
    fix: SafeString


@dataclass(frozen=True)
class Object:
    name: str
    anchor: str
    words: SafeString
    rows: tuple[Row, ...]


@dataclass(frozen=True)
class Reference:
    """The page. `everywhere` is what every call may answer, and stands in none of them."""

    words: SafeString
    ids: tuple[tuple[str, SafeString], ...]
    groups: tuple[Group, ...]
    everywhere: tuple[Answer, ...]
    answered: tuple[Told, ...]
    by_field: tuple[Told, ...]
    elsewhere: tuple[Told, ...]
    types: tuple[tuple[str, str, str, tuple[tuple[str, str], ...]], ...]
    objects: tuple[Object, ...]


def reference() -> Reference:
    """As the server's own document has it: read once, again when developing."""
    return _read(settings.BASE_URL) if settings.DEBUG else _read_once(settings.BASE_URL)


def _read(base_url: str) -> Reference:
    asked = HttpRequest()
    asked.method = "GET"
    published = resolve(reverse("api:openapi-json"))
    answer = published.func(asked, *published.args, **published.kwargs)
    return read(json.loads(answer.content), base_url)


_read_once = cache(_read)


def read(document: Json, base_url: str) -> Reference:
    return _Reader(document, base_url).reference()


class _Reader:
    def __init__(self, document: Json, base_url: str) -> None:
        self.document, self.base_url = document, base_url
        self.schemas = Schemas(document)
        self.operations = [
            (path, method, operation)
            for path, several in document["paths"].items()
            for method, operation in several.items()
            if method in _METHODS
        ]
        told = [set(_codes_of(operation)) for _, _, operation in self.operations]
        self.shared = set.intersection(*told) if told else set()
        self.ids: dict[str, SafeString] = {}

    def reference(self) -> Reference:
        groups = tuple(self._groups())
        named = list(dict.fromkeys(c for _, _, op in self.operations for c in _codes_of(op)))
        listed = [self._listed("Error", "LoginRefused"), self._listed("FieldError")]
        by_field = [code for code in listed[1] if codes.of(code).fix_at_field]
        rest = dict.fromkeys(c for several in listed for c in several)
        return Reference(
            words=prose(self.document["info"].get("description", "")),
            ids=tuple(self.ids.items()),
            groups=groups,
            everywhere=tuple(self._shared_answers()),
            answered=tuple(_told(code, _answers_fix(code)) for code in named),
            by_field=tuple(_told(code, codes.of(code).fix_at_field) for code in by_field),
            elsewhere=tuple(_told(c, "") for c in rest if c not in {*named, *by_field}),
            types=tuple(_types()),
            objects=tuple(self._objects()),
        )

    # --- calls ----------------------------------------------------------------------

    def _groups(self) -> Iterator[Group]:
        """In the order of the document's tags; what has another tag comes last."""
        words = {tag["name"]: tag.get("description", "") for tag in self.document.get("tags", ())}
        for name in dict.fromkeys([*words, *(_tag(op) for _, _, op in self.operations)]):
            calls = tuple(self._call(*one) for one in self.operations if _tag(one[2]) == name)
            if calls:
                yield Group(name, slugify(name), prose(words.get(name, "")), calls)

    def _call(self, path: str, method: str, operation: Json) -> Call:
        parameters = operation.get("parameters", ())
        body = _schema_of(operation.get("requestBody", {}))
        whole = self.schemas.whole(body)
        self._note_ids([(one["name"], one["schema"]) for one in parameters])
        self._note_ids(whole.get("properties", {}).items())
        query = {
            one["name"]: self.schemas.example(one["schema"])
            for one in parameters
            if one["in"] == "query" and one["required"]
        }
        sent = self.schemas.example(body, variables=True) if body else None
        return Call(
            anchor=operation["operationId"],
            method=method.upper(),
            path=path,
            title=str(operation.get("summary", operation["operationId"])),
            words=prose(operation.get("description", "")),
            token=self._token(operation),
            curl=curl(f"{self.base_url}{path}", method.upper(), query, sent),
            parameters=tuple(
                self._row(one["name"], one["schema"], required=one["required"])
                for one in parameters
            ),
            body=self._rows(whole),
            body_words=prose(whole.get("description", "")),
            answers=tuple(self._answers(operation)),
        )

    def _note_ids(self, named: Any) -> None:
        for name, schema in named:
            if is_id(schema):
                self.ids.setdefault(variable_of(name), prose(schema.get("description", "")))

    def _token(self, operation: Json) -> SafeString:
        schemes = self.document["components"].get("securitySchemes", {})
        asked = [name for one in operation.get("security", ()) for name in one]
        return prose(" or ".join(schemes[name].get("description", name) for name in asked))

    # --- answers --------------------------------------------------------------------

    def _answers(self, operation: Json) -> Iterator[Answer]:
        for status, told in sorted(operation["responses"].items()):
            of_call = [code for code in _codes_in(told) if code not in self.shared]
            if answer := self._answer(int(status), told, of_call):
                yield answer

    def _shared_answers(self) -> Iterator[Answer]:
        """Each in the shortest form that a call has it in."""
        by_status: dict[int, Answer] = {}
        for _, _, operation in self.operations:
            for status, told in operation["responses"].items():
                of_all = [code for code in _codes_in(told) if code in self.shared]
                answer = self._answer(int(status), told, of_all) if of_all else None
                if answer and _length(answer) < _length(by_status.get(int(status))):
                    by_status[int(status)] = answer
        yield from (by_status[status] for status in sorted(by_status))

    def _answer(self, status: int, told: Json, of_it: Sequence[str]) -> Answer | None:
        """None where the status has no code but those that every call has."""
        schema = _schema_of(told)
        several = schema.get("anyOf", [schema] if schema else [])
        shapes = [shape for one in several if (shape := self._shape(one, of_it))]
        if status >= HTTPStatus.BAD_REQUEST and not shapes:
            return None
        by_field = any(self._is_by_field(one) for one in several)
        return Answer(status, HTTPStatus(status).phrase, tuple(of_it), by_field, tuple(shapes))

    def _shape(self, schema: Json, of_it: Sequence[str]) -> Shape | None:
        """None for that of an error that has no code to tell."""
        whole = self.schemas.whole(schema)
        example, name = self.schemas.example(schema), name_of(schema)
        if _CODES in whole.get("properties", {}).get("code", {}):
            if not of_it:
                return None
            row = codes.of(of_it[0])
            detail = f"{row.says} {_plain(_answers_fix(of_it[0]))}"
            example = {"detail": detail, "code": of_it[0]} | {
                name: value for name, value in example.items() if name not in {"detail", "code"}
            }
            return Shape(name, _anchor(name), prose(""), json.dumps(example, ensure_ascii=False))
        words = prose(whole.get("description", ""))
        return Shape(name, _anchor(name), words, written(example))

    def _is_by_field(self, schema: Json) -> bool:
        return "FieldError" in names_in(self.schemas.whole(schema))

    # --- fields ---------------------------------------------------------------------

    def _rows(self, schema: Json) -> tuple[Row, ...]:
        needed = schema.get("required", ())
        return tuple(
            self._row(name, one, required=name in needed)
            for name, one in schema.get("properties", {}).items()
        )

    def _row(self, name: str, schema: Json, *, required: bool) -> Row:
        words = schema.get("description") or next(
            (one["description"] for one in schema.get("anyOf", ()) if "description" in one), ""
        )
        if _CODES in schema:
            told = format_html('One of <a href="#{}">the codes</a>.', "codes")
        else:
            told = prose(words)
        return Row(name, self._kind(schema), required, told)

    def _kind(self, schema: Json, s: str = "") -> SafeString:
        """“string or null”, “list of strings”, “integer, 1 to 200”: what a value is; with
        `s`, what several are."""
        if name := name_of(schema):
            return format_html('<a href="#{}">{}</a>', _anchor(name), name)
        if "anyOf" in schema:
            return _joined(" or ", [self._kind(one, s) for one in schema["anyOf"]])
        if "const" in schema:
            return format_html("always <code>{}</code>", schema["const"])
        if "enum" in schema:
            listed = [format_html("<code>{}</code>", one) for one in schema["enum"]]
            return format_html("one of {}{}", _joined(", ", listed), _default(schema))
        if schema.get("type") == "array":
            return format_html("list{} of {}", s, self._kind(_but_null(schema["items"]), "s"))
        inner = schema.get("additionalProperties")
        if isinstance(inner, dict):
            return format_html("object{} of {}", s, self._kind(_but_null(inner), "s"))
        kind = {"uuid": "UUID", "date-time": "time"}.get(schema.get("format", ""))
        kind = kind or schema.get("type", "any value")
        return format_html("{}{}{}{}", kind, s, _bounds(schema), _default(schema))

    def _objects(self) -> Iterator[Object]:
        """Every schema but the bodies, whose fields stand with their calls."""
        bodies = {name_of(_schema_of(op.get("requestBody", {}))) for _, _, op in self.operations}
        for name, schema in self.schemas.named.items():
            if name not in bodies:
                rows = self._rows(schema) or (
                    Row("…", self._kind(schema), required=False, words=prose("By any name.")),
                )
                yield Object(name, _anchor(name), prose(schema.get("description", "")), rows)

    def _listed(self, *names: str) -> list[str]:
        """The codes that these schemas list."""
        found = [self.schemas.named.get(name, {}).get("properties", {}) for name in names]
        return [code for one in found for code in one.get("code", {}).get(_CODES, ())]


def _length(answer: Answer | None) -> float:
    return sum(len(shape.example) for shape in answer.shapes) if answer else float("inf")


def prose(text: str) -> SafeString:
    """A sentence of ours with its `code` and its *words of pages* marked."""
    marked = _MARKED.split(text)
    return format_html_join(
        "",
        "{}",
        (
            (format_html("<code>{}</code>", part[1:-1]),)
            if _is_marked(part) and part.startswith("`")
            else (format_html("<em>{}</em>", part[1:-1]),)
            if _is_marked(part)
            else (part,)
            for part in marked
        ),
    )


def _is_marked(part: str) -> bool:
    return bool(_MARKED.fullmatch(part))


def _plain(text: str) -> str:
    return "".join(part[1:-1] if _is_marked(part) else part for part in _MARKED.split(text))


def _told(code: str, fix: str) -> Told:
    row = codes.of(code)
    return Told(code, row.status, prose(row.says), prose(fix))


def _answers_fix(code: str) -> str:
    return codes.of(code).fix or "Do as its `detail` says."


def _types() -> Iterator[tuple[str, str, str, tuple[tuple[str, str], ...]]]:
    """(slug, label, a pattern as an example, its fields with what is to be known of each)."""
    for kind in TYPES:
        fields = [(one.name, _field_words(one)) for one in kind.fields]
        # What the server makes for an entry has the same names, whoever's it is.
        made = "made by the server for the entry; answered, never taken"
        fields += [(name, made) for name in kind.assigned(Who(""))]
        yield kind.slug, kind.label, kind.example_pattern, tuple(fields)


def _field_words(field: Any) -> str:
    words = [field.label]
    if field.secret:
        words.append("never answered")
    if not field.required:
        words.append("may be left out")
    if field.example:
        words.append(f"such as {field.example}")
    return ", ".join(words)


def _tag(operation: Mapping[str, Any]) -> str:
    return str(next(iter(operation.get("tags", ())), "More"))


def _schema_of(content: Json) -> Json:
    found: Json = content.get("content", {}).get("application/json", {}).get("schema", {})
    return found


def _codes_in(told: Json) -> list[str]:
    """The codes that an answer's description lists; what else it says is no code."""
    return [one for one in told.get("description", "").split(", ") if codes.known(one)]


def _codes_of(operation: Json) -> Iterator[str]:
    for _, told in sorted(operation["responses"].items()):
        yield from _codes_in(told)


def _anchor(name: str) -> str:
    return f"object-{name}" if name else ""


def _joined(between: str, parts: Sequence[SafeString]) -> SafeString:
    return format_html_join(between, "{}", ((part,) for part in parts))


def _but_null(schema: Json) -> Json:
    """What else it may be."""
    several = schema.get("anyOf", [schema])
    found: Json = next((one for one in several if one.get("type") != "null"), schema)
    return found


def _bounds(schema: Json) -> str:
    least, most = schema.get("minimum"), schema.get("maximum")
    if least is not None and most is not None:
        return f", {least} to {most}"
    return f", at least {least}" if least is not None else ""


def _default(schema: Json) -> str:
    return f", {schema['default']} unless given" if "default" in schema else ""
