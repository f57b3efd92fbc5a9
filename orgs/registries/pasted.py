"""What people paste where an image or a pattern belongs, and the reference in it.

A whole command, a line of a file, an address, an ARN, quotation marks: what is meant can
mostly be told, and the refusal then says how to write it. Nothing of it but the reference
is ever repeated: a command may hold a password. What is given here isn't parsed yet.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from urllib.parse import unquote

from .web_sites import azure_registry, ecr_host, site_of

# Nothing to look into beyond what a reference may have.
MAX_LENGTH = 1024
# One thing wrapped into another, as an address in quotation marks in a line of YAML.
MAX_LAYERS = 6


@dataclass(frozen=True)
class Pasted:
    """`what` happened, in a sentence; `meant` is the reference or pattern in it, "" where
    that can't be told."""

    what: str
    meant: str = ""


def unwrapped(text: str) -> Pasted | None:
    """What was pasted with something around it; None where nothing is known to be."""
    if len(text) > MAX_LENGTH:
        return None
    first: Pasted | None = None
    for _ in range(MAX_LAYERS):
        layer = next((found for look in _LAYERS if (found := look(text)) is not None), None)
        if layer is None or layer.meant == text:
            break
        # Blanks around it, quotation marks and the like say less than what is within.
        if first is None or first.what in _AROUND:
            first = layer
        text = layer.meant
        if not text:
            break
    return first and Pasted(first.what, text)


def typed(text: str) -> str:
    """A reference or pattern without what can't be part of one at its ends, nor what nobody
    sees: there is no doubt what was meant."""
    return _BLANK.sub("", text).strip(_AT_ENDS)


def texts(text: str) -> list[str]:
    """The patterns in a field or cell that takes several: one a line, or with blanks, commas
    or semicolons between them. A line that is something else, such as a command, stays
    whole, since its words are no patterns."""
    found: list[str] = []
    for line in text.splitlines():
        if _is_one(line):
            found.append(line.strip())
        else:
            parts = _BETWEEN.split(_BLANK.sub("", line))
            found += [word for part in parts if (word := part.strip(_AT_ENDS))]
    return found


def _is_one(line: str) -> bool:
    words = line.split(None, 1)
    if len(words) < 2 or len(line) > MAX_LENGTH:
        return False
    line = _bare(line)
    return any(look(line) is not None for look in (_dockerfile, _command, _setting))


# --- what may be around it, the outermost first ---------------------------------

_BLANKS_AROUND = "There are blanks around it."
_UNSEEN = "There is a character in it that nobody sees."
_MARKS_AROUND = "There are quotation marks or other signs around it."
_DASHES = "There is a dash in it that isn't “-”."
_AROUND = frozenset({_BLANKS_AROUND, _UNSEEN, _MARKS_AROUND})

_QUOTES = "\"'`\u2018\u2019\u201a\u201b\u201c\u201d\u201e\u201f\u00ab\u00bb\u2039\u203a"
# Without width: joiners, marks of order and direction, byte-order marks, soft hyphens.
_BLANK = re.compile("[\u00ad\u061c\u180e\u200b-\u200f\u202a-\u202e\u2060-\u2069\ufeff]")
_AT_ENDS = f" \t\r\n\xa0{_QUOTES},;"
_DASH = re.compile("[\u2010-\u2015\u2212\ufe58\ufe63\uff0d]")
_BETWEEN = re.compile(r"[\s,;]+")
_BULLET = re.compile(r"[-*\u2022]\s+")
_LINK = re.compile(r"!?\[[^\[\]]*\]\(\s*([^()\s]+)\s*\)")


def _unseen(text: str) -> Pasted | None:
    return Pasted(_UNSEEN, _BLANK.sub("", text)) if _BLANK.search(text) else None


def _blanks(text: str) -> Pasted | None:
    stripped = text.strip()
    return Pasted(_BLANKS_AROUND, stripped) if stripped != text else None


def _bare(text: str) -> str:
    """A line without its bullet and the marks at its ends."""
    return _BULLET.sub("", _BLANK.sub("", text).strip(), count=1).strip(_QUOTES)


def _marks(text: str) -> Pasted | None:
    if link := _LINK.fullmatch(text):
        return Pasted(_MARKS_AROUND, link[1])
    if bullet := _BULLET.match(text):
        return Pasted(_MARKS_AROUND, text[bullet.end() :])
    inner = text.rstrip(",;.")
    if inner[:2] in {'["', "['"} and inner.endswith("]"):
        inner = inner[1:-1]
    quoted = inner[:1] in _QUOTES and inner[-1:] in _QUOTES
    inner = inner.strip(_QUOTES).rstrip(",;.")
    # `<image>` stands for one.
    if inner.startswith("<") and inner.endswith(">") and "/" in inner:
        inner = inner[1:-1]
    # A command may itself end by a quotation mark that belongs to it.
    if inner == text or (not quoted and any(blank in inner.strip() for blank in " \t\n")):
        return None
    return Pasted(_MARKS_AROUND, inner.strip())


def _dashes(text: str) -> Pasted | None:
    return Pasted(_DASHES, _DASH.sub("-", text)) if _DASH.search(text) else None


_FROM = re.compile(
    r"FROM\s+(?:--platform=\S+\s+)?(?P<image>\S+)(?:\s+AS\s+\S+)?"
    r"|COPY\s+--from=(?P<other>\S+)\s.*",
    re.IGNORECASE,
)


def _dockerfile(text: str) -> Pasted | None:
    line = _FROM.fullmatch(text.strip())
    return line and Pasted("This is a line of a Dockerfile.", line["image"] or line["other"])


_SETTING = "This is a setting, and not only its value."
_NAMED = re.compile(
    r"(?:-\s+)?(?:export\s+|ENV\s+|ARG\s+|set\s+)?[\"']?(?P<key>[A-Za-z][\w.-]{0,40})[\"']?"
    r"(?P<sign>\s*[:=]\s*)(?P<value>\S.*)",
    re.DOTALL,
)
# Whose value is a reference or a registry; no key that a secret may follow.
_KEYS = frozenset(
    {
        *("repository", "repositoryuri", "repositoryurl", "repo", "registry", "registryurl"),
        *("registryhost", "loginserver", "server", "serverurl", "serveraddress", "url", "uri"),
        *("host", "container", "from", "imagepattern", "imagepatterns", "pattern", "patterns"),
        *("matchpattern", "imageuri", "imageurl", "imagename", "imageref", "images"),
    }
)


def _setting(text: str) -> Pasted | None:
    """`image: x`, `"image": "x",`, `export IMAGE=x`, a line of YAML, JSON or a shell."""
    line = _NAMED.fullmatch(text.strip())
    if line is None:
        return None
    key = re.sub(r"[^a-z]", "", line["key"].lower())
    if key not in _KEYS and not key.endswith("image"):
        # Whatever it is, its words are no patterns, and its value may be a secret.
        return Pasted(_SETTING) if line["sign"].endswith(" ") else None
    value = line["value"].split(" #")[0].strip()
    glued = line["sign"] == ":"
    # `image:v1` is a name and its tag, and `server:5000/x` a host, its port and a path.
    if glued and not re.match(r"[^/]*[a-zA-Z][^/]*/|https?:", value):
        return None
    if value.startswith("[") and value[1:2] in {'"', "'"}:
        value = value.strip("[], ")
    return Pasted(_SETTING, value.strip(f"{_QUOTES},; "))


# --- commands -------------------------------------------------------------------

_COMMAND = "This is a whole command."
_TOOLS = frozenset(
    {
        *("docker", "podman", "nerdctl", "buildah", "finch", "skopeo", "crane", "gcrane", "oras"),
        *("ctr", "crictl", "regctl", "kubectl", "singularity", "apptainer", "cosign", "trivy"),
        *("docker.exe", "podman.exe", "az", "aws", "gcloud", "kaniko", "helm", "doctl"),
    }
)
# What manages what, before the verb.
_NOUNS = frozenset(
    {
        *("image", "images", "i", "container", "containers", "content", "manifest", "artifact"),
        *("buildx", "builder", "acr", "repository", "auth", "registry", "remote"),
    }
)
_COPIES = frozenset({"copy", "cp", "sync", "tag"})
_SIGNS_IN = frozenset({"login", "logout", "configure-docker"})
_BUILDS = frozenset({"build", "bud", "bake"})
_PULLS = frozenset(
    {
        *("pull", "push", "run", "create", "inspect", "rmi", "save", "history", "ls", "digest"),
        *("tags", "list-tags", "manifest", "export", "scan", "verify", "image", "from"),
        *("discover", "delete"),
    }
)
# Options that take no value of their own; others do, unless it's written with a `=`.
_ALONE = frozenset(
    {
        *("--rm", "--interactive", "--tty", "--detach", "--init", "--privileged", "--read-only"),
        *("--publish-all", "--quiet", "--all-tags", "--all", "--force", "--no-healthcheck"),
        *("--oom-kill-disable", "--sig-proxy", "--disable-content-trust", "--password-stdin"),
        *("--tls-verify", "--no-cache", "--push", "--load", "--debug", "--remote", "--insecure"),
        *("--raw", "--verbose", "--preserve-digests", "--plain-http", "--all-platforms", "--local"),
        *("--replace", "--no-tags", "--config", "--policy-off", "--expose-token"),
    }
)
_PROMPT = re.compile(
    r"(?:[\w.@~:/\[\]-]*[$#>%]\s+)?(?:sudo\s+)?(?:[A-Za-z_]\w*=\S*\s+)*(?:sudo\s+)?"
)
_BETWEEN_COMMANDS = re.compile(r"\|\|?|&&|;|\n")


def _command(text: str) -> Pasted | None:
    """A command of a container tool; of several in a row, the last that names something."""
    is_one, meant = False, ""
    for part in reversed(_BETWEEN_COMMANDS.split(text.replace("\\\n", " "))):
        part = part.strip()
        part = part[_PROMPT.match(part).end() :]  # type: ignore[union-attr]
        tool = part.split(None, 1)[0] if part else ""
        tool = tool.rpartition("/")[2] if tool.startswith("/") else tool
        if tool not in _TOOLS or len(part.split(None, 1)) < 2:
            continue
        is_one = True
        try:
            meant = _named_by(tool, shlex.split(part)[1:])
        except ValueError:  # a quotation mark that isn't closed
            continue
        if meant:
            break
    return Pasted(_COMMAND, meant) if is_one else None


def _named_by(tool: str, words: Sequence[str]) -> str:
    """The image, repository or registry that a command's words name; "" for none."""
    options, plain = _sorted_out(words)
    if tool == "az":
        name = options.get("--name") or options.get("-n") or ""
        return f"{name.lower()}.azurecr.io" if plain[:1] == ["acr"] and name else ""
    while plain and plain[0] in _NOUNS and len(plain) > 1:
        plain = plain[1:]
    verb, given = (plain[0], plain[1:]) if plain else ("", [])
    if tool == "kubectl":
        # Of `set env` it would be a value that may be secret.
        named = given[1:] if verb == "set" and given[:1] == ["image"] else []
        images = [word.partition("=")[2] for word in named if "=" in word]
        return options.get("--image") or next(iter(images), "")
    if verb in _SIGNS_IN:
        hosts = (host for word in given for host in word.split(",") if "." in host or ":" in host)
        return next(hosts, "")
    if verb in _BUILDS:
        return options.get("-t") or options.get("--tag") or ""
    if verb in _COPIES:
        return next(filter(_has_registry, given), next(iter(given), ""))
    return next(iter(given), "") if verb in _PULLS else ""


def _has_registry(word: str) -> bool:
    host, slash, _ = (
        word.partition("://")[2].partition("/") if "://" in word else word.partition("/")
    )
    return bool(slash) and ("." in host or ":" in host)


def _sorted_out(words: Sequence[str]) -> tuple[dict[str, str], list[str]]:
    """`(options by name, the other words)`."""
    options: dict[str, str] = {}
    plain: list[str] = []
    waiting = ""
    for word in words:
        if waiting:
            options.setdefault(waiting, word)
            waiting = ""
        elif not word.startswith("-") or word == "-":
            plain.append(word)
        elif "=" in word:
            name, _, value = word.partition("=")
            options.setdefault(name, value)
        elif not _is_alone(word, building=not _BUILDS.isdisjoint(plain)):
            waiting = word
    return options, plain


def _is_alone(word: str, *, building: bool) -> bool:
    """Whether an option needs no further word: `--rm`, `-it`, `-q`, `-p8080:80`."""
    if word.startswith("--"):
        return word in _ALONE
    return len(word) > 2 or (word[1:] in "itdqafPD" and not (building and word == "-t"))


# --- addresses and names of cloud resources ---------------------------------------

_SCHEME = re.compile(r"([A-Za-z][A-Za-z0-9+.-]*)://(?:[A-Za-z][A-Za-z0-9+.-]*://)*(.*)", re.DOTALL)
_PAGE = "This is the address of a page or an API, which isn't what images are pulled by."
_HUB_HOSTS = frozenset({"index.docker.io", "registry-1.docker.io", "auth.docker.io", "docker.io"})
_WEB = frozenset({"http", "https"})


def _address(text: str) -> Pasted | None:
    """A URL; without a scheme, what can only be one."""
    scheme, rest = split_scheme(text)
    if scheme is None and not _is_address(text):
        return None
    head = re.split("[?#]", rest, maxsplit=1)[0]
    written, _, path = head.partition("/")
    host = written.rpartition("@")[2].lower().removesuffix(":443")
    site = site_of(host, path, rest[len(head) :])
    if site is not None:
        shown = f"{host}/{path.partition('/')[0]}" if site.is_page else host
        return Pasted(f"{shown} is {site.name}.", site.meant)
    if scheme is not None and scheme.lower() in _WEB:
        path = _of_api(path)
        host = "docker.io" if host in _HUB_HOSTS else written.rpartition("@")[2]
    else:
        host = written.rpartition("@")[2]
    path = unquote(path).rstrip("/")
    return Pasted(_PAGE, f"{host}/{path}" if path else host)


# A name and password, which are told to nobody, before a host: `me:secret@a.com`. What
# follows the `@` in an image is a digest, which has no dot.
_SIGNED_IN = re.compile(r"[^/@\s:]+:[^/@\s]*@[^/@\s:]+\.[^/@\s]+")
# A `?` alone may be meant as a wildcard.
_OF_ADDRESSES = re.compile(r"\?\w+=|#|%[0-9A-Fa-f]{2}")


def _is_address(text: str) -> bool:
    """A host, and what no reference has: a query, a fragment, someone's name before it."""
    if _SIGNED_IN.fullmatch(text):
        return True
    first, slash, rest = text.partition("/")
    if not slash or "." not in first or any(blank in text for blank in " \t\n"):
        return False
    if "@" in first or _OF_ADDRESSES.search(rest):
        return True
    # Refused as a reference, and known as a web site.
    return site_of(first.lower(), rest) is not None


def split_scheme(text: str) -> tuple[str | None, str]:
    """`https://host/x` → `("https", "host/x")`; without a scheme, `(None, text)`."""
    found = _SCHEME.fullmatch(text)
    return (found[1], found[2]) if found else (None, text)


_ENDS = re.compile(
    r"(?:^|/)(?:manifests/[^/]+|tags/list|blobs/.*|tags|_catalog|_ping|users|search)/?$"
)


def _of_api(path: str) -> str:
    """The repository that an API's path is about, "" for none: distribution's, the old
    one's, Artifactory's, Harbor's."""
    path = re.sub(r"^artifactory/(?:api/docker/)?", "", path)
    repository, slash, below = path.partition("/")
    if slash and below.partition("/")[0] in {"v1", "v2"} and "/" in below.rstrip("/"):
        path = f"{repository}/{below.partition('/')[2]}"
    elif below.rstrip("/") in {"v1", "v2"}:
        return repository and f"{repository}/*"
    if harbor := re.fullmatch(r"api/v2\.0/projects/([^/]+)(?:/repositories/([^/]+).*)?/?", path):
        return f"{harbor[1]}/{unquote(unquote(harbor[2])) if harbor[2] else '*'}"
    if re.match(r"harbor/(?:projects|sign-in)", path):
        return ""
    version, _, below = path.partition("/")
    if version not in {"v1", "v2"}:
        return path
    below = below.removeprefix("repositories/") if version == "v1" else below
    return _ENDS.sub("", below)


_ARN = re.compile(
    r"arn:(?P<partition>aws[a-z-]*):(?P<service>[a-z0-9-]*):(?P<region>[a-z0-9-]*)"
    r":(?P<account>[0-9]{12}|\*|):(?P<resource>.*)"
)
_GOOGLE = re.compile(
    r"/*(?:artifactregistry\.googleapis\.com/)?projects/(?P<project>[^/]+)/locations/(?P<place>[a-z0-9-]+)"
    r"/repositories/(?P<repository>[^/]+)(?:/(?:dockerImages|packages)/(?P<name>[^/@]+).*)?"
)


def _cloud_name(text: str) -> Pasted | None:
    """An ARN, or what Azure and Google call a resource by."""
    if arn := _ARN.fullmatch(text):
        name = arn["resource"].removeprefix("repository/")
        if arn["service"] != "ecr" or name == arn["resource"]:
            return Pasted("This is an ARN, and not that of an ECR repository.")
        host = ecr_host(arn["account"] or "*", arn["region"], arn["partition"])
        return Pasted("This is the ARN of an ECR repository.", host and f"{host}/{name}")
    if text.lstrip("/").lower().startswith("subscriptions/"):
        found = azure_registry(text)
        return Pasted("This is an Azure resource id.", found) if found else None
    if google := _GOOGLE.fullmatch(text):
        name = unquote(google["name"] or "*")
        host = f"{google['place']}-docker.pkg.dev/{google['project']}"
        what = "This is the resource name of a Google repository."
        return Pasted(what, f"{host}/{google['repository']}/{name}")
    return None


_ACCOUNT = re.compile(r"([0-9]{4})[- ]([0-9]{4})[- ]([0-9]{4})(?=\.dkr[.-])")


def _account(text: str) -> Pasted | None:
    """As AWS's console writes an account."""
    if not _ACCOUNT.match(text):
        return None
    return Pasted("The account's number has dashes in it.", _ACCOUNT.sub(r"\1\2\3", text, count=1))


_LAYERS: tuple[Callable[[str], Pasted | None], ...] = (
    _unseen,
    _blanks,
    _dockerfile,
    _command,
    _setting,
    _cloud_name,
    _marks,
    _dashes,
    _address,
    _account,
)

# --- what stands in for something -------------------------------------------------

_PLACEHOLDER = re.compile(r"<[A-Za-z_][\w -]*>|\$\{[^{}]*\}|\$[A-Z][A-Z0-9_]+|\{\{?[^{}]*\}\}?")


def has_placeholder(text: str) -> bool:
    """Whether something in it stands for what is to be written there: `<account-id>`."""
    return len(text) <= MAX_LENGTH and _PLACEHOLDER.search(text) is not None
