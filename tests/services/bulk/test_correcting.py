"""What is certain in a file, put right: nothing else changes, and what was wrong is gone."""

from __future__ import annotations

import csv
import io
import json
import random

import pytest
import yaml
from openpyxl import Workbook

from orgs.models import Environment
from orgs.registries.ecr_hosts import parse_ecr_host
from orgs.services.bulk import importing
from orgs.services.bulk.correcting import Corrections
from orgs.services.bulk.files import Rows, apart, corrected
from orgs.services.bulk.files.rows import BrokenFile
from tests.conftest import CANARY, HOST
from tests.services.bulk.test_importing import csv_file, csv_row

pytestmark = pytest.mark.django_db

OTHER = "ghcr.io/acme"


def planned(acme, content: bytes, format: str = "csv"):
    """What an import would do, and what is certain of what is wrong."""
    found = Corrections()
    report = importing.plan(
        organization=acme, rows=Rows(io.BytesIO(content), format), on_refused=found.look_at
    )
    return report, found


def again(acme, content: bytes, format: str = "csv"):
    """The same of the file by its corrections."""
    _, found = planned(acme, content, format)
    made = corrected.corrected(content, format, found.cells)
    return made, planned(acme, made.content, made.format)[0]


CERTAIN = [
    (f"{HOST}/a:v1", f"{HOST}/a", "tag_in_pattern"),
    (f"https://{HOST}/a", f"{HOST}/a", "scheme_in_pattern"),
    (f"https://{HOST}/a:v1", f"{HOST}/a", "scheme_in_pattern"),
    (HOST, f"{HOST}/*", "bare_host"),
    (f"{HOST}/A", f"{HOST}/a", "invalid_pattern"),
    (f"{HOST}/a:v1 {HOST}/b {HOST}/c@sha256:{'0' * 64}", f"{HOST}/a {HOST}/b {HOST}/c", None),
    (f"{HOST}/a:v1 {HOST}/a:v2 {HOST}/a", f"{HOST}/a", None),
]


@pytest.mark.parametrize(("cell", "wanted", "code"), CERTAIN)
def test_what_is_certain(cell, wanted, code, acme) -> None:
    content = csv_file(csv_row(f"{HOST}/fine"), csv_row(cell)).getvalue()
    report, found = planned(acme, content)
    assert found.cells == {3: {"image_pattern": wanted}} and found.errors == len(report.errors)
    assert code is None or [one.code for one in found.found] == [code]
    made, after = again(acme, content)
    assert (after.errors, after.created) == ([], 2) and made.secrets
    before = list(csv.reader(io.StringIO(content.decode())))
    assert list(csv.reader(io.StringIO(made.content.decode()))) == [
        *before[:2], [wanted, *before[2][1:]],
    ]  # fmt: skip


@pytest.mark.parametrize(
    "row",
    [
        csv_row(f"{HOST}.evil.com/a"),  # another type may be meant
        csv_row(f"{HOST}/a", region="eu-west-1"),
        csv_row(f"{HOST}/a:v1", region="eu-west-1"),
        csv_row(f"{HOST}/a:v1", secret_access_key="short"),
        csv_row(f"{HOST}/a:v1", access_key_id=CANARY),
        csv_row(f"{HOST}/a:v1 {HOST}.evil.com/a"),
        csv_row(f"{HOST}/a:v1", type="azure"),
        csv_row(f"{HOST}/a:v1", type="docker"),  # a host of ECR, once it's corrected
        csv_row(f"{HOST}/a:v1", enabled="perhaps"),
        csv_row(f"{HOST}/a:v1", environments="gpuu"),
        csv_row(f"{HOST}/a", environments="gpu-2"),
        csv_row("*"),
        csv_row(""),
        csv_row(" ".join(f"{HOST}/a{n}:v1" for n in range(101))),
        csv_row(f"{HOST}/a:v1", username="of another type"),
        csv_row(f"{HOST}/a:v1") + ",one cell more",
    ],
)
def test_what_is_not_certain_stays(row, acme, gpu) -> None:
    report, found = planned(acme, csv_file(row).getvalue())
    assert report.errors and found == Corrections(_spellings=found._spellings)


def test_environments_by_whatever_case(acme, gpu) -> None:
    Environment.objects.create(organization=acme, name="CPU", slug="CPU")
    content = csv_file(csv_row(environments="GPU cpu gpu")).getvalue()
    report, found = planned(acme, content)
    assert [error.code for error in report.errors] == ["environment_not_found"]
    assert found.cells == {2: {"environments": "gpu CPU"}}
    # Two of the same letters: which one is meant can't be told.
    Environment.objects.create(organization=acme, name="Cpu", slug="Cpu")
    assert not planned(acme, content)[1].cells


def test_only_the_rows_that_are_certain(acme) -> None:
    rows = [csv_row(f"{HOST}/a:v1"), csv_row(f"{HOST}/b:v1", secret_access_key="x"), csv_row(HOST)]
    content = csv_file(*rows).getvalue()
    report, found = planned(acme, content)
    assert sorted(found.cells) == [2, 4] and found.errors == 2 < len(report.errors) == 4
    _, after = again(acme, content)
    assert [error.row for error in after.errors] == [3, 3]


def entries(*patterns) -> list[dict]:
    return [
        {"type": "aws-ecr-role", "role_name": "W", "image_pattern": pattern, "note": "0123"}
        for pattern in patterns
    ]


@pytest.mark.parametrize("format", ["json", "yaml"])
@pytest.mark.parametrize(
    ("document", "wanted"),
    [
        (entries(f"{HOST}/a:v1"), entries(f"{HOST}/a")),
        (entries([f"{HOST}/a:v1", f"{HOST}/b"]), entries([f"{HOST}/a", f"{HOST}/b"])),
        (
            [{"type": "aws-ecr-role", "configuration": {"role_name": "W", "version": "1"},
              "image_patterns": [f"{HOST}/a:v1", f"{HOST}/b"], "image_pattern": f"{HOST}/a:v1"}],
            [{"type": "aws-ecr-role", "configuration": {"role_name": "W", "version": "1"},
              "image_patterns": [f"{HOST}/a", f"{HOST}/b"], "image_pattern": f"{HOST}/a"}],
        ),
        ({"count": "1", "results": entries(HOST)},
         {"count": "1", "results": entries(f"{HOST}/*")}),
        ([{**entries("")[0], "image_pattern": None, "Match pattern": f"{HOST}/a:v1"}], None),
    ],
    ids=["text", "list", "api", "page", "label"],
)  # fmt: skip
def test_lists_of_entries_stay_what_they_were(document, wanted, format, acme) -> None:
    dumped = json.dumps(document) if format == "json" else yaml.safe_dump(document)
    if wanted is None:
        assert not planned(acme, dumped.encode(), format)[1].cells
        return
    made, after = again(acme, dumped.encode(), format)
    assert (made.format, made.secrets, after.errors) == (format, False, [])
    load = json.loads if format == "json" else yaml.safe_load
    assert load(made.content) == wanted


def test_a_workbook_becomes_a_table_with_the_same_rows(acme) -> None:
    book, file = Workbook(), io.BytesIO()
    sheet = book.active
    sheet["A2"] = "sep=;"  # a title, which as a table's first line would name its separator
    for at, cells in ((4, ["Match pattern", "type", "role_name", "note", "enabled", "status"]),
                      (7, [f"{HOST}/a:v1", "aws-ecr-role", "W", 12, True, "x"]),
                      (9, [f"{HOST}/b", "aws-ecr-role", "=W;1", 1.5, None, None])):  # fmt: skip
        for column, cell in enumerate(cells, 1):
            sheet.cell(at, column, cell)
            sheet.cell(at, column).data_type = (
                "s" if cell == "=W;1" else sheet.cell(at, column).data_type
            )
    book.save(file)
    content = file.getvalue()
    report, _ = planned(acme, content, "xlsx")
    assert [error.row for error in report.errors if error.code == "tag_in_pattern"] == [7]
    made = corrected.corrected(content, "xlsx", {7: {"image_pattern": f"{HOST}/a"}})
    assert made.format == "csv" and not made.secrets
    rows = {row.number: row.cells for row in Rows(io.BytesIO(made.content), "csv")}
    before = {row.number: row.cells for row in Rows(io.BytesIO(content), "xlsx")}
    assert rows.keys() == before.keys() == {7, 9}
    assert rows[7] == {"image_pattern": f"{HOST}/a", "type": "aws-ecr-role", "role_name": "W",
                       "note": "12", "enabled": "true"}  # fmt: skip
    assert (rows[9]["role_name"], rows[9]["note"], rows[9].get("enabled")) == ("=W;1", "1.5", None)


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "cp1252"])
@pytest.mark.parametrize("above", ["", "sep=;\r\n", ";;\n\nOur registries;;\n"])
def test_a_table_keeps_its_encoding_and_its_other_cells(encoding, above, acme) -> None:
    text = f'{above}Match pattern;type;role name;note\r\n{HOST}/a:v1;aws-ecr-role;W;"Größe; 1"\r\n'
    content = text.encode(encoding)
    _, found = planned(acme, content)
    (row,) = found.cells
    made = corrected.corrected(content, "csv", found.cells)
    assert made.content.decode(encoding) == text.replace("a:v1", "a").replace("\n", "\r\n").replace(
        "\r\r\n", "\r\n"
    )
    before, after = (
        [(r.number, r.cells) for r in Rows(io.BytesIO(c), "csv")] for c in (content, made.content)
    )
    assert after == [(row, before[0][1] | {"image_pattern": f"{HOST}/a"})]


def test_what_has_secrets_says_so() -> None:
    """By their column, or by their form in another one."""
    head = "image_pattern,type,note,secret_access_key,password\n"
    for row, secrets in (
        ("a/b,aws-ecr,x,,", False),
        ("a/b,aws-ecr,x, ,", False),
        (f"a/b,aws-ecr,x,{CANARY},", True),
        ("a/b,docker,x,,p", True),
        (f"a/b,aws-ecr,{CANARY},,", True),
        (f"a/b,aws-ecr,x{CANARY},,", False),
    ):
        made = corrected.corrected(f"{head}{row}\n".encode(), "csv", {})
        assert made.secrets is secrets, row
    for nested in ({"password": "x"}, {"configuration": {"password": "x"}}, {"note": CANARY}):
        document = json.dumps([{"image_pattern": "a/b", "type": "docker", **nested}]).encode()
        assert corrected.corrected(document, "json", {}).secrets, nested


def test_dockers_own_file_is_no_list() -> None:
    content = json.dumps({"auths": {"ghcr.io": {"auth": "eDp5"}}}).encode()
    with pytest.raises(BrokenFile):
        corrected.corrected(content, "json", {1: {"image_pattern": "ghcr.io/*"}})


def test_in_a_process_apart(acme) -> None:
    content = csv_file(csv_row(f"{HOST}/a:v1", note="Größe")).getvalue()
    changes = {2: {"image_pattern": f"{HOST}/a"}}
    here = corrected.corrected(content, "csv", changes)
    assert apart.corrected(content, "csv", changes) == here
    assert CANARY not in repr(here) and here.secrets
    with pytest.raises(BrokenFile):
        apart.corrected(b"{", "json", {})


HOSTILE = ['"', "''", ",", ";", "\n", "\r\n", "\t", "\x07", "=1+1", "-", "@x", "'=1", " ", "\ufeff",
           "é", "日本", "𝒳", "null", "true", "~", "0123", "1e5", "a: b", "- x", "#", "%TAG", "&a",
           "{}", "[", "\\", "sep=;", "\u2028", "|", "“"]  # fmt: skip


@pytest.mark.parametrize("format", ["csv", "json", "yaml"])
def test_whatever_else_stands_there_is_kept(format) -> None:
    """Through each format's own reader: the corrected cells are those, the others as before."""
    chance = random.Random(format)
    assert parse_ecr_host(HOST)
    for _ in range(150):
        rows = [
            {
                "image_pattern": f"{HOST}/r{n}:v1",
                "type": chance.choice(["aws-ecr-role", *HOSTILE]),
                "note": "".join(chance.choices(HOSTILE, k=chance.randrange(6))),
                "role_name": "".join(chance.choices(HOSTILE, k=chance.randrange(3))),
                "status": chance.choice(HOSTILE),
            }
            for n in range(chance.randrange(1, 5))
        ]
        if format == "csv":
            out = io.StringIO(newline="")
            writer = csv.DictWriter(out, rows[0], delimiter=chance.choice(",;\t|"))
            writer.writeheader()
            writer.writerows(rows)
            content = out.getvalue().encode()
        elif format == "json":
            content = json.dumps(rows).encode()
        else:
            content = yaml.safe_dump(rows, allow_unicode=chance.random() < 0.5).encode()
        before = list(Rows(io.BytesIO(content), format))
        changes = {row.number: {"image_pattern": f"{HOST}/new"} for row in before[::2]}
        made = corrected.corrected(content, format, changes)
        after = list(Rows(io.BytesIO(made.content), made.format))
        assert [(r.number, r.errors) for r in after] == [(r.number, r.errors) for r in before]
        for old, new in zip(before, after, strict=True):
            wanted = dict(old.cells)
            if old.number in changes:
                wanted["image_pattern"] = f"{HOST}/new"
            assert dict(new.cells) == wanted


def test_whatever_pattern_is_corrected_is_right_then(acme) -> None:
    """Many that are wrong in ways of all kinds: what is corrected has none of that left."""
    chance = random.Random(7)
    parts = ["https://", "http://", "docker pull ", '"', HOST, HOST.upper(), "ghcr.io", "me", "/",
             "*",
             "a", "A", ":v1", ":*", "@sha256:" + "0" * 64, ".evil.com", ":443", "_", "..", "é", "`",
             "docker.io", "localhost:5000", "hub.docker.com/r/", "?x=1", "#frag"]  # fmt: skip
    rows = []
    for n in range(600):
        wild = "".join(chance.choices(parts, k=chance.randrange(1, 6)))
        cell = chance.choice([f"{HOST}/r{n}:v{n}", f"https://{HOST}/r{n}", wild])
        kind = chance.choice(["aws-ecr", "aws-ecr-role", "docker"])
        if kind == "docker":
            cell = cell.replace(HOST, OTHER)
        rows.append([*next(csv.reader([csv_row("x", type=kind)]))])
        rows[-1][0] = cell
    out = io.StringIO()
    csv.writer(out).writerow(next(csv.reader(csv_file().getvalue().decode().splitlines())))
    csv.writer(out).writerows(rows)
    content = out.getvalue().encode()
    report, found = planned(acme, content)
    wrong = {error.row for error in report.errors}
    assert 150 < len(found.cells) < len(wrong)
    _, after = again(acme, content)
    # Beside each other some are the same now, which was hidden before.
    beside = {"duplicate_row", "too_many_wildcards"}
    left = {error.row: str(error) for error in after.errors if error.code not in beside}
    assert {row: left[row] for row in left if row in found.cells} == {}
    assert left.keys() <= wrong
