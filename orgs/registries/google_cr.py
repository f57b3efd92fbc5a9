"""Google Artifact Registry and the hosts of Container Registry, by a service account's key.

The key stays here and only ever signs: what goes to Google is an assertion, and what comes
back, and goes to workers, is an access token of an hour.
"""

from __future__ import annotations

import time
from collections.abc import Sequence

from . import google_key, google_oauth, provider_calls
from .google_key import ServiceAccountKey
from .google_roles import reader
from .google_type import SCOPE, USERNAME, GoogleType
from .outbound import Unreachable
from .patterns import MatchPattern
from .private import private
from .problems import Failed, Problem, Refused
from .provider_calls import Foreign
from .types import AccessPolicy, Ask, Config, DockerLogin, Field

_KEY = "service_account_json"
_EMAIL, _PROJECT, _KEY_ID = "service_account_email", "project_id", "private_key_id"


class GoogleKey(GoogleType):
    """A service account's JSON key, kept here; the server obtains a login of an hour with it."""

    slug = "gcp-cr"
    label = "GCP Artifact Registry"
    short_label = "Google, key"
    summary = (
        "A service account's JSON key, for Artifact Registry and gcr.io and for workers anywhere."
    )
    denied_fixes = {
        "image_denied": "Run the commands below, which let that service account read, wait a "
        "minute, and verify again.",
    }
    fields = (
        Field(
            name=_KEY,
            label="Service account JSON",
            help="The whole key file that Google made, of a service account that may read the "
            "repositories. It's stored sealed and never shown.",
            secret=True,
            lines=True,
            max_length=google_key.MOST,
            file=".json,application/json",
        ),
    )
    derived = (
        Field(name=_EMAIL, label="Service account", hidden_from_members=True),
        Field(name=_PROJECT, label="Project of the account"),
        Field(name=_KEY_ID, label="Key ID", hidden_from_members=True),
    )

    def clean_own(
        self, config: dict[str, str], secrets: dict[str, str], patterns: Sequence[MatchPattern]
    ) -> tuple[dict[str, str], dict[str, str], list[Problem]]:
        problems = list(self.host_problems(patterns))
        text = secrets.get(_KEY, "")
        if not text or len(text) > google_key.MOST:
            return config, secrets, problems
        try:
            key = google_key.read(text, _KEY)
        except Refused as refused:
            return config, secrets, [*refused.problems, *problems]
        whose = {_EMAIL: key.email, _PROJECT: key.project, _KEY_ID: key.key_id}
        return config | whose, secrets | {_KEY: google_key.plain(text)}, problems

    def policy(self, config: Config, patterns: Sequence[MatchPattern]) -> AccessPolicy:
        return reader(patterns, config.get(_EMAIL, ""))

    def prepare(self) -> None:
        google_oauth.prepare()

    def login(self, config: Config, secrets: Config, ask: Ask) -> DockerLogin:
        if refusal := self.host_refusal(config, ask.host):
            raise refusal
        try:
            key = google_key.read(secrets.get(_KEY, ""))
        except Refused:
            raise Failed(
                "entry_unusable",
                "The entry has no key of a service account that can be read.",
                "Enter the key again.",
            ) from None
        began = time.monotonic()
        try:
            token, ends = google_oauth.access_token(
                key, SCOPE, stand_in=ask.endpoint_url, deadline=ask.deadline
            )
        except google_oauth.Fault as fault:
            raise _told(fault, key) from None
        except Foreign:
            raise _unreachable("Google's sign-in answered what isn't its language.") from None
        except Unreachable as error:
            what = provider_calls.unanswered(error, "Google's sign-in", began)
            raise _unreachable(what) from None
        return DockerLogin(USERNAME, token, ends)


_BARRED = frozenset({"access_denied", "unauthorized_client", "invalid_scope"})


def _unreachable(what: str) -> Failed:
    return provider_calls.unreachable(what, google_key.TOKEN_URI)


def _told(fault: google_oauth.Fault, key: ServiceAccountKey) -> Failed:
    """Google's error in our words. Its own text never travels."""
    whose = private(f" {key.email}")
    which = private(f" {key.key_id}") if key.key_id else ""
    text = fault.text.lower()
    if fault.throttled:
        return provider_calls.throttled("Google's sign-in")
    if fault.broken:
        return _unreachable("Google's sign-in has trouble of its own.")
    if "timeframe" in text or "short-lived token" in text or "token used too" in text:
        return google_oauth.clock_skew(fault)
    if fault.error == "invalid_grant" and "signature" in text:
        return Failed(
            "signature_mismatch",
            f"Google knows the service account{whose}, but the key{which} isn't one of its own: it "
            "was deleted or disabled, or made a moment ago.",
            "If it's new, wait a minute and verify again; else look at the account's Keys in IAM & "
            "Admin, Service accounts, and create another.",
        )
    if fault.error == "disabled_client" or "disabled" in text:
        return Failed(
            "invalid_key",
            f"The service account{whose} is disabled.",
            "Enable it in IAM & Admin, Service accounts, or enter the key of another.",
        )
    if fault.error == "invalid_grant" and ("not found" in text or "not a valid email" in text):
        return Failed(
            "invalid_key",
            f"Google doesn't know the service account{whose}: it was deleted, or is disabled.",
            "Look for it in IAM & Admin, Service accounts; one that is gone needs a new one, "
            "with a key of its own.",
        )
    if fault.error in _BARRED:
        return Failed(
            "access_denied",
            f"Google knows the service account{whose}, but a policy lets it have no login for "
            "registries.",
            "Ask who administers your Google organization: no role outweighs that policy.",
            mended_elsewhere=True,
        )
    if fault.error == "invalid_grant":
        return Failed(
            "invalid_key",
            f"Google refuses the key{which} of the service account{whose}, and doesn't say why.",
            "Look at the account and its Keys in IAM & Admin, Service accounts; if both are "
            "enabled, create a new key and enter that.",
        )
    return _unreachable(f"Google's sign-in refused the request ({fault.status}).")
