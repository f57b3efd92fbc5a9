"""What every picture looks like, coarsely, in a file that is committed: so that a review shows
which pages changed, and `python -m pictures --changed` says so by itself.

A picture is laid out in cells of 128 pixels by 80; of each the mean brightness
is kept as one of 64 letters, and of the whole its size and mean colour.
Other times, ids or fonts move that a little, another button or a line more move it a lot.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from playwright.sync_api import Browser

FILE = Path(__file__).with_name("index.json")
CELL = (128, 80)  # pixels
# Of 64 steps of brightness in a cell, of 64 of colour in the whole, and of the height in
# percent: so much is noise.
NOISE, NOISE_OF_COLOUR, NOISE_OF_HEIGHT = 7, 2, 2
_LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"

_LOOK = """async ([png, wide, high]) => {
  const bytes = Uint8Array.from(atob(png), (letter) => letter.charCodeAt(0));
  const image = await createImageBitmap(new Blob([bytes], {type: "image/png"}));
  const {width, height} = image;
  const context = new OffscreenCanvas(width, height).getContext("2d");
  context.drawImage(image, 0, 0);
  const data = context.getImageData(0, 0, width, height).data;
  const columns = Math.ceil(width / wide), rows = Math.ceil(height / high);
  const sums = new Float64Array(columns * rows), counts = new Uint32Array(columns * rows);
  const whole = [0, 0, 0];
  for (let y = 0, at = 0; y < height; y++) {
    const row = Math.floor(y / high) * columns;
    for (let x = 0; x < width; x++, at += 4) {
      const cell = row + Math.floor(x / wide);
      sums[cell] += 0.299 * data[at] + 0.587 * data[at + 1] + 0.114 * data[at + 2];
      counts[cell]++;
      for (let part = 0; part < 3; part++) whole[part] += data[at + part];
    }
  }
  return {
    width, height,
    cells: Array.from(sums, (sum, cell) => Math.min(63, Math.floor(sum / counts[cell] / 4))),
    colour: whole.map((sum) => Math.min(63, Math.floor(sum / (width * height) / 4))),
  };
}"""


def looks(opened: Browser, pictures: Mapping[str, Path]) -> dict[str, str]:
    """By the picture's name: “1280x900 colour cells”, the latter in letters."""
    page = opened.new_page()
    found = {}
    for name, path in pictures.items():
        png = base64.b64encode(path.read_bytes()).decode()
        seen: dict[str, Any] = page.evaluate(_LOOK, [png, *CELL])
        colour, cells = (_written(seen[part]) for part in ("colour", "cells"))
        found[name] = f"{seen['width']}x{seen['height']} {colour} {cells}"
    page.close()
    return found


def _written(steps: list[int]) -> str:
    return "".join(_LETTERS[step] for step in steps)


def read() -> dict[str, str]:
    found: dict[str, str] = json.loads(FILE.read_text("utf-8"))
    return found


def write(found: Mapping[str, str]) -> None:
    """A line a picture, so that a diff names the pages that changed."""
    lines = [f"  {json.dumps(name)}: {json.dumps(look)}" for name, look in sorted(found.items())]
    FILE.write_text("{\n" + ",\n".join(lines) + "\n}\n", "utf-8")


def renewed(before: Mapping[str, str], taken: Mapping[str, str]) -> dict[str, str]:
    """The index with what was taken; what is alike keeps its line."""
    same = {n for n in taken if n in before and not difference(before[n], taken[n])}
    return dict(before) | {name: look for name, look in taken.items() if name not in same}


def difference(before: str, now: str) -> str:
    """How one look differs from another, in words; "" where it doesn't beyond noise."""
    (size, colour, cells), (new_size, new_colour, new_cells) = before.split(), now.split()
    width, height = map(int, size.split("x"))
    new_width, new_height = map(int, new_size.split("x"))
    if width != new_width or abs(height - new_height) * 100 > NOISE_OF_HEIGHT * height:
        return f"{size} is {new_size}"
    if len(cells) != cells_of(width, height):
        return "laid out in other cells before"
    if _farthest(colour, new_colour) > NOISE_OF_COLOUR:
        return "another colour"
    if (most := _farthest(cells, new_cells)) > NOISE:
        count = sum(_farthest(a, b) > NOISE for a, b in zip(cells, new_cells, strict=False))
        return f"{count} cells, by {most} of 64 at most"
    return ""


def cells_of(width: int, height: int) -> int:
    """How many cells a picture of this size has."""
    return -(-width // CELL[0]) * -(-height // CELL[1])


def _farthest(before: str, now: str) -> int:
    pairs = zip(before, now, strict=False)
    return max((abs(_LETTERS.index(a) - _LETTERS.index(b)) for a, b in pairs), default=0)


def told(before: Mapping[str, str], taken: Mapping[str, str]) -> list[str]:
    """A line for each picture that is another than in the index, is new or is gone."""
    lines = []
    for name in sorted(before.keys() | taken.keys()):
        if name not in before:
            lines.append(f"{name}: new")
        elif name not in taken:
            lines.append(f"{name}: gone")
        elif what := difference(before[name], taken[name]):
            lines.append(f"{name}: {what}")
    return lines
