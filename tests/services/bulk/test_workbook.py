"""Workbooks as office programs write them, read by the cells that are there."""

from __future__ import annotations

import datetime
import io
import zipfile

import openpyxl
import pytest

from orgs.services.bulk.files import Rows
from orgs.services.bulk.files.rows import BrokenFile
from tests.support.hostile import MAIN, RELATED, inline, relations, row, workbook

pytestmark = pytest.mark.once

COLUMNS = ["image_pattern", "type", "note", "username", "enabled"]


def read(content: bytes) -> list[dict]:
    return [dict(found.cells) for found in Rows(io.BytesIO(content), "xlsx")]


def note(content: bytes):
    return read(content)[0].get("note")


def written(*cells, prepare=lambda book: None) -> bytes:
    book = openpyxl.Workbook()
    book.active.append(COLUMNS)
    book.active.append(["a.b/c", "docker", *cells])
    prepare(book)
    file = io.BytesIO()
    book.save(file)
    return file.getvalue()


@pytest.mark.parametrize(
    ("cell", "value"),
    [
        ("text", "text"), ("  blanks ", "  blanks "), ("two\nlines", "two\nlines"), ("é𐍈", "é𐍈"),
        ("<&>", "<&>"), (7, 7), (7.0, 7), (-3, -3), (3.14, 3.14), (1e14, 10**14), (True, True),
        (False, False), (None, None), (datetime.date(2026, 1, 31), "2026-01-31"), ("'=1", "=1"),
        (datetime.datetime(2026, 1, 31), "2026-01-31"), ("007", "007"),
    ],
)  # fmt: skip
def test_cells(cell, value):
    assert note(written(cell)) == value


@pytest.mark.parametrize(
    ("cell", "code"),
    [(datetime.datetime(2026, 1, 31, 12), "not_text"), ("=1+1", "formula_error"),
     ("#DIV/0!", "formula_error"), (datetime.time(1, 2), "not_text")],
)  # fmt: skip
def test_cells_that_have_no_text(cell, code):
    (found,) = Rows(io.BytesIO(written(cell)), "xlsx")
    assert [(e.row, e.column, e.code) for e in found.errors] == [(2, "note", code)]


def test_numbers_with_a_format_of_ones_own():
    def style(shown):
        def prepare(book):
            book.active["C2"].number_format = shown

        return prepare

    assert note(written(46053, prepare=style("yyyy-mm-dd"))) == "2026-01-31"
    for shown in ("0.00", '0 "days"', "[Red]0", r"0\d", "General"):
        assert note(written(46053, prepare=style(shown))) == 46053


def test_days_counted_from_1904():
    def prepare(book):
        book.epoch = openpyxl.utils.datetime.CALENDAR_MAC_1904

    assert note(written(datetime.date(2026, 1, 31), prepare=prepare)) == "2026-01-31"


def test_the_sheet_that_is_shown():
    def second(book):
        other = book.create_sheet("other")
        other.append(COLUMNS)
        other.append(["x.y/z", "docker", "second"])
        book.active = 1

    def hidden(book):
        second(book)
        book["Sheet"].sheet_state = "hidden"
        book.active = 0

    assert note(written("first")) == "first"
    assert note(written("first", prepare=second)) == "second"
    assert note(written("first", prepare=hidden)) == "second"


def test_cells_without_a_place_and_rows_without_a_number():
    rows = "<row><c t='inlineStr'><is><t>a.b/c</t></is></c><c t='str'><v>docker</v></c></row>"
    assert read(workbook(rows)) == [{"image_pattern": "a.b/c", "type": "docker"}]


def test_pieces_of_a_text_and_how_it_is_pronounced():
    text = "<si><r><t>a.b</t></r><r><t>/c</t></r><rPh><t>said</t></rPh></si>"
    shared = workbook(row(2, '<c r="A2" t="s"><v>0</v></c>', inline("B2", "x")), texts=text)
    assert read(shared)[0]["image_pattern"] == "a.b/c"
    inside = f'<c r="A2" t="inlineStr">{text.replace("si>", "is>")}</c>'
    assert read(workbook(row(2, inside)))[0]["image_pattern"] == "a.b/c"


def test_names_with_a_prefix_and_targets_from_the_root():
    """As Microsoft's own library for other programs writes them."""
    files = {
        "_rels/.rels": relations(("officeDocument", "/xl/workbook.xml")),
        "xl/workbook.xml": f'<x:workbook xmlns:x="{MAIN}" xmlns:r="{RELATED}"><x:sheets>'
        '<x:sheet name="a" sheetId="1" r:id="r1"/></x:sheets></x:workbook>',
        "xl/_rels/workbook.xml.rels": relations(("worksheet", "/xl/worksheets/one.xml")),
        "xl/worksheets/one.xml": f'<x:worksheet xmlns:x="{MAIN}"><x:sheetData><x:row>'
        "<x:c t='str'><x:v>image_pattern</x:v></x:c><x:c t='str'><x:v>type</x:v></x:c></x:row>"
        "<x:row><x:c t='str'><x:v>a.b/c</x:v></x:c></x:row></x:sheetData></x:worksheet>",
    }
    made = io.BytesIO()
    with zipfile.ZipFile(made, "w") as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    assert read(made.getvalue()) == [{"image_pattern": "a.b/c"}]


def test_many_empty_rows_before_the_last():
    rows = "".join(f'<row r="{n}"><c r="A{n}" s="0"/></row>' for n in range(2, 90_000))
    found = list(Rows(io.BytesIO(workbook(rows + row(90_000, inline("A90000", "a.b/c")))), "xlsx"))
    assert [each.number for each in found] == [90_000]


def test_where_no_sheet_is_shown():
    with pytest.raises(BrokenFile, match="isn't an XLSX workbook, or it has a password"):
        read(workbook(more={"xl/workbook.xml": b"<workbook/>"}))
