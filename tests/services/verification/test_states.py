"""What the steps of a check say of the entry: «Verified» only where none has an ✕."""

from __future__ import annotations

import socket
import ssl
import threading
import time

import pytest
from django.core.management import call_command
from django.urls import reverse

from orgs.models import RegistryEntry, Verification
from orgs.registries import outbound, provider_calls
from orgs.registries.aws import Key
from orgs.registries.ecr_api import EcrApi
from orgs.registries.problems import Failed
from orgs.services.entries.attention import entries_needing_attention
from orgs.services.entries.status import status_mark
from orgs.services.tenancy import mails
from orgs.services.verification import verifying
from tests.conftest import HOST, run_all
from tests.support.internet import HOST as REGISTRY
from tests.support.internet import reply
from tests.web.conftest import Page, url

pytestmark = [pytest.mark.once, pytest.mark.django_db(transaction=True)]
Status = RegistryEntry.Status
CHALLENGE = 'Basic realm="r"'


@pytest.fixture
def minted(aws, make_entry):
    key_id, secret = aws.create_user("valohai", aws.policy())
    return make_entry(config={"access_key_id": key_id}, secrets={"secret_access_key": secret})


@pytest.fixture
def static(make_entry):
    return make_entry(
        f"{REGISTRY}/*",
        registry_type="docker",
        config={"username": "me"},
        secrets={"password": "mine"},
    )


def check(entry, actor, image=None):
    report = verifying.entry_verify(entry=entry, actor=actor, image=image)
    return report, RegistryEntry.objects.get(pk=entry.pk)


def test_an_outage_is_no_refusal(minted, actor, internet) -> None:
    """No host by that name in the test's internet: DNS knows none."""
    report, entry = check(minted, actor)
    login, registry, image = report.steps
    assert (login.result, registry.result, image.result) == ("ok", "failed", "not_checked")
    assert entry.status == Status.UNREACHABLE and not report.holds
    assert "may still reach it" in registry.fix


@pytest.mark.parametrize("status", [500, 502, 503])
def test_a_registrys_own_fault_is_likely_to_hit_workers(status, static, actor, internet) -> None:
    internet.serve(lambda request: reply(status, {}))
    report, entry = check(static, actor)
    assert entry.status == Status.UNREACHABLE
    assert "likely to meet the same" in report.failed.fix


def test_a_step_that_asked_nobody_has_no_tick(static, actor, internet) -> None:
    def script(request):
        return reply(200, {}) if request.authorization else reply(401, www_authenticate=CHALLENGE)

    internet.serve(script)
    report, entry = check(static, actor)
    first = report.steps[0]
    assert (first.result, first.what) == (
        "not_checked",
        "Nothing to obtain: the password is used as it is.",
    )
    assert entry.status == Status.VERIFIED and report.holds


def test_it_is_shown_everywhere(minted, static, actor, acme, alice, client, internet, capsys):
    client.force_login(alice)
    for entry in (minted, static):
        check(entry, actor)
    for entry, word in (
        (minted, "Login works, registry unreachable"),
        (static, "Registry unreachable"),
    ):
        page = Page(client.get(url("entry", entry)))
        assert f"◑ {word}" in page.text and "● Verified" not in page.text
        assert "check-outage" in page.html
    listed = Page(client.get(reverse("registries", args=["acme"]) + "?status=unreachable"))
    assert str(minted) in listed.text and str(static) in listed.text
    told = {told.entry.pk: told.sentences for told in entries_needing_attention(acme, private=True)}
    assert set(told) == {minted.pk, static.pk}
    assert all("may still reach it" in sentences[0] for sentences in told.values())
    call_command("check_registries")  # no entry's failure: exit 0
    assert "◑ acme" in capsys.readouterr().out


def test_what_fails_comes_before_what_isnt_reached(minted, make_entry, acme, actor, internet):
    make_entry(f"{HOST}/fine/*")
    check(minted, actor)
    failing = make_entry(f"{HOST}/b/*")
    status_mark(failing, Status.FAILING, Failed("access_denied", "No.", "Do."))
    assert list(RegistryEntry.objects.of(acme))[:2] == [failing, minted]


def test_a_renewed_login_says_nothing_of_the_registry(minted, actor, internet) -> None:
    check(minted, actor)
    status_mark(minted, Status.VERIFIED, login_only=True)
    assert RegistryEntry.objects.get().status == Status.UNREACHABLE


def test_that_it_works_again_is_told_and_no_more(
    minted, actor, internet, alice, mailoutbox
) -> None:
    status_mark(minted, Status.FAILING, Failed("access_denied", "No.", "Do."))
    check(minted, actor)
    mails.drain()
    stopped, works = mailoutbox
    assert "stopped" in stopped.subject and works.subject.endswith("works again")
    assert "nobody saw yet" in works.body and "can be pulled" not in works.body
    assert RegistryEntry.objects.get().failure_told_at is None


@pytest.mark.parametrize(
    ("works", "level"), [(0, "callout callout-bad"), (1, "callout callout-warn"), (2, 'callout"')]
)
def test_how_many_held_has_its_colour(
    works, level, minted, make_entry, alice, client, monkeypatch
) -> None:
    client.force_login(alice)
    entries = [minted, make_entry(f"{HOST}/b/*")]
    held = iter([verifying.Report([], status=Status.VERIFIED)] * works)

    def one(**given):
        if report := next(held, None):
            return report
        raise Failed("access_denied", "No.", "Do.")

    monkeypatch.setattr(verifying, "entry_verify", one)
    data = {"action": "verify", "entry": [str(entry.pk) for entry in entries]}
    address = client.post(reverse("entries_selected", args=["acme"]), data).url
    run_all()
    page = Page(client.get(address))
    assert f"{works} of 2 verified." in page.text and level in page.html


def test_what_older_checks_found_is_judged_anew(minted, static, make_entry) -> None:
    import importlib

    from django.apps import apps

    judge = importlib.import_module("orgs.migrations.0010_registry_unreachable").judge_anew
    third = make_entry(f"{HOST}/fine/*")
    broken = make_entry(f"{HOST}/broken/*")
    for entry, name, code in (
        (minted, "registry", "registry_unreachable"),
        (static, "image", "image_not_found"),
        (third, "", ""),
        (broken, "", ""),
    ):
        steps = [{"name": "login", "result": "ok"}]
        if name:
            steps.append(
                {"name": name, "result": "failed", "code": code, "what": "What.", "fix": "Fix."}
            )
        Verification.objects.update_or_create(
            entry=entry, defaults={"at": "2026-01-01T00:00Z", "steps": steps}
        )
    Verification.objects.filter(entry=broken).update(steps=[7, None, {"result": []}])
    RegistryEntry.objects.update(status="verified")
    judge(apps, None)
    found = dict(RegistryEntry.objects.values_list("pk", "status"))
    assert found == {
        minted.pk: "unreachable",
        static.pk: "unverified",
        third.pk: "verified",
        broken.pk: "verified",
    }
    assert RegistryEntry.objects.get(pk=minted.pk).status_detail == "What. Fix."


@pytest.mark.parametrize("fault", ["throttle", "error500", "drop", "unavailable"])
@pytest.mark.parametrize(
    ("stood", "code", "stands"),
    [
        (Status.FAILING, "access_denied", Status.FAILING),
        (Status.FAILING, "image_denied", Status.FAILING),
        (Status.UNREADABLE, "entry_unusable", Status.UNREADABLE),
        (Status.VERIFIED, "", Status.UNVERIFIED),
    ],
)
def test_an_outage_mends_nothing(fault, stood, code, stands, minted, aws, actor) -> None:
    status_mark(minted, stood, Failed(code, "No.", "Do.") if code else None)
    aws.fault(fault)
    _, entry = check(RegistryEntry.objects.get(), actor)
    assert entry.status == stands and (entry.status_code == code or stood == Status.VERIFIED)


def test_nor_does_an_image_that_isnt_there(minted, actor, internet) -> None:
    """Denied one image, and then asked for another: nobody saw the first."""
    status_mark(minted, Status.FAILING, Failed("image_denied", "No.", "Do."))
    _, entry = check(RegistryEntry.objects.get(), actor)  # whose registry doesn't answer
    assert (entry.status, entry.status_code) == (Status.FAILING, "image_denied")


def test_a_deny_of_the_organization_isnt_mended_by_the_policy(minted, aws, actor, alice, client):
    client.force_login(alice)
    aws.fault("denied_by_organization")
    report, entry = check(minted, actor)
    assert entry.status == Status.FAILING and report.failed.code == "access_denied"
    assert "service control policy" in report.failed.what
    assert "administers your AWS organization" in report.failed.fix
    page = Page(client.get(url("entry", entry)))
    assert report.failed.fix in page.text and "To the policy" not in page.text


# --- each way that a network fails, told apart, by real sockets ---------------------


def _closed_port() -> str:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return f"http://127.0.0.1:{probe.getsockname()[1]}"


@pytest.fixture
def listening():
    """A server that does this to each connection; gives its port."""
    servers = []

    def listen(manners) -> int:
        server = socket.create_server(("127.0.0.1", 0))
        servers.append(server)

        def serve() -> None:
            try:
                while True:
                    client, _ = server.accept()
                    threading.Thread(target=manners, args=(client,), daemon=True).start()
            except OSError:
                pass

        threading.Thread(target=serve, daemon=True).start()
        return server.getsockname()[1]

    yield listen
    for server in servers:
        server.close()


def _told(url: str, seconds: float = 1.5) -> Failed:
    api = EcrApi(
        Key("AKIAIOSFODNN7EXAMPLE", "s" * 40), "us-east-1", endpoint_url=url,
        deadline=time.monotonic() + seconds,
    )  # fmt: skip
    with pytest.raises(Failed) as failed:
        api.login()
    assert failed.value.code == "registry_unreachable"
    return failed.value


def test_faults_of_the_way_to_aws_are_told_apart(listening, monkeypatch) -> None:
    monkeypatch.setattr(provider_calls, "ATTEMPTS", 1)
    hang = listening(lambda client: time.sleep(5))
    close = listening(lambda client: client.close())
    plain = listening(lambda client: client.sendall(b"HTTP/1.1 400 Bad\r\n\r\n"))
    junk = listening(
        lambda client: (client.recv(9999), client.sendall(b"hello world\r\n\r\n"), time.sleep(1))
    )
    said = {
        "nowhere": _told("http://nowhere.invalid").what,
        "refused": _told(_closed_port()).what,
        "hang": _told(f"http://127.0.0.1:{hang}").what,
        "closed": _told(f"http://127.0.0.1:{close}").what,
        "tls": _told(f"https://127.0.0.1:{plain}").what,
        "junk": _told(f"http://127.0.0.1:{junk}").what,
    }
    assert "DNS knows no address of nowhere.invalid" in said["nowhere"]
    assert "refused the connection" in said["refused"]
    assert "didn’t answer within" in said["hang"]
    assert "closed the connection" in said["closed"]
    assert "TLS" in said["tls"]
    assert len(set(said.values())) == len(said)
    assert sum("didn’t answer within" in what for what in said.values()) == 1


def test_the_operators_proxy_is_named_as_what_failed(listening, monkeypatch) -> None:
    monkeypatch.setattr(provider_calls, "ATTEMPTS", 1)
    refuses = listening(
        lambda client: (client.recv(9999), client.sendall(b"HTTP/1.1 403 No\r\n\r\n"))
    )
    for proxy in (f"http://127.0.0.1:{refuses}", _closed_port()):
        monkeypatch.setenv("https_proxy", proxy)
        monkeypatch.setenv("no_proxy", "")
        monkeypatch.delenv("HTTPS_PROXY", raising=False)
        told = _told("https://api.ecr.us-east-1.amazonaws.com")
        doesnt = "doesn't let it through to api.ecr.us-east-1.amazonaws.com (HTTP 403)."
        assert told.what in {
            f"This server's proxy {doesnt}",
            "This server's proxy can't be reached, so nothing was sent.",
        }
        assert "HTTPS_PROXY" in told.fix or "check this server's way" in told.fix


def test_certificates_have_a_sentence_each() -> None:
    faults = [
        (10, "expired"),
        (9, "valid yet"),
        (62, "another host"),
        (18, "by itself"),
        (19, "doesn't know"),
    ]
    for number, says in faults:
        error = ssl.SSLCertVerificationError()
        error.verify_code = number
        assert says in outbound._network_error("h", error).what
