"""Certificates of private authorities, as people paste them."""

from __future__ import annotations

import base64
import ssl
import subprocess
from datetime import UTC, datetime
from pathlib import Path

import pytest

from orgs.registries import authorities
from orgs.registries.authorities import read
from orgs.registries.problems import Refused
from tests.support.certificates import make_certificates
from tests.support.effort import at_most

pytestmark = pytest.mark.once


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    return make_certificates(tmp_path_factory.mktemp("ca"), "registry.example.com")


@pytest.fixture(scope="module")
def pem(files: tuple[Path, Path]) -> str:
    return files[0].read_text()


def refused(text: str) -> str:
    with pytest.raises(Refused) as told:
        read(text, "ca_certificate")
    (problem,) = told.value.problems
    assert (problem.code, problem.field) == ("authority_shape", "ca_certificate")
    assert problem.what.endswith(".") and problem.fix.endswith(".")
    return str(problem)


def test_what_it_says_is_what_openssl_says(files: tuple[Path, Path], pem: str) -> None:
    (one,) = read(pem)
    asked = ["openssl", "x509", "-in", str(files[0]), "-noout", "-fingerprint", "-sha256"]
    told = subprocess.run(asked, capture_output=True, text=True, check=True).stdout
    assert told.strip().partition("=")[2] == one.fingerprint
    assert one.subject.startswith("test ca ") and one.ends > datetime.now(UTC)
    assert str(one).startswith(f"{one.subject}, until 20") and one.fingerprint in str(one)


def test_the_same_however_it_is_pasted(pem: str) -> None:
    body = "".join(pem.split("-----")[2].split())
    for text in (
        pem.replace("\n", "\r\n"),
        f"\n\n  {pem}  \n",
        f"subject=CN = test ca\nissuer=CN = test ca\n{pem}# the end\n",
        pem + pem,
        f"-----BEGIN CERTIFICATE-----\n{body}\n-----END CERTIFICATE-----",
        f"-----BEGIN CERTIFICATE-----{body}-----END CERTIFICATE-----",
    ):
        assert authorities.plain(read(text)) == pem
    assert read("") == read(" \n ") == ()


def test_several(files: tuple[Path, Path], pem: str, tmp_path: Path) -> None:
    other = make_certificates(tmp_path, "registry.example.com")[0].read_text()
    assert [one.subject[:8] for one in read(pem + other)] == ["test ca "] * 2
    assert authorities.plain(read(pem + other)) == pem + other
    # The registry's own is taken, too: so do Docker and podman.
    own = files[1].read_text().partition("-----END PRIVATE KEY-----")[2]
    assert read(own)[0].subject.startswith("test server ")


def test_what_is_taken_for_one(files: tuple[Path, Path], pem: str) -> None:
    key = files[1].read_text()
    assert "private key" in refused(key)
    assert "private key" in refused(pem + key)
    assert "private key" in refused("-----BEGIN ENCRYPTED PRIVATE KEY-----\nx")
    assert not any(line in refused(key) for line in key.split("\n")[1:4])
    assert "request for a certificate" in refused(
        "-----BEGIN CERTIFICATE REQUEST-----\nMIIB\n-----END CERTIFICATE REQUEST-----"
    )
    assert "PKCS #7" in refused("-----BEGIN PKCS7-----\nMIIB\n-----END PKCS7-----")
    assert "OpenSSL's own form" in refused(pem.replace("CERTIFICATE", "TRUSTED CERTIFICATE"))
    assert "public key" in refused("-----BEGIN PUBLIC KEY-----\nMIIB\n-----END PUBLIC KEY-----")
    for text in ("MIIBszCCAVmgAwIBAgIU", "registry.example.com", "{}", "-----", "/etc/ssl/ca.pem"):
        assert "isn't a certificate in PEM" in refused(text)


def test_what_isnt_whole(pem: str) -> None:
    half = pem[: len(pem) // 2]
    for text in (half, pem + half, pem.partition("\n")[2], pem.replace("-----END", "----END")):
        assert "isn't whole" in refused(text)
    lines = pem.split("\n")
    assert "can't be read" in refused("\n".join([lines[0], *lines[2:]]))
    changed = pem.replace(lines[2], lines[2][::-1])
    with pytest.raises(Refused):
        read(changed)
        pytest.fail(f"{changed} was taken")
    empty = "-----BEGIN CERTIFICATE-----\n-----END CERTIFICATE-----\n"
    assert "Certificate 2 in it can't be read" in refused(pem + empty)


def test_bounds(pem: str, tmp_path: Path) -> None:
    assert "longer than" in refused(pem + "#" * authorities.LONGEST)
    many = []
    for at in range(authorities.MOST + 1):
        (tmp_path / str(at)).mkdir()
        many.append(make_certificates(tmp_path / str(at), "r.example.com")[0].read_text())
    assert len(read("".join(many[:-1]))) == authorities.MOST
    assert "11 certificates" in refused("".join(many))


@pytest.mark.parametrize(
    "piece",
    [
        *("-----BEGIN CERTIFICATE-----", "-----BEGIN CERTIFICATE-----\n"),
        "-----END CERTIFICATE-----",
        *("-----BEGIN A-----A-----END B-----", "-----BEGIN ", "-----", "A", "A\n", " ", "-"),
    ],
)  # fmt: skip
def test_no_text_takes_long(piece: str) -> None:
    text = (piece * authorities.LONGEST)[: authorities.LONGEST]
    with at_most(500):
        assert refused(text) if text.strip() else read(text) == ()


def test_one_that_has_ended(tmp_path: Path) -> None:
    old = make_certificates(tmp_path, "registry.example.com", days=(-9, -2))[0].read_text()
    (problem,) = authorities.ended(read(old), "ca_certificate")
    assert problem.code == "authority_ended" and "” ended on 20" in problem.what
    assert not [*authorities.ended(read(""))]


def test_a_file_of_an_operators_holds_more(pem: str) -> None:
    text = f"# Company\n{pem}\n# Other ä\n{pem * 200}"
    assert len(authorities.file(text)) == 201
    assert authorities.file("# none\n") == ()


def test_what_openssl_doesnt_read_isnt_taken(pem: str) -> None:
    """It judges in the end; a certificate that another reader takes would break each check."""
    der = bytearray(base64.b64decode("".join(pem.split("-----")[2].split())))
    refused_by_one = 0
    for at in range(30, 60):
        changed = bytes(der[:at]) + b"\x01" + bytes(der[at + 1 :])
        text = "-----BEGIN CERTIFICATE-----\n"
        text += f"{base64.b64encode(changed).decode()}\n-----END CERTIFICATE-----\n"
        try:
            found = read(text)
        except Refused:
            refused_by_one += 1
            continue
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.load_verify_locations(cadata=authorities.plain(found))
    assert refused_by_one
