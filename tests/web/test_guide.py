"""The guide: every page renders, leads somewhere, and says what the code says."""

from __future__ import annotations

import json
import re
import struct
from pathlib import Path

import pytest
from django.conf import settings
from django.core.management import get_commands, load_command_class
from django.urls import reverse

from orgs.forms.entry import entry_form
from orgs.forms.fields import FROM_PATTERN
from orgs.forms.verifying import AfterForm
from orgs.models import RegistryEntry
from orgs.registries import aws_denials, codes, ecr_policy
from orgs.registries.aws_ecr_public import AwsEcrPublic
from orgs.registries.catalogue import TYPES
from orgs.services.verification.verifying import Result, Step
from orgs.templatetags import registries as tags
from orgs.web import guide
from tests.conftest import CANARY

from .conftest import NEW, Page

pytestmark = pytest.mark.once

NAMES = tuple(guide.guides())
SOURCES = {name: (guide.FOLDER / f"{name}.md").read_text("utf-8") for name in NAMES}
# Others' own: of the network, of Docker, of GitHub.
FOREIGN = {"HTTPS_PROXY", "REQUESTS_CA_BUNDLE", "DOCKER_CONFIG", "GITHUB_TOKEN"}


@pytest.fixture
def pages(client) -> dict[str, Page]:
    """Every page as anyone sees it, by address."""
    addresses = [reverse("guide_index"), *(reverse("guide", args=[name]) for name in NAMES)]
    return {address: Page(client.get(address)) for address in addresses}


@pytest.mark.parametrize(
    "name", ["passwords", "valohai-yaml", "workers", "import", "scripts", "operations"]
)
def test_there_is_a_page(name):
    assert name in NAMES


@pytest.mark.parametrize("registry_type", TYPES, ids=lambda t: t.slug)
def test_every_type_has_a_page(registry_type):
    assert guide.guides()[registry_type.slug].title == registry_type.label


def test_pages_render(pages):
    for address, page in pages.items():
        assert page.status == 200, address
        assert page.title.startswith(f"{page.heading} · Guide" if address != "/guide/" else "Guide")
        assert len(page.texts["h1"]) == 1
        assert not re.search(r"\sstyle=|<style|\son[a-z]+=|<script(?![^>]* src=)", page.html)
        assert page.by_id.keys() >= {"content"}  # ids are unique, or Page refuses
        assert CANARY not in page.html


def test_markdown_is_all_rendered(pages):
    for address, page in pages.items():
        shown = re.sub(r"<pre.*?</pre>|<code.*?</code>", "", page.html, flags=re.DOTALL)
        assert not re.search(r"\]\(|\*\*|```|\n#", shown), address


def test_every_link_leads_somewhere(pages, client):
    inside = 0
    for address, page in pages.items():
        for target in page.links.values():
            path, _, anchor = target.partition("#")
            path = path or address
            if path in pages:
                inside += 1
                assert not anchor or anchor in pages[path].attributes, (address, target)
            else:
                assert path in {"/", "/api/"}, (address, target)
    assert inside > 50


@pytest.mark.parametrize("source", ["README.md", *(f"docs/guide/{name}.md" for name in NAMES)])
def test_links_in_the_files_lead_somewhere(source):
    file = settings.BASE_DIR / source
    for target in re.findall(r"\]\(([^)#]+)[^)]*\)", file.read_text("utf-8")):
        if target != "/api/" and not target.startswith((f"{guide.PICTURES}/", "https://")):
            assert (file.parent / target).exists(), target


@pytest.mark.parametrize(
    "path", ["nowhere", "..", "pictures", "workers.md", "..%2f..%2fREADME", "Workers", "%2e%2e"]
)
def test_other_pages_are_not_there(client, path):
    answer = client.get(f"/guide/{path}/")
    assert answer.status_code == 404
    assert "you can't see it" in answer.content.decode().replace("&#x27;", "'")


@pytest.mark.parametrize("address", ["/guide/", "/guide/workers/"])
def test_only_reading(client, address):
    assert client.head(address).status_code == 200
    for method in ("post", "put", "delete"):
        assert getattr(client, method)(address).status_code == 405


def test_what_scrolls_can_be_focused_and_has_its_own_name(pages):
    for address, page in pages.items():
        opened = re.findall(r"<(?:pre|div class=\"scrolls\")[^>]*>", page.html)
        labels = [re.search(r'aria-label="([^"]+)"', tag)[1] for tag in opened]  # type: ignore[index]
        assert len(labels) == len(set(labels)), address
        assert all('tabindex="0"' in tag and 'role="region"' in tag for tag in opened)
        assert len(opened) == page.html.count("<pre") + page.html.count("<table")


def test_long_pages_have_contents(pages):
    operations = pages["/guide/operations/"]
    assert operations.links["Error codes"] == "#error-codes"
    assert "on-page" not in pages["/guide/valohai-yaml/"].html


# --- rendering ----------------------------------------------------------------


def png(path: Path, width: int, height: int) -> None:
    path.parent.mkdir(exist_ok=True)
    head = b"\x89PNG\r\n\x1a\n" + struct.pack(">I4sII", 13, b"IHDR", width, height)
    path.write_bytes(head + bytes(5))


PICTURED = "# T\n\nBefore.\n\n![A <form>](pictures/entry-form.png)\n\nAfter.\n"


def test_a_missing_picture_is_left_out(tmp_path):
    body = guide.guide_of("t", PICTURED, tmp_path).body
    assert body == "<p>Before.</p>\n<p>After.</p>\n"


def test_a_picture(tmp_path):
    png(tmp_path / "pictures/entry-form.png", 1200, 900)
    body = guide.guide_of("t", PICTURED, tmp_path).body
    assert (
        '<p><picture><img src="/static/guide/entry-form.png" alt="A &lt;form&gt;" '
        'width="1200" height="900" loading="lazy"></picture></p>'
    ) in body


def test_a_picture_with_a_dark_one(tmp_path):
    png(tmp_path / "pictures/entry-form.png", 12, 9)
    png(tmp_path / "pictures/entry-form-dark.png", 12, 9)
    body = guide.guide_of("t", PICTURED, tmp_path).body
    assert (
        '<picture><source srcset="/static/guide/entry-form-dark.png" '
        'media="screen and (prefers-color-scheme: dark)"><img '
    ) in body


def test_what_is_no_png_is_left_out(tmp_path):
    (tmp_path / "pictures").mkdir()
    (tmp_path / "pictures/entry-form.png").write_bytes(b"GIF89a" + bytes(40))
    assert "<picture" not in guide.guide_of("t", PICTURED, tmp_path).body


@pytest.mark.parametrize(
    "address", ["../secret.png", "pictures/../x.png", "https://a.io/x.png", "x.png"]
)
def test_pictures_from_elsewhere_are_left_out(tmp_path, address):
    png(tmp_path / "x.png", 1, 1)
    assert "<img" not in guide.guide_of("t", f"# T\n\n![x]({address})\n", tmp_path).body


def test_a_picture_that_was_not_collected_is_left_out(tmp_path, monkeypatch):
    def not_in_manifest(name):
        raise ValueError(name)

    png(tmp_path / "pictures/entry-form.png", 1, 1)
    monkeypatch.setattr(guide, "static", not_in_manifest)
    assert "<img" not in guide.guide_of("t", PICTURED, tmp_path).body


def test_raw_html_stays_text(tmp_path):
    body = guide.guide_of("t", "# T\n\n<script>x</script> <b>y</b>\n", tmp_path).body
    assert "<script" not in body and "<b>" not in body


def test_links_to_pages(tmp_path):
    text = "# T\n\n[a](workers.md) [b](workers.md#a-token) [c](https://example.com/x.md)\n"
    found = re.findall(r'href="([^"]+)"', guide.guide_of("t", text, tmp_path).body)
    assert found == ["/guide/workers/", "/guide/workers/#a-token", "https://example.com/x.md"]


def test_a_page_without_a_title_is_refused(tmp_path):
    with pytest.raises(ValueError, match="title"):
        guide.guide_of("t", "Text.\n", tmp_path)


def test_read_once_but_anew_when_developing(settings, monkeypatch, tmp_path):
    assert guide.guides() is guide.guides()
    settings.DEBUG = True
    (tmp_path / "new.md").write_text("# New\n")
    monkeypatch.setattr(guide, "FOLDER", tmp_path)
    assert [*guide.guides()] == ["new"]


# --- what it says -------------------------------------------------------------


@pytest.mark.parametrize("name", NAMES)
def test_commands_exist(name):
    for line in SOURCES[name].replace("\\\n", " ").splitlines():
        for command, rest in re.findall(r"manage\.py ([a-z_]+)([^`|]*)", line):
            assert command in get_commands(), command
            owner = get_commands()[command]
            parser = load_command_class(str(owner), command).create_parser("manage.py", command)
            for option in re.findall(r"--[a-z-]+", rest):
                assert option in parser._option_string_actions, (command, option)


def test_the_readme_has_every_command_and_only_options_it_takes():
    readme = (settings.BASE_DIR / "README.md").read_text("utf-8")
    table = readme.partition("## Commands")[2].partition("\n## ")[0]
    rows = re.findall(r"^\| `([a-z_]+)([^`]*)` \| (.*) \|$", table, re.MULTILINE)
    ours = {name for name, owner in get_commands().items() if owner == "orgs"}
    # What `make run` calls by itself needs no line; `migrate` is Django's own, guarded.
    assert ours - {name for name, _, _ in rows} == {"first_start", "migrate"}
    for name, options, does in rows:
        parser = load_command_class("orgs", name).create_parser("manage.py", name)
        taken = parser._option_string_actions
        for option in re.findall(r"--[a-z-]+", options):
            assert option in taken, (name, option)
        if "--format" in options:
            told = set(re.findall(r"`([a-z0-9-]+)`", does))
            assert told == set(taken["--format"].choices or ()), name


def test_settings_are_the_servers():
    known = (settings.BASE_DIR / "valohai_registries/settings.py").read_text()
    read = set(re.findall(r"""(?:text|words|env\.[a-z_]+)\(\s*["']([A-Z_]+)["']""", known))
    titles = ("## Settings", "## Sign-in with your company's")
    parts = (SOURCES["operations"].partition(title)[2].partition("\n## ")[0] for title in titles)
    lines = "\n".join(parts).splitlines()
    first_cells = "".join(line.split("|")[1] for line in lines if line[:1] == "|")
    assert set(re.findall(r"`([A-Z_]+)`", first_cells)) == read


@pytest.mark.parametrize("name", NAMES)
def test_upper_case_names_exist(name):
    names = ("valohai_registries", "orgs/registries", "worker", "templates/workers/scripts")
    folders = [settings.BASE_DIR / name for name in names]
    files = [path for folder in folders for path in folder.iterdir() if path.is_file()]
    known = "".join(path.read_text("utf-8") for path in files)
    for found in re.findall(r"`([A-Z]+_[A-Z_]+)`", SOURCES[name]):
        assert found in known or found in FOREIGN, found


@pytest.mark.parametrize("registry_type", TYPES, ids=lambda t: t.slug)
def test_labels_are_the_forms(registry_type):
    form = entry_form(registry_type)
    labels = {str(field.label) for field in form.base_fields.values() if field.label}
    after = {str(field.label) for field in AfterForm.base_fields.values()}
    steps = SOURCES[registry_type.slug].partition("## Add the entry")[2].partition("\n## ")[0]
    named = set(re.findall(r"\*([A-Z][^*]+)\*(?!\*)", re.sub(r"\*\*.*?\*\*", "", steps)))
    wanted = {"Match pattern", "Registry type", *(f.label for f in registry_type.fields)}
    assert wanted <= named
    assert named <= labels | after
    assert f"**{registry_type.label}**" in steps
    assert ("Region" in wanted) == (f"**{FROM_PATTERN}**" in steps)


def test_the_policy_is_the_forms():
    (whole,) = re.findall(r"```json\n(.*?)```", SOURCES["aws-ecr"], re.DOTALL)
    read, token = json.loads(whole)["Statement"]
    assert tuple(read["Action"]) == ecr_policy.ACTIONS
    assert (read["Sid"], token["Sid"]) == ("ReadECRRepository", "GetECRAuthToken")
    assert token["Action"] == "ecr:GetAuthorizationToken" and token["Resource"] == "*"
    assert f"`{ecr_policy.NAME}`" in SOURCES["aws-ecr"]
    for action in ecr_policy.PULL_THROUGH_ACTIONS:
        assert f"`{action}`" in SOURCES["aws-ecr"]
    (public,) = re.findall(r"```json\n(.*?)```", SOURCES["aws-ecr-public"], re.DOTALL)
    assert json.loads(public) == json.loads(AwsEcrPublic().policy({}, []).document)


def test_verification_is_told_as_it_shows():
    steps = [tags.step_title(Step(name, Result.OK)) for name in ("login", "registry", "image")]
    table = SOURCES["aws-ecr"].partition("## Verification")[2].partition("\n## ")[0]
    rows = [line.split("|")[1].strip() for line in table.splitlines() if line.startswith("| ")]
    assert rows[1:] == steps
    assert "*Checked on workers*" in SOURCES["aws-ecr-role"]
    assert f"*{RegistryEntry.Status.UNREADABLE.label}*" in SOURCES["operations"]


def test_states_are_told_as_they_are():
    assert f"*{tags._UNREACHABLE.word}*" in SOURCES["aws-ecr"]
    (row,) = re.findall(r"^\| `status` \| (.*) \|$", SOURCES["import"], re.MULTILINE)
    assert set(re.findall(r"`(\w+)`", row)) == set(RegistryEntry.Status.values)


def test_every_kind_of_policy_that_denies_is_told():
    section = SOURCES["aws-ecr"].partition("## When AWS still refuses")[2].partition("\n## ")[0]
    told = re.findall(r"^\| [^|\n]*?\*\*([^*|\n]+)\*\*", section, re.MULTILINE)
    assert set(told) == set(aws_denials._KINDS)
    assert told.count("identity-based policy") == 2  # without an Allow, and with a Deny


def test_error_codes_are_those_of_the_table():
    """Every one that a worker meets, in the table's own words."""
    section = SOURCES["operations"].partition("## Error codes")[2]
    rows = [
        [cell.strip() for cell in line.split("|")[1:-1]]
        for line in section.splitlines()
        if line.startswith("| `")
    ]
    told = {}
    for names, status, what, fix, worker in rows:
        assert fix.endswith(".")
        for code in re.findall(r"`([a-z0-9_]+)`", names):
            told[code] = (status, what, worker)
    assert told == {
        code: (str(row.status or "–"), row.says, row.worker.value)
        for code, row in codes.table().items()
        if row.worker is not codes.Worker.NEVER
    }


@pytest.mark.django_db
@pytest.mark.parametrize("registry_type", TYPES, ids=lambda t: t.slug)
def test_the_form_leads_to_its_types_page(look, alice, registry_type):
    page = look(alice, NEW, type=registry_type.slug)
    assert (
        page.links[f"Guide: {registry_type.label}, in a new tab"] == f"/guide/{registry_type.slug}/"
    )


@pytest.mark.django_db
@pytest.mark.parametrize(
    ("address", "name"),
    [("workers/setup/", "workers"), ("registries/import/", "import"),
     ("registries/check/", "valohai-yaml"), ("", "valohai-yaml")],
)  # fmt: skip
def test_pages_lead_to_the_guide(look, alice, address, name):
    page = look(alice, f"/organizations/acme/{address}")
    assert f'href="/guide/{name}/"' in page.html
    assert page.texts["footer"] == ["Guide API"]
