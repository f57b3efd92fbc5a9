"""`deploy/prove-keyless` against the fake AWS and a real registry: what it calls proven and
refuted, that it tells no secret, and that Terraform makes what the product shows."""

from __future__ import annotations

import hashlib
import importlib
import json
import re
import stat
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import ModuleType, SimpleNamespace

import pytest

from orgs.models import RegistryEntry, SigningKey
from orgs.registries.catalogue import BY_SLUG
from orgs.registries.patterns import MatchPattern
from orgs.registries.types import DockerLogin, Who
from orgs.services.identity import documents, keys
from tests.conftest import HOST
from tests.registries.keyless_aws import REGION, own, policy, set_up
from tests.support import PROJECT_ROOT
from tests.support.internet import Internet, reply
from tests.support.registry import Registry

__all__ = ["own"]
pytestmark = [pytest.mark.once, pytest.mark.django_db(transaction=True)]

FOLDER = PROJECT_ROOT / "deploy/prove-keyless"
PREFIX = "valohai-prove-keyless"
ROLE = f"arn:aws:iam::123456789012:role/{PREFIX}"


@pytest.fixture
def prove(monkeypatch) -> ModuleType:
    monkeypatch.syspath_prepend(str(FOLDER))
    yield importlib.import_module("prove")
    for name in ("prove", "proofs", "kept", "ecr_http"):
        sys.modules.pop(name, None)


@pytest.fixture
def registry(own, internet, monkeypatch) -> Iterator[Registry]:
    with Registry(HOST, tokens=True, takes_pushes=True) as registry:
        for repository in ("named", "sibling"):
            registry.push(f"{PREFIX}/{repository}", "proof", repository.encode())
        registry.judge = honouring(own)
        own.on_token(lambda password: registry.allow("AWS", password))
        internet.name(HOST, ["10.20.30.40"])
        internet.route("10.20.30.40", 443, (registry.address, 443))
        monkeypatch.setenv("SSL_CERT_FILE", str(registry.ca_file))
        yield registry


def honouring(own) -> Callable[[str, str], bool]:
    """ECR that holds a login to its session's policy."""
    arn = f"arn:aws:ecr:{REGION}:123456789012:repository"
    return lambda password, repository: own.may_pull(password, f"{arn}/{repository}")


@pytest.fixture
def entry(registry, own, make_entry) -> RegistryEntry:
    made = make_entry(
        f"{HOST}/{PREFIX}/*",
        registry_type="aws-ecr-oidc",
        config={"role_arn": ROLE, "region": REGION},
        secrets={},
    )
    set_up(own, made)
    return made


class Run:
    """The script's runs, with all that it printed and kept, and its clock: sleeping moves it."""

    def __init__(self, prove: ModuleType, entry: RegistryEntry, state: Path, capsys) -> None:
        self._prove, self._entry, self._capsys = prove, entry, capsys
        self.state, self.written, self.slept = state, "", 0.0
        self.awakened: BaseException | None = None

    def __call__(self, *arguments: str) -> tuple[int, dict, str]:
        """Exit code, the JSON, and the plain words."""
        where = ["--entry", str(self._entry.pk), "--state", str(self.state)]
        code = self._prove.main([*where, *arguments])
        out, said = self._capsys.readouterr()
        self.written += out + said
        return code, json.loads(out), said

    def now(self) -> datetime:
        return datetime.now(UTC) + timedelta(seconds=self.slept)

    def sleep(self, seconds: float) -> None:
        if self.awakened:
            raise self.awakened
        self.slept += seconds


@pytest.fixture
def run(prove, entry, tmp_path, capsys, own, registry, monkeypatch) -> Iterator[Run]:
    """Whatever it does, nothing that it printed or left behind holds a secret."""
    made = Run(prove, entry, tmp_path / "state", capsys)
    proofs, kept = importlib.import_module("proofs"), importlib.import_module("kept")
    clock = SimpleNamespace(monotonic=time.monotonic, sleep=made.sleep)
    monkeypatch.setattr(proofs, "time", clock)
    monkeypatch.setattr(proofs, "now", made.now)
    real, states = kept.State._write, []

    def written(state) -> None:
        real(state)
        if made.state.exists():
            assert stat.S_IMODE(made.state.stat().st_mode) == 0o600
            states.append(made.state.read_text())

    monkeypatch.setattr(kept.State, "_write", written)
    yield made
    everything = made.written + "".join(states)
    secrets = [*own.tokens, *registry._bearers]
    secrets += [s for one in own.roles.sessions.values() for s in (one.secret, one.token)]
    assert secrets and not any(secret in everything for secret in secrets)
    assert not re.search(r"eyJ[A-Za-z0-9_-]{10,}\.|PRIVATE KEY", everything)
    assert [file.name for file in tmp_path.iterdir() if file != made.state] == []


def test_narrowing_is_proven_where_the_registry_holds_logins_to_their_session(run) -> None:
    code, told, said = run("narrowing")
    assert code == 0
    (verdict,) = told["proofs"]
    assert verdict["result"] == "proven" and "Proven" in said
    assert verdict["facts"]["opened"] == {
        "named_manifest": True,
        "named_blob": True,
        "sibling_manifest": False,
        "sibling_blob": False,
    }


def test_narrowing_is_refuted_where_it_does_not(run, registry) -> None:
    registry.judge = lambda *_: True
    code, told, said = run("narrowing")
    assert code == 1 and told["proofs"][0]["result"] == "refuted"
    assert "pulls from valohai-prove-keyless/sibling, too" in said


def test_narrowing_is_refuted_where_the_narrowed_login_opens_nothing(run, registry, own) -> None:
    seen: list[str] = []

    def only_the_first(password: str, _: str) -> bool:
        seen.append(password)
        return password == seen[0]

    registry.judge = only_the_first
    code, told, _ = run("narrowing")
    assert code == 1 and "doesn't pull from that either" in told["proofs"][0]["says"]


def test_a_role_that_does_not_open_the_sibling_proves_nothing(run, own) -> None:
    arn = f"arn:aws:ecr:{REGION}:123456789012:repository/{PREFIX}/named"
    own.roles.roles[ROLE].policy = policy(
        {"Effect": "Allow", "Action": "ecr:*", "Resource": arn},
        {"Effect": "Allow", "Action": "ecr:GetAuthorizationToken", "Resource": "*"},
    )
    code, told, said = run("narrowing")
    assert code == 2 and told["proofs"][0]["result"] == "not_tried"
    assert "doesn't open valohai-prove-keyless/sibling" in said


def test_a_role_that_trusts_nobody_is_told_in_the_products_own_words(run, own) -> None:
    role = own.roles.roles.pop(ROLE)
    code, told, said = run("narrowing", "life", "rotation")
    assert code == 2 and [one["result"] for one in told["proofs"]] == ["not_tried"] * 3
    assert said.count("Compare the role's trust policy with the entry's page") == 3
    assert not SigningKey.objects.filter(state=SigningKey.State.COMING).exists()
    own.roles.roles[ROLE] = role
    run("narrowing")  # what the canary looks for


def dying(run: Run, registry: Registry, own) -> None:
    """ECR refuses a session's login once the session is over."""
    ends: dict[str, float] = {}

    def given(password: str) -> None:
        registry.allow("AWS", password)
        (*_, latest) = own.roles.sessions.values()
        # The script's clock runs ahead of the fake's.
        ends[password] = latest.ends + run.slept

    own.on_token(given)
    registry.judge = lambda password, _: run.now().timestamp() < ends[password]


def test_a_login_that_ends_with_its_session(run, registry, own) -> None:
    dying(run, registry, own)
    code, told, said = run("life")
    (verdict,) = told["proofs"]
    assert code == 0 and verdict["result"] == "proven", said
    facts = verdict["facts"]
    assert facts["session_seconds"] == pytest.approx(900, abs=5)
    assert facts["login_states_seconds"] == pytest.approx(12 * 3600, abs=5)
    # The time that the test itself takes is the clock's, too.
    assert facts["pulls_after_session"] is False and 120 <= facts["refused_seconds_after"] < 300
    assert 1000 < run.slept < 1025
    assert "this waits until" in said and not run.state.exists()


def test_a_login_that_outlives_its_session(run) -> None:
    code, told, said = run("life")
    assert code == 1 and told["proofs"][0]["facts"]["pulls_after_session"] is True
    assert "600 s after the session's end the login still pulls" in said
    assert not run.state.exists()


def test_a_login_that_dies_before_its_session(run, registry) -> None:
    seen: list[str] = []  # the control's, the short session's, then that of the second control

    def judge(password: str, _: str) -> bool:
        seen.extend([] if password in seen else [password])
        return seen.index(password) != 1 or run.slept < 300

    registry.judge = judge
    code, told, _ = run("life")
    assert code == 1 and "before its session's end" in told["proofs"][0]["says"]
    assert not run.state.exists()


def test_a_refusal_of_everyone_is_none_of_the_login(run, registry) -> None:
    registry.judge = lambda *_: run.slept < 950
    code, told, _ = run("life")
    assert code == 2 and "A fresh login is refused, too" in told["proofs"][0]["says"]


def test_it_goes_on_where_it_was_interrupted(run, registry, own) -> None:
    dying(run, registry, own)
    run.awakened = KeyboardInterrupt()
    code, told, said = run("life")
    assert code == 2 and told["proofs"][0]["result"] == "not_tried"
    assert "Interrupted: the same command goes on" in said
    assert run.state.exists()
    before, run.awakened = len(own.roles.sessions), None
    code, told, _ = run("life")
    assert code == 0, told
    assert len(own.roles.sessions) == before + 2  # two controls, and no session to be proven
    assert not run.state.exists()


def test_resumed_after_a_day_it_tells_nothing(run) -> None:
    run.awakened = KeyboardInterrupt()
    run("life")
    run.slept, run.awakened = 13 * 3600, None
    code, told, _ = run("life")
    assert code == 2 and "after the login's own end" in told["proofs"][0]["says"]
    assert not run.state.exists()


@pytest.mark.parametrize(
    ("content", "says"),
    [
        ("{}", "no state of this script"),
        ('{"entry": "another", "proofs": {}}', "of another entry"),
        ("", "no state of this script"),
    ],
)
def test_the_state_of_something_else_is_left_alone(run, content, says, own) -> None:
    run.state.write_text(content)
    code, told, said = run("life")
    assert code == 2 and told["proofs"] == [] and says in said
    assert run.state.read_text() == content
    run.state.unlink()
    run("narrowing")  # what the canary looks for


def test_a_rotated_key_is_taken(run, own, monkeypatch) -> None:
    monkeypatch.setattr(documents, "FRESH", 0.0)
    code, told, said = run("rotation")
    facts = told["proofs"][0]["facts"]
    assert code == 0 and "at the first try" in said
    assert facts["seconds_after_publishing"] < 900 and facts["logins_meanwhile"] == 1
    assert SigningKey.objects.filter(state=SigningKey.State.COMING).count() == 1


def test_a_cloud_that_keeps_the_former_keys_for_a_while(run, own, monkeypatch) -> None:
    monkeypatch.setattr(documents, "FRESH", 0.0)
    relying = own.roles.relying
    relying.patient = True
    real, looks = keys.coming, []

    def coming():
        looks.append(1)
        if len(looks) == 3:
            relying.forget()
        return real()

    monkeypatch.setattr(keys, "coming", coming)
    code, told, said = run("rotation")
    assert code == 0 and told["proofs"][0]["facts"]["refused_before"] == 2, said
    assert told["proofs"][0]["facts"]["logins_meanwhile"] == 3
    assert not run.state.exists()


def test_a_cloud_that_never_looks_again(run, own, monkeypatch) -> None:
    """First it's only late; once the key signs, logins fail."""
    own.roles.relying.patient = True
    code, _, said = run("rotation", "--patience", "0")
    assert code == 2 and "doesn't know the new key yet" in said
    assert run.state.exists()
    coming = SigningKey.objects.filter(state=SigningKey.State.COMING)
    coming.update(signs_from=coming.get().made_at - timedelta(days=1))
    code, _, said = run("rotation")
    assert code == 1 and "the new key signs now, and AWS refuses" in said
    assert not run.state.exists()


def test_it_pushes_the_images_itself(run, registry, own, monkeypatch) -> None:
    allowed = {"Effect": "Allow", "Action": "ecr:*", "Resource": "*"}
    key_id, secret = own.create_user("operator", policy(allowed))
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", key_id)
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", secret)
    code, _, said = run("--push", "--tag", "pushed", "narrowing")
    assert code == 0 and said.count("Pushed ") == 2, said
    assert key_id not in run.written and secret not in run.written


def test_what_it_can_not_try_it_does_not_try(prove, make_entry, own, tmp_path, capsys) -> None:
    where = ["--state", str(tmp_path / "state")]
    other = make_entry(f"{HOST}/else/*")
    assert prove.main(["--entry", str(other.pk), *where]) == 2
    assert "isn't one of AWS ECR (OIDC" in capsys.readouterr().err
    assert prove.main(["--entry", "00000000-0000-0000-0000-000000000000", *where]) == 2
    assert "has no entry" in capsys.readouterr().err
    for wrong in (["--entry", "x"], ["--entry", str(other.pk), "everything"], []):
        with pytest.raises(SystemExit) as ended:
            prove.main(wrong)
        assert ended.value.code == 2
    assert own.roles.took == []


# -- The registry as ECR is: a Basic challenge, and blobs elsewhere ------------------------

BLOB = b'{"a": "config"}'
DIGEST = f"sha256:{hashlib.sha256(BLOB).hexdigest()}"


def asked(prove, internet: Internet, answers: dict[str, bytes]) -> tuple[ModuleType, object]:
    """`ecr_http`, and a registry of it whose server answers a target by its beginning."""
    challenge = reply(401, www_authenticate='Basic realm="https://registry.example.com/"')

    def script(request):
        found = [text for target, text in answers.items() if request.target.startswith(target)]
        return found[0] if found and request.authorization.startswith("Basic ") else challenge

    internet.serve(script)
    ecr_http = importlib.import_module("ecr_http")
    login = DockerLogin("AWS", "the-password", None)
    return ecr_http, ecr_http.Registry("registry.example.com", login)


def test_a_blob_elsewhere_is_read_without_the_login(prove, internet) -> None:
    bucket = internet.serve(lambda _: reply(200, BLOB), "bucket.example.com")
    away = reply(307, location="https://bucket.example.com/blob?signed=1")
    ecr_http, registry = asked(prove, internet, {"/v2/one/blobs/": away})
    assert registry.opens_blob("one", ecr_http.Content("", DIGEST))
    (request,) = bucket.requests
    assert request.target == "/blob?signed=1" and not request.authorization


@pytest.mark.parametrize(
    ("answer", "says"),
    [
        (reply(404), "neither with a yes nor with a no"),
        (reply(500), "neither with a yes nor with a no"),
        (reply(200, b"something else"), "something else than sha256"),
        (reply(307, location="http://bucket.example.com/blob"), "isn't https"),
        (reply(307, location="https://bucket.example.com/blob"), "the answer is 403"),
    ],
)
def test_what_is_no_plain_answer_decides_nothing(prove, internet, answer, says) -> None:
    internet.serve(lambda _: reply(403), "bucket.example.com")
    ecr_http, registry = asked(prove, internet, {"/v2/one/blobs/": answer})
    with pytest.raises(ecr_http.Untried, match=says):
        registry.opens_blob("one", ecr_http.Content("", DIGEST))


@pytest.mark.parametrize("status", [401, 403])
def test_a_refusal_is_one(prove, internet, status) -> None:
    ecr_http, registry = asked(prove, internet, {"/v2/one/blobs/": reply(status)})
    assert not registry.opens_blob("one", ecr_http.Content("", DIGEST))


def test_an_image_is_sent_nowhere_else(prove, internet) -> None:
    away = reply(202, location="https://bucket.example.com/upload")
    ecr_http, registry = asked(prove, internet, {"/v2/one/blobs/uploads/": away})
    with pytest.raises(ecr_http.Untried, match="sent elsewhere"):
        registry.push("one", "proof")


def test_a_login_is_sent_to_no_other_token_service(prove, internet) -> None:
    realm = 'Bearer realm="https://bucket.example.com/token",service="registry.example.com"'
    internet.serve(lambda _: reply(401, www_authenticate=realm))
    bucket = internet.serve(lambda _: reply(200, {"token": "x"}), "bucket.example.com")
    ecr_http = importlib.import_module("ecr_http")
    registry = ecr_http.Registry("registry.example.com", DockerLogin("AWS", "secret", None))
    with pytest.raises(ecr_http.Untried, match="login sent elsewhere"):
        registry.opens_blob("one", ecr_http.Content("", DIGEST))
    assert bucket.requests == []


def test_it_starts_wherever_it_is_started_from(tmp_path) -> None:
    command = [sys.executable, str(FOLDER / "prove.py"), "--help"]
    environment = {"PATH": "/usr/bin", "DJANGO_SETTINGS_MODULE": "tests.settings"}
    run = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True)
    assert run.returncode == 0 and "--push" in run.stdout, run.stderr


def test_terraform_makes_what_the_entrys_page_shows() -> None:
    text = (FOLDER / "main.tf").read_text()
    values = {
        "local.issuer": "registries.example.com",
        "local.account": "123456789012",
        "local.partition": "aws",
        "var.subject": "organization:1:entry:2",
        "var.region": REGION,
    }
    found = [
        json.loads(re.sub(r"\$\{([a-z.]+)\}", lambda name: values[name[1]], part))
        for part in re.findall(r"jsonencode\((\{.*?\n  \})\)", text, re.DOTALL)
    ]
    shown = BY_SLUG["aws-ecr-oidc"].set_up(
        {"role_arn": ROLE, "region": REGION},
        [MatchPattern.parse(f"{HOST}/{PREFIX}/*")],
        Who("organization:1:entry:2", "https://registries.example.com"),
    )
    assert shown is not None
    assert found == [json.loads(part.text) for part in shown.parts[:2]]
    assert f'name       = "{PREFIX}"' in text and f'name         = "{PREFIX}/${{each.key}}"' in text
    assert (
        'toset(["named", "sibling"])' in text and 'client_id_list = ["sts.amazonaws.com"]' in text
    )
    assert re.search(r'version = "\d+\.\d+\.\d+"', text)
