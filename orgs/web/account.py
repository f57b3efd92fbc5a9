"""Sign in, and set a password from the one-time link of a new person."""

from __future__ import annotations

from typing import Any

from django.contrib.auth import views as auth
from django.contrib.auth.forms import AuthenticationForm
from django.urls import reverse_lazy


class SignInForm(AuthenticationForm):
    error_messages = {
        "invalid_login": "This e-mail and password don't belong together. Check both and try "
        "again.",
        "inactive": "This account is switched off. Ask staff to switch it on.",
    }

    def clean_username(self) -> str:
        return self.cleaned_data["username"].strip().lower()


class SignIn(auth.LoginView):
    template_name = "accounts/login.html"
    authentication_form = SignInForm
    redirect_authenticated_user = True


class SetPassword(auth.PasswordResetConfirmView):
    template_name = "accounts/set_password.html"
    success_url = reverse_lazy("home")
    post_reset_login = True

    def get_context_data(self, **kwargs: Any) -> dict[str, Any]:
        return {**super().get_context_data(**kwargs), "person": self.user}
