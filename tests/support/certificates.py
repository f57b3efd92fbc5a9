"""A certificate authority of one test run."""

import datetime
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID


def make_certificates(directory: Path, host: str) -> tuple[Path, Path]:
    """Write an authority and its certificate for the host and its siblings (`*.<parent>`).

    Return the authority's file (what clients trust) and the server's (key and certificate). Both
    are valid for one day.
    """
    now = datetime.datetime.now(datetime.UTC)
    keys = {name: ec.generate_private_key(ec.SECP256R1()) for name in ("ca", "server")}
    names = {
        name: x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, f"test {name}")]) for name in keys
    }

    def certificate(name: str, extension: x509.ExtensionType) -> bytes:
        builder = (
            x509.CertificateBuilder()
            .subject_name(names[name])
            .issuer_name(names["ca"])
            .public_key(keys[name].public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - datetime.timedelta(hours=1))
            .not_valid_after(now + datetime.timedelta(days=1))
            .add_extension(extension, critical=name == "ca")
        )
        return builder.sign(keys["ca"], hashes.SHA256()).public_bytes(serialization.Encoding.PEM)

    ca_file, server_file = directory / "ca.pem", directory / "server.pem"
    ca_file.write_bytes(certificate("ca", x509.BasicConstraints(ca=True, path_length=0)))
    wildcard = x509.DNSName("*." + host.partition(".")[2])
    key = keys["server"].private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    server_file.write_bytes(key + certificate("server", x509.SubjectAlternativeName([wildcard])))
    return ca_file, server_file
