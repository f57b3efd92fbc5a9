"""A provider of a workload identity pool at Google: how it's named, and what it makes of an
entry."""

from __future__ import annotations

import re
from dataclasses import dataclass

from .fields import Blanks, Field, Other, Shape
from .google_key import EMAIL as EMAIL_SHAPE
from .problems import Failed
from .types import Config

HOST = "iam.googleapis.com"
# gcloud iam workload-identity-pools create, and providers create-oidc: 4 to 32 of [a-z0-9-],
# and what begins with gcp- is Google's own.
_ID = r"(?!gcp-)[a-z0-9-]{4,32}"
_PROVIDER = re.compile(
    r"projects/(?P<project>[1-9][0-9]{0,19})/locations/global"
    rf"/workloadIdentityPools/(?P<pool>{_ID})/providers/(?P<provider>{_ID})"
)
# As other services of Google's write the same.
_BEFORE = re.compile(rf"(?:https:)?//{re.escape(HOST)}/")


@dataclass(frozen=True)
class PoolProvider:
    """A provider's name, taken apart; `project` is a number."""

    project: str
    pool: str
    provider: str

    @property
    def name(self) -> str:
        return f"{self._pool}/providers/{self.provider}"

    @property
    def target(self) -> str:
        """What a token is exchanged for, as Google's Security Token Service names it."""
        return f"//{HOST}/{self.name}"

    @property
    def audience(self) -> str:
        """What a JWT has to be made for, where the provider allows no other."""
        return f"https:{self.target}"

    def principal(self, subject: str) -> str:
        """What grants call whoever comes by the pool with this subject."""
        return f"principal://{HOST}/{self._pool}/subject/{subject}"

    @property
    def _pool(self) -> str:
        return f"projects/{self.project}/locations/global/workloadIdentityPools/{self.pool}"


def parse_provider(name: str) -> PoolProvider | None:
    """The provider of a name; None for anything else."""
    found = _PROVIDER.fullmatch(name)
    return PoolProvider(**found.groupdict()) if found else None


def provider_of(config: Config) -> PoolProvider:
    """The provider of a stored entry; raises `Failed` entry_unusable."""
    provider = parse_provider(config.get(PROVIDER, ""))
    if provider is None:
        raise Failed(
            "entry_unusable",
            "The entry has no provider's name that can be read.",
            "Edit the entry, and enter it again.",
        )
    return provider


def _plain(text: str) -> str:
    """A provider's name without what is written before it elsewhere."""
    return _BEFORE.sub("", text, count=1) if _BEFORE.match(text) else text


_LOOKS = r"projects/[a-zA-Z0-9:.-]{1,80}/locations/[a-z0-9-]{1,40}/workloadIdentityPools"
_ANY_ID = r"[A-Za-z0-9_.-]{1,80}"
_AS_SHOWN = (
    "gcloud iam workload-identity-pools providers describe prints it as name: "
    "projects/<number>/locations/global/workloadIdentityPools/<pool>/providers/<provider>."
)
PROVIDER, ACCOUNT = "workload_identity_provider", "service_account_email"
PROVIDER_FIELD = Field(
    name=PROVIDER,
    label="Workload identity provider",
    help="The full name of the provider in a workload identity pool of yours, with its project's "
    "number. It may be made later.",
    example="projects/123456789012/locations/global/workloadIdentityPools/valohai"
    "/providers/valohai",
    hidden_from_members=True,
    missing="Enter the provider's full name; it needn't be there yet.",
    shape=Shape(
        _PROVIDER.pattern,
        "provider_shape",
        "This isn't the full name of a provider in a workload identity pool.",
        _AS_SHOWN,
        others=(
            Other(
                rf"{_LOOKS}/{_ANY_ID}",
                "This is the name of a pool, without the provider in it.",
                "Add /providers/ and the provider's ID.",
            ),
            Other(
                rf"projects/(?:[a-z][a-z0-9:.-]{{0,79}})/.{{0,20}}/workloadIdentityPools/{_ANY_ID}"
                rf"/providers/{_ANY_ID}",
                "This has the project's ID in it, and Google takes its number only.",
                "Put the project's number there, which its Dashboard shows.",
            ),
            Other(
                rf"projects/[0-9]{{1,20}}/locations/(?!global/)[a-z0-9-]{{1,40}}"
                rf"/workloadIdentityPools/{_ANY_ID}/providers/{_ANY_ID}",
                "This names a location, and workload identity pools are all in global.",
                "Write locations/global.",
            ),
            Other(
                rf"projects/.{{1,110}}/(?:workloadIdentityPools|providers)/gcp-{_ANY_ID}"
                rf"(?:/providers/{_ANY_ID})?",
                "This has an ID that begins with gcp-, which Google keeps for itself.",
                "Give the pool or the provider another ID.",
            ),
            Other(
                rf"principal(?:Set)?://{re.escape(HOST)}/.{{1,300}}",
                "This is what grants call who comes by a pool, not the provider.",
                _AS_SHOWN,
            ),
            Other(
                r"locations/global/workforcePools/.{1,200}",
                "This is a workforce pool, which people sign in by.",
                "Make a workload identity pool, and a provider in it.",
            ),
        ),
    ),
    max_length=200,
    blanks=Blanks.DROPPED,
    echo=rf"{_LOOKS}/[a-z0-9-]{{1,40}}/providers/[a-z0-9-]{{1,40}}",
    pasted_as=("workload_identity_provider", "audience", "name", "GCP_WORKLOAD_IDENTITY_PROVIDER"),
    reads=_plain,
)

_IN_IAM = "Copy its e-mail from IAM & Admin, Service accounts, or leave it out."
ACCOUNT_FIELD = Field(
    name=ACCOUNT,
    label="Service account",
    help="The e-mail of the service account that may read the repositories. Without one, the "
    "entry's own identity has to be let in at the repositories.",
    example="valohai-pull@my-project.iam.gserviceaccount.com",
    required=False,
    hidden_from_members=True,
    shape=Shape(
        EMAIL_SHAPE.pattern,
        "account_shape",
        "This isn't the e-mail of a service account.",
        _IN_IAM,
        others=(
            Other(
                r"[0-9]{15,25}",
                "This is the number of a service account, not its e-mail.",
                _IN_IAM,
            ),
            Other(
                r"[^@\s]{1,64}@(?!(?:[a-z0-9-]+\.){0,6}gserviceaccount\.com)[^@\s]{1,180}",
                "This is a person's e-mail or a group's, not a service account's.",
                _IN_IAM,
            ),
            Other(
                r"service-[0-9]{1,20}@[a-z0-9.-]{1,100}\.gserviceaccount\.com",
                "This is one of Google's own service accounts, which nobody else acts as.",
                "Make a service account for this entry, and give its e-mail.",
            ),
        ),
    ),
    max_length=254,
    blanks=Blanks.DROPPED,
    echo=r"[a-z0-9._-]{1,64}@[a-z0-9.-]{1,100}\.gserviceaccount\.com",
    pasted_as=("service_account", "service_account_email", "client_email", "serviceAccount"),
    reads=lambda text: text.removeprefix("serviceAccount:"),
)
