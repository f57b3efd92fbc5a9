"""Draws who imports whom in `orgs/services/`, as SVG on standard output.

    python docs/draw_packages.py [TREE] > docs/pictures/services.svg

TREE is a checkout; this one by default. Rooms stand in the order that import-linter holds,
an arrow for each room that another imports, as thick as it is often. A tree without rooms
is drawn as what it is: modules around a circle. What imports upwards is red.
"""

from __future__ import annotations

import math
import sys
import tomllib
from collections import Counter
from pathlib import Path
from xml.sax.saxutils import escape

import grimp

HALL = "orgs.services"
TEXT, LINE, BOX, UP = "#1f2933", "#7b8794", "#e4edf6", "#c62828"


class Drawing:
    """Lines of an SVG of a width and height in pixels."""

    def __init__(self, width: int, height: int, title: str) -> None:
        self.lines = [
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" '
            f'width="{width}" height="{height}" font-family="sans-serif" role="img">',
            f"<title>{escape(title)}</title>",
            f'<rect width="{width}" height="{height}" rx="8" fill="#fff"/>',
        ]

    def text(self, x: float, y: float, words: str, size: int = 13, **more: str) -> None:
        extra = "".join(f' {name.replace("_", "-")}="{value}"' for name, value in more.items())
        self.lines.append(
            f'<text x="{x:.1f}" y="{y:.1f}" font-size="{size}" fill="{TEXT}"{extra}>'
            f"{escape(words)}</text>"
        )

    def box(self, x: float, y: float, width: float, height: float) -> None:
        self.lines.append(
            f'<rect x="{x}" y="{y}" width="{width}" height="{height}" rx="6" fill="{BOX}"/>'
        )

    def path(self, shape: str, width: float, colour: str) -> None:
        self.lines.append(
            f'<path d="{shape}" fill="none" stroke="{colour}" stroke-width="{width:.1f}" '
            'stroke-opacity="0.7"/>'
        )

    def done(self) -> str:
        return "\n".join([*self.lines, "</svg>"])


def main(tree: Path) -> str:
    sys.path.insert(0, str(tree))
    graph = grimp.build_graph("orgs", cache_dir=None)
    order = _order(tree)
    inside = {name: graph.find_descendants(name) | {name} for name in graph.find_children(HALL)}
    of = {module: name for name, modules in inside.items() for module in modules}
    imports: Counter[tuple[str, str]] = Counter()
    for module, name in of.items():
        for other in graph.find_modules_directly_imported_by(module):
            if (to := of.get(other)) and to != name:
                imports[name, to] += 1
    lines = {name: sum(_lines(tree, module) for module in inside[name]) for name in inside}
    return _rooms(order, inside, imports, lines) if order else _hall(inside, imports, lines)


def _order(tree: Path) -> list[str]:
    """The rooms from top to bottom, as import-linter's contract has them; none before."""
    settings = tomllib.loads((tree / "pyproject.toml").read_text())
    for contract in settings["tool"]["importlinter"]["contracts"]:
        if contract.get("containers") == [HALL]:
            return [f"{HALL}.{layer}" for layer in contract["layers"]]
    return []


def _lines(tree: Path, module: str) -> int:
    path = tree / module.replace(".", "/")
    file = path / "__init__.py" if path.is_dir() else path.with_suffix(".py")
    return len(file.read_text().splitlines())


def _rooms(order: list[str], inside: dict, imports: Counter, lines: dict) -> str:
    left, step, wide, high = 20, 84, 250, 52
    picture = Drawing(480, 60 + step * len(order), "The rooms of orgs/services")
    picture.text(20, 30, f"{len(order)} rooms, imports go down", 15, font_weight="bold")
    top = {name: 50 + step * place for place, name in enumerate(order)}
    for name in order:
        modules = [m for m in inside[name] if m != name]
        picture.box(left, top[name], wide, high)
        picture.text(left + 14, top[name] + 22, name.rpartition(".")[2], 15, font_weight="bold")
        picture.text(
            left + 14, top[name] + 41, f"{len(modules)} modules, {lines[name]:,} lines", 12
        )
    for (one, other), count in sorted(imports.items()):
        down = top[other] - top[one]
        side, x = (1, left + wide) if down > 0 else (-1, left)
        y, end = top[one] + high / 2 + 8, top[other] + high / 2 - 8
        bow = x + side * (24 + abs(down) * 0.4)
        picture.path(
            f"M{x},{y} C{bow:.0f},{y} {bow:.0f},{end} {x},{end} "
            f"m{side * 7},-4 l{-side * 7},4 l{side * 7},4",
            0.8 + math.log2(count),
            LINE if down > 0 else UP,
        )
    return picture.done()


def _hall(inside: dict, imports: Counter, lines: dict) -> str:
    size, radius = 760, 250
    picture = Drawing(size, size, "The modules of orgs/services before")
    title = f"one hall, {len(inside)} doors, {sum(lines.values()):,} lines"
    picture.text(20, 30, title, 15, font_weight="bold")
    at = {}
    for place, name in enumerate(sorted(inside)):
        angle = 2 * math.pi * place / len(inside)
        x, y = size / 2 + radius * math.cos(angle), size / 2 + radius * math.sin(angle)
        at[name] = (x, y)
        degrees, anchor = math.degrees(angle), "start"
        if 90 < degrees < 270:
            degrees, anchor = degrees - 180, "end"
        shift = 8 if anchor == "start" else -8
        turn = f"rotate({degrees:.1f} {x:.1f} {y:.1f})"
        picture.text(
            x + shift, y + 4, name.rpartition(".")[2], 12, text_anchor=anchor, transform=turn
        )
    for (one, other), count in sorted(imports.items()):
        (x, y), (to_x, to_y) = at[one], at[other]
        middle = size / 2
        picture.path(
            f"M{x:.1f},{y:.1f} Q{middle},{middle} {to_x:.1f},{to_y:.1f}", 0.6 + count * 0.2, LINE
        )
    return picture.done()


if __name__ == "__main__":
    sys.stdout.write(main(Path(sys.argv[1] if len(sys.argv) > 1 else ".").resolve()) + "\n")
