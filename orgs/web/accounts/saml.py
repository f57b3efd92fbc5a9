"""SAML: django-allauth's flow and python3-saml's judgement, stricter where they are lenient.

What python3-saml lets be left out (audience, recipient, end, whose request it answers) has to
be there, exactly, in the one assertion that there is; what it answers is this session's own.
"""

from __future__ import annotations

import base64
from collections.abc import Mapping
from typing import Any
from urllib.parse import urlsplit

from allauth.socialaccount.internal.statekit import get_states
from allauth.socialaccount.models import SocialAccount, SocialApp, SocialLogin
from allauth.socialaccount.providers.saml.provider import SAMLProvider
from django.conf import settings
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.urls import reverse

from orgs import company
from orgs.registries.turns import turns
from orgs.services.tenancy.sso import Said

from .oidc import WrongAnswer, groups, subject

MOST = 100_000  # characters of a response, in base64
_TRANSIENT = "urn:oasis:names:tc:SAML:2.0:nameid-format:transient"
_AS_EMAIL = "urn:oasis:names:tc:SAML:1.1:nameid-format:emailAddress"
_CLAIMS = "http://schemas.xmlsoap.org/ws/2005/05/identity/claims"
EMAILS = ("email", "mail", "urn:oid:0.9.2342.19200300.100.1.3", f"{_CLAIMS}/emailaddress")
NAMES = ("name", "displayName", "urn:oid:2.16.840.1.113730.3.1.241", f"{_CLAIMS}/name")
_SPACES = {"saml": "urn:oasis:names:tc:SAML:2.0:assertion"}
_DS, _SAML = "{http://www.w3.org/2000/09/xmldsig#}", "{urn:oasis:names:tc:SAML:2.0:assertion}"
_EXCLUSIVE = "http://www.w3.org/2001/10/xml-exc-c14n#"
# The whole of what a signature of a provider's is made of, and the ways it is made.
_USUAL = {
    f"{_DS}{name}"
    for name in (
        *("Signature", "SignedInfo", "CanonicalizationMethod", "SignatureMethod", "Reference"),
        *("Transforms", "Transform", "DigestMethod", "DigestValue", "SignatureValue", "KeyInfo"),
        *("X509Data", "X509Certificate", "X509SubjectName", "X509IssuerSerial", "X509IssuerName"),
        *("X509SerialNumber", "X509SKI", "KeyName", "KeyValue", "RSAKeyValue", "Modulus"),
        "Exponent",
    )
} | {f"{{{_EXCLUSIVE}}}InclusiveNamespaces"}
_WAYS = {
    "http://www.w3.org/2000/09/xmldsig#enveloped-signature",
    _EXCLUSIVE,
    f"{_EXCLUSIVE}WithComments",
    "http://www.w3.org/TR/2001/REC-xml-c14n-20010315",
}
ELEMENTS = 2_000  # in a response, at most
_BEARER = "urn:oasis:names:tc:SAML:2.0:cm:bearer"


class Saml(SAMLProvider):
    """The one that the operator set."""

    def __init__(self, request: HttpRequest | None, app: SocialApp) -> None:
        super().__init__(request, app=app)
        found = company.provider(company.SAML)
        assert found is not None
        self.company = found

    @classmethod
    def of(cls, request: HttpRequest | None) -> Saml:
        entity = settings.SSO_SAML_ENTITY_ID
        app = SocialApp(
            provider=cls.id, provider_id=entity, client_id="saml", name=settings.SSO_SAML_NAME
        )
        return cls(request, app)

    def begin(self, request: HttpRequest, then: str) -> HttpResponse:
        """On to the provider; its answer has to name this request."""
        asking = _toolkit({})
        leads = asking.login(return_to="")
        self.stash_redirect_state(
            request, "login", then, None, state_id=asking.get_last_request_id()
        )
        return HttpResponseRedirect(leads)

    def finish(self, request: HttpRequest, response: str) -> tuple[SocialLogin, str]:
        """Whom a response names, and its assertion's id; raises `WrongAnswer`, and
        `PermissionDenied` where this session asked for nothing that it answers."""
        answered = plain(response)
        if answered not in get_states(request):
            raise PermissionDenied("this session asked for nothing that it answers")
        toolkit, proven = _judged(response)
        state = self.unstash_redirect_state(request, proven)
        login = self.sociallogin_from_response(request, toolkit)
        login.state = state
        return login, str(toolkit.get_last_assertion_id())

    def sociallogin_from_response(self, request: HttpRequest, response: Any) -> SocialLogin:
        """Nothing of what it says is stored but whose it is."""
        said = response.get_attributes()
        wanted = settings.SSO_SAML_SUBJECT_ATTRIBUTE
        if not wanted and response.get_nameid_format() == _TRANSIENT:
            raise WrongAnswer("a transient NameID: set SSO_SAML_SUBJECT_ATTRIBUTE")
        named = _first(said, (wanted,)) if wanted else response.get_nameid()
        account = SocialAccount(provider=self.company.key, uid=subject(named))
        login = SocialLogin(account=account, provider=self)
        email = _first(said, _either(settings.SSO_SAML_EMAIL_ATTRIBUTE, EMAILS))
        if not email and response.get_nameid_format() == _AS_EMAIL:
            email = response.get_nameid()
        login.said = Said(
            provider=self.company,
            subject=account.uid,
            email=email,
            # SAML has no word for it: the operator says of which domains.
            verified=None,
            name=_first(said, _either(settings.SSO_SAML_NAME_ATTRIBUTE, NAMES)),
            groups=groups(said.get(settings.SSO_SAML_GROUPS_ATTRIBUTE, [])),
        )
        return login


def metadata() -> bytes:
    """What the provider has to know of us."""
    from onelogin.saml2.settings import OneLogin_Saml2_Settings

    told = OneLogin_Saml2_Settings(settings=_configuration(), sp_validation_only=True)
    text = told.get_sp_metadata()
    return text if isinstance(text, bytes) else text.encode()


# --- judging ------------------------------------------------------------------


def plain(response: str) -> str:
    """Whose request it says it answers; raises `WrongAnswer` for what no provider sends.

    Before anything is proven: what checks a signature does what the signature says, for
    whoever wrote it. Other files, queries without end and nested signatures are among that, so
    a signature is one reference to what it stands in, changed in the two usual ways.
    """
    from lxml import etree

    if not 0 < len(response) <= MOST:
        raise WrongAnswer("a response that is empty or too long")
    parser = etree.XMLParser(
        resolve_entities=False, no_network=True, load_dtd=False, huge_tree=False
    )
    try:
        root = etree.fromstring(base64.b64decode(response, validate=False), parser)
    except (ValueError, etree.XMLSyntaxError):
        raise WrongAnswer("the response is no XML") from None
    if root.getroottree().docinfo.doctype:
        raise WrongAnswer("a response with a document type")
    elements = list(root.iter(etree.Element))
    if len(elements) > ELEMENTS:
        raise WrongAnswer("a response of too many elements")
    signatures = [one for one in elements if one.tag == f"{_DS}Signature"]
    if len(signatures) > 2 or any(not _is_usual(one) for one in signatures):
        raise WrongAnswer("a signature of another kind than a provider's")
    named = [
        one.get("InResponseTo") for one in elements if one.tag == f"{_SAML}SubjectConfirmationData"
    ]
    return next(filter(None, [*named, root.get("InResponseTo")]), "")


def _is_usual(signature: Any) -> bool:
    """Whether all that it has checked is one thing, in the usual ways."""
    inside = list(signature.iter())
    tags = [one.tag for one in inside]
    if not all(isinstance(tag, str) and tag in _USUAL for tag in tags):
        return False
    references = [one for one in inside if one.tag == f"{_DS}Reference"]
    around = signature.getparent()
    if len(references) != 1 or around is None:
        return False
    if references[0].get("URI") not in ("", f"#{around.get('ID')}"):
        return False
    if any(one.get("URI") for one in inside if one is not references[0]):
        return False
    ways = [one for one in inside if one.tag == f"{_DS}Transform"]
    named = {
        one.get("Algorithm") for one in (*ways, *signature.iter(f"{_DS}CanonicalizationMethod"))
    }
    return len(ways) <= 2 and named <= _WAYS


def _judged(response: str) -> tuple[Any, str]:
    """Signed, for us, now, once; and the id of the request that it answers."""
    toolkit = _toolkit({"SAMLResponse": response})
    try:
        with turns.given_up():  # others compute meanwhile
            toolkit.process_response()
        answered = _strictly(toolkit)
    except WrongAnswer:
        raise
    except Exception as error:
        # python3-saml, lxml and xmlsec have each their own, for whatever isn't a response.
        raise WrongAnswer(f"the response: {_named(error)}") from None
    return toolkit, answered


def _named(error: Exception) -> str:
    """Which check failed, by python3-saml's own name for it; its text may quote what came."""
    names = {number: name for name, number in vars(type(error)).items() if name.isupper()}
    return names.get(getattr(error, "code", None)) or type(error).__name__


def _strictly(toolkit: Any) -> str:
    """python3-saml took it: there is one assertion, and either it or the whole is signed."""
    from lxml import etree

    whole = toolkit.get_last_response_xml()
    parser = etree.XMLParser(resolve_entities=False, no_network=True)
    root = etree.fromstring(whole.encode() if isinstance(whole, str) else whole, parser)
    (assertion,) = root.findall("saml:Assertion", _SPACES)
    ours = settings.BASE_URL + reverse("company_acs")
    if root.get("Destination") not in (None, ours):
        raise WrongAnswer("the response has another destination")
    audiences = assertion.findall("saml:Conditions/saml:AudienceRestriction/saml:Audience", _SPACES)
    if [(one.text or "").strip() for one in audiences].count(entity_id()) < 1:
        raise WrongAnswer("the assertion names no audience, or another")
    (confirmed,) = assertion.findall("saml:Subject/saml:SubjectConfirmation", _SPACES)
    (data,) = confirmed.findall("saml:SubjectConfirmationData", _SPACES)
    answered = data.get("InResponseTo")
    if (
        confirmed.get("Method") != _BEARER
        or data.get("Recipient") != ours
        or not data.get("NotOnOrAfter")
        or not answered
        or root.get("InResponseTo") not in (None, answered)
    ):
        raise WrongAnswer("the assertion names no request, recipient or end, or others")
    return answered


# --- python3-saml ---------------------------------------------------------------


def entity_id() -> str:
    """How the provider knows us."""
    return settings.BASE_URL + reverse("company_metadata")


def _toolkit(posted: Mapping[str, str]) -> Any:
    """By our own name, never by what a Host header says."""
    from onelogin.saml2.auth import OneLogin_Saml2_Auth
    from onelogin.saml2.response import OneLogin_Saml2_Response

    ours = urlsplit(settings.BASE_URL + reverse("company_acs"))
    asked = {
        "https": "on" if ours.scheme == "https" else "off",
        "http_host": ours.netloc,
        "script_name": ours.path,
        "path_info": "",
        "get_data": {},
        "post_data": dict(posted),
    }

    class Raising(OneLogin_Saml2_Response):
        """Says which check failed, instead of False."""

        def is_valid(self, *given: Any, **further: Any) -> bool:
            return super().is_valid(*given, **further | {"raise_exceptions": True})

    toolkit = OneLogin_Saml2_Auth(asked, _configuration())
    toolkit.response_class = Raising
    return toolkit


def _configuration() -> dict[str, Any]:
    return {
        "strict": True,
        "sp": {
            "entityId": entity_id(),
            "assertionConsumerService": {
                "url": settings.BASE_URL + reverse("company_acs"),
                "binding": "urn:oasis:names:tc:SAML:2.0:bindings:HTTP-POST",
            },
            "NameIDFormat": "urn:oasis:names:tc:SAML:1.1:nameid-format:unspecified",
        },
        "idp": company.identity_provider(),
        "security": {
            "requestedAuthnContext": False,
            "rejectDeprecatedAlgorithm": True,
            "wantAttributeStatement": False,
            "wantNameId": not settings.SSO_SAML_SUBJECT_ATTRIBUTE,
            "allowRepeatAttributeName": True,
            "allowSingleLabelDomains": True,
        },
    }


def _either(own: str, usual: tuple[str, ...]) -> tuple[str, ...]:
    return (own,) if own else usual


def _first(said: Mapping[str, list[Any]], names: tuple[str, ...]) -> str:
    """The first value of the first of the attributes that is there."""
    for name in names:
        for value in said.get(name, [])[:1]:
            return value if isinstance(value, str) else ""
    return ""
