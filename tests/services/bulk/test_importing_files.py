"""What files import reads, and what it says of those that it can't."""

from __future__ import annotations

import io
import json
import re

import openpyxl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from orgs.models import RegistryEntry
from orgs.services.audit.cells import escape, unescape
from orgs.services.bulk.files import Rows, format_of
from orgs.services.bulk.files.columns import columns
from orgs.services.bulk.files.rows import BrokenFile
from orgs.services.bulk.importing import apply, plan
from tests.conftest import CANARY, HOST

KEY = "AKIAIOSFODNN7EXAMPLE"
TABLE = (
    "image_pattern,type,access_key_id,secret_access_key,note\n"
    f'{HOST}/a,aws-ecr,{KEY},{CANARY},"one, two"\n'
    f"{HOST}/b,aws-ecr,{KEY},{CANARY},\n"
)


def rows(content, format="csv"):
    content = content.encode() if isinstance(content, str) else content
    return list(Rows(io.BytesIO(content), format))


def broken(content, format="csv"):
    """The (row, column, code) of what is told; the canary never is."""
    with pytest.raises(BrokenFile) as raised:
        rows(content, format)
    assert CANARY not in f"{raised.value} {raised.value.errors}"
    assert CANARY[:12] not in f"{raised.value}"
    return [(error.row, error.column, error.code) for error in raised.value.errors]


def workbook(*records):
    book = openpyxl.Workbook()
    for record in records:
        book.active.append(record)
    file = io.BytesIO()
    book.save(file)
    return file.getvalue()


@pytest.mark.parametrize(
    "content",
    [
        TABLE,
        "\ufeff" + TABLE,
        TABLE.encode("utf-16"),
        TABLE.replace("\n", "\r\n"),
        TABLE.replace("\n", "\r"),
        TABLE.replace("one, two", "one# two").replace(",", ";").replace("#", ","),
        TABLE.replace("one, two", "one# two").replace(",", "\t").replace("#", ","),
        TABLE.replace("image_pattern,type", "Image Pattern, TYPE").replace("_id", "-ID"),
        TABLE.replace("note\n", '"note",,\n'),
        TABLE.rstrip("\n"),
    ],
)
def test_tables_as_programs_write_them(content):
    first, second = rows(content)
    assert (first.number, second.number) == (2, 3)
    assert first.cells["image_pattern"] == f"{HOST}/a"
    assert first.cells["note"] == "one, two"
    assert second.cells["secret_access_key"] == CANARY


def test_blank_rows_are_passed_over_and_counted():
    lines = TABLE.splitlines()
    found = rows("\n".join(["", lines[0], "", " , ,,", ",,,,", lines[1], "", lines[2], "", ""]))
    assert [row.number for row in found] == [6, 8]


def test_a_short_row_has_blank_cells_and_a_long_one_only_blanks_beyond():
    short, long = rows(f"image_pattern,type,note\n{HOST}/a,aws-ecr\n{HOST}/b,aws-ecr,x,,\n")
    assert (short.cells.get("note"), short.errors) == (None, ())
    assert (long.cells["note"], long.errors) == ("x", ())


def test_a_row_with_too_many_cells_says_so_and_is_read_no_further():
    (row,) = rows(f"image_pattern,type\n{HOST}/a,aws-ecr,{CANARY}\n")
    assert [(e.row, e.code) for e in row.errors] == [(2, "too_many_cells")]
    assert row.cells == {}
    assert CANARY not in repr(row)


def test_what_exports_and_the_api_tell_beside_is_passed_over():
    (row,) = rows(f"id,image_pattern,type,status,last_used,key_age_days\n1,{HOST}/a,x,a,b,c\n")
    assert row.cells == {"image_pattern": f"{HOST}/a", "type": "x"}


@pytest.mark.parametrize(
    ("content", "told"),
    [
        ("", [(None, "", "no_header")]),
        ("\n\n", [(None, "", "no_header")]),
        (f"{HOST}/a,aws-ecr,{KEY},{CANARY}\n", [(1, "", "no_header")]),
        (f"\n{CANARY};aws-ecr\n", [(2, "", "no_header")]),
        (
            "image_patern,type,secret,Acces Key Id,note,note\n",
            [
                (1, "image_patern", "unknown_column"),
                (1, "secret", "unknown_column"),
                (1, "acces_key_id", "unknown_column"),
                (1, "note", "duplicate_column"),
                (1, "image_pattern", "missing_column"),
            ],
        ),
        (f"image_pattern,type,{CANARY}\n", [(1, "column 3", "unknown_column")]),
        (
            f"image_pattern,type,,note\n{HOST}/a,aws-ecr,{CANARY},\n",
            [(1, "column 3", "unknown_column")],
        ),
        ((TABLE + "x").encode("utf-16")[:-1], [(None, "", "wrong_encoding")]),
        (TABLE + f'"{CANARY},aws-ecr\n' + TABLE, [(4, "", "broken_quotes")]),
        (TABLE + f'"{CANARY}"x,aws-ecr\n', [(4, "", "broken_quotes")]),
        (TABLE + f'"{CANARY * 5000}', [(4, "", "broken_quotes")]),
        (f'"{CANARY}"x,type\n', [(1, "", "broken_quotes")]),
        (workbook(["image_pattern"]), [(None, "", "unreadable_file")]),
    ],
)
def test_tables_that_are_not(content, told):
    assert broken(content) == told


def test_the_nearest_known_column_is_named():
    with pytest.raises(BrokenFile) as raised:
        rows("image_patern,type\n")
    assert "Write image_pattern" in str(raised.value)


# --- spreadsheets ------------------------------------------------------------------


def test_workbooks():
    records = [line.split(",")[:4] for line in TABLE.replace('"one', "one").splitlines()]
    found = rows(workbook(records[0], [], [*records[1], None, None], records[2]), "xlsx")
    assert [row.number for row in found] == [3, 4]
    assert found[0].cells["secret_access_key"] == CANARY


@pytest.mark.parametrize(
    ("content", "code"),
    [
        (b"", "unreadable_file"),
        (TABLE.encode(), "unreadable_file"),
        (workbook(["image_pattern", "type"])[:-30], "unreadable_file"),
        (workbook(), "no_header"),
        (workbook([f"{HOST}/a", "aws-ecr", CANARY]), "no_header"),
        (workbook(["image_pattern", "type"], *[[f"{HOST}/a", "x"]] * 10_001), "too_large"),
    ],
)
def test_workbooks_that_are_not(content, code):
    assert [found[2] for found in broken(content, "xlsx")] == [code]


# --- lists of entries ------------------------------------------------------------------

FLAT = {"image_pattern": f"{HOST}/a", "type": "aws-ecr", "access_key_id": KEY}
NESTED = {
    "id": "5",
    "owner": 1,
    "type": "aws-ecr",
    "image_pattern": f"{HOST}/a",
    "image_patterns": [f"{HOST}/a", f"{HOST}/b"],
    "configuration": {"version": "1", "access_key_id": KEY},
    "environments": [],
    "enabled": True,
}


@pytest.mark.parametrize("format", ["json", "yaml"])
def test_entries_flat_and_nested(format):
    """YAML reads JSON, but for what the test below holds."""
    flat, nested = rows(json.dumps([FLAT, NESTED]), format)
    assert (flat.number, flat.cells, nested.number) == (1, FLAT, 2)
    assert nested.cells == {
        **FLAT,
        "image_pattern": [f"{HOST}/a", f"{HOST}/b"],
        "environments": [],
        "enabled": True,
    }
    page = {"count": 1, "results": [NESTED]}
    assert rows(json.dumps(page), format)[0].cells == nested.cells


@pytest.mark.parametrize("format", ["json", "yaml"])
def test_passwords_of_digits_stay_as_written(format):
    text = '[{"password": 0123}]' if format == "yaml" else '[{"password": 123456789012345678901}]'
    expected = "0123" if format == "yaml" else "123456789012345678901"
    assert rows(text, format)[0].cells == {"password": expected}
    text = '[{"password": 1.10}]'
    assert rows(text, format)[0].cells == {"password": "1.10"}


@pytest.mark.parametrize(
    ("scalar", "value"),
    [("no", "no"), ("0o17", "0o17"), ("2024-01-01", "2024-01-01"), ("nullable", "nullable"),
     ("~", None), ("null", None), ("", None), ("truely", "truely"), ("'null'", "null"),
     ("<<", "<<"), ("=", "="), ("1:30", "1:30")],
)  # fmt: skip
def test_yaml_scalars_are_text_as_written(scalar, value):
    assert rows(f"- password: {scalar}\n", "yaml")[0].cells == {"password": value}


@pytest.mark.parametrize("format", ["json", "yaml"])
@pytest.mark.parametrize(
    ("entry", "code", "column"),
    [
        ([CANARY], "not_an_entry", ""),
        (CANARY, "not_an_entry", ""),
        ({**FLAT, "configuration": [CANARY]}, "not_an_entry", "configuration"),
        ({**FLAT, "configuration": {"version": "2"}}, "unknown_version", "configuration"),
        ({**FLAT, "configuration": {"access_key_id": CANARY}}, "duplicate_column", "configuration"),
        ({**FLAT, "acces_key_id": CANARY}, "unknown_column", "acces_key_id"),
        ({**FLAT, CANARY: "x"}, "unknown_column", ""),
        ({**FLAT, "configuration": {CANARY: "x"}}, "unknown_column", ""),
        ({**FLAT, "image_patterns": [f"{HOST}/x"]}, "patterns_disagree", "image_pattern"),
    ],
)
def test_entries_that_are_not(format, entry, code, column):
    (row,) = rows(json.dumps([entry]), format)
    assert [(e.row, e.code, e.column) for e in row.errors] == [(1, code, column)]
    assert CANARY not in str(row.errors)


@pytest.mark.parametrize(
    ("content", "format", "code"),
    [
        (f'[{{"password": "{CANARY}"', "json", "unreadable_file"),
        (f"{CANARY}", "json", "unreadable_file"),
        (f'"{CANARY}"', "json", "not_a_list"),
        (f'{{"password": "{CANARY}"}}', "json", "not_a_list"),
        (f'[{{"password": "x", "password": "{CANARY}"}}]', "json", "duplicate_column"),
        (b'["\xff"]', "json", "wrong_encoding"),
        ("[" * 100_000, "json", "too_deep"),
        ("[" + "1," * 10_001 + "1]", "json", "too_large"),
        (b" " * 20_000_001, "json", "too_large"),
        (f"- password: [{CANARY}", "yaml", "unreadable_file"),
        (f"- password: !!python/name:{CANARY[:6]} x", "yaml", "yaml_tag"),
        (f"- {{password: x, password: {CANARY}}}", "yaml", "duplicate_column"),
        (f"- password: *{CANARY[:6]}", "yaml", "yaml_alias"),
        ("- a: \0", "yaml", "unreadable_file"),
        ("? [a]\n: b", "yaml", "unreadable_file"),
        ("[" * 100_000, "yaml", "too_deep"),
        (CANARY, "yaml", "not_a_list"),
        ("", "yaml", "not_a_list"),
        ("- a\n--- \n- b", "yaml", "unreadable_file"),
    ],
)
def test_documents_that_are_not(content, format, code):
    assert [found[2] for found in broken(content, format)] == [code]


def test_yaml_of_millions_of_parts_is_refused_soon():
    """Built, this one would take a minute and 1.7 GB."""
    assert broken(b"[" + b"a," * 4_900_000 + b"]", "yaml") == [(None, "", "too_large")]


@pytest.mark.django_db
def test_values_that_are_not_text(acme):
    entries = [
        {**FLAT, "secret_access_key": [CANARY]},
        {**FLAT, "secret_access_key": True, "note": {"x": CANARY}},
        {**FLAT, "image_pattern": [f"{HOST}/c", True], "secret_access_key": CANARY},
        {**FLAT, "secret_access_key": CANARY, "note": "\ud800"},
    ]
    for number in (1, 3):
        entries[number]["image_pattern"] = f"{HOST}/{number}"
    file = io.BytesIO(json.dumps(entries).encode())
    report = plan(organization=acme, rows=Rows(file, "json"))
    assert [(e.row, e.column, e.code) for e in report.errors] == [
        (1, "secret_access_key", "not_text"),
        (2, "secret_access_key", "not_text"),
        (2, "note", "not_text"),
        (3, "image_pattern", "not_text"),
        (4, "note", "control_character"),
    ]
    assert CANARY not in repr(report)


@pytest.mark.django_db
def test_numbers_in_workbooks(acme, actor):
    header = ["image_pattern", "type", "username", "password", "enabled", "note"]
    good = workbook(header, ["me/*", "docker", 42, CANARY, False, 7.0])
    apply(organization=acme, actor=actor, rows=Rows(io.BytesIO(good), "xlsx"))
    entry = RegistryEntry.objects.get()
    assert (entry.config, entry.enabled, entry.note) == ({"username": "42"}, False, "7")
    # A spreadsheet may have dropped digits of it.
    bad = workbook(header, ["you/*", "docker", "u", 123456, None, None])
    report = plan(organization=acme, rows=Rows(io.BytesIO(bad), "xlsx"))
    assert [(e.column, e.code) for e in report.errors] == [("password", "not_text")]


# --- names and cells ---------------------------------------------------------------------


def test_formats_by_name():
    names = ["a.csv", "A.CSV", "a.b.json", "a.yaml", "a.yml", "a.xlsx", "a.txt", "csv", "a.ods"]
    assert [format_of(name) for name in names] == [
        "csv", "csv", "json", "yaml", "yaml", "xlsx", None, "csv", None
    ]  # fmt: skip


@pytest.mark.parametrize(
    "cell",
    [
        "a;=1",
        ";;=x",
        "\t\t=x",
        "a\n=1",
        "a;'-1",
        "=1+1",
        "+1",
        "-1",
        "@x",
        "\tx",
        "\rx",
        "\nx",
        "＝1",
        "'=1",
        "''=1",
        "'",
        "''",
        "'x",
        "x",
        "",
    ],
)
def test_escaped_cells_are_no_formulas_and_come_back(cell):
    escaped = escape(cell)
    for piece in re.split("[;\t\r\n]", escaped):
        assert not piece.startswith(("=", "+", "-", "@", "＝"))
    assert not escaped.startswith(("\t", "\r", "\n"))
    assert unescape(escaped) == cell


@given(st.text(alphabet="a';=-\t\n @,\"", max_size=12))
def test_any_cell_comes_back(cell):
    assert unescape(escape(cell)) == cell
    assert not any(piece.startswith(("=", "-", "@")) for piece in re.split("[;\t\n]", escape(cell)))


def test_the_columns_of_the_contract():
    assert ", ".join(columns()) == (
        "image_pattern, type, access_key_id, secret_access_key, region, role_arn, narrow, "
        "pull_through, role_name, "
        "service_account_json, workload_identity_provider, service_account_email, "
        "tenant_id, client_id, client_secret, username, password, "
        "ca_certificate, environments, enabled, note, secret_expires_on"
    )


@pytest.mark.parametrize(
    ("scalar", "value"),
    [("'&a'", "&a"), ('"*a"', "*a"), ("'!x'", "!x"), ("!!str 012", "012"), ("! x", "x"),
     ("a&b*c!d", "a&b*c!d"), ("|-\n    *a", "*a")],
)  # fmt: skip
def test_yaml_signs_in_texts(scalar, value):
    assert rows(f"- password: {scalar}\n", "yaml")[0].cells == {"password": value}


@pytest.mark.parametrize("text", ["- &a x", "- *a", "- {<<: *a}", "- &a {b: c}", "- {&a b: c}"])
def test_yaml_anchors_and_aliases(text):
    assert broken(text, "yaml") == [(None, "", "yaml_alias")]


@pytest.mark.parametrize("tag", ["int", "float", "binary", "set", "timestamp", "null", "omap"])
def test_yaml_tags(tag):
    assert broken(f"- password: !!{tag} ''", "yaml") == [(None, "", "yaml_tag")]


@pytest.mark.parametrize("format", ["json", "yaml"])
def test_documents_from_powershell(format):
    assert rows(json.dumps([FLAT]).encode("utf-16"), format)[0].cells == FLAT


def test_a_list_beside_the_same_list():
    entry = {**FLAT, "environments": ["a"], "configuration": {"environments": ["a"]}}
    assert rows(json.dumps([entry]), "json")[0].errors == []
    entry["configuration"] = {"environments": [["a"]]}
    (row,) = rows(json.dumps([entry]), "json")
    assert [error.code for error in row.errors] == ["duplicate_column"]
