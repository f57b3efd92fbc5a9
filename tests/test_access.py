"""Who gets in where: every address × every kind of visitor × GET and POST.

Built from the URL configuration: an address that isn't in the table fails.
"""

from __future__ import annotations

from collections.abc import Iterator
from uuid import UUID

import pytest
from django.contrib import admin
from django.test import Client
from django.urls import URLPattern, URLResolver, get_resolver, reverse

from orgs.models import Environment, Invitation, Membership, Organization, Project
from orgs.services.audit.events import Actor
from orgs.services.bulk import drafts
from orgs.services.entries import door
from orgs.services.entries.validating import EntrySpec
from orgs.services.tenancy import invitations, tokens
from tests.conftest import HOST, PASSWORD, exported, make_user
from tests.support.standing import made_once

pytestmark = [pytest.mark.once, pytest.mark.django_db]

VISITORS = ("anonymous", "stranger", "other_admin", "member", "admin", "staff")
# 302 to the sign-in page is «in»; other redirects are the view's own answer.
IN = "in"
#                     anonymous, stranger, other_admin, member, admin, staff
EVERYONE = [200, 200, 200, 200, 200, 200]
SIGNED_IN = [IN, 200, 200, 200, 200, 200]
MEMBERS = [IN, 404, 404, 200, 200, 200]
ADMINS = [IN, 404, 404, 403, 200, 403]
# alice's own; staff see it no more than others
NOBODYS = [IN, 404, 404, 404, 404, 404]
OWN_TOKEN = [IN, 404, 404, 404, 200, 404]
STAFF = [IN, 404, 404, 404, 404, 200]
AUDITORS = [IN, 404, 404, 403, 200, 200]


# name: (GET, POST); 200 stands for any answer that lets one do the thing.
TABLE: dict[str, tuple[list, list]] = {
    "home": (SIGNED_IN, SIGNED_IN),
    "healthz": (EVERYONE, [405] * 6),
    "livez": (EVERYONE, [405] * 6),
    # Of this machine, which tests ask from; tests/web/test_probes.py has the rest.
    "metrics": (EVERYONE, [405] * 6),
    # No issuer, where BASE_URL is plain http: tests/web/test_identity.py has the rest.
    "issuer_configuration": ([404] * 6, [405] * 6),
    "issuer_keys": ([404] * 6, [405] * 6),
    "staff": (STAFF, STAFF),
    "staff_identity": (STAFF, STAFF),
    "identity": (AUDITORS, AUDITORS),
    "api_reference": (EVERYONE, [405] * 6),
    "guide_index": (EVERYONE, [405] * 6),
    "guide": (EVERYONE, [405] * 6),
    "account_login": (EVERYONE, EVERYONE),
    "account_logout": ([405] * 6, EVERYONE),
    "set_password": (EVERYONE, EVERYONE),
    "password_forgotten": (EVERYONE, EVERYONE),
    "account": (SIGNED_IN, SIGNED_IN),
    "account_name": (SIGNED_IN, SIGNED_IN),
    "account_time_zone": (SIGNED_IN, SIGNED_IN),
    "account_email_change": (SIGNED_IN, SIGNED_IN),
    "account_password": (SIGNED_IN, SIGNED_IN),
    "account_email_show": (SIGNED_IN, SIGNED_IN),
    "email_confirm": (SIGNED_IN, SIGNED_IN),
    "sessions_end": (SIGNED_IN, SIGNED_IN),
    # one's own, or nothing ends: tests/web/accounts/test_account.py
    "session_end": (SIGNED_IN, SIGNED_IN),
    "account_reauthenticate": (SIGNED_IN, SIGNED_IN),
    "mfa_index": (EVERYONE, EVERYONE),
    # of who gave a password already; others are led to sign in
    "mfa_authenticate": (EVERYONE, EVERYONE),
    "mfa_reauthenticate": (SIGNED_IN, SIGNED_IN),
    "mfa_activate_totp": (SIGNED_IN, SIGNED_IN),
    "mfa_deactivate_totp": (NOBODYS, NOBODYS),
    "mfa_view_recovery_codes": (NOBODYS, [IN] + [405] * 5),
    "mfa_generate_recovery_codes": (SIGNED_IN, SIGNED_IN),
    "mfa_list_webauthn": (EVERYONE, EVERYONE),
    "mfa_login_webauthn": (EVERYONE, EVERYONE),
    "mfa_reauthenticate_webauthn": (SIGNED_IN, SIGNED_IN),
    "mfa_add_webauthn": (SIGNED_IN, SIGNED_IN),
    # a person's own, after they showed once more who they are
    "mfa_edit_webauthn": (SIGNED_IN, SIGNED_IN),
    "mfa_remove_webauthn": (SIGNED_IN, SIGNED_IN),
    # nobody's, where the operator set no company's sign-in: tests/web/accounts/test_oidc.py
    "company_start": ([405] * 6, [404] * 6),
    "company_callback": ([404] * 6, [405] * 6),
    "company_acs": ([405] * 6, [404] * 6),
    "company_finish": ([404] * 6, [405] * 6),
    "company_metadata": ([404] * 6, [405] * 6),
    # a person's own
    # one's own, after showing who one is: tests/web/accounts/test_oidc.py
    "company_disconnect": (SIGNED_IN, SIGNED_IN),
    "organization": (MEMBERS, MEMBERS),
    "organization_rename": (ADMINS, ADMINS),
    "policies": (ADMINS, ADMINS),
    "notices": (ADMINS, ADMINS),
    "notices_test": ([IN] + [405] * 5, ADMINS),
    "notices_secret": ([IN] + [405] * 5, ADMINS),
    "notices_remove": (ADMINS, ADMINS),
    "account_notices": (SIGNED_IN, SIGNED_IN),
    "registries": (MEMBERS, MEMBERS),
    "entries_selected": ([IN] + [405] * 5, ADMINS),
    "entries_undo": ([IN] + [405] * 5, ADMINS),
    "entries_export": (ADMINS, ADMINS),
    "entries_export_run": ([IN] + [405] * 5, ADMINS),
    "run": (AUDITORS, AUDITORS),
    "run_stop": ([IN] + [405] * 5, ADMINS),
    "run_again": ([IN] + [405] * 5, ADMINS),
    "run_file": (ADMINS, ADMINS),
    "import": (ADMINS, ADMINS),
    "import_template": (ADMINS, ADMINS),
    "import_preview": (ADMINS, ADMINS),
    "import_errors": (ADMINS, ADMINS),
    "entry": (MEMBERS, MEMBERS),
    "entry_new": (ADMINS, ADMINS),
    "entry_edit": (ADMINS, ADMINS),
    "entry_delete": (ADMINS, ADMINS),
    "entry_help": ([IN] + [405] * 5, ADMINS),
    "entry_images": (MEMBERS, [IN] + [405] * 5),
    "entry_verify": ([IN] + [405] * 5, ADMINS),
    "entry_enable": ([IN] + [405] * 5, ADMINS),
    "audit": (AUDITORS, AUDITORS),
    "audit_export": (AUDITORS, AUDITORS),
    "entry_disable": ([IN] + [405] * 5, ADMINS),
    "check": (MEMBERS, MEMBERS),
    "projects": (MEMBERS, MEMBERS),
    "project": (MEMBERS, MEMBERS),
    "project_new": (ADMINS, ADMINS),
    "project_rename": (ADMINS, ADMINS),
    "project_move": (ADMINS, ADMINS),
    "project_archive": (ADMINS, ADMINS),
    "project_unarchive": ([IN] + [405] * 5, ADMINS),
    # of Acme's it's nobody's own; a person's own one: tests/web/organizations/test_projects.py
    "own_project_move": ([IN] + [404] * 5, [IN] + [404] * 5),
    "members": (MEMBERS, MEMBERS),
    "invite": (ADMINS, ADMINS),
    "member_change": (ADMINS, ADMINS),
    "member_remove": (ADMINS, ADMINS),
    # staff from outside have nothing to leave
    "member_leave": ([IN, 404, 404, 200, 200, 404], [IN, 404, 404, 200, 200, 404]),
    "invitation_again": ([IN] + [405] * 5, ADMINS),
    "invitation_withdraw": ([IN] + [405] * 5, ADMINS),
    # Whoever has the link; what each may do with it: tests/web/accounts/test_invitations.py
    "invitation": (EVERYONE, EVERYONE),
    "environments": (MEMBERS, MEMBERS),
    "environment_new": (ADMINS, ADMINS),
    "environment_edit": (ADMINS, ADMINS),
    "environment_delete": (ADMINS, ADMINS),
    "workers": (MEMBERS, MEMBERS),
    "worker_setup": (MEMBERS, MEMBERS),
    "worker_token_issue": (ADMINS, ADMINS),
    "worker_token_revoke": (ADMINS, ADMINS),
    "docker-credential-valohai": (EVERYONE, [405] * 6),
    "valohai-credential-provider": (EVERYONE, [405] * 6),
    "api_tokens": (SIGNED_IN, SIGNED_IN),
    "api_token_revoke": (OWN_TOKEN, OWN_TOKEN),
}


def addresses(
    resolver: URLResolver | None = None, namespace: str = ""
) -> Iterator[tuple[str, URLPattern]]:
    """(name with namespace, pattern) of every address."""
    for pattern in (resolver or get_resolver()).url_patterns:
        if isinstance(pattern, URLResolver):
            inner = f"{namespace}{pattern.namespace}:" if pattern.namespace else namespace
            yield from addresses(pattern, inner)
        else:
            yield f"{namespace}{pattern.name}", pattern


def own() -> list[str]:
    # sessions count for nothing in the API, whose own table is in tests/api/test_errors.py
    names = {name for name, _ in addresses() if not name.startswith(("admin:", "api:"))}
    return sorted(names)


@pytest.mark.once
def test_every_address_is_in_the_table():
    assert set(own()) == set(TABLE)


@pytest.fixture(scope="module")
def standing(django_db_setup, django_db_blocker):
    """(cookies by kind of visitor, values for whatever an address may ask for)."""
    with made_once(django_db_blocker, _stand) as found:
        yield found


def _stand():
    acme = Organization.objects.create(name="Acme", slug="acme")
    umbrella = Organization.objects.create(name="Umbrella", slug="umbrella")
    alice, bob = make_user("alice@example.com", "Alice"), make_user("bob@example.com", "Bob")
    charlie, dora = make_user("charlie@example.com", "C"), make_user("dora@example.com", "Dora")
    staff = make_user("staff@example.com", "Stella", is_staff=True, is_superuser=True)
    for organization, user, role in (
        (acme, alice, "admin"),
        (acme, bob, "member"),
        (umbrella, charlie, "admin"),
    ):
        Membership.objects.create(organization=organization, user=user, role=role)
    actor = Actor("tests")
    (invitation,) = invitations.invite(
        organization=acme, emails=["new@example.com"], role="member", actor=Actor("alice", alice)
    )
    worker_token, _ = tokens.token_issue_worker(organization=acme, name="w", actor=actor)
    entry = door.entry_create(
        organization=acme,
        actor=actor,
        # one that needs nothing outside to be verified
        spec=EntrySpec(
            registry_type="aws-ecr-role",
            patterns=[f"{HOST}/*"],
            config={"role_name": "ValohaiWorkerRole"},
        ),
    )
    draft = drafts.draft_store(
        organization=acme,
        user=alice,
        file_name="f.csv",
        format="csv",
        content=b"image_pattern,type",
        update=False,
    )
    arguments = {
        "token_id": worker_token.pk,
        "api_token_id": tokens.token_issue_api(user=alice, name="mine", actor=actor)[0].pk,
        "environment_id": Environment.objects.create(organization=acme, name="GPU", slug="gpu").pk,
        "slug": acme.slug,
        "kind": "oidc",
        "page": "workers",
        "project_id": Project.objects.create(name="first-project", organization=acme).pk,
        "membership_id": bob.memberships.get().pk,
        "invitation_id": invitation.pk,
        "draft_id": draft.pk,
        "run_id": exported(acme, actor).pk,
        "entry_id": entry.pk,
        "uidb64": "MQ",
        "key": 1,
        "pk": 1,
        "token": "abc-def",
    }
    people = dict(zip(VISITORS, (None, dora, charlie, bob, alice, staff), strict=True))
    return {visitor: _signed_in(user) for visitor, user in people.items()}, arguments


def _signed_in(user):
    """The cookies of a visitor who has come in."""
    client = Client()
    if user is not None:
        client.force_login(user)
    return {name: morsel.value for name, morsel in client.cookies.items()}


@pytest.fixture
def enter(db, standing):
    """A client of a visitor's, as they stand at the beginning."""

    def entered(visitor: str, **given: bool) -> Client:
        client = Client(**given)
        for name, value in standing[0][visitor].items():
            client.cookies[name] = value
        return client

    return entered


@pytest.fixture
def arguments(db, standing):
    return dict(standing[1])


def reached(client, method, address):
    # Anonymous POSTs and wrong data are fine: the question is who gets that far.
    response = getattr(client, method)(address)
    if response.streaming:
        list(response.streaming_content)
    if method == "options" and not getattr(response, "content", b"-"):
        return 405  # it says which methods there are
    if response.status_code == 302 and response["Location"].startswith(reverse("account_login")):
        return IN if "next=" in response["Location"] or "/admin" in address else 200
    return 200 if response.status_code in {302, 400} else response.status_code


@pytest.mark.parametrize("method", ["get", "post"])
@pytest.mark.parametrize("name", sorted(TABLE))
def test_access(enter, arguments, name, method):
    namespace, _, short = name.rpartition(":")
    resolver = get_resolver().namespace_dict[namespace][1] if namespace else get_resolver()
    wanted = resolver.reverse_dict.getlist(short)[0][0][0][1]
    if name == "invitation":
        arguments["token"] = invitations.token(Invitation.objects.get())
    address = reverse(name, kwargs={key: arguments[key] for key in wanted})
    expected = TABLE[name][0 if method == "get" else 1]
    found = {visitor: reached(enter(visitor), method, address) for visitor in VISITORS}
    assert found == dict(zip(VISITORS, expected, strict=True))


@pytest.mark.once
@pytest.mark.parametrize("method", ["get", "post"])
@pytest.mark.parametrize("name", sorted(TABLE))
def test_no_cache_keeps_what_signed_in_people_see(enter, arguments, name, method):
    wanted = get_resolver().reverse_dict.getlist(name)[0][0][0][1]
    address = reverse(name, kwargs={key: arguments[key] for key in wanted})
    for visitor in ("admin", "stranger"):
        response = getattr(enter(visitor), method)(address)
        assert response["Cache-Control"] == "no-store", (visitor, response.status_code)


@pytest.mark.parametrize("address", ["/accounts/login/", "/guide/", "/api/", "/nowhere/"])
def test_pages_for_everyone_say_nothing_of_it(client, address):
    assert "no-store" not in client.get(address).get("Cache-Control", "") or "login" in address


def test_signing_in_is_kept_by_no_cache(client, enter):
    typed = {"username": "alice@example.com", "password": PASSWORD}
    assert client.post(reverse("account_login"), typed)["Cache-Control"] == "no-store"


def admin_addresses() -> list[str]:
    """Every page of the Django admin, with made-up ids: who may is settled before what."""
    resolver = get_resolver().namespace_dict["admin"][1]
    found = []
    for name in sorted({n for n, _ in addresses() if n.startswith("admin:")}):
        for possible in resolver.reverse_dict.getlist(name.removeprefix("admin:")):
            label = next(iter(admin.site._registry))._meta.app_label
            made_up = {"app_label": label, "draft_id": UUID(int=1), "entry_id": UUID(int=1)}
            kwargs = {key: made_up.get(key, "1") for key in possible[0][0][1]}
            found.append(reverse(name, kwargs=kwargs))
    own = {reverse(f"admin:{name}") for name in ("login", "logout", "jsi18n")}
    return sorted(set(found) - own)


@pytest.mark.parametrize("address", admin_addresses())
def test_the_admin_is_for_staff(enter, address):
    for visitor in VISITORS:
        response = enter(visitor).get(address)
        if visitor == "staff":
            # 403: the autocomplete view, asked for nothing
            assert response.status_code in {200, 302, 403, 404, 405}
            assert response["Cache-Control"] == "no-store"
        else:
            assert response.status_code == 302, visitor
            assert "/login/" in response["Location"], visitor


# How an address is answered by method is the same on every database.
@pytest.mark.once
@pytest.mark.parametrize("name", sorted(TABLE))
def test_no_other_method_reaches_more(enter, arguments, name):
    """What neither looks nor sends reaches no further than both of those, and breaks nothing."""
    wanted = get_resolver().reverse_dict.getlist(name)[0][0][0][1]
    address = reverse(name, kwargs={key: arguments[key] for key in wanted})
    for at, visitor in enumerate(VISITORS):
        client = enter(visitor)
        refused = {row[at] for row in TABLE[name]}
        for method in ("put", "patch", "delete", "options", "head", "trace"):
            found = reached(client, method, address)
            assert found != 200 or 200 in refused, (visitor, method)
            assert found in {IN, 200, 403, 404, 405, 429}, (visitor, method, found)


# What takes a form from elsewhere, and why.
TAKES_ANYONES = {
    "company_acs": "the provider's page sends it; tests/web/accounts/test_saml.py has its bounds",
}


@pytest.mark.once
@pytest.mark.parametrize("name", sorted(set(TABLE) - set(TAKES_ANYONES)))
def test_no_form_is_taken_from_another_site(enter, arguments, name) -> None:
    wanted = get_resolver().reverse_dict.getlist(name)[0][0][0][1]
    address = reverse(name, kwargs={key: arguments[key] for key in wanted})
    for visitor in ("admin", "anonymous"):
        client = enter(visitor, enforce_csrf_checks=True)
        answer = client.post(address, {"csrfmiddlewaretoken": "x" * 64})
        assert answer.status_code in {403, 405, 404}, (visitor, answer.status_code)


@pytest.mark.once
@pytest.mark.parametrize("address", admin_addresses())
def test_no_form_of_the_admin_either(enter, address) -> None:
    client = enter("staff", enforce_csrf_checks=True)
    assert client.post(address, {}).status_code in {403, 404, 405, 302}
