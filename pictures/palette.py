"""Small PNG files: at most 256 colours, which flat pages with grey-edged text hardly miss;
and several in one that moves (APNG).

The browser that took a picture unpacks it; what is written here is the plainest PNG.
"""

from __future__ import annotations

import base64
import struct
import zlib
from collections.abc import Sequence
from dataclasses import dataclass

from playwright.sync_api import Page

# The most frequent colours, then those least like any of them (a lone coloured `*` is
# few pixels, but not to be missed); for each pixel the nearest.
_COUNT = """async (pngs) => {
  const images = [];
  for (const png of pngs) {
    const bytes = Uint8Array.from(atob(png), (letter) => letter.charCodeAt(0));
    images.push(await createImageBitmap(new Blob([bytes], {type: "image/png"})));
  }
  const {width, height} = images[0];
  const context = new OffscreenCanvas(width, height * images.length).getContext("2d");
  images.forEach((image, place) => context.drawImage(image, 0, place * height));
  const all = context.getImageData(0, 0, width, height * images.length);
  const data = new Uint32Array(all.data.buffer);
  const counts = new Map();
  for (const colour of data) counts.set(colour, (counts.get(colour) || 0) + 1);
  const colours = [...counts].sort((a, b) => b[1] - a[1])
    .map(([colour]) => ({colour, parts: [colour & 255, (colour >> 8) & 255, (colour >> 16) & 255],
                         nearest: 0, distance: Infinity}));
  const kept = [];
  const keep = (chosen) => {
    const [r2, g2, b2] = chosen.parts;
    for (const each of colours) {
      const [r, g, b] = each.parts;
      const distance = (r - r2) ** 2 + (g - g2) ** 2 + (b - b2) ** 2;
      if (distance < each.distance) Object.assign(each, {distance, nearest: kept.length});
    }
    kept.push(chosen.parts);
  };
  colours.slice(0, 192).forEach(keep);
  while (kept.length < 256) {
    const farthest = colours.reduce((a, b) => (b.distance > a.distance ? b : a));
    if (!farthest.distance) break;
    keep(farthest);
  }
  const nearest = new Map(colours.map((each) => [each.colour, each.nearest]));
  let indices = "";
  for (let start = 0; start < data.length; start += 8192) {
    const some = data.subarray(start, start + 8192);
    indices += String.fromCharCode(...Array.from(some, (colour) => nearest.get(colour)));
  }
  return {width, height, palette: kept, indices: btoa(indices)};
}"""


@dataclass(frozen=True)
class _Reduced:
    """Pictures of one size with one palette; of each its pixels, a byte each, line by line."""

    width: int
    height: int
    colours: bytes
    pictures: list[bytes]

    @classmethod
    def of(cls, page: Page, pngs: Sequence[bytes]) -> _Reduced:
        found = page.evaluate(_COUNT, [base64.b64encode(png).decode() for png in pngs])
        width, height = found["width"], found["height"]
        every = base64.b64decode(found["indices"])
        size = width * height
        pictures = [every[at : at + size] for at in range(0, len(every), size)]
        colours = bytes(part for colour in found["palette"] for part in colour)
        return cls(width, height, colours, pictures)

    def lines(self, picture: bytes, first: int, last: int) -> bytes:
        """Some of its lines, packed. Each begins with its filter: none, which suits palettes
        best."""
        wide = self.width
        told = (b"\0" + picture[at * wide : (at + 1) * wide] for at in range(first, last))
        return zlib.compress(b"".join(told), 9)

    def file(self, *chunks: tuple[bytes, bytes]) -> bytes:
        head = struct.pack(">IIBBBBB", self.width, self.height, 8, 3, 0, 0, 0)
        animated = [chunk for chunk in chunks if chunk[0] == b"acTL"]
        rest = [chunk for chunk in chunks if chunk[0] != b"acTL"]
        whole = [(b"IHDR", head), *animated, (b"PLTE", self.colours), *rest, (b"IEND", b"")]
        return b"\x89PNG\r\n\x1a\n" + b"".join(_chunk(kind, data) for kind, data in whole)


def small(page: Page, png: bytes) -> bytes:
    """The same picture in fewer bytes; `page` is any open one, which stays as it is."""
    found = _Reduced.of(page, [png])
    return found.file((b"IDAT", found.lines(found.pictures[0], 0, found.height)))


def moving(page: Page, frames: Sequence[tuple[bytes, int]]) -> bytes:
    """One file of several pictures of one size, each with the milliseconds for which it
    stands; over and over. Of each but the first only the lines that changed are in it."""
    found = _Reduced.of(page, [png for png, _ in frames])
    chunks = [(b"acTL", struct.pack(">II", len(frames), 0))]
    place = 0
    for number, (picture, (_, stands)) in enumerate(zip(found.pictures, frames, strict=True)):
        first, last = 0, found.height
        if number:
            first, last = _changed(found, found.pictures[number - 1], picture)
        told = (found.width, last - first, 0, first, stands, 1000, 0, 0)
        chunks.append((b"fcTL", struct.pack(">IIIIIHHBB", place, *told)))
        place += 1
        packed = found.lines(picture, first, last)
        if number:
            chunks.append((b"fdAT", struct.pack(">I", place) + packed))
            place += 1
        else:
            chunks.append((b"IDAT", packed))
    return found.file(*chunks)


def _changed(found: _Reduced, before: bytes, now: bytes) -> tuple[int, int]:
    """From which line until which two pictures differ; one line where none does."""
    wide = found.width
    lines = [
        line
        for line in range(found.height)
        if before[line * wide : (line + 1) * wide] != now[line * wide : (line + 1) * wide]
    ]
    return (lines[0], lines[-1] + 1) if lines else (0, 1)


def _chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
