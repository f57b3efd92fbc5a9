"""Import files and valohai.yaml texts: valid ones, changed by chance, through their readers.

Whatever comes out is rows, images or sentences, never an exception; none of it holds a
secret; and it costs in proportion to the bytes.
"""

from __future__ import annotations

import base64
import json
import random
from collections.abc import Callable, Iterator
from io import BytesIO
from typing import Any

from orgs.registries.problems import Refused
from orgs.services.bulk.files import Rows
from orgs.services.bulk.files.rows import BrokenFile
from orgs.services.bulk.files.valohai_yaml import read_images
from orgs.services.bulk.reading import SpecReader
from tests.support import hostile

from .figures import Figures

SECRET = "CANARYcanary0123456789/+canaryCANARY9876"
# Too long, and too mixed, to be there by chance or to be a column's name.
TRACES = (SECRET[:14], SECRET[-14:])
HOST = "123456789012.dkr.ecr.us-east-1.amazonaws.com"
# Seconds of processor for one input, here at most some 20 KB.
MOST_CPU = 1.0
MOST_MEMORY = 100.0  # MiB

ROWS: list[dict[str, Any]] = [
    {
        "image_pattern": f"{HOST}/train/*",
        "type": "aws-ecr",
        "access_key_id": "AKIAIOSFODNN7EXAMPLE",
        "secret_access_key": SECRET,
        "region": "us-east-1",
        "environments": "gpu cpu",
        "note": "of the ML team",
    },
    {
        "image_pattern": f"{HOST}/b {HOST}/c/*",
        "type": "aws-ecr-role",
        "role_name": "Worker",
        "enabled": "false",
    },
    {
        "image_pattern": "registry.example.com/me/*",
        "type": "docker",
        "username": "me",
        "password": SECRET,
        "enabled": "true",
    },
]
COLUMNS = sorted({column for row in ROWS for column in row})

PARTS_OF_ADDRESSES = (
    *("https://", "r.example.com", "index.docker.io", "/v1/", "/v2", "/team", HOST, ":5000"),
    *("", "", "ghcr.io", "*", "@", " ", "localhost", SECRET, "access-token"),
)

YAML = f"""\
- step: &base
    name: train
    image: {HOST}/train:v1
    command: [python train.py, "echo '{{parameters}}'"]
    parameters: [{{name: rate, type: float, default: 0.1}}]
- step: {{<<: *base, name: again}}
- endpoint: {{name: serve, image: "python:3.12", port: 8080}}
- pipeline:
    name: nightly
    nodes:
      - {{name: first, type: execution, step: train, override: {{image: ghcr.io/me/x}}}}
    edges: [[first.output.*, second.input.data]]
- task: {{name: sweep, step: train}}
"""

# What is put in somewhere: syntax of each format, odd values, odd letters.
ODD = (
    *(
        "&a ",
        "*a",
        "<<: ",
        "!!float ",
        "!!binary ",
        "!x ",
        "- ",
        "? ",
        ": ",
        "%TAG !a! b\n",
        "---\n",
    ),
    *(
        "[",
        "]",
        "{",
        "}",
        ",",
        '"',
        "'",
        "\\",
        "\n",
        "\r",
        "\t",
        ";",
        "\0",
        "\ufeff",
        "#",
        "|\n",
        ">",
    ),
    *("null", "true", "~", ".inf", "-.nan", "1e999", "0x" + "f" * 40, "9" * 40, "Infinity", "-0"),
    *(
        "\\ud800",
        "\\u0000",
        "\x85",
        "\u2028",
        "\u202e",
        "é",
        "𐍈",
        "=1+1",
        "aws-ecr",
        "image",
        "step",
    ),
    *(
        "<c/>",
        "</row>",
        "<!DOCTYPE a>",
        "&amp;",
        "&e;",
        "<![CDATA[",
        "]]>",
        '<c r="XFD1">',
        ' t="s"',
    ),
)
SIGNS = "[]{},:-?&*!|>'\"%@`#\\ \n\t;=<>/0a"


def changed(text: str, chance: random.Random) -> str:
    """The text with a few places changed; sometimes it's doubled many times over."""
    for _ in range(chance.choice((0, 0, 1, 1, 2, 9))):
        at = chance.randrange(len(text) + 1)
        end = min(len(text), at + chance.choice((1, 1, 3, 20, 200)))
        piece = chance.choice(
            (
                "",
                chance.choice(ODD),
                chance.choice(SIGNS),
                text[at:end] * 2,
                chance.choice(SIGNS) * chance.choice((3, 30, 300)),
                chance.choice(ODD) * chance.choice((2, 50)),
                chr(chance.choice((chance.randrange(128), chance.randrange(0xD800)))),
                SECRET,
            )
        )
        text = (text[:at] + piece + text[end:])[:20_000]
    return text


def broken_bytes(content: bytes, chance: random.Random) -> bytes:
    """Bytes changed, dropped, doubled or cut off."""
    kept = bytearray(content)
    for _ in range(chance.choice((1, 3, 10))):
        if not kept:
            break
        at = chance.randrange(len(kept))
        match chance.randrange(4):
            case 0:
                kept[at] = chance.randrange(256)
            case 1:
                del kept[at : at + chance.choice((1, 20))]
            case 2:
                kept[at:at] = kept[at : at + chance.choice((1, 20))]
            case _:
                del kept[at if chance.random() < 0.2 else len(kept) :]
    return bytes(kept)


def odd_value(chance: random.Random, depth: int = 0) -> Any:
    """A value as JSON may have it where a text belongs."""
    if depth < 3 and chance.random() < 0.3:
        items = [odd_value(chance, depth + 1) for _ in range(chance.randrange(4))]
        return items if chance.random() < 0.5 else {str(n): item for n, item in enumerate(items)}
    return chance.choice(
        (None, True, 0, -1.5, 10**30, float("inf"), float("nan"), "", SECRET, *ODD, "x" * 3000)
    )


def entries(chance: random.Random) -> list[Any]:
    """Rows with cells dropped, swapped, nested and replaced."""
    made: list[Any] = [dict(row) for row in ROWS]
    for _ in range(chance.randrange(4)):
        row = chance.choice(made)
        if not isinstance(row, dict) or not row:
            continue
        column = chance.choice(sorted(row))
        match chance.randrange(6):
            case 0:
                del row[column]
            case 1:
                row[column] = odd_value(chance)
            case 2:
                row[chance.choice((*COLUMNS, SECRET, *ODD))] = row.pop(column)
            case 3:
                row["configuration"] = {column: row[column], "version": odd_value(chance)}
            case 4:
                row["image_patterns"] = [row.get("image_pattern"), odd_value(chance)]
            case _:
                made[chance.randrange(len(made))] = odd_value(chance)
    return made


def as_csv(chance: random.Random) -> bytes:
    lines = [",".join(chance.sample(COLUMNS, len(COLUMNS)))]
    for row in entries(chance):
        cells = row if isinstance(row, dict) else {}
        texts = (str(cells.get(column, "")) for column in lines[0].split(","))
        lines.append(",".join(f'"{text}"' if "," in text else text for text in texts))
    above = chance.choice(("", "", "", "sep=,\n", "sep=;\n", "#TYPE a.b\n", "a title\n\n"))
    text = above + "\n".join(lines)
    encoding = chance.choice(("utf-8", "utf-8", "utf-8-sig", "utf-16", "utf-16-le", "cp1252"))
    errors = "replace" if encoding == "cp1252" else "surrogatepass"
    return changed(text, chance).encode(encoding, errors)


def logins(chance: random.Random) -> dict[str, Any]:
    """A config.json of Docker's, or a Secret of Kubernetes with one."""
    auth = base64.b64encode(f"me:{SECRET}".encode()).decode()
    made: dict[str, Any] = {}
    for _ in range(chance.randrange(1, 5)):
        address = "".join(chance.choice(PARTS_OF_ADDRESSES) for _ in range(3))
        login: Any = {"auth": auth, "username": "me", "password": SECRET}
        for name in chance.sample(sorted(login), chance.randrange(3)):
            login[name] = odd_value(chance)
        made[address] = odd_value(chance) if chance.random() < 0.1 else login
    config: Any = {"auths": made}
    if chance.random() < 0.3:
        config["credHelpers"] = {chance.choice(PARTS_OF_ADDRESSES): odd_value(chance)}
        config["credsStore"] = odd_value(chance)
    if chance.random() < 0.5:
        return config
    text = json.dumps(config)
    text = changed(text, chance) if chance.random() < 0.3 else text
    data = base64.b64encode(text.encode(errors="replace")).decode()
    secret: Any = {"kind": "Secret", "data": {".dockerconfigjson": data}}
    items = [secret, chance.choice((secret, odd_value(chance)))]
    return chance.choice((secret, {"kind": "List", "items": items}))


def as_logins(chance: random.Random) -> bytes:
    text = json.dumps(logins(chance))
    return (changed(text, chance) if chance.random() < 0.3 else text).encode(errors="replace")


def as_json(chance: random.Random) -> bytes:
    text = json.dumps(entries(chance), indent=chance.choice((None, 1)))
    return (changed(text, chance) if chance.random() < 0.7 else text).encode()


def as_yaml(chance: random.Random) -> bytes:
    lines = []
    for row in entries(chance):
        if isinstance(row, dict):
            pairs = (f"{key}: {json.dumps(value)}" for key, value in row.items())
            lines.append("- " + "\n  ".join(pairs))
        else:
            lines.append(f"- {json.dumps(row)}")
    return changed("\n".join(lines), chance).encode(errors="replace")


def as_xlsx(chance: random.Random) -> bytes:
    rows = []
    for number, row in enumerate(entries(chance), 2):
        cells = row if isinstance(row, dict) else {}
        rows.append(hostile.row(number, *_cells(number, [cells.get(c) for c in COLUMNS], chance)))
    head = hostile.row(1, *(hostile.inline("", c).replace(' r=""', "") for c in COLUMNS))
    sheet, texts = "".join(rows), "<si><t>shared</t></si>"
    if chance.random() < 0.5:
        sheet = changed(sheet, chance)
    if chance.random() < 0.2:
        texts = changed(texts, chance)
    return hostile.workbook(sheet, head=head, texts=texts)


def _cells(number: int, values: list[Any], chance: random.Random) -> Iterator[str]:
    for place, value in enumerate(values):
        if value is None:
            continue
        text = str(value).translate({ord("<"): "&lt;", ord("&"): "&amp;", 0: "", ord("\f"): ""})
        kind = chance.choice(("inlineStr",) * 30 + ("str", "n", "s", "b", "e", "d"))
        at = f"{chr(65 + place)}{number}"
        if kind == "inlineStr":
            yield hostile.inline(at, text)
        else:
            yield f'<c r="{at}" t="{kind}"><v>{text}</v></c>'


FORMATS: dict[str, Callable[[random.Random], bytes]] = {
    "csv": as_csv,
    "json": as_json,
    "yaml": as_yaml,
    "xlsx": as_xlsx,
    "logins.json": as_logins,
    "logins.yaml": as_logins,
}


def files(count: int, seed: int) -> Figures:
    """Import files of all formats, as far as they go without a database."""
    figures, chance = Figures(), random.Random(seed)
    environments: Any = {"gpu": None, "cpu": None}
    for number in range(count):
        format = chance.choice(list(FORMATS))
        content = FORMATS[format](chance)
        if chance.random() < 0.2:
            content = broken_bytes(content, chance)
        name = f"{number}.{format}"
        reader = format.rpartition(".")[2]
        with figures.timed(name):
            told = _guarded(figures, name, lambda: _drafted(content, reader, environments))  # noqa: B023
        for code, text in told:
            figures.kinds[code] += 1
            _look(figures, name, text)
        _bounded(figures, name, content, len(told))
    return figures


def _drafted(content: bytes, format: str, environments: Any) -> list[tuple[str, str]]:
    """(code, everything that is told) of each error, or of all that is fine."""
    told = []
    reader = SpecReader(environments)
    try:
        for row in Rows(BytesIO(content), format):
            errors = reader.read(row).errors()
            told += [(error.code, f"{error} {error!r}") for error in errors]
    except BrokenFile as broken:
        told += [(error.code, f"{error} {error!r}") for error in broken.errors]
    return told or [("fine", "")]


def yaml(count: int, seed: int) -> Figures:
    """valohai.yaml texts."""
    figures, chance = Figures(), random.Random(seed)
    for number in range(count):
        text = changed(YAML, chance)
        content: str | bytes = text if chance.random() < 0.5 else text.encode(errors="replace")
        if isinstance(content, bytes) and chance.random() < 0.3:
            content = broken_bytes(content, chance)
        name = f"{number}.valohai.yaml"
        with figures.timed(name):
            told = _guarded(figures, name, lambda: _images(content))  # noqa: B023
        for code, _ in told:
            figures.kinds[code] += 1
        _bounded(figures, name, content, len(told))
    return figures


def _images(content: str | bytes) -> list[tuple[str, str]]:
    try:
        images = read_images(content).images
    except Refused as refused:
        return [(refused.code, str(refused))]
    told = [(i.problem.code, str(i.problem)) for i in images if i.problem]
    return told or [("fine", "")]


def _guarded(
    figures: Figures, name: str, work: Callable[[], list[tuple[str, str]]]
) -> list[tuple[str, str]]:
    try:
        return work()
    except Exception as error:  # that there is none is what is tried
        figures.failures.append(f"{name}: {type(error).__name__}: {error}")
        return []


def _look(figures: Figures, name: str, told: str) -> None:
    if any(trace in told for trace in TRACES):
        figures.failures.append(f"{name}: a secret is told")


def _bounded(figures: Figures, name: str, content: str | bytes, told: int) -> None:
    if told > len(content) + 20:
        figures.failures.append(f"{name}: {told} things are told of {len(content)} bytes")
    if figures.slowest_name == name and figures.slowest > MOST_CPU:
        figures.failures.append(f"{name}: {figures.slowest:.1f} s")
    if figures.grown > MOST_MEMORY:
        figures.failures.append(f"{name}: {figures.grown:.0f} MiB above the start")


PARTS = {"files": files, "yaml": yaml}
