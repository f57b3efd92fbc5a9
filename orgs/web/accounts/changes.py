"""Changes of how somebody signs in, as views: told, bounded, done whole or not at all."""

from __future__ import annotations

from typing import Any

from django.contrib import messages
from django.db import IntegrityError, transaction
from django.http import HttpResponse
from django.shortcuts import redirect

from orgs.models import User
from orgs.services.tenancy import second_steps
from orgs.web.context import oneself


class Added:
    """Only where the address is known to be theirs."""

    def dispatch(self, request: Any, *args: Any, **kwargs: Any) -> Any:
        person = request.user
        if isinstance(person, User) and not second_steps.may_add(person):
            told = f"First show that {person.email} is yours: have a link sent to it, below."
            messages.error(request, told)
            answer = redirect("account")
            answer["Location"] += "#email"
            return answer
        return super().dispatch(request, *args, **kwargs)  # type: ignore[misc]


class Told:
    """What the form does leaves an event, or isn't done."""

    request: Any
    action: str
    what: str

    def form_valid(self, form: Any) -> HttpResponse:
        person = self.request.user
        if not second_steps.may_change(person):
            messages.error(self.request, "Your second steps changed too often. Wait an hour.")
            return redirect("account")
        try:
            with transaction.atomic():
                answer = super().form_valid(form)  # type: ignore[misc]
                second_steps.tell(self.action, person, self.what, oneself(self.request))
        except IntegrityError:  # sent twice at once
            return redirect("account")
        messages.success(self.request, f"{self.what} {second_steps.TOLD[self.action]}.")
        return answer
