"""Help beside the form, by request and with the page; and an entry's policy on its page."""

from __future__ import annotations

import json
from html import unescape

import pytest
from django.test import Client
from django.urls import reverse

from orgs.models import Environment
from tests.conftest import CANARY, HOST
from tests.web.conftest import NEW, TYPED, Page, url

HELP = "/organizations/acme/registries/help/"


@pytest.fixture
def help_for(client, alice):
    def ask(patterns: str, registry_type: str = "aws-ecr", **rest: object) -> Page:
        client.force_login(alice)
        sent = {"patterns": patterns, "registry_type": registry_type, **rest}
        return Page(client.post(HELP, sent))

    return ask


def covered(page: Page) -> list[str]:
    return page.texts.get("dt", [])


def test_covers_examples_of_what_is_typed(help_for) -> None:
    page = help_for(f"{HOST}/my-repo/*")
    assert covered(page) == [f"{HOST}/my-repo/*"]
    assert page.texts["dd"][:3] == ["my-repo:v1", "my-repo/train", "my-repo/a/b:v1"]
    assert page.html.count('class="yes"') == page.html.count('class="no"') == 3
    assert f"{HOST.partition('.')[0]}:repository/my-repo/*" in page.by_id["policy-json"]
    assert page.attributes["help-covers"]["hx-swap-oob"] == "innerHTML"


@pytest.mark.parametrize("nothing", ["", "  \n", HOST, "https://", "///"])
def test_without_a_pattern_the_comparison(help_for, nothing: str) -> None:
    page = help_for(nothing)
    assert covered(page) == ["…/my-repo", "…/my-repo/*", "…/my-*/*"]
    assert "<REGION>" in page.by_id["policy-json"] and "policy-command" not in page.by_id


@pytest.mark.parametrize(
    ("patterns", "code"),
    [
        (HOST, "patterns:bare_host"),
        (f"{HOST}/a:v1", "patterns:tag_in_pattern"),
        (f"{HOST}/taken", "patterns:duplicate_pattern"),
    ],
)
def test_the_help_is_silent_where_the_field_speaks(
    patterns, code, help_for, send, alice, make_entry
) -> None:
    make_entry(f"{HOST}/taken")
    page = send(alice, NEW, {**TYPED, "patterns": patterns})
    values = json.loads(page.attributes["live-help"]["hx-vals"] or "")
    assert values == {"told": code} and 'class="wanting"' not in page.html
    # While one types it stays so, until there is something else to say.
    assert 'class="wanting"' not in help_for(patterns, **values).html
    assert help_for(patterns, **values).by_id["help-told"] in {
        "",
        "Other entries meet this pattern.",
    }
    assert 'class="wanting"' in help_for(patterns, told=f"region:{code.partition(':')[2]}").html
    assert "Write" in help_for(f"https://{HOST}/a", **values).by_id["help-told"]
    assert 'class="wanting"' in help_for(patterns, told=" ".join(f"x:{n}" for n in range(999))).html


@pytest.mark.parametrize(
    ("patterns", "rest", "sentence"),
    [
        (HOST, {}, f"Write {HOST}/* to cover everything in it."),
        (f"{HOST}/a:v1", {}, f"Write {HOST}/a; it covers every tag."),
        (f"https://{HOST}/a", {}, f"Write {HOST}/a."),
        (f"{HOST}.evil.com/*", {}, "resembles an Amazon ECR host but isn't one"),
        (f"{HOST}/*", {"region": "eu-west-1"}, "Choose us-east-1, or correct the host."),
    ],
)
def test_what_is_wrong_is_said_with_its_mending(help_for, patterns, rest, sentence) -> None:
    page = help_for(patterns, **rest)
    assert sentence in page.by_id["help-covers"] and sentence in page.by_id["help-told"]
    assert page.status == 200


def test_missing_keys_and_names_are_not_its_business(help_for) -> None:
    for kind in ("aws-ecr", "aws-ecr-role", "docker"):
        page = help_for(f"{HOST}/*" if kind != "docker" else "quay.io/*", kind)
        assert 'class="wanting"' not in page.html, kind


def test_other_entries_are_linked(help_for, make_entry) -> None:
    narrower, same = make_entry(f"{HOST}/my-repo/train"), make_entry(f"{HOST}/my-repo/*")
    page = help_for(f"{HOST}/my-repo/*")
    told = page.by_id["help-covers"]
    assert f"{HOST}/my-repo/train is more specific and keeps its images." in told
    assert page.links[f"{HOST}/my-repo/train"] == url("entry", narrower)
    assert "has this pattern already." in told
    assert page.links["Open that entry"] == url("entry", same)
    as_itself = help_for(f"{HOST}/my-repo/*", entry=str(same.pk))
    assert "already" not in as_itself.html and "keeps its images" in as_itself.html


def test_environments_are_the_organizations_own(help_for, make_entry, gpu, umbrella) -> None:
    make_entry(f"{HOST}/my-repo", environments=[gpu])
    make_entry(f"{HOST}/everywhere")
    foreign = Environment.objects.create(organization=umbrella, name="Secret lab", slug="lab")
    page = help_for(f"{HOST}/*", environments=[str(gpu.pk), str(foreign.pk)])
    assert "In GPU:" in page.by_id["help-covers"]
    assert "Secret lab" not in page.html
    for odd in ("x", "-1", "9" * 40, "", "٣"):
        assert help_for(f"{HOST}/*", environments=[odd]).status == 200


@pytest.mark.parametrize(
    "odd",
    [{"entry": "x"}, {"entry": "9" * 40}, {"region": "<script>"}, {"registry_type": "nothing"},
     {"patterns": "<script>alert(1)</script>"}, {"patterns": "\0"}, {"patterns": "a" * 100_000},
     {"patterns": f"{HOST}/a " * 3000}],
)  # fmt: skip
def test_whatever_is_sent_the_answer_is_help(help_for, odd: dict[str, str]) -> None:
    sent = {"patterns": f"{HOST}/*", **odd}
    page = help_for(**sent)
    assert page.status == 200
    assert "<script" not in page.html


def test_many_patterns_are_cut_short(help_for) -> None:
    page = help_for("\n".join(f"{HOST}/r{i}" for i in range(8)))
    assert len(covered(page)) == 3
    assert "and 5 more patterns" in page.by_id["help-covers"]


def test_nothing_else_that_is_sent_comes_back(help_for) -> None:
    page = help_for(
        f"{HOST}/*",
        "aws-ecr-role",
        secret_access_key=CANARY,
        access_key_id="AKIAI44QH8DHBEXAMPLE",
        role_name="NotThisRole",
        note="not this note",
    )
    for text in (CANARY, CANARY[:12], "AKIAI44QH8DHBEXAMPLE", "NotThisRole", "not this note"):
        assert text not in page.html
    assert "<ROLE_NAME>" in page.by_id["policy-command"]


def test_a_secret_in_the_wrong_field_is_not_repeated(help_for) -> None:
    page = help_for(f"{HOST}/a:{CANARY} {CANARY} https://{CANARY}")
    assert CANARY not in unescape(page.html)


def test_it_is_neither_stored_nor_unprotected(alice) -> None:
    careful = Client(enforce_csrf_checks=True)
    careful.force_login(alice)
    assert careful.post(HELP, {"patterns": "x"}).status_code == 403
    careful.get(NEW)
    token = careful.cookies["csrftoken"].value
    answer = careful.post(HELP, {"patterns": "x"}, headers={"X-CSRFToken": token})
    assert answer.status_code == 200
    assert "no-store" in answer["Cache-Control"]
    assert careful.get(HELP).status_code == 405


# --- with the page --------------------------------------------------------------


def test_the_page_begins_with_the_same_help(look, alice, make_entry) -> None:
    entry = make_entry(f"{HOST}/my-repo/*")
    make_entry(f"{HOST}/*")
    page = look(alice, url("entry_edit", entry))
    assert covered(page) == [f"{HOST}/my-repo/*"]
    assert "is wider; this entry takes the images that both match." in page.text
    assert "already" not in page.by_id["help-covers"]
    assert "repository/my-repo/*" in page.by_id["policy-json"]
    prefilled = look(alice, NEW, pattern=f"{HOST}/team/*")
    assert covered(prefilled) == [f"{HOST}/team/*"]
    copied = look(alice, NEW, copy=str(entry.pk))
    assert "has this pattern already." in copied.by_id["help-covers"]


def test_show_its_fields_fills_it_in(send, alice) -> None:
    typed = {**TYPED, "show_fields": "1", "registry_type": "aws-ecr-role"}
    page = send(alice, NEW, typed)
    assert covered(page) == [f"{HOST}/my-repo/*"]
    assert "put-role-policy" in page.by_id["policy-command"]
    assert CANARY not in page.html


def test_errors_of_the_form_are_not_told_twice(send, alice) -> None:
    page = send(alice, NEW, {**TYPED, "patterns": HOST})
    sentence = "names a registry but no images."
    assert sentence in page.error("patterns") and sentence not in page.by_id["help-covers"]


def test_htmx_is_on_the_form_only_and_tamed(client, alice, make_entry) -> None:
    client.force_login(alice)
    entry = make_entry()
    html = client.get(NEW).content.decode()
    config = html.partition('name="htmx-config"')[2].partition("content='")[2].partition("'")[0]
    assert json.loads(config) == {
        "includeIndicatorStyles": False,
        "allowEval": False,
        "selfRequestsOnly": True,
        "historyCacheSize": 0,
        "ignoreTitle": True,
        "timeout": 5000,
    }
    assert "htmx" in client.get(url("entry_edit", entry)).content.decode()
    for address in (url("entry", entry), reverse("registries", args=["acme"]), reverse("home")):
        assert b"htmx" not in client.get(address).content


# --- an entry's policy -------------------------------------------------------------


def test_the_entrys_page_has_its_policy(look, alice, bob, make_entry) -> None:
    entry = make_entry(f"{HOST}/my-*")
    for who in (alice, bob):
        page = look(who, url("entry", entry))
        told = page.by_id["policy"]
        assert "valohai-ecr-policy to the IAM user that the key belongs to" in told
        assert "so the policy also grants my-one/two." in told
        assert '"arn:aws:ecr:us-east-1:123456789012:repository/my-*"' in told
    assert "AKIA" not in page.html  # bob's
    assert page.html.index('id="policy"') < page.html.index("Details</h2>")


def test_a_roles_policy_names_the_role(look, alice, make_entry) -> None:
    entry = make_entry(registry_type="aws-ecr-role")
    told = look(alice, url("entry", entry)).by_id["policy"]
    assert "to the role ValohaiWorkerRole" in told
    assert "--role-name ValohaiWorkerRole --policy-name valohai-ecr-policy" in told


def test_other_types_have_none(look, alice, make_entry) -> None:
    entry = make_entry(
        "quay.io/*", registry_type="docker", config={"username": "u"}, secrets={"password": "p"}
    )
    page = look(alice, url("entry", entry))
    assert "policy" not in page.by_id and "valohai-ecr-policy" not in page.html
