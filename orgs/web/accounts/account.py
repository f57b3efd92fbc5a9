"""One's own account: a page of sections that save by themselves."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import Any

from allauth.mfa.models import Authenticator
from allauth.usersessions.models import UserSession
from django import forms
from django.contrib import messages
from django.contrib.auth import update_session_auth_hash
from django.contrib.auth.decorators import login_required
from django.core.exceptions import ValidationError
from django.http import HttpResponse
from django.shortcuts import redirect, render
from django.utils import timezone
from django.views.decorators.cache import never_cache
from django.views.decorators.debug import sensitive_post_parameters

from orgs.forms.asking import ask
from orgs.models import User
from orgs.registries.places import Full
from orgs.registries.problems import Refused
from orgs.services.audit.events import Actor
from orgs.services.tenancy import links, mails, people, second_steps, sessions, signing_in, sso
from orgs.web.context import SignedIn, oneself

from .preferences import NoticesForm, TimeZoneForm
from .sign_in import PasswordTwice, name_field


class NameForm(forms.Form):
    name = name_field()

    def write(self, person: User, actor: Actor) -> User | None:
        """The person by the new name; None, with errors."""
        return ask(
            self, lambda: people.person_update(person=person, actor=actor, **self.cleaned_data)
        )


def _current_password() -> forms.CharField:
    return forms.CharField(
        label="Current password",
        strip=False,
        widget=forms.PasswordInput(attrs={"autocomplete": "current-password"}),
        error_messages={"required": "Current password is empty. Enter it."},
    )


class _Theirs(forms.Form):
    """Asks for the password that stands, which counts as a try to sign in."""

    current = _current_password()
    person: User
    actor: Actor

    def clean_current(self) -> str:
        current = self.cleaned_data["current"]
        address = self.actor.source_address
        try:
            signing_in.sign_in(email=self.person.email, password=current, address=address)
        except (signing_in.SignInRefused, Full) as refused:
            told = refused.detail
            if refused.code == "wrong_password":
                told = "This isn't your current password. Check it and try again."
            raise ValidationError(told, code=refused.code) from None
        return current


class EmailForm(_Theirs):
    email = forms.CharField(
        label="New e-mail",
        max_length=254,
        help_text="It gets a link, and is yours once you follow that.",
        widget=forms.EmailInput(attrs={"autocomplete": "email", "spellcheck": "false"}),
        error_messages={"required": "New e-mail is empty. Enter the address."},
    )

    field_order = ["email", "current"]

    def __init__(self, *args: Any, person: User, actor: Actor, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs | {"auto_id": "email_%s"})
        self.person, self.actor = person, actor

    def send(self) -> str | None:
        """The address that was asked; None, with errors."""
        return ask(
            self,
            lambda: links.email_ask(
                person=self.person, actor=self.actor, email=self.cleaned_data["email"]
            ),
        )


class PasswordForm(_Theirs, PasswordTwice):
    field_order = ["current", "new_password1", "new_password2"]

    def __init__(self, *args: Any, person: User, actor: Actor, **kwargs: Any) -> None:
        super().__init__(person, *args, **kwargs | {"auto_id": "password_%s"})
        self.person, self.actor = person, actor

    def write(self, this: str | None) -> User | None:
        """The person by the new password; None, with errors."""
        return ask(self, lambda: self._write(this))

    def _write(self, this: str | None) -> User:
        people.password_set(
            person=self.person,
            password=self.cleaned_data["new_password1"],
            actor=self.actor,
            by_link=False,
            this=this,
        )
        return self.person


def _section(view: Callable[..., HttpResponse]) -> Callable[..., HttpResponse]:
    """What a section's form sends; an address that is only looked at leads to the page."""

    @login_required
    @wraps(view)
    def sent(request: SignedIn, *args: Any, **kwargs: Any) -> HttpResponse:
        if request.method != "POST":
            return redirect("account")
        return view(request, *args, **kwargs)

    return sent


@login_required
@never_cache
def account(request: SignedIn) -> HttpResponse:
    if not request.session.session_key or not _is_known(request):
        UserSession.objects.create_from_request(request)  # signed in before there was a list
    return _page(request)


@_section
def name(request: SignedIn) -> HttpResponse:
    form = NameForm(request.POST)
    if form.write(request.user, oneself(request)):
        return _saved(request, "Your name is saved.", "name")
    return _page(request, name=form)


@_section
def time_zone(request: SignedIn) -> HttpResponse:
    form = TimeZoneForm(request.POST)
    if saved := form.write(request.user, oneself(request)):
        return _saved(request, f"Times are shown in {saved.time_zone or 'UTC'}.", "time-zone")
    return _page(request, time_zone=form)


@sensitive_post_parameters()
@_section
def email(request: SignedIn) -> HttpResponse:
    form = EmailForm(request.POST, person=request.user, actor=oneself(request))
    if sent := form.send():
        told = f"A link is on its way to {sent}. Open it there, within a day, to sign in by it."
        return _saved(request, told, "email")
    return _page(request, email=form)


@_section
def notices(request: SignedIn) -> HttpResponse:
    form = NoticesForm(request.POST, person=request.user)
    if form.write(oneself(request)):
        return _saved(request, "What you are told by e-mail is saved.", "notices")
    return _page(request, notices=form)


@_section
def email_show(request: SignedIn) -> HttpResponse:
    try:
        links.own_email_ask(person=request.user, actor=oneself(request))
    except Refused as refused:
        messages.error(request, str(refused))
        return redirect("account")
    return _saved(request, f"A link is on its way to {request.user.email}.", "email")


@login_required
@never_cache
def email_confirm(request: SignedIn, token: str) -> HttpResponse:
    context: dict[str, Any] = {"wanted": links.email_wanted(request.user, token)}
    if request.method == "POST":
        try:
            changed = links.email_change(person=request.user, token=token, actor=oneself(request))
        except Refused as refused:
            context |= {"wanted": None, "refused": refused}
        else:
            return _saved(request, f"You sign in as {changed} from now on.", "email")
    return render(request, "accounts/email_confirm.html", context)


@sensitive_post_parameters()
@_section
def password(request: SignedIn) -> HttpResponse:
    form = PasswordForm(request.POST, person=request.user, actor=oneself(request))
    this = request.session.session_key
    if form.write(this):
        update_session_auth_hash(request, form.person)
        sessions.moved(this, request.session.session_key)
        told = "Your password is changed. You're signed out everywhere else."
        return _saved(request, told, "password")
    return _page(request, password=form)


@_section
def sessions_end(request: SignedIn, key: int | None = None) -> HttpResponse:
    this = request.session.session_key
    count = people.sessions_end(person=request.user, actor=oneself(request), this=this, key=key)
    if key is None:
        update_session_auth_hash(request, request.user)
        sessions.moved(this, request.session.session_key)
    told = f"{count} session{'s' if count != 1 else ''} ended." if count else "Nothing to end."
    return _saved(request, told, "sessions")


def _page(request: SignedIn, **forms: Any) -> HttpResponse:
    """The page; `forms` are those with errors, by their section."""
    # What a form refused mustn't show as if it stood.
    person = User.objects.get(pk=request.user.pk)
    by: Any = {"person": person, "actor": oneself(request)}
    steps = list(Authenticator.objects.filter(user=person).order_by("created_at", "pk"))
    places, more = sessions.of(person, request.session.session_key)
    context = {
        "person": person,
        "name_form": forms.get("name") or NameForm(initial={"name": person.name}),
        "time_zone_form": forms.get("time_zone")
        or TimeZoneForm(initial={"time_zone": person.time_zone}),
        "notices_form": forms.get("notices") or NoticesForm(person=person),
        "now": timezone.now(),
        "email_form": forms.get("email") or EmailForm(**by),
        "password_form": forms.get("password") or PasswordForm(**by),
        "wrong": next(iter(forms.values()), None),
        "mails": mails.go_out(),
        "has_password": person.has_usable_password(),
        "app": _of(steps, "totp"),
        "codes": _of(steps, "recovery_codes"),
        "passkeys": [step for step in steps if step.type == "webauthn"],
        "passkeys_work": second_steps.passkeys_work(),
        "sessions": places,
        "more_sessions": more,
        "companies": (companies := sso.connections(person)),
        "other_way_in": bool(companies) and sso.has_other_way(person),
        "tokens": person.api_tokens.filter(revoked_at=None).count(),
    }
    return render(request, "accounts/account.html", context)


def _of(steps: list[Authenticator], kind: str) -> Authenticator | None:
    return next((step for step in steps if step.type == kind), None)


def _is_known(request: SignedIn) -> bool:
    return UserSession.objects.filter(session_key=request.session.session_key).exists()


def _saved(request: SignedIn, told: str, section: str) -> HttpResponse:
    messages.success(request, told)
    answer = redirect("account")
    answer["Location"] += f"#{section}"
    return answer
