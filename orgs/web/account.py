"""Sign in, and set a password from the one-time link of a new person."""

from __future__ import annotations

from typing import Any

from django.contrib.auth import views as auth
from django.contrib.auth.forms import AuthenticationForm, SetPasswordForm
from django.urls import reverse_lazy


class SignInForm(AuthenticationForm):
    error_messages = {
        "invalid_login": "This e-mail and password don't belong together. Check both and try "
        "again.",
        "inactive": "This account is switched off. Ask staff to switch it on.",
    }

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


class NewPasswordForm(SetPasswordForm):
    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.fields["new_password2"].label = "New password, again"
        self.fields["new_password2"].help_text = ""


class SignIn(auth.LoginView):
    template_name = "accounts/login.html"
    authentication_form = SignInForm
    redirect_authenticated_user = True


class SetPassword(auth.PasswordResetConfirmView):
    template_name = "accounts/set_password.html"
    form_class = NewPasswordForm
    success_url = reverse_lazy("home")
    post_reset_login = True

    def get_context_data(self, **kwargs: Any) -> dict[str, Any]:
        return {**super().get_context_data(**kwargs), "person": self.user}
