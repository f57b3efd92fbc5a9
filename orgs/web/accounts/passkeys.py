"""Passkeys: after the password, or instead of it; added, renamed, removed.

Hostile answers end as «not right»: they are read by their shape, nothing else of them is
stored, and a challenge counts once, for what and whom it was asked.
"""

from __future__ import annotations

import json
import re
import struct
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from urllib.parse import urlsplit

from allauth.account.adapter import get_adapter
from allauth.account.internal.flows.reauthentication import raise_if_reauthentication_required
from allauth.core import context
from allauth.mfa.models import Authenticator
from allauth.mfa.webauthn import forms as webauthn_forms
from allauth.mfa.webauthn import views as webauthn
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from django import forms
from django.conf import settings
from django.contrib import messages
from django.core.exceptions import ValidationError
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.urls import reverse_lazy
from fido2.utils import websafe_decode

from orgs.models import User
from orgs.proxies import source_address
from orgs.registries.problems import text_problem
from orgs.services.tenancy import second_steps, signing_in

from .changes import Added, Told

MOST_PASSKEYS = 20
_WRONG = "This passkey isn't one of this account's, or it took too long. Try again."
_ACCOUNT = reverse_lazy("account")


# --- what a browser answers -----------------------------------------------------------------

_BYTES = re.compile(r"[A-Za-z0-9_-]{0,16384}=*")
# What a browser gives; anything else of it is dropped, and nothing but these is ever stored.
_SHAPE: dict[str, Any] = {
    "id": str,
    "rawId": str,
    "type": str,
    "authenticatorAttachment": str,
    "response": {
        "clientDataJSON": str,
        "attestationObject": str,
        "authenticatorData": str,
        "signature": str,
        "userHandle": str,
    },
    "clientExtensionResults": {"credProps": {"rk": bool}},
}
# What reading bytes of someone's choice raises in fido2 and below.
_UNREADABLE = (
    *(TypeError, ValueError, LookupError, AttributeError, OverflowError, NotImplementedError),
    *(RecursionError, struct.error, InvalidSignature, UnsupportedAlgorithm),
)


def _shaped(given: Any, shape: Any) -> Any:
    """What of `given` has the shape; None for what hasn't."""
    if isinstance(shape, dict):
        known = given if isinstance(given, dict) else {}
        pairs = ((name, _shaped(known.get(name), inner)) for name, inner in shape.items())
        return {name: value for name, value in pairs if value is not None}
    if not isinstance(given, shape):
        return None
    return given if not isinstance(given, str) or _BYTES.fullmatch(given) else None


class CredentialField(forms.JSONField):
    """What the browser says of a passkey, of a known shape."""

    widget = forms.HiddenInput

    def to_python(self, value: Any) -> Any:
        if isinstance(value, str) and (len(value) > 50_000 or value.count("{") > 20):
            raise ValidationError(_WRONG, code="wrong_passkey")
        with _readable():
            return _shaped(super().to_python(value), _SHAPE)


def _require_here(credential: Any) -> None:
    """Made for BASE_URL, to the letter: the library would take names below it, too."""
    base = urlsplit(settings.BASE_URL)
    told = json.loads(websafe_decode(credential["response"]["clientDataJSON"]))
    if told["origin"] != f"{base.scheme}://{base.netloc}":
        raise ValueError("another origin")


def _credential() -> CredentialField:
    return CredentialField(error_messages={"required": _WRONG, "invalid": _WRONG})


ASKED = "passkey_asked_for"


def _ask(request: HttpRequest, purpose: str, person: User | None) -> None:
    """Note for what, and whom, the challenge is that was made just now."""
    request.session[ASKED] = f"{purpose}:{person.pk if person else ''}"


def _require_asked(purpose: str, person: User | None) -> None:
    asked = context.request.session.pop(ASKED, None)
    if asked != f"{purpose}:{person.pk if person else ''}":
        raise ValidationError(_WRONG, code="wrong_passkey")


@contextmanager
def _readable() -> Iterator[None]:
    try:
        yield
    except ValidationError:
        raise ValidationError(_WRONG, code="wrong_passkey") from None
    except _UNREADABLE:
        raise ValidationError(_WRONG, code="wrong_passkey") from None


class _Passkeys:
    user: User | None
    cleaned_data: dict[str, Any]
    asked_for: str

    def clean_credential(self) -> Authenticator:
        try:
            with _readable():
                _require_asked(self.asked_for, self.user)
                _require_here(self.cleaned_data["credential"])
                return self._allowed(super().clean_credential())  # type: ignore[misc]
        except ValidationError as wrong:
            signing_in.step_refused(self.user, source_address(context.request), str(wrong.code))
            raise

    def _allowed(self, found: Authenticator) -> Authenticator:
        return found


class PasskeyForm(_Passkeys, webauthn_forms.AuthenticateWebAuthnForm):
    asked_for = "step"
    credential = _credential()


class PasskeyAgainForm(_Passkeys, webauthn_forms.ReauthenticateWebAuthnForm):
    asked_for = "again"
    credential = _credential()


class PasskeyAloneForm(_Passkeys, webauthn_forms.LoginWebAuthnForm):
    asked_for = "alone"
    credential = _credential()

    def _allowed(self, found: Authenticator) -> Authenticator:
        """Only one that was added to stand in for the password."""
        if not found.wrap().is_passwordless:
            raise ValidationError(_WRONG, code="wrong_passkey")
        return found


def _name() -> forms.CharField:
    return forms.CharField(
        max_length=60,
        help_text="To tell it from others, such as “Laptop”.",
        widget=forms.TextInput(attrs={"autocomplete": "off"}),
        error_messages={"required": "Name is empty. Write what it is, such as Laptop."},
    )


class _Named:
    cleaned_data: dict[str, Any]

    def clean_name(self) -> str:
        name = self.cleaned_data["name"]
        if problem := text_problem(name, name="name", label="Name", most=60):
            raise ValidationError(str(problem), code=problem.code)
        return name


class NewPasskeyForm(_Named, webauthn_forms.AddWebAuthnForm):
    name = _name()
    credential = _credential()
    passwordless = forms.BooleanField(
        label="Sign in with it alone",
        required=False,
        initial=True,
        help_text="Instead of the password; the device asks for its PIN, finger or face. "
        "Else it is what is asked for after the password.",
    )

    def clean(self) -> dict[str, Any]:
        kept = Authenticator.objects.filter(user=self.user, type=Authenticator.Type.WEBAUTHN)
        known = {one.data["credential"]["id"] for one in kept}
        if len(known) >= MOST_PASSKEYS:
            raise ValidationError(f"You have {MOST_PASSKEYS} passkeys. Remove one first.")
        with _readable():
            _require_asked("new", self.user)
            _require_here(self.cleaned_data["credential"])
            found = super().clean()
            credential = found["credential"]
            alone = found["passwordless"]
        if credential["id"] in known:
            raise ValidationError("You have this passkey already.", code="wrong_passkey")
        # Whether it stands in for the password is its person's choice, whatever the device says.
        credential["clientExtensionResults"] = {"credProps": {"rk": alone}}
        return found


class PasskeyNameForm(_Named, webauthn_forms.EditWebAuthnForm):
    name = _name()

    def save(self) -> Authenticator:
        raise_if_reauthentication_required(context.request, app="allauth.mfa")
        person, key = context.request.user, self.instance.pk
        if not second_steps.rename(person=person, key=key, name=self.cleaned_data["name"]):
            raise Http404
        return self.instance


# --- views ------------------------------------------------------------------


class Options:
    """What a passkey is asked for, as text for the form's attribute: scripts read it there."""

    request: Any
    asked_for: str

    def whose(self) -> User:
        return self.request.user

    def get_context_data(self, **kwargs: Any) -> dict[str, Any]:
        found = super().get_context_data(**kwargs)  # type: ignore[misc]
        _ask(self.request, self.asked_for, self.whose())
        # The form that was judged, where there is one: a fresh one would be judged by the new
        # challenge.
        return {**found, **kwargs, "passkey_options": json.dumps(found.get("js_data"))}


class AddPasskey(Added, Options, Told, webauthn.AddWebAuthnView):
    asked_for = "new"
    template_name = "accounts/passkey_add.html"
    action, what = "user.second_step_added", "A passkey"


class RemovePasskey(Told, webauthn.RemoveWebAuthnView):
    template_name = "accounts/passkey_remove.html"
    action, what = "user.second_step_removed", "A passkey"
    success_url = _ACCOUNT


class RenamePasskey(webauthn.EditWebAuthnView):
    template_name = "accounts/passkey_rename.html"
    success_url = _ACCOUNT


class PasskeyAgain(Options, webauthn.ReauthenticateWebAuthnView):
    asked_for = "again"
    template_name = "accounts/passkey_again.html"

    def form_invalid(self, form: Any) -> HttpResponse:
        return self.render_to_response(self.get_context_data(form=form))

    def get_context_data(self, **kwargs: Any) -> dict[str, Any]:
        return {**super().get_context_data(**kwargs), **kwargs}


class PasskeyAlone(webauthn.LoginWebAuthnView):
    """Signing in with a passkey; each ask makes a session, so an address may ask so often."""

    def get(self, request: Any, *args: Any, **kwargs: Any) -> HttpResponse:
        # A page of somebody else's can't have its visitors ask.
        if request.META.get("HTTP_SEC_FETCH_SITE", "same-origin") != "same-origin":
            return redirect("account_login")
        if not get_adapter().is_ajax(request):
            return redirect("account_login")
        if paused := signing_in.passkey_pause(source_address(request)):
            messages.error(request, str(paused.problem))
            return redirect("account_login")
        answer = super().get(request, *args, **kwargs)
        _ask(request, "alone", None)
        return answer

    def form_valid(self, form: Any) -> HttpResponse:
        signing_in.passkey_was_good(source_address(self.request))
        return super().form_valid(form)

    def form_invalid(self, form: Any) -> HttpResponse:
        messages.error(self.request, "This passkey isn't one of an account here.")
        return redirect("account_login")
