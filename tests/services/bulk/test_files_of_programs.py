"""Tables as spreadsheets, PowerShell and AWS's console write them: read, or refused with the
row, the cause and what to do."""

from __future__ import annotations

import io
import json

import openpyxl
import pytest

from orgs.forms.entry import entry_form
from orgs.models import RegistryEntry
from orgs.registries.catalogue import TYPES
from orgs.services.bulk.files import Rows, apart, coding, format_of, tables, workbook
from orgs.services.bulk.files.columns import columns, named
from orgs.services.bulk.files.rows import BrokenFile
from orgs.services.bulk.importing import apply, plan
from tests.conftest import CANARY, HOST
from tests.support import hostile

KEY = "AKIAIOSFODNN7EXAMPLE"
HEADER = "image_pattern,type,access_key_id,secret_access_key,note"
ROW = f"{HOST}/a,aws-ecr,{KEY},{CANARY},of the team"
TABLE = f"{HEADER}\n{ROW}\n"
TYPES_LABEL = "AWS ECR (IAM credentials)"
CELLS = dict(zip(HEADER.split(","), ROW.split(","), strict=True))


def read(content, format="csv"):
    content = content.encode() if isinstance(content, str) else content
    return list(Rows(io.BytesIO(content), format))


def refused(content, format="csv"):
    with pytest.raises(BrokenFile) as raised:
        read(content, format)
    assert CANARY not in str(raised.value)
    return raised.value.errors


def quoted(table: str) -> str:
    return "\n".join(
        ",".join(f'"{cell}"' for cell in line.split(",")) for line in table.splitlines()
    )


def semicolons(table: str) -> str:
    return table.replace(",", ";")


NAMES = {
    "form": "Match pattern,Registry type,Access Key ID,Secret Access Key,Note",
    "shouted": "IMAGE_PATTERN,TYPE,ACCESS_KEY_ID,SECRET_ACCESS_KEY,NOTE",
    "blanks": "  Image  Pattern , type,\u00a0access key id,Secret-Access-Key ,note",
    "starred": "Match pattern *,Registry type*,Access Key ID (of IAM),Secret Access Key:,Note",
    "invisible": "\u200bmatch pattern,\ufefftype,access_key_id\u200b,secret_access_key,note",
    "console": "match patterns,type,Access key ID,Secret access key,note",
}


@pytest.mark.parametrize("header", NAMES.values(), ids=NAMES)
def test_headers_as_people_and_forms_write_them(header):
    (row,) = read(f"{header}\n{ROW}\n")
    assert row.cells == CELLS


@pytest.mark.parametrize("kind", TYPES, ids=lambda kind: kind.slug)
@pytest.mark.django_db
def test_every_label_of_the_form_is_a_column(kind, acme, gpu):
    form = entry_form(kind)(organization=acme)
    labels = [field.label for name, field in form.fields.items() if name not in ("shown",)]
    assert {named(label) for label in labels if label} <= set(columns())
    (row,) = read(f'{HEADER}\n{HOST}/a,"{kind.label.upper()}",,,\n')
    assert row.cells["type"] == kind.slug


NUMBERED = [  # a table, and the number of its row
    (TABLE, 2),
    (f"sep=,\n{TABLE}", 2),  # spreadsheets show no row for it
    (f"sep=;\n{semicolons(TABLE)}", 2),
    (f"\ufeffsep=;\r\n{semicolons(TABLE)}", 2),
    (f'"sep=;"\n{semicolons(TABLE)}', 2),
    (f"SEP=\t\n{TABLE}".replace(",", "\t"), 2),
    (f"sep=|\n{TABLE.replace(',', '|')}", 2),
    (f"sep=^\n{TABLE.replace(',', '^')}", 2),
    (f"sep=;;;;;\n{semicolons(TABLE)}", 2),
    (f"\n\nsep=;\n{semicolons(TABLE)}", 2),
    (TABLE.replace(",", "|"), 2),
    (f"#TYPE System.Management.Automation.PSCustomObject\n{quoted(TABLE)}", 3),
    (f"#TYPE Selected.System.Object\r\n{quoted(TABLE)}", 3),
    (f"Our registries\n{TABLE}", 3),
    (f"Our registries,,,,\n,,,,\n{TABLE}", 4),
    (f"Our registries; 2026\n\n{semicolons(TABLE)}", 4),
    (f"Note,of,the,team\n{TABLE}", 3),  # a title with a column's name in it
    ("a title\n" * 20 + TABLE, 22),
    (quoted(TABLE), 2),
    (f"{HEADER},,,\n{ROW},,,\n,,,,,,,\n,,,\n", 2),
    (TABLE.replace("\n", "\r\n"), 2),
    (TABLE.replace("\n", "\r"), 2),
    (f"a title\r{TABLE}".replace("\n", "\r"), 3),
]


@pytest.mark.parametrize(("table", "number"), NUMBERED)
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be"])
def test_what_stands_above_and_between(table, number, encoding):
    if encoding != "utf-8" and table.startswith("\ufeff"):
        table = table[1:]
    if encoding in ("utf-16-le", "utf-16-be") and table.startswith("\n\n"):
        table = table[2:]  # no program writes one that begins so
    (row,) = read(table.encode(encoding))
    assert (row.number, row.cells, row.remarks) == (number, CELLS, ())


@pytest.mark.parametrize("format", ["json", "yaml"])
def test_labels_in_documents(format):
    names = NAMES["form"].split(",")
    entry = dict(zip(names, ROW.split(","), strict=True)) | {"Registry type": TYPES_LABEL}
    (row,) = read(json.dumps([entry]), format)
    assert (row.cells, row.errors) == (CELLS, [])
    (row,) = read(json.dumps([entry | {"type": "docker"}]), format)
    assert [(e.column, e.code) for e in row.errors] == [("Registry type", "unknown_column")]
    assert row.cells["type"] == "docker"


def test_after_many_rows_no_header_is_looked_for():
    (error,) = refused("a title\n" * 21 + TABLE)
    assert (error.row, error.code) == (1, "no_header")


def test_titles_in_workbooks():
    book = openpyxl.Workbook()
    for line in ("Our registries", "", NAMES["form"], ROW):
        book.active.append(line.split(","))
    file = io.BytesIO()
    book.save(file)
    (row,) = read(file.getvalue(), "xlsx")
    assert (row.number, row.cells) == (4, CELLS)


def test_more_empty_rows_than_any_table_has(monkeypatch):
    """LibreOffice writes each row that has a format, to the sheet's last."""
    monkeypatch.setattr(workbook, "MAX_BLANK_ROWS", 50)
    monkeypatch.setattr(tables, "MAX_BLANK_ROWS", 50)
    first = hostile.row(2, hostile.inline("A2", f"{HOST}/a"), hostile.inline("B2", "aws-ecr"))
    last = hostile.row(60, hostile.inline("A60", f"{HOST}/b"), hostile.inline("B60", "aws-ecr"))
    (error,) = refused(hostile.workbook(first + hostile.formatted_rows(3, 60) + last), "xlsx")
    assert (error.row, error.code) == (3, "too_many_blank_rows") and "CSV UTF-8" in error.fix
    rows = read(hostile.workbook(first + hostile.formatted_rows(3, 52) + last), "xlsx")
    assert [row.number for row in rows] == [2, 60]
    lines = f"image_pattern,type\n{HOST}/a,aws-ecr\n" + ",\n" * 57 + f"{HOST}/b,aws-ecr\n"
    (error,) = refused(lines)
    assert (error.row, error.code) == (3, "too_many_blank_rows")
    (error,) = refused("\n" * 60)
    assert error.row == 1


@pytest.mark.parametrize(
    ("header", "missing"),
    [
        ("Access key ID,Secret access key", ["image_pattern", "type"]),
        ("\ufeffAccess key ID,Secret access key", ["image_pattern", "type"]),
        ("sep=,\nAccess key ID,Secret access key,image_pattern", ["type"]),
        ("type,note", ["image_pattern"]),
    ],
)
def test_what_is_missing_is_told_with_what_belongs_there(header, missing):
    errors = refused(f"{header}\n{KEY},{CANARY}\n")
    assert [error.column for error in errors] == missing
    assert {(error.row, error.code) for error in errors} == {(1, "missing_column")}
    of_aws = "image_pattern" in missing and "type" in missing
    assert all(("AWS's own file of a key" in error.what) == of_aws for error in errors)
    (added,) = read(
        f"Access key ID,Secret access key,image_pattern,type\n{KEY},{CANARY},{HOST}/*,aws-ecr\n"
    )
    assert added.cells["secret_access_key"] == CANARY
    for error in errors:
        assert (f"{HOST}/*" if error.column == "image_pattern" else "aws-ecr") in error.fix


# --- letters ------------------------------------------------------------------------------


LETTERS = "Größe, naïve – “quoted” €"


@pytest.mark.django_db
@pytest.mark.parametrize("where", ["here", "apart"])
def test_excels_own_csv_is_read_and_said_so(acme, actor, where):
    table = f'{HEADER}\n{ROW}\n{HOST}/b,aws-ecr,{KEY},{CANARY},"{LETTERS}"\n{ROW}\n'
    content = table.replace(f"{ROW}\n", f"{ROW}\n", 1).rpartition(ROW)[0].encode("cp1252")
    rows = Rows(io.BytesIO(content), "csv")
    if where == "apart":
        rows = apart.ReadRows(content, "csv")
    report = apply(organization=acme, actor=actor, rows=rows)
    assert report.written and report.created == 2
    assert sorted(RegistryEntry.objects.values_list("note", flat=True)) == sorted(
        [LETTERS, "of the team"]
    )
    (remark,) = report.remarks
    assert (remark.first, remark.rows) == (3, 1)
    assert str(remark).startswith("Row 3: The file isn't UTF-8") and "CSV UTF-8" in str(remark)


def test_remarks_are_told_once():
    table = f"{HEADER}\n" + f"{HOST}/a,aws-ecr,{KEY},{CANARY},é\n" * 3
    rows = read(table.encode("cp1252"))
    assert len({row.remarks for row in rows}) == 1 and rows[0].remarks


@pytest.mark.django_db
@pytest.mark.parametrize("column", ["secret_access_key", "password"])
@pytest.mark.parametrize("encoding", ["cp1252", "mac_roman", "cp1250", "cp437"])
def test_a_secret_is_never_guessed(acme, column, encoding):
    """Of all encodings there are, only one would be right, and the entry would fail."""
    header = f"image_pattern,type,{column},note"
    kind = "docker" if column == "password" else "aws-ecr"
    content = f"{header}\nr.example.com/*,{kind},pässwörd,x\n".encode(encoding)
    report = plan(organization=acme, rows=Rows(io.BytesIO(content), "csv"))
    found = [e for e in report.errors if e.column == column]
    assert [(e.row, e.code, e.value) for e in found] == [(2, "wrong_encoding", "")]
    assert "CSV UTF-8" in found[0].fix and "sswörd" not in repr(report)


@pytest.mark.parametrize(
    ("content", "told"),
    [
        # A byte that Windows-1252 has no letter for.
        (f"{HEADER}\n{ROW}\n".encode() + b"a.b/c,docker,,,\x81\n", [(3, "note")]),
        # UTF-8 with something else in it isn't Windows-1252.
        (f"{HEADER}\n{ROW}é\na.b/c,docker,,,".encode() + b"\xe9\n", [(3, "note")]),
        (f"\ufeff{HEADER}\n{ROW}\na.b/c,docker,,,".encode() + b"\xe9\n", [(3, "note")]),
        (f"{HEADER}\n{ROW}é\n".encode() + b"\xff\xfe,docker,,\xe9,\n",
         [(3, "image_pattern"), (3, "secret_access_key")]),
    ],
)  # fmt: skip
def test_letters_that_cannot_be_told(content, told):
    rows = read(content)
    errors = [error for row in rows for error in row.errors]
    assert [(e.row, e.column, e.code) for e in errors] == [
        (row, column, "wrong_encoding") for row, column in told
    ]


@pytest.mark.parametrize(
    ("start", "name"),
    [
        (b"\xef\xbb\xbfa", "utf-8-sig"),
        (b"\xff\xfea\0", "utf-16"),
        (b"\xfe\xff\0a", "utf-16"),
        (b"\xff\xfe\0\0", "utf-32"),
        (b"a\0b\0", "utf-16-le"),
        (b"\0a\0b", "utf-16-be"),
        (b"a\0bc", None),
        (b"\0\0ab", None),
        (b"abcd", None),
        (b"a\0", None),
        (b"", None),
    ],
)
def test_encodings_by_their_beginning(start, name):
    assert coding.by_mark(start) == name


FLAT = [{"type": "docker", "image_pattern": "a.b/c", "username": "ü", "password": "pß"}]


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be"])
@pytest.mark.parametrize("format", ["json", "yaml"])
def test_documents_in_each_encoding(format, encoding):
    (row,) = read(json.dumps(FLAT, ensure_ascii=False).encode(encoding), format)
    assert row.cells == FLAT[0]


@pytest.mark.parametrize(
    ("format", "content", "line"),
    [
        ("json", '[{\n"note": "é"}]'.encode("cp1252"), "line 2"),
        ("yaml", "\n\n- note: é".encode("cp1252"), "line 3"),
        ("json", "[1]é".encode("utf-16-le")[:-1], ""),
    ],
)
def test_documents_in_others(format, content, line):
    (error,) = refused(content, format)
    assert error.code == "wrong_encoding" and line in error.what


@pytest.mark.parametrize("format", ["csv", "json", "yaml"])
@pytest.mark.parametrize(
    ("content", "says"),
    [
        (b"PK\x03\x04 and more", "ZIP"),
        (b"\xd0\xcf\x11\xe0\xa1\xb1", "old Excel"),
        (b"\x1f\x8b\x08", "gzip"),
        (b"%PDF-1.7", "PDF"),
    ],
)
def test_files_of_other_programs(format, content, says):
    (error,) = refused(content, format)
    assert error.code == "unreadable_file" and says in error.what


def test_names_of_dockers_files():
    assert format_of(".dockerconfigjson") == format_of(".dockercfg") == "json"


# --- a bad cell and the others of its row ----------------------------------------------------


@pytest.mark.django_db
@pytest.mark.parametrize(
    "bad",
    [
        {"image_pattern": "a b:c"},
        {"image_pattern": HOST},
        {"image_pattern": ""},
        {"image_pattern": "y" * 70_000},
        {"environments": "nowhere"},
        {"enabled": "perhaps"},
        {"type": "aws-erc"},
        {"region": "eu-north-1"},
        {"region": "nowhere-1"},
        {"note": "x" * 501},
        {"note": "\0"},
        {"username": "someone"},
    ],
)
def test_a_bad_cell_brings_nothing_about_the_secret_that_is_kept(acme, actor, bad):
    fields = "image_pattern,type,access_key_id,secret_access_key,region,username,"
    fields += "environments,enabled,note"
    good = {"image_pattern": f"{HOST}/*", "type": "aws-ecr", "access_key_id": KEY}

    def table(**cells):
        cells = good | cells
        line = ",".join(cells.get(name, "") for name in fields.split(","))
        return Rows(io.BytesIO(f"{fields}\n{line}\n".encode()), "csv")

    apply(organization=acme, actor=actor, rows=table(secret_access_key=CANARY))
    report = plan(organization=acme, rows=table(**bad), update=True)
    assert report.errors
    assert {error.column for error in report.errors} == set(bad)
