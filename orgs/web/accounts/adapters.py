"""What django-allauth asks us: who may come in, how it's told, how its secrets are kept."""

from __future__ import annotations

import time
from typing import Any
from urllib.parse import urlsplit

from allauth.account.adapter import DefaultAccountAdapter
from allauth.account.internal.flows.login import get_authentication_records
from allauth.account.internal.flows.reauthentication import get_reauthentication_flows
from allauth.core import context
from allauth.mfa.adapter import DefaultMFAAdapter
from allauth.mfa.totp.internal.auth import SECRET_SESSION_KEY
from allauth.mfa.webauthn.internal.auth import STATE_SESSION_KEY
from allauth.socialaccount.internal.statekit import STATES_SESSION_KEY
from django.conf import settings
from django.contrib import messages
from django.core.exceptions import ValidationError
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.utils.http import url_has_allowed_host_and_scheme

from orgs.models import User
from orgs.proxies import source_address
from orgs.registries.places import Full
from orgs.services.tenancy import second_steps, sessions, signing_in

# Whose sign-in is half done: their session's hash.
PENDING = "sign_in_pending"
# What allauth keeps in a session of things begun: an app's key, a passkey's challenge.
LEFT = (
    *(PENDING, SECRET_SESSION_KEY, STATE_SESSION_KEY, STATES_SESSION_KEY),
    "account_reauthentication_state",
)
# An entry of allauth's record of how somebody came in, in the audit log's words.
_BY = {"totp": "app code", "webauthn": "passkey", "recovery_codes": "recovery code"}


class Account(DefaultAccountAdapter):
    """People, their passwords and sessions."""

    def is_open_for_signup(self, request: HttpRequest) -> bool:
        """People come by an invitation, or by who runs this server."""
        return False

    def pre_login(self, request: HttpRequest, user: Any, **kwargs: Any) -> HttpResponse | None:
        """Note what a new password would end, so that it ends a sign-in that is half done."""
        request.session[PENDING] = user.get_session_auth_hash()
        return super().pre_login(request, user, **kwargs)

    def login(self, request: HttpRequest, user: Any) -> None:
        """Sign somebody in, all steps being done. Nothing that was begun in this browser
        before, by whoever, goes on in their name."""
        for left in LEFT:
            request.session.pop(left, None)
        records = get_authentication_records(request, user)
        by = [_BY.get(record.get("type", ""), record["method"]) for record in records]
        signing_in.signed_in(person=user, by=by, address=source_address(request))
        super().login(request, user)
        sessions.begin(request)

    def reauthenticate(self, user: Any, password: str) -> bool:
        """Whether it is their password; a try counts as one to sign in."""
        address = source_address(context.request)
        try:
            return bool(signing_in.sign_in(email=user.email, password=password, address=address))
        except (signing_in.SignInRefused, Full) as refused:
            raise ValidationError(refused.detail, code=refused.code) from None

    def is_reauthentication_required(self, *, app: str, **kwargs: Any) -> bool:
        """Who comes by their company's sign-in alone has nothing to show here again but that:
        it has to be fresh."""
        request = context.request
        if not super().is_reauthentication_required(app=app, **kwargs):
            return False
        if get_reauthentication_flows(request.user):
            return True
        records = get_authentication_records(request, request.user)
        latest = max((record["at"] for record in records), default=0.0)
        return time.time() - latest > settings.ACCOUNT_REAUTHENTICATION_TIMEOUT

    def is_safe_url(self, url: str) -> bool:
        """Addresses of this very server, without its name."""
        return url_has_allowed_host_and_scheme(url, allowed_hosts=set())

    def is_ajax(self, request: HttpRequest) -> bool:
        """Only the button of signing in with a passkey asks for JSON."""
        return bool(
            request.resolver_match
            and request.resolver_match.url_name == "mfa_login_webauthn"
            and request.META.get("HTTP_ACCEPT") == "application/json"
        )

    def get_client_ip(self, request: HttpRequest) -> str:
        return source_address(request) or "0.0.0.0"  # noqa: S104  # of a socket: nobody's

    def respond_user_inactive(self, request: HttpRequest, user: Any) -> HttpResponse:
        """As for a wrong passkey: that there is an account is nobody's business."""
        messages.error(request, "This passkey isn't one of an account here.")
        return redirect("account_login")

    def add_message(self, *args: Any, **kwargs: Any) -> None:
        """Our pages say what happened themselves."""

    def send_mail(self, template_prefix: str, email: str, context: dict[str, Any]) -> None:
        """Ours are in the services."""


class SecondSteps(DefaultMFAAdapter):
    """Second steps, whose secrets are sealed."""

    def encrypt(self, text: str) -> str:
        with self._theirs():
            return second_steps.sealed(text)

    def decrypt(self, encrypted_text: str) -> str:
        with self._theirs():
            return second_steps.opened(encrypted_text)

    def _theirs(self) -> Any:
        """The person who is signed in, or else who is about to be."""
        request = context.request
        if isinstance(request.user, User):
            return second_steps.of(request.user)
        return second_steps.of(request._login_stage.login.user)

    def get_public_key_credential_rp_entity(self) -> dict[str, str]:
        """By our own name, never by what a Host header says."""
        name = urlsplit(settings.BASE_URL).hostname or ""
        return {"id": name, "name": "Valohai Registries"}

    def generate_authenticator_name(self, user: Any, type: Any) -> str:
        return "Passkey"
