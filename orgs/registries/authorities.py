"""Certificates of private authorities, as people paste them: read, judged, written alike.

What is taken is what Docker and podman take for a registry's `ca.crt`: an authority's
certificate, or the registry's own. A private key never is.
"""

from __future__ import annotations

import re
import ssl
import warnings
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import lru_cache
from typing import Any

from .problems import Problem, Refused
from .text import storable

MOST = 10  # certificates of one text: a root, what's between, and those that follow them
LONGEST = 40_000  # characters of one text

_BLOCK = re.compile(r"-----BEGIN ([A-Z0-9 ]{1,40})-----([A-Za-z0-9+/=\s]{0,40000})-----END \1-----")
_MARK = re.compile(r"-----(?:BEGIN|END) ([A-Z0-9 #]{1,40})-----")
_PASTE = (
    "Paste the authority's certificate as a PEM: from -----BEGIN CERTIFICATE----- to "
    "-----END CERTIFICATE-----, both lines included."
)
# What else begins so, and what to do about it.
_OTHERS = {
    "CERTIFICATE REQUEST": (
        "This is a request for a certificate, not a certificate.",
        "Paste what the authority made of it, or better the authority's own.",
    ),
    "NEW CERTIFICATE REQUEST": (
        "This is a request for a certificate, not a certificate.",
        "Paste what the authority made of it, or better the authority's own.",
    ),
    "PKCS7": (
        "This is a PKCS #7 bundle.",
        "Paste what openssl pkcs7 -print_certs makes of it.",
    ),
    "TRUSTED CERTIFICATE": (
        "This is a certificate in OpenSSL's own form, which clients don't read.",
        "Paste what openssl x509 makes of it.",
    ),
    "X509 CRL": (
        "This is a list of certificates that are revoked.",
        _PASTE,
    ),
    "PUBLIC KEY": ("This is a public key, not a certificate.", _PASTE),
}


@dataclass(frozen=True)
class Authority:
    """One certificate. `subject` is its common name, or all of its name where it has none;
    `fingerprint` is SHA-256 as `openssl x509 -fingerprint -sha256` writes it, `ends` aware
    UTC, `pem` without anything around it."""

    subject: str
    fingerprint: str
    ends: datetime
    pem: str

    def __str__(self) -> str:
        return f"{self.subject}, until {self.ends:%Y-%m-%d}, SHA-256 {self.fingerprint}"


def read(text: str, field: str | None = None) -> tuple[Authority, ...]:
    """The certificates in a text, each once, in their order; none in an empty one. Raises
    `Refused` `authority_shape` or `authority_ended`, never with a part of the text."""
    try:
        return _read(text)
    except Refused as refused:
        found = (Problem(p.code, p.what, p.fix, field) for p in refused.problems)
        raise Refused(*found) from None


def file(text: str) -> tuple[Authority, ...]:
    """The same of a file of an operator's, which may hold as many as a system's has, and
    whatever else stands between them."""
    blocks = [match for match in _BLOCK.finditer(text) if match[1] == "CERTIFICATE"]
    return tuple(_one(match[2], at) for at, match in enumerate(blocks, start=1))


def plain(found: Iterable[Authority]) -> str:
    """The certificates alone, as they are stored and written for clients."""
    return "".join(one.pem for one in found)


def told(text: str) -> list[str]:
    """A line for each certificate, as pages tell them; what can't be read is one, too."""
    try:
        return [str(one) for one in read(text)]
    except Refused as refused:
        return [str(refused.problem)]


@lru_cache(maxsize=64)  # a page, a form and a login's check read the same
def _read(text: str) -> tuple[Authority, ...]:
    if not text.strip():
        return ()
    if len(text) > LONGEST:
        raise _refused(f"This is longer than {LONGEST:,} characters.", "Paste fewer certificates.")
    kinds = [match[1] for match in _MARK.finditer(text)]
    if any(kind.endswith("PRIVATE KEY") for kind in kinds):
        raise _refused(
            "There is a private key in it, which is for the registry alone and isn't kept here.",
            "Paste the certificate only.",
        )
    for kind in kinds:
        if kind in _OTHERS:
            raise _refused(*_OTHERS[kind])
    blocks = [match[2] for match in _BLOCK.finditer(text) if match[1] == "CERTIFICATE"]
    if not kinds or set(kinds) != {"CERTIFICATE"}:
        raise _refused("This isn't a certificate in PEM.", _PASTE)
    if 2 * len(blocks) != len(kinds):
        raise _refused("A certificate in it isn't whole.", _PASTE)
    if len(blocks) > MOST:
        what = f"There are {len(blocks)} certificates in it, and {MOST} at most are kept."
        raise _refused(what, "Paste that of the authority which the registry's is from.")
    found = dict.fromkeys(_one(block, at) for at, block in enumerate(blocks, start=1))
    return tuple(found)


def _one(block: str, at: int) -> Authority:
    from cryptography import x509
    from cryptography.hazmat.primitives.hashes import SHA256
    from cryptography.hazmat.primitives.serialization import Encoding

    armoured = f"-----BEGIN CERTIFICATE-----\n{''.join(block.split())}\n-----END CERTIFICATE-----\n"
    try:
        with warnings.catch_warnings():  # of what it will refuse one day
            warnings.simplefilter("ignore")
            certificate = x509.load_pem_x509_certificate(armoured.encode())
            subject = _subject(certificate)
            fingerprint = certificate.fingerprint(SHA256()).hex(":").upper()
            ends = certificate.not_valid_after_utc
            pem = certificate.public_bytes(Encoding.PEM).decode()
            # What judges certificates in the end reads more strictly.
            ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT).load_verify_locations(cadata=pem)
    except Exception:  # whatever a reader of ASN.1 raises for what was made to confuse it
        raise _refused(f"Certificate {at} in it can't be read.", _PASTE) from None
    return Authority(subject, fingerprint, ends, pem)


def _subject(certificate: Any) -> str:
    from cryptography.x509.oid import NameOID

    names = certificate.subject.get_attributes_for_oid(NameOID.COMMON_NAME)
    told = str(names[0].value) if names else certificate.subject.rfc4514_string()
    text = " ".join("".join(c if c.isprintable() else " " for c in storable(told)).split())
    return text[:100] or "a certificate without a name"


def ended(found: Iterable[Authority], field: str | None = None) -> Iterator[Problem]:
    """A problem for each whose time is over by this server's clock."""
    now = datetime.now(UTC)
    for one in found:
        if one.ends < now:
            yield Problem(
                "authority_ended",
                f"The certificate “{one.subject}” ended on {one.ends:%Y-%m-%d}.",
                "Paste the one that follows it.",
                field,
            )


def _refused(what: str, fix: str) -> Refused:
    return Refused(Problem("authority_shape", what, fix))
