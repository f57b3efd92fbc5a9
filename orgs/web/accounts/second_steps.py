"""Second steps of signing in: django-allauth's views and forms, with our limits and words.

What it doesn't expect of hostile input ends here as «not right» instead of a crash, and each
change leaves an event in the transaction that made it.
"""

from __future__ import annotations

from typing import Any

from allauth.account.internal.stagekit import clear_login, unstash_login
from allauth.core import context
from allauth.mfa.base import forms as base_forms
from allauth.mfa.base import views as base
from allauth.mfa.models import Authenticator
from allauth.mfa.recovery_codes import views as codes
from allauth.mfa.totp import forms as totp_forms
from allauth.mfa.totp import views as totp
from allauth.mfa.totp.internal.auth import SECRET_SESSION_KEY, generate_totp_secret
from django import forms
from django.contrib import messages
from django.core.exceptions import ValidationError
from django.db import transaction
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.urls import reverse_lazy
from django.views.generic import FormView

from orgs.models import User
from orgs.proxies import source_address
from orgs.registries.problems import Failed
from orgs.sealed import Unreadable
from orgs.services.tenancy import second_steps, signing_in

from .adapters import PENDING
from .changes import Added, Told
from .passkeys import Options

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


# --- views --------------------------------------------------------------------


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


class SecondStep(Options, _Paused, base.AuthenticateView):
    template_name = "accounts/second_step.html"
    asked_for = "step"

    def dispatch(self, request: Any, *args: Any, **kwargs: Any) -> Any:
        """From the beginning where the person is gone, or has another password, meanwhile."""
        begun = unstash_login(request, peek=True)
        person = begun.user if begun else None
        if person and person.get_session_auth_hash() == request.session.get(PENDING):
            return super().dispatch(request, *args, **kwargs)
        clear_login(request)
        return redirect("account_login")

    def whose(self) -> User:
        return self.stage.login.user

    def get_context_data(self, **kwargs: Any) -> dict[str, Any]:
        kinds = Authenticator.objects.filter(user=self.stage.login.user)
        return {
            **super().get_context_data(**kwargs),
            "has": set(kinds.values_list("type", flat=True)),
        }


class CodeAgain(_Paused, base.ReauthenticateView):
    template_name = "accounts/again.html"


class AddApp(Added, Told, _Paused, totp.ActivateTOTPView):
    template_name = "accounts/app_add.html"
    action, what = "user.second_step_added", "An app for codes"

    def get_form_kwargs(self) -> dict[str, Any]:
        return super().get_form_kwargs() | {"request": self.request}


class RemoveApp(Told, totp.DeactivateTOTPView):
    template_name = "accounts/app_remove.html"
    action, what = "user.second_step_removed", "The app for codes"
    success_url = _ACCOUNT


class NewCodes(Told, codes.GenerateRecoveryCodesView):
    template_name = "accounts/codes_new.html"
    action, what = "user.recovery_codes_made", "Recovery codes"

    def dispatch(self, request: Any, *args: Any, **kwargs: Any) -> Any:
        if isinstance(request.user, User) and not second_steps.has_one(request.user):
            return redirect("account")  # there is nothing that they'd stand in for
        return super().dispatch(request, *args, **kwargs)

    def get_context_data(self, **kwargs: Any) -> dict[str, Any]:
        try:
            return super().get_context_data(**kwargs)
        except Unreadable:  # which new ones mend
            return {**FormView.get_context_data(self, **kwargs), "unused_code_count": 0}


class Codes(codes.ViewRecoveryCodesView):
    template_name = "accounts/codes.html"

    def dispatch(self, request: Any, *args: Any, **kwargs: Any) -> Any:
        """Behind their lock: looking at them writes, and mustn't undo the use of one."""
        try:
            with transaction.atomic():
                rows = Authenticator.objects.select_for_update(no_key=True)
                rows.filter(user=request.user.pk, type="recovery_codes").first()
                return super().dispatch(request, *args, **kwargs)
        except Unreadable:
            messages.error(request, second_steps.unreadable().detail)
            return redirect("account")
