"""Many entries of the list at once: those ticked, and all that fit its filters."""

from __future__ import annotations

import csv
import io
from uuid import uuid4

import pytest

from orgs.models import AuditEvent, CachedLogin, RegistryEntry
from orgs.registries.images import ImageReference
from orgs.services.entries import door, many
from orgs.services.logins import issuing
from orgs.web.registries import selected
from tests.conftest import HOST
from tests.web.conftest import Page

from .test_hygiene import several

__all__ = ["several"]
pytestmark = pytest.mark.django_db

LIST = "/organizations/acme/registries/"


def confirmed(action: str) -> dict[str, str]:
    """Disabling is asked about on a page of its own: tests/web/registries/test_switching.py."""
    return {"confirmed": "1"} if action == "disable" else {}


@pytest.fixture
def press(client, alice):
    def press(action, *chosen, query=""):
        client.force_login(alice)
        ids = [getattr(entry, "pk", entry) for entry in chosen]
        typed = {"action": action, "entry": ids} | confirmed(action)
        return client.post(f"{LIST}selected/{query}", typed, follow=True)

    return press


def test_disable_and_enable_those_ticked(press, several) -> None:
    answer = press("disable", several.a, several.b, several.c, query="?sort=pattern&q=amazon")
    assert answer.redirect_chain == [(f"{LIST}?sort=pattern&q=amazon", 302)]
    assert "2 entries are disabled. 1 entry is disabled already." in Page(answer).text
    disabled = RegistryEntry.objects.filter(enabled=False)
    assert set(disabled.values_list("pk", flat=True)) == {several.a.pk, several.b.pk, several.c.pk}
    events = AuditEvent.objects.filter(action="entry.disabled")
    assert {event.actor for event in events} == {"alice@example.com"} and len(events) == 2
    assert "1 entry is enabled." in Page(press("enable", several.c)).text
    several.c.refresh_from_db()
    assert several.c.enabled


def test_one_that_is_refused_holds_up_no_other(press, make_entry, several) -> None:
    make_entry(f"{HOST}/c")
    door.entry_set_enabled(entry=several.a, actor=door.Actor("x"), enabled=False)
    page = Page(press("enable", several.c, several.a))
    assert "1 entry is enabled." in page.text and "has this pattern already" in page.text
    several.c.refresh_from_db()
    assert not several.c.enabled


def test_nothing_ticked_or_nobodys(press, make_entry, umbrella, several) -> None:
    theirs = make_entry(organization=umbrella)
    sentence = "No entry is selected. Tick some, then choose what to do."
    assert sentence in Page(press("disable")).text
    assert sentence in Page(press("disable", theirs, uuid4(), "nonsense")).text
    theirs.refresh_from_db()
    assert theirs.enabled
    assert "disabled." not in Page(press("nonsense", several.a)).text
    assert "disabled." not in Page(press("delete", several.a)).text
    assert RegistryEntry.objects.count() == 6


def test_no_more_is_done_than_a_page_holds() -> None:
    ids = [uuid4() for _ in range(selected.PAGE_SIZE + 1)]
    assert selected._ids([*map(str, ids)]) == ids[:-1]
    assert selected._ids(["x", str(ids[0])]) == ids[:1]


def test_export_those_ticked(press, several) -> None:
    answer = press("export", several.b, several.d)
    rows = csv.DictReader(io.StringIO(answer.getvalue().decode()))
    assert [row["image_pattern"] for row in rows] == [f"{HOST}/b", f"{HOST}/d"]


# --- all that fit -----------------------------------------------------------------


@pytest.fixture
def press_all(client, alice):
    def press(action, seen, query="", **more):
        client.force_login(alice)
        typed = {"action": action, "all": "1", "count": seen} | confirmed(action) | more
        return client.post(f"{LIST}selected/{query}", typed, follow=True)

    return press


def test_all_that_fit_are_those_of_the_filters(press_all, several, make_entry, umbrella) -> None:
    theirs = make_entry(organization=umbrella)
    answer = press_all("disable", 4, "?type=aws-ecr&sort=pattern")
    assert answer.redirect_chain == [(f"{LIST}?type=aws-ecr&sort=pattern", 302)]
    assert "3 entries are disabled. 1 entry is disabled already." in Page(answer).text
    assert RegistryEntry.objects.filter(enabled=True).count() == 2
    for entry in (theirs, several.d):
        entry.refresh_from_db()
        assert entry.enabled


def test_all_of_more_than_a_page(press_all, make_entry) -> None:
    for n in range(selected.PAGE_SIZE + 2):
        make_entry(f"{HOST}/{n}")
    page = Page(press_all("disable", selected.PAGE_SIZE + 2))
    assert "52 entries are disabled." in page.text
    assert not RegistryEntry.objects.filter(enabled=True).exists()


@pytest.mark.parametrize("seen", ["4", "6", "", "x", "-5", "5.0", "٥", "9" * 400])
@pytest.mark.parametrize("action", ["enable", "disable", "verify", "export"])
def test_another_number_than_the_person_saw(action, seen, press_all, several) -> None:
    before = list(RegistryEntry.objects.order_by("pk").values("enabled", "status_at"))
    answer = press_all(action, seen)
    page, verb = Page(answer), action.capitalize()
    assert answer.status_code == 409 and page.heading == f"{verb} 5 entries?"
    assert (f"{seen} entries fitted the list's filters when you chose, and 5 do" in page.text) is (
        seen in {"4", "6"}
    )
    assert f"{verb} 5 entries" in page.texts["button"]
    assert list(RegistryEntry.objects.order_by("pk").values("enabled", "status_at")) == before
    assert page.fields["all"]["value"] == "1" and page.fields["count"]["value"] == "5"


def test_what_is_asked_again_keeps_the_filters(press_all, several) -> None:
    page = Page(press_all("disable", 4, "?q=ute"))
    assert page.heading == "Disable 1 entry?" and "and 1 does now" in page.text
    assert f'action="{LIST}selected/?q=ute"' in page.html
    assert page.links["Cancel"] == f"{LIST}?q=ute"


def test_none_that_fit(press_all, several) -> None:
    assert "No entry is selected." in Page(press_all("disable", 0, "?q=nothing-like-it")).text


# --- delete -----------------------------------------------------------------------


def test_deleting_many_says_first_what_will_stop_working(
    press, several, project, actor, make_entry
) -> None:
    used = make_entry(f"{HOST}/roles/*", registry_type="aws-ecr-role")
    for _ in range(3):
        image = ImageReference.parse(f"{HOST}/roles/x")
        issuing.login_for(project=project, image=image, actor=actor)
    page = Page(press("delete", several.a, used, query="?sort=pattern"))
    assert page.heading == "Delete 2 entries?"
    assert "Used 3 times in 7 days by first-project; their next pull will fail." in page.text
    assert "The secrets are erased; this can't be undone." in page.text
    assert f"{HOST}/a" in page.text and page.links["Cancel"] == f"{LIST}?sort=pattern"
    buttons = [text for text in page.texts["button"] if "elete" in text or "isable" in text]
    assert buttons == ["Disable instead", "Delete 2 entries"]
    assert RegistryEntry.objects.count() == 6


def test_a_page_that_deletes_says_no_more_than_there_is(press, several) -> None:
    page = Page(press("delete", several.d))
    assert page.heading == "Delete 1 entry?" and "Not used in 7 days." in page.text
    assert "secrets" not in page.text and "This can't be undone." in page.text
    assert "Disable instead" not in Page(press("delete", several.c)).texts["button"]


def test_delete_those_ticked(client, alice, several, make_entry, umbrella) -> None:
    client.force_login(alice)
    theirs = make_entry(organization=umbrella)
    chosen = [several.a.pk, several.c.pk, theirs.pk]
    typed = {"action": "delete", "confirmed": "1", "entry": chosen}
    answer = client.post(f"{LIST}selected/?q=amazon", typed, follow=True)
    assert answer.redirect_chain == [(f"{LIST}?q=amazon", 302)]
    assert "2 entries are deleted." in Page(answer).text
    left = {several.b.pk, several.d.pk, several.e.pk, theirs.pk}
    assert set(RegistryEntry.objects.values_list("pk", flat=True)) == left
    events = AuditEvent.objects.filter(action="entry.deleted")
    assert {event.subject_id for event in events} == {str(several.a.pk), str(several.c.pk)}
    assert {event.actor for event in events} == {"alice@example.com"}
    assert all(event.properties["before"]["patterns"] for event in events)


def test_delete_all_that_fit(press_all, several) -> None:
    page = Page(press_all("delete", 4, "?type=aws-ecr"))
    assert page.heading == "Delete 4 entries?" and "when you chose" not in page.text
    page = Page(press_all("delete", 4, "?type=aws-ecr", confirmed="1"))
    assert "4 entries are deleted." in page.text
    assert list(RegistryEntry.objects.all()) == [several.d]


def test_no_more_is_deleted_than_was_confirmed(press_all, several, make_entry) -> None:
    make_entry(f"{HOST}/new")
    answer = press_all("delete", 5, confirmed="1")
    page = Page(answer)
    assert page.heading == "Delete 6 entries?" and answer.status_code == 409
    assert "5 entries fitted the list's filters when you chose, and 6 do now." in page.text
    assert RegistryEntry.objects.count() == 6
    assert page.fields["count"]["value"] == "6"


def test_disable_instead(press_all, several) -> None:
    page = Page(press_all("disable", 4, "?type=aws-ecr", confirmed="1"))
    assert "3 entries are disabled." in page.text and RegistryEntry.objects.count() == 5


# --- in batches, and in time ------------------------------------------------------


@pytest.mark.parametrize("act", ["delete", "disable"])
def test_time_that_runs_out_is_told(act, press_all, several, monkeypatch) -> None:
    monkeypatch.setattr(many, "WITHIN", -1.0)
    page = Page(press_all(act, 5, confirmed="1"))
    assert "Time ran out before 5 more. Choose them again to go on." in page.text
    assert "d." not in "".join(page.texts.get("status", []))
    assert RegistryEntry.objects.filter(enabled=True).count() == 4


def test_what_is_gone_is_told(acme, actor, several) -> None:
    keys = [several.a.pk, uuid4(), several.b.pk]
    door.entry_delete(entry=several.a, actor=actor)
    for act in (
        lambda: many.entries_set_enabled(organization=acme, keys=keys, actor=actor, enabled=False),
        lambda: many.entries_delete(organization=acme, keys=keys, actor=actor),
    ):
        outcome = act()
        assert (outcome.done, outcome.gone, outcome.left) == (1, 2, 0)


def test_others_entries_are_nobodys(acme, umbrella, actor, make_entry) -> None:
    theirs = make_entry(organization=umbrella)
    deleted = many.entries_delete(organization=acme, keys=[theirs.pk], actor=actor)
    off = many.entries_set_enabled(organization=acme, keys=[theirs.pk], actor=actor, enabled=False)
    assert (deleted.done, deleted.gone, off.done, off.gone) == (0, 1, 0, 1)
    theirs.refresh_from_db()
    assert theirs.enabled and not AuditEvent.objects.filter(action="entry.deleted").exists()


def test_a_batch_is_deleted_whole_or_not_at_all(acme, actor, several, monkeypatch) -> None:
    monkeypatch.setattr(many, "BATCH", 2)
    keys, real = [several.a.pk, several.b.pk, several.c.pk, several.d.pk], door.insert_all

    def insert(events):
        if len(AuditEvent.objects.filter(action="entry.deleted")):
            raise RuntimeError("full")
        real(events)

    monkeypatch.setattr(door, "insert_all", insert)
    with pytest.raises(RuntimeError):
        many.entries_delete(organization=acme, keys=keys, actor=actor)
    assert RegistryEntry.objects.count() == 3
    assert AuditEvent.objects.filter(action="entry.deleted").count() == 2
    assert not CachedLogin.objects.filter(entry__in=keys[:2]).exists()


# --- what the list says of it -----------------------------------------------------


def test_the_bar_knows_how_many_fit(look, alice, bob, several) -> None:
    page = look(alice, LIST, type="aws-ecr")
    assert page.fields["count"]["value"] == "4" and "Select all 4" in page.texts["label"]
    assert "4 of 5 entries" in page.text
    assert "5 entries" in look(alice, LIST).text and "of 5" not in look(alice, LIST).text
    assert "all" not in look(alice, LIST, q="ute").fields
    assert "all" not in look(bob, LIST).fields and "count" not in look(bob, LIST).fields


@pytest.mark.parametrize("action", ["delete", "disable"])
def test_others_that_came_to_fit_in_the_same_number(action, client, alice, several) -> None:
    """What is confirmed is what was shown, not as many."""
    client.force_login(alice)
    RegistryEntry.objects.update(status="verified")
    RegistryEntry.objects.filter(pk=several.a.pk).update(status="failing")
    at = f"{LIST}selected/?status=failing"
    sent = {"action": action, "all": "1", "count": "1"}
    shown = Page(client.post(at, sent))
    sent |= {"confirmed": "1", "fits": shown.fields["fits"]["value"]}
    RegistryEntry.objects.filter(pk=several.a.pk).update(status="verified")
    RegistryEntry.objects.filter(pk=several.b.pk).update(status="failing")
    answer = client.post(at, sent)
    assert answer.status_code == 409
    assert "Other entries fit the list's filters now" in Page(answer).text
    several.b.refresh_from_db()
    assert several.b.enabled
    again = sent | {"fits": Page(answer).fields["fits"]["value"]}
    assert client.post(at, again).status_code == 302
