"""What the operator sets of a company's sign-in is judged before the server starts."""

from __future__ import annotations

import sys
from datetime import datetime

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from orgs import company

pytestmark = pytest.mark.once

OIDC = {
    "SSO_OIDC_ISSUER": "https://login.example.com/tenant",
    "SSO_OIDC_CLIENT_ID": "registries",
    "SSO_OIDC_CLIENT_SECRET": "secret-CANARY",
}
_KEY = ec.generate_private_key(ec.SECP256R1())
_WHO = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "idp")])
CERTIFICATE = (
    x509.CertificateBuilder(_WHO, _WHO, _KEY.public_key(), x509.random_serial_number())
    .not_valid_before(datetime(2026, 1, 1))
    .not_valid_after(datetime(2027, 1, 1))
    .sign(_KEY, hashes.SHA256())
    .public_bytes(serialization.Encoding.PEM)
    .decode()
)
METADATA = f"""<EntityDescriptor xmlns="urn:oasis:names:tc:SAML:2.0:metadata"
 entityID="https://idp.example.com/"><IDPSSODescriptor
 protocolSupportEnumeration="urn:oasis:names:tc:SAML:2.0:protocol"><KeyDescriptor use="signing">
 <KeyInfo xmlns="http://www.w3.org/2000/09/xmldsig#"><X509Data><X509Certificate>
 {"".join(CERTIFICATE.splitlines()[1:-1])}
 </X509Certificate></X509Data></KeyInfo></KeyDescriptor><SingleSignOnService
 Binding="urn:oasis:names:tc:SAML:2.0:bindings:HTTP-Redirect"
 Location="https://idp.example.com/sso"/></IDPSSODescriptor></EntityDescriptor>"""
SAML = {
    "SSO_SAML_ENTITY_ID": "https://idp.example.com/",
    "SSO_SAML_URL": "https://idp.example.com/sso",
    "SSO_SAML_CERTIFICATE": CERTIFICATE,
    "SSO_VERIFIED_DOMAINS": ["example.com"],
}
BY_METADATA = {"SSO_SAML_METADATA": METADATA, "SSO_SAML_URL": "", "SSO_SAML_CERTIFICATE": ""}
RULES = {"SSO_ORGANIZATIONS": ["example.com=acme", "group:ml admins=acme:admin", "group:a=b=acme"]}


def found(settings, **values):
    for name, value in values.items():
        setattr(settings, name, value)
    return company.company_sign_in(None)


@pytest.mark.parametrize(
    "values", [{}, OIDC, SAML, OIDC | SAML | RULES,
               SAML | {"SSO_SAML_CERTIFICATE": CERTIFICATE + CERTIFICATE},
               SAML | {"SSO_SAML_CERTIFICATE": "".join(CERTIFICATE.splitlines()[1:-1])},
               SAML | BY_METADATA,
               OIDC | {"SSO_OIDC_ISSUER": "http://localhost:8080/realms/x"},
               OIDC | {"SSO_OIDC_ISSUER": "http://[::1]:8080/"}],
)  # fmt: skip
def test_what_is_right(settings, values):
    assert found(settings, **values) == []


@pytest.mark.parametrize(
    ("values", "id", "says"),
    [
        (OIDC | {"SSO_OIDC_CLIENT_SECRET": ""}, "orgs.E010", "SSO_OIDC_CLIENT_SECRET is not"),
        ({"SSO_OIDC_CLIENT_ID": "x"}, "orgs.E010", "SSO_OIDC_ISSUER and SSO_OIDC_CLIENT_SECRET"),
        (OIDC | {"SSO_OIDC_SCOPES": ["email"]}, "orgs.E010", "without openid"),
        (OIDC | {"SSO_OIDC_ISSUER": "http://login.example.com"}, "orgs.E011", "SSO_OIDC_ISSUER"),
        (OIDC | {"SSO_OIDC_ISSUER": "http://127.0.0.1.evil.com"}, "orgs.E011", "SSO_OIDC_ISSUER"),
        (OIDC | {"SSO_OIDC_ISSUER": "login.example.com"}, "orgs.E011", "SSO_OIDC_ISSUER"),
        (OIDC | {"SSO_OIDC_ISSUER": "https://a:b@example.com"}, "orgs.E011", "SSO_OIDC_ISSUER"),
        (OIDC | {"SSO_OIDC_ISSUER": "https://example.com/?a"}, "orgs.E011", "SSO_OIDC_ISSUER"),
        (OIDC | {"SSO_OIDC_ISSUER": "https://e x.com"}, "orgs.E011", "SSO_OIDC_ISSUER"),
        (OIDC | {"SSO_OIDC_ISSUER": "https://[::1"}, "orgs.E011", "SSO_OIDC_ISSUER"),
        (OIDC | {"SSO_OIDC_ISSUER": "https://e.com/" + "x" * 200}, "orgs.E011", "longer than 190"),
        (SAML | {"SSO_SAML_CERTIFICATE": ""}, "orgs.E010", "SSO_SAML_CERTIFICATE is not"),
        ({"SSO_SAML_METADATA": "<x/>"}, "orgs.E010", "SSO_SAML_ENTITY_ID is not"),
        (SAML | {"SSO_SAML_URL": "http://idp.example.com"}, "orgs.E011", "SSO_SAML_URL"),
        (SAML | {"SSO_SAML_CERTIFICATE": "MA=="}, "orgs.E011", "can't be read"),
        (SAML | BY_METADATA | {"SSO_SAML_METADATA": "<x"}, "orgs.E011", "can't be read"),
        (SAML | BY_METADATA | {"SSO_SAML_METADATA": "<x/>"}, "orgs.E011", "can't be read"),
        (SAML | BY_METADATA | {"SSO_SAML_ENTITY_ID": "another"}, "orgs.E011", "or isn't of"),
        (SAML | {"SSO_VERIFIED_DOMAINS": []}, "orgs.W002", "nobody new could come in"),
        (SAML | {"SSO_VERIFIED_DOMAINS": ["a@example.com"]}, "orgs.E012", "is no domain"),
        (SAML | {"SSO_VERIFIED_DOMAINS": ["*.example.com"]}, "orgs.E012", "is no domain"),
        *[
            ({"SSO_ORGANIZATIONS": [rule]}, "orgs.E012", f"“{rule}” in SSO_ORGANIZATIONS")
            for rule in ("acme", "example.com", "=acme", "example.com=", "example.com=acme:owner",
                         "group:=acme", "*.com=acme", "example.com=Acme Inc", "a@b.com=acme")
        ],
    ],
)  # fmt: skip
def test_what_is_wrong_says_what_to_do(settings, values, id, says):
    messages = found(settings, **values)
    assert [message.id for message in messages] == [id], messages
    assert says in messages[0].msg and messages[0].hint.endswith((".", ").", "=acme:admin"))
    assert "CANARY" not in f"{messages}"


def test_the_missing_package_is_named(settings, monkeypatch):
    monkeypatch.setitem(sys.modules, "onelogin.saml2.auth", None)
    (message,) = found(settings, **SAML)
    assert message.id == "orgs.E013" and "requirements-saml.txt" in message.hint
    assert found(settings, **dict.fromkeys(SAML, "") | {"SSO_VERIFIED_DOMAINS": []}) == []


def test_the_most_of_several_rules_counts(settings):
    settings.SSO_ORGANIZATIONS = ["example.com=acme", "group:a=acme:admin", "group:b=acme",
                                  "EXAMPLE.com=umbrella", "sub.example.com=other"]  # fmt: skip
    assert company.roles("x@example.com", ["b", "a"]) == {"acme": "admin", "umbrella": "member"}
    assert company.roles("x@example.com", []) == {"acme": "member", "umbrella": "member"}
    assert company.roles("x@Example.COM", ["A"]) == {"acme": "member", "umbrella": "member"}
    assert company.roles("", ["a"]) == {"acme": "admin"}
    assert company.roles("x@notexample.com", ["c"]) == {}
