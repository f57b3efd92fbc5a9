"""Sign in, and set a password from the one-time link of a new person."""

from __future__ import annotations

from typing import Any

from allauth.account.forms import ReauthenticateForm
from allauth.account.internal.flows.login import perform_login, record_authentication
from allauth.account.models import Login
from allauth.account.views import ReauthenticateView
from django import forms
from django.contrib.auth import views as auth
from django.contrib.auth.forms import AuthenticationForm, SetPasswordForm
from django.core.exceptions import ValidationError
from django.http import HttpRequest, HttpResponse
from django.urls import reverse_lazy

from orgs import company
from orgs.models import User
from orgs.proxies import source_address
from orgs.registries import codes
from orgs.registries.places import Full
from orgs.registries.problems import Failed, Refused
from orgs.services.audit.events import Actor
from orgs.services.tenancy import mails, people, second_steps, signing_in


def enter(request: HttpRequest, person: User, by: str, then: str) -> HttpResponse:
    """On to the second step, where they have one; else in, and to the address `then`."""
    record_authentication(request, person, by)
    return perform_login(request, Login(user=person, redirect_url=then))


def name_field() -> forms.CharField:
    """How somebody is called here."""
    return forms.CharField(
        label="Name",
        max_length=100,
        help_text="What others see.",
        widget=forms.TextInput(attrs={"autocomplete": "name"}),
        error_messages={"required": "Name is empty. Write yours."},
    )


class SignInForm(AuthenticationForm):
    request: HttpRequest
    # Why nobody was signed in, where both fields were filled in.
    refused: Failed | None = None

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        e_mail = self.fields["username"]
        # The first Tab is the skip link's, so nothing takes the focus by itself.
        del e_mail.widget.attrs["autofocus"]
        e_mail.widget.attrs |= {"inputmode": "email", "spellcheck": "false"}
        e_mail.error_messages["required"] = "E-mail is empty. Enter the one you're known by here."
        self.fields["password"].error_messages["required"] = "Password is empty. Enter it."

    def clean_username(self) -> str:
        return self.cleaned_data["username"].strip().lower()

    def clean(self) -> dict[str, Any]:
        email, password = (self.cleaned_data.get(name) for name in ("username", "password"))
        if not email or not password:
            return self.cleaned_data
        address = source_address(self.request)
        try:
            self.user_cache = signing_in.sign_in(email=email, password=password, address=address)
        except (signing_in.SignInRefused, Full) as refused:
            self.refused = refused
            raise ValidationError(refused.detail, code=refused.code) from None
        return self.cleaned_data


class PasswordTwice(SetPasswordForm):
    """A new password, typed twice, with what is wrong in our words."""

    label = "New password"

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        first, second = self.fields["new_password1"], self.fields["new_password2"]
        first.label, second.label = self.label, f"{self.label}, again"
        second.help_text = ""
        first.error_messages["required"] = "Password is empty. Choose one."
        second.error_messages["required"] = "Password, again, is empty. Type the same once more."


class NewPasswordForm(PasswordTwice):
    def __init__(
        self, *args: Any, address: str | None = None, token: str = "", **kwargs: Any
    ) -> None:
        super().__init__(*args, **kwargs)
        self.address, self.token = address, token

    def save(self, commit: bool = True) -> User:
        actor = Actor(self.user.email, self.user, source_address=self.address)
        people.password_set(
            person=self.user,
            password=self.cleaned_data["new_password1"],
            actor=actor,
            token=self.token,
        )
        return self.user


class SignIn(auth.LoginView):
    template_name = "accounts/login.html"
    authentication_form = SignInForm
    redirect_authenticated_user = True

    def form_valid(self, form: Any) -> HttpResponse:
        return enter(self.request, form.get_user(), "password", self.get_success_url())

    def get_context_data(self, **kwargs: Any) -> dict[str, Any]:
        further = {
            "passkeys_work": second_steps.passkeys_work(),
            "mails": mails.go_out(),
            "companies": company.providers(),
        }
        return {**super().get_context_data(**kwargs), **further}

    def form_invalid(self, form: Any) -> HttpResponse:
        """The form with what was typed; 503 where there is no place, 429 in a pause."""
        answer = super().form_invalid(form)
        if form.refused is not None and form.refused.retry_after:
            answer.status_code = codes.of(form.refused.code).status or 200
            answer["Retry-After"] = str(form.refused.retry_after)
            # Not a line each in the log: a flood would fill it.
            answer._has_been_logged = True  # type: ignore[attr-defined]
        return answer


class SetPassword(auth.PasswordResetConfirmView):
    template_name = "accounts/set_password.html"
    form_class = NewPasswordForm
    success_url = reverse_lazy("home")
    token_generator = people.link_tokens

    def get_form_kwargs(self) -> dict[str, Any]:
        token = self.request.session.get(auth.INTERNAL_RESET_SESSION_TOKEN, "")
        return super().get_form_kwargs() | {
            "address": source_address(self.request),
            "token": token,
        }

    def get_user(self, uidb64: str) -> User | None:
        """Whose link it is; nobody's where they're switched off."""
        found = super().get_user(uidb64)
        return found if isinstance(found, User) and found.is_active else None

    def form_valid(self, form: Any) -> HttpResponse:
        try:
            person = form.save()
        except Refused:  # used a moment ago
            self.validlink = False
            return self.render_to_response(self.get_context_data(form=None))
        # Whoever was signed in here isn't any more, and their session may be over.
        self.request.session.flush()
        return enter(self.request, person, "link", str(self.success_url))

    def get_context_data(self, **kwargs: Any) -> dict[str, Any]:
        further = {"person": self.user, "mails": mails.go_out()}
        return {**super().get_context_data(**kwargs), **further}


class PasswordAgainForm(ReauthenticateForm):
    password = forms.CharField(
        strip=False,
        widget=forms.PasswordInput(attrs={"autocomplete": "current-password"}),
        error_messages={"required": "Password is empty. Enter it."},
    )


class PasswordAgain(ReauthenticateView):
    """Before the sign-in itself is changed, however long ago somebody came in."""

    template_name = "accounts/again.html"

    def get_form_class(self) -> type[PasswordAgainForm]:
        return PasswordAgainForm
