"""Projects: made, renamed, moved; what each pulls and what is refused to it."""

from __future__ import annotations

import pytest

from orgs.models import AuditEvent, Membership, Project
from orgs.registries.images import ImageReference
from orgs.registries.problems import Failed
from orgs.services.logins import issuing
from tests.conftest import HOST, make_user
from tests.web.conftest import Page

LIST = "/organizations/acme/projects/"


def login(project, actor, image=f"{HOST}/a:v1"):
    return issuing.login_for(project=project, image=ImageReference.parse(image), actor=actor)


@pytest.fixture
def pulled(project, make_entry, actor):
    """A role's entry, by which logins need no cloud: two given, one refused."""
    entry = make_entry(f"{HOST}/a", registry_type="aws-ecr-role")
    for _ in range(2):
        login(project, actor)
    with pytest.raises(Failed):
        login(project, actor, f"{HOST}/b:v1")
    return entry


def test_list(look, alice, bob, acme, project, pulled) -> None:
    Project.objects.create(name="never", organization=acme)
    page = look(alice, LIST)
    assert page.texts["tr"][1:] == [
        f"first-project {project.pk} just now 1",
        f"never {Project.objects.get(name='never').pk} Never 0",
    ]
    assert "New project" in page.links and "New project" not in look(bob, LIST).links


def test_empty(look, alice, bob) -> None:
    assert "New project" in look(alice, LIST).links
    assert "Org admins add them." in look(bob, LIST).text


def test_page(look, alice, bob, project, pulled) -> None:
    page = look(bob, f"{LIST}{project.pk}/")
    assert page.heading == "first-project" and str(project.pk) in page.text
    assert page.texts["tr"][1] == f"{HOST}/a 2 2 just now"
    assert f"{HOST}/b:v1" in page.text and "Move" not in page.links
    pulled.delete()
    page = look(alice, f"{LIST}{project.pk}/")
    assert "An entry that was deleted 2 2" in page.texts["tr"][1] and "Move" in page.links


def test_new_and_rename(client, alice, acme) -> None:
    client.force_login(alice)
    page = Page(client.post(f"{LIST}new/", {"name": " training "}, follow=True))
    made = Project.objects.get()
    assert page.heading == "training" and made.organization == acme
    assert f"{made} is added. Workers name it by its id." in page.text
    at = f"{LIST}{made.pk}/rename/"
    page = Page(client.post(at, {"name": "train"}, follow=True))
    assert page.heading == "train" and "Its id stays." in page.text
    (told,) = AuditEvent.objects.filter(action="project.updated")
    assert told.properties["changes"] == {"name": ["training", "train"]}


@pytest.mark.parametrize("name", ["", " ", "x" * 101, "a\x1fb"])
@pytest.mark.parametrize("what", ["new/", "{}/rename/"])
def test_what_is_no_name(what, name, send, alice, project) -> None:
    page = send(alice, LIST + what.format(project.pk), {"name": name})
    assert page.wrong == {"name"} and page.title.startswith("Error: ")
    assert [p.name for p in Project.objects.all()] == ["first-project"]


def test_move_to_another_organization(
    look, client, alice, acme, umbrella, project, pulled, actor
) -> None:
    at = f"{LIST}{project.pk}/move/"
    page = look(alice, at)
    assert "2 pulls in the last 7 days went through them." in page.text
    assert "Umbrella" not in page.text
    Membership.objects.create(organization=umbrella, user=alice, role="member")
    assert "Umbrella" not in look(alice, at).texts["main"][0]
    Membership.objects.filter(organization=umbrella).update(role="admin")
    assert "Umbrella" in look(alice, at).texts["main"][0]
    page = Page(client.post(at, {"to": "umbrella"}, follow=True))
    assert page.heading == "first-project" and "first-project is Umbrella now." in page.text
    project.refresh_from_db()
    assert (
        project.organization == umbrella and client.get(f"{LIST}{project.pk}/").status_code == 404
    )
    with pytest.raises(Failed, match="No enabled entry"):
        login(project, actor)
    told = AuditEvent.objects.filter(action="project.updated")
    assert {e.organization for e in told} == {"Acme", "Umbrella"}


@pytest.mark.parametrize("to", ["umbrella", "acme", "nowhere", "", "*x"])
def test_not_to_where_one_is_no_admin(to, send, alice, bob, umbrella, acme, project) -> None:
    Membership.objects.create(organization=umbrella, user=alice, role="member")
    page = send(alice, f"{LIST}{project.pk}/move/", {"to": to})
    assert page.wrong == {"to"}
    project.refresh_from_db()
    assert project.organization == acme


def test_to_oneself_and_back(look, client, alice, acme, project, pulled, actor) -> None:
    client.force_login(alice)
    page = Page(client.post(f"{LIST}{project.pk}/move/", {"to": "*"}, follow=True))
    assert "first-project is yours, personal, now." in page.text
    project.refresh_from_db()
    assert (project.user, project.organization) == (alice, None)
    with pytest.raises(Failed) as refused:
        login(project, actor)
    assert refused.value.code == "personal_project"
    page = look(alice, "/")
    own = page.links["Move first-project"]
    page = Page(client.post(own, {"to": "acme"}, follow=True))
    assert page.heading == "first-project"
    project.refresh_from_db()
    assert (project.user, project.organization) == (None, acme)
    login(project, actor)


def test_archive_and_unarchive(look, client, alice, bob, project, pulled, actor) -> None:
    at = f"{LIST}{project.pk}/"
    page = look(alice, f"{at}archive/")
    assert page.heading == "Archive first-project?" and "2 in the last 7 days" in page.text
    page = Page(client.post(f"{at}archive/", follow=True))
    assert "Archived just now: its workers get no login." in page.text
    with pytest.raises(Failed) as refused:
        login(project_again(project), actor)
    assert refused.value.code == "project_not_found" and "is archived" in refused.value.detail
    assert "(archived)" in look(bob, LIST).text and "Unarchive" not in look(bob, at).text
    assert str(project.pk) not in look(bob, "/organizations/acme/").text
    client.force_login(alice)
    assert "is back" in Page(client.post(f"{at}unarchive/", follow=True)).text
    login(project_again(project), actor)
    told = AuditEvent.objects.filter(action__startswith="project.").order_by("pk")
    assert [e.action for e in told] == ["project.archived", "project.unarchived"]


def project_again(project: Project) -> Project:
    return Project.objects.select_related("organization").get(pk=project.pk)


def test_another_persons_own_is_not_there(look, send, alice, bob, acme) -> None:
    theirs = Project.objects.create(name="theirs", user=bob)
    at = f"/accounts/projects/{theirs.pk}/move/"
    assert look(alice, at).status == 404 and send(alice, at, {"to": "acme"}).status == 404
    # bob is no admin of anything
    page = look(bob, at)
    assert "You administer no organization that it could go to." in page.text
    assert send(bob, at, {"to": "acme"}).status == 200
    theirs.refresh_from_db()
    assert theirs.user == bob


def test_another_organizations_project_is_not_there(look, send, alice, charlie, umbrella) -> None:
    theirs = Project.objects.create(name="theirs", organization=umbrella)
    for what in ("", "rename/", "move/"):
        assert look(alice, f"{LIST}{theirs.pk}/{what}").status == 404
        assert send(alice, f"{LIST}{theirs.pk}/{what}", {"name": "x", "to": "*"}).status == 404
    theirs.refresh_from_db()
    assert theirs.organization == umbrella and theirs.name == "theirs"


def test_names_are_shown_as_text(look, alice, acme) -> None:
    evil = "<script>alert(1)</script>"
    made = Project.objects.create(name=evil, organization=acme)
    for page in (look(alice, LIST), look(alice, f"{LIST}{made.pk}/move/"), look(alice, "/")):
        assert "<script>alert" not in page.html
    make_user("x@example.com", evil)
