"""AWS's keyless types through every door: forms, admin, API, files, logins, cache, proofs.

No JWT of ours comes out anywhere: each one that is signed is looked for.
"""

from __future__ import annotations

import csv
import json
import logging
from datetime import UTC, datetime, timedelta

import jwt
import pytest
from django.core import mail
from django.core.management import call_command
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.urls import reverse

from orgs.api import limits
from orgs.models import AuditEvent, CachedLogin, Organization, RegistryEntry
from orgs.registries.images import ImageReference
from orgs.registries.problems import Failed
from orgs.services.audit.events import Actor
from orgs.services.entries import door
from orgs.services.entries.changing import EntryChange
from orgs.services.entries.policies import set_up_of
from orgs.services.entries.validating import EntrySpec
from orgs.services.identity import signing
from orgs.services.logins import issuing, minting, renewing
from orgs.services.tenancy import mails, tokens
from orgs.services.upstream import proofs
from orgs.services.verification import verifying
from tests.api.conftest import LOGIN, Api
from tests.conftest import HOST
from tests.registries.keyless_aws import ARN, OWN_ACCOUNT, REGION, own, set_up
from tests.support import issuer as published
from tests.test_canary import database_bytes
from tests.web.conftest import NEW, Page, look, send, url

__all__ = ["look", "own", "send"]
pytestmark = pytest.mark.django_db(transaction=True)

OIDC, ASSUMED = "aws-ecr-oidc", "aws-ecr-assume-role"
PATTERN, IMAGE = f"{HOST}/team/*", f"{HOST}/team/train:v1"
PATH = "/api/v0/registry-credentials/"
BOTH = pytest.mark.parametrize("slug", [OIDC, ASSUMED])
Status = RegistryEntry.Status


@pytest.fixture(autouse=True)
def no_jwt_comes_out(caplog, capsys, monkeypatch):
    caplog.set_level(logging.DEBUG)
    monkeypatch.setattr(limits, "buckets", limits.Buckets())
    signed: list[str] = []
    encode = jwt.encode

    def kept(*args, **kwargs):
        signed.append(encode(*args, **kwargs))
        return signed[-1]

    monkeypatch.setattr(jwt, "encode", kept)
    yield signed
    mails.drain()
    told = capsys.readouterr()
    written = database_bytes()
    seen = caplog.text + told.out + told.err + str([m.body for m in mail.outbox])
    for token in signed:
        for part in (token, token.split(".")[1], token.split(".")[2]):
            assert part not in seen and part.encode() not in written


@pytest.fixture
def make(make_entry, own):
    def one(slug: str = OIDC, pattern: str = PATTERN, *, trusted: bool = True, **config: str):
        whole = {"role_arn": ARN, "region": REGION, **config}
        entry = make_entry(pattern, registry_type=slug, config=whole, secrets={})
        if trusted:
            set_up(own, entry)
        return entry

    return one


# --- forms, admin ---------------------------------------------------------------------------


@BOTH
def test_the_form_and_what_the_page_then_shows(send, look, alice, bob, acme, own, slug) -> None:
    page = look(alice, NEW, type=slug)
    assert "its page then has all that the other side needs" in page.text
    assert not page.fields.keys() & {"secret_expires_on", "secret_access_key"}
    typed = {"patterns": PATTERN, "registry_type": slug, "enabled": "on", "note": ""}
    for wrong, told in (
        ("", "needn't be there yet"),
        ("ValohaiRegistries", "the role's account has to be known"),
        (f"arn:aws:sts::123456789012:assumed-role/x/{'y'}", "a session of a role"),
        ("arn:aws:iam::123456789012:instance-profile/x", "an instance profile"),
        ("arn:aws:iam::123456789012:user/x", "not of a role"),
        ("arn:aws:iam::12345678901:role/x", "isn't the ARN of a role"),
        ("arn:aws-cn:iam::123456789012:role/x", "the region in aws"),
        (f"arn:aws:iam::123456789012:role/{'x' * 65}", "isn't the ARN of a role"),
    ):
        page = send(alice, NEW, typed | {"role_arn": wrong})
        assert page.wrong == {"role_arn"} and told in page.error("role_arn"), wrong
    send(alice, NEW, typed | {"role_arn": f" '{ARN}', "})
    made = acme.entries.get()
    assert made.config == {"role_arn": ARN, "region": REGION}
    assert made.secrets is None and made.status == Status.WAITING
    page = look(alice, url("entry", made))
    subject = f"organization:{acme.uuid}:entry:{made.pk}"
    assert "Waiting for trust" in page.text and subject in page.text and ARN in page.text
    for written in ("aws iam create-role", "aws_iam_role", "valohai-ecr-policy"):
        assert written in page.html
    if slug == OIDC:
        assert published.NAME in page.text and "create-open-id-connect-provider" in page.html
    else:
        assert "External ID" in page.text
    members = look(bob, url("entry", made))
    assert ARN not in members.html and subject not in members.html


def test_the_form_offers_it_first_only_where_it_works(look, alice, acme, settings, issuer) -> None:
    """Never chosen beforehand; and where it can't work, that is said."""

    page = look(alice, NEW)
    assert page.html.index(f'value="{OIDC}"') < page.html.index('value="aws-ecr"')
    assert page.html.index('value="aws-ecr"') < page.html.index(f'value="{ASSUMED}"')
    assert 'value="aws-ecr" selected' in page.html
    settings.BASE_URL = "http://127.0.0.1:8000"
    page = look(alice, NEW, type=OIDC)
    assert "Not possible here yet" in page.text and "isn't https" in page.text
    assert page.html.index('value="aws-ecr"') < page.html.index(f'value="{OIDC}"')


@BOTH
def test_the_admin(client, staff, acme, own, slug) -> None:
    client.force_login(staff)
    add = f"{reverse('admin:orgs_registryentry_add')}?organization={acme.pk}"
    typed = {"patterns": PATTERN, "registry_type": slug, "enabled": "on", "note": ""}
    page = Page(client.post(add, typed | {"role_arn": "x"}))
    assert "account has to be known" in page.error("role_arn")
    client.post(add, typed | {"role_arn": ARN})
    made = acme.entries.get()
    page = Page(client.get(reverse("admin:orgs_registryentry_change", args=[made.pk])))
    assert signing.who(made).subject in page.text and "Set up trust" in page.text


# --- API, files ------------------------------------------------------------------------------


@BOTH
def test_the_api(alice, actor, acme, own, slug) -> None:
    api = Api(tokens.token_issue_api(user=alice, name="s", actor=actor)[1])
    body = {"type": slug, "image_pattern": PATTERN, "configuration": {"role_arn": ARN}}
    made = api.post(PATH, body)
    assert made.status_code == 201, made.content
    entry = acme.entries.get()
    subject = signing.who(entry).subject
    given = {"external_id": subject} if slug == ASSUMED else {}
    assert made.json()["configuration"] == {
        "version": "1", "role_arn": ARN, "region": REGION, **given,
    }  # fmt: skip
    trust = {"issuer": published.NAME, "audience": "sts.amazonaws.com", "subject": subject}
    assert made.json().get("trust") == (trust if slug == OIDC else None)
    one = f"{PATH}{made.json()['id']}/"
    for again in (body, made.json()):
        assert api.send("PUT", one, again).status_code == 200
    entry.refresh_from_db()
    assert entry.credentials_version == 1 and "external_id" not in entry.config
    # Nobody gives one, by no method.
    for method, path in (("POST", PATH), ("PUT", one), ("PATCH", one)):
        chosen = {"role_arn": ARN, "external_id": "mine"}
        whole = body | {"image_pattern": f"{HOST}/other/*", "configuration": chosen}
        refused = api.send(method, path, whole)
        assert refused.status_code == 400, refused.content
        assert refused.json()["configuration"][0]["code"] == "unknown_field"
    assert acme.entries.get().pk == entry.pk
    short = body | {"configuration": {"role_arn": "ValohaiRegistries"}}
    assert api.post(PATH, short).json()["role_arn"][0]["code"] == "role_arn_shape"


@BOTH
@pytest.mark.parametrize("format", ["csv", "json", "yaml"])
def test_import_export_and_back(format, acme, own, slug, tmp_path, capsys) -> None:
    given, written = tmp_path / "in.csv", tmp_path / f"out.{format}"
    row = {"image_pattern": PATTERN, "type": slug, "role_arn": ARN, "narrow": "yes"}

    def write(row: dict[str, str]) -> None:
        with given.open("w") as file:
            writer = csv.DictWriter(file, row)
            writer.writeheader()
            writer.writerow(row)

    write(row | {"external_id": "mine"})
    with pytest.raises(SystemExit):
        call_command("import_registries", str(given), organization="acme")
    assert "external_id" in capsys.readouterr().err and not acme.entries.exists()
    write(row)
    call_command("import_registries", str(given), organization="acme")
    made = acme.entries.get()
    assert made.config == {"role_arn": ARN, "region": REGION, "narrow": "true"}
    assert made.status == Status.WAITING
    call_command("export_registries", organization="acme", format=format, output=str(written))
    assert signing.who(made).subject not in written.read_text()
    call_command("import_registries", str(written), organization="acme", update=True)
    made.refresh_from_db()
    assert made.credentials_version == 1


# --- waiting for trust -------------------------------------------------------------------------


def verify(entry: RegistryEntry, image: str = "") -> verifying.Report:
    entry.refresh_from_db()
    named = ImageReference.parse(image) if image else None
    return verifying.entry_verify(entry=entry, actor=Actor("tests"), image=named)


@BOTH
def test_it_waits_until_the_other_side_stands(make, own, look, alice, slug) -> None:
    entry = make(slug, trusted=False)
    report = verify(entry)
    assert report.failed and report.failed.name == "login"
    entry.refresh_from_db()
    assert entry.status == Status.WAITING and entry.status_detail
    mails.drain()
    assert not mail.outbox, "nothing stopped: it never worked"
    assert "Waiting for trust" in look(alice, url("entry", entry)).text
    set_up(own, entry)
    verify(entry)
    entry.refresh_from_db()
    # The login is there; that no registry answers in this test is another matter.
    assert entry.status == Status.UNREACHABLE
    # Once it worked, a refusal is a failure like any.
    own.roles.roles.clear()
    minting.status_mark(entry, Status.VERIFIED)
    verify(entry)
    entry.refresh_from_db()
    assert entry.status == Status.FAILING
    # Another role waits again; a choice leaves the trust as it was.
    for config, state in (
        ({"narrow": "yes"}, Status.UNVERIFIED),
        ({"role_arn": f"{ARN}Two"}, Status.WAITING),
        ({"narrow": "no"}, Status.WAITING),
    ):
        change = EntryChange(config=config)
        entry = door.entry_update(entry=entry, actor=Actor("t"), change=change)
        assert entry.status == state and not entry.status_code, config


def test_the_list_can_be_narrowed_to_what_waits(make, look, alice) -> None:
    make(trusted=False)
    page = look(alice, "/organizations/acme/registries/?status=waiting")
    assert PATTERN in page.text and "Waiting for trust" in page.text


# --- logins ----------------------------------------------------------------------------------


def login(project, image: str = IMAGE):
    found = issuing.login_for(
        project=project, image=ImageReference.parse(image), actor=Actor("worker")
    )
    return found.login


@BOTH
def test_it_is_cached_and_renewed(own, acme, actor, project, make, slug) -> None:
    make(slug)
    worker = Api(tokens.token_issue_worker(organization=acme, name="w", actor=actor)[1])
    asked = {"project": str(project.pk), "image": IMAGE}
    first = worker.post(LOGIN, asked)
    assert first.status_code == 200, first.content
    assert first.json()["username"] == "AWS" and "eyJhbGciOi" not in first.content.decode()
    took = len(own.roles.took)
    with CaptureQueriesContext(connection) as captured:
        again = worker.post(LOGIN, asked).json()
    begun = [query["sql"].split()[0] for query in captured]
    assert begun[-2:] in (["WITH", "INSERT"], ["EXECUTE", "INSERT"])
    assert again["password"] == first.json()["password"] and len(own.roles.took) == took
    left = CachedLogin.objects.get().refresh_after - datetime.now(UTC)
    assert timedelta(minutes=29) < left <= timedelta(minutes=30)
    CachedLogin.objects.update(refresh_after=datetime.now(UTC) - timedelta(seconds=1))
    assert renewing.renew_due().done == 1 and len(own.tokens) == 2


def test_an_outage_leaves_the_login(own, project, make) -> None:
    make()
    good = login(project).password
    CachedLogin.objects.update(refresh_after=datetime.now(UTC) - timedelta(seconds=1))
    own.roles.relying.addresses.clear()  # AWS can't read our keys any more, and kept none
    own.roles.relying._kept.clear()
    assert login(project).password == good
    minting.background.drain()
    assert CachedLogin.objects.get().error_code == "issuer_unreachable"


def test_a_refusal_has_its_event_and_is_remembered_for_seconds(own, project, make) -> None:
    entry = make(trusted=False)
    with pytest.raises(Failed) as failed:
        login(project)
    assert failed.value.code == "identity_refused" and ARN not in failed.value.detail
    event = AuditEvent.objects.get(action="login.refused")
    assert event.code == "identity_refused"
    row = CachedLogin.objects.get()
    assert row.next_try_at - datetime.now(UTC) < timedelta(seconds=7)
    entry.refresh_from_db()
    assert entry.status == Status.WAITING


# --- confused deputies --------------------------------------------------------------------------


def test_the_proof_is_made_before_the_first_login_and_once_a_day(own, project, make) -> None:
    entry = make(ASSUMED)

    def tried() -> list[bool]:
        """Of each call since, whether it came with the entry's own External ID."""
        subject = signing.who(entry).subject
        found = [took.external_id == subject for took in own.roles.took]
        own.roles.took.clear()
        return found

    def anew() -> None:
        CachedLogin.objects.all().delete()
        login(project)

    whole = [False, False, True, False, False]
    assert not proofs.stands(entry)
    anew()
    assert tried() == whole and proofs.stands(entry)
    anew()
    assert tried() == [True]
    verify(entry)
    assert tried() == whole
    RegistryEntry.objects.update(proved_at=datetime.now(UTC) - timedelta(days=1, seconds=1))
    anew()
    assert tried() == whole
    # A clock that was ahead proves nothing.
    RegistryEntry.objects.update(proved_at=datetime.now(UTC) + timedelta(days=3))
    anew()
    assert tried() == whole
    # Nor does the proof of another role, nor the next one's of this.
    RegistryEntry.objects.update(credentials_version=7)
    anew()
    assert tried() == whole
    assert not proofs.stands(entry), "it was read before"


def test_nobody_looks_into_a_role_without_a_proof(own, make, look, bob, alice) -> None:
    """Listing an entry's images takes the role, too."""
    entry = make(ASSUMED, f"{HOST}/*")
    own.push("team/secret-project", "v1")
    del own.roles.roles[ARN].trust["Statement"][0]["Condition"]
    for person in (bob, alice):
        page = look(person, f"{url('entry', entry)}images/")
        assert "secret-project" not in page.html
    assert not own.tokens and {took.code for took in own.roles.took} == {"ok"}
    set_up(own, entry)
    assert "secret-project" in look(alice, f"{url('entry', entry)}images/").html


@pytest.mark.parametrize("seen_by", ["verifying", "a worker", "a renewal"])
def test_a_role_that_stopped_asking_is_not_used(own, project, make, seen_by) -> None:
    """Whoever finds it: no login is given any more, one that is cached neither, and the entry
    stays red until the role asks again."""
    entry = make(ASSUMED)
    login(project)
    minting.status_mark(entry, Status.VERIFIED)
    kept = own.roles.roles[ARN].trust["Statement"][0].pop("Condition")
    if seen_by == "verifying":
        assert verify(entry).failed.code == "external_id_not_enforced"
    else:
        RegistryEntry.objects.update(proved_at=datetime.now(UTC) - timedelta(days=1, seconds=1))
        CachedLogin.objects.update(refresh_after=datetime.now(UTC) - timedelta(seconds=1))
        if seen_by == "a worker":
            CachedLogin.objects.all().delete()
        else:
            assert renewing.renew_due().failed
    for _ in range(2):
        with pytest.raises(Failed) as failed:
            login(project)
        assert failed.value.code == "external_id_not_enforced"
        entry.refresh_from_db()
        assert entry.status == Status.FAILING and not proofs.stands(entry)
        CachedLogin.objects.update(next_try_at=None)
    own.roles.roles[ARN].trust["Statement"][0]["Condition"] = kept
    CachedLogin.objects.update(next_try_at=None)
    assert login(project)


@BOTH
def test_another_organizations_role_is_reached_by_no_entry_of_ours(
    own, umbrella, make, make_entry, actor, slug
) -> None:
    """Umbrella's role, trusting Umbrella's entry, named in an entry of Acme's."""
    spec = EntrySpec(
        registry_type=slug, patterns=[PATTERN], config={"role_arn": ARN, "region": REGION},
        secrets={}, environments=[], enabled=True, note="",
    )  # fmt: skip
    theirs = door.entry_create(organization=umbrella, actor=actor, spec=spec)
    set_up(own, theirs)
    ours = make(slug, trusted=False)
    failed = verify(ours).failed
    assert failed and failed.code in {"identity_refused", "access_denied"}
    assert not own.tokens
    assert not verify(theirs).steps[0].code and own.tokens


@BOTH
def test_an_organization_made_again_inherits_nothing(own, make, acme, actor, slug) -> None:
    before = signing.who(make(slug)).subject
    Organization.objects.filter(pk=acme.pk).delete()
    again = Organization.objects.create(name="Acme", slug="acme")
    spec = EntrySpec(
        registry_type=slug, patterns=[PATTERN], config={"role_arn": ARN, "region": REGION},
        secrets={}, environments=[], enabled=True, note="",
    )  # fmt: skip
    entry = door.entry_create(organization=again, actor=actor, spec=spec)
    assert signing.who(entry).subject != before
    assert verify(entry).failed and not own.tokens


def test_who_this_server_is_at_aws_is_learned_and_shown(own, make, look, alice, staff) -> None:
    entry = make(ASSUMED, trusted=False)
    page = look(alice, url("entry", entry))
    assert "&lt;ACCOUNT_OF_THIS_SERVER&gt;" in page.html and "Ask staff" in page.text
    assert "Not known yet" in look(staff, "/staff/identity/").text
    verify(entry)
    whose = look(staff, "/staff/identity/")
    assert f"arn:aws:iam::{OWN_ACCOUNT}:user/server" in whose.text and PATTERN in whose.text
    assert "user/server" not in look(alice, "/organizations/acme/identity/").html
    page = look(alice, url("entry", entry))
    assert f"arn:aws:iam::{OWN_ACCOUNT}:root" in page.html
    assert "ACCOUNT_OF_THIS_SERVER" not in page.html


def test_the_documents_of_the_page_are_what_they_say(make) -> None:
    """JSON parses, and Terraform's expressions are that JSON."""
    shown = set_up_of(make())
    trust, rights, cli, terraform = shown.parts
    for part in (trust, rights):
        assert json.loads(part.text)["Statement"]
        assert part.text.replace("\n", "\n  ") in terraform.text
    assert cli.language == "AWS CLI" and terraform.text.count("resource ") == 3
    assert "jsonencode(" in terraform.text
