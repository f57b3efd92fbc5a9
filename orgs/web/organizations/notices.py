"""Where an organization's notices go: its own address, and who of its admins gets e-mails."""

from __future__ import annotations

from typing import Any

from django import forms
from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.http import HttpResponse
from django.shortcuts import redirect, render
from django.views.decorators.cache import never_cache
from django.views.decorators.debug import sensitive_post_parameters
from django.views.decorators.http import require_POST

from orgs import access
from orgs.forms.asking import ask
from orgs.forms.verifying import PLAIN
from orgs.models import NoticeAddress, Organization
from orgs.registries.places import Full
from orgs.registries.problems import Refused
from orgs.services.audit import asked
from orgs.services.audit.events import Actor
from orgs.services.tenancy import mails, notice_addresses, notifying
from orgs.web.context import SignedIn, acting, inside, posted


class _Typed(forms.TextInput):
    """Whoever has the address may write there: it never comes back with the page."""

    def get_context(self, name: str, value: Any, attrs: Any) -> dict[str, Any]:
        return super().get_context(name, None, attrs)


class AddressForm(forms.Form):
    kind = forms.ChoiceField(
        choices=[
            (NoticeAddress.Kind.SLACK, "Slack-compatible: posts {“text”: …}"),
            (NoticeAddress.Kind.WEBHOOK, "Webhook: posts our JSON, signed"),
        ],
        widget=forms.RadioSelect,
        error_messages={"required": "Kind is empty. Choose one."},
    )
    address = forms.CharField(
        max_length=notice_addresses.MOST,
        widget=_Typed(attrs=PLAIN | {"inputmode": "url"}),
        help_text="It's kept as a secret, since whoever has it may write there.",
        error_messages={"required": "Address is empty. Copy it from where notices are to go."},
    )

    def write(self, organization: Organization, actor: Actor) -> tuple[NoticeAddress, str] | None:
        """What stands now, and a new signing secret; None, with errors."""
        return ask(
            self,
            lambda: notice_addresses.address_set(
                organization=organization, actor=actor, **self.cleaned_data
            ),
        )


@sensitive_post_parameters()
@login_required
@never_cache
def notices(request: SignedIn, slug: str) -> HttpResponse:
    organization = access.organization_for_admin(request.user, slug)
    standing = _standing(organization)
    form = AddressForm(
        posted(request), initial={"kind": standing.kind if standing else NoticeAddress.Kind.SLACK}
    )
    if form.is_bound and (written := form.write(organization, acting(request, organization))):
        row, secret = written
        if secret:
            return _issued(request, organization, secret)
        messages.success(request, f"Notices go to {row.shown}. Send a test to see them arrive.")
        return redirect("notices", slug)
    context = inside(request, organization, "members") | {
        "form": form,
        "standing": standing,
        "mailed": notifying.to_be_mailed(organization),
        "mails": mails.go_out(),
    }
    return render(request, "notices/index.html", context)


@login_required
@require_POST
def test(request: SignedIn, slug: str) -> HttpResponse:
    organization = access.organization_for_admin(request.user, slug)
    row = _standing(organization)
    try:
        if row is None:
            return redirect("notices", slug)
        outcome = notice_addresses.address_test(row)
    except (Refused, Full) as refused:
        messages.error(request, refused.detail if isinstance(refused, Full) else str(refused))
    else:
        tell = messages.success if outcome.done else messages.error
        tell(request, outcome.told)
    return redirect("notices", slug)


@login_required
@require_POST
@never_cache
def secret(request: SignedIn, slug: str) -> HttpResponse:
    organization = access.organization_for_admin(request.user, slug)
    text = notice_addresses.secret_replace(
        organization=organization,
        actor=acting(request, organization),
        generation=asked.number(request.POST.get("generation", "")) or 0,
    )
    if text:
        return _issued(request, organization, text)
    messages.error(request, "The signing secret was replaced already, or there is none any more.")
    return redirect("notices", slug)


@login_required
def remove(request: SignedIn, slug: str) -> HttpResponse:
    organization = access.organization_for_admin(request.user, slug)
    row = _standing(organization)
    if row is None:
        return redirect("notices", slug)
    if request.method == "POST":
        actor = acting(request, organization)
        notice_addresses.address_remove(organization=organization, actor=actor)
        messages.success(request, f"No notices go to {row.shown} any more.")
        return redirect("notices", slug)
    context = inside(request, organization, "members") | {"standing": row}
    return render(request, "notices/remove.html", context)


def _standing(organization: Organization) -> NoticeAddress | None:
    return NoticeAddress.objects.filter(organization=organization).first()


def _issued(request: SignedIn, organization: Organization, text: str) -> HttpResponse:
    context = inside(request, organization, "members") | {"text": text}
    return render(request, "notices/issued.html", context)
