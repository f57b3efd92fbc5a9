"""The images of an entry: as many as its pattern and its key let one see, within the time."""

from __future__ import annotations

import threading
import time

import pytest
from cryptography.fernet import Fernet
from django.db import transaction

from orgs.models import AuditEvent, CachedLogin
from orgs.registries.places import Places
from orgs.registries.problems import Failed, Refused
from orgs.registries.types import Image
from orgs.services.upstream import calls
from orgs.services.verification import images
from orgs.services.verification.images import images_of
from tests.conftest import CANARY, HOST
from tests.support.internet import HOST as ELSEWHERE
from tests.support.internet import reply
from tests.support.scripted import behind_basic, found, says

pytestmark = [pytest.mark.once, pytest.mark.django_db(transaction=True)]

OTHER = HOST.replace("1234", "9999", 1)
HOUR = 3600


@pytest.fixture
def entry_for(aws, make_entry):
    """An entry of these patterns whose key has the policy for this repository."""

    def entry_for(*patterns, repository="*"):
        key_id, secret = aws.create_user(f"user-{len(patterns)}", aws.policy(repository=repository))
        return make_entry(
            list(patterns) or [f"{HOST}/*"],
            config={"access_key_id": key_id},
            secrets={"secret_access_key": secret},
        )

    return entry_for


def names(listing):
    return [repository.name for repository in listing.repositories]


def tags(listing):
    return [(i.repository, i.tag) for each in listing.repositories for i in each.images]


# --- what is seen ---------------------------------------------------------------


def test_all_repositories_and_their_newest_three(aws, entry_for):
    now = time.time()
    for number in range(5):
        aws.push("my-ml-image", f"v{number}", pushed_at=now - 5 * HOUR + number * HOUR)
    aws.push("team/train", "latest", "v9", size=7)
    aws.push("empty")
    listing = images_of(entry_for())
    assert names(listing) == ["empty", "my-ml-image", "team/train"]
    empty, ours, train = listing.repositories
    assert (empty.images, empty.more, empty.problem) == ((), False, None)
    assert [image.tag for image in ours.images] == ["v4", "v3", "v2"] and ours.more
    assert {image.tag: image.size for image in train.images} == {"latest": 7, "v9": 7}
    assert not train.more and listing.tags == 5 and listing.dated
    assert (listing.authority, listing.hosts, listing.page, listing.pages) == (HOST, (HOST,), 1, 1)
    assert (listing.denied, listing.problem, listing.cut) == (None, None, False)


def test_only_what_the_patterns_cover(aws, entry_for):
    for name in ("my-repo", "my-repo/train", "my-repository", "other", "team-a/x", "team-a/x/y"):
        aws.push(name, "v1")
    listing = images_of(entry_for(f"{HOST}/my-repo/*", f"{HOST}/team-*/x"))
    assert names(listing) == ["my-repo", "my-repo/train", "team-a/x"]
    assert listing.suggested == "my-repo"


def test_one_repository_named_in_full_is_asked_for_alone(aws, entry_for, monkeypatch):
    monkeypatch.setattr(images.MatchPattern, "matches", None)  # nothing is compared
    aws.push("my-ml-image", "v1")
    listing = images_of(entry_for(f"{HOST}/my-ml-image", repository="my-ml-image"))
    assert tags(listing) == [("my-ml-image", "v1")]
    assert not listing.open and listing.denied is None


def test_the_guides_narrowed_policy(aws, entry_for):
    aws.push("my-ml-image", *(f"v{n:02}" for n in range(25)))
    aws.push("other", "v1")
    entry = entry_for(repository="my-ml-image")
    listing = images_of(entry)
    assert listing.denied.code == "listing_denied" and listing.problem is None
    assert names(listing) == []
    listing = images_of(entry, "my-ml-image")
    assert len(tags(listing)) == 20 and listing.repositories[0].more
    assert listing.chosen == "my-ml-image" and listing.denied is None
    (other,) = images_of(entry, "other").repositories
    assert other.problem.code == "image_denied"
    assert "ecr:DescribeImages on other" in other.problem.fix


def test_denied_listing_proposes_the_patterns_own(aws, entry_for):
    aws.push("my-repo", "v1")
    aws.push("base", "v2")
    listing = images_of(entry_for(f"{HOST}/my-repo/*", f"{HOST}/base", repository="base"))
    assert listing.denied and listing.suggested == "my-repo"
    assert tags(listing) == [("base", "v2")]  # named in full, so it's seen all the same


@pytest.mark.parametrize(
    "text", ["my-ml-image", " my-ml-image:v1 ", f"{HOST}/my-ml-image", f"{HOST}/my-ml-image:v1"]
)
def test_ways_to_name_a_repository(text, aws, entry_for):
    aws.push("my-ml-image", "v1")
    assert images_of(entry_for(), text).chosen == "my-ml-image"


def test_a_name_means_the_host_looked_at(docker, monkeypatch):
    monkeypatch.setattr(images, "_lister", lambda *args: Lister({}))
    entry = docker([f"{ELSEWHERE}/*", "docker.io/me/*"])
    monkeypatch.setattr(images._Look, "_repositories", lambda *args: ((), None))
    for text, host, seen in (
        ("me/app", "", (ELSEWHERE, "me/app")),
        ("me/app", "docker.io", ("docker.io", "me/app")),
        ("docker.io/me/app", "", ("docker.io", "me/app")),
        ("my.team/app", "", (ELSEWHERE, "my.team/app")),
        (f"{ELSEWHERE}/me/app", "docker.io", (ELSEWHERE, "me/app")),
    ):
        listing = images_of(entry, text, host=host)
        assert (listing.authority, listing.chosen) == seen


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("../x", "repository_shape"),
        ("a//b", "repository_shape"),
        ('"><script>', "repository_shape"),
        ("it's", "repository_shape"),
        ("x" * 300, "repository_shape"),
        ("ünï", "repository_shape"),
        (CANARY, "repository_shape"),
        ("a\nb", "repository_shape"),
        ("other", "image_elsewhere"),
        (f"{OTHER}/my-repo", "image_elsewhere"),
        ("evil.example.com/my-repo", "image_elsewhere"),
        (f"{HOST}.evil.com/my-repo", "image_elsewhere"),
    ],
)
def test_what_is_not_the_entrys_isnt_asked_for(text, code, aws, entry_for, monkeypatch):
    monkeypatch.setattr(images, "_lister", None)
    entry = entry_for(f"{HOST}/my-repo/*")
    with pytest.raises(Refused) as refused:
        images_of(entry, text)
    assert (refused.value.code, refused.value.problem.field) == (code, "repository")
    assert text not in str(refused.value) or code == "image_elsewhere"
    assert CANARY not in str(refused.value)


def test_ten_a_page(aws, entry_for):
    for number in range(23):
        aws.push(f"r{number:02}", "v1")
    entry = entry_for()
    assert names(images_of(entry)) == [f"r{n:02}" for n in range(10)]
    last = images_of(entry, page=3)
    assert names(last) == ["r20", "r21", "r22"] and (last.page, last.pages) == (3, 3)
    assert (last.previous, last.next) == (2, None)
    for page, shown in ((99, 3), (0, 1), (-5, 1), (10**30, 3)):
        assert images_of(entry, page=page).page == shown


def test_several_hosts(aws, entry_for):
    aws.push("here", "v1")
    entry = entry_for(f"{HOST}/*", f"{OTHER}/base")
    listing = images_of(entry)
    assert (listing.authority, listing.hosts) == (HOST, (HOST, OTHER))
    other = images_of(entry, host=OTHER)
    assert other.authority == OTHER and names(other) == ["base"] and not other.open
    assert other.repositories[0].problem.code in {"image_denied", "image_not_found"}
    assert images_of(entry, host="evil.example.com").authority == HOST
    assert images_of(entry, f"{OTHER}/base").authority == OTHER


def test_an_open_account_wants_the_host(aws, entry_for):
    aws.push("my-ml-image", "v1")
    entry = entry_for(HOST.replace("123456789012", "*", 1) + "/*")
    listing = images_of(entry)
    assert (listing.authority, listing.hosts, listing.open) == ("", (), True)
    assert tags(images_of(entry, f"{HOST}/my-ml-image")) == [("my-ml-image", "v1")]
    with pytest.raises(Refused, match="isn't among those"):
        images_of(entry, "my-ml-image")  # that would be one of Docker Hub's


def test_hostile_names_in_an_answer_are_left_out(aws, entry_for, monkeypatch):
    lister = Lister({"ok": ["v1", "x y", "-v", '"'], "../up": ["v1"], "A": ["v1"]})
    monkeypatch.setattr(images, "_lister", lambda *args: lister)
    assert tags(images_of(entry_for())) == [("ok", "v1")]


class Lister:
    """`{repository: tags}`, or an error to raise, or seconds to take."""

    def __init__(self, content):
        self.content = content
        self.at_once = self.most_at_once = 0
        self.lock = threading.Lock()

    def repositories(self):
        return sorted(self.content)

    def images(self, repository):
        with self.lock:
            self.at_once += 1
            self.most_at_once = max(self.at_once, self.most_at_once)
        try:
            time.sleep(0.02)
            answer = self.content[repository]
            if isinstance(answer, Exception):
                raise answer
            if isinstance(answer, float):
                time.sleep(answer)
                return []
            return [Image(repository, tag) for tag in answer]
        finally:
            with self.lock:
                self.at_once -= 1


@pytest.fixture
def listing_of(entry_for, monkeypatch):
    """What comes of a registry that answers like this."""

    entry = entry_for()

    def listing_of(content):
        lister = content if isinstance(content, Lister) else Lister(content)
        monkeypatch.setattr(images, "_lister", lambda *args: lister)
        return images_of(entry)

    return listing_of


def test_asked_five_at_a_time(listing_of):
    lister = Lister({f"r{n}": ["v1"] for n in range(10)})
    assert len(listing_of(lister).repositories) == 10
    assert lister.most_at_once == 5


def test_more_than_can_be_read(listing_of):
    listing = listing_of({f"r{n:04}": [] for n in range(1000)})
    assert listing.cut and listing.pages == 100
    (one,) = listing_of({"r": [f"v{n}" for n in range(1000)]}).repositories
    assert one.cut and one.more


# --- what goes wrong ------------------------------------------------------------


def test_one_that_fails_by_itself_doesnt_take_the_others_along(listing_of):
    gone = Failed("image_not_found", "There is no repository a.", "Push to it.")
    listing = listing_of({"a": gone, "b": ["v1"]})
    first, second = listing.repositories
    assert first.problem.code == "image_not_found" and second.images
    assert listing.problem is None


def test_a_failure_of_the_registry_is_told_once(listing_of):
    busy = Failed("throttled", "Too many requests.", "Wait.")
    listing = listing_of({"a": busy, "b": ["v1"], "c": busy})
    assert listing.problem.code == "throttled"
    assert [bool(each.problem) for each in listing.repositories] == [True, False, True]
    assert listing.repositories[0].problem.what.endswith("for the reason above.")
    assert listing_of({"a": busy, "c": busy}).repositories == ()


def test_a_mistake_of_ours_isnt_hidden(listing_of):
    with pytest.raises(ZeroDivisionError):
        listing_of({"a": ZeroDivisionError()})


def test_the_time_is_kept(listing_of, monkeypatch):
    monkeypatch.setattr(images, "SECONDS", 0.5)
    started = time.monotonic()
    listing = listing_of({"a": 3.0, "b": ["v1"], **{f"c{n}": 3.0 for n in range(7)}})
    assert time.monotonic() - started < 2.9  # the slow ones take 3
    assert listing.problem.code == "registry_unreachable"
    assert tags(listing) == [("b", "v1")]


def test_aws_hangs(aws, entry_for, monkeypatch):
    entry = entry_for()
    aws.fault("hang", seconds=30)
    started = time.monotonic()
    listing = images_of(entry)
    assert time.monotonic() - started < 10
    assert listing.problem.code == "registry_unreachable" and listing.authority == HOST
    monkeypatch.setattr(images, "SECONDS", 1.0)  # of one repository it's told alike
    assert images_of(entry, "my-ml-image").problem.code == "registry_unreachable"


@pytest.mark.parametrize(("fault", "code"), [("throttle", "throttled"), ("skew", "clock_skew")])
def test_aws_refuses(fault, code, aws, entry_for):
    entry = entry_for()
    aws.fault(fault)
    assert images_of(entry).problem.code == code


def test_key_ids_are_for_admins(aws, entry_for):
    entry = entry_for()
    key_id = entry.config["access_key_id"]
    aws.remove_key(key_id)
    assert key_id in images_of(entry, private=True).problem.what
    hidden = images_of(entry).problem
    assert hidden.code == "invalid_key" and key_id not in str(hidden)
    assert "the key, or" in hidden.what


def test_the_secret_cant_be_opened(make_entry, settings, aws):
    entry = make_entry()
    settings.FERNET_KEYS = [Fernet.generate_key().decode()]
    entry.refresh_from_db()
    assert images_of(entry).problem.code == "entry_unusable"


def test_who_isnt_asked_at_all(make_entry, actor, monkeypatch):
    monkeypatch.setattr(images, "_lister", None)
    role = make_entry(registry_type="aws-ecr-role")
    off = make_entry(f"{HOST}/off", enabled=False)
    unknown = make_entry(f"{HOST}/unknown")
    unknown.registry_type = "gone"
    for entry, code in ((role, "checked_on_workers"), (off, "disabled"), (unknown, "unknown_type")):
        with pytest.raises(Refused) as refused:
            images_of(entry)
        assert refused.value.code == code and refused.value.problem.fix
        assert refused.value.problem.field is None


def test_few_look_at_once(entry_for, monkeypatch):
    monkeypatch.setattr(calls, "PAGES", Places(1, "Full."))
    entry = entry_for()
    with calls.looking(entry), pytest.raises(Failed) as busy:
        images_of(entry)
    assert busy.value.code == "busy"


def test_never_inside_a_transaction(entry_for):
    entry = entry_for()
    with transaction.atomic(), pytest.raises(AssertionError, match="inside a transaction"):
        images_of(entry)


def test_nothing_is_kept(aws, entry_for, django_assert_num_queries):
    aws.push("my-ml-image", "v1")
    entry = entry_for()
    assert not entry.organization.made_up  # read, as the page has it at hand
    events = AuditEvent.objects.count()
    with django_assert_num_queries(1):  # its patterns
        assert len(images_of(entry).repositories) == 1
    for number in range(20):
        aws.push(f"more-{number}", "v1")
    with django_assert_num_queries(1):
        assert len(images_of(entry).repositories) == 10
    assert not CachedLogin.objects.exists() and AuditEvent.objects.count() == events


# --- registries with no API of their own ------------------------------------------


@pytest.fixture
def docker(make_entry):
    def docker(pattern=f"{ELSEWHERE}/*"):
        return make_entry(
            pattern,
            registry_type="docker",
            config={"username": "robot"},
            secrets={"password": CANARY},
        )

    return docker


def test_a_registry_that_lists(internet, docker):
    internet.serve(behind_basic(found))
    listing = images_of(docker())
    assert tags(listing) == [
        ("me/app", "v2"), ("me/app", "v1"), ("other", "v2"), ("other", "v1"),
    ]  # fmt: skip
    assert not listing.dated
    assert all(i.pushed_at is None and i.size is None for i in listing.repositories[0].images)
    assert names(images_of(docker(f"{ELSEWHERE}/me/*"))) == ["me/app"]


def test_a_registry_that_lists_tags_only(internet, docker):
    denied = says(401, "UNAUTHORIZED")

    def script(request):
        return denied(request) if "_catalog" in request.target else found(request)

    internet.serve(behind_basic(script))
    entry = docker(f"{ELSEWHERE}/me/*")
    listing = images_of(entry)
    assert listing.denied.code == "listing_denied" and listing.suggested == "me"
    assert tags(images_of(entry, "me/app")) == [("me/app", "v2"), ("me/app", "v1")]


def test_a_registry_that_turns_the_login_down(internet, docker):
    internet.serve(lambda request: reply(401, {}, WWW_Authenticate='Basic realm="x"'))
    listing = images_of(docker())
    assert listing.problem.code == "login_refused" and CANARY not in str(listing)
