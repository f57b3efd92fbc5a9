"""Web sites that people take for registries, and what their pages are about.

A browser's address isn't what clients pull by. The registry that belongs to each site
stands here and nowhere else. Hosts of one's own, such as `gitlab.example.com`, may well be
registries: only what is known to be none is listed.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from urllib.parse import parse_qsl, unquote

from .ecr_hosts import EcrHost, partition_of_region


@dataclass(frozen=True)
class Site:
    """A web site, or a page (`is_page`) of a host that is a registry too; `name` ends the
    sentence «{host} is …».

    `meant` is a reference or pattern for what is shown there, not yet parsed, for the whole
    registry that belongs to the site where that is all that is known; "" for nothing.
    """

    name: str
    meant: str = ""
    is_page: bool = False


@dataclass(frozen=True)
class _Known:
    """`host` fits in full; of `pages`, the first that fits a path says what it's about.

    With `beside`, the host is a registry as well, and only these pages of it aren't one's.
    """

    host: re.Pattern[str]
    name: str
    registry: str = ""
    pages: tuple[tuple[re.Pattern[str], str], ...] = ()
    beside: bool = False


# Not the name of a group, which has a `?P` before it.
_PART = re.compile(r"(?<!\?P)<(\w+)>")


def _part(found: re.Match[str]) -> str:
    letters = "[^/*]" if found[1] == "owner" else "[^/]"
    return f"(?P<{found[1]}>{letters}+)"


def _known(
    host: str, name: str, registry: str = "", *pages: tuple[str, str], beside: bool = False
) -> _Known:
    # `<name>` stands for one part of a path; whatever comes below it is of the page. Nobody's
    # name has a `*`.
    compiled = tuple(
        (re.compile(_PART.sub(_part, path) + "(?:/.*)?"), meant) for path, meant in pages
    )
    return _Known(re.compile(host), name, registry, compiled, beside)


_HUB_PAGES = (
    ("_/<name>", "docker.io/library/{name}"),
    ("images/<name>", "docker.io/library/{name}"),
    ("(?:r|layers|repository/docker|v2/repositories)/<owner>/<name>", "docker.io/{owner}/{name}"),
    ("v2/namespaces/<owner>/repositories/<name>", "docker.io/{owner}/{name}"),
    ("v2/(?:namespaces|repositories)/<owner>", "docker.io/{owner}/*"),
    ("(?:u|r|repositories|orgs?|layers|repository/docker)/<owner>", "docker.io/{owner}/*"),
    ("(?:v1|v2|search|explore|settings|repository|billing)", ""),
    # As if it were the registry's host.
    (r"<owner>/\*", "docker.io/{owner}/*"),
    ("<owner>/<name>", "docker.io/{owner}/{name}"),
)
_KNOWN = (
    _known(
        r"(?:(?:registry\.)?hub|store|cloud|app)\.docker\.com",
        "a web site, no registry",
        "docker.io",
        *_HUB_PAGES,
    ),
    _known(r"(?:(?:www|docs|login)\.)?docker\.com", "a web site, no registry", "docker.io"),
    _known(
        r"(?:(?:www|api)\.)?github\.com",
        "a web site, no registry",
        "ghcr.io",
        ("(?:orgs|users)/<owner>/packages/container/package/<name>", "ghcr.io/{owner}/{name}"),
        ("(?:orgs|users)/<owner>/packages/container/<name>", "ghcr.io/{owner}/{name}"),
        ("(?:orgs|users)/<owner>", "ghcr.io/{owner}/*"),
        ("<owner>/[^/]+/pkgs/container/<name>", "ghcr.io/{owner}/{name}"),
        ("<owner>", "ghcr.io/{owner}/*"),
    ),
    _known(
        r"(?:www\.)?gitlab\.com",
        "a web site, no registry",
        "registry.gitlab.com",
        ("groups/<owner>", "registry.gitlab.com/{owner}/*"),
        (
            "(?P<path>[^/]+(?:/[^/]+){1,8}?)/(?:-|container_registry)",
            "registry.gitlab.com/{path}/*",
        ),
        ("(?P<path>[^/]+/[^/*]+)", "registry.gitlab.com/{path}/*"),
        ("<owner>", "registry.gitlab.com/{owner}/*"),
    ),
    _known(r"(?:www\.)?bitbucket\.org", "a web site, no registry"),
    _known(
        r"quay\.io",
        "",
        "quay.io",
        ("(?:api/v1/)?repository/<owner>/<name>", "quay.io/{owner}/{name}"),
        ("(?:api/v1/)?(?:repository|organization|user)/<owner>", "quay.io/{owner}/*"),
        beside=True,
    ),
    _known(
        r"(?P<host>[a-z0-9-]+\.jfrog\.io)",
        "",
        "",
        (
            "ui/(?:repos/tree/[^/]+|native)/<repository>/(?P<path>[^/]+(?:/[^/]+)*)",
            "{host}/{repository}/{path}",
        ),
        ("ui/(?:repos/tree/[^/]+|native)/<repository>", "{host}/{repository}/*"),
        ("ui/(?:repos|packages|native|login|admin)", "{host}/*"),
        beside=True,
    ),
    _known(
        r"gallery\.ecr\.aws",
        "a web site, no registry",
        "public.ecr.aws",
        ("<owner>/<name>", "public.ecr.aws/{owner}/{name}"),
        ("<owner>", "public.ecr.aws/{owner}/*"),
    ),
    _known(r"portal\.azure\.(?:com|us|cn)", "Azure's web site, no registry"),
    _known(
        r"console\.cloud\.google\.com",
        "Google's web site, no registry",
        "",
        (
            "artifacts/docker/<project>/<place>/<repository>/(?!sha256)<name>",
            "{place}-docker.pkg.dev/{project}/{repository}/{name}",
        ),
        (
            "artifacts/docker/<project>/<place>/<repository>",
            "{place}-docker.pkg.dev/{project}/{repository}/*",
        ),
        ("gcr/images/<project>/(?i:global)/<name>", "gcr.io/{project}/{name}"),
        (
            "gcr/images/<project>/(?P<place>(?i:us|eu|asia))/<name>",
            "{place}.gcr.io/{project}/{name}",
        ),
        ("gcr/images/<project>/(?P<place>(?i:us|eu|asia))", "{place}.gcr.io/{project}/*"),
        ("gcr/images/<project>", "gcr.io/{project}/*"),
    ),
    _known(r"(?:www\.|cloud\.)?google\.com", "a web site, no registry"),
    _known(r"(?:docs\.|www\.)?aws\.amazon\.com", "a web site, no registry"),
    _known(
        r"catalog\.redhat\.com",
        "a web site, no registry",
        "registry.access.redhat.com",
        ("software/containers/<owner>/<name>", "registry.access.redhat.com/{owner}/{name}"),
    ),
    _known(
        r"catalog\.ngc\.nvidia\.com",
        "a web site, no registry",
        "nvcr.io",
        ("orgs/<owner>/teams/<team>/containers/<name>", "nvcr.io/{owner}/{team}/{name}"),
        ("orgs/<owner>/containers/<name>", "nvcr.io/{owner}/{name}"),
        ("orgs/<owner>", "nvcr.io/{owner}/*"),
    ),
    _known(r"(?:org\.)?ngc\.nvidia\.com", "a web site, no registry", "nvcr.io"),
    _known(
        r"(?:(?:www|cloud)\.)?digitalocean\.com",
        "a web site, no registry",
        "registry.digitalocean.com",
    ),
    _known(r"dashboard\.heroku\.com", "a web site, no registry", "registry.heroku.com"),
    _known(
        r"(?:app\.cloudsmith\.com|cloudsmith\.io)",
        "a web site, no registry",
        "docker.cloudsmith.io",
        (r"~?<owner>/repos/<repository>", "docker.cloudsmith.io/{owner}/{repository}/*"),
    ),
    _known(r"cloud\.ibm\.com", "a web site, no registry", "icr.io"),
    _known(r"(?:www\.)?(?:artifacthub\.io|huggingface\.co)", "a web site, no registry"),
)

_AWS_CONSOLE = re.compile(
    r"(?:(?:(?P<account>[0-9]{12})-[a-z0-9]+\.)?(?P<region>[a-z0-9-]+)\.)?"
    r"console\.(?:aws\.amazon\.com|amazonaws\.cn|amazonaws-us-gov\.com|amazonaws\.eu)"
)
_AWS_REPOSITORY = re.compile(
    r"ecr/repositories/private/(?P<account>[0-9]{12})/(?P<name>[^/]+(?:/[^/]+)*?)"
    r"(?:/(?:_|image|images|details|permissions|lifecycle_policy|tags)(?:/.*)?)?/?"
)
_AZURE_REGISTRY = re.compile(
    r"microsoft\.containerregistry/registries/(?P<name>[a-z0-9]{5,50})"
    r"(?:/repository/(?P<path>[a-z0-9._/-]+))?",
    re.IGNORECASE,
)
_AZURE_SUFFIXES = {"com": "azurecr.io", "us": "azurecr.us", "cn": "azurecr.cn"}


def site_of(host: str, path: str = "", rest: str = "") -> Site | None:
    """The web site or page at an address, None where it may be a registry's.

    `host` is in lower case, `path` as written, without its first `/`; `rest` is what
    follows the path, with its `?` or `#`.
    """
    if console := _AWS_CONSOLE.fullmatch(host):
        return Site("AWS's web site, no registry", _on_aws_console(console, path, rest))
    if host.startswith("portal.azure."):
        found = azure_registry(f"{path}{rest}", host.rpartition(".")[2])
        return Site("Azure's web site, no registry", found)
    for known in _KNOWN:
        if at := known.host.fullmatch(host):
            return _page(known, at.groupdict(), path)
    return None


def _page(known: _Known, parts: Mapping[str, str], path: str) -> Site | None:
    """What the site's pages say of a path."""
    path = path.partition(";")[0].strip("/")
    fitting = ((found, meant) for page, meant in known.pages if (found := page.fullmatch(path)))
    found, meant = next(fitting, (None, ""))
    if found is None or not meant:
        if known.beside:
            return None
        return Site(known.name, known.registry and f"{known.registry}/*")
    # `%2F` joins the parts of one name.
    filled = {name: unquote(part) for name, part in found.groupdict().items()}
    for place in {"place", "host"} & filled.keys():
        filled[place] = filled[place].lower()
    name = "a page for browsers, no image's name" if known.beside else known.name
    return Site(name, meant.format_map({**parts, **filled}), is_page=known.beside)


def _on_aws_console(host: re.Match[str], path: str, rest: str) -> str:
    """The repository that a page of AWS's console shows."""
    region = _parameters(rest).get("region") or host["region"] or ""
    page = _AWS_REPOSITORY.fullmatch(path)
    account = page["account"] if page else host["account"]
    if not account or not (path.startswith("ecr/")):
        return ""
    found = ecr_host(account, region)
    return found and f"{found}/{unquote(page['name']) if page else '*'}"


def _parameters(rest: str) -> dict[str, str]:
    query = rest.partition("#")[0].removeprefix("?")
    return dict(parse_qsl(query, max_num_fields=50)) if query.count("&") < 50 else {}


def ecr_host(account: str, region: str, partition: str = "") -> str:
    """The host of an account's registry, "" where the region isn't one of the partition."""
    found = partition_of_region(region)
    if found is None or partition not in {"", found}:
        return ""
    return str(EcrHost(account, region, found, fips=False, dual_stack=False))


def azure_registry(text: str, cloud: str = "com") -> str:
    """The registry of an Azure resource id, wherever it stands in an address; "" for none."""
    found = _AZURE_REGISTRY.search(unquote(unquote(text)))
    if not found:
        return ""
    host = f"{found['name'].lower()}.{_AZURE_SUFFIXES.get(cloud, 'azurecr.io')}"
    path = (found["path"] or "").strip("/")
    return f"{host}/{path or '*'}"
