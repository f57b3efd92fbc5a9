"""A service account's key file: what is one, what people paste for it, what means harm."""

from __future__ import annotations

import base64
import json

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa

from orgs.registries import google_key
from orgs.registries.problems import Refused
from tests.conftest import CANARY
from tests.support.effort import at_most
from tests.support.fake_google import document, key_file, pem, private_key

pytestmark = pytest.mark.once

EMAIL = "valohai-pull@my-project.iam.gserviceaccount.com"


def problem(text: str):
    with pytest.raises(Refused) as caught:
        google_key.read(text, "service_account_json")
    (found,) = caught.value.problems
    assert found.field == "service_account_json" and found.code == "secret_shape"
    assert found.what and found.fix
    told = f"{found} {caught.value!r} {caught.value.__cause__!r}"
    assert CANARY not in told and "evil" not in told
    return found


def changed(**more) -> str:
    return json.dumps({k: v for k, v in document(**more).items() if v is not None})


def test_a_key():
    key = google_key.read(key_file())
    assert (key.email, key.project) == (EMAIL, "my-project")
    assert key.key_id == "0123456789abcdef0123456789abcdef01234567"
    assert key.private_key == pem(private_key()) and "PRIVATE" not in repr(key)


@pytest.mark.parametrize(
    ("change", "project"),
    [
        ({"client_email": "123456789012-compute@developer.gserviceaccount.com"}, "my-project"),
        ({"client_email": "my-project@appspot.gserviceaccount.com"}, "my-project"),
        ({"client_email": "a@p.example.com.iam.gserviceaccount.com", "project_id": "example.com:p"},
         "example.com:p"),
        ({"project_id": None}, "my-project"),
        ({"project_id": ""}, "my-project"),
        ({"private_key_id": None}, "my-project"),
        ({"universe_domain": None}, "my-project"),
        ({"client_x509_cert_url": None, "auth_uri": None}, "my-project"),
        ({"more": {"of": ["google", None, True]}}, "my-project"),
    ],
)  # fmt: skip
def test_other_right_ones(change, project):
    assert google_key.read(changed(**change)).project == project


def test_what_copying_does_to_one():
    """Escaped twice, broken into lines by a shell, in the older form of PEM, in one line."""
    whole = google_key.read(key_file())
    lines = key_file().replace("\\n", "\n")
    for text in (key_file().replace("\\n", "\\\\n"), lines, changed(), f"  {key_file()}\n\n"):
        assert google_key.read(text).private_key.strip() == whole.private_key.strip()
    older = private_key().private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.TraditionalOpenSSL,
        serialization.NoEncryption(),
    )
    assert google_key.read(changed(private_key=older.decode())).email == EMAIL


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("{}", "no type"),
        ('{"type": ""}', "no type"),
        ('{"type": "service_accounts"}', "its type is another"),
        ('{"type": 7}', "has a number"),
        ('{"type": ["service_account"]}', "Its type isn't text"),
        (json.dumps({"type": "authorized_user", "refresh_token": CANARY}), "a person's own login"),
        (json.dumps({"type": "external_account", "audience": CANARY}), "workload identity"),
        (json.dumps({"type": "external_account_authorized_user"}), "workforce identity"),
        (json.dumps({"type": "impersonated_service_account"}), "taking on a service account"),
        (json.dumps({"type": "gdch_service_account"}), "Distributed Cloud"),
        (json.dumps({"installed": {"client_secret": CANARY}}), "OAuth client"),
        (json.dumps({"web": {"client_secret": CANARY}}), "OAuth client"),
        (json.dumps({"auths": {}}), "config.json of Docker's"),
        ("AIza" + "S" * 35, "API key"),
        (f"ya29.{CANARY}", "access token"),
        ("service-account.json", "the name of a file"),
        ("/home/me/key.json", "the name of a file"),
        (EMAIL, "the e-mail of a service account"),
        (pem(private_key()), "the private key alone"),
        ("-----BEGIN CERTIFICATE-----\nx\n-----END CERTIFICATE-----", "a certificate"),
        ("[1, 2]", "This is a list"),
        (f"password {CANARY}", "isn't a service account's key"),
        ("null", "isn't a service account's key"),
        (base64.b64encode(CANARY.encode() * 3).decode(), "isn't a service account's key"),
        (key_file()[:-200], "its end is missing"),
        (key_file()[:300], "its end is missing"),
        (key_file().replace('"client_email"', "client_email"), "isn't right JSON"),
        (key_file().replace(",", "", 1), "isn't right JSON"),
        (key_file() + key_file(), "isn't right JSON"),
    ],
)
def test_what_is_pasted_for_one(text, says):
    assert says in problem(text).what


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"client_email": None}, "client_email"),
        ({"client_email": ""}, "client_email"),
        ({"client_email": "me@example.com"}, "client_email"),
        ({"client_email": "a@iam.gserviceaccount.com.evil.com"}, "client_email"),
        ({"client_email": "a@evilgserviceaccount.com"}, "client_email"),
        ({"client_email": f"{EMAIL}\n"}, "client_email"),
        ({"client_email": EMAIL.upper()}, "client_email"),
        ({"client_email": f"\u202e{EMAIL}"}, "client_email"),
        ({"client_email": EMAIL.replace("a", "\u0430", 1)}, "client_email"),
        ({"client_email": "\ud800" + EMAIL}, "client_email"),
        ({"client_email": "a" * 300 + EMAIL}, "client_email"),
        ({"client_email": [EMAIL]}, "client_email isn't text"),
        ({"project_id": "My Project"}, "project_id"),
        ({"project_id": "my-project\u200b"}, "project_id"),
        ({"project_id": "$(evil)"}, "project_id"),
        ({"project_id": {}}, "project_id isn't text"),
        ({"private_key_id": "a b"}, "private_key_id"),
        ({"private_key_id": "x" * 101}, "private_key_id"),
        ({"token_uri": None}, "token_uri isn't Google's"),
        ({"token_uri": "https://oauth2.googleapis.com.evil.com/token"}, "token_uri isn't Google's"),
        ({"token_uri": "https://oauth2.googleapis.com/token/"}, "token_uri isn't Google's"),
        ({"token_uri": "http://oauth2.googleapis.com/token"}, "token_uri isn't Google's"),
        ({"token_uri": "HTTPS://oauth2.googleapis.com/token"}, "token_uri isn't Google's"),
        ({"token_uri": "https://accounts.google.com/o/oauth2/token"}, "token_uri isn't Google's"),
        ({"token_uri": "https://oauth2.googleapis.com/token\u0000"}, "token_uri isn't Google's"),
        ({"token_uri": "file:///etc/passwd"}, "token_uri isn't Google's"),
        ({"universe_domain": "evil.example"}, "universe_domain"),
        ({"private_key": None}, "no private_key"),
        ({"private_key": ""}, "no private_key"),
        ({"private_key": CANARY}, "isn't in PEM"),
        ({"private_key": None, "privateKey": "x"}, "no private_key"),
    ],
)
def test_what_is_wrong_in_one(change, says):
    assert says in problem(changed(**change)).what


def _locked(key) -> str:
    locked = serialization.BestAvailableEncryption(b"x")
    form = serialization.PrivateFormat.PKCS8
    return key.private_bytes(serialization.Encoding.PEM, form, locked).decode()


def _public(key) -> str:
    form = serialization.PublicFormat.SubjectPublicKeyInfo
    return key.public_key().public_bytes(serialization.Encoding.PEM, form).decode()


@pytest.mark.parametrize(
    ("make", "says"),
    [
        (lambda: pem(ec.generate_private_key(ec.SECP256R1())), "another kind than RSA"),
        (lambda: pem(ed25519.Ed25519PrivateKey.generate()), "another kind than RSA"),
        (lambda: pem(rsa.generate_private_key(65537, 1024)), "has 1,024 bits"),
        (lambda: _locked(private_key()), "locked by a passphrase"),
        (lambda: _public(private_key()), "another kind of PEM"),
        (lambda: pem(private_key())[:-300], "can't be read"),
        (lambda: pem(private_key()).replace("-----END", "-----BEGIN"), "can't be read"),
        (lambda: pem(private_key())[:400] + "!" + pem(private_key())[401:], "can't be read"),
        (lambda: "-----BEGIN PRIVATE KEY-----\n-----END PRIVATE KEY-----", "can't be read"),
        (lambda: "-----BEGIN EC PRIVATE KEY-----\nAAAA\n-----END EC PRIVATE KEY-----", "another"),
    ],
)
def test_private_keys_that_are_none(make, says):
    assert says in problem(changed(private_key=make())).what


def test_a_letter_that_changed_in_the_middle_is_found():
    """Its numbers don't fit any more: without that, Google's refusal would be the first word."""
    text = pem(private_key())
    lines = text.splitlines()
    for at in (4, 10, 16, 22):
        line = lines[at]
        other = "A" if line[10] != "A" else "B"
        broken = [*lines[:at], line[:10] + other + line[11:], *lines[at + 1 :]]
        assert "can't be read" in problem(changed(private_key="\n".join(broken) + "\n")).what


@pytest.mark.parametrize(
    "text",
    [
        "{" * 16_000,
        '{"a":' * 3_000,
        "[" * 16_000,
        '{"type":' + "[" * 16_000,
        '{"type": ' + "9" * 16_000 + "}",
        '{"type": 1e999999}',
        '{"type": NaN}',
        '{"type": -Infinity}',
        '{"type": "service_account", "type": "service_account"}',
        '{"a": {"b": 1, "b": 2}}',
        "{" + ",".join(f'"k{n}":"v"' for n in range(1_500)) + "}",
        '{"\u202etype": "service_account"}',
        "x" * 5_000_000,
        "A" * 16_000,
        "{" + "\\" * 16_000,
        '{"type": "' + "\\ud800" * 2_000 + '"}',
        "-----BEGIN " + "A" * 16_000,
        changed(private_key="-----BEGIN PRIVATE KEY-----\n" + "A" * 15_000),
        changed(client_email="a" * 7_000 + "@" + "a." * 3_000),
        changed(project_id="a-" * 6_000),
    ],
)
def test_hostile_ones_are_refused_at_once(text):
    with at_most(500):
        problem(text)


@pytest.mark.parametrize(
    ("more", "says"),
    [
        ('"type": "service_account"', "stands in it twice"),
        ('"token_uri": "https://oauth2.googleapis.com/token"', "stands in it twice"),
        ('"more": {"a": 1, "a": 2}', "a number in it"),
        ('"more": {"a": "1", "a": "2"}', "stands in it twice"),
        ('"more": NaN', "a number that is none"),
        ('"more": -Infinity', "a number that is none"),
        ('"more": ' + "9" * 9_000, "a number in it"),
        ('"more": 1e999', "a number in it"),
        ('"more": ' + "[" * 5_000 + "]" * 5_000, "isn't right JSON"),
    ],
)
def test_a_right_key_with_something_that_none_has(more, says):
    """Two readers may take it for different ones."""
    whole = key_file().rstrip().removesuffix("}").rstrip()
    assert says in problem(f"{whole},\n  {more}\n}}").what


def test_what_base64_is_taken_for():
    assert google_key.plain(base64.b64encode(b' {"a": "%s"}' % (b"x" * 40)).decode()) == (
        '{"a": "' + "x" * 40 + '"}'
    )
    for text in ("AAAA" * 20, "e30=", CANARY, base64.urlsafe_b64encode(b"\xff" * 60).decode()):
        assert google_key.plain(text) == text
    address = base64.urlsafe_b64encode(key_file().encode()).decode()
    assert google_key.read(address).email == EMAIL
