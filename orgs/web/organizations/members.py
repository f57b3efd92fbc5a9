"""Who is in an organization, who is invited, and what they may do."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from django import forms
from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.core.paginator import Paginator
from django.http import HttpResponse
from django.shortcuts import redirect, render
from django.views.decorators.http import require_POST

from orgs import access
from orgs.forms.asking import ask
from orgs.models import Invitation, Membership, Organization, User
from orgs.registries.problems import Refused
from orgs.services.audit.events import Actor
from orgs.services.tenancy import invitations, mails, organizations, second_steps
from orgs.web.context import SignedIn, acting, inside, posted

PAGE_SIZE = 50
_ROLES = {
    Membership.Role.MEMBER: "Member: sees the registries, checks images, sees refused logins.",
    Membership.Role.ADMIN: "Org admin: also adds and changes registries, tokens and members.",
}


class InviteForm(forms.Form):
    emails = forms.CharField(
        label="E-mails",
        max_length=20_000,
        widget=forms.Textarea(attrs={"rows": 4, "autocomplete": "off", "spellcheck": "false"}),
        help_text=f"One a line, {invitations.AT_ONCE} at most.",
        error_messages={"required": "E-mails is empty. Write an address, one a line."},
    )
    role = forms.ChoiceField(
        choices=list(_ROLES.items()), widget=forms.RadioSelect, initial=Membership.Role.MEMBER
    )

    def invite(self, organization: Organization, actor: Actor) -> list[Invitation]:
        """Whom it invited; none, with errors."""
        asked = ask(
            self, lambda: self._invite(organization, actor, **self.cleaned_data), at="emails"
        )
        return asked or []

    def _invite(
        self, organization: Organization, actor: Actor, emails: str, role: str
    ) -> list[Invitation]:
        several = emails.replace(",", " ").replace(";", " ").split()
        return invitations.invite(organization=organization, emails=several, role=role, actor=actor)


class RoleForm(forms.Form):
    role = forms.ChoiceField(choices=list(_ROLES.items()), widget=forms.RadioSelect)

    def set(self, membership: Membership, actor: Actor) -> Membership | None:
        """The membership with that role; None, with errors."""
        return ask(
            self,
            lambda: organizations.member_set_role(
                membership=membership, role=self.cleaned_data["role"], actor=actor
            ),
            at="role",
        )


@login_required
def index(request: SignedIn, slug: str) -> HttpResponse:
    organization = access.organization_for_member(request.user, slug)
    everyone = organization.memberships.select_related("user", "invited_by").annotate(
        has_second_step=second_steps.of_member()
    )
    pages = Paginator(everyone.order_by("role", "user__name", "pk"), PAGE_SIZE)
    page = pages.get_page(request.GET.get("page"))
    context = inside(request, organization, "members")
    context |= {"page": page, "mails": mails.go_out(), "is_member": not context["as_staff"]}
    if context["is_admin"] and page.number == 1:
        waiting = organization.invitations.select_related("invited_by")
        context["waiting"] = [(one, _own_link(one, request.user)) for one in waiting]
    return render(request, "members/index.html", context)


def _own_link(invitation: Invitation, user: User) -> str:
    """The link, for who made it alone: it ends with them, and nobody else has seen it."""
    own = invitation.invited_by == user and not invitation.is_over
    return invitations.link(invitation) if own else ""


@login_required
def invite(request: SignedIn, slug: str) -> HttpResponse:
    organization = access.organization_for_admin(request.user, slug)
    form = InviteForm(posted(request))
    if form.is_bound and (made := form.invite(organization, acting(request, organization))):
        messages.success(request, _invited(made))
        return redirect("members", slug)
    context = inside(request, organization, "members") | {"form": form, "mails": mails.go_out()}
    return render(request, "members/invite.html", context)


def _invited(made: list[Invitation]) -> str:
    whom = made[0].email if len(made) == 1 else f"{len(made)} people"
    if mails.go_out():
        return f"{whom} invited. The link is on its way by mail, and lives 7 days."
    return f"{whom} invited. Copy the link below and send it to them: it lives 7 days."


@login_required
@require_POST
def send_again(request: SignedIn, slug: str, invitation_id: UUID) -> HttpResponse:
    organization = access.organization_for_admin(request.user, slug)
    invitation = access.invitation_of(organization, invitation_id)
    try:
        invitations.invitation_send_again(
            invitation=invitation, actor=acting(request, organization)
        )
    except Refused as refused:
        messages.error(request, str(refused))
        return redirect("members", slug)
    sent = "sent" if mails.go_out() else "below, to copy"
    messages.success(
        request, f"A new link for {invitation} is {sent}. The one before works no more."
    )
    return redirect("members", slug)


@login_required
@require_POST
def withdraw(request: SignedIn, slug: str, invitation_id: UUID) -> HttpResponse:
    organization = access.organization_for_admin(request.user, slug)
    invitation = access.invitation_of(organization, invitation_id)
    try:
        actor = acting(request, organization)
        invitations.invitation_withdraw(invitation=invitation, actor=actor)
    except Refused as refused:
        messages.error(request, str(refused))
    else:
        told = f"The invitation of {invitation} is withdrawn; its link is dead."
        messages.success(request, told)
    return redirect("members", slug)


@login_required
def change(request: SignedIn, slug: str, membership_id: int) -> HttpResponse:
    organization = access.organization_for_admin(request.user, slug)
    membership = access.membership_of(organization, membership_id)
    form = RoleForm(posted(request), initial={"role": membership.role})
    if form.is_bound and (changed := form.set(membership, acting(request, organization))):
        messages.success(request, f"{changed.user.name}: {changed.get_role_display()}.")
        return redirect("members", slug)
    context = inside(request, organization, "members")
    context |= _ending(membership) | {"form": form, "own": membership.user == request.user}
    return render(request, "members/change.html", context)


@login_required
def remove(request: SignedIn, slug: str, membership_id: int) -> HttpResponse:
    organization = access.organization_for_admin(request.user, slug)
    membership = access.membership_of(organization, membership_id)
    return _end(request, organization, membership)


@login_required
def leave(request: SignedIn, slug: str) -> HttpResponse:
    organization = access.organization_for_member(request.user, slug)
    return _end(request, organization, access.own_membership(organization, request.user))


def _end(request: SignedIn, organization: Organization, membership: Membership) -> HttpResponse:
    own = membership.user == request.user
    refused = None
    if request.method == "POST":
        try:
            actor = acting(request, organization)
            organizations.member_remove(membership=membership, actor=actor)
        except Refused as found:
            refused = found
        else:
            what = f"You left {organization}." if own else f"{membership.user.name} is removed."
            messages.success(request, what)
            return redirect("home") if own else redirect("members", organization.slug)
    context = inside(request, organization, "members") | _ending(membership)
    context |= {"own": own, "refused": refused}
    return render(request, "members/remove.html", context)


def _ending(membership: Membership) -> dict[str, Any]:
    """What goes with a membership."""
    tokens = membership.user.api_tokens.filter(revoked_at=None)
    return {
        "membership": membership,
        "tokens": tokens.filter(membership=membership),
        "other_tokens": tokens.filter(membership=None),
        "invitations": organizations.invitations_by(membership),
    }
