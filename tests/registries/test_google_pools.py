"""What type gcp-cr-oidc takes: a provider's name in each way that Google writes it, a service
account or none, and the hosts of all Google types."""

from __future__ import annotations

import pytest

from orgs.registries.catalogue import BY_SLUG, groups, takers
from orgs.registries.google_pools import parse_provider
from orgs.registries.patterns import MatchPattern
from orgs.registries.problems import Refused
from orgs.registries.types import Who
from tests.registries.test_google_federation import (
    ALONE,
    BOTH,
    EMAIL,
    HOST,
    ISSUER,
    NAME,
    PRINCIPAL,
    SUBJECT,
    TYPE,
)

pytestmark = pytest.mark.once


def clean(provider: str = NAME, email: str = "", *patterns: str):
    parsed = [MatchPattern.parse(text) for text in patterns or (f"{HOST}/my-project/*",)]
    given = {"workload_identity_provider": provider, "service_account_email": email}
    return TYPE.clean(given, {}, parsed)[0]


@pytest.mark.parametrize(
    "given",
    [
        NAME,
        f"//iam.googleapis.com/{NAME}",
        f"https://iam.googleapis.com/{NAME}",
        f"  {NAME}\n",
        f'workload_identity_provider: "{NAME}"',
        f"'//iam.googleapis.com/{NAME}',",
        NAME.replace("providers/valohai", "providers/a-1z"),
        NAME.replace("Pools/valohai", "Pools/" + "a" * 32),
    ],
)
def test_a_providers_name_is_cut_to_the_plain_one(given) -> None:
    found = clean(given)["workload_identity_provider"]
    assert found.startswith("projects/123456789012/locations/global/workloadIdentityPools/")
    assert parse_provider(found).name == found


@pytest.mark.parametrize(
    ("given", "says"),
    [
        (NAME.replace("123456789012", "my-project"), "project's ID"),
        (NAME.partition("/providers")[0], "without the provider"),
        (NAME.replace("global", "europe-west1"), "location"),
        (NAME.replace("Pools/valohai", "Pools/gcp-valohai"), "keeps for itself"),
        (NAME.replace("providers/valohai", "providers/gcp-x"), "keeps for itself"),
        (PRINCIPAL, "not the provider"),
        ("locations/global/workforcePools/p/providers/x", "workforce"),
        (NAME.replace("Pools/valohai", "Pools/abc"), "full name"),
        (NAME.replace("Pools/valohai", "Pools/" + "a" * 33), "full name"),
        (NAME.replace("Pools/valohai", "Pools/Valohai"), "full name"),
        (NAME.replace("Pools/valohai", "Pools/valo_hai"), "full name"),
        (NAME.replace("projects/1", "projects/0"), "full name"),
        (f"http://iam.googleapis.com/{NAME}", "full name"),
        (f"https://iam.googleapis.com.evil.example/{NAME}", "full name"),
        (f"{NAME}/", "full name"),
        (f"{NAME}/keys/x", "full name"),
        ("x" * 300, "full name"),
        ("", "is empty"),
    ],
)
def test_what_is_no_providers_name(given, says) -> None:
    with pytest.raises(Refused) as caught:
        clean(given)
    (problem,) = caught.value.problems
    assert problem.field == "workload_identity_provider" and says in problem.what
    assert problem.code == ("provider_shape" if given else "required") and problem.fix


@pytest.mark.parametrize("given", [EMAIL, f"serviceAccount:{EMAIL}", f' "{EMAIL}"', ""])
def test_the_service_account_may_be_left_out(given) -> None:
    assert clean(email=given) == (BOTH if given else ALONE)


@pytest.mark.parametrize(
    ("given", "says"),
    [
        ("alice@example.com", "person's"),
        ("alice@gmail.com", "person's"),
        ("104567890123456789012", "number"),
        ("service-1@gcp-sa-artifactregistry.iam.gserviceaccount.com", "Google's own"),
        ("valohai-pull", "isn't the e-mail"),
        (f"{EMAIL}.evil.example", "isn't the e-mail"),
        ("a:b@p.iam.gserviceaccount.com", "isn't the e-mail"),
    ],
)
def test_what_is_no_service_account(given, says) -> None:
    with pytest.raises(Refused) as caught:
        clean(email=given)
    (problem,) = caught.value.problems
    assert (problem.code, problem.field) == ("account_shape", "service_account_email")
    assert says in problem.what


def test_hosts_are_held_to_the_rules_of_all_google_types() -> None:
    for pattern in ("quay.io/*", f"{HOST}.evil.example/p/*", "*.pkg.dev/p/*", f"{HOST}:8443/p/*"):
        parsed = [MatchPattern.parse(pattern)]
        told = TYPE.refused_patterns(parsed)
        assert told and told == BY_SLUG["gcp-cr"].refused_patterns(parsed)
    assert TYPE.example_host(MatchPattern.parse("*.gcr.io/p/*")) == "us.gcr.io"


def test_its_place_in_the_catalogue() -> None:
    assert groups()["Google"] == [BY_SLUG["gcp-cr"], BY_SLUG["gcp-cr-oidc"]]
    assert BY_SLUG["gcp-cr-oidc"] in takers(MatchPattern.parse("gcr.io/p/*"))
    assert TYPE.trusts_issuer and TYPE.awaits_trust and TYPE.minted and not TYPE.secret_fields
    who = Who(SUBJECT, ISSUER)
    assert len(SUBJECT) == 92 <= 127 and not TYPE.assigned(who)
