"""Google Artifact Registry without a stored key: a workload identity pool trusts what this
server says of one entry.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from . import codes
from .google_federation import ACTING, acting_as, federated
from .google_key import EMAIL
from .google_pools import (
    ACCOUNT,
    ACCOUNT_FIELD,
    PROVIDER,
    PROVIDER_FIELD,
    provider_of,
)
from .google_roles import reader
from .google_trust import by_federation, provider_or_example
from .google_type import SCOPE, USERNAME, GoogleType
from .patterns import MatchPattern
from .problems import Failed, Problem
from .types import AccessPolicy, Ask, Config, DockerLogin, SetUp, Who

# Only the entry's page knows it; the policy is also shown before there is an entry.
SUBJECT = "<SUBJECT>"


class GoogleOidc(GoogleType):
    """A workload identity pool that trusts what this server signs of one entry."""

    slug = "gcp-cr-oidc"
    label = "GCP Artifact Registry (Workload Identity Federation, no key)"
    short_label = "Google, no key"
    summary = (
        "A workload identity pool of yours that trusts this entry: no key to keep, hand out or "
        "rotate, where your organization forbids keys too, and for workers anywhere."
    )
    trusts_issuer = True
    fields = (PROVIDER_FIELD, ACCOUNT_FIELD)
    denied_fixes = {
        "image_denied": "Run the commands below, which let it read, wait a minute, and verify "
        "again.",
    }
    codes = {
        "provider_shape": codes.field(
            "This isn't the full name of a provider in a workload identity pool.",
            short="not a provider's name",
            fix_at_field="Write projects/<number>/locations/global/workloadIdentityPools/<pool>"
            "/providers/<provider>.",
        ),
        "account_shape": codes.field(
            "This isn't the e-mail of a service account.",
            short="not a service account",
            fix_at_field="Copy the e-mail from IAM & Admin, Service accounts.",
        ),
    }

    def clean_own(
        self, config: dict[str, str], secrets: dict[str, str], patterns: Sequence[MatchPattern]
    ) -> tuple[dict[str, str], dict[str, str], list[Problem]]:
        return config, secrets, list(self.host_problems(patterns))

    def policy(self, config: Config, patterns: Sequence[MatchPattern]) -> AccessPolicy:
        email = config.get(ACCOUNT, "")
        # Who doesn't see the provider doesn't see either whether there is an account.
        if email or PROVIDER not in config:
            return reader(patterns, email, named_by="the entry")
        found = reader(patterns, principal=provider_or_example(config).principal(SUBJECT))
        where = f"“Set up trust” on the entry's page has {SUBJECT} filled in."
        return replace(found, notes=(*found.notes, where))

    def audience(self, config: Config, patterns: Sequence[MatchPattern]) -> str:
        return provider_or_example(config).audience

    def set_up(self, config: Config, patterns: Sequence[MatchPattern], who: Who) -> SetUp:
        return by_federation(config, patterns, who)

    def login(self, config: Config, secrets: Config, ask: Ask) -> DockerLogin:
        if refusal := self.host_refusal(config, ask.host):
            raise refusal
        assert ask.identity is not None, "only an entry has an identity"
        provider, email = provider_of(config), _account_of(config)
        jwt = ask.identity(provider.audience)
        until, stand_in = ask.deadline, ask.endpoint_url
        scope = ACTING if email else SCOPE
        token, ends = federated(provider, jwt, scope, stand_in=stand_in, deadline=until)
        if email:
            token, ends = acting_as(email, token, SCOPE, stand_in=stand_in, deadline=until)
        return DockerLogin(USERNAME, token, ends)


def _account_of(config: Config) -> str:
    """The service account of a stored entry, "" for none; raises `Failed` entry_unusable, since
    it becomes part of an address."""
    email = config.get(ACCOUNT, "")
    if email and not EMAIL.fullmatch(email):
        raise Failed(
            "entry_unusable",
            "The entry's service account can't be read.",
            "Edit the entry, and enter it again.",
        )
    return email
