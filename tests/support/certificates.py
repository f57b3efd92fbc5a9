"""A certificate authority of one test run."""

import datetime
import secrets
import tempfile
from pathlib import Path
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID


def make_certificates(
    directory: Path, host: str, *, self_signed: bool = False, days: tuple[int, int] = (-1, 1)
) -> tuple[Path, Path]:
    """Write an authority and its certificate for the host and its siblings (`*.<parent>`).

    Return the authority's file (what clients trust) and the server's (key and certificate).
    Both are valid from and until so many days from now. `self_signed`: the server's is its
    own authority, and what clients trust is itself.
    """
    now = datetime.datetime.now(datetime.UTC)
    keys = {name: ec.generate_private_key(ec.SECP256R1()) for name in ("ca", "server")}
    # Of one name and another key, OpenSSL would try only the first.
    number = secrets.token_hex(4)
    names = {
        name: x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, f"test {name} {number}")])
        for name in keys
    }
    signs = "server" if self_signed else "ca"

    def certificate(name: str, extension: x509.ExtensionType) -> bytes:
        issuer = signs if name == "server" else "ca"
        builder = (
            x509.CertificateBuilder()
            .subject_name(names[name])
            .issuer_name(names[issuer])
            .public_key(keys[name].public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now + datetime.timedelta(days=days[0]))
            .not_valid_after(now + datetime.timedelta(days=days[1]))
            .add_extension(extension, critical=name == "ca")
        )
        made = builder.sign(keys[issuer], hashes.SHA256())
        return made.public_bytes(serialization.Encoding.PEM)

    ca_file, server_file = directory / "ca.pem", directory / "server.pem"
    wildcard = x509.DNSName("*." + host.partition(".")[2])
    key = keys["server"].private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    own = certificate("server", x509.SubjectAlternativeName([wildcard]))
    server_file.write_bytes(key + own)
    ca = certificate("ca", x509.BasicConstraints(ca=True, path_length=0))
    ca_file.write_bytes(own if self_signed else ca)
    return ca_file, server_file


def authority(**given: Any) -> str:
    """The certificate of an authority, as a PEM; takes what `make_certificates` takes."""
    with tempfile.TemporaryDirectory() as directory:
        return make_certificates(Path(directory), "registry.example.com", **given)[0].read_text()
