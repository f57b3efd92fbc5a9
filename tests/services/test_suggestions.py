"""Whatever we suggest goes through our own parser, validator and resolver: for every
registry type, and every refusal that suggests something."""

from __future__ import annotations

import inspect
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from orgs.models import Organization
from orgs.registries.catalogue import BY_SLUG, TYPES, takers
from orgs.registries.ecr_hosts import region_choices
from orgs.registries.images import ImageReference, InvalidImage, Server
from orgs.registries.pattern_help import can_exist, covers, example_image
from orgs.registries.patterns import InvalidPattern, MatchPattern, not_a_registry
from orgs.registries.problems import Failed, Problem, Refused
from orgs.registries.shared_hosts import is_shared, owner_of
from orgs.registries.types import RegistryType
from orgs.services.audit.events import Actor
from orgs.services.entries import door
from orgs.services.entries.validating import EntrySpec, validate
from orgs.services.logins import resolve
from orgs.services.logins.advice import advice_on
from tests.registries.pasted_texts import ACCOUNT, ECR, PASTED
from tests.registries.test_patterns import REFUSED
from tests.registries.test_properties import pattern
from tests.support import PROJECT_ROOT
from tests.support.declared import valid

SITES = [
    *("hub.docker.com", "registry.hub.docker.com", "www.docker.com", "docker.com", "github.com"),
    *(
        "www.github.com",
        "gitlab.com",
        "console.aws.amazon.com",
        "portal.azure.com",
        "app.docker.com",
    ),
    *("us-east-1.console.aws.amazon.com", "console.cloud.google.com", "gallery.ecr.aws"),
    *("console.amazonaws.cn", "portal.azure.cn", "catalog.redhat.com", "catalog.ngc.nvidia.com"),
    *("bitbucket.org", "cloud.digitalocean.com", "artifacthub.io", "docs.docker.com"),
]
PATHS = ["*", "r/me/train", "me/train", "me/*", "me/tra*", "orgs/me", "repository/docker/me/train"]
HOSTS = [
    *("docker.io", "index.docker.io", "ghcr.io", "quay.io", "gcr.io", "eu.gcr.io", "nvcr.io"),
    *("registry.gitlab.com", "europe-west1-docker.pkg.dev", "acme.jfrog.io", "acmereg.azurecr.io"),
    *("public.ecr.aws", "ecr-public.aws.com", "registry.example.com", "registry.example.com:5000"),
    *("localhost:5000", "docker.cloudsmith.io", "registry.digitalocean.com", "codeberg.org"),
    *("gitlab.example.com", "[::1]:5000", "rg.fr-par.scw.cloud", "harbor.local", ECR, f"{ECR}:443"),
    *(f"{ACCOUNT}.dkr-ecr.us-east-1.on.aws", f"{ACCOUNT}.dkr.ecr-fips.us-east-1.amazonaws.com"),
]
LOOKALIKES = [
    *(f"{ECR}.evil.com", "1234-5678-9012.dkr.ecr.us-east-1.amazonaws.com", f"{ECR}:5000"),
    *(f"{ACCOUNT}.ecr.us-east-1.amazonaws.com", f"{ACCOUNT}.dkr.ecr.cn-north-1.amazonaws.com"),
    *("dkr.ecr.us-east-1.amazonaws.com", "ecr.us-east-1.amazonaws.com", "*.dkr.ecr.amazonaws.com"),
    *(
        f"{ACCOUNT}.dkr.ecr-fips.eu-west-1.amazonaws.com",
        f"{ACCOUNT}.dkr-ecr.us-east-1.amazonaws.com",
    ),
    *("europe-west1-docker.pkg.dev.evil.com", "europe-west1.docker.pkg.dev", "us-gcr.io"),
    *("europe-west1-docker.pkg.dev:5000", "gcr.io:8443", "docker.pkg.dev", "*.pkg.dev"),
    *(f"*.{ECR}", "my-lb-1.us-east-1.elb.amazonaws.com", "*.dkr.ecr.us-east-1.amazonaws.com.cn"),
]
TEXTS = list(
    dict.fromkeys(
        [
            *(text for text, _, _ in PASTED),
            *(text for _, text, _ in REFUSED),
            *SITES,
            *(f"{host}/{path}" for host in SITES for path in PATHS),
            *(f"https://{host}/{path}" for host in SITES for path in PATHS),
            *HOSTS,
            *(f"https://{host}" for host in [*HOSTS, *LOOKALIKES]),
            *(f"{host}/Team/Train:v1" for host in [*HOSTS, *LOOKALIKES]),
            *(f"{host}/**" for host in [*HOSTS, *LOOKALIKES]),
            *(f"docker pull {host}/team/train:v1" for host in [*HOSTS, *LOOKALIKES]),
            *LOOKALIKES,
            *(f"{host}/*" for host in LOOKALIKES),
            *("quay.io/repository/org/x", "quay.io/repository/org", "quay.io/organization/org"),
            *("quay.io/repository/repository/x", "acme.jfrog.io/ui/native/docker-local/x"),
            *("https://quay.io/repository/repository/x", "ubuntu:22.04", "me/train:v1"),
        ]
    )
)


def spec(kind: RegistryType, text: str, region: str = "") -> EntrySpec:
    config, secrets = valid(kind)
    if any(field.name == "region" for field in kind.fields):
        config = {**config, "region": region}
    return EntrySpec(kind.slug, [text], config, secrets)


def refusals(kind: RegistryType, text: str, region: str = "") -> list[Problem]:
    try:
        validate(spec(kind, text, region))
    except Refused as refused:
        return [problem for problem in refused.problems if problem.field == "patterns"]
    return []


def named_in(sentence: str) -> Iterator[str]:
    """The patterns and images that a sentence says to write."""
    for found in re.findall(r"[A-Za-z0-9*.\[\]:_-]+/[A-Za-z0-9*./:_-]*[A-Za-z0-9*]", sentence):
        if not found.startswith(("host/", "http")):
            yield found


@pytest.mark.once
@pytest.mark.parametrize("text", TEXTS)
def test_what_is_suggested_for_a_refused_pattern_is_taken(text: str) -> None:
    for kind in TYPES:
        for region in ("", "eu-west-1"):
            for problem in refusals(kind, text, region):
                if problem.suggestion:
                    assert MatchPattern.parse(problem.suggestion)
                    assert not refusals(kind, problem.suggestion, region), (kind.slug, problem)
                    assert problem.suggestion in problem.fix
                for named in named_in(problem.fix):
                    suggested = MatchPattern.parse(named)
                    assert not_a_registry(suggested) is None
                    # A sentence may lead to another type, and then says so.
                    if "registry type" in problem.fix or "choose the type" in problem.fix:
                        assert takers(suggested), (kind.slug, problem)
                    else:
                        assert kind in takers(suggested), (kind.slug, problem)


@pytest.mark.once
def test_every_code_that_suggests_was_met() -> None:
    met = {
        problem.code
        for text in TEXTS
        for kind in TYPES
        for problem in refusals(kind, text)
        if problem.suggestion
    }
    assert met == {
        *("bare_host", "scheme_in_pattern", "tag_in_pattern", "invalid_pattern"),
        *("not_a_registry_host", "lookalike_host"),
    }


def test_nothing_suggests_elsewhere() -> None:
    """A module that comes to suggest something has to be held to the rule here."""
    suggesting = re.compile(r"suggestion=|_suggest\(|suggestion\)\s*$", re.MULTILINE)
    found = {
        str(path.relative_to(PROJECT_ROOT / "orgs"))
        for path in (PROJECT_ROOT / "orgs").rglob("*.py")
        if suggesting.search(path.read_text())
    }
    # All types are held to it, and so is what several of them are made of.
    made_of = {kind for one in TYPES for kind in type(one).mro()} - {*RegistryType.mro()}
    types = {Path(inspect.getfile(kind)) for kind in made_of}
    assert found - {str(path.relative_to(PROJECT_ROOT / "orgs")) for path in types} == {
        "registries/images.py",
        # What the types say of a host that only resembles their own.
        "registries/lookalikes.py",
        "registries/patterns.py",
        "registries/types.py",
        # An entry's id, which leads to it.
        "services/entries/validating.py",
    }


# --- an image that nothing serves --------------------------------------------------


IMAGES = [
    *(f"{host}/{path}" for host in HOSTS for path in ("team/train:v1", "team/a/b", "team")),
    *("ubuntu", "me/train", "me/train/x", f"{ECR}/my-repo@sha256:{'0' * 64}", "gcr.io/a.com/p/x"),
    *(f"{host}/r/me/train:v1" for host in SITES),
    *(f"{host}/me/train:v1" for host in [*SITES, *LOOKALIKES] if "*" not in host),
    *("quay.io/repository/org/x", f"registry.example.com/{'a' * 240}"),
]


@pytest.mark.parametrize("text", IMAGES)
def test_what_is_suggested_for_an_image_serves_it(
    text: str, acme: Organization, actor: Actor
) -> None:
    image = ImageReference.parse(text)
    told = resolve.no_match(acme, image)
    advice = advice_on(image)
    assert isinstance(told, Failed) and told.fix == str(advice) and told.fix.endswith(".")
    if not advice.pattern:
        for named in named_in(advice.otherwise):
            meant = ImageReference.parse(named)
            again = advice_on(meant)
            # Mended, it can have an entry, or needs none.
            assert again.pattern or "public" in again.otherwise, named
        return
    kind = BY_SLUG[advice.registry_type]
    assert not refusals(kind, advice.pattern)
    assert MatchPattern.parse(advice.pattern).matches(image)
    door.entry_create(organization=acme, actor=actor, spec=spec(kind, advice.pattern))
    served = resolve.resolve(acme, image)
    assert served is not None and served.pattern == advice.pattern
    if is_shared(image.authority):
        owner = owner_of(image.authority, image.segments)
        assert advice.pattern == "/".join([image.authority, *owner, "*"]) and owner
    assert advice.pattern in told.fix


@pytest.mark.parametrize(
    ("text", "fix"),
    [
        ("ghcr.io/acme/train:v1", "If it's private, add an entry with ghcr.io/acme/*; "),
        ("me/train", "If it's private, add an entry with docker.io/me/*; "),
        ("quay.io/org/team/x", "If it's private, add an entry with quay.io/org/*; "),
        ("registry.gitlab.com/g/p", "If it's private, add an entry with registry.gitlab.com/g/*; "),
        ("us-docker.pkg.dev/p/r/x", "If it's private, add an entry with us-docker.pkg.dev/p/*; "),
        (f"{ECR}/team/x", f"If it's private, add an entry with {ECR}/*; "),
        ("registry.example.com/x", "If it's private, add an entry with registry.example.com/*; "),
        (
            "public.ecr.aws/acme/x",
            "Images of public.ecr.aws are public and need no entry; one of the type AWS ECR Public "
            "pulls them by higher limits.",
        ),
        (
            "hub.docker.com/r/me/train:v1",
            "hub.docker.com is a web site, no registry: ask for docker.io/me/train:v1.",
        ),
        (
            "quay.io/repository/org/x",
            "quay.io/repository is a page for browsers, no image's name: ask for quay.io/org/x.",
        ),
        (
            "github.com/acme/x",
            "github.com is a web site, no registry: name the host that images are pulled from.",
        ),
        (
            "1234-5678-9012.dkr.ecr.us-east-1.amazonaws.com/x1:v1",
            "1234-5678-9012.dkr.ecr.us-east-1.amazonaws.com resembles an Amazon ECR host but "
            f"isn't one; that would be {ECR}/x1:v1.",
        ),
    ],
)
def test_wording(text: str, fix: str) -> None:
    assert str(advice_on(ImageReference.parse(text))).startswith(fix)


@pytest.mark.parametrize("host", [*HOSTS, *SITES, *(h for h in LOOKALIKES if "*" not in h)])
def test_what_is_suggested_for_a_server_covers_it(
    host: str, acme: Organization, actor: Actor
) -> None:
    server = Server.parse(host)
    advice = advice_on(server)
    assert not (is_shared(server.authority) and advice.pattern)
    for named in named_in(advice.otherwise):
        assert takers(MatchPattern.parse(named)), advice
    if advice.pattern:
        kind = BY_SLUG[advice.registry_type]
        door.entry_create(organization=acme, actor=actor, spec=spec(kind, advice.pattern))
        served = resolve.resolve_server(acme, server)
        assert served is not None and served.pattern == advice.pattern


@pytest.mark.parametrize(
    ("host", "fix"),
    [
        ("ghcr.io", "Ask with the image; on a worker, name it in VALOHAI_IMAGE."),
        ("registry.example.com", "Ask with the image, or add an entry for registry.example.com/*."),
    ],
)
def test_a_host_that_is_served_in_part(
    host: str, fix: str, acme: Organization, actor: Actor
) -> None:
    kind = BY_SLUG["docker"]
    door.entry_create(organization=acme, actor=actor, spec=spec(kind, f"{host}/team/*"))
    with pytest.raises(Failed) as caught:
        resolve.resolve_server(acme, Server.parse(host))
    assert (caught.value.code, caught.value.fix) == ("ambiguous_server", fix)


component = st.from_regex(r"[a-z0-9]{1,8}([._-][a-z0-9]{1,4})?", fullmatch=True)
regions = st.sampled_from([region for region, _ in region_choices()])
hosts = st.one_of(
    st.sampled_from([*HOSTS, *SITES, *(h for h in LOOKALIKES if "*" not in h)]),
    st.builds(
        lambda a, r: f"{a}.dkr.ecr.{r}.amazonaws.com",
        st.from_regex("[0-9]{12}", fullmatch=True),
        regions,
    ),
    st.from_regex(r"[a-z]{1,8}(\.[a-z]{2,8}){1,3}(:[1-9][0-9]{0,3})?", fullmatch=True),
)
images = st.builds(
    lambda host, path: ImageReference.parse(f"{host}/{'/'.join(path)}"),
    hosts,
    st.lists(component, min_size=1, max_size=4),
)


@pytest.mark.once
@settings(max_examples=500, deadline=None)
@given(images)
def test_any_image(image: ImageReference) -> None:
    advice = advice_on(image)
    assert str(advice)
    if advice.pattern:
        suggested = MatchPattern.parse(advice.pattern)
        assert suggested.matches(image)
        kind = BY_SLUG[advice.registry_type]
        assert not refusals(kind, advice.pattern)
        assert not (is_shared(image.authority) and len(suggested.segments) == 1)
    for named in named_in(advice.otherwise):
        ImageReference.parse(named.removesuffix("/*"))


@pytest.mark.once
@settings(max_examples=400, deadline=None)
@given(
    st.one_of(
        st.builds(lambda host, path: f"{host}/{path}", hosts, st.text("aA0.:/*@-_? ", max_size=12)),
        st.builds(
            lambda start, text: f"{start}{text}",
            st.sampled_from(TEXTS),
            st.text("a:/*. ", max_size=3),
        ),
    )
)
def test_any_pattern(text: str) -> None:
    for kind in TYPES:
        for problem in refusals(kind, text):
            if problem.suggestion:
                assert not refusals(kind, problem.suggestion), (kind.slug, problem)
    try:
        ImageReference.parse(text)
    except InvalidImage as refused:
        if refused.problem.suggestion:
            ImageReference.parse(refused.problem.suggestion)
    try:
        found = not_a_registry(MatchPattern.parse(text))
    except InvalidPattern:
        return
    if found and found.suggestion:
        assert not_a_registry(MatchPattern.parse(found.suggestion)) is None


# --- examples -----------------------------------------------------------------------


@pytest.mark.parametrize("kind", TYPES, ids=lambda kind: kind.slug)
def test_each_type_has_an_example_that_it_takes(kind: RegistryType) -> None:
    assert not refusals(kind, kind.example_pattern)
    example = MatchPattern.parse(kind.example_pattern)
    assert kind in takers(example)
    image = ImageReference.parse(example_image(example, kind.example_host(example)))
    assert example.matches(image) and can_exist(image)
    (missing,) = refusals(kind, "")
    assert missing.code == "required" and kind.example_pattern in missing.fix


SHARED = [
    *("docker.io", "ghcr.io", "quay.io", "us-docker.pkg.dev", "acme.jfrog.io"),
    "docker.cloudsmith.io",
]


@pytest.mark.parametrize(
    ("text", "image"),
    [
        ("ghcr.io/acme/*", "ghcr.io/acme/my-ml-image:v1.0"),
        ("ghcr.io/*", "ghcr.io/my-repo/my-ml-image:v1.0"),
        ("ghcr.io/acme/train", "ghcr.io/acme/train:v1.0"),
        ("me/*", "me/my-ml-image:v1.0"),
        ("docker.io/me/*", "docker.io/me/my-ml-image:v1.0"),
        ("ubuntu", "ubuntu:v1.0"),
        ("docker.io/*", "docker.io/my-repo/my-ml-image:v1.0"),
        ("us-docker.pkg.dev/p/*", "us-docker.pkg.dev/p/my-repo/my-ml-image:v1.0"),
        ("us-docker.pkg.dev/p/r/*", "us-docker.pkg.dev/p/r/my-ml-image:v1.0"),
        (f"{ECR}/*", f"{ECR}/my-ml-image:v1.0"),
        (f"{ECR}/my-repo/*", f"{ECR}/my-repo:v1.0"),
        (f"{ECR}/my-*", f"{ECR}/my-image:v1.0"),
        (f"{ECR}/*/x", f"{ECR}/my-ml-image/x:v1.0"),
        ("*.dkr.ecr.us-east-1.amazonaws.com/*", f"{ECR}/my-ml-image:v1.0"),
        ("registry.example.com:5000/*", "registry.example.com:5000/my-ml-image:v1.0"),
        (f"a.com/{'a' * 250}*", f"a.com/{'a' * 250}image:v1.0"),
        (f"a.com/{'a' * 254}*", f"a.com/{'a' * 254}x:v1.0"),
    ],
)
def test_example_images(text: str, image: str) -> None:
    assert example_image(MatchPattern.parse(text)) == image


@pytest.mark.once
@settings(max_examples=300, deadline=None)
@given(
    st.one_of(
        pattern(),
        st.builds(
            lambda host, path: MatchPattern.parse(f"{host}/{'/'.join(path)}"),
            st.sampled_from([*SHARED, ECR]),
            st.lists(st.sampled_from(["*", "team", "a*", "*-x"]), min_size=1, max_size=3),
        ),
    )
)
def test_examples_are_of_images_that_can_be(pattern: MatchPattern) -> None:
    found = covers(pattern)
    for example in (*found.yes, *found.no):
        assert can_exist(example.image)
    text = example_image(pattern)
    if text:
        image = ImageReference.parse(text)
        assert pattern.matches(image) and can_exist(image)
    if pattern.segments[-1] == "*":
        assert text and found.yes
