"""The guide: the Markdown files of docs/guide as pages, for everyone.

A file's name is its page's name, and a registry type's guide is named by the type's
slug. The files stay readable where they lie: links among them and to pictures are
relative, and become addresses of the app here. Only files that are in the folder are
pages, so no name that someone asks for is ever made into a path.
"""

from __future__ import annotations

import re
import struct
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from django.conf import settings
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import render
from django.templatetags.static import static
from django.urls import reverse
from django.utils.html import format_html
from django.utils.safestring import SafeString, mark_safe
from django.utils.text import slugify
from django.views.decorators.http import require_safe
from markdown_it import MarkdownIt
from markdown_it.token import Token

from orgs.registries.catalogue import TYPES

FOLDER = settings.BASE_DIR / "docs" / "guide"
PICTURES = "pictures"
# Of registries, but of no single type.
OF_REGISTRIES = ("own-registries", "passwords")
# Where people begin, after those; files not named here come last.
ORDER = ("people", "valohai-yaml", "workers", "import", "scripts", "staff", "operations")

_PAGE_LINK = re.compile(r"([a-z0-9-]+)\.md(#[a-z0-9-]+)?")
_PICTURE = re.compile(r"pictures/([a-z0-9-]+)\.png")
_SCROLLING = {"fence": "Code", "code_block": "Code", "table_open": "Table"}
_PNG = b"\x89PNG\r\n\x1a\n"


@dataclass(frozen=True)
class Guide:
    """One page: `body` is HTML without the title, `contents` its (anchor, heading)s.

    `summary` is its first sentence, as text.
    """

    name: str
    title: str
    summary: str
    body: SafeString
    contents: tuple[tuple[str, str], ...]


@require_safe
def index(request: HttpRequest) -> HttpResponse:
    kinds = {*(registry_type.slug for registry_type in TYPES), *OF_REGISTRIES}
    found = guides().values()
    groups = (
        ("Registries", [guide for guide in found if guide.name in kinds]),
        ("Using and running it", [guide for guide in found if guide.name not in kinds]),
    )
    return render(request, "guide/index.html", {"guides": found, "groups": groups})


@require_safe
def page(request: HttpRequest, page: str) -> HttpResponse:
    found = guides()
    if page not in found:
        raise Http404(page)
    return render(request, "guide/page.html", {"guides": found.values(), "guide": found[page]})


def guides() -> dict[str, Guide]:
    """All pages by name, in the order that people see: read once, again when developing."""
    return _read(FOLDER) if settings.DEBUG else _read_once()


@cache
def _read_once() -> dict[str, Guide]:
    return _read(FOLDER)


def _read(folder: Path) -> dict[str, Guide]:
    order = (*(registry_type.slug for registry_type in TYPES), *OF_REGISTRIES, *ORDER)
    files = {path.stem: path for path in sorted(folder.glob("*.md"))}
    known = [name for name in order if name in files]
    names = [*known, *(name for name in files if name not in known)]
    return {name: guide_of(name, files[name].read_text("utf-8"), folder) for name in names}


def guide_of(name: str, text: str, folder: Path) -> Guide:
    """The page of a Markdown text; its pictures are those in `folder`/pictures.

    Raises `ValueError` where the text doesn't begin with a heading.
    """
    markdown = _markdown()
    tokens = markdown.parse(text)
    if [token.tag for token in tokens[:1]] != ["h1"]:
        raise ValueError(f"{name}.md doesn't begin with its title.")
    title, tokens = _text(tokens[1]), tokens[3:]
    first = next((_text(token) for token in tokens if token.type == "inline"), "")
    summary = re.split(r"(?<=\.) ", first, maxsplit=1)[0]
    contents = _name_parts(tokens, title)
    tokens = _lead_on(tokens, folder / PICTURES)
    body = markdown.renderer.render(tokens, markdown.options, {})
    # Our own files, rendered with raw HTML off.
    return Guide(name, title, summary, mark_safe(body), contents)  # noqa: S308


@cache
def _markdown() -> MarkdownIt:
    markdown = MarkdownIt("commonmark", {"html": False}).enable("table")
    for name, rule in (
        ("fence", _code),
        ("code_block", _code),
        ("table_open", _table_open),
        ("table_close", _table_close),
        ("image", _picture),
    ):
        markdown.add_render_rule(name, rule)
    return markdown


# --- what the tokens become -----------------------------------------------------


def _text(inline: Token) -> str:
    """An inline token as plain text."""
    children = inline.children or []
    return "".join(" " if c.type == "softbreak" else c.content for c in children)


def _name_parts(tokens: Sequence[Token], title: str) -> tuple[tuple[str, str], ...]:
    """Give headings their anchors, and what scrolls a name of its own; the contents."""
    contents = []
    part = title
    named: Counter[str] = Counter()
    for position, token in enumerate(tokens):
        if token.type == "heading_open":
            part = _text(tokens[position + 1])
            token.attrSet("id", slugify(part))
            if token.tag == "h2":
                contents.append((slugify(part), part))
        elif token.type in _SCROLLING:
            label = f"{_SCROLLING[token.type]}: {part}"
            named[label] += 1
            token.meta["label"] = f"{label}, {named[label]}" if named[label] > 1 else label
    return tuple(contents)


def _lead_on(tokens: Sequence[Token], pictures: Path) -> list[Token]:
    """Turn relative links into the app's; drop pictures that aren't there, and what
    holds nothing else."""
    kept: list[Token] = []
    for token in tokens:
        if token.type == "paragraph_close" and kept[-1].type == "paragraph_open":
            kept.pop()
            continue
        if token.children is not None:
            token.children = [c for c in token.children if _lead(c, pictures)]
            if not _text(token).strip() and not any(c.type == "image" for c in token.children):
                continue
        kept.append(token)
    return kept


def _lead(child: Token, pictures: Path) -> bool:
    """Whether to keep it; a kept one leads to the right address."""
    if child.type == "link_open":
        found = _PAGE_LINK.fullmatch(str(child.attrGet("href")))
        if found:
            child.attrSet("href", reverse("guide", args=[found[1]]) + (found[2] or ""))
    elif child.type == "image":
        found = _PICTURE.fullmatch(str(child.attrGet("src")))
        size = _size(pictures / f"{found[1]}.png") if found else None
        light = _address(f"{found[1]}.png") if found and size else None
        if found is None or size is None or light is None:
            return False
        dark_name = f"{found[1]}-dark.png"
        dark = _address(dark_name) if _size(pictures / dark_name) else None
        child.meta.update(light=light, dark=dark, size=size)
    return True


def _size(picture: Path) -> tuple[int, int] | None:
    """Width and height in pixels, from the PNG's first bytes; None where it isn't one."""
    try:
        with picture.open("rb") as file:
            head = file.read(24)
    except FileNotFoundError:
        return None
    if len(head) < 24 or not head.startswith(_PNG) or head[12:16] != b"IHDR":
        return None
    width, height = struct.unpack(">II", head[16:24])
    return width, height


def _address(name: str) -> str | None:
    """The picture's address; None where it came after the static files were collected."""
    try:
        return static(f"guide/{name}")
    except ValueError:
        return None


def _picture(_: Any, tokens: Sequence[Token], position: int, options: Any, env: Any) -> str:
    token = tokens[position]
    width, height = token.meta["size"]
    dark = token.meta["dark"]
    source = (
        format_html('<source srcset="{}" media="screen and (prefers-color-scheme: dark)">', dark)
        if dark
        else ""
    )
    return format_html(
        '<picture>{}<img src="{}" alt="{}" width="{}" height="{}" loading="lazy"></picture>',
        source,
        token.meta["light"],
        token.content,
        width,
        height,
    )


def _code(_: Any, tokens: Sequence[Token], position: int, options: Any, env: Any) -> str:
    """Scrolls inside itself, so it can be focused; the script adds the copy button."""
    token = tokens[position]
    return format_html(
        '<div class="snippet"><pre data-copy tabindex="0" role="region" aria-label="{}">'
        "<code>{}</code></pre></div>\n",
        token.meta["label"],
        token.content,
    )


def _table_open(_: Any, tokens: Sequence[Token], position: int, options: Any, env: Any) -> str:
    return format_html(
        '<div class="scrolls" tabindex="0" role="region" aria-label="{}"><table>\n',
        tokens[position].meta["label"],
    )


def _table_close(_: Any, tokens: Sequence[Token], position: int, options: Any, env: Any) -> str:
    return "</table></div>\n"
