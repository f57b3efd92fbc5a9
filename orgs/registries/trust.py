"""What the certificates of other servers are judged by.

The system's authorities, or botocore's where it has none; those of AWS_CA_BUNDLE or
REQUESTS_CA_BUNDLE; those of the operator's own file; and, for the hosts of one entry, that
entry's. A certificate may also be named itself, as clients take it.
"""

from __future__ import annotations

import os
import ssl
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import lru_cache
from pathlib import Path

_BY_NAME = ("SSL_CERT_FILE", "SSL_CERT_DIR", "AWS_CA_BUNDLE", "REQUESTS_CA_BUNDLE")
_FURTHER = "OUTBOUND_CA_FILE"
_further: list[Callable[[], str]] = []


class UnreadableAuthorities(Exception):
    """A file of authorities isn't there, or can't be read; the message is what names it."""


def also(file: Callable[[], str]) -> None:
    """Trust the authorities of the file that `file` names whenever it is asked; "" for none."""
    _further.append(file)


def context(socket: type[ssl.SSLSocket], own: str = "") -> ssl.SSLContext:
    """What one connection is judged by, which makes sockets of the given class; `own` are
    certificates of an entry, as `authorities.plain` writes them. Raises
    `UnreadableAuthorities`."""
    named = tuple(os.environ.get(name, "") for name in _BY_NAME)
    files = tuple(_file(name) for further in _further if (name := further()))
    return _context(socket, own, files, *named)  # type: ignore[arg-type]  # classes hash


def _file(name: str) -> tuple[str, int, int, int]:
    """A file, and what tells that it was changed."""
    try:
        found = Path(name).stat()
    except OSError:
        raise UnreadableAuthorities(_FURTHER) from None
    return name, found.st_ino, found.st_mtime_ns, found.st_size


@lru_cache(maxsize=64)  # reading them took 26 ms
def _context(
    socket: type[ssl.SSLSocket],
    own: str,
    files: tuple[tuple[str, int, int, int], ...],
    *named: str,
) -> ssl.SSLContext:
    made = ssl.create_default_context()
    made.sslsocket_class = socket
    # From 3.13 on Python wants of private authorities what neither Docker nor podman does.
    made.verify_flags &= ~getattr(ssl, "VERIFY_X509_STRICT", 0)
    made.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN
    paths = ssl.get_default_verify_paths()
    if not (paths.cafile or (paths.capath and any(Path(paths.capath).iterdir()))):
        import botocore

        made.load_verify_locations(Path(botocore.__file__).with_name("cacert.pem"))
    *_, aws, requests = named
    if bundle := aws or requests:
        with _named("AWS_CA_BUNDLE" if aws else "REQUESTS_CA_BUNDLE"):
            # A directory of them is what requests takes as well.
            path = {"capath" if Path(bundle).is_dir() else "cafile": bundle}
            made.load_verify_locations(**path)
    for name, *_ in files:
        with _named(_FURTHER):
            made.load_verify_locations(name)
    if own:
        with _named("the entry's CA certificate"):
            made.load_verify_locations(cadata=own)
    return made


@contextmanager
def _named(what: str) -> Iterator[None]:
    try:
        yield
    except (OSError, ValueError):  # SSLError is an OSError
        raise UnreadableAuthorities(what) from None
