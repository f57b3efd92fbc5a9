"""A registry as one login sees it: whether it opens a repository, and putting a tiny image there.

Not the product's own client, which verifying uses: that one follows no redirect, and ECR gives
blobs by one. What goes out goes by `outbound`, so proxies and certificates are those of the server.
"""

from __future__ import annotations

import base64
import gzip
import hashlib
import io
import json
import re
import tarfile
import time
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlencode, urljoin, urlsplit

from orgs.registries import outbound
from orgs.registries.addresses import Rules
from orgs.registries.outbound import Answer
from orgs.registries.types import DockerLogin

SECONDS = 20.0  # for one request and what it takes to be let in
RULES = Rules(private=True, owner="prove-keyless")  # a VPC endpoint's address is private
OCI = "application/vnd.oci.image"
TYPES = (
    f"{OCI}.manifest.v1+json, application/vnd.docker.distribution.manifest.v2+json, "
    f"{OCI}.index.v1+json, application/vnd.docker.distribution.manifest.list.v2+json"
)
_PARAMETER = re.compile(r"(realm|service)=\"([^\"]*)\"")


class Untried(Exception):
    """Why something couldn't be tried, as sentences for whoever runs it."""


@dataclass(frozen=True)
class Content:
    """What a repository has: its image's manifest and one blob of that, by digest."""

    manifest: str
    blob: str


class Registry:
    """`host` with one login, or with none of it where it isn't asked for."""

    def __init__(self, host: str, login: DockerLogin) -> None:
        self.host = host
        self._deadline = 0.0
        pair = base64.b64encode(f"{login.username}:{login.password}".encode()).decode()
        self._basic = f"Basic {pair}"
        self._bearer: dict[str, str] | None = None
        self._asked = False

    def content(self, repository: str, tag: str) -> Content:
        """What is there to be pulled; raises `Untried` where the login doesn't open it."""
        answer = self._manifest(repository, tag)
        if answer.status in (401, 403):
            raise Untried(
                f"The login of the role itself doesn't open {repository}, so nothing can be said "
                "of a narrower one. Compare the role's permissions with main.tf."
            )
        if answer.status != 200:
            raise Untried(f"{repository}:{tag} isn't there ({answer.status}). Run with --push.")
        try:
            blob = str(json.loads(answer.body)["config"]["digest"])
        except (ValueError, LookupError, TypeError):
            raise Untried(f"{repository}:{tag} isn't one plain image. Run with --push.") from None
        found = Content(f"sha256:{hashlib.sha256(answer.body).hexdigest()}", blob)
        if not self.opens_blob(repository, found):
            raise Untried(f"The login of the role itself gets no blob of {repository}.")
        return found

    def opens_manifest(self, repository: str, content: Content) -> bool:
        """Whether the login gets the manifest; raises `Untried` where the answer is no plain yes
        or no, and `Failed` where there is none."""
        return self._opened(self._manifest(repository, content.manifest), content.manifest)

    def opens_blob(self, repository: str, content: Content) -> bool:
        """As `opens_manifest`, for the blob."""
        target = f"/v2/{repository}/blobs/{content.blob}"
        answer = self._ask("GET", target, f"repository:{repository}:pull")
        if answer.status in (301, 302, 303, 307, 308):
            # The registry has said yes; the address that it gives needs no login, and gets none.
            answer = self._elsewhere(answer.headers.get("Location", ""))
            if answer.status != 200:
                raise Untried(f"Where {self.host} keeps its blobs, the answer is {answer.status}.")
        return self._opened(answer, content.blob)

    def push(self, repository: str, tag: str) -> None:
        """Put an image of one small file there, another for each repository."""
        layer = _tar(f"This is {repository}.\n".encode())
        config = {
            "architecture": "amd64",
            "os": "linux",
            "config": {},
            "rootfs": {"type": "layers", "diff_ids": [_digest(layer)]},
        }
        blobs = {
            f"{OCI}.config.v1+json": json.dumps(config).encode(),
            f"{OCI}.layer.v1.tar+gzip": gzip.compress(layer, mtime=0),
        }
        for blob in blobs.values():
            self._put_blob(repository, blob)
        described: list[dict[str, Any]] = [
            {"mediaType": kind, "size": len(blob), "digest": _digest(blob)}
            for kind, blob in blobs.items()
        ]
        manifest = {
            "schemaVersion": 2,
            "mediaType": f"{OCI}.manifest.v1+json",
            "config": described[0],
            "layers": described[1:],
        }
        target = f"/v2/{repository}/manifests/{tag}"
        headers = {"Content-Type": f"{OCI}.manifest.v1+json"}
        self._write("PUT", target, repository, 201, headers, json.dumps(manifest).encode())

    # -- Asking ------------------------------------------------------------------------

    def _put_blob(self, repository: str, blob: bytes) -> None:
        begun = self._write("POST", f"/v2/{repository}/blobs/uploads/", repository, 202)
        headers = {"Content-Type": "application/octet-stream"}
        sent = self._write("PATCH", self._upload(begun), repository, 202, headers, blob)
        target = self._upload(sent)
        target += f"{'&' if '?' in target else '?'}{urlencode({'digest': _digest(blob)})}"
        self._write("PUT", target, repository, 201, headers)

    def _upload(self, answer: Answer) -> str:
        """The target of an upload; the login goes to no other host."""
        parts = urlsplit(urljoin(f"https://{self.host}/", answer.headers.get("Location", "")))
        if (parts.scheme, parts.netloc) != ("https", self.host):
            raise Untried(f"{self.host} wants the image sent elsewhere, so it wasn't sent.")
        return parts.path + (f"?{parts.query}" if parts.query else "")

    def _write(
        self,
        method: str,
        target: str,
        repository: str,
        expected: int,
        headers: dict[str, str] | None = None,
        content: bytes = b"",
    ) -> Answer:
        scope = f"repository:{repository}:pull,push"
        answer = self._ask(method, target, scope, headers, content)
        if answer.status != expected:
            raise Untried(
                f"{self.host} takes no image in {repository} ({answer.status}). Is the repository "
                "there, and may your own AWS credentials push to it?"
            )
        return answer

    def _manifest(self, repository: str, reference: str) -> Answer:
        target = f"/v2/{repository}/manifests/{reference}"
        return self._ask("GET", target, f"repository:{repository}:pull", {"Accept": TYPES})

    def _opened(self, answer: Answer, digest: str) -> bool:
        if answer.status in (401, 403):
            return False
        if answer.status == 200 and _digest(answer.body) == digest:
            return True
        if answer.status == 200:
            raise Untried(f"{self.host} answers with something else than {digest}.")
        raise Untried(f"{self.host} answers neither with a yes nor with a no ({answer.status}).")

    def _ask(
        self,
        method: str,
        target: str,
        scope: str,
        headers: dict[str, str] | None = None,
        content: bytes = b"",
    ) -> Answer:
        """The answer to this login; 401 where a token service turned it down."""
        self._deadline = time.monotonic() + SECONDS
        if not self._asked:
            self._bearer = self._challenge()
            self._asked = True
        authorization = self._basic
        if self._bearer is not None:
            query = urlencode({"service": self._bearer.get("service", ""), "scope": scope})
            given = self._request(
                "GET", f"{self._token_target()}?{query}", {"Authorization": self._basic}
            )
            if given.status != 200:
                return given
            told = json.loads(given.body)
            authorization = f"Bearer {told.get('token') or told.get('access_token')}"
        return self._request(
            method, target, {"Authorization": authorization, **(headers or {})}, content
        )

    def _challenge(self) -> dict[str, str] | None:
        """What a bearer token is got with; None where the login itself is wanted, as by ECR."""
        answer = self._request("GET", "/v2/", {})
        wanted = answer.headers.get("WWW-Authenticate", "")
        if answer.status != 401 or not wanted:
            raise Untried(f"{self.host} asks for no login ({answer.status}).")
        return dict(_PARAMETER.findall(wanted)) if wanted.lower().startswith("bearer") else None

    def _token_target(self) -> str:
        parts = urlsplit((self._bearer or {}).get("realm", ""))
        if (parts.scheme, parts.netloc) != ("https", self.host):
            raise Untried(f"{self.host} wants the login sent elsewhere, so it wasn't sent.")
        return parts.path

    def _request(
        self, method: str, target: str, headers: dict[str, str], content: bytes = b""
    ) -> Answer:
        way = outbound.way(self.host, 443, RULES)
        return outbound.request(
            method, self.host, 443, way, target, headers, self._deadline, content=content
        )

    def _elsewhere(self, address: str) -> Answer:
        parts = urlsplit(address)
        if parts.scheme != "https" or not parts.hostname:
            raise Untried(f"{self.host} gives a blob's address that isn't https.")
        target = parts.path + (f"?{parts.query}" if parts.query else "")
        port = parts.port or 443
        way = outbound.way(parts.hostname, port, RULES)
        return outbound.request("GET", parts.hostname, port, way, target, {}, self._deadline)


def _digest(content: bytes) -> str:
    return f"sha256:{hashlib.sha256(content).hexdigest()}"


def _tar(content: bytes) -> bytes:
    archive = io.BytesIO()
    with tarfile.open(fileobj=archive, mode="w") as tar:
        member = tarfile.TarInfo("proof.txt")
        member.size = len(content)
        tar.addfile(member, io.BytesIO(content))
    return archive.getvalue()
