"""Small PNG files: at most 256 colours, which flat pages with grey-edged text hardly miss.

The browser that took a picture unpacks it; what is written here is the plainest PNG.
"""

from __future__ import annotations

import base64
import struct
import zlib

from playwright.sync_api import Page

# The most frequent colours, then those least like any of them (a lone coloured `*` is
# few pixels, but not to be missed); for each pixel the nearest.
_COUNT = """async (png) => {
  const bytes = Uint8Array.from(atob(png), (letter) => letter.charCodeAt(0));
  const image = await createImageBitmap(new Blob([bytes], {type: "image/png"}));
  const canvas = new OffscreenCanvas(image.width, image.height);
  const context = canvas.getContext("2d");
  context.drawImage(image, 0, 0);
  const data = new Uint32Array(context.getImageData(0, 0, image.width, image.height).data.buffer);
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
  return {width: image.width, height: image.height, palette: kept, indices: btoa(indices)};
}"""


def small(page: Page, png: bytes) -> bytes:
    """The same picture in fewer bytes; `page` is any open one, which stays as it is."""
    found = page.evaluate(_COUNT, base64.b64encode(png).decode())
    width, height = found["width"], found["height"]
    indices = base64.b64decode(found["indices"])
    # Each line begins with its filter: none, which suits palettes best.
    lines = b"".join(b"\0" + indices[at : at + width] for at in range(0, len(indices), width))
    colours = bytes(part for colour in found["palette"] for part in colour)
    head = struct.pack(">IIBBBBB", width, height, 8, 3, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        _chunk(kind, data)
        for kind, data in (
            (b"IHDR", head),
            (b"PLTE", colours),
            (b"IDAT", zlib.compress(lines, 9)),
            (b"IEND", b""),
        )
    )


def _chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
