"""Every image of a `valohai.yaml`, with its line.

Where images stand, what an item of two kinds is, and that the last of a name wins, is as
the platform's own parser has it (github.com/valohai/valohai-yaml, `Config.parse`; it judges
this one in the tests): in a step, in an endpoint, and in the override of a pipeline's node.
The file is read without building anything from it, so that each image keeps its line, and
a hostile file costs little.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import yaml
from yaml.nodes import MappingNode, Node, ScalarNode, SequenceNode

from orgs.registries.images import ImageReference
from orgs.registries.problems import Problem, Refused

MAX_BYTES = 1_000_000
MAX_NODES = 50_000  # an alias counts for all that it stands for
MAX_DEPTH = 50
MAX_IMAGES = 500
MAX_WARNINGS = 100
MAX_MERGES = 100
_MAX_DIRECTIVES = 20
TOO_LARGE = Problem(
    "invalid_yaml", "The file is larger than 1 MB.", "Choose the valohai.yaml itself.", "file"
)

# Far faster than the one in Python; the same nodes and marks.
_Loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
_STR, _NULL, _MERGE = (f"tag:yaml.org,2002:{name}" for name in ("str", "null", "merge"))
# An item is of the first of these that it has; a blueprint is a pipeline's former name.
_KINDS = ("step", "task", "endpoint", "pipeline", "blueprint", "deployment")


@dataclass(frozen=True)
class Mention:
    """An image as it stands in the file; `line` counts from 1.

    `problem` is set where it is no image reference, and `reference` else.
    """

    line: int
    where: str
    text: str
    reference: ImageReference | None = None
    problem: Problem | None = None


@dataclass(frozen=True)
class Warned:
    line: int
    sentence: str


@dataclass
class Mentions:
    """What was found in a file, in its order."""

    images: list[Mention] = field(default_factory=list)
    warnings: list[Warned] = field(default_factory=list)


def read_images(content: str | bytes) -> Mentions:
    """The images of the file with their lines; raises `Refused`."""
    root = _compose(_text(content))
    if root is None:
        raise _refuse("The file is empty.", "Choose a valohai.yaml with at least one step.")
    if not isinstance(root, SequenceNode):
        raise _refuse(
            "A valohai.yaml is a list, and this isn't one.",
            "Begin each step, endpoint and pipeline with “- ”.",
            _line(root),
        )
    reading = _Reading()
    for item in root.value:
        reading.take(item)
    return reading.mentions


class _Reading:
    """Takes in the list's items one by one."""

    def __init__(self) -> None:
        self.warnings: list[Warned] = []
        # Those of each item; of one that a later item of its name replaces, none.
        self._images: list[list[Mention]] = []
        self._count = 0
        # Of each kind and name the last item's place and line.
        self._last: dict[tuple[str, str], tuple[int, int]] = {}

    @property
    def mentions(self) -> Mentions:
        return Mentions([image for images in self._images for image in images], self.warnings)

    def take(self, item: Node) -> None:
        kind, body = self._kind_of(item)
        images = list(_images_of(kind, body)) if body is not None else []
        self._count += len(images)
        if self._count > MAX_IMAGES:
            raise _refuse(
                f"There are more than {MAX_IMAGES} images in it.",
                "Check it in parts.",
                images[0].line,
            )
        if body is not None and (name := _value(body, "name")) is not None:
            self._replace(kind, name, body)
        self._images.append(images)

    def _kind_of(self, item: Node) -> tuple[str, Node | None]:
        has = [(kind, body) for kind in _KINDS if (body := _value(item, kind)) is not None]
        if not has:
            told = "This is no step, endpoint, pipeline, task or deployment, and is left out."
            self._warn(_line(item), told)
            return "", None
        (kind, body), *others = has
        kind = "pipeline" if kind == "blueprint" else kind
        if others:
            left_out = " and the ".join(other for other, _ in others)
            told = f"This item is read as the {kind}; the {left_out} in it is left out."
            self._warn(_line(others[0][1]), f"{told} Give each an item of its own.")
        return kind, body

    def _replace(self, kind: str, name: Node, body: Node) -> None:
        if not isinstance(name, ScalarNode) or name.tag != _STR:
            return
        if (before := self._last.get((kind, name.value))) is not None:
            place, line = before
            self._images[place] = []
            told = f"The {kind} “{_name(body)}” stands on line {line} already; only the last one"
            self._warn(_line(body), f"{told} counts.")
        self._last[kind, name.value] = (len(self._images), _line(body))

    def _warn(self, line: int, sentence: str) -> None:
        if len(self.warnings) < MAX_WARNINGS:
            self.warnings.append(Warned(line, sentence))


def _images_of(kind: str, body: Node) -> Iterator[Mention]:
    if kind in ("step", "endpoint"):
        yield _needed(body, f"{kind} {_name(body) or 'without a name'}")
    elif kind == "pipeline":
        yield from _overrides(body)


def _needed(holder: Node, where: str) -> Mention:
    """The image that a step and an endpoint must have."""
    image = _value(holder, "image")
    if not isinstance(holder, MappingNode):
        told = Problem(
            "invalid_image",
            "It holds no keys, and so no image.",
            "Indent its name, image and all else below it, by more blanks than its own.",
        )
        return Mention(_line(holder), where, "", problem=told)
    if image is None:
        told = Problem("invalid_image", "It has no image.", "Name one under “image:”.")
        return Mention(_line(holder), where, "", problem=told)
    return _mention(image, where)


def _overrides(pipeline: Node) -> Iterator[Mention]:
    nodes = _value(pipeline, "nodes")
    for node in nodes.value if isinstance(nodes, SequenceNode) else []:
        override = _value(node, "override")
        image = _value(override, "image") if override is not None else None
        if image is not None:
            yield _mention(image, f"pipeline {_name(pipeline)}, node {_name(node)}")


def _mention(node: Node, where: str) -> Mention:
    line = _line(node)
    text = node.value.strip() if isinstance(node, ScalarNode) else ""
    if isinstance(node, ScalarNode) and (node.tag == _NULL or not text):
        told = Problem("invalid_image", "The image is empty.", "Name one, or remove the line.")
        return Mention(line, where, "", problem=told)
    if node.tag != _STR:
        told = Problem("invalid_image", "The image isn't text.", "Put it in quotes.")
        return Mention(line, where, text[:200], problem=told)
    try:
        return Mention(line, where, text, ImageReference.parse(text))
    except Refused as refused:
        return Mention(line, where, text[:200], problem=refused.problem)


def _name(holder: Node) -> str:
    found = _value(holder, "name")
    return " ".join(found.value.split())[:100] if isinstance(found, ScalarNode) else ""


def _value(holder: Node, key: str) -> Node | None:
    """What a mapping has under a key: its own last one, else one merged in by `<<`."""
    seen: set[int] = set()
    waiting = [holder]
    while waiting:
        node = waiting.pop()
        if not isinstance(node, MappingNode) or id(node) in seen:
            continue
        seen.add(id(node))
        if len(seen) > MAX_MERGES:
            raise _refuse("Too much is merged by “<<”.", "Write it out.", _line(holder))
        merged: list[Node] = []
        for name, value in reversed(node.value):
            if name.tag == _STR and name.value == key:
                return value
            if name.tag == _MERGE:
                merged += value.value if isinstance(value, SequenceNode) else [value]
        waiting += reversed(merged)
    return None


def _line(node: Node) -> int:
    return int(node.start_mark.line) + 1


def _text(content: str | bytes) -> str:
    if len(content) > MAX_BYTES:
        raise Refused(TOO_LARGE)
    if isinstance(content, str):
        return content
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError:
        raise _refuse("The file isn't UTF-8 text.", "Save it as UTF-8.") from None


def _compose(text: str) -> Node | None:
    """The file's nodes. They are counted first, since composing goes as deep as they do."""
    if text.count("%TAG") > _MAX_DIRECTIVES:
        raise _refuse("There are too many %TAG lines in it.", "Choose the valohai.yaml itself.")
    try:
        _count(yaml.parse(text, Loader=_Loader))
        return yaml.compose(text, Loader=_Loader)
    except yaml.MarkedYAMLError as broken:
        mark = broken.problem_mark or broken.context_mark
        told = broken.problem or broken.context or "it can't be read"
        raise _refuse(
            f"This isn't YAML: {_clean(told)}.",
            "Mend that line; blanks, not tabs, indent.",
            mark.line + 1 if mark else None,
        ) from None
    except (yaml.YAMLError, UnicodeError):
        raise _refuse("There are characters in it that YAML doesn't allow.") from None


def _count(events: Iterator[Any]) -> None:
    """Raise `Refused` where there is more in the file than in any, what aliases repeat
    counted as often as they do."""
    nodes = 0
    # Of each collection that is open, its anchor and how many nodes there were before.
    opened: list[tuple[str | None, int]] = []
    sizes: dict[str | None, int] = {}
    for event in events:
        if isinstance(event, yaml.AliasEvent):
            # One that isn't known is told of by composing, with its line.
            nodes += sizes.get(event.anchor, 1)
            if any(event.anchor == anchor for anchor, _ in opened):
                raise _refuse("Something in it holds itself.", "Write it out.", _at(event))
        elif isinstance(event, yaml.CollectionStartEvent):
            opened.append((event.anchor, nodes))
            nodes += 1
        elif isinstance(event, yaml.CollectionEndEvent):
            anchor, before = opened.pop()
            if anchor is not None:
                sizes[anchor] = nodes - before
        elif isinstance(event, yaml.ScalarEvent):
            nodes += 1
        if len(opened) > MAX_DEPTH or nodes > MAX_NODES:
            raise _refuse(
                "There is too much in it, or it is nested too deep.",
                "Choose the valohai.yaml itself.",
                _at(event),
            )


def _at(event: Any) -> int | None:
    return event.start_mark.line + 1 if event.start_mark else None


def _clean(told: str) -> str:
    return "".join(c if c.isprintable() else "?" for c in told)[:200]


def _refuse(what: str, fix: str = "", line: int | None = None) -> Refused:
    at = f"Line {line}: " if line else ""
    return Refused(Problem("invalid_yaml", f"{at}{what}", fix, "file"))
