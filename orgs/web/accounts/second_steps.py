"""Second steps of signing in: django-allauth's views and forms, with our limits and words.

What it doesn't expect of hostile input ends here as «not right» instead of a crash, and each
change leaves an event in the transaction that made it.
"""

from __future__ import annotations

import json
import re
import struct
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from allauth.core import context
from allauth.mfa.base import forms as base_forms
from allauth.mfa.base import views as base
from allauth.mfa.models import Authenticator
from allauth.mfa.recovery_codes import views as codes
from allauth.mfa.totp import forms as totp_forms
from allauth.mfa.totp import views as totp
from allauth.mfa.totp.internal.auth import SECRET_SESSION_KEY, generate_totp_secret
from allauth.mfa.webauthn import forms as webauthn_forms
from allauth.mfa.webauthn import views as webauthn
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from django import forms
from django.contrib import messages
from django.core.exceptions import ValidationError
from django.db import transaction
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.urls import reverse_lazy

from orgs.models import User
from orgs.proxies import source_address
from orgs.registries.problems import Failed, text_problem
from orgs.sealed import Unreadable
from orgs.services.tenancy import second_steps, signing_in
from orgs.web.context import oneself

MOST_PASSKEYS = 20
_WRONG = "This passkey isn't one of this account's, or it took too long. Try again."
_ACCOUNT = reverse_lazy("account")


# --- codes --------------------------------------------------------------------


class _Codes:
    """Counted before it is looked at, and good once."""

    user: User
    cleaned_data: dict[str, Any]
    refused: Failed | None = None

    def clean_code(self) -> str:
        try:
            second_steps.count_code(self.user)
            code = super().clean_code()  # type: ignore[misc]
            if not second_steps.use(self.user, code):
                raise ValidationError("It was used.")
        except Failed as failed:
            raise self._refuse(failed) from None
        except Unreadable:
            raise self._refuse(second_steps.unreadable()) from None
        except ValidationError:
            raise self._refuse(second_steps.wrong_code()) from None
        second_steps.code_is_good(self.user)
        return code

    def _refuse(self, failed: Failed) -> ValidationError:
        self.refused = failed
        signing_in.step_refused(self.user, source_address(context.request), failed.code)
        return ValidationError(failed.detail, code=failed.code)


def _code(label: str, help_text: str) -> forms.CharField:
    return forms.CharField(
        label=label,
        max_length=40,
        help_text=help_text,
        widget=forms.TextInput(
            attrs={"inputmode": "numeric", "autocomplete": "one-time-code", "size": 10}
        ),
        error_messages={"required": "Code is empty. Type the one that the app shows."},
    )


class CodeForm(_Codes, base_forms.AuthenticateForm):
    code = _code("Code", "From your app, or one of your recovery codes.")


class CodeAgainForm(_Codes, base_forms.ReauthenticateForm):
    code = _code("Code", "From your app, or one of your recovery codes.")


class AppForm(_Codes, totp_forms.ActivateTOTPForm):
    """Its secret waits in the session, sealed: a session is a row like any other."""

    code = _code("Code that the app shows", "Six digits; they change every 30 seconds.")

    def __init__(self, *args: Any, user: User, request: HttpRequest, **kwargs: Any) -> None:
        self.user = user
        forms.Form.__init__(self, *args, **kwargs)
        self.secret = self._secret(request)

    def _secret(self, request: HttpRequest) -> str:
        """The one that was shown; a new one where none waits, or it doesn't open."""
        with second_steps.of(self.user):
            if self.is_bound and (waiting := request.session.get(SECRET_SESSION_KEY)):
                try:
                    return second_steps.opened(waiting)
                except Unreadable:
                    pass
            secret = generate_totp_secret()
            request.session[SECRET_SESSION_KEY] = second_steps.sealed(secret)
            return secret


# --- passkeys -----------------------------------------------------------------

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


def _credential() -> CredentialField:
    return CredentialField(error_messages={"required": _WRONG, "invalid": _WRONG})


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

    def clean_credential(self) -> Authenticator:
        try:
            with _readable():
                return super().clean_credential()  # type: ignore[misc]
        except ValidationError as wrong:
            signing_in.step_refused(self.user, source_address(context.request), str(wrong.code))
            raise


class PasskeyForm(_Passkeys, webauthn_forms.AuthenticateWebAuthnForm):
    credential = _credential()


class PasskeyAgainForm(_Passkeys, webauthn_forms.ReauthenticateWebAuthnForm):
    credential = _credential()


class PasskeyAloneForm(_Passkeys, webauthn_forms.LoginWebAuthnForm):
    credential = _credential()


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
        if kept.count() >= MOST_PASSKEYS:
            raise ValidationError(f"You have {MOST_PASSKEYS} passkeys. Remove one first.")
        with _readable():
            return super().clean()


class PasskeyNameForm(_Named, webauthn_forms.EditWebAuthnForm):
    name = _name()


# --- views --------------------------------------------------------------------


class _Told:
    """What the form does leaves an event, or isn't done."""

    request: Any
    action: str
    what: str

    def form_valid(self, form: Any) -> HttpResponse:
        with transaction.atomic():
            answer = super().form_valid(form)  # type: ignore[misc]
            person = self.request.user
            second_steps.tell(self.action, person, self.what, oneself(self.request))
        messages.success(self.request, f"{self.what} {second_steps.TOLD[self.action]}.")
        return answer


class _Options:
    """What a passkey is asked for, as text for the form's attribute: scripts read it there."""

    def get_context_data(self, **kwargs: Any) -> dict[str, Any]:
        found = super().get_context_data(**kwargs)  # type: ignore[misc]
        return {**found, "passkey_options": json.dumps(found.get("js_data"))}


class _Paused:
    """429 where no code is taken for a while."""

    def form_invalid(self, form: Any) -> HttpResponse:
        answer = super().form_invalid(form)  # type: ignore[misc]
        refused = getattr(form, "refused", None)
        if refused is not None and refused.retry_after:
            answer.status_code = 429
            answer["Retry-After"] = str(refused.retry_after)
            answer._has_been_logged = True
        return answer


class SecondStep(_Options, _Paused, base.AuthenticateView):
    template_name = "accounts/second_step.html"

    def get_context_data(self, **kwargs: Any) -> dict[str, Any]:
        kinds = Authenticator.objects.filter(user=self.stage.login.user)
        return {
            **super().get_context_data(**kwargs),
            "has": set(kinds.values_list("type", flat=True)),
        }


class CodeAgain(_Paused, base.ReauthenticateView):
    template_name = "accounts/again.html"


class AddApp(_Told, _Paused, totp.ActivateTOTPView):
    template_name = "accounts/app_add.html"
    action, what = "user.second_step_added", "An app for codes"

    def get_form_kwargs(self) -> dict[str, Any]:
        return super().get_form_kwargs() | {"request": self.request}


class RemoveApp(_Told, totp.DeactivateTOTPView):
    template_name = "accounts/app_remove.html"
    action, what = "user.second_step_removed", "The app for codes"
    success_url = _ACCOUNT


class NewCodes(_Told, codes.GenerateRecoveryCodesView):
    template_name = "accounts/codes_new.html"
    action, what = "user.recovery_codes_made", "Recovery codes"


class Codes(codes.ViewRecoveryCodesView):
    template_name = "accounts/codes.html"


class AddPasskey(_Options, _Told, webauthn.AddWebAuthnView):
    template_name = "accounts/passkey_add.html"
    action, what = "user.second_step_added", "A passkey"


class RemovePasskey(_Told, webauthn.RemoveWebAuthnView):
    template_name = "accounts/passkey_remove.html"
    action, what = "user.second_step_removed", "A passkey"
    success_url = _ACCOUNT


class RenamePasskey(webauthn.EditWebAuthnView):
    template_name = "accounts/passkey_rename.html"
    success_url = _ACCOUNT


class PasskeyAgain(_Options, webauthn.ReauthenticateWebAuthnView):
    template_name = "accounts/passkey_again.html"

    def form_invalid(self, form: Any) -> HttpResponse:
        return self.render_to_response(self.get_context_data(form=form))

    def get_context_data(self, **kwargs: Any) -> dict[str, Any]:
        return {**super().get_context_data(**kwargs), **kwargs}


class PasskeyAlone(webauthn.LoginWebAuthnView):
    """Signing in with a passkey; each ask makes a session, so an address may ask so often."""

    def dispatch(self, request: Any, *args: Any, **kwargs: Any) -> Any:
        if paused := signing_in.passkey_pause(source_address(request)):
            messages.error(request, str(paused.problem))
            return redirect("account_login")
        return super().dispatch(request, *args, **kwargs)

    def form_invalid(self, form: Any) -> HttpResponse:
        messages.error(self.request, "This passkey isn't one of an account here.")
        return redirect("account_login")
