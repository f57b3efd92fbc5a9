"""An entry's images on the web: a page of its own, and a link on the entry's."""

from __future__ import annotations

import re
import time
from contextlib import ExitStack

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from orgs.services.upstream import calls
from tests.conftest import CANARY, HOST
from tests.web.conftest import url

pytestmark = [pytest.mark.once, pytest.mark.django_db(transaction=True)]

OTHER = HOST.replace("1234", "9999", 1)


@pytest.fixture
def entry_for(aws, make_entry):
    def entry_for(*patterns, repository="*"):
        key_id, secret = aws.create_user("valohai", aws.policy(repository=repository))
        return make_entry(
            list(patterns) or [f"{HOST}/*"],
            config={"access_key_id": key_id},
            secrets={"secret_access_key": secret},
        )

    return entry_for


@pytest.fixture
def shown(look):
    """The page of images as someone sees it."""

    def shown(who, entry, **query):
        page = look(who, url("entry_images", entry), **query)
        assert page.status == 200 and CANARY not in page.html
        return page

    return shown


def lines(page):
    return [text for text in page.texts.get("span", []) if text.startswith("image: ")]


def test_the_entrys_page_asks_nothing(aws, entry_for, look, alice, bob, monkeypatch) -> None:
    entry = entry_for()
    monkeypatch.setattr("orgs.services.verification.images._lister", None)
    for who in (alice, bob):
        page = look(who, url("entry", entry))
        assert page.links["Show the images"] == url("entry_images", entry)
        assert page.by_id["images"].startswith("Images")
    assert aws.calls == []


def test_what_is_shown(aws, entry_for, shown, alice, bob, staff) -> None:
    aws.push("team/train", "v1.0", pushed_at=time.time() - 3 * 86400, size=52_428_800)
    aws.push("empty")
    entry = entry_for()
    for who in (alice, bob, staff):
        page = shown(who, entry)
        assert page.title.startswith(f"Images · {HOST}/*") and page.heading == "Images"
        heads = ["Repository", "Tag", "Pushed", "Size", "In valohai.yaml"]
        assert [text for text in page.texts["th"] if text in heads] == heads
        cells = page.texts["td"]
        assert "v1.0" in cells and "3 days ago" in cells and "50.0 MB" in cells
        assert f"image: {HOST}/team/train:v1.0" in lines(page)
        assert "It has no tagged images." in cells
        assert page.html.count("data-copy") == 1
    assert page.links["Registries"]  # the way back


def test_more_of_one_leads_to_it(aws, entry_for, shown, bob) -> None:
    aws.push("team/train", *(f"v{n:02}" for n in range(25)))
    entry = entry_for()
    page = shown(bob, entry)
    assert len(lines(page)) == 3
    where = page.links["More of team/train"]
    assert where == f"{url('entry_images', entry)}?repository=team%2Ftrain&host={HOST}"
    one = shown(bob, entry, repository="team/train", host=HOST)
    assert len(lines(one)) == 20 and "These are the newest; it has more." in one.text
    assert one.fields["repository"]["value"] == "team/train"
    assert one.links["All repositories"] == f"{url('entry_images', entry)}?host={HOST}"


def test_denied_is_no_failure(aws, entry_for, shown, bob) -> None:
    aws.push("my-repo", "v1")
    entry = entry_for(f"{HOST}/my-repo/*", repository="my-repo")
    page = shown(bob, entry)
    sentence = "This key may not list repositories, which pulling doesn't need. Look at one:"
    assert sentence in page.text and "callout-bad" not in page.html
    assert not page.title.startswith("Error")
    assert page.fields["repository"]["value"] == "my-repo"
    assert "has no repository that" not in page.text
    assert lines(shown(bob, entry, repository="my-repo")) == [f"image: {HOST}/my-repo:v1"]
    denied = shown(bob, entry, repository="my-repo/other")
    assert "This key may not see which images my-repo/other has." in denied.text


def test_one_in_full_has_no_field(aws, entry_for, shown, bob) -> None:
    aws.push("base", "v1")
    page = shown(bob, entry_for(f"{HOST}/base", repository="base"))
    assert lines(page) == [f"image: {HOST}/base:v1"] and "repository" not in page.fields


@pytest.mark.parametrize("name", ["../x", "'\"><img src=x>", "x" * 300, "a\x1bb", "é", CANARY[:9]])
def test_a_bad_name_is_said_at_the_field(name, aws, entry_for, look, bob) -> None:
    page = look(bob, url("entry_images", entry_for()), repository=name)
    assert page.status == 200 and page.title.startswith("Error: Images")
    assert page.wrong == {"repository"} and page.error("repository")
    assert "<img" not in page.html
    assert page.texts["h2"][0] == "1 error"
    assert page.brief("repository") == "Repository: not a repository's name"


@pytest.mark.parametrize(
    "query",
    [{"page": "x"}, {"page": "-1"}, {"page": "9" * 400}, {"host": "x" * 400}, {"host": OTHER}],
)
def test_nonsense_in_the_address_is_left_out(query, aws, entry_for, shown, bob) -> None:
    aws.push("base", "v1")
    assert len(lines(shown(bob, entry_for(), **query))) == 1


def test_pages(aws, entry_for, shown, bob) -> None:
    for number in range(12):
        aws.push(f"r{number:02}", "v1")
    entry = entry_for()
    first = shown(bob, entry)
    assert "Page 1 of 2" in first.text and "Previous" not in first.links
    assert first.links["Next"] == f"{url('entry_images', entry)}?page=2"
    second = shown(bob, entry, page="2")
    assert len(lines(second)) == 2 and "Next" not in second.links


def test_hosts_to_choose_from(aws, entry_for, shown, bob) -> None:
    entry = entry_for(f"{HOST}/*", f"{OTHER}/base")
    page = shown(bob, entry)
    assert page.links[OTHER] == f"{url('entry_images', entry)}?host={OTHER}"
    assert f"{HOST} has no repository that this entry covers." in page.text
    other = shown(bob, entry, host=OTHER)
    assert "base" in other.texts["th"]


def test_an_open_host_wants_a_whole_name(aws, entry_for, shown, bob) -> None:
    aws.push("base", "v1")
    entry = entry_for(HOST.replace("123456789012", "*", 1) + "/*")
    page = shown(bob, entry)
    assert "Look at one repository, named with its host:" in page.text
    assert len(lines(shown(bob, entry, repository=f"{HOST}/base"))) == 1


def test_key_ids_are_for_admins(aws, entry_for, shown, alice, bob, staff) -> None:
    entry = entry_for()
    key_id = entry.config["access_key_id"]
    aws.remove_key(key_id)
    assert key_id in shown(alice, entry).html
    for who in (bob, staff):
        page = shown(who, entry)
        assert "AWS doesn't know the key, or it's inactive." in page.text
        assert key_id not in page.html


@pytest.mark.parametrize(
    ("fault", "says"),
    [
        ("throttle", "AWS ECR in us-east-1 answers too many requests of this account already."),
        ("hang", "AWS ECR in us-east-1 didn’t answer within 8 seconds."),
        ("unavailable", "AWS ECR in us-east-1 has trouble of its own."),
    ],
)
def test_faults_are_said(fault, says, aws, entry_for, shown, bob) -> None:
    entry = entry_for()
    aws.fault(fault)
    started = time.monotonic()
    page = shown(bob, entry)
    assert time.monotonic() - started < 20  # it hangs for longer
    told = re.sub(r"within \d+ seconds", "within 8 seconds", page.text)  # what it took is told
    assert f"{says} Look again in a minute" in told
    assert "has no repository that" not in page.text


def test_where_there_is_nothing_to_ask(make_entry, look, shown, bob, monkeypatch) -> None:
    monkeypatch.setattr("orgs.services.verification.images._lister", None)
    role = make_entry(registry_type="aws-ecr-role")
    off = make_entry(f"{HOST}/off", enabled=False)
    for entry, sentence in (
        (role, "Only workers can see these images: the entry uses the worker's own role."),
        (off, "is disabled, so its registry isn't asked."),
    ):
        assert sentence in shown(bob, entry).text
        page = look(bob, url("entry", entry))
        assert "Show the images" not in page.links and "<h2" in page.html


def test_busy_is_said(aws, entry_for, shown, bob) -> None:
    entry = entry_for()
    with ExitStack() as held:
        for _ in range(2):
            held.enter_context(calls.looking(entry, listing=True))
        assert "Many registries are being asked at this moment" in shown(bob, entry).text


def test_only_to_look_at(client, aws, entry_for, alice) -> None:
    client.force_login(alice)
    entry = entry_for()
    assert client.post(url("entry_images", entry)).status_code == 405
    answer = client.get(url("entry_images", entry))
    assert "no-store" in answer["Cache-Control"]


def test_queries_dont_grow(aws, entry_for, client, bob) -> None:
    client.force_login(bob)
    entry = entry_for()
    address = url("entry_images", entry)

    def count():
        with CaptureQueriesContext(connection) as found:
            client.get(address)
        return len(found)

    for number in range(4):
        aws.push(f"r{number}", "v1")
    before = count()
    for number in range(4, 8):
        aws.push(f"r{number}", "v1", "v2")
    assert count() == before
