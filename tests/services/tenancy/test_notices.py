"""An organization's address for notices: what is posted there, signed, and where it never goes."""

from __future__ import annotations

import hashlib
import hmac
import http.server
import json
import logging
import threading
import time
from dataclasses import dataclass, field

import pytest
from django.db import connection

from orgs.models import AuditEvent, Membership, NoticeAddress, RegistryEntry, User
from orgs.registries.problems import Failed, Refused
from orgs.sealed import Unreadable, seal
from orgs.services.audit.events import Actor
from orgs.services.bulk.rotation import rotate_secrets
from orgs.services.entries import notices, status
from orgs.services.tenancy import mails, notice_addresses, notifying, organizations, webhooks
from orgs.services.tenancy.notifying import Notice, notify
from tests.conftest import HOST
from tests.support.internet import reply

pytestmark = [pytest.mark.once, pytest.mark.django_db(transaction=True)]

TOKEN = "T000/B000/CANARYcanaryCANARY0123"
ERROR = Failed("access_denied", "AWS says no <!channel> & more.", "Attach the policy.")
NOTICE = Notice("test", "A test", ["It arrives."], "/x/", "a test")


@dataclass
class Receiver:
    """A real HTTP server on loopback; `said` is what it answers, one each, the last for good."""

    url: str
    said: list[tuple[int, bytes]] = field(default_factory=lambda: [(200, b"ok")])
    got: list[tuple[str, dict[str, str], bytes]] = field(default_factory=list)


@pytest.fixture
def receiver(settings):
    settings.OUTBOUND_ALLOWED_NETWORKS = ["127.0.0.0/8"]

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            content = self.rfile.read(int(self.headers["Content-Length"]))
            headers = {name.lower(): text for name, text in self.headers.items()}
            found.got.append((self.path, headers, content))
            code, body = found.said.pop(0) if len(found.said) > 1 else found.said[0]
            self.send_response(code)
            if 300 <= code < 400:
                self.send_header("Location", f"{found.url}/elsewhere")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *args) -> None:
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    found = Receiver(f"http://127.0.0.1:{server.server_port}")
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield found
    webhooks.drain()
    server.shutdown()
    server.server_close()


@pytest.fixture(autouse=True)
def at_once(monkeypatch):
    monkeypatch.setattr(webhooks, "WAITS", (0.0, 0.0))


@pytest.fixture
def by(alice, acme) -> Actor:
    return Actor.person(alice, acme, "192.0.2.1")


@pytest.fixture
def sent_to(acme, by):
    """Have the organization's notices go there; the row and the signing secret."""

    def sent_to(url: str, kind: str = "webhook") -> tuple[NoticeAddress, str]:
        return notice_addresses.address_set(organization=acme, actor=by, kind=kind, address=url)

    return sent_to


def stop(entry) -> None:
    status.status_mark(entry, RegistryEntry.Status.FAILING, ERROR)
    webhooks.drain()


def checked(secret: str, header: str, content: bytes, now: float) -> bool:
    """As the guide tells to do it."""
    parts = dict(part.split("=", 1) for part in header.split(","))
    if abs(now - int(parts["t"])) > 300:
        return False
    expected = hmac.new(
        secret.encode(), parts["t"].encode() + b"." + content, hashlib.sha256
    ).hexdigest()
    return hmac.compare_digest(expected, parts["v1"])


# --- what arrives -------------------------------------------------------------------


def test_a_webhook_gets_our_json_signed(receiver, sent_to, make_entry, settings, acme) -> None:
    settings.BASE_URL = "https://registries.example.com"
    row, secret = sent_to(f"{receiver.url}/in/{TOKEN}?a=b")
    entry = make_entry()
    stop(entry)
    ((path, headers, content),) = receiver.got
    assert path == f"/in/{TOKEN}?a=b" and headers["content-type"] == "application/json"
    assert checked(secret, headers["x-valohai-signature"], content, time.time())
    assert not checked(secret, headers["x-valohai-signature"], content + b" ", time.time())
    assert not checked(secret + "x", headers["x-valohai-signature"], content, time.time())
    assert not checked(secret, headers["x-valohai-signature"], content, time.time() + 900)
    told = json.loads(content)
    url = f"https://registries.example.com/organizations/acme/registries/{entry.pk}/"
    assert told.pop("id") and time.strptime(told.pop("at"), "%Y-%m-%dT%H:%M:%SZ")
    assert told == {
        "event": "entry.stopped", "organization": "acme",
        "subject": f"{HOST}/* stopped working", "url": url,
        "entry": {"id": str(entry.pk), "image_pattern": f"{HOST}/*", "url": url},
        "code": "access_denied", "what": "AWS says no <!channel> & more.",
        "fix": "Attach the policy.",
    }  # fmt: skip
    row.refresh_from_db()
    assert row.delivered_at and not row.failed_at and not row.failing
    status.status_mark(entry, RegistryEntry.Status.VERIFIED)
    webhooks.drain()
    assert json.loads(receiver.got[1][2])["event"] == "entry.works"


def test_slack_gets_text_that_mentions_nobody(receiver, sent_to, make_entry) -> None:
    assert sent_to(f"{receiver.url}/services/{TOKEN}", "slack")[1] == ""
    stop(make_entry())
    ((_, headers, content),) = receiver.got
    assert "x-valohai-signature" not in headers
    told = json.loads(content)
    assert list(told) == ["text"]
    first, what, fix, link = told["text"].split("\n")
    assert first == f"*{HOST}/* stopped working*" and fix == "Attach the policy."
    assert what == "AWS says no &lt;!channel&gt; &amp; more." and link.endswith("/")


def test_many_that_were_verified_together_are_one(
    receiver, sent_to, acme, make_entry, mailoutbox
) -> None:
    sent_to(f"{receiver.url}/in/{TOKEN}")
    made = [make_entry(f"{HOST}/{n}") for n in range(3)]
    with notices.together():
        for entry in made[:2]:
            stop(entry)
    notices.many_changed(acme, dict.fromkeys((e.pk for e in made), False), "/run/")
    webhooks.drain()
    mails.drain()
    ((_, _, content),) = receiver.got
    told = json.loads(content)
    assert told["event"] == "entries.changed" and told["entry"] is None
    assert (told["stopped"], told["works"]) == (2, 0) and told["url"].endswith("/run/")
    (mail,) = mailoutbox
    assert mail.subject == told["subject"] == "2 entries stopped working in Acme"


def test_over_https_to_a_public_address(internet, sent_to, acme) -> None:
    server = internet.serve(lambda request: reply(200, b"ok"))
    row, _ = sent_to("https://registry.example.com/hook/of-acme-alone")
    assert notice_addresses.address_test(row) == webhooks.Outcome(
        True, "registry.example.com answered 200: ok"
    )
    assert [(r.method, r.target) for r in server.requests] == [("POST", "/hook/of-acme-alone")]


# --- what goes wrong ----------------------------------------------------------------


@pytest.mark.parametrize(
    ("said", "tries", "told"),
    [
        ([(404, b"no_service")], 1, "answered 404: no_service"),
        ([(500, b"")], 3, "answered 500."),
        ([(429, b"slow\n\x1b[31mdown"), (200, b"ok")], 2, ""),
        ([(302, b"")], 1, "leads elsewhere, and notices follow nowhere."),
        ([(403, b"<b>" + b"x" * 9000)], 1, "answered 403: <b>xxx"),
        ([(400, f"no channel at /in/{TOKEN}".encode())], 1, "answered 400: no channel at /"),
    ],
)
def test_tries_and_what_is_told_of_them(receiver, sent_to, acme, caplog, said, tries, told) -> None:
    caplog.set_level(logging.DEBUG)
    receiver.said = said
    row, secret = sent_to(f"{receiver.url}/in/{TOKEN}")
    notify(acme, NOTICE)
    webhooks.drain()
    assert [path for path, _, _ in receiver.got] == [f"/in/{TOKEN}"] * tries  # and nowhere else
    row.refresh_from_db()
    assert told in row.failure and row.failing is bool(told) and len(row.failure) < 300
    assert all(c.isprintable() for c in row.failure)
    assert "CANARY" not in row.failure and "CANARY" not in caplog.text
    assert secret not in caplog.text


REFUSED = [
    ("https://127.0.0.1/hook", "127.0.0.1 leads back to this server itself"),
    ("https://[::1]/hook", "::1 leads back to this server itself"),
    ("https://2130706433/hook", "2130706433 leads back to this server itself"),
    ("https://169.254.169.254/latest/meta-data/", "leads to a cloud's instance metadata"),
    ("https://metadata.example.com/", "metadata.example.com leads to a cloud's instance"),
    ("https://inside.example.com/", "inside.example.com leads to a private address"),
    ("https://link.example.com/", "link.example.com leads to a link-local address"),
    ("https://both.example.com/", "both.example.com leads to a private address"),
    ("https://nowhere.example.com/", "The DNS knows no address of nowhere.example.com."),
]


@pytest.mark.parametrize(("url", "told"), REFUSED)
def test_where_it_never_goes(internet, sent_to, url, told) -> None:
    internet.name("metadata.example.com", ["169.254.169.254"])
    internet.name("inside.example.com", ["10.1.2.3"])
    internet.name("link.example.com", ["fe80::1"])
    internet.name("both.example.com", ["8.8.8.8", "192.168.0.1"])
    row, _ = sent_to(url)
    outcome = notice_addresses.address_test(row)
    assert not outcome.done and told in outcome.told and internet.dials == []
    if "leads" in told:
        assert outcome.told.endswith("add its network to OUTBOUND_ALLOWED_NETWORKS.")
    assert "registry" not in outcome.told.lower()  # nobody spoke of one


def test_not_even_an_opened_network_holds_metadata(internet, sent_to, settings) -> None:
    settings.OUTBOUND_ALLOWED_NETWORKS = ["169.254.0.0/16"]
    row, _ = sent_to("http://169.254.169.254/latest/")
    assert "instance metadata" in notice_addresses.address_test(row).told


def test_http_is_for_opened_networks_alone(internet, sent_to, settings) -> None:
    with pytest.raises(Refused, match="over https"):
        sent_to("http://127.0.0.1/hook")
    settings.OUTBOUND_ALLOWED_NETWORKS = ["10.0.0.0/8"]
    internet.name("out.example.com", ["8.8.8.8"])
    row, _ = sent_to("http://out.example.com/hook")
    assert "over https only" in notice_addresses.address_test(row).told and internet.dials == []


def test_many_that_wait_are_dropped_and_nobody_waits(sent_to, acme, internet, monkeypatch) -> None:
    monkeypatch.setattr(webhooks, "MOST_WAITING", 2)
    go = threading.Event()
    answers = []

    def slow(request):
        answers.append(request)
        go.wait(20)
        return reply(200)

    internet.serve(slow)
    row, _ = sent_to("https://registry.example.com/hook/of-acme-alone")
    for _ in range(5):
        webhooks.send(row, b"{}")  # returns, whatever becomes of it
    go.set()
    webhooks.drain()
    assert len(answers) == 2


def test_so_many_in_an_hour_and_one_that_says_so(receiver, sent_to, acme, monkeypatch) -> None:
    monkeypatch.setattr(notifying, "MOST", 2)
    sent_to(f"{receiver.url}/in/{TOKEN}")
    for _ in range(5):
        notify(acme, NOTICE)
        webhooks.drain()
    assert [json.loads(c)["event"] for _, _, c in receiver.got] == ["test", "test", "notices.more"]


def test_a_made_up_organization_sends_nothing(receiver, sent_to, acme, mailoutbox) -> None:
    row, _ = sent_to(f"{receiver.url}/in/{TOKEN}")
    acme.made_up = True
    acme.save()
    row.organization = acme
    notify(acme, NOTICE)
    with pytest.raises(Refused, match="made up"):
        notice_addresses.address_test(row)
    webhooks.drain()
    mails.drain()
    assert not receiver.got and not mailoutbox


def test_ten_tests_are_enough(receiver, sent_to) -> None:
    row, _ = sent_to(f"{receiver.url}/in/{TOKEN}")
    for _ in range(notice_addresses.MOST_TESTS):
        assert notice_addresses.address_test(row).done
    with pytest.raises(Refused, match="within ten minutes"):
        notice_addresses.address_test(row)


# --- setting it ---------------------------------------------------------------------


@pytest.mark.parametrize(
    "url",
    ["", "x", "hooks.slack.com/services/x", "ftp://a.io/x", "https://", "https:///x",
     "https://user:CANARY@a.io/x", "https://a.io/#CANARY", "https://a.io\\@b.io/", "https://a.io:0/",
     "https://a.io:70000/", "https://a io/", "https://a.io/\nHost: b", "https://ä.example.com/",
     "https://a.io/" + "x" * 1000, "javascript:alert(1)", "https://a.io/\0", "https://[::1%25eth0]/",
     "https://[....]/x", "https://[abcd]/x", "https://[::::]/x", "https://[10.0.0.7]/x"],
)  # fmt: skip
def test_what_is_no_address(sent_to, url) -> None:
    with pytest.raises(Refused) as refused:
        sent_to(url)
    assert refused.value.problem.field == "address" and "CANARY" not in str(refused.value)
    assert not NoticeAddress.objects.exists()


def test_an_address_that_older_rules_let_in_is_told_as_none(sent_to) -> None:
    row, _ = sent_to(f"https://a.io/in/{TOKEN}")
    row.address = seal("https://[abcd]/x", row.sealed_for)
    row.save()
    outcome = notice_addresses.address_test(row)
    assert not outcome.done and "This isn't an address" in outcome.told
    webhooks.send(row, b"{}")
    webhooks.drain()
    row.refresh_from_db()
    assert row.failure == outcome.told


def test_the_secret_is_told_once_kept_and_replaced(sent_to, acme, by) -> None:
    row, first = sent_to(f"https://a.io/in/{TOKEN}")
    assert first.startswith("vhns_") and row.shown == "a.io …0123"
    again, none = sent_to(f"https://b.io:8443/in/{TOKEN}")
    assert again.pk == row.pk and none == "" and again.shown == "b.io:8443 …0123"
    assert webhooks.opened(again).secret == first
    replaced = {
        notice_addresses.secret_replace(organization=acme, actor=by, generation=1)
        for _ in range(2)  # a page sent again
    }
    assert len(replaced) == 2 and "" in replaced
    assert webhooks.opened(NoticeAddress.objects.get()).secret == max(replaced)
    assert sent_to(f"https://a.io/in/{TOKEN}", "slack")[0].secret is None
    assert sent_to("https://a.io/short")[0].shown == "a.io"  # four of five letters told much
    told = str(list(AuditEvent.objects.values()))
    assert "CANARY" not in told and "vhns_" not in told and "b.io:8443 …0123" in told
    notice_addresses.address_remove(organization=acme, actor=by)
    actions = AuditEvent.objects.order_by("pk").values_list("action", flat=True)
    assert not NoticeAddress.objects.exists() and actions.last() == "notices.address_removed"


def test_whoever_is_no_admin_any_more_sets_nothing(sent_to, acme, alice, by, charlie) -> None:
    stranger = Actor.person(charlie, acme, "192.0.2.1")
    for act in (
        lambda: notice_addresses.address_set(
            organization=acme, actor=stranger, kind="slack", address="https://a.io/x"
        ),
        lambda: notice_addresses.secret_replace(organization=acme, actor=stranger, generation=1),
        lambda: notice_addresses.address_remove(organization=acme, actor=stranger),
    ):
        with pytest.raises(Refused, match="no org admin"):
            act()


def test_sealed_resealed_and_bound_to_its_row(sent_to, settings, receiver, umbrella, acme) -> None:
    row, secret = sent_to(f"{receiver.url}/in/{TOKEN}")
    before = bytes(row.address.token)
    assert rotate_secrets().resealed >= 2
    row.refresh_from_db()
    assert bytes(row.address.token) != before and webhooks.opened(row).secret == secret
    other = NoticeAddress.objects.create(
        organization=umbrella, kind="webhook", address=row.address, host="a.io", set_at=row.set_at
    )
    with pytest.raises(Unreadable):
        webhooks.opened(other)
    notify(umbrella, NOTICE)
    webhooks.drain()
    other.refresh_from_db()
    assert other.failure == "The address can't be opened with this server's keys. Write it again."
    assert not receiver.got


def test_what_comes_of_the_one_before_isnt_the_new_ones(sent_to) -> None:
    row, _ = sent_to(f"https://a.io/in/{TOKEN}")
    old = row.set_at
    row, _ = sent_to(f"https://b.io/in/{TOKEN}")
    webhooks._store(row.pk, old, webhooks.Outcome(False, "a.io answered 500."))
    row.refresh_from_db()
    assert row.failure == "" and row.failed_at is None


# --- by person ----------------------------------------------------------------------


def test_each_chooses_and_a_membership_takes_it_along(
    acme, umbrella, alice, bob, charlie, make_entry, mailoutbox, by
) -> None:
    Membership.objects.create(organization=acme, user=charlie, role="admin")
    oneself = Actor(charlie.email, charlie)
    ids = {acme.pk, umbrella.pk}

    def choose(person: User, of, wanted) -> None:
        notice_addresses.mails_choose(person=person, actor=oneself, of=of, wanted=wanted)

    assert notifying.to_be_mailed(acme) == ["alice@example.com", "charlie@example.com"]
    choose(charlie, ids, {umbrella.pk})
    assert notifying.to_be_mailed(acme) == ["alice@example.com"]
    assert notifying.to_be_mailed(umbrella) == ["charlie@example.com"]
    choose(charlie, {umbrella.pk}, set())  # the page showed no other
    assert notifying.to_be_mailed(umbrella) == [] and notifying.to_be_mailed(acme)
    choose(bob, ids, set())  # a member isn't asked
    assert bob.memberships.get().notices_by_mail
    choose(charlie, ids, set())
    assert AuditEvent.objects.filter(action="notices.mail_chosen").count() == 2
    row = acme.memberships.get(user=charlie)
    organizations.member_remove(membership=row, actor=by)
    organizations.member_add(organization=acme, user=charlie, role="admin", actor=by)
    assert notifying.to_be_mailed(acme) == ["alice@example.com", "charlie@example.com"]


def test_nobody_who_wants_any_and_no_address_counts_nothing(acme, alice) -> None:
    acme.memberships.update(notices_by_mail=False)
    notify(acme, NOTICE)
    with connection.cursor() as cursor:
        cursor.execute("SELECT count(*) FROM orgs_tally WHERE key LIKE 'mails:%'")
        assert cursor.fetchone()[0] == 0
