"""What a benchmark found, as rows: printed, as JSON, and as a picture."""

from __future__ import annotations

import argparse
import dataclasses
import json
from collections.abc import Callable, Iterable, Sequence
from html import escape


@dataclasses.dataclass(frozen=True)
class Row:
    """`ratio` is the value's to what it's measured `against` in the same run, None where it is
    that itself; `aim` is what the ratio has to be, as ("≥", 0.9) or ("≤", 1.2)."""

    what: str
    value: float
    unit: str
    ratio: float | None = None
    against: str = ""
    aim: tuple[str, float] | None = None

    @property
    def met(self) -> bool | None:
        if self.aim is None or self.ratio is None:
            return None
        sign, bound = self.aim
        return self.ratio >= bound if sign == "≥" else self.ratio <= bound


def part(doc: str | None, rows: Callable[[int], Iterable[Row]], rounds: int = 5) -> None:
    """A part's own command: prints its rows, with --json as one line of JSON."""
    parser = argparse.ArgumentParser(description=doc)
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--rounds", type=int, default=rounds)
    told = parser.parse_args()
    found = list(rows(told.rounds))
    print(json.dumps([dataclasses.asdict(row) for row in found]) if told.json else text(found))


def read(line: str) -> list[Row]:
    """What a part printed with --json."""
    found = json.loads(line)
    return [Row(**{**row, "aim": tuple(row["aim"]) if row["aim"] else None}) for row in found]


def text(rows: Sequence[Row]) -> str:
    width = max((len(row.what) for row in rows), default=0)
    lines = []
    for row in rows:
        line = f"{row.what:<{width}}  {row.value:>12,.2f} {row.unit:<9}"
        if row.ratio is not None:
            line += f"{row.ratio:>9.2f} × {row.against}"
        if row.aim:
            line += f"   aim {row.aim[0]} {row.aim[1]:g}{'' if row.met else '  MISSED'}"
        lines.append(line.rstrip())
    return "\n".join(lines)


# --- the picture -------------------------------------------------------------------

_HEIGHT, _LEFT, _BAR, _WIDTH = 26, 420, 360, 1120
_STYLE = """
text { font: 13px system-ui, sans-serif; fill: #1f2328; }
.of, .aim { fill: #59636e; } .bar { fill: #2f6f4f; } .missed { fill: #b35900; }
.mark { stroke: #1f2328; stroke-width: 2; }
@media (prefers-color-scheme: dark) {
  text { fill: #e6edf3; } .of, .aim { fill: #9198a1; } .bar { fill: #4fa878; }
  .missed { fill: #e08a3c; } .mark { stroke: #e6edf3; } }
"""


def svg(parts: Sequence[tuple[str, Sequence[Row]]]) -> str:
    """Each ratio that has an aim as a bar, the aim as a mark at three fifths of its width; a
    bar is cut where it would be longer than the picture is."""
    lines, y = [], 10
    for title, rows in parts:
        aimed = [row for row in rows if row.aim and row.ratio is not None]
        if not aimed:
            continue
        y += _HEIGHT
        lines.append(f'<text x="10" y="{y}" font-weight="bold">{escape(title)}</text>')
        for row in aimed:
            y += _HEIGHT
            lines += _bar(row, y)
        y += 8
    head = (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {y + 14}" '
        'role="img" aria-label="Measured ratios and their aims">'
    )
    return "\n".join([head, f"<style>{_STYLE}</style>", *lines, "</svg>", ""])


def _bar(row: Row, y: int) -> list[str]:
    if row.aim is None or row.ratio is None:
        return []
    sign, bound = row.aim
    long = min(1.0, 0.6 * row.ratio / bound) * _BAR
    mark = _LEFT + 0.6 * _BAR
    kind = "bar" if row.met else "missed"
    return [
        f'<text x="{_LEFT - 10}" y="{y}" text-anchor="end">{escape(row.what)}</text>',
        f'<rect class="{kind}" x="{_LEFT}" y="{y - 12}" width="{long:.0f}" height="15" rx="2"/>',
        f'<line class="mark" x1="{mark:.0f}" x2="{mark:.0f}" y1="{y - 15}" y2="{y + 6}"/>',
        f'<text class="of" x="{_LEFT + _BAR + 10}" y="{y}">{row.ratio:.2f} × '
        f"{escape(row.against)}, aim {sign} {bound:g}</text>",
    ]
