"""A SAML identity provider on loopback: pysaml2's, which signs by libxmlsec (its own way is a
program that not every machine has). Before it signs, a test may change what it says."""

from __future__ import annotations

import base64
import contextlib
import datetime
import html
import threading
import urllib.parse
import warnings
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import xmlsec
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.x509.oid import NameOID
from lxml import etree

with warnings.catch_warnings():  # of a cipher that it names, and isn't used here
    warnings.simplefilter("ignore")
    from saml2 import BINDING_HTTP_REDIRECT
    from saml2.config import IdPConfig
    from saml2.saml import NAMEID_FORMAT_PERSISTENT, NameID
    from saml2.server import Server
    from saml2.sigver import CryptoBackend
    from saml2.xmldsig import DIGEST_SHA256, SIG_RSA_SHA256

SAML = "urn:oasis:names:tc:SAML:2.0:assertion"
SAMLP = "urn:oasis:names:tc:SAML:2.0:protocol"
SPACES = {"saml": SAML, "samlp": SAMLP, "ds": "http://www.w3.org/2000/09/xmldsig#"}
_CONTEXT = "urn:oasis:names:tc:SAML:2.0:ac:classes:PasswordProtectedTransport"
Change = Callable[[etree._Element], Any]


def key_and_certificate(directory: Path, name: str) -> tuple[Path, Path]:
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    now = datetime.datetime.now(datetime.UTC)
    who = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    certificate = (
        x509.CertificateBuilder()
        .subject_name(who)
        .issuer_name(who)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(hours=1))
        .not_valid_after(now + datetime.timedelta(days=1))
        .sign(key, hashes.SHA256())
    )
    files = directory / f"{name}.key", directory / f"{name}.crt"
    files[0].write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
    )
    files[1].write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
    return files


def sign(root: etree._Element, element: etree._Element, key: Path, certificate: Path) -> None:
    """An enveloped signature behind the element's issuer."""
    for old in element.findall("ds:Signature", SPACES):
        element.remove(old)
    template = xmlsec.template.create(
        element, xmlsec.constants.TransformExclC14N, xmlsec.constants.TransformRsaSha256, ns="ds"
    )
    element.insert(1, template)
    reference = xmlsec.template.add_reference(
        template, xmlsec.constants.TransformSha256, uri="#" + element.get("ID")
    )
    xmlsec.template.add_transform(reference, xmlsec.constants.TransformEnveloped)
    xmlsec.template.add_transform(reference, xmlsec.constants.TransformExclC14N)
    info = xmlsec.template.ensure_key_info(template)
    xmlsec.template.add_x509_data(info)
    _sign(root, template, key, certificate)


def _sign(root: etree._Element, signature: Any, key: Path, certificate: Path) -> None:
    context = xmlsec.SignatureContext()
    context.key = xmlsec.Key.from_file(str(key), xmlsec.constants.KeyDataFormatPem)
    context.key.load_cert_from_file(str(certificate), xmlsec.constants.KeyDataFormatPem)
    for one in root.iter():
        if isinstance(one.tag, str) and one.get("ID"):
            context.register_id(one, "ID")
    context.sign(signature)


class _Xmlsec(CryptoBackend):
    """pysaml2's way to sign, without the program."""

    def __init__(self, certificate: Path) -> None:
        self.certificate = certificate

    def sign_statement(self, statement: Any, node_name: str, key_file: str, node_id: str) -> str:
        text = statement if isinstance(statement, bytes) else str(statement).encode()
        root = etree.fromstring(text)
        (signed,) = root.xpath("//*[@ID=$id]", id=node_id)
        (signature,) = signed.findall("ds:Signature", SPACES)
        _sign(root, signature, Path(key_file), self.certificate)
        return etree.tostring(root).decode()


class Idp:
    """`entity` is its name, `sso` the address that people are sent to."""

    def __init__(self, directory: Path, address: str, ours: str) -> None:
        self.entity, self.sso = f"{address}/idp", f"{address}/sso"
        self.key, self.certificate = key_and_certificate(directory, "idp")
        self.others = key_and_certificate(directory, "other")
        (directory / "us.xml").write_text(ours)
        config = IdPConfig()
        config.load(
            {
                "entityid": self.entity,
                "crypto_backend": "XMLSecurity",
                "key_file": str(self.key),
                "cert_file": str(self.certificate),
                "metadata": {"local": [str(directory / "us.xml")]},
                "service": {
                    "idp": {
                        "endpoints": {
                            "single_sign_on_service": [(self.sso, BINDING_HTTP_REDIRECT)]
                        },
                        "policy": {"default": {"lifetime": {"minutes": 5}}},
                    }
                },
            }
        )
        self.server = Server(config=config)
        self.server.sec.crypto = _Xmlsec(self.certificate)

    def metadata(self) -> str:
        from saml2.metadata import entity_descriptor

        return str(entity_descriptor(self.server.config))

    def asked(self, address: str) -> Any:
        """The request that a browser brings; judged by pysaml2."""
        sent = dict(urllib.parse.parse_qsl(urllib.parse.urlsplit(address).query))
        return self.server.parse_authn_request(sent["SAMLRequest"], BINDING_HTTP_REDIRECT).message

    def answer(
        self,
        address: str,
        subject: str = "ada-1",
        *,
        whole: bool = False,
        format: str = NAMEID_FORMAT_PERSISTENT,
        by: str = SIG_RSA_SHA256,
        **said: Any,
    ) -> str:
        """As pysaml2 signs it: the assertion, or with `whole` the response."""
        made = self._made(address, subject, format, said, sign_response=whole,
                          sign_assertion=not whole, sign_alg=by)  # fmt: skip
        return base64.b64encode(str(made).encode()).decode()

    def changed(
        self,
        address: str,
        before: Change | None = None,
        after: Change | None = None,
        *,
        sign_assertion: bool = True,
        sign_response: bool = False,
        key: tuple[Path, Path] | None = None,
        **said: Any,
    ) -> str:
        """With `before` done to it, signed, and `after` done to that."""
        made = self._made(address, said.pop("subject", "ada-1"), NAMEID_FORMAT_PERSISTENT, said)
        root = etree.fromstring(str(made).encode())
        root = _done(before, root)
        signs = key or (self.key, self.certificate)
        if sign_assertion:
            for assertion in root.findall("saml:Assertion", SPACES):
                sign(root, assertion, *signs)
        if sign_response:
            sign(root, root, *signs)
        root = _done(after, root)
        return base64.b64encode(etree.tostring(root)).decode()

    def _made(self, address: str, subject: str, format: str, said: Any, **signing: Any) -> Any:
        asked = self.asked(address)
        known = {"mail": "ada@example.com", "displayName": "Ada Lovelace"} | said
        return self.server.create_authn_response(
            {name: value for name, value in known.items() if value is not None},
            in_response_to=asked.id,
            destination=asked.assertion_consumer_service_url,
            sp_entity_id=asked.issuer.text,
            name_id=NameID(format=format, text=subject),
            authn={"class_ref": _CONTEXT, "authn_auth": self.entity},
            # its own default is SHA-1, which isn't taken
            **{"sign_alg": SIG_RSA_SHA256, "digest_alg": DIGEST_SHA256} | signing,
        )


def _done(change: Change | None, root: etree._Element) -> etree._Element:
    """What came of it: the same, changed, or another."""
    made = change(root) if change else None
    return root if made is None else made


@contextlib.contextmanager
def served(idp: Idp, port: int) -> Iterator[None]:
    """Its page, where a button signs in; what it posts, it posts from another origin."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            asked = idp.asked(self.path)
            form = (
                "<title>Company</title><form method=post action="
                f'"{html.escape(asked.assertion_consumer_service_url)}">'
                f'<input type=hidden name=SAMLResponse value="{idp.answer(self.path)}">'
                "<button>Sign in as Ada</button></form>"
            )
            self.send_response(200)
            self.send_header("Content-Type", "text/html")
            self.end_headers()
            self.wfile.write(form.encode())

        def log_message(self, *args: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", port), Handler)
    threading.Thread(target=server.serve_forever, args=[0.05], daemon=True).start()
    try:
        yield
    finally:
        server.shutdown()
        server.server_close()
