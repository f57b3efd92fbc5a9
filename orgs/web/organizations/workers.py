"""Workers of an organization: their tokens, how to set one up, and its first login."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from django import forms
from django.conf import settings
from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.core.paginator import Paginator
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.utils.http import quote_etag
from django.views.decorators.cache import never_cache
from django.views.decorators.http import condition, require_safe

from orgs import access
from orgs.forms.asking import ask
from orgs.models import Organization, WorkerToken
from orgs.services.audit import login_events
from orgs.services.audit.events import Actor
from orgs.services.entries.reached import reached
from orgs.services.tenancy import tokens
from orgs.templatetags.registries import example_image
from orgs.web.accounts.tokens import IssueForm
from orgs.web.context import SignedIn, acting, inside, posted

from .worker_scripts import CERTIFICATES, Script, docker_key, scripts

PAGE_SIZE = 50
MOST_CHOICES = 200
ANY = "*"  # no slug, so no environment's
EXAMPLE_PATTERN = "123456789012.dkr.ecr.us-east-1.amazonaws.com/*"


class WorkerTokenForm(IssueForm):
    environment = forms.ChoiceField(
        required=False,
        help_text="Which entries it reaches besides those for all environments.",
        error_messages={"invalid_choice": "This isn't in the list. Choose one that is."},
    )

    project = forms.ChoiceField(
        required=False,
        label="Set up for project",
        help_text="Stands in the script that sets a worker up. The token works for each of them.",
        error_messages={"invalid_choice": "This isn't in the list. Choose one that is."},
    )

    field_order = ["name", "environment", "expires_in", "project"]

    def __init__(self, *args: Any, organization: Organization, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.organization = organization
        self.fields["name"].help_text = "Which workers will use it, such as “gpu workers, Oulu”."
        self.known = {known.slug: known for known in organization.environments.all()}
        own = [(slug, environment.name) for slug, environment in self.known.items()]
        self.fields["environment"].choices = [  # type: ignore[attr-defined]
            ("", "All-environment entries only"),
            *own,
            (ANY, "May act as any environment"),
        ]
        self.projects = projects_of(organization)
        self.fields["project"].choices = self.projects  # type: ignore[attr-defined]
        if len(self.projects) < 2:
            del self.fields["project"]

    @property
    def set_up_for(self) -> str:
        """The id to set workers up for; "" where there's no project yet."""
        return self.cleaned_data.get("project") or next((pk for pk, _ in self.projects), "")

    def issue(self, actor: Actor) -> tuple[WorkerToken, str] | None:
        """The token and its text; None, with errors. Raises `AlreadyIssued`."""
        return ask(self, lambda: self._issue(actor, self.cleaned_data["environment"]))

    def _issue(self, actor: Actor, chosen: str) -> tuple[WorkerToken, str]:
        return tokens.token_issue_worker(
            organization=self.organization,
            actor=actor,
            environment=self.known.get(chosen),
            any_environment=chosen == ANY,
            **self.given(),
        )


def projects_of(organization: Organization) -> list[tuple[str, str]]:
    """Id and name of those that a worker may be set up for, not more than one can choose from."""
    standing = organization.projects.filter(archived_at=None)
    return [(str(pk), name) for pk, name in standing.values_list("pk", "name")[:MOST_CHOICES]]


@login_required
def index(request: SignedIn, slug: str) -> HttpResponse:
    organization = access.organization_for_member(request.user, slug)
    standing = organization.worker_tokens.filter(revoked_at=None).select_related("environment")
    page = Paginator(standing, PAGE_SIZE).get_page(request.GET.get("page"))
    context = inside(request, organization, "workers") | {"page": page}
    return render(request, "workers/index.html", context)


@login_required
@never_cache
def issue(request: SignedIn, slug: str) -> HttpResponse:
    organization = access.organization_for_admin(request.user, slug)
    context = inside(request, organization, "workers")
    form = WorkerTokenForm(posted(request), organization=organization)
    try:
        if form.is_bound and (issued := form.issue(acting(request, organization))):
            context |= {"token": issued[0], "text": issued[1], "project": form.set_up_for}
            context["scripts"] = _scripts(*issued, form.set_up_for)
            return render(request, "workers/issued.html", context)
    except tokens.AlreadyIssued as before:
        return render(request, "workers/issued.html", context | {"token": before.token})
    return render(request, "workers/issue.html", context | {"form": form})


@login_required
def revoke(request: SignedIn, slug: str, token_id: int) -> HttpResponse:
    organization = access.organization_for_admin(request.user, slug)
    token = access.worker_token_of(organization, token_id)
    if request.method == "POST":
        tokens.token_revoke(token=token, actor=acting(request, organization))
        messages.success(request, f"{token.name} is revoked.")
        return redirect("workers", slug)
    context = inside(request, organization, "workers") | {"token": token}
    return render(request, "workers/revoke.html", context)


# --- set-up -------------------------------------------------------------------


class Choices(forms.Form):
    """For whom the set-up is filled in; anything else than what is offered is ignored."""

    worker = forms.ChoiceField(label="Worker token")
    project = forms.ChoiceField()

    def __init__(self, data: Any, organization: Organization) -> None:
        super().__init__(data)
        standing = organization.worker_tokens.filter(revoked_at=None)
        self.tokens = list(standing.select_related("environment")[:MOST_CHOICES])
        self.fields["worker"].choices = [(str(t.pk), t.name) for t in self.tokens]  # type: ignore[attr-defined]
        self.fields["project"].choices = projects_of(organization)  # type: ignore[attr-defined]
        self.is_valid()

    def chosen(self, name: str) -> str:
        first = next((value for value, _ in self.fields[name].choices), "")  # type: ignore[attr-defined]
        return self.cleaned_data.get(name) or first

    @property
    def token(self) -> WorkerToken | None:
        chosen = self.chosen("worker")
        return next((t for t in self.tokens if str(t.pk) == chosen), None)


@login_required
def setup(request: SignedIn, slug: str) -> HttpResponse:
    """The whole page, or with `?first_login` only what is known of that."""
    organization = access.organization_for_member(request.user, slug)
    choices = Choices(request.GET, organization)
    context: dict[str, Any] = {
        "organization": organization,
        "token": choices.token,
        "choices": choices,
    }
    context |= _first_login(choices.token)
    if "first_login" in request.GET:
        return render(request, "workers/_first_login.html", context)
    context |= {"project": choices.chosen("project") or "PROJECT-ID", **_registries(organization)}
    context |= {"server": settings.BASE_URL}
    return render(request, "workers/setup.html", inside(request, organization, "workers") | context)


def _first_login(token: WorkerToken | None) -> dict[str, Any]:
    first = login_events.first_login(token) if token else None
    return {
        "first": first,
        "refused": login_events.last_refused(token) if token and not first else None,
    }


def _scripts(token: WorkerToken, text: str, project: str) -> list[Script]:
    """What sets a worker up with this new token; none before there is something to pull."""
    found = reached(token.organization, token)
    if not found.newest or not project:
        return []
    return scripts(
        token=token,
        text=text,
        project=project,
        hosts=found.hosts,
        certificates=found.certificates,
        image=example_image(found.newest),
    )


def _registries(organization: Organization) -> dict[str, Any]:
    """The hosts that the organization's entries name, and an image to try with."""
    found = reached(organization)
    hosts = found.hosts or [EXAMPLE_PATTERN.partition("/")[0]]
    return {
        "hosts": hosts,
        "certificates": found.certificates,
        "certificates_for": {client: own for client, (_, own) in CERTIFICATES.items()},
        "docker_hosts": [docker_key(host) for host in hosts],
        "pattern": found.newest or EXAMPLE_PATTERN,
        "has_entries": found.newest is not None,
        "wildcard_hosts": found.any_host,
    }


# --- downloads ----------------------------------------------------------------


def _program(name: str) -> Path:
    return settings.BASE_DIR / "worker" / name


def _etag(request: HttpRequest, name: str) -> str:
    found = _program(name).stat()
    return quote_etag(f"{found.st_mtime_ns:x}-{found.st_size:x}")


@require_safe
@condition(etag_func=_etag)
def program(request: HttpRequest, name: str) -> HttpResponse:
    """The worker's own program, for whoever sets one up; nothing in it is secret."""
    headers = {
        "Content-Disposition": f'attachment; filename="{name}"',
        "Cache-Control": "no-cache",
    }
    return HttpResponse(_program(name).read_bytes(), "text/plain; charset=utf-8", headers=headers)
