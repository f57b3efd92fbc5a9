"""Sign-in with a company's own: to the provider, back from it, and what is told on the way."""

from __future__ import annotations

import logging
from collections.abc import Callable
from functools import wraps
from typing import Any

from allauth.account.internal.flows.reauthentication import raise_if_reauthentication_required
from allauth.account.utils import get_next_redirect_url
from allauth.core.exceptions import ImmediateHttpResponse
from allauth.socialaccount.adapter import DefaultSocialAccountAdapter
from allauth.socialaccount.models import SocialAccount, SocialApp, SocialLogin
from allauth.socialaccount.providers.base import AuthError
from allauth.socialaccount.providers.oauth2.views import OAuth2CallbackView
from allauth.socialaccount.sessions import LoginSession
from django.contrib import messages
from django.contrib.auth import logout
from django.contrib.auth.decorators import login_required
from django.core.exceptions import PermissionDenied
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect
from django.shortcuts import redirect, render, resolve_url
from django.urls import reverse
from django.views.decorators.cache import never_cache
from django.views.decorators.csrf import csrf_exempt
from django.views.decorators.http import require_GET, require_POST

from orgs import company
from orgs.proxies import source_address
from orgs.registries import codes
from orgs.registries.problems import Refused
from orgs.services.tenancy import sessions, sso
from orgs.services.tenancy.sso import CompanyRefused
from orgs.web.context import SignedIn, oneself
from orgs.web.middleware.trouble import unlogged

from .oidc import Answers, Away, Calls, Oidc, WrongAnswer, is_ours
from .saml import MOST, Saml, metadata
from .sign_in import enter

WAITS = 300  # seconds that a response of SAML may take from one address of ours to the next
KINDS: dict[str, Any] = {company.OIDC: Oidc, company.SAML: Saml}
View = Callable[..., HttpResponse]

log = logging.getLogger(__name__)


class Companies(DefaultSocialAccountAdapter):
    """What allauth asks us: which providers there are, and whom one of them named."""

    def list_apps(self, request: HttpRequest, **kwargs: Any) -> list[SocialApp]:
        """Those of the settings alone: none by a row of the database."""
        return [KINDS[one.kind].of(request).app for one in company.providers()]

    def get_provider(self, request: HttpRequest, provider: str, client_id: Any = None) -> Any:
        for one in company.providers():
            if provider in (one.key, one.itself, KINDS[one.kind].id):
                return KINDS[one.kind].of(request)
        raise SocialApp.DoesNotExist

    def get_requests_session(self) -> Calls:
        return Calls(self.request)

    def is_open_for_signup(self, request: HttpRequest, sociallogin: SocialLogin) -> bool:
        """`services.tenancy.sso` makes whom it lets in."""
        return False

    def pre_social_login(self, request: HttpRequest, sociallogin: SocialLogin) -> None:
        """Go on to the second step, or in; or tell why not. Nothing of allauth's comes after."""
        raise ImmediateHttpResponse(_answered(request, sociallogin))

    def on_authentication_error(
        self,
        request: HttpRequest,
        provider: Any,
        error: Any = None,
        exception: Exception | None = None,
        extra_context: Any = None,
    ) -> None:
        """In our words, whatever it was; what the provider said of it is shown nowhere."""
        raise ImmediateHttpResponse(_failed(request, provider.company, error, exception))


def _answered(request: HttpRequest, login: SocialLogin) -> HttpResponse:
    said = login.said
    if not is_ours(login):
        return _failed(request, said.provider, exception=WrongAnswer("another session's nonce"))
    try:
        person = sso.enter(said=said, address=source_address(request))
    except CompanyRefused as refused:
        return _over(request, refused, said.provider)
    SocialAccount.objects.filter(provider=said.provider.key, uid=said.subject).update(extra_data={})
    sso.was_good(source_address(request))
    if request.user.is_authenticated:
        logout(request)  # whoever it was; a second step may be between
    then = login.state.get("next") or resolve_url("home")
    return enter(request, person, f"sign-in at {said.provider.name}", then)


# --- what is told when nobody comes in ------------------------------------------


def _failed(
    request: HttpRequest,
    provider: company.Provider,
    error: Any = None,
    exception: Exception | None = None,
) -> HttpResponse:
    name = provider.name
    if error == AuthError.CANCELLED:
        why = "broken off there"
        refused = CompanyRefused(
            "company_cancelled",
            f"You broke off the sign-in at {name}.",
            "Begin again, or sign in another way.",
        )
    elif isinstance(exception, Away):
        why = "no answer"
        refused = CompanyRefused(
            "company_away",
            f"The sign-in of {name} doesn't answer this server.",
            "Try again in a minute, or sign in another way.",
            60,
        )
    else:
        why = getattr(exception, "why", "not what this session asked for")
        refused = CompanyRefused(
            "company_wrong_answer",
            f"What came back from {name} can't be believed: it's old, was used already, or "
            "isn't for this server.",
            f"Begin again from the sign-in page; if it lasts, tell who runs this server or {name}.",
        )
    sso.refuse(provider, refused, source_address(request), why)
    return _over(request, refused, provider)


def _over(
    request: HttpRequest, refused: CompanyRefused, provider: company.Provider
) -> HttpResponse:
    status = codes.of(refused.code).status or 403
    context = {"refused": refused.problem, "provider": provider}
    answer = render(request, "accounts/company_over.html", context, status=status)
    if refused.retry_after:
        answer["Retry-After"] = str(refused.retry_after)
    return unlogged(answer)


def _paused(request: HttpRequest, limit: sso.Limit) -> HttpResponse | None:
    """429 for an address that begins, or brings answers, without end."""
    if (pause := sso.pause(limit, source_address(request))) is None:
        return None
    refused = CompanyRefused(
        "address_paused",
        f"Too many sign-ins were begun from your address, so none is until "
        f"{pause.until:%H:%M} UTC.",
        "Wait, or sign in from another network.",
        pause.seconds,
    )
    return _over(request, refused, company.providers()[0])


def _of(kind: str) -> Callable[[View], View]:
    """404 where the operator set none of that kind; and no answer becomes a traceback."""

    def decorated(view: View) -> View:
        @wraps(view)
        def within(request: HttpRequest) -> HttpResponse:
            provider = company.provider(kind)
            if provider is None:
                raise Http404
            try:
                return view(request)
            except ImmediateHttpResponse as at_once:
                return at_once.response
            except (WrongAnswer, PermissionDenied, Away) as error:
                return _failed(request, provider, exception=error)
            except (ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
                # allauth takes for granted of what shape an answer is
                log.exception("an answer of a company's sign-in")
                return _failed(request, provider, exception=error)

        return within

    return decorated


# --- there and back -------------------------------------------------------------


@never_cache
@require_POST
def start(request: HttpRequest, kind: str) -> HttpResponse:
    """On to the provider, by a page that leads there: of a form's own redirect the content
    policy lets none leave."""
    provider = company.provider(kind)
    if provider is None:
        raise Http404
    then = get_next_redirect_url(request) or resolve_url("home")
    if request.user.is_authenticated:
        return redirect(then)
    if paused := _paused(request, sso.BEGUN):
        return paused
    try:
        leading = KINDS[kind].of(request).begin(request, then)
    except (WrongAnswer, Away) as error:
        return _failed(request, provider, exception=error)
    context = {"provider": provider, "address": leading["Location"]}
    return render(request, "accounts/company_leaving.html", context)


@never_cache
@require_GET
@_of(company.OIDC)
def callback(request: HttpRequest) -> HttpResponse:
    return OAuth2CallbackView.adapter_view(Answers(request))(request)


@csrf_exempt
@never_cache
@require_POST
@_of(company.SAML)
def acs(request: HttpRequest) -> HttpResponse:
    """A browser sends no session along with what another site has it post: the response waits
    until it comes to us by itself."""
    if paused := _paused(request, sso.ANSWERS):
        return paused
    response = request.POST.get("SAMLResponse", "")
    if not 0 < len(response) <= MOST:
        raise WrongAnswer("a response that is empty or too long")
    answer = HttpResponseRedirect(reverse("company_finish"))
    sessions.drop_over()
    waiting = _waiting(request)
    waiting.store.set_expiry(WAITS)
    waiting.store.update({"response": response})
    waiting.save(answer)
    answer.cookies[waiting.cookie_name]["httponly"] = True
    return answer


@never_cache
@require_GET
@_of(company.SAML)
def finish(request: HttpRequest) -> HttpResponse:
    waiting = _waiting(request)
    response = waiting.store.get("response")
    waiting.delete()
    if not isinstance(response, str):
        raise WrongAnswer("no response waits")
    saml = Saml.of(request)
    login, assertion = saml.finish(request, response)
    if not sso.use(saml.company, assertion):
        raise WrongAnswer("an assertion that was used")
    return _answered(request, login)


def _waiting(request: HttpRequest) -> LoginSession:
    return LoginSession(request, "company_response", "company-response")


@require_GET
@_of(company.SAML)
def saml_metadata(request: HttpRequest) -> HttpResponse:
    return HttpResponse(metadata(), content_type="application/samlmetadata+xml")


@login_required
def disconnect(request: SignedIn, pk: int) -> HttpResponse:
    if request.method != "POST":  # as after showing who one is
        return redirect("account")
    raise_if_reauthentication_required(request, app="allauth.mfa")
    try:
        count = sso.disconnect(person=request.user, actor=oneself(request), key=pk)
    except Refused as refused:
        messages.error(request, str(refused))
        return redirect("account")
    if not count:
        raise Http404
    messages.success(request, "Your company's sign-in is no longer connected.")
    return redirect("account")
