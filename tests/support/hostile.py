"""Files that cost a reader dearly, or that it never thought of: each an example of a kind.

Kinds: work that grows faster than what is sent; things that are counted only after the
work; values that Python can hold and a database, JSON or UTF-8 can't. `HOSTILE` has them by
name; the name's end is the format, and a file's size follows from the number it's made with.
"""

from __future__ import annotations

import base64
import bz2
import io
import struct
import zipfile
from collections.abc import Callable
from dataclasses import dataclass

MAIN = "http://schemas.openxmlformats.org/spreadsheetml/2006/main"
RELATED = "http://schemas.openxmlformats.org/officeDocument/2006/relationships"
PACKAGE = "http://schemas.openxmlformats.org/package/2006/relationships"
DECLARATION = '<?xml version="1.0" encoding="UTF-8"?>'


@dataclass(frozen=True)
class Hostile:
    """`make(size)` gives the file; `code` is that of the first thing told of it, "" where
    it can be read."""

    make: Callable[[int], str | bytes]
    size: int
    code: str

    def content(self, size: int | None = None) -> bytes:
        made = self.make(self.size if size is None else size)
        return made.encode() if isinstance(made, str) else made


# --- workbooks --------------------------------------------------------------------------


def inline(place: str, text: str) -> str:
    return f'<c r="{place}" t="inlineStr"><is><t>{text}</t></is></c>'


HEAD = f'<row r="1">{inline("A1", "image_pattern")}{inline("B1", "type")}</row>'


def relations(*named: tuple[str, str]) -> str:
    lines = (
        f'<Relationship Id="r{number}" Type="{RELATED}/{kind}" Target="{target}"/>'
        for number, (kind, target) in enumerate(named, 1)
    )
    return f'{DECLARATION}<Relationships xmlns="{PACKAGE}">{"".join(lines)}</Relationships>'


def workbook(
    rows: str = "",
    *,
    before: str = "",
    doctype: str = "",
    texts: str | None = None,
    styles: str | None = None,
    head: str = HEAD,
    more: dict[str, bytes] | None = None,
    packing: int = zipfile.ZIP_DEFLATED,
) -> bytes:
    """A workbook of one sheet, whose first row is a header of two columns."""
    parts = [("worksheet", "worksheets/one.xml")]
    parts += [("sharedStrings", "texts.xml")] if texts is not None else []
    parts += [("styles", "styles.xml")] if styles is not None else []
    files: dict[str, str | bytes] = {
        "_rels/.rels": relations(("officeDocument", "xl/workbook.xml")),
        "xl/workbook.xml": f'{DECLARATION}<workbook xmlns="{MAIN}" xmlns:r="{RELATED}">'
        '<sheets><sheet name="one" sheetId="1" r:id="r1"/></sheets></workbook>',
        "xl/_rels/workbook.xml.rels": relations(*parts),
        "xl/worksheets/one.xml": f'{DECLARATION}{doctype}<worksheet xmlns="{MAIN}">{before}'
        f"<sheetData>{head}{rows}</sheetData></worksheet>",
        **(more or {}),
    }
    if texts is not None:
        files["xl/texts.xml"] = f'{DECLARATION}<sst xmlns="{MAIN}">{texts}</sst>'
    if styles is not None:
        files["xl/styles.xml"] = f'{DECLARATION}<styleSheet xmlns="{MAIN}">{styles}</styleSheet>'
    made = io.BytesIO()
    with zipfile.ZipFile(made, "w", packing) as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    return made.getvalue()


LONG = f"<t>{'a' * 100_000}</t>"


def row(number: int, *cells: str) -> str:
    return f'<row r="{number}">{"".join(cells)}</row>'


def formatted_rows(first: int, last: int) -> str:
    attributes = 'customFormat="false" ht="12.8" hidden="false" customHeight="false" '
    attributes += 'outlineLevel="0" collapsed="false"'
    return "".join(f'<row r="{number}" {attributes}></row>' for number in range(first, last))


def value(text: str, kind: str = "n") -> bytes:
    cell = f'<c r="A2" t="{kind}"><v>{text}</v></c>'
    return workbook(row(2, cell, inline("B2", "docker")))


def directory_of(parts: int) -> bytes:
    """A zip file whose directory names parts that aren't there."""
    name = b"xl/workbook.xml"
    entry = struct.pack("<IHHHHHHIIIHHHHHII", 0x02014B50, *[0] * 6, 0, 0, 0, len(name), *[0] * 6)
    entries = (entry + name) * parts
    end = struct.pack(
        "<IHHHHIIH", 0x06054B50, 0, 0, min(parts, 65535), min(parts, 65535), len(entries), 0, 0
    )
    return entries + end


def claiming(size: int) -> bytes:
    """A part that says it unpacks to a few bytes, and unpacks to megabytes."""
    made = workbook(row(2, inline("A2", "a" * size * 1_000)))
    start = made.index(b"xl/worksheets/one.xml") - 30
    central = made.rindex(b"xl/worksheets/one.xml") - 46
    few = struct.pack("<I", 400)
    return made[: start + 22] + few + made[start + 26 : central + 24] + few + made[central + 28 :]


def other_packing(size: int) -> bytes:
    """bzip2 unpacks a few bytes to a megabyte at once, whatever is asked of it."""
    return workbook(more={"xl/worksheets/one.xml": b" " * size * 1_000}, packing=zipfile.ZIP_BZIP2)


ENTITIES = "".join(f'<!ENTITY e{n} "{f"&e{n - 1};" * 10 if n else "ha"}">' for n in range(10))

# --- lists that share their parts ---------------------------------------------------------


def shared(levels: int, name: str) -> str:
    """Lines of a list; each item has the one before in it twice."""
    lines = [f"    - &{name}0 [z]\n"]
    for level in range(1, levels):
        before = f"*{name}{level - 1}"
        lines.append(f"    - &{name}{level} [{before}, {before}]\n")
    return "".join(lines)


def equal_lists(levels: int) -> str:
    last = levels - 1
    return (
        f"- note:\n{shared(levels, 'p')}- note:\n{shared(levels, 'q')}"
        f"- {{region: *p{last}, configuration: {{region: *q{last}}}}}\n"
    )


# --- tables -------------------------------------------------------------------------------

CSV = "image_pattern,type,environments,note\n"
YAML = "- {type: docker, image_pattern: a.b/c, %s}\n"
JSON = '[{"type": "docker", "image_pattern": "a.b/c", %s}]'


def same_mapping(times: int) -> str:
    keys = ", ".join(f"key{n}: x" for n in range(min(times, 20_000)))
    return f"- &it {{{keys}}}\n" + "- *it\n" * times


def config(logins: str, more: str = "") -> str:
    return f'{{"auths": {{{logins}}}{more}}}'


def in_secret(text: str) -> str:
    encoded = base64.b64encode(text.encode()).decode()
    return f'{{"kind": "Secret", "data": {{".dockerconfigjson": "{encoded}"}}}}'


def logins(count: int, login: str = '{"auth": "YTpi"}') -> str:
    return ",".join(f'"r{number}.example.com": {login}' for number in range(count))


HOSTILE = {
    # YAML: what is shared costs each time it's looked at
    "equal-lists.yaml": Hostile(equal_lists, 40, "yaml_alias"),
    "list-as-text.yaml": Hostile(
        lambda n: f"- note:\n{shared(n, 'p')}- configuration: {{version: *p{n - 1}}}\n",
        26, "yaml_alias",
    ),
    "holds-itself.yaml": Hostile(
        lambda n: "- {region: &p [*p], configuration: {region: &q [*q]}}\n", 1, "yaml_alias"
    ),
    "laughs.yaml": Hostile(
        lambda n: "- &p0 {type: x}\n"
        + "".join(f"- &p{i} [{', '.join([f'*p{i - 1}'] * 10)}]\n" for i in range(1, n)),
        12, "yaml_alias",
    ),
    "merged.yaml": Hostile(lambda n: "- {<<: &p {type: x}}\n" * n, 10, "yaml_alias"),
    # YAML: tags make values that nobody thinks of
    "infinite.yaml": Hostile(
        lambda n: "- {type: docker, image_pattern: !!float .inf}\n" * n, 1, "yaml_tag"
    ),
    "empty-int.yaml": Hostile(lambda n: '- {type: !!int ""}\n', 1, "yaml_tag"),
    "long-int.yaml": Hostile(
        lambda n: f"- {{type: docker, image_pattern: !!int 0x{'f' * n}}}\n", 400, "yaml_tag"
    ),
    "binary.yaml": Hostile(lambda n: YAML % "note: !!binary gICA", 1, "yaml_tag"),
    "set.yaml": Hostile(lambda n: YAML % "note: !!set {? a}", 1, "yaml_tag"),
    "timestamp.yaml": Hostile(lambda n: YAML % "note: !!timestamp 2026-13-45", 1, "yaml_tag"),
    "own-tag.yaml": Hostile(lambda n: YAML % "note: !mine x", 1, "yaml_tag"),
    "null-key.yaml": Hostile(lambda n: YAML % "configuration: {null: x}", 1, "unknown_column"),
    "infinite-key.yaml": Hostile(
        lambda n: YAML % "configuration: {.inf: x, 0x10: y}", 1, "unknown_column"
    ),
    "list-as-key.yaml": Hostile(lambda n: "- ? [a, b]\n  : c\n", 1, "unreadable_file"),
    # YAML: much of little
    "deep.yaml": Hostile(lambda n: "[" * n, 100_000, "too_deep"),
    "deep-blocks.yaml": Hostile(lambda n: "- " * n + "a", 100_000, "too_deep"),
    "many-parts.yaml": Hostile(lambda n: "- [" + "a," * n + "b]", 4_900_000, "too_large"),
    "many-directives.yaml": Hostile(
        lambda n: "".join(f"%TAG !a{i}! x\n" for i in range(n)) + "--- []", 60_000,
        "unreadable_file",
    ),
    "many-entries.yaml": Hostile(lambda n: "- a\n" * n, 200_000, "too_large"),
    "many-unknown-keys.yaml": Hostile(
        lambda n: "".join(
            "- {" + ", ".join(f"k{i}x{j}: x" for j in range(150)) + "}\n" for i in range(n)
        ),
        1_000, "unknown_column",
    ),
    # JSON
    "surrogates.json": Hostile(
        lambda n: JSON % r'"note": "\udfff", "username": "\ud800"', 1, "control_character"
    ),
    "nul.json": Hostile(lambda n: JSON % r'"note": "\u0000"', 1, "control_character"),
    "infinite.json": Hostile(
        lambda n: '[{"type": "docker", "image_pattern": Infinity}]', 1, "invalid_pattern"
    ),
    "deep.json": Hostile(lambda n: "[" * n, 100_000, "too_deep"),
    "deep-value.json": Hostile(
        lambda n: JSON % f'"note": {"[" * n}{"]" * n}', 900, "not_text"
    ),
    "many-lists.json": Hostile(lambda n: "[" + "[]," * n + "[]]", 3_300_000, "too_large"),
    "many-objects.json": Hostile(
        lambda n: JSON % f'"note": [{"{},".join([""] * n)}1]', 2_400_000, "too_large"
    ),
    "one-long-text.json": Hostile(
        lambda n: JSON % f'"note": "{"a," * n}"', 4_900_000, "too_long"
    ),
    "open-quote.json": Hostile(lambda n: '["' + r"\"," * n, 3_000_000, "unreadable_file"),
    "many-patterns.json": Hostile(
        lambda n: f'[{{"type": "docker", "image_patterns": [{"1," * n}1]}}]', 390_000, "too_long"
    ),
    "lists-beside.json": Hostile(
        lambda n: f'[{{"note": [{"[]," * n}1], "configuration": {{"note": [{"[]," * n}1]}}}}]',
        90_000, "duplicate_column",
    ),
    "twice.json": Hostile(lambda n: JSON % '"note": "a", "note": "b"', 1, "duplicate_column"),
    # XLSX: what it says of itself
    "whole-sheet.xlsx": Hostile(
        lambda n: workbook(
            row(n, f'<c r="A{n}"><v>1</v></c>'), before=f'<dimension ref="A1:XFD{n}"/>'
        ),
        1_048_576, "unknown_type",
    ),
    "last-column.xlsx": Hostile(
        lambda n: workbook(
            "".join(row(i, f'<c r="XFD{i}"><v>1</v></c>') for i in range(2, n))
        ),
        10_000, "too_many_cells",
    ),
    "no-such-row.xlsx": Hostile(
        lambda n: workbook(row(10**30, "<c><v>1</v></c>")), 1, "unreadable_file"
    ),
    "rows-backwards.xlsx": Hostile(
        lambda n: workbook(row(5, inline("A5", "a")) + row(5, inline("A5", "b"))),
        1, "unreadable_file",
    ),
    "empty-rows.xlsx": Hostile(
        lambda n: workbook("".join(f'<row r="{i}" spans="1:2"/>' for i in range(2, n))),
        600_000, "too_many_blank_rows",
    ),
    # LibreOffice, of a sheet whose rows have a height or format to the last
    "formatted-rows.xlsx": Hostile(
        lambda n: workbook(
            row(2, inline("A2", "a.b/c"), inline("B2", "docker")) + formatted_rows(3, n)
        ),
        1_048_576, "too_many_blank_rows",
    ),
    "formatted-cells.xlsx": Hostile(
        lambda n: workbook(
            "".join(
                row(i, *(f'<c r="{column}{i}" s="1"/>' for column in "ABCDEFGH"))
                for i in range(2, n)
            )
        ),
        120_000, "too_many_cells",
    ),
    "many-shared-texts.xlsx": Hostile(
        lambda n: workbook(row(2, '<c r="A2" t="s"><v>0</v></c>'), texts="<si><t>a</t></si>" * n),
        1_000_000, "too_many_cells",
    ),
    "unused-shared-texts.xlsx": Hostile(
        lambda n: workbook(texts="<si><t>a</t></si>" * n), 2_000_000, ""
    ),
    "one-text-many-times.xlsx": Hostile(
        lambda n: workbook(
            "".join(row(i, f'<c r="A{i}" t="s"><v>0</v></c>') for i in range(2, n)),
            texts=f"<si><t>{'a' * 30_000}</t></si>",
        ),
        9_000, "too_large",
    ),
    "many-pieces.xlsx": Hostile(
        lambda n: workbook(
            row(2, '<c r="A2" t="s"><v>0</v></c>'), texts=f"<si>{'<t>a</t>' * n}</si>"
        ),
        190_000, "too_long",
    ),
    "long-pieces.xlsx": Hostile(
        lambda n: workbook(
            row(2, f'<c r="A2" t="inlineStr"><is>{LONG * n}</is></c>')
        ),
        400, "too_large",
    ),
    "no-such-text.xlsx": Hostile(lambda n: value("99999999", "s"), 1, "not_text"),
    "unpacks-to-much.xlsx": Hostile(
        lambda n: workbook(row(2, inline("A2", "a" * n * 1_000))), 100_000, "too_large"
    ),
    "claims-little.xlsx": Hostile(claiming, 20_000, "unreadable_file"),
    "other-packing.xlsx": Hostile(other_packing, 20_000, "unreadable_file"),
    "many-zip-entries.xlsx": Hostile(directory_of, 160_000, "unreadable_file"),
    "entities.xlsx": Hostile(
        lambda n: workbook(
            row(2, inline("A2", "&e9;")), doctype=f"<!DOCTYPE worksheet [{ENTITIES}]>"
        ),
        1, "unreadable_file",
    ),
    "outside-entity.xlsx": Hostile(
        lambda n: workbook(
            row(2, inline("A2", "&e;")),
            doctype='<!DOCTYPE worksheet [<!ENTITY e SYSTEM "file:///etc/hostname">]>',
        ),
        1, "unreadable_file",
    ),
    "long-comment.xlsx": Hostile(
        lambda n: workbook(f"<!--{'x' * n * 1_000}-->"), 50_000, "unreadable_file"
    ),
    "many-names.xlsx": Hostile(
        lambda n: workbook("".join(f"<x{i} y{i}=''/>" for i in range(n))), 200_000,
        "unreadable_file",
    ),
    "deep.xlsx": Hostile(lambda n: workbook("<x>" * n), 1_000_000, "unreadable_file"),
    # XLSX: what a cell may hold
    "infinite.xlsx": Hostile(lambda n: value("1e999"), 1, "not_text"),
    "not-a-number.xlsx": Hostile(lambda n: value("NaN"), 1, "not_text"),
    "long-number.xlsx": Hostile(lambda n: value("9" * n), 300, "not_text"),
    "formula-error.xlsx": Hostile(lambda n: value("#REF!", "e"), 1, "formula_error"),
    "boolean.xlsx": Hostile(lambda n: value("1", "b"), 1, "not_text"),
    "uncomputed.xlsx": Hostile(
        lambda n: workbook(row(2, '<c r="A2"><f>1+1</f></c>', inline("B2", "docker"))),
        1, "formula_error",
    ),
    "time-of-day.xlsx": Hostile(
        lambda n: workbook(
            row(2, '<c r="A2" s="0"><v>0.5</v></c>', inline("B2", "docker")),
            styles='<cellXfs><xf numFmtId="22"/></cellXfs>',
        ),
        1, "not_text",
    ),
    "no-workbook.xlsx": Hostile(lambda n: bz2.compress(b"x" * n), 1_000, "unreadable_file"),
    # CSV
    "near-misses.csv": Hostile(
        lambda n: CSV + f'a.b/c,docker,"{"gpv " * 2500}",\n' * n, 100, "environment_not_found"
    ),
    "distinct-near-misses.csv": Hostile(
        lambda n: CSV + "".join(f"a.b/c,docker,gpu-{i:x},\n" for i in range(n)), 20_000,
        "environment_not_found",
    ),
    "many-columns.csv": Hostile(
        lambda n: "image_pattern,type" + ",x" * n + "\n", 240_000, "too_many_columns"
    ),
    "many-columns-in-lines.csv": Hostile(
        lambda n: CSV + '"\n",' * n, 2_400_000, "broken_quotes"
    ),
    "no-line-ends.csv": Hostile(lambda n: CSV + "a" * n, 9_900_000, "broken_quotes"),
    "open-quote.csv": Hostile(lambda n: CSV + '"' + "a\n" * n, 4_900_000, "broken_quotes"),
    "blank-lines.csv": Hostile(lambda n: "\n" * n, 9_900_000, "too_many_blank_rows"),
    "blank-rows.csv": Hostile(
        lambda n: CSV + ",,,\n" * n, 2_400_000, "too_many_blank_rows"
    ),
    "nul.csv": Hostile(lambda n: CSV + "a.b/c,docker,,a\0b\n", 1, "control_character"),
    "many-patterns.csv": Hostile(
        lambda n: CSV + f"{' '.join(f'a/{i}' for i in range(6_000))},docker,,\n" * n,
        200, "too_many",
    ),
    "bad-patterns.csv": Hostile(
        lambda n: CSV + f"{' '.join(f'A/{i}:v' for i in range(100))},docker,,\n" * n,
        1_000, "tag_in_pattern",
    ),
    "long-secrets.csv": Hostile(
        lambda n: "image_pattern,type,password,secret_access_key\n"
        + f"a.b:v,docker,{'x' * 8_000},{'y' * 1_900}\n" * n,
        900, "field_of_other_type",
    ),
    "wide-apart.csv": Hostile(
        lambda n: (CSV + "a.b/c,docker,,\n" * n).encode("utf-16"), 100, "required"
    ),
    "separators.csv": Hostile(lambda n: "sep=;\n" * n, 1_600_000, "no_header"),
    "titles.csv": Hostile(lambda n: "a title\n" * n, 1_000_000, "no_header"),
    "wide-titles.csv": Hostile(lambda n: ("a,;\t|" * 1_900 + "\n") * n, 1_000, "no_header"),
    "long-titles.csv": Hostile(lambda n: f"{'(' * 400_000}\n" * n, 24, "broken_quotes"),
    "titles-in-quotes.csv": Hostile(
        lambda n: '"\n' * n, 4_900_000, "too_many_blank_rows"
    ),
    "windows-1252.csv": Hostile(
        lambda n: (CSV + f"a.b/c,docker,,{'é' * 900}\n" * n).encode("cp1252"), 9_900, "required"
    ),
    "windows-1252-secrets.csv": Hostile(
        lambda n: ("image_pattern,type,password\n" + f"a.b/c,docker,{'é' * 40}\n" * n).encode(
            "cp1252"
        ),
        9_000, "wrong_encoding",
    ),
    "not-only-utf-8.csv": Hostile(
        lambda n: CSV.encode() + "a.b/c,docker,,é".encode() + b"\xe9\n" * n, 3_000_000,
        "wrong_encoding",
    ),
    "no-text.csv": Hostile(lambda n: b"\x81\x8d\x8f" * n, 3_300_000, "broken_quotes"),
    "wide-letters.csv": Hostile(
        lambda n: (CSV + "a.b/c,docker,,x\n" * n).encode("utf-32"), 100_000, "required"
    ),
    # Docker's files
    "many-logins.json": Hostile(lambda n: config(logins(n)), 150_000, "too_large"),
    "bad-logins.json": Hostile(lambda n: config(logins(n, '{"auth": "a"}')), 10_000, "invalid"),
    "many-helpers.json": Hostile(
        lambda n: f'{{"credHelpers": {{{logins(n, "5")}}}}}', 10_000, "password_elsewhere"
    ),
    "many-parts-of-a-login.json": Hostile(
        lambda n: config(f'"a.b": {{{logins(n)}}}'), 120_000, "not_an_entry"
    ),
    "long-login.json": Hostile(
        lambda n: config(f'"a.example.com": {{"auth": "YTpi{"YWFh" * n}"}}'), 2_400_000,
        "too_long",
    ),
    "long-address.json": Hostile(
        lambda n: config(f'"a.example.com/{"v1/" * n}": {{"auth": "YTpi"}}'), 3_000_000,
        "invalid",
    ),
    "blanks-in-a-login.json": Hostile(
        lambda n: config(f'"a.example.com": {{"auth": "{" Y" * n}"}}'), 4_900_000, "invalid"
    ),
    "deep-in-a-secret.json": Hostile(lambda n: in_secret("[" * n), 100_000, "not_an_entry"),
    "parts-in-a-secret.json": Hostile(
        lambda n: in_secret(config("", f', "x": [{"{}," * n}1]')), 2_400_000, "not_an_entry"
    ),
    "many-logins-in-a-secret.yaml": Hostile(
        lambda n: in_secret(config(logins(n))), 150_000, "too_large"
    ),
    "secret-in-secrets.json": Hostile(
        lambda n: in_secret(in_secret(in_secret("{}"))), 1, "required"
    ),
    "many-secrets.json": Hostile(
        lambda n: '{"kind": "List", "items": ['
        + ",".join([in_secret(config(logins(9)))] * n) + "]}",
        4_000, "too_large",
    ),
    "no-secrets.json": Hostile(
        lambda n: f'{{"kind": "List", "items": [{"1," * n}1]}}', 390_000, "not_an_entry"
    ),
    # valohai.yaml
    "one-name-many-times.valohai.yaml": Hostile(
        lambda n: "- step: {name: a, image: x}\n" * n, 400, ""
    ),
    "all-kinds-at-once.valohai.yaml": Hostile(
        lambda n: "- {step: {image: x}, task: , endpoint: , pipeline: , deployment: }\n" * n,
        400, "",
    ),
    "one-step-many-times.valohai.yaml": Hostile(same_mapping, 9_000, "invalid_yaml"),
    "merges.valohai.yaml": Hostile(
        lambda n: "- &m0 {x: 1}\n"
        + "".join(f"- &m{i} {{<<: [{f'*m{i - 1}, ' * 9}]}}\n" for i in range(1, n))
        + f"- step: {{<<: *m{n - 1}, name: a}}\n",
        60, "invalid_yaml",
    ),
    "holds-itself.valohai.yaml": Hostile(lambda n: "- &a [*a]\n", 1, "invalid_yaml"),
    "laughs.valohai.yaml": Hostile(
        lambda n: "- &p0 [x, x]\n"
        + "".join(f"- &p{i} [{', '.join([f'*p{i - 1}'] * 10)}]\n" for i in range(1, n)),
        12, "invalid_yaml",
    ),
    "many-directives.valohai.yaml": Hostile(
        lambda n: "".join(f"%TAG !a{i}! x\n" for i in range(n)) + "--- []", 60_000,
        "invalid_yaml",
    ),
    "deep.valohai.yaml": Hostile(lambda n: "[" * n, 900_000, "invalid_yaml"),
    "many-warnings.valohai.yaml": Hostile(lambda n: "- x\n" * n, 49_000, ""),
    "infinite-image.valohai.yaml": Hostile(
        lambda n: "- step: {name: a, image: !!float .inf}\n", 1, "invalid_image"
    ),
}  # fmt: skip
